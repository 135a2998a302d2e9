//! Runtimes: sets of workers, and the green threads that are spawned on them.

mod builder;
mod default;
/// Not covered by semver.
#[doc(hidden)]
pub mod entry;
mod handler;
mod homes;
mod shutdown;
#[cfg(feature = "tracing")]
mod stuck;

use core::any::Any;
use core::fmt;
use std::io;
use std::panic::{RefUnwindSafe, UnwindSafe, panic_any, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use crate::scheduler::deadlock::{DeadlockReport, Waiting};
pub use crate::wait::Kind as WaitKind;
pub use builder::Builder;
pub(crate) use default::{default_shared, default_workers};
pub use homes::Homes;
pub use shutdown::ShutdownError;

use crate::fiber::park_check;
use crate::fiber::stack::SizeClass;
use crate::handle::JoinHandle;
use crate::primitives::Ordering;
use crate::runtime::handler::Runs;
use crate::scheduler::{
    self, SHORT_OF_MEMORY, Scheduler,
    shared::{Settings, Shared},
};
use crate::task::{RunOutcome, Runnable, SpawnOptions, Task, allocate};
use crate::wait::{self, Kind, Reason, operation};

/// How long the drop of a runtime, or the end of [`run`], waits for its green threads to unwind.
const DROP_TIMEOUT: Duration = Duration::from_secs(2);

/// A runtime: worker threads that run green threads. A process can have many.
///
/// Dropping it shuts it down, and waits for up to two seconds. [`shutdown`](Self::shutdown) also reports what was
/// left.
///
/// # Examples
///
/// ```
/// let runtime = kahn::Runtime::builder().workers(2).build()?;
/// let handle = runtime.spawn(|| "spawned from outside".len());
/// assert_eq!(runtime.run(move || handle.join().unwrap()), 20);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Runtime {
    shared: Arc<Shared>,
    /// The OS threads of the runtime. Taken by the first call that ends it.
    threads: Mutex<Option<Vec<std::thread::JoinHandle<()>>>>,
    /// Present if there is a handler of deadlocks, which may panic.
    runs: Option<Arc<Runs>>,
}

/// Runs `f` as the main green thread of a new runtime with the default settings, and returns its value. When `f` has
/// returned, green threads that still run are cancelled, as the threads of a process end with `main`.
///
/// # Parks
///
/// Blocks the calling OS thread until `f` has ended, and then until the others have unwound, for two seconds at most.
/// A [`timeout`](crate::time::timeout) around it does not end that.
///
/// # Panics
///
/// If `f` panics, the panic continues in the caller. If all green threads are asleep and nothing can wake any of them,
/// panics with the [report](DeadlockReport) of the waiting threads as its message. Panics in a green thread (a runtime
/// inside a runtime), and if the OS cannot start the threads.
///
/// # Examples
///
/// ```
/// let answer = kahn::run(|| kahn::spawn(|| 6 * 7).join().unwrap());
/// assert_eq!(answer, 42);
/// ```
#[track_caller]
pub fn run<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    refuse_nesting();
    let runtime = Builder::new().build().unwrap_or_else(|error| panic!("kahn::run: {error}"));
    runtime.run(f)
}

#[track_caller]
fn refuse_nesting() {
    assert!(
        wait::current::green().is_none(),
        "a runtime cannot be run inside a green thread: it would block the worker. \
         Call the function directly, or use `kahn::blocking` around it"
    );
}

impl core::error::Error for DeadlockReport {}

// No user code runs while the state that workers share is changed, so an unwind never leaves it half changed.
impl UnwindSafe for Runtime {}
impl RefUnwindSafe for Runtime {}

