//! The calling thread: the only thread-local of the waiting protocol.
//!
//! A green thread that may move to another OS thread at a park must not keep the address of a thread-local across the
//! park. The compiler does not know this, and may compute the address once for a whole function. So every access is
//! in a function of its own that is never inlined.

use core::cell::Cell;
use core::ptr::NonNull;
use core::task::Waker;

use crate::primitives::{self, Arc};
pub use crate::wait::budget::BUDGET;
use crate::wait::os_thread::ThreadWaiter;
use crate::wait::reason::Kind;
use crate::wait::run_shielded_catching;
use crate::wait::waiter::Waiter;

/// What an OS thread records about the green thread that it runs.
pub struct Current {
    /// The green thread that runs on this OS thread now.
    pub(super) green: Cell<Option<NonNull<Waiter>>>,
    /// The green thread that waits for the blocking task that this OS thread runs.
    caller: Cell<Option<NonNull<Waiter>>>,
    /// The number of operations that the green thread may still do before it yields.
    pub(super) budget: Cell<u32>,
    /// The number of polls in a row that were refused because the budget was spent.
    pub(super) refusals: Cell<u32>,
    /// Yields the CPU to other green threads.
    pub(super) yield_now: Cell<Option<fn()>>,
    /// Calls a waker for a worker that is between two turns.
    wake_outside: Cell<Option<fn(Waker)>>,
    /// The waiter of this OS thread while its `THREAD` is destroyed, if it is in use. Valid while `late_users > 0`.
    late: Cell<Option<NonNull<ThreadWaiter>>>,
    /// The number of `Late` values of this OS thread.
    late_users: Cell<usize>,
    /// What the stackless task that was polled last waits for.
    pending: Cell<Pending>,
    /// The scheduler's worker that runs on this OS thread, or that carries its identity. Null if there is none.
    worker: Cell<*const ()>,
    /// Whether one green thread alone runs under this identity.
    exclusive: Cell<bool>,
}

/// What a future has found that it waits for, in a poll of the stackless task `task`.
#[derive(Clone, Copy)]
struct Pending {
    task: Option<NonNull<Waiter>>,
    kind: Kind,
    resource: usize,
}

impl Pending {
    const NONE: Pending = Pending { task: None, kind: Kind::Future, resource: 0 };
}

// In a model, the green threads share an OS thread, and each has a record of its own.
primitives::thread_local! {
    pub(super) static CURRENT: Current =
        const {
            Current {
                green: Cell::new(None),
                caller: Cell::new(None),
                budget: Cell::new(BUDGET),
                refusals: Cell::new(0),
                yield_now: Cell::new(None),
                wake_outside: Cell::new(None),
                late: Cell::new(None),
                late_users: Cell::new(0),
                pending: Cell::new(Pending::NONE),
                worker: Cell::new(core::ptr::null()),
                exclusive: Cell::new(false),
            }
        };
}

// The threads of a model share an OS thread, and each has a waiter of its own.
primitives::thread_local! {
    /// Created at the first wait of an OS thread that is not a worker.
    static THREAD: Arc<ThreadWaiter> = ThreadWaiter::new();
}

impl Current {
    /// Sets the green thread that runs on this OS thread now, and gives it a full budget.
    #[inline]
    pub fn enter(&self, green: NonNull<Waiter>) {
        self.green.set(Some(green));
        self.budget.set(BUDGET);
    }

    /// Records that no green thread runs on this OS thread now.
    #[inline]
    pub fn leave(&self) {
        self.green.set(None);
    }

    /// Returns what is left of the budget of the green thread that ran last.
    #[inline]
    pub fn budget(&self) -> u32 {
        self.budget.get()
    }

    /// Gives the green thread that runs next what another record has left of its budget.
    #[inline]
    pub fn set_budget(&self, budget: u32) {
        self.budget.set(budget);
    }

    /// Sets the worker that runs on this OS thread, or that carries its identity. It is only kept here.
    #[inline]
    pub fn set_worker(&self, worker: *const ()) {
        self.worker.set(worker);
    }

    /// Sets whether one green thread alone runs under this identity.
    pub fn set_exclusive(&self, exclusive: bool) {
        self.exclusive.set(exclusive);
    }

    /// Records that no worker will run on this OS thread any more.
    pub fn forget_worker(&self) {
        self.worker.set(core::ptr::null());
        self.yield_now.set(None);
        self.wake_outside.set(None);
    }

    /// Sets the function that calls a waker on this OS thread while no green thread runs on it.
    pub fn set_wake_outside(&self, wake_outside: Option<fn(Waker)>) {
        self.wake_outside.set(wake_outside);
    }

    /// Sets the function that is called on this OS thread when the budget is spent.
    pub fn set_yield(&self, yield_now: Option<fn()>) {
        self.yield_now.set(yield_now);
    }
}

/// Calls the waker of a task of any executor. It is user code, which may park and may panic. The operation that wakes the
/// task has had its effect, so nothing may unwind from here: not a panic of the waker, and not a cancel or a timeout of the
/// caller. A worker that is between two turns (it has found that a deadline has passed, for example) has no stack on which
/// user code may park. It hands the waker over.
#[inline(never)]
pub(super) fn call_waker(waker: Waker) {
    let wake_outside = CURRENT.with(|current| match current.green.get() {
        Some(_) => None,
        None => current.wake_outside.get(),
    });
    match wake_outside {
        Some(wake_outside) => wake_outside(waker),
        None => run_shielded_catching(|| waker.wake()),
    }
}

