//! `current`, `park`, `unpark`, and the identity of threads.

use core::fmt;
use core::num::NonZeroU64;
use core::ptr::NonNull;
use std::time::{Duration, Instant};

use crate::primitives::now;
use crate::scheduler;
use crate::task::{Task, TaskId};
use crate::wait::{enclosing_timeout, operation};

/// A handle to a green thread or an OS thread, like std's.
///
/// # Examples
///
/// ```
/// use kahn::thread::{self, Thread};
///
/// kahn::run(|| {
///     let waker: Thread = thread::current();
///     kahn::spawn(move || waker.unpark());
///     thread::park();
/// });
/// ```
#[repr(transparent)]
pub struct Thread(Repr);

/// The handle of a green thread is a reference to its task. The handle of an OS thread is std's, in a box.
/// The low bit distinguishes them.
#[repr(transparent)]
struct Repr(NonNull<()>);

const OS_BIT: usize = 1;

enum View<'a> {
    Green(&'a Task),
    Os(&'a OsThread),
}

#[repr(align(8))]
struct OsThread {
    thread: std::thread::Thread,
    id: NonZeroU64,
}

// SAFETY: the header of a task and std's `Thread` are both made to be shared between threads.
unsafe impl Send for Thread {}
// SAFETY: the header of a task and std's `Thread` are both made to be shared between threads.
unsafe impl Sync for Thread {}

/// The number of a thread. It is unique in the process and never reused.
///
/// # Examples
///
/// ```
/// use kahn::thread::{self, ThreadId};
///
/// let here: ThreadId = thread::current().id();
/// let there = kahn::spawn(|| thread::current().id()).join().unwrap();
/// assert_ne!(here, there);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThreadId(NonZeroU64);

impl ThreadId {
    #[cfg_attr(not(fibers), allow(dead_code, reason = "models have no report of OS threads"))]
    pub(crate) fn number(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Debug for ThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ThreadId({})", self.0)
    }
}

impl Thread {
    /// Creates the handle of a task. It takes over one reference.
    fn green(task: NonNull<Task>) -> Thread {
        Thread(Repr(task.cast()))
    }

    /// Returns a handle that uses the reference of another holder.
    ///
    /// # Safety
    ///
    /// The reference behind `task` lasts as long as the returned borrow.
    pub(crate) unsafe fn borrowed(task: &NonNull<Task>) -> &Thread {
        // SAFETY: `Thread` is transparent around a pointer, and the pointer of a green thread is the address of its
        // task. The result is a reference, so it is never dropped.
        unsafe { &*core::ptr::from_ref(task).cast::<Thread>() }
    }

    fn view(&self) -> View<'_> {
        let pointer = self.0.0.as_ptr();
        if pointer.addr() & OS_BIT == 0 {
            // SAFETY: the handle of a green thread holds a reference to its task (`green`, `borrowed`).
            View::Green(unsafe { &*pointer.cast::<Task>() })
        } else {
            // SAFETY: `os` made the pointer from a box, and only `drop` frees it.
            View::Os(unsafe { &*pointer.map_addr(|addr| addr & !OS_BIT).cast::<OsThread>() })
        }
    }

    fn os(thread: std::thread::Thread, id: NonZeroU64) -> Thread {
        let boxed = Box::into_raw(Box::new(OsThread { thread, id }));
        let tagged = boxed.map_addr(|addr| addr | OS_BIT).cast::<()>();
        Thread(Repr(NonNull::new(tagged).expect("a box is not null")))
    }

    /// Returns the number of the thread.
    ///
    /// # Examples
    ///
    /// ```
    /// let handle = kahn::spawn(|| kahn::thread::current().id());
    /// let id = handle.thread().id();
    /// assert_eq!(handle.join().unwrap(), id);
    /// ```
    pub fn id(&self) -> ThreadId {
        ThreadId(match self.view() {
            View::Green(task) => NonZeroU64::new(task.id().get()).expect("numbers start at one"),
            View::Os(os) => os.id,
        })
    }

    /// Returns the name of the thread, if it has one.
    ///
    /// # Examples
    ///
    /// ```
    /// let handle = kahn::thread::Builder::new().name("parser".into()).spawn(|| ())?;
    /// assert_eq!(handle.thread().name(), Some("parser"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn name(&self) -> Option<&str> {
        match self.view() {
            View::Green(task) => task.name(),
            View::Os(os) => os.thread.name(),
        }
    }

    /// Makes the thread's current or next [`park`] return.
    ///
    /// # Examples
    ///
    /// ```
    /// kahn::run(|| {
    ///     kahn::thread::current().unpark();
    ///     // Returns at once, because it was unparked before.
    ///     kahn::thread::park();
    /// });
    /// ```
    pub fn unpark(&self) {
        match self.view() {
            View::Green(task) => task.unpark(),
            View::Os(os) => os.thread.unpark(),
        }
    }
}

