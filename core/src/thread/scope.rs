//! Scoped green threads: children that borrow their parent's locals, like `std::thread::scope`.
//!
//! This is sound because `scope` does not return or unwind before every child has ended and its value has been
//! dropped or is owned by its handle. A parent that is cancelled, or whose body panics, cancels the children, and
//! still waits for them.

use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll, ready};
use std::panic::{AssertUnwindSafe, RefUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use crate::handle::Thread;
use crate::handle::{JoinError, JoinHandle};
use crate::primitives::Lock;
use crate::scheduler;
use crate::task::{Output, Task};
use crate::thread::builder::{Builder, begin, spawn_local_unchecked};
use crate::wait::{
    self, Kind, Reason, WaitError, WaitList, WaitOptions, is_internal_unwind, operation,
    reject_stray_unwind_at_end, run_catching, shield,
};

/// A scope in which green threads can be spawned; see [`scope`].
///
/// # Examples
///
/// ```
/// use kahn::thread::Scope;
///
/// /// Adds up on two green threads.
/// fn sum<'scope>(s: &'scope Scope<'scope, '_>, numbers: &'scope [u64]) -> u64 {
///     let (left, right) = numbers.split_at(numbers.len() / 2);
///     let left = s.spawn(|| left.iter().sum::<u64>());
///     right.iter().sum::<u64>() + left.join().unwrap()
/// }
/// let numbers: Vec<u64> = (1..=100).collect();
/// assert_eq!(kahn::scope(|s| sum(s, &numbers)), 5050);
/// ```
pub struct Scope<'scope, 'env: 'scope> {
    data: Arc<Children>,
    /// Invariant over both lifetimes, like std's.
    _scope: PhantomData<&'scope mut &'scope ()>,
    _env: PhantomData<&'env mut &'env ()>,
}

// The same as for std's `Scope`: no user code runs while the lists are changed.
impl RefUnwindSafe for Scope<'_, '_> {}

/// The children. The waiter is the thread that has called [`scope`].
#[derive(Default)]
struct Children(WaitList<State>);

#[derive(Default)]
struct State {
    running: usize,
    /// Set when a child panicked and its handle was not joined.
    panicked: bool,
    cancelled: bool,
    tasks: Tasks,
}

/// The tasks of the children. Each pointer holds a reference. Some of the tasks may have ended.
#[derive(Default)]
struct Tasks {
    tasks: Vec<NonNull<Task>>,
    prune_at: usize,
}

// SAFETY: each pointer holds a reference to a task, whose header is made to be shared.
unsafe impl Send for Tasks {}

impl Tasks {
    /// Adds a task. Every so often, removes the tasks that have ended and returns them.
    fn add(&mut self, task: NonNull<Task>) -> Vec<NonNull<Task>> {
        const FIRST: usize = 64;
        self.tasks.push(task);
        if self.tasks.len() <= self.prune_at.max(FIRST) {
            return Vec::new();
        }
        // SAFETY: each pointer holds a reference.
        let is_done = |task: &mut NonNull<Task>| unsafe { task.as_ref() }.state.is_done();
        let ended = self.tasks.extract_if(.., is_done).collect();
        self.prune_at = 2 * self.tasks.len();
        ended
    }
}

fn release_all(tasks: Vec<NonNull<Task>>) {
    for task in tasks {
        // SAFETY: each pointer held a reference, which is released here.
        unsafe { Task::release(task) };
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        release_all(core::mem::take(&mut self.tasks));
    }
}

/// The value of a child. The child holds it until it has ended, and its handle holds it too. The last of them drops
/// it.
struct Packet<T> {
    result: Lock<Option<Output<T>>>,
    scope: Arc<Children>,
}

impl<T> Drop for Packet<T> {
    fn drop(&mut self) {
        // The scope reports a panic if no handle has received it.
        if let Some(Err(payload)) = self.result.get_mut()
            && !is_internal_unwind(&**payload)
        {
            self.scope.set_panicked();
        }
    }
}

