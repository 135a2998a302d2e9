//! The handle of a green thread: joining and cancelling it.

pub(crate) mod thread;

use core::any::Any;
use core::fmt;
use core::marker::PhantomData;
use core::mem::{self, MaybeUninit};
use core::ptr::NonNull;
use std::panic::{RefUnwindSafe, UnwindSafe};

use crate::job::{Job, Output};
use crate::scheduler;
pub(crate) use thread::Thread;

use crate::wait::{CancelUnwind, Kind, Reason, is_quiet_unwind, operation, settled};

/// Waits for a green thread and gets its value. Dropping it lets the green thread run on.
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
    job: NonNull<Job>,
    _output: PhantomData<T>,
}

// SAFETY: the handle hands the output, a `T`, to the thread that joins; all else in a job is made to be shared.
unsafe impl<T: Send> Send for JoinHandle<T> {}
// SAFETY: through `&JoinHandle` no `T` is reached: `join` consumes.
unsafe impl<T: Send> Sync for JoinHandle<T> {}

// Through a handle nothing is seen half changed: a job ends whole, by value or by unwind.
impl<T> UnwindSafe for JoinHandle<T> {}
impl<T> RefUnwindSafe for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    /// The handle of a job that was allocated with one, for an output of type `T`.
    pub(crate) fn new(job: NonNull<Job>) -> JoinHandle<T> {
        JoinHandle { job, _output: PhantomData }
    }

    pub(crate) fn job_pointer(&self) -> NonNull<Job> {
        self.job
    }

    fn job(&self) -> &Job {
        // SAFETY: the handle holds a reference.
        unsafe { self.job.as_ref() }
    }

    /// Waits for the green thread to end, and answers its value.
    ///
    /// # Parks
    ///
    /// Until it has ended.
    ///
    /// # Errors
    ///
    /// If it panicked or was cancelled. One that a shutdown of its runtime has given up on counts as cancelled.
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
        let reason = Reason::new(Kind::Join, self.job.as_ptr());
        if let Err(missed) = self.job().wait_for_end(reason, None) {
            let _ = missed.raise();
            unreachable!("a join has no deadline of its own");
        }
        let output = if self.job().state.is_done() {
            self.into_output()
        } else {
            // Given up on by a shutdown. Its cell stays as it is, for whoever runs it or borrows from it; what it may still
            // answer is dropped, since we go without it.
            Err(CancelUnwind::payload())
        };
        output.map_err(JoinError::new)
    }

    /// The output of a job that has ended.
    pub(crate) fn into_output(self) -> Output<T> {
        debug_assert!(self.job().state.is_done());
        let mut output = MaybeUninit::<Output<T>>::uninit();
        let this = mem::ManuallyDrop::new(self);
        // SAFETY: the job is done, the handle asks, once: it is not dropped. Its reference is given up last.
        unsafe {
            Job::take_output(this.job, output.as_mut_ptr().cast());
            Job::release(this.job);
            output.assume_init()
        }
    }

    /// Whether it has ended: [`join`](Self::join) would not park.
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
        self.job().state.is_over()
    }

    /// Asks the green thread to end: it unwinds from the park that it is in, or from its next, running its destructors,
    /// and `join` says that it was cancelled. One that has not started never does. One that never parks is not
    /// affected.
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
        unsafe { scheduler::cancel(self.job) };
    }

    /// The green thread.
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
        // SAFETY: the handle holds a reference; `Thread` is a transparent pointer to the job.
        unsafe { Thread::borrowed(&self.job) }
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        // SAFETY: called once, and the output has not been taken (`into_output` forgets the handle).
        unsafe { Job::disclaim(self.job) };
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("job", self.job()).finish()
    }
}

/// Why a green thread left no value.
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

// SAFETY: through a shared reference the payload is only asked for its type, and looked at if it is a `&'static str`, a
// `String` or an unwinding of ours, all of which are `Sync`; anything else leaves by `into_panic` alone.
unsafe impl Sync for JoinError {}

impl JoinError {
    pub(crate) fn new(payload: Box<dyn Any + Send>) -> JoinError {
        JoinError { payload: settled(payload) }
    }

    /// Whether it panicked.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = kahn::spawn(|| if true { panic!("no") }).join().unwrap_err();
    /// assert!(error.is_panic());
    /// ```
    pub fn is_panic(&self) -> bool {
        !is_quiet_unwind(&*self.payload)
    }

    /// Whether it was cancelled.
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

    /// The payload of the panic, for [`std::panic::resume_unwind`]. If it was cancelled, the payload says so as a
    /// string.
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
