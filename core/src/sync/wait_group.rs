//! Wait groups.

use core::fmt;

use crate::primitives::{Arc, AtomicUsize, Ordering};
use crate::wait::{Kind, MixedWaitList, Reason, WaitOptions, noting, operation};

/// Waits until all its clones are dropped. Works like `crossbeam_utils::sync::WaitGroup`.
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
    waiters: MixedWaitList<()>,
}

impl WaitGroup {
    /// Creates a group with one member, which is the returned value.
    ///
    /// # Examples
    ///
    /// ```
    /// let alone = kahn::sync::WaitGroup::new();
    /// // There is no other member to wait for.
    /// alone.wait();
    /// ```
    pub fn new() -> WaitGroup {
        WaitGroup { group: Arc::new(Group { members: AtomicUsize::new(1), waiters: MixedWaitList::new(()) }) }
    }

    /// Leaves the group, and waits until all other members have left.
    ///
    /// # Parks
    ///
    /// Parks until all other members have left. If the caller is cancelled or its timeout passes, this unwinds; the
    /// caller has left the group.
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
        if let Err(error) = group.waiters.wait(WaitOptions::new(reason), |()| group.is_empty()) {
            error.raise();
        }
    }

    /// Leaves the group, and waits in async code until all other members have left. The caller leaves when the future is
    /// first polled or dropped.
    ///
    /// # Parks
    ///
    /// Never parks the thread. The task waits.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::sync::WaitGroup;
    ///
    /// let group = WaitGroup::new();
    /// for _ in 0..3 {
    ///     let member = group.clone();
    ///     kahn::task::spawn(async move {
    ///         // … work …
    ///         drop(member);
    ///     });
    /// }
    /// kahn::block_on(group.wait_async());
    /// ```
    pub async fn wait_async(self) {
        let group = self.group.clone();
        drop(self);
        let group = &*group;
        let wait = group.waiters.wait_async(0, (), |(), _, ()| group.is_empty(), |(), _, ()| {});
        noting(Kind::WaitGroup, group, wait).await;
    }
}

impl Group {
    /// Returns something if there is no member.
    fn is_empty(&self) -> Option<()> {
        // Acquire: pairs with the Release of the members that have left, so the caller sees what they did.
        (self.members.load(Ordering::Acquire) == 0).then_some(())
    }
}

impl Clone for WaitGroup {
    fn clone(&self) -> WaitGroup {
        // Relaxed: the caller is a member, so the count is not zero. The thread that receives the clone synchronizes
        // with the caller by the way in which it receives it.
        self.group.members.fetch_add(1, Ordering::Relaxed);
        WaitGroup { group: self.group.clone() }
    }
}

impl Drop for WaitGroup {
    fn drop(&mut self) {
        // AcqRel: the last member to leave passes on, with the wake-up, what all others did.
        if self.group.members.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.group.waiters.update(|(), [waiters]| _ = waiters.claim_all());
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
        // Relaxed: the value is only displayed.
        let members = self.group.members.load(Ordering::Relaxed);
        f.debug_struct("WaitGroup").field("members", &members).finish_non_exhaustive()
    }
}
