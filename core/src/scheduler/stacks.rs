//! How tasks get stacks, and what a worker does when there is no memory for one.

use core::cell::{Cell, RefCell};
use core::ptr::NonNull;

use crate::fiber::Fiber;
use crate::fiber::pool::Pool;
use crate::fiber::stack::SizeClass;
use crate::scheduler::worker::Worker;
use crate::task::{Runnable, Task};
use crate::timer;

/// A worker's free fibers.
pub(super) struct Stacks {
    pool: RefCell<Pool>,
    /// How many stacks in a row could not be allocated.
    refusals: Cell<usize>,
}

impl Stacks {
    pub(super) fn new() -> Stacks {
        Stacks { pool: RefCell::new(Pool::new(super::finish::run_on_fiber)), refusals: Cell::new(0) }
    }

    /// Gives memory of unused stacks back to the system.
    pub(super) fn trim(&self) {
        self.pool.borrow_mut().trim();
    }
}

impl Worker {
    /// Puts a task without a stack on a fiber, and returns the task. Returns `None` if there is no memory for a stack;
    /// then the task waits.
    #[inline]
    pub(super) fn give_stack(&self, task: Runnable) -> Option<Runnable> {
        if task.handed_over.replace(false) {
            self.remote.start_handed_over();
        }
        if self.shared.is_closing() {
            // SAFETY: the runtime's reference keeps the task alive.
            unsafe { Task::cancel(task.pointer()) };
        }
        let class = self.shared.class_of(task.options);
        let mut taken = self.stacks.pool.borrow_mut().take(class);
        if taken.is_err() && class != self.shared.class && task.as_waiter().is_cancelled() {
            // The task does not start. It only drops its captures, which needs no stack of its own size.
            taken = self.stacks.pool.borrow_mut().take(self.shared.class);
        }
        match taken {
            Ok(fiber) => {
                if self.shared.is_short_of_memory() {
                    self.shared.set_short_of(class, false);
                    self.stacks.refusals.set(0);
                }
                // SAFETY: a fiber in the pool is free, and its header is alive.
                unsafe { fiber.as_ref() }.load(task.pointer().cast());
                task.set_fiber(fiber.as_ptr());
                Some(task)
            }
            Err(_) => {
                self.out_of_memory(task, class);
                None
            }
        }
    }

    /// Handles a task for which there is no memory for another stack of its class. The task goes behind all others,
    /// which may be of another class, and is tried again.
    #[cold]
    fn out_of_memory(&self, task: Runnable, class: SizeClass) {
        /// The number of refusals in a row after which the worker naps, however many tasks wait.
        const REFUSALS: usize = 64;
        self.shared.set_short_of(class, true);
        let in_local = task.options.local;
        self.queue_woken(task);
        self.fairness.prefer_stacked();
        let refusals = self.stacks.refusals.get() + 1;
        self.stacks.refusals.set(refusals);
        // As many tasks as there are have been refused, and nothing else can run here. A nap keeps the worker from
        // asking the kernel again and again.
        let others = self.local.has_next()
            || self.carried.get().is_some_and(|home| !home.tasks.is_empty_at_all())
            || self.remote.ready.len() != 0
            || (!in_local && !self.local.is_empty());
        if !others && refusals >= self.remote.stackless.len().clamp(1, REFUSALS) {
            self.stacks.refusals.set(0);
            self.nap();
        }
    }

    /// Sleeps for a millisecond, until there is mail, or until a timer is due.
    fn nap(&self) {
        const NAP_NS: u64 = 1_000_000;
        let now_ns = timer::now_ns();
        self.gather_deadlines(now_ns);
        let until_ns = self.next_timer_ns().unwrap_or(u64::MAX).min(now_ns + NAP_NS);
        // The nap is not announced in the idle bits: this worker has work, and others must not treat it as a sleeper.
        if let Some(until) = timer::to_instant(until_ns)
            && self.remote.inbox.sleep()
        {
            self.remote.reactor.park(Some(until));
        }
        self.remote.inbox.awake();
        self.maintenance.at_once();
    }

    /// Takes back the fiber of a task that has ended or gone idle.
    #[inline]
    pub(super) fn take_stack(&self, fiber: NonNull<Fiber>) {
        if self.shared.is_short_of_memory() {
            // SAFETY: the header of a fiber lives until the fiber is dismantled.
            self.shared.set_short_of(unsafe { fiber.as_ref() }.slot().class(), false);
        }
        self.stacks.pool.borrow_mut().put(fiber);
    }
}
