//! Waiting until all are done.

use core::fmt;

use crate::facade::{Arc, AtomicUsize, Ordering};
use crate::sync::gate::{Gate, Look};
use crate::wait::{Kind, Reason, operation};

/// Waits until all its clones are gone. In the shape of `crossbeam_utils::sync::WaitGroup`.
///
/// # Examples
///
/// ```
/// use kahn::sync::WaitGroup;
///
/// let all = WaitGroup::new();
/// for _ in 0..4 {
///     let member = all.clone();
///     std::thread::spawn(move || {
///         // … work …
///         drop(member);
///     });
/// }
/// all.wait();
/// ```
pub struct WaitGroup {
    group: Arc<Group>,
}

#[derive(Debug)]
struct Group {
    members: AtomicUsize,
    gate: Gate<()>,
}

impl WaitGroup {
    /// A group with one member: the caller.
    ///
    /// # Examples
    ///
    /// ```
    /// let alone = kahn::sync::WaitGroup::new();
    /// // Nobody to wait for.
    /// alone.wait();
    /// ```
    pub fn new() -> WaitGroup {
        WaitGroup { group: Arc::new(Group { members: AtomicUsize::new(1), gate: Gate::new(()) }) }
    }

    /// Leaves the group, and waits until everybody else has.
    ///
    /// # Parks
    ///
    /// Until then. Cancelled or timed out, it unwinds, and has left.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::sync::WaitGroup;
    ///
    /// let group = WaitGroup::new();
    /// for _ in 0..3 {
    ///     let member = group.clone();
    ///     kahn::spawn(move || {
    ///         // … work …
    ///         drop(member);
    ///     });
    /// }
    /// group.wait();
    /// ```
    #[track_caller]
    pub fn wait(self) {
        operation();
        let reason = Reason::new(Kind::WaitGroup, &raw const *self.group);
        let group = self.group.clone();
        drop(self);
        let look = |(): &mut ()| {
            // Acquire: pairs with the Release of those who have left: what they did is done.
            if group.members.load(Ordering::Acquire) == 0 { Look::Pass } else { Look::Park }
        };
        let _no_deadline = group.gate.wait(reason, None, look, || {});
    }
}

impl Clone for WaitGroup {
    fn clone(&self) -> WaitGroup {
        // Relaxed: the caller is a member, so it is not zero, and who gets the clone gets it by other means.
        self.group.members.fetch_add(1, Ordering::Relaxed);
        WaitGroup { group: self.group.clone() }
    }
}

impl Drop for WaitGroup {
    fn drop(&mut self) {
        // AcqRel: the last to leave passes on, with the wake-up, what all the others did.
        if self.group.members.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.group.gate.open(|()| {});
        }
    }
}

impl Default for WaitGroup {
    fn default() -> WaitGroup {
        WaitGroup::new()
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Relaxed: for people.
        let members = self.group.members.load(Ordering::Relaxed);
        f.debug_struct("WaitGroup").field("members", &members).finish_non_exhaustive()
    }
}