/// Reports that a child has ended, when its closure is completely gone.
struct Ended(Arc<Children>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.0.update(|state, [waiter]| {
            state.running -= 1;
            if state.running == 0 {
                waiter.claim_next();
            }
        });
    }
}

/// The closure of a child. Its fields are dropped in this order, whether it has run or not. So nothing of the
/// caller's is left when the scope is notified.
struct Child<F, T> {
    work: Option<F>,
    packet: Option<Arc<Packet<T>>>,
    ended: Ended,
}

impl<F: FnOnce() -> T, T> Child<F, T> {
    fn run(mut self) {
        let work = self.work.take().expect("run once");
        let result = catch_unwind(AssertUnwindSafe(work))
            .map_err(|payload| reject_stray_unwind_at_end(payload, wait::is_cancelled()));
        let packet = self.packet.take().expect("run once");
        *packet.result.lock() = Some(result);
        // If the handle is gone, the value is dropped here, and its destructor may panic.
        if run_catching(|| drop(packet)) {
            self.ended.0.set_panicked();
        }
    }
}

/// Calls `f` with a scope, in which green threads can be spawned that borrow from the caller. Waits for all of them.
///
/// # Parks
///
/// Parks until every child has ended. If the caller is cancelled in the meantime, or `f` panics, the children are
/// cancelled, and this still waits for them.
///
/// # Panics
///
/// Panics if `f` panics, or if a child panicked that was not joined.
///
/// # Examples
///
/// ```
/// kahn::run(|| {
///     let mut counts = [0, 0];
///     let (left, right) = counts.split_at_mut(1);
///     kahn::scope(|s| {
///         s.spawn(|| left[0] = 1);
///         s.spawn(|| right[0] = 2);
///     });
///     assert_eq!(counts, [1, 2]);
/// });
/// ```
///
/// A borrow cannot escape:
///
/// ```compile_fail
/// let handle = kahn::scope(|s| {
///     let local = 1;
///     s.spawn(|| &local)
/// });
/// ```
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    operation();
    let scope = Scope { data: Arc::default(), _scope: PhantomData, _env: PhantomData };
    let result = catch_unwind(AssertUnwindSafe(|| f(&scope)));
    let reason = Reason::new(Kind::Scope, Arc::as_ptr(&scope.data));
    if result.is_err() {
        scope.data.cancel();
    }
    let error = scope.data.wait(reason);
    if error.is_some() {
        scope.data.cancel();
        shield(|| while scope.data.wait(reason).is_some() {});
    }
    match (result, error) {
        (Err(payload), _) => resume_unwind(payload),
        (Ok(_), Some(error)) => {
            let _ = error.raise();
            unreachable!("waiting for a scope has no deadline of its own")
        }
        (Ok(value), None) => {
            assert!(!scope.data.has_panicked(), "a scoped green thread panicked");
            value
        }
    }
}

impl Children {
    /// Waits until no child runs. Returns the reason if a cancel or a timeout ended the wait.
    fn wait(&self, reason: Reason) -> Option<WaitError> {
        self.0.wait(WaitOptions::new(reason), |state| (state.running == 0).then_some(())).err()
    }

    /// Counts a child that is about to be spawned.
    fn count_one(&self) {
        self.0.update(|state, _| state.running += 1);
    }

    /// Adds the task of a child. Returns whether the children have been cancelled.
    fn add(&self, task: NonNull<Task>) -> bool {
        let (ended, cancelled) = self.0.update(|state, _| (state.tasks.add(task), state.cancelled));
        release_all(ended);
        cancelled
    }

    /// Cancels the children, including those that are spawned later.
    fn cancel(&self) {
        let tasks = self.0.update(|state, _| {
            state.cancelled = true;
            core::mem::take(&mut state.tasks.tasks)
        });
        for &task in &tasks {
            // SAFETY: each pointer holds a reference.
            unsafe { scheduler::cancel(task) };
        }
        release_all(tasks);
    }

