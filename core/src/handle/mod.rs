//! The handle of a green thread, to join it and to cancel it.

pub(crate) mod thread;

use core::any::Any;
use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::mem::{self, MaybeUninit};
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll, ready};
use std::panic::{RefUnwindSafe, UnwindSafe};

use crate::scheduler;
use crate::task::{Output, Task};
pub(crate) use thread::Thread;

use crate::wait::{CancelUnwind, Kind, Reason, is_internal_unwind, operation, reject_stray_unwind};

/// Waits for a green thread or a [task](crate::async_task), and receives its value. Dropping the handle detaches the
/// green thread.
///
/// The handle is also a future, so that async code can await the end. It can be polled by any executor. The future is
/// cancel-safe: dropping it detaches the green thread, and `(&mut handle).await` can be dropped and repeated. The handle
/// keeps the waker of its last poll until the end, and none after it is dropped.
///
/// # Examples
///
/// ```
/// use kahn::thread::JoinHandle;
///
/// let handles: Vec<JoinHandle<u64>> = (0..4).map(|n| kahn::spawn(move || n * n)).collect();
/// let squares: Vec<u64> = handles.into_iter().map(|handle| handle.join().unwrap()).collect();
/// assert_eq!(squares, [0, 1, 4, 9]);
/// ```
pub struct JoinHandle<T> {
    task: NonNull<Task>,
    _output: PhantomData<T>,
}

// SAFETY: the handle moves the output, a `T`, to the thread that joins. All other parts of a task are made to be
// shared.
unsafe impl<T: Send> Send for JoinHandle<T> {}
// SAFETY: a `&JoinHandle` gives no access to a `T`, because `join` consumes the handle.
unsafe impl<T: Send> Sync for JoinHandle<T> {}

// A handle never exposes a half-changed state: a task ends completely, by a value or by an unwind.
impl<T> UnwindSafe for JoinHandle<T> {}
impl<T> RefUnwindSafe for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    /// Creates the handle of a task that was allocated with one, for an output of type `T`.
    pub(crate) fn new(task: NonNull<Task>) -> JoinHandle<T> {
        JoinHandle { task, _output: PhantomData }
    }

    pub(crate) fn task_pointer(&self) -> NonNull<Task> {
        self.task
    }

    fn task(&self) -> &Task {
        // SAFETY: the handle holds a reference.
        unsafe { self.task.as_ref() }
    }

    /// Waits for the green thread to end, and returns its value.
    ///
    /// # Parks
    ///
    /// Parks until the green thread has ended.
    ///
    /// # Errors
    ///
    /// Returns an error if the green thread panicked or was cancelled. A green thread that the shutdown of its
    /// runtime has given up on counts as cancelled.
    ///
    /// # Panics
    ///
    /// Panics if the handle was awaited before, and has returned the value.
    ///
    /// # Examples
    ///
    /// ```
    /// kahn::run(|| {
    ///     assert_eq!(kahn::spawn(|| 6 * 7).join().unwrap(), 42);
    ///     assert!(kahn::spawn(|| if true { panic!("no") }).join().unwrap_err().is_panic());
    /// });
    /// ```
    #[track_caller]
    pub fn join(self) -> Result<T, JoinError> {
        operation();
        let reason = Reason::new(Kind::Join, self.task.as_ptr());
        if let Err(error) = self.task().wait_for_end(reason, None) {
            let _ = error.raise();
            unreachable!("a join has no deadline of its own");
        }
        let output = if self.task().state.is_done() {
            self.assert_has_output();
            self.into_output()
        } else {
            // A shutdown has given up on the task. Its cell stays as it is, for the thread that runs it and for
            // borrowers. An output that it may still produce is dropped, because the handle leaves without it.
            Err(CancelUnwind::payload())
        };
        output.map_err(JoinError::new)
    }

    #[track_caller]
    fn assert_has_output(&self) {
        assert!(self.task().state.has_output(), "the `JoinHandle` has returned its value before");
    }

    /// Takes the output of a task that has ended. The handle stays.
    fn take_output(&mut self) -> Output<T> {
        let mut output = MaybeUninit::<Output<T>>::uninit();
        self.assert_has_output();
        // SAFETY: the task is done. Only its handle takes the output, and it has not done so before.
        unsafe {
            Task::take_output(self.task, output.as_mut_ptr().cast());
            self.task().state.output_taken();
            output.assume_init()
        }
    }

    /// Returns the output of a task that has ended, which the handle has not taken.
    pub(crate) fn into_output(self) -> Output<T> {
        debug_assert!(self.task().state.is_done());
        let mut output = MaybeUninit::<Output<T>>::uninit();
        let this = mem::ManuallyDrop::new(self);
        // SAFETY: the task is done. Only its handle takes the output, and only once, because the handle is forgotten.
        // The handle's reference is released last.
        unsafe {
            Task::take_output(this.task, output.as_mut_ptr().cast());
            Task::release(this.task);
            output.assume_init()
        }
    }

    /// Returns whether the green thread has ended, so that [`join`](Self::join) would not park.
    ///
    /// # Examples
    ///
    /// ```
    /// kahn::run(|| {
    ///     let sleeper = kahn::spawn(|| kahn::sleep(std::time::Duration::MAX));
    ///     assert!(!sleeper.is_finished());
    ///     sleeper.cancel();
    ///     while !sleeper.is_finished() {
    ///         kahn::yield_now();
    ///     }
    /// });
    /// ```
    pub fn is_finished(&self) -> bool {
        self.task().state.is_over()
    }

    /// Requests that the green thread end. It unwinds from its current park or its next one, running its destructors,
    /// and `join` returns an error that says that it was cancelled. If it has not started yet, it never starts. If it
    /// never parks, the request has no effect.
    ///
    /// # Examples
    ///
    /// ```
    /// kahn::run(|| {
    ///     let sleeper = kahn::spawn(|| kahn::sleep(std::time::Duration::MAX));
    ///     sleeper.cancel();
    ///     assert!(sleeper.join().unwrap_err().is_cancelled());
    /// });
    /// ```
    pub fn cancel(&self) {
        // SAFETY: the handle holds a reference.
        unsafe { scheduler::cancel(self.task) };
    }

    /// Returns the green thread.
    ///
    /// # Examples
    ///
    /// ```
    /// kahn::run(|| {
    ///     let parked = kahn::spawn(kahn::thread::park);
    ///     parked.thread().unpark();
    ///     parked.join().unwrap();
    /// });
    /// ```
    pub fn thread(&self) -> &Thread {
        // SAFETY: the handle holds a reference for as long as the returned borrow lasts. `Thread` is a transparent
        // pointer to the task.
        unsafe { Thread::borrowed(&self.task) }
    }
}

