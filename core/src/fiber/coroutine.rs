//! A fiber: a coroutine that is started once and then runs one piece of work after another.
//!
//! The scheduler gives a fiber its work as a pointer, and a function that runs it. The fiber knows nothing of tasks.
//!
//! ```text
//!   slot   | guard | … unused … | frames of the work │ frame of `run_loop` | Fiber header | top
//!                               ^ stack pointer while parked               ^ the coroutine's base
//! ```
//!
//! The header is in the slot's first page, which is touched anyway: a parked green thread costs one page, and the heap
//! cell of its task.

use core::cell::{Cell, UnsafeCell};
use core::mem::MaybeUninit;
use core::num::NonZeroUsize;
use core::ptr::NonNull;

use corosensei::stack::{Stack, StackPointer};
use corosensei::{Coroutine, CoroutineResult};

pub(crate) use crate::primitives::{Suspend, Switch};

use crate::fiber::locals::Locals;
use crate::fiber::panic_count;
use crate::fiber::park_check;
use crate::fiber::stack::Slot;
use crate::wait::current;

type Body = Coroutine<(), Suspend, (), Bounds>;

/// A function that runs a piece of work on a fiber. The work may suspend through the switch. Returns `Free` or
/// `FreeAgain` when the fiber is free again.
pub(crate) type Run = unsafe fn(work: NonNull<()>, switch: Switch) -> Suspend;

/// The header at the top of a slot. It is reached only through raw pointers, because the worker that resumes the
/// coroutine and the task that runs in it both use it.
#[repr(C, align(64))]
pub(crate) struct Fiber {
    coroutine: UnsafeCell<MaybeUninit<Body>>,
    /// The switch of its coroutine. Set when the coroutine starts.
    switch: Cell<Switch>,
    /// The work that it runs, or null.
    work: Cell<*mut ()>,
    /// The thread-locals of the green thread that runs.
    pub(crate) locals: Cell<*mut Locals>,
    /// When the green thread parked, on the worker's coarse clock, in nanoseconds.
    pub(crate) since_ns: Cell<u64>,
    slot: Slot,
}

/// The part of a slot that corosensei may use.
pub(super) struct Bounds {
    base: StackPointer,
    limit: StackPointer,
}

impl Bounds {
    /// # Safety
    ///
    /// The two are the ends of memory in a slot, from above its guard to its top or to below its header, aligned to 64
    /// or more. The slot outlives the coroutine.
    pub(super) unsafe fn new(base: StackPointer, limit: StackPointer) -> Bounds {
        Bounds { base, limit }
    }
}