    fn set_panicked(&self) {
        self.0.update(|state, _| state.panicked = true);
    }

    fn has_panicked(&self) -> bool {
        self.0.update(|state, _| state.panicked)
    }

    fn running(&self) -> usize {
        self.0.update(|state, _| state.running)
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Spawns a green thread in the scope.
    ///
    /// # Parks
    ///
    /// Never waits, but yields to other green threads every so often, as [`spawn`](crate::thread::spawn()) does.
    ///
    /// # Panics
    ///
    /// Panics in the same cases as [`spawn`](crate::thread::spawn()).
    ///
    /// # Examples
    ///
    /// ```
    /// let mut counts = [0; 3];
    /// kahn::scope(|s| {
    ///     for (count, word) in counts.iter_mut().zip(["a", "bcd", "ef"]) {
    ///         s.spawn(move || *count = word.len());
    ///     }
    /// });
    /// assert_eq!(counts, [1, 3, 2]);
    /// ```
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.spawn_with(Builder::new(), f).expect("failed to spawn a green thread")
    }

    /// Spawns a green thread in the scope, with settings.
    ///
    /// # Parks
    ///
    /// Never waits, but yields to other green threads every so often, as [`spawn`](Self::spawn) does.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Builder::spawn`].
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::thread::Builder;
    ///
    /// let text = String::from("borrowed");
    /// kahn::scope(|s| {
    ///     let handle = s.spawn_with(Builder::new().name("reader".into()), || text.len())?;
    ///     assert_eq!(handle.join().unwrap(), 8);
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn spawn_with<F, T>(
        &'scope self,
        builder: Builder,
        f: F,
    ) -> std::io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        begin();
        let prepared = builder.prepare()?;
        // SAFETY: `F` and `T` are `Send`. `scope` waits for the drop of `Ended`. By then nothing of `F` and `T` is
        // left but the value that the handle owns, and the handle cannot outlive `'scope`.
        Ok(self.adopt(f, |child| unsafe { prepared.start(child) }))
    }

    /// Spawns a green thread in the scope that stays on the caller's worker. Its closure need not be `Send`.
    ///
    /// # Parks
    ///
    /// Never waits, but yields to other green threads every so often, as [`spawn`](Self::spawn) does.
    ///
    /// # Panics
    ///
    /// Panics if the caller is not a green thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    ///
    /// kahn::run(|| {
    ///     // Borrowed, and not shared between OS threads.
    ///     let sum = Cell::new(0);
    ///     kahn::scope(|s| {
    ///         let sum = &sum;
    ///         for n in 1..=4 {
    ///             s.spawn_local(move || sum.set(sum.get() + n));
    ///         }
    ///     });
    ///     assert_eq!(sum.get(), 10);
    /// });
    /// ```
    #[track_caller]
    pub fn spawn_local<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        // SAFETY: `scope` waits for the drop of `Ended`. By then nothing of `F` and `T` is left but the value that
        // the handle owns, and the handle cannot outlive `'scope`. A local task need not be `Send`.
        self.adopt(f, |child| unsafe { spawn_local_unchecked(child) })
    }

    #[track_caller]
    fn adopt<F, T>(
        &'scope self,
        f: F,
        start: impl FnOnce(Box<dyn FnOnce() + 'scope>) -> JoinHandle<()>,
    ) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        let packet = Arc::new(Packet { result: Lock::new(None), scope: Arc::clone(&self.data) });
        self.data.count_one();
        let ended = Ended(Arc::clone(&self.data));
        let child = Child { work: Some(f), packet: Some(Arc::clone(&packet)), ended };
        let handle = start(Box::new(move || child.run()));
        let task = handle.task_pointer();
        // SAFETY: the handle holds a reference.
        unsafe { task.as_ref() }.state.retain();
        if self.data.add(task) {
            handle.cancel();
        }
        ScopedJoinHandle { handle, packet, _scope: PhantomData }
    }
}