impl Runtime {
    /// Returns a builder with the settings of a new runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = kahn::Runtime::builder().workers(2).build()?;
    /// # drop(runtime);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Runs `f` as a green thread, blocks the calling OS thread until it has ended, and returns its value. `f` may
    /// borrow from the caller. Green threads that it has spawned go on running.
    ///
    /// # Parks
    ///
    /// Never: it blocks the OS thread until `f` has ended, in spite of a [`timeout`](crate::time::timeout) around it.
    ///
    /// # Panics
    ///
    /// As [`run`], and if the runtime has been shut down.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = kahn::Runtime::builder().workers(2).build()?;
    /// let mut words = vec!["from", "here", "borrowed"];
    /// runtime.run(|| words.sort());
    /// assert_eq!(words[0], "borrowed");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn run<F, T>(&self, f: F) -> T
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        match self.run_or_deadlock(f) {
            Ok(Ok(value)) => value,
            Ok(Err(payload)) => resume_unwind(payload),
            Err(report) => panic_any(report.to_string()),
        }
    }

    /// As [`run`](Self::run), but returns a deadlock and a panic as different errors.
    #[track_caller]
    pub(crate) fn run_or_deadlock<F, T>(&self, f: F) -> Result<Result<T, Box<dyn Any + Send>>, DeadlockReport>
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        refuse_nesting();
        self.shared.deadlock.reset();
        let deadlocks = self.shared.deadlock.declared();
        let options = SpawnOptions { migratory: self.shared.migratory, ..SpawnOptions::default() };
        // SAFETY: `F` and `T` are `Send`. The data that they borrow outlives this call, which ends after the task has.
        let task = unsafe { allocate::<Scheduler, _, _>(f, Some("main".into()), options) };
        let handle = JoinHandle::<T>::new(task);
        if let Some(runs) = &self.runs {
            // SAFETY: the handle holds a reference until after `ended`.
            unsafe { runs.began(task) };
        }
        let ended = || self.runs.as_ref().and_then(|runs| runs.ended(task));
        let under_way = default::UnderWay::new();
        self.shared.runs.fetch_add(1, Ordering::AcqRel);
        // SAFETY: the task has been made just now, and has not been queued.
        if let Err(task) = self.shared.inject(unsafe { Runnable::new(task) }) {
            self.shared.runs.fetch_sub(1, Ordering::AcqRel);
            drop(ended());
            reject(task);
            panic!("this runtime has been shut down");
        }
        let reason = Reason::new(Kind::Join, task.as_ptr());
        // `f` may borrow from the caller, so not even a `timeout` around this call may end the wait.
        wait::shield(|| {
            // SAFETY: the handle's reference keeps the task alive.
            let task = unsafe { task.as_ref() };
            // A runtime is ended by its owner, and this call borrows it. So the task is not abandoned before it is
            // done.
            while !task.state.is_done() {
                let _ = task.wait_for_end(reason, None);
            }
        });
        self.shared.runs.fetch_sub(1, Ordering::AcqRel);
        drop(under_way);
        let failed = ended();
        let output = handle.into_output();
        // The report, or the panic of its handler, counts whatever the main green thread has made of its cancel: it may
        // have caught the unwind and returned, or panicked, which the panic hook has reported.
        let instead = match (failed, self.shared.deadlock.report_since(deadlocks)) {
            (Some(failed), _) => Ok(Err(failed)),
            (None, Some(report)) => Err(report),
            (None, None) => {
                return Ok(output.map_err(|payload| match wait::is_internal_unwind(&*payload) {
                    true => Box::new("the main green thread was cancelled"),
                    false => wait::reject_stray_unwind(payload),
                }));
            }
        };
        // The value's destructor may panic. The panic hook reports that, and the report counts all the same.
        wait::run_catching(|| drop(output));
        instead
    }

    /// Returns the number of workers: OS threads that run green threads.
    ///
    /// # Examples
    ///
    /// ```
    /// if std::env::var_os("KAHN_WORKERS").is_none() {
    ///     assert_eq!(kahn::Runtime::builder().workers(3).build()?.workers(), 3);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn workers(&self) -> usize {
        self.shared.workers()
    }

    /// Returns whether the homes of green threads travel between the workers.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::runtime::Homes;
    ///
    /// let runtime = kahn::Runtime::builder().workers(2).homes(Homes::KernelThreads).build()?;
    /// # if std::env::var_os("KAHN_HOMES").is_none() {
    /// assert_eq!(runtime.homes(), Homes::KernelThreads);
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn homes(&self) -> Homes {
        if self.shared.homes.travel() { Homes::Travelling } else { Homes::KernelThreads }
    }

    /// Spawns a green thread in this runtime. If the caller is a green thread of this runtime, this is
    /// [`spawn`](crate::spawn()).
    ///
    /// # Parks
    ///
    /// Never waits, but yields to other green threads every so often, as [`spawn`](crate::spawn()) does.
    ///
    /// # Panics
    ///
    /// In a green thread of this runtime, panics as [`spawn`](crate::spawn()) does.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = kahn::Runtime::builder().workers(1).build()?;
    /// assert_eq!(runtime.spawn(|| 6 * 7).join().unwrap(), 42);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        operation();
        // A green thread that yields stays in its runtime.
        let is_own = scheduler::is_worker_of(&self.shared);
        if is_own {
            scheduler::let_new_start();
        }
        assert!(
            !(is_own && scheduler::is_short_of_memory_for(SpawnOptions::default())),
            "spawn: {SHORT_OF_MEMORY}"
        );
        let options = SpawnOptions { migratory: self.shared.migratory, ..SpawnOptions::default() };
        // SAFETY: the closure and its output are `Send` and `'static`.
        let task = unsafe { allocate::<Scheduler, _, _>(f, None, options) };
        let handle = JoinHandle::new(task);
        // SAFETY: the task has been made just now, and has not been queued.
        let task = unsafe { Runnable::new(task) };
        if is_own {
            scheduler::spawn(task).unwrap_or_else(|task| inject(&self.shared, task));
        } else {
            inject(&self.shared, task);
        }
        handle
    }

    /// Shuts the runtime down. Every green thread that is parked, or parks from now on, is cancelled and unwinds.
    /// Green threads that have not started never do. Then the workers and the threads of the blocking pool end.
    ///
    /// # Parks
    ///
    /// Never: it blocks the OS thread until all have ended, for `timeout` at most. On one of the runtime's own OS threads,
    /// also in a destructor of a thread-local there, it returns at once, and the shutdown continues in the background.
    ///
    /// # Errors
    ///
    /// If green threads, or OS threads of the runtime, have not ended within `timeout`. The error has their number and
    /// names. The stacks of the green threads are leaked, because the values on them may still be in use. A join of
    /// such a green thread returns that it was cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let runtime = kahn::Runtime::builder().workers(1).build()?;
    /// let sleeper = runtime.spawn(|| kahn::sleep(Duration::MAX));
    /// runtime.shutdown(Duration::from_secs(10)).expect("it unwinds from its sleep");
    /// assert!(sleeper.join().unwrap_err().is_cancelled());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(self, timeout: Duration) -> Result<(), ShutdownError> {
        self.end(timeout)
    }

    fn end(&self, timeout: Duration) -> Result<(), ShutdownError> {
        match self.threads.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(threads) => shutdown::shut_down(&self.shared, threads, timeout),
            // It has been ended, or is being ended in the background.
            None => Ok(()),
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // Whatever has not ended is leaked, see `shutdown`.
        let _ = self.end(DROP_TIMEOUT);
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("name", &self.shared.name)
            .field("workers", &self.workers())
            .finish_non_exhaustive()
    }
}