// The output is in the task, not in the handle.
impl<T> Unpin for JoinHandle<T> {}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    ///
    /// Panics if the handle has returned its value before.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.task().poll_end(context));
        let output = if self.task().state.is_done() {
            self.take_output()
        } else {
            // A shutdown has given up on the task, as in `join`.
            Err(CancelUnwind::payload())
        };
        Poll::Ready(output.map_err(JoinError::new))
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        // SAFETY: this is called once. If the output was taken, `take_output` has recorded it, or `into_output` has
        // forgotten the handle.
        unsafe { Task::drop_handle(self.task) };
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("task", self.task()).finish()
    }
}

/// Why a green thread has no value.
///
/// # Examples
///
/// ```
/// use kahn::thread::JoinError;
///
/// fn told(error: &JoinError) -> &'static str {
///     if error.is_cancelled() { "was stopped" } else { "has failed" }
/// }
/// let error = kahn::spawn(|| if true { panic!("no such page") }).join().unwrap_err();
/// assert_eq!(told(&error), "has failed");
/// assert_eq!(error.to_string(), "the green thread panicked: no such page");
/// ```
pub struct JoinError {
    payload: Box<dyn Any + Send>,
}

// SAFETY: through a shared reference, the payload's type is examined. Its contents are read only if it is a `&'static
// str`, a `String` or one of kahn's own unwind payloads, which are all `Sync`. Any other payload is accessed only by
// `into_panic`, which consumes the error.
unsafe impl Sync for JoinError {}

impl JoinError {
    pub(crate) fn new(payload: Box<dyn Any + Send>) -> JoinError {
        scheduler::note_joined(&*payload);
        JoinError { payload: reject_stray_unwind(payload) }
    }

    /// Returns whether the green thread panicked.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = kahn::spawn(|| if true { panic!("no") }).join().unwrap_err();
    /// assert!(error.is_panic());
    /// ```
    pub fn is_panic(&self) -> bool {
        !is_internal_unwind(&*self.payload)
    }

    /// Returns whether the green thread was cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// let sleeper = kahn::spawn(|| kahn::sleep(std::time::Duration::MAX));
    /// sleeper.cancel();
    /// assert!(sleeper.join().unwrap_err().is_cancelled());
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.payload.is::<CancelUnwind>()
    }

    /// Returns the payload of the panic, for [`std::panic::resume_unwind`]. If the green thread was cancelled, the
    /// payload is a string that says so.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = kahn::spawn(|| if true { std::panic::panic_any(7) }).join().unwrap_err();
    /// assert_eq!(*error.into_panic().downcast::<i32>().unwrap(), 7);
    /// ```
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        if self.is_panic() { self.payload } else { Box::new("the green thread was cancelled") }
    }

    fn message(&self) -> Option<&str> {
        let payload = &self.payload;
        payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.is_panic(), self.message()) {
            (false, _) => f.write_str("the green thread was cancelled"),
            (true, Some(message)) => write!(f, "the green thread panicked: {message}"),
            (true, None) => f.write_str("the green thread panicked"),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_panic() { "Panic" } else { "Cancelled" };
        f.debug_tuple(&format!("JoinError::{kind}")).field(&self.message()).finish()
    }
}

impl core::error::Error for JoinError {}
