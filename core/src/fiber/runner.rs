//! A runner: a coroutine that is started once and then runs one job after another.
//!
//! ```text
//!   slot   | guard | … unused … | frames of the job │ frame of the runner | Fiber header | top
//!                               ^ stack pointer while parked               ^ the coroutine's base
//! ```
//!
//! The header stands in the slot's first page, which is touched anyway: a parked green thread costs one page, and the
//! heap cell of its job.

use core::cell::{Cell, UnsafeCell};
use core::mem::MaybeUninit;
use core::num::NonZeroUsize;
use core::ptr::NonNull;

use corosensei::stack::{Stack, StackPointer};
use corosensei::{Coroutine, CoroutineResult};

pub(crate) use crate::facade::Suspend;
use crate::facade::Switch;

use crate::fiber::locals::Locals;
use crate::fiber::panic_count;
use crate::fiber::park_check;
use crate::fiber::stack::Slot;
use crate::job::Job;

type Body = Coroutine<(), Suspend, (), Bounds>;

/// The header at the top of a slot. It is reached through raw pointers alone, because the worker that resumes the
/// coroutine and the job that runs in it both use it.
#[repr(C, align(64))]
pub(crate) struct Fiber {
    coroutine: UnsafeCell<MaybeUninit<Body>>,
    yielder: Cell<*const Switch>,
    job: Cell<*mut Job>,
    /// The thread-locals of the job that runs.
    pub(crate) locals: Cell<*mut Locals>,
    /// When the job parked, on the worker's coarse clock, in nanoseconds.
    pub(crate) since_ns: Cell<u64>,
    slot: Slot,
}

/// What corosensei may use of a slot.
pub(super) struct Bounds {
    base: StackPointer,
    limit: StackPointer,
}

impl Bounds {
    /// # Safety
    ///
    /// They are the ends of memory that is a slot's, from above its guard to its top or to below its header, aligned to
    /// 64 or more, and the slot outlives the coroutine.
    pub(super) unsafe fn new(base: StackPointer, limit: StackPointer) -> Bounds {
        Bounds { base, limit }
    }
}

// SAFETY: by the contract of `new`.
unsafe impl Stack for Bounds {
    fn base(&self) -> StackPointer {
        self.base
    }

    fn limit(&self) -> StackPointer {
        self.limit
    }

    #[cfg(windows)]
    fn teb_fields(&self) -> corosensei::stack::StackTebFields {
        unimplemented!("slots are made on unix alone")
    }

    #[cfg(windows)]
    fn update_teb_fields(&mut self, _: usize, _: usize) {}
}

impl Fiber {
    /// Makes a fiber on `slot`.
    ///
    /// # Safety
    ///
    /// The slot is the caller's, and nothing lives on it.
    pub(crate) unsafe fn build(slot: Slot) -> NonNull<Fiber> {
        // SAFETY: a slot is larger than the header, and 64 divides the page size, so the place is in the slot and
        // aligned.
        let fiber = unsafe { slot.top().sub(size_of::<Fiber>()) }.cast::<Fiber>();
        let stack_pointer =
            |p: *mut u8| NonZeroUsize::new(p.expose_provenance()).expect("a slot is not at zero");
        // SAFETY: from above the guard to below the header, and 64 divides the page size. The coroutine is torn down in
        // `dismantle` before the slot is released.
        let bounds = unsafe { Bounds::new(stack_pointer(fiber.cast()), stack_pointer(slot.limit())) };
        // SAFETY: the place is valid for writes, and nobody else has it.
        unsafe {
            fiber.write(Fiber {
                coroutine: UnsafeCell::new(MaybeUninit::uninit()),
                yielder: Cell::new(core::ptr::null()),
                job: Cell::new(core::ptr::null_mut()),
                locals: Cell::new(core::ptr::null_mut()),
                since_ns: Cell::new(0),
                slot,
            });
            let this = NonNull::new_unchecked(fiber);
            let address = fiber.expose_provenance();
            let body = Body::with_stack(bounds, move |yielder, ()| run_jobs(address, yielder));
            (*this.as_ref().coroutine.get()).write(body);
            this
        }
    }

