//! An OS thread as a party: it sleeps on a parker of its own.

use core::ptr::NonNull;
use std::sync::OnceLock;
use std::time::Instant;

use crate::facade::{Arc, AtomicBool, MODEL, Ordering, Parker, Unparker, deadline_passed};
use crate::wait::deadline::Deadline;
use crate::wait::party::{Party, PartyKind};
use crate::wait::reason::Reason;

/// An OS thread that waits.
#[repr(C)]
pub struct ThreadParty {
    party: Party,
    /// Set by `wake`: the claimer has finished with the payload. A claim alone does not say that (rule 2 of `party`),
    /// and the thread may look at any time.
    notified: AtomicBool,
    parker: Parker,
    unparker: Unparker,
}

// SAFETY: `parker` is used by the owner alone; the rest is shared by design.
unsafe impl Send for ThreadParty {}
// SAFETY: as above.
unsafe impl Sync for ThreadParty {}

/// How an OS thread waits that may wait for ever: it is given the reason, and a function that sleeps until a deadline and
/// returns whether the thread has been woken. It returns when the thread has been.
pub type EndlessWait = fn(Option<Reason>, &mut dyn FnMut(Option<Instant>) -> bool);

/// Set once, by the default runtime: without it, an OS thread just sleeps.
static ENDLESS_WAIT: OnceLock<EndlessWait> = OnceLock::new();

/// Sets how OS threads wait that may wait for ever. The first call counts.
pub fn set_endless_wait(wait: EndlessWait) {
    let _ = ENDLESS_WAIT.set(wait);
}

static THREAD_KIND: PartyKind = PartyKind {
    wake: ThreadParty::wake,
    suspend: ThreadParty::suspend,
    retain: Some(ThreadParty::retain),
    is_task: false,
};

impl ThreadParty {
    /// A party for the calling thread.
    pub fn new() -> Arc<ThreadParty> {
        let parker = Parker::new();
        let unparker = parker.unparker();
        let party = Party::new(&THREAD_KIND);
        Arc::new(ThreadParty { party, notified: AtomicBool::new(false), parker, unparker })
    }

    /// The party as its wakers see it.
    pub fn party(this: &Arc<ThreadParty>) -> NonNull<Party> {
        // The pointer is derived from the whole object, of which the party is the first field.
        NonNull::new(Arc::as_ptr(this).cast_mut()).expect("an Arc is never null").cast()
    }

    unsafe fn retain(party: NonNull<Party>) {
        // SAFETY: THREAD_KIND is given to the `party` of a ThreadParty in an Arc alone, and `ThreadParty::party` derives
        // the pointer from the Arc.
        unsafe { Arc::increment_strong_count(party.as_ptr().cast::<ThreadParty>()) };
    }

    unsafe fn wake(party: NonNull<Party>) {
        // SAFETY: balances `retain`.
        let this = unsafe { Arc::from_raw(party.as_ptr().cast::<ThreadParty>()) };
        // Release: the payload written by the claimer is seen by the owner's Acquire.
        this.notified.store(true, Ordering::Release);
        this.unparker.unpark();
    }

    unsafe fn suspend(party: NonNull<Party>, mut deadline: Deadline) {
        // SAFETY: as in `retain`; the owner, who calls this, holds an Arc.
        let this = unsafe { party.cast::<ThreadParty>().as_ref() };
        let mut deadline = deadline.fix();
        // Acquire: pairs with `wake`.
        while !this.notified.load(Ordering::Acquire) {
            match deadline {
                None => match ENDLESS_WAIT.get() {
                    // In a model there is no such thing.
                    Some(wait) if !MODEL => {
                        // SAFETY: the owner calls, inside its wait.
                        let reason = unsafe { this.party.reason() };
                        wait(reason, &mut |until| {
                            match until {
                                Some(until) => this.parker.park_deadline(until),
                                None => this.parker.park(),
                            }
                            // Acquire: as above.
                            this.notified.load(Ordering::Acquire)
                        });
                    }
                    _ => this.parker.park(),
                },
                Some(moment) => {
                    this.parker.park_deadline(moment);
                    if deadline_passed(moment) {
                        if this.party.claim_timeout() {
                            return;
                        }
                        // Claimed by another: its wake-up is on the way.
                        deadline = None;
                    }
                }
            }
        }
        // Relaxed: the owner's own store; the next claimer synchronises through a queue's lock.
        this.notified.store(false, Ordering::Relaxed);
    }
}