fn worker_name(shared: &Shared, index: usize) -> String {
    format!("{}-worker-{index}", shared.name)
}

fn start_worker(shared: &Arc<Shared>, index: usize) -> io::Result<std::thread::JoinHandle<()>> {
    let name = worker_name(shared, index);
    let ticket = shared.exits.ticket(&name);
    let shared = Arc::clone(shared);
    std::thread::Builder::new().name(name).spawn(move || {
        ticket.keep();
        scheduler::run_worker(index, &shared);
    })
}

fn start(settings: &Settings, class: SizeClass, workers: usize) -> io::Result<Runtime> {
    park_check::install();
    let mut settings = settings.clone();
    let runs = settings.on_deadlock.is_some().then(Arc::<Runs>::default);
    settings.on_deadlock = runs.as_ref().zip(settings.on_deadlock).map(|(runs, handler)| runs.guard(handler));
    let shared = Arc::new(Shared::new(&settings, class, workers));
    let runtime = Runtime { shared, threads: Mutex::new(None), runs };
    let mut threads = Vec::with_capacity(workers);
    if runtime.shared.homes.travel() {
        runtime.shared.homes.prepare(workers, &runtime.shared.exits, &runtime.shared.remotes);
    }
    for i in 0..workers {
        match start_worker(&runtime.shared, i) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                shutdown::undo_start(&runtime.shared, threads);
                return Err(error);
            }
        }
    }
    #[cfg(feature = "tracing")]
    match stuck::watch(&runtime.shared) {
        Ok(watch) => threads.extend(watch),
        Err(error) => {
            shutdown::undo_start(&runtime.shared, threads);
            return Err(error);
        }
    }
    *runtime.threads.lock().unwrap_or_else(PoisonError::into_inner) = Some(threads);
    Ok(runtime)
}

/// Queues a task from outside. If the runtime has ended, the task ends as cancelled, in this call.
pub(crate) fn inject(shared: &Shared, task: Runnable) {
    if let Err(task) = shared.inject(task) {
        reject(task);
    }
}

/// Ends a new task that no worker will run, and drops its captures on the calling thread.
fn reject(task: Runnable) {
    let task = task.into_pointer();
    // SAFETY: the runtime's reference keeps the task alive, and no worker has it. It is cancelled, so `run` only drops
    // the work. `finish` is called on the stack that ran the task.
    unsafe {
        Task::cancel(task);
        if Task::run(task) == RunOutcome::Finished {
            Task::finish::<Scheduler>(task);
        }
    }
}