impl Clone for Thread {
    fn clone(&self) -> Thread {
        match self.view() {
            View::Green(task) => {
                task.state.retain();
                Thread::green(NonNull::from(task))
            }
            View::Os(os) => Thread::os(os.thread.clone(), os.id),
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        let pointer = self.0.0.as_ptr();
        if pointer.addr() & OS_BIT == 0 {
            // SAFETY: an owned handle holds a reference, which is released here.
            unsafe { Task::release(self.0.0.cast()) };
        } else {
            // SAFETY: `os` made the pointer from a box, which is freed only here.
            drop(unsafe { Box::from_raw(pointer.map_addr(|addr| addr & !OS_BIT).cast::<OsThread>()) });
        }
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread").field("id", &self.id()).field("name", &self.name()).finish_non_exhaustive()
    }
}

/// Returns the handle of the calling thread.
///
/// # Examples
///
/// ```
/// kahn::run(|| assert_eq!(kahn::thread::current().name(), Some("main")));
/// ```
pub fn current() -> Thread {
    thread_local! {
        static OS_ID: NonZeroU64 = NonZeroU64::new(TaskId::next().get()).expect("numbers start at one");
    }
    match scheduler::running_task() {
        Some(task) => {
            // SAFETY: the running task is alive.
            unsafe { task.as_ref() }.state.retain();
            Thread::green(task)
        }
        None => {
            let id = OS_ID
                .try_with(|id| *id)
                .unwrap_or_else(|_| NonZeroU64::new(TaskId::next().get()).expect("numbers start at one"));
            Thread::os(std::thread::current(), id)
        }
    }
}

/// Waits until another thread calls [`Thread::unpark`] on this one. Returns at once if it already has. Like std's,
/// this may return spuriously.
///
/// # Parks
///
/// Parks until another thread unparks this one.
///
/// # Examples
///
/// ```
/// kahn::run(|| {
///     let main = kahn::thread::current();
///     kahn::spawn(move || main.unpark());
///     kahn::thread::park();
/// });
/// ```
#[track_caller]
pub fn park() {
    park_until(None);
}

/// Like [`park`], for at most `duration`.
///
/// # Parks
///
/// Parks until another thread unparks this one, or until `duration` has passed.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// kahn::thread::park_timeout(Duration::from_millis(1));
/// ```
#[track_caller]
pub fn park_timeout(duration: Duration) {
    park_until(Some(now().checked_add(duration)));
}

/// Parks the caller. `None` means no deadline. `Some(None)` means a deadline that the clock cannot express.
#[track_caller]
fn park_until(deadline: Option<Option<Instant>>) {
    operation();
    match (scheduler::running_task(), deadline) {
        (Some(task), deadline) => {
            // SAFETY: the running task is alive.
            let task = unsafe { task.as_ref() };
            if let Err(error) = task.park(core::panic::Location::caller(), deadline.flatten()) {
                let _ = error.raise();
            }
        }
        (None, deadline) => park_os_thread(deadline.flatten()),
    }
}

/// Parks an OS thread with std's `park`. An enclosing `time::timeout` bounds it, as it bounds other parks.
fn park_os_thread(deadline: Option<Instant>) {
    let limit = enclosing_timeout().filter(|(end, _)| deadline.is_none_or(|deadline| *end < deadline));
    let until = limit.as_ref().map(|(end, _)| *end).or(deadline);
    match until {
        None => std::thread::park(),
        // Once the deadline of the timeout has passed, no token is taken.
        Some(until) => match until.checked_duration_since(now()) {
            Some(left) => std::thread::park_timeout(left),
            None if limit.is_none() => std::thread::park_timeout(Duration::ZERO),
            None => {}
        },
    }
    if let Some((_, error)) = limit.filter(|(end, _)| *end <= now()) {
        let _ = error.raise();
    }
}