impl Builder {
    /// Spawns the green thread in a scope. This is std's name for [`Scope::spawn_with`].
    ///
    /// # Parks
    ///
    /// Never waits, but yields to other green threads every so often, as [`spawn`](crate::thread::spawn()) does.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`spawn`](Self::spawn).
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::thread::Builder;
    ///
    /// let words = vec!["a", "b"];
    /// kahn::scope(|s| {
    ///     let counter = Builder::new().name("counter".into()).spawn_scoped(s, || words.len())?;
    ///     assert_eq!(counter.join().unwrap(), 2);
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn spawn_scoped<'scope, F, T>(
        self,
        scope: &'scope Scope<'scope, '_>,
        f: F,
    ) -> std::io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        scope.spawn_with(self, f)
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("running", &self.data.running()).finish_non_exhaustive()
    }
}

/// The handle of a scoped green thread, to wait for it and to receive its value. It is also a future, as a
/// [`JoinHandle`] is.
///
/// # Examples
///
/// ```
/// use kahn::thread::ScopedJoinHandle;
///
/// let words = ["one", "two", "three"];
/// let longest = kahn::scope(|s| {
///     let lengths: Vec<ScopedJoinHandle<'_, usize>> =
///         words.iter().map(|word| s.spawn(move || word.len())).collect();
///     lengths.into_iter().map(|length| length.join().unwrap()).max()
/// });
/// assert_eq!(longest, Some(5));
/// ```
pub struct ScopedJoinHandle<'scope, T> {
    handle: JoinHandle<()>,
    packet: Arc<Packet<T>>,
    _scope: PhantomData<&'scope ()>,
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits for the green thread to end, and returns its value.
    ///
    /// # Parks
    ///
    /// Parks until the green thread has ended.
    ///
    /// # Errors
    ///
    /// Returns an error if the green thread panicked or was cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// kahn::scope(|s| {
    ///     assert_eq!(s.spawn(|| 6 * 7).join().unwrap(), 42);
    ///     // The scope does not report a panic that was joined.
    ///     assert!(s.spawn(|| if true { panic!("no") }).join().unwrap_err().is_panic());
    /// });
    /// ```
    #[track_caller]
    pub fn join(self) -> Result<T, JoinError> {
        self.handle.join()?;
        take_result(&self.packet)
    }

    /// Returns whether the green thread has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// kahn::scope(|s| {
    ///     let child = s.spawn(|| ());
    ///     while !child.is_finished() {
    ///         kahn::yield_now();
    ///     }
    /// });
    /// ```
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Requests that the green thread end, as [`JoinHandle::cancel`] does.
    ///
    /// # Examples
    ///
    /// ```
    /// kahn::scope(|s| {
    ///     let sleeper = s.spawn(|| kahn::sleep(std::time::Duration::MAX));
    ///     sleeper.cancel();
    ///     assert!(sleeper.join().unwrap_err().is_cancelled());
    /// });
    /// ```
    pub fn cancel(&self) {
        self.handle.cancel();
    }

    /// Returns the green thread.
    ///
    /// # Examples
    ///
    /// ```
    /// kahn::scope(|s| {
    ///     let parked = s.spawn(kahn::thread::park);
    ///     parked.thread().unpark();
    /// });
    /// ```
    pub fn thread(&self) -> &Thread {
        self.handle.thread()
    }
}

fn take_result<T>(packet: &Packet<T>) -> Result<T, JoinError> {
    let result = packet.result.lock().take();
    result.expect("ended, so there is a result").map_err(JoinError::new)
}

impl<T> Future for ScopedJoinHandle<'_, T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    ///
    /// Panics if the handle has returned its value before.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = ready!(Pin::new(&mut self.handle).poll(context));
        Poll::Ready(ended.and_then(|()| take_result(&self.packet)))
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle").field("handle", &self.handle).finish()
    }
}