// SAFETY: `new` requires that the memory between the bounds is usable, aligned, and outlives the coroutine.
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
    /// Makes a fiber on `slot`, whose work `run` runs.
    ///
    /// # Safety
    ///
    /// The slot is the caller's, and nothing lives on it.
    pub(crate) unsafe fn build(slot: Slot, run: Run) -> NonNull<Fiber> {
        // SAFETY: a slot is larger than the header, and 64 divides the page size, so the place is in the slot and
        // aligned.
        let fiber = unsafe { slot.top().sub(size_of::<Fiber>()) }.cast::<Fiber>();
        let stack_pointer =
            |p: *mut u8| NonZeroUsize::new(p.expose_provenance()).expect("a slot is not at zero");
        // SAFETY: the bounds are above the guard and below the header, and 64 divides the page size. `dismantle` tears
        // the coroutine down before the slot is released.
        let bounds = unsafe { Bounds::new(stack_pointer(fiber.cast()), stack_pointer(slot.limit())) };
        // SAFETY: the place is valid for writes, and only the caller uses the slot.
        unsafe {
            fiber.write(Fiber {
                coroutine: UnsafeCell::new(MaybeUninit::uninit()),
                switch: Cell::new(Switch::NONE),
                work: Cell::new(core::ptr::null_mut()),
                locals: Cell::new(core::ptr::null_mut()),
                since_ns: Cell::new(0),
                slot,
            });
            let this = NonNull::new_unchecked(fiber);
            let address = fiber.expose_provenance();
            let body =
                Body::with_stack(bounds, move |yielder, ()| run_loop(address, run, Switch::new(yielder)));
            (*this.as_ref().coroutine.get()).write(body);
            this
        }
    }

    /// Ends a fiber, and returns its slot.
    ///
    /// # Safety
    ///
    /// The fiber is free: it has never been resumed, or it came back with `Free` or `FreeAgain`.
    pub(crate) unsafe fn dismantle(fiber: NonNull<Fiber>) -> Slot {
        // SAFETY: a free fiber is suspended in its loop with nothing on its stack that has a destructor. So the
        // coroutine can be forgotten: `force_reset` makes its drop do nothing.
        unsafe {
            let body = (*fiber.as_ref().coroutine.get()).assume_init_mut();
            if body.started() {
                body.force_reset();
            }
            (*fiber.as_ref().coroutine.get()).assume_init_drop();
            fiber.as_ref().slot
        }
    }

    /// Returns the slot that it is on.
    pub(crate) fn slot(&self) -> Slot {
        self.slot
    }

    /// Returns the work that runs on it. Null while it is free.
    #[inline]
    pub(crate) fn work(&self) -> *mut () {
        self.work.get()
    }

    /// Gives a free fiber work, to be run by the next `resume`.
    #[inline]
    pub(crate) fn load(&self, work: NonNull<()>) {
        self.work.set(work.as_ptr());
    }

    /// Runs the fiber until it suspends.
    ///
    /// # Safety
    ///
    /// The fiber is suspended, has work, which this thread may run, and is the caller's. The caller does not run on a
    /// fiber itself.
    #[inline]
    pub(crate) unsafe fn resume(fiber: NonNull<Fiber>) -> Suspend {
        // SAFETY: the coroutine is initialised, and only the caller resumes it. So the exclusive reference is unique:
        // the body uses the other fields of the header, but not this one.
        match unsafe { (*fiber.as_ref().coroutine.get()).assume_init_mut() }.resume(()) {
            CoroutineResult::Yield(why) => why,
            CoroutineResult::Return(()) => unreachable!("a runner never returns"),
        }
    }

    /// Switches to the worker until the next `resume`.
    ///
    /// # Safety
    ///
    /// The caller runs on this fiber.
    #[inline]
    pub(crate) unsafe fn suspend(&self, why: Suspend) {
        if park_check::is_on() {
            // SAFETY: this is the caller's own waiter. If it has a reason, the caller is inside the wait that the
            // reason is for.
            park_check::check(current::green().and_then(|waiter| unsafe { waiter.as_ref().reason() }));
        }
        // The count of panics belongs to the OS thread. The check is mostly one load of a global.
        if std::thread::panicking() {
            let aside = panic_count::suspend_panics();
            // SAFETY: the switch was set before the work began that calls this, on this fiber.
            unsafe { self.switch.get().suspend(why) };
            return aside.put_back();
        }
        // SAFETY: the switch was set before the work began that calls this, on this fiber.
        unsafe { self.switch.get().suspend(why) };
    }
}

/// The body of every fiber's coroutine.
fn run_loop(fiber: usize, run: Run, switch: Switch) {
    // SAFETY: the header outlives the coroutine that runs this function.
    let fiber = unsafe { &*core::ptr::with_exposed_provenance::<Fiber>(fiber) };
    fiber.switch.set(switch);
    // With no switch, parks go through `suspend`, which checks them.
    let parks_by = if park_check::is_on() { Switch::NONE } else { switch };
    loop {
        let work = NonNull::new(fiber.work.get()).expect("resumed with work");
        // SAFETY: the caller of `resume` vouches that the work may be run here.
        let why = unsafe { run(work, parks_by) };
        if why == Suspend::Free {
            fiber.work.set(core::ptr::null_mut());
        }
        // SAFETY: this is the coroutine of the switch.
        unsafe { switch.suspend(why) };
    }
}
