//! A timer of a process (`ProcessTimer`). A process has no stack to wait on between its turns, so a worker calls a
//! function at the deadline.
//!
//! A timer takes part in the waiting protocol as a waiter that is always waiting, so the wheels need no
//! special case. The worker that pops its entry claims it under the wheel's lock, and a claim holds a reference until
//! the function has been called.
//!
//! # Which wheel
//!
//! The entry is linked in the wheel of the worker that the process last ran on (`Task::home`), whichever thread sets
//! the timer. An actor that calls `blocking`, and there `run`s another runtime, is meanwhile on a foreign OS thread or
//! on a foreign worker. So a timer's wheel belongs to the process's own runtime. That runtime does not end before the
//! process has, unless it gives up on the process, and then its records are leaked.
//!
//! 1. `set_in` is the record whose wheel the entry is linked in, if it is linked. `set` unlinks the entry before it
//!    links it in another wheel.
//! 2. Records of workers are never freed, so `set_in` may be followed at any time.
//! 3. The entry is linked and unlinked only under the lock of the wheel of `set_in`. A record whose runtime has ended
//!    unlinks every entry of its wheel, under that lock, before the next runtime gets the record
//!    (`Remote::give_back`). So an entry that is linked is linked in the wheel that the record has now.

use core::cell::Cell;
use core::fmt;
use core::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Instant;

use crate::process::Process;
use crate::scheduler;
use crate::scheduler::remote::Remote;
use crate::timer;
use crate::timer::wheel::Entry;
use crate::wait::{Waiter, WaiterVtable};

/// Calls a function with its process at a deadline. It holds at most one deadline.
pub struct ProcessTimer<H: Send + Sync + 'static>(Arc<Shared<H>>);

#[repr(C)]
struct Shared<H> {
    waiter: Waiter,
    entry: Entry,
    /// Rule 1 above. Accessed by the owner alone.
    set_in: Cell<*const Remote>,
    process: Process<H>,
    ring: fn(&Process<H>),
}

// SAFETY: `waiter` is `Sync`. `entry` changes only under the lock of the wheel that it is in. `set_in` is accessed only
// by the owner, through `&mut ProcessTimer`. A `Process<H>` is `Send` and `Sync` if `H` is.
unsafe impl<H: Send + Sync> Send for Shared<H> {}
// SAFETY: as for `Send`, each field is `Sync`, changes under a lock, or is accessed only through `&mut ProcessTimer`.
unsafe impl<H: Send + Sync> Sync for Shared<H> {}

impl<H: Send + Sync + 'static> Shared<H> {
    const KIND: WaiterVtable = WaiterVtable {
        retain: Some(|waiter| {
            // SAFETY: only the `waiter` of a `Shared<H>` in an `Arc` has this kind, and pointers to it are derived
            // from the whole (`ProcessTimer::new`). This is called under the wheel's lock while the entry is linked,
            // so the owner still holds its reference.
            unsafe { Arc::increment_strong_count(waiter.as_ptr().cast::<Shared<H>>()) }
        }),
        wake: |waiter| {
            // SAFETY: the pointer is one that `retain` has counted, and this takes over that count.
            let this = unsafe { Arc::from_raw(waiter.as_ptr().cast::<Shared<H>>()) };
            (this.ring)(&this.process);
        },
        wake_last: None,
        suspend: |_, _| unreachable!("a timer never waits itself"),
        is_task: false,
    };
}

impl<H: Send + Sync + 'static> ProcessTimer<H> {
    /// Makes a timer of `process` that is not set. A worker calls `ring` with no lock held. `ring` must not park.
    pub fn new(process: Process<H>, ring: fn(&Process<H>)) -> ProcessTimer<H> {
        ProcessTimer(Arc::new_cyclic(|this: &std::sync::Weak<Shared<H>>| Shared {
            waiter: Waiter::new(const { &Shared::<H>::KIND }),
            entry: Entry::new(this.as_ptr().cast()),
            set_in: Cell::new(ptr::null()),
            process,
            ring,
        }))
    }

    /// Sets the deadline, and replaces an earlier one. The timer may still fire for the earlier one, if that was about
    /// to happen. Called in the process's turn, by any thread.
    pub fn set(&mut self, deadline: Instant) {
        self.unset();
        // A process that has taken no turn has no home, and sets no timer.
        // SAFETY: the process is alive, and records of workers are never freed.
        let Some(remote) = (unsafe { self.0.process.task().as_ref().worker().as_ref() }) else { return };
        self.0.waiter.prepare(true);
        let is_first = {
            let mut wheel = remote.wheel.lock();
            let Some(wheel) = wheel.as_mut() else { return };
            self.0.set_in.set(remote);
            // SAFETY: `unset` has unlinked the entry. It stays at its address until `unset`, which `drop` calls at the
            // latest, or until the record's runtime has ended and unlinked it.
            unsafe { wheel.insert(NonNull::from(&self.0.entry), timer::to_ns(deadline)) }
        };
        // A worker looks at its wheel before it sleeps, so it needs no wake-up for a timer that it sets itself. A
        // sleeping worker has read its first deadline under the wheel's lock: before this insertion, or with it.
        if is_first && scheduler::remote_here().is_none_or(|here| !ptr::eq(here, remote)) {
            remote.unpark();
        }
    }

    /// Clears the deadline. The timer may still fire, if that was about to happen.
    pub fn unset(&mut self) {
        // SAFETY: records of workers are never freed.
        let Some(remote) = (unsafe { self.0.set_in.get().as_ref() }) else { return };
        if let Some(wheel) = remote.wheel.lock().as_mut()
            && self.0.entry.is_linked()
        {
            // SAFETY: the entry is linked, and so in the wheel that this record has now (rule 3), whose lock is held.
            unsafe { wheel.remove(NonNull::from(&self.0.entry)) };
        }
        self.0.set_in.set(ptr::null());
    }
}

impl<H: Send + Sync + 'static> Drop for ProcessTimer<H> {
    fn drop(&mut self) {
        self.unset();
    }
}

impl<H: Send + Sync + 'static> fmt::Debug for ProcessTimer<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessTimer").field("set", &!self.0.set_in.get().is_null()).finish()
    }
}