/// Returns this OS thread's record. A worker calls it: a worker never leaves its OS thread, and may keep the address.
///
/// # Safety
///
/// The reference is used only on this OS thread, and not after the thread's locals are destroyed.
pub unsafe fn of_this_thread() -> &'static Current {
    // SAFETY: the record has no destructor, so it is valid until the OS thread ends. The caller does not use it for
    // longer.
    CURRENT.with(|current| unsafe { &*core::ptr::from_ref(current) })
}

/// Returns the worker that the caller runs on, or null.
#[inline(never)]
pub fn worker() -> *const () {
    CURRENT.with(|current| current.worker.get())
}

/// Returns whether the caller alone runs under its identity, of all green threads.
#[inline(never)]
pub fn is_exclusive() -> bool {
    CURRENT.with(|current| current.exclusive.get())
}

/// Returns the waiter of the calling green thread, or `None` if the caller is not a green thread.
#[inline(never)]
pub fn green() -> Option<NonNull<Waiter>> {
    CURRENT.with(|current| current.green.get())
}

/// Returns the waiter of the green thread for which the caller acts: the calling one, or the one that waits for the
/// blocking task in which the caller is. It stays in place as long as the caller runs.
#[inline(never)]
pub fn green_or_caller() -> Option<NonNull<Waiter>> {
    CURRENT.with(|current| current.green.get().or(current.caller.get()))
}

/// Begins a poll of the calling stackless task: forgets what an earlier poll has noted.
#[inline(never)]
pub fn begin_poll() {
    CURRENT.with(|current| current.pending.set(Pending::NONE));
}

/// Notes what a future waits for, as its poll returns `Pending`. The report of a deadlock shows what the last future of
/// a stackless task's poll has noted. On other threads this has no effect.
#[inline(never)]
pub fn note_pending<T: ?Sized>(kind: Kind, resource: *const T) {
    let resource = resource.cast::<()>().addr();
    CURRENT.with(|current| current.pending.set(Pending { task: current.green.get(), kind, resource }));
}

/// Returns what was noted in this poll of the calling stackless task. If nothing was, or if the poll has parked and
/// another task was polled on this OS thread in the meantime, returns that the task waits for a future.
#[inline(never)]
pub fn noted_pending() -> (Kind, usize) {
    CURRENT.with(|current| {
        let noted = current.pending.get();
        let is_own = noted.task.is_some() && noted.task == current.green.get();
        let Pending { kind, resource, .. } = if is_own { noted } else { Pending::NONE };
        (kind, resource)
    })
}

/// Runs `f`, a blocking task of the green thread `caller`, on this OS thread.
///
/// # Safety
///
/// `caller` waits until `f` has returned or unwound, and stays in place until then.
pub unsafe fn on_behalf_of<R>(caller: Option<NonNull<Waiter>>, f: impl FnOnce() -> R) -> R {
    struct Restore(Option<NonNull<Waiter>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.with(|current| current.caller.set(self.0));
        }
    }
    let _restore = Restore(CURRENT.with(|current| current.caller.replace(caller)));
    f()
}

/// Returns whether the caller is a green thread with an open wait.
pub(super) fn has_open_wait() -> bool {
    // SAFETY: this is the caller's own waiter, which lives as long as the caller runs.
    green().is_some_and(|waiter| unsafe { waiter.as_ref() }.is_open())
}

/// The waiter of the caller, which is a green thread or an OS thread.
pub enum CurrentWaiter {
    /// A green thread's waiter, which lives as long as the green thread runs.
    Green(NonNull<Waiter>),
    /// An OS thread's waiter.
    Thread(Arc<ThreadWaiter>),
    /// The waiter of an OS thread whose locals are being destroyed.
    Late(Late),
}

/// A use of the waiter that an OS thread has while its locals are being destroyed. All uses at one time share one
/// waiter, so that a `timeout` frame and a shield are seen by the waits inside them. The waiter is dropped with its
/// last use, because no destructor of the OS thread comes later.
pub struct Late(Arc<ThreadWaiter>);

impl Late {
    #[inline(never)]
    fn enter() -> Late {
        CURRENT.with(|current| {
            let waiter = match current.late.get() {
                Some(waiter) => {
                    // SAFETY: the pointer is from an `Arc`. It is set only while a `Late` of this OS thread exists,
                    // which holds a reference.
                    unsafe {
                        Arc::increment_strong_count(waiter.as_ptr().cast_const());
                        Arc::from_raw(waiter.as_ptr().cast_const())
                    }
                }
                None => {
                    let waiter = ThreadWaiter::new();
                    current.late.set(NonNull::new(Arc::as_ptr(&waiter).cast_mut()));
                    waiter
                }
            };
            current.late_users.set(current.late_users.get() + 1);
            Late(waiter)
        })
    }
}

impl Drop for Late {
    #[inline(never)]
    fn drop(&mut self) {
        CURRENT.with(|current| {
            let users = current.late_users.get() - 1;
            current.late_users.set(users);
            if users == 0 {
                current.late.set(None);
            }
        });
    }
}

impl CurrentWaiter {
    /// Returns the caller's waiter.
    #[inline]
    pub fn current() -> CurrentWaiter {
        match green() {
            Some(waiter) => CurrentWaiter::Green(waiter),
            None => CurrentWaiter::thread(),
        }
    }

    #[cold]
    fn thread() -> CurrentWaiter {
        THREAD.try_with(Arc::clone).map_or_else(|_| CurrentWaiter::Late(Late::enter()), CurrentWaiter::Thread)
    }

    /// Returns the waiter as its wakers see it.
    #[inline]
    pub fn waiter(&self) -> NonNull<Waiter> {
        match self {
            CurrentWaiter::Green(waiter) => *waiter,
            CurrentWaiter::Thread(thread) | CurrentWaiter::Late(Late(thread)) => ThreadWaiter::waiter(thread),
        }
    }
}