    /// Ends a fiber, and gives its slot back to the caller.
    ///
    /// # Safety
    ///
    /// The fiber is free: it has never been resumed, or it came back with `Free`.
    pub(crate) unsafe fn dismantle(fiber: NonNull<Fiber>) -> Slot {
        // SAFETY: a free runner stands in its loop with nothing on its stack that has a destructor, so the coroutine
        // can be forgotten: `force_reset` makes its drop do nothing.
        unsafe {
            let body = (*fiber.as_ref().coroutine.get()).assume_init_mut();
            if body.started() {
                body.force_reset();
            }
            (*fiber.as_ref().coroutine.get()).assume_init_drop();
            fiber.as_ref().slot
        }
    }

    /// The slot that it stands on.
    pub(crate) fn slot(&self) -> Slot {
        self.slot
    }

    /// The job that runs on it; null while it is free.
    #[inline]
    pub(crate) fn job(&self) -> *mut Job {
        self.job.get()
    }

    /// Gives a free fiber a job, to be run by the next `resume`.
    #[inline]
    pub(crate) fn load(&self, job: NonNull<Job>) {
        self.job.set(job.as_ptr());
    }

    /// Runs the fiber until it suspends.
    ///
    /// # Safety
    ///
    /// The fiber is suspended, has a job, and is the caller's; the caller does not stand on a fiber itself.
    #[inline]
    pub(crate) unsafe fn resume(fiber: NonNull<Fiber>) -> Suspend {
        // SAFETY: the coroutine is initialised, and only the caller resumes it, so the exclusive reference is unique:
        // the body reaches the other fields of the header, not this one.
        match unsafe { (*fiber.as_ref().coroutine.get()).assume_init_mut() }.resume(()) {
            CoroutineResult::Yield(why) => why,
            CoroutineResult::Return(()) => unreachable!("a runner never returns"),
        }
    }

    /// Goes back to the worker until the next `resume`.
    ///
    /// # Safety
    ///
    /// Called on this very fiber.
    #[inline]
    pub(crate) unsafe fn suspend(&self, why: Suspend) {
        if park_check::is_on() {
            // SAFETY: the caller is the job that runs here, inside its wait if it has a reason for one.
            park_check::check(unsafe { (*self.job.get()).as_party().reason() });
        }
        // The count of panics is the OS thread's. Mostly one load of a global.
        if std::thread::panicking() {
            let aside = panic_count::set_aside();
            // SAFETY: as below.
            unsafe { (*self.yielder.get()).suspend(why) };
            return aside.put_back();
        }
        // SAFETY: set by the body before it ran the job that calls this, and valid as long as the body is.
        unsafe { (*self.yielder.get()).suspend(why) };
    }
}

/// The body of every runner.
fn run_jobs(fiber: usize, yielder: &Switch) {
    // SAFETY: the header outlives the coroutine whose body this is.
    let fiber = unsafe { &*core::ptr::with_exposed_provenance::<Fiber>(fiber) };
    fiber.yielder.set(yielder);
    loop {
        let job = NonNull::new(fiber.job.get()).expect("resumed with a job");
        // SAFETY: the worker has taken the job from a queue and put it here, so it is alive and ours.
        let party = unsafe { job.as_ref() }.as_party();
        // Without this short cut, parks come by `suspend`, which checks them.
        party.set_switch(if park_check::is_on() { core::ptr::null() } else { yielder });
        // SAFETY: the worker has taken the job from a queue and put it here.
        let ended = unsafe { Job::run(job) };
        // SAFETY: a stackless job that has not ended is alive until `end_run`, which gives it up.
        let again = !ended && unsafe { crate::scheduler::go_idle(job) };
        if !again {
            fiber.job.set(core::ptr::null_mut());
        }
        yielder.suspend(if again { Suspend::FreeAgain } else { Suspend::Free });
    }
}
