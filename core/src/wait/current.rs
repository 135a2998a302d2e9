//! Who is calling: the only thread-local of the waiting protocol.
//!
//! A green thread that may change its OS thread at a park must not carry the address of a thread-local across one, and
//! the compiler does not know that (it may compute the address once for a whole function). So every access is in a
//! function of its own that is never inlined.

use core::cell::Cell;
use core::ptr::NonNull;

use crate::facade::{Arc, MODEL};
pub use crate::wait::budget::BUDGET;
use crate::wait::os_thread::ThreadParty;
use crate::wait::party::Party;

/// What an OS thread knows about whom it runs.
pub struct Current {
    /// The green thread that runs on this OS thread now.
    pub(super) green: Cell<Option<NonNull<Party>>>,
    /// How many more operations it may do before it yields.
    pub(super) budget: Cell<u32>,
    /// How many polls in a row have been refused because the budget was spent.
    pub(super) refusals: Cell<u32>,
    /// Gives up the CPU to other green threads.
    pub(super) yield_now: Cell<Option<fn()>>,
}

thread_local! {
    pub(super) static CURRENT: Current =
        const {
            Current {
                green: Cell::new(None),
                budget: Cell::new(BUDGET),
                refusals: Cell::new(0),
                yield_now: Cell::new(None),
            }
        };
}

thread_local! {
    /// Made at the first wait of an OS thread that is no worker.
    static THREAD: Arc<ThreadParty> = ThreadParty::new();
}

impl Current {
    /// Says that `green` runs on this OS thread now, with a fresh budget.
    #[inline]
    pub fn enter(&self, green: NonNull<Party>) {
        self.green.set(Some(green));
        self.budget.set(BUDGET);
    }

    /// Says that no green thread runs on this OS thread now.
    #[inline]
    pub fn leave(&self) {
        self.green.set(None);
    }

    /// How much of the budget the green thread that ran last has left.
    #[inline]
    pub fn budget(&self) -> u32 {
        self.budget.get()
    }

    /// Registers what a spent budget calls on this OS thread.
    pub fn set_yield(&self, yield_now: Option<fn()>) {
        self.yield_now.set(yield_now);
    }
}

/// This OS thread's record, for a worker, which never leaves its OS thread and may keep the address.
///
/// # Safety
///
/// The reference is used on this OS thread alone, and not after the thread's locals are gone.
pub unsafe fn of_this_thread() -> &'static Current {
    // SAFETY: the record has no destructor, so it is valid until the OS thread ends, by the contract longer than used.
    CURRENT.with(|current| unsafe { &*core::ptr::from_ref(current) })
}

/// The green thread that is calling, if it is one.
#[inline(never)]
pub fn green() -> Option<NonNull<Party>> {
    CURRENT.with(|current| current.green.get())
}

/// Whether the green thread that is calling has opened a wait and not closed it.
pub(super) fn has_open_wait() -> bool {
    // SAFETY: the caller's own party.
    green().is_some_and(|party| unsafe { party.as_ref() }.is_open())
}

/// The party of the caller, green thread or OS thread.
pub enum Me {
    /// A green thread, which stays alive as long as it runs.
    Green(NonNull<Party>),
    /// An OS thread.
    Thread(Arc<ThreadParty>),
}

impl Me {
    /// The caller's party.
    #[inline]
    pub fn current() -> Me {
        match green() {
            Some(party) => Me::Green(party),
            None => Me::thread(),
        }
    }

    #[cold]
    fn thread() -> Me {
        // In a model, each wait has a party of its own: the less state, the fewer interleavings. So it has while the
        // thread's locals are being destroyed.
        let known = if MODEL { None } else { THREAD.try_with(Arc::clone).ok() };
        Me::Thread(known.unwrap_or_else(ThreadParty::new))
    }

    /// The party as its wakers see it.
    #[inline]
    pub fn party(&self) -> NonNull<Party> {
        match self {
            Me::Green(party) => *party,
            Me::Thread(thread) => ThreadParty::party(thread),
        }
    }
}
