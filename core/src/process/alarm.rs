//! An alarm: a deadline of somebody who has no stack to wait on. When the time has come it calls a function.
//!
//! It takes part in the waiting protocol as a party that is always waiting, and so the wheels need not know of it. Who
//! pops its entry claims it under the wheel's lock, and a claim holds a reference until the function has been called.

use core::cell::Cell;
use core::fmt;
use core::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Instant;

use crate::scheduler;
use crate::scheduler::remote::Remote;
use crate::timer;
use crate::timer::wheel::Entry;
use crate::wait::{Party, PartyKind};

/// Calls a function when its moment has come. One moment at a time.
pub struct Alarm<T: Send + Sync + 'static>(Arc<Shared<T>>);

#[repr(C)]
struct Shared<T> {
    party: Party,
    entry: Entry,
    /// In whose wheel the entry is, or was last. The owner's.
    set_in: Cell<*const Remote>,
    value: T,
    ring: fn(&T),
}

// SAFETY: `party` is made to be shared; `entry` changes under the lock of the wheel that it is in; `set_in` is the
// owner's, who has `&mut Alarm`; `value` is `Send + Sync`.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T: Send + Sync + 'static> Shared<T> {
    const KIND: PartyKind = PartyKind {
        retain: Some(|party| {
            // SAFETY: only the `party` of a `Shared<T>` in an `Arc` has this kind, and pointers to it are derived from
            // the whole (`Alarm::new`). Called under the wheel's lock while the entry was linked, when the owner holds
            // its reference.
            unsafe { Arc::increment_strong_count(party.as_ptr().cast::<Shared<T>>()) }
        }),
        wake: |party| {
            // SAFETY: as above; it balances `retain`.
            let this = unsafe { Arc::from_raw(party.as_ptr().cast::<Shared<T>>()) };
            (this.ring)(&this.value);
        },
        suspend: |_, _| unreachable!("an alarm is nobody who could wait"),
        is_task: false,
    };
}

impl<T: Send + Sync + 'static> Alarm<T> {
    /// An alarm that is not set. `ring` is called with `value`, by a worker, with no lock held; it must not park.
    pub fn new(value: T, ring: fn(&T)) -> Alarm<T> {
        Alarm(Arc::new_cyclic(|this: &std::sync::Weak<Shared<T>>| Shared {
            party: Party::new(const { &Shared::<T>::KIND }),
            entry: Entry::new(this.as_ptr().cast()),
            set_in: Cell::new(ptr::null()),
            value,
            ring,
        }))
    }

    /// Sets it to `deadline`, and to no other moment. It may still ring for an earlier one, if that was just coming.
    ///
    /// Answers whether it is: not on an OS thread that is no worker, nor while the runtime ends.
    #[must_use]
    pub fn set(&mut self, deadline: Instant) -> bool {
        self.unset();
        let Some(remote) = scheduler::remote_here() else { return false };
        self.0.party.prepare(true);
        let mut wheel = remote.wheel.lock();
        let Some(wheel) = wheel.as_mut() else { return false };
        self.0.set_in.set(remote);
        // The caller runs on this worker, which looks at its wheel before it sleeps.
        // SAFETY: the entry is in no wheel, and stays where it is until `unset`, at the latest in `drop`.
        let _ = unsafe { wheel.insert(NonNull::from(&self.0.entry), timer::to_ns(deadline)) };
        true
    }

    /// What it calls its function with.
    pub fn value(&self) -> &T {
        &self.0.value
    }

    /// Takes it back. It may still ring, if that was just coming.
    pub fn unset(&mut self) {
        // SAFETY: records of workers are never freed.
        let Some(remote) = (unsafe { self.0.set_in.get().as_ref() }) else { return };
        if let Some(wheel) = remote.wheel.lock().as_mut()
            && self.0.entry.is_linked()
        {
            // SAFETY: linked in this wheel.
            unsafe { wheel.remove(NonNull::from(&self.0.entry)) };
        }
        self.0.set_in.set(ptr::null());
    }
}

impl<T: Send + Sync + 'static> Drop for Alarm<T> {
    fn drop(&mut self) {
        self.unset();
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for Alarm<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarm").field("set", &!self.0.set_in.get().is_null()).finish()
    }
}
