//! The waiter of an OS thread, which sleeps on a parker of its own.

use core::ptr::NonNull;
use std::sync::OnceLock;
use std::time::Instant;

use crate::primitives::{Arc, AtomicBool, MODEL, Ordering, Parker, Unparker, deadline_passed};
use crate::wait::deadline::Deadline;
use crate::wait::reason::Reason;
use crate::wait::waiter::{Waiter, WaiterVtable};

/// The waiter of an OS thread.
#[repr(C)]
pub struct ThreadWaiter {
    waiter: Waiter,
    /// Set by `wake`, when the claimer has finished with the payload. A claim alone does not imply that (rule 2 of
    /// `waiter`), and the thread may look at any time.
    notified: AtomicBool,
    parker: Parker,
    unparker: Unparker,
}

// SAFETY: only the owner uses `parker`. The waiter, `notified` and `unparker` are made to be shared between threads.
unsafe impl Send for ThreadWaiter {}
// SAFETY: only the owner uses `parker`. The waiter, `notified` and `unparker` are made to be shared between threads.
unsafe impl Sync for ThreadWaiter {}

/// How an OS thread waits if the wait has no deadline. It receives the reason, and a function that sleeps until a
/// deadline and returns whether the thread has been woken. It returns when the thread has been woken.
pub type EndlessWait = fn(Option<Reason>, &mut dyn FnMut(Option<Instant>) -> bool);

/// Set once, by the default runtime. If it is not set, an OS thread just sleeps.
static ENDLESS_WAIT: OnceLock<EndlessWait> = OnceLock::new();

/// Sets how OS threads wait if the wait has no deadline. Only the first call has an effect.
pub fn set_endless_wait(wait: EndlessWait) {
    let _ = ENDLESS_WAIT.set(wait);
}

static THREAD_KIND: WaiterVtable = WaiterVtable {
    wake: ThreadWaiter::wake,
    wake_last: None,
    suspend: ThreadWaiter::suspend,
    retain: Some(ThreadWaiter::retain),
    is_task: false,
};

impl ThreadWaiter {
    /// Creates a waiter for the calling thread.
    pub fn new() -> Arc<ThreadWaiter> {
        let parker = Parker::new();
        let unparker = parker.unparker();
        let waiter = Waiter::new(&THREAD_KIND);
        Arc::new(ThreadWaiter { waiter, notified: AtomicBool::new(false), parker, unparker })
    }

    /// Returns the waiter as its wakers see it.
    pub fn waiter(this: &Arc<ThreadWaiter>) -> NonNull<Waiter> {
        // The pointer is derived from the whole object, whose first field is the `waiter`.
        NonNull::new(Arc::as_ptr(this).cast_mut()).expect("an Arc is never null").cast()
    }

    unsafe fn retain(waiter: NonNull<Waiter>) {
        // SAFETY: only the `waiter` of a ThreadWaiter in an Arc has THREAD_KIND, and `ThreadWaiter::waiter` derives the
        // pointer from the Arc.
        unsafe { Arc::increment_strong_count(waiter.as_ptr().cast::<ThreadWaiter>()) };
    }

    unsafe fn wake(waiter: NonNull<Waiter>) {
        // SAFETY: this takes over the reference that `retain` has added.
        let this = unsafe { Arc::from_raw(waiter.as_ptr().cast::<ThreadWaiter>()) };
        // Release: the owner's Acquire load sees the payload that the claimer has written.
        this.notified.store(true, Ordering::Release);
        this.unparker.unpark();
    }

    unsafe fn suspend(waiter: NonNull<Waiter>, mut deadline: Deadline) {
        // SAFETY: only the `waiter` of a ThreadWaiter has THREAD_KIND. The owner makes this call and holds an Arc.
        let this = unsafe { waiter.cast::<ThreadWaiter>().as_ref() };
        let mut deadline = deadline.fix();
        // Acquire: pairs with the Release in `wake`.
        while !this.notified.load(Ordering::Acquire) {
            match deadline {
                None => match ENDLESS_WAIT.get() {
                    // A model has no default runtime that could examine endless waits.
                    Some(wait) if !MODEL => {
                        // SAFETY: the owner makes this call inside its wait, so it does not run on and the reason
                        // stays.
                        let reason = unsafe { this.waiter.reason() };
                        wait(reason, &mut |until| {
                            match until {
                                Some(until) => this.parker.park_deadline(until),
                                None => this.parker.park(),
                            }
                            // Acquire: pairs with the Release in `wake`.
                            this.notified.load(Ordering::Acquire)
                        });
                    }
                    _ => this.parker.park(),
                },
                Some(moment) => {
                    this.parker.park_deadline(moment);
                    if deadline_passed(moment) {
                        if this.waiter.claim_timeout() {
                            return;
                        }
                        // A waker was faster, and its wake-up is on the way.
                        deadline = None;
                    }
                }
            }
        }
        // Relaxed: this is the owner's own store. The next claimer synchronizes with the owner through a queue's
        // lock.
        this.notified.store(false, Ordering::Relaxed);
    }
}
