//! The settings of a runtime.

use core::fmt;
use std::io;
use std::sync::Arc;
#[cfg(feature = "tracing")]
use std::time::Duration;

use crate::fiber::stack::{DEFAULT_STACK_SIZE, SizeClass};
use crate::runtime::{Homes, Runtime, start};
use crate::scheduler::deadlock::DeadlockReport;
use crate::scheduler::shared::Settings;
use crate::scheduler::shared_home;

/// The environment variable that overrides the number of workers.
const WORKERS_VARIABLE: &str = "KAHN_WORKERS";
/// The most workers that are accepted. A larger number is treated as a mistake.
const WORKERS_MAX: usize = 4096;
const BLOCKING_THREADS: usize = 512;

/// The environment variable that overrides the kind of homes.
const HOMES_VARIABLE: &str = "KAHN_HOMES";
/// How many homes there are at most for each worker, by default.
const HOMES_PER_WORKER: usize = 8;

/// The settings of a [`Runtime`].
///
/// # Examples
///
/// ```
/// let runtime = kahn::Runtime::builder().workers(2).name("shop").build()?;
/// assert_eq!(runtime.run(|| 6 * 7), 42);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "`build` makes the runtime"]
#[derive(Clone)]
pub struct Builder {
    pub(crate) workers: Option<usize>,
    pub(crate) stack_size: usize,
    homes: Homes,
    max_homes: Option<usize>,
    settings: Settings,
}

impl Builder {
    /// Makes a builder with the default settings: a worker for each CPU, stacks of 256 KiB, and up to 512 threads for
    /// blocking calls.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = kahn::runtime::Builder::new().build()?;
    /// assert_eq!(runtime.run(|| 6 * 7), 42);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new() -> Builder {
        Builder {
            workers: None,
            stack_size: DEFAULT_STACK_SIZE,
            homes: Homes::default(),
            max_homes: None,
            settings: Settings {
                name: "kahn".to_owned(),
                migratory: false,
                max_homes: 0,
                blocking_threads: BLOCKING_THREADS,
                on_deadlock: None,
                #[cfg(feature = "tracing")]
                warn_after: None,
            },
        }
    }

    /// Sets how many worker threads run green threads. The default is the number of CPUs that the process may use. The
    /// environment variable `KAHN_WORKERS` overrides both, unless it is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = kahn::Runtime::builder().workers(1).build()?;
    /// runtime.run(|| println!("alone"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn workers(mut self, workers: usize) -> Builder {
        self.workers = Some(workers);
        self
    }

    /// Sets the size of a green thread's stack, in bytes. It is rounded up to a size class (16, 64, 256 KiB, 1, 4, 16,
    /// 64, 256 MiB, the guard page included). Only the pages that are touched take memory.
    ///
    /// # Examples
    ///
    /// ```
    /// fn depth(n: u32) -> u32 {
    ///     if n == 0 { 0 } else { 1 + std::hint::black_box(depth(n - 1)) }
    /// }
    /// let runtime = kahn::Runtime::builder().stack_size(16 << 20).build()?;
    /// assert_eq!(runtime.run(|| depth(50_000)), 50_000);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = bytes;
        self
    }

    /// Sets the most OS threads that run [`blocking`](crate::thread::blocking) calls at a time.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = kahn::Runtime::builder().blocking_threads(2).build()?;
    /// // However many green threads ask, the disk is asked for two files at a time.
    /// let sizes = runtime.run(|| {
    ///     let read = |name| kahn::spawn(move || kahn::blocking(|| std::fs::read(name).map(|file| file.len())));
    ///     ["Cargo.toml", "no-such-file", "Cargo.toml"].map(read).map(|size| size.join().unwrap().ok())
    /// });
    /// assert!(sizes[0] == sizes[2] && sizes[1].is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn blocking_threads(mut self, max: usize) -> Builder {
        self.settings.blocking_threads = max;
        self
    }

    /// Sets the runtime's name. Its OS threads are called `NAME-worker-0` and so on.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = kahn::Runtime::builder().name("shop").build()?;
    /// let worker = runtime.run(|| std::thread::current().name().map(str::to_owned));
    /// assert!(worker.unwrap().starts_with("shop-worker-"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.settings.name = name.into();
        self
    }

    /// Sets what green threads are bound to after they have parked. The default is [`Homes::KernelThreads`]. The environment
    /// variable `KAHN_HOMES`, which is `travelling` or `kernel`, overrides it, unless it is empty.
    ///
    /// Where thread identities cannot travel, the homes are kernel threads in any case: see
    /// [`exclusive_home`](crate::thread::Builder::exclusive_home). So they are in a [`migratory`](Self::migratory) runtime.
    /// [`Runtime::homes`] returns what the runtime has.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// use kahn::runtime::Homes;
    ///
    /// thread_local! { static COUNT: Cell<u32> = const { Cell::new(0) } }
    ///
    /// let runtime = kahn::Runtime::builder().workers(2).homes(Homes::Travelling).build()?;
    /// let counted = runtime.run(|| {
    ///     let before = COUNT.get();
    ///     kahn::yield_now();
    ///     // Perhaps on another worker, and yet with the same thread-locals.
    ///     COUNT.set(COUNT.get() + 1);
    ///     COUNT.get() - before
    /// });
    /// assert_eq!(counted, 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn homes(mut self, homes: Homes) -> Builder {
        self.homes = homes;
        self
    }

    /// Sets how many travelling homes the runtime has at most. Each is an OS thread that sleeps. The default is eight for each
    /// worker. There is at least one for each worker, and more are started when green threads gather in few.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::runtime::Homes;
    ///
    /// let runtime = kahn::Runtime::builder().workers(2).homes(Homes::Travelling).max_homes(4).build()?;
    /// assert_eq!(runtime.run(|| 6 * 7), 42);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn max_homes(mut self, max: usize) -> Builder {
        self.max_homes = Some(max);
        self
    }

    /// Sets a handler for deadlocks. It is called when all green threads are asleep and nothing can wake any of them,
    /// instead of ending [`run`](Runtime::run) with a panic. The green threads stay asleep.
    ///
    /// The handler runs on a worker, outside of any green thread, and that worker runs no green thread until it
    /// returns. So a wait in the handler blocks the worker. The `run` of another runtime in it blocks the worker, too,
    /// and a `run` of this runtime may wait for ever. The handler is meant to report the deadlock, or to send a
    /// waiting green thread what it waits for.
    ///
    /// If the handler panics, the green thread of each [`run`](Runtime::run) that is under way is cancelled, and the
    /// panic continues in the caller of `run`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// let runtime = kahn::Runtime::builder()
    ///     .on_deadlock(|report| {
    ///         eprint!("{report}");
    ///         std::process::exit(3);
    ///     })
    ///     .build()?;
    /// runtime.run(kahn::thread::park);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on_deadlock(mut self, handler: impl Fn(&DeadlockReport) + Send + Sync + 'static) -> Builder {
        self.settings.on_deadlock = Some(Arc::new(handler));
        self
    }

    /// Warns, through the `tracing` crate, when a worker has been in one green thread for this long without a park.
    /// Needs the feature `tracing`. Off by default.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let runtime = kahn::Runtime::builder().warn_when_stuck(Duration::from_millis(100)).build()?;
    /// runtime.run(|| println!("done soon enough"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(feature = "tracing")]
    pub fn warn_when_stuck(mut self, after: Duration) -> Builder {
        self.settings.warn_after = Some(after);
        self
    }

    /// Lets every green thread of this runtime change its OS thread when it parks, so that parked green threads are
    /// balanced over the workers, too, as in Go.
    ///
    /// # Safety
    ///
    /// Every value that is on the stack of a green thread of this runtime while it parks must be valid on another OS
    /// thread afterwards, and no code may keep data of an OS thread over a park:
    ///
    /// - no value that is not `Send`, such as an `Rc`, and no guard of a lock that its OS thread must release;
    /// - no reference to a thread-local, not even one that the compiler computes: a function that uses the same
    ///   `thread_local!` before and after a park may get that of the old OS thread the second time, unless the uses
    ///   are in functions that are not inlined.
    ///
    /// This includes the libraries that it calls.
    ///
    /// # Examples
    ///
    /// ```
    /// // SAFETY: the only values on the stacks of its green threads while they park are numbers.
    /// let builder = unsafe { kahn::Runtime::builder().migratory() };
    /// let sum = builder.build()?.run(|| {
    ///     let add = |n: u64| {
    ///         kahn::yield_now();
    ///         n + 1
    ///     };
    ///     (0..4).map(|n| kahn::spawn(move || add(n))).map(|handle| handle.join().unwrap()).sum::<u64>()
    /// });
    /// assert_eq!(sum, 10);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub unsafe fn migratory(mut self) -> Builder {
        self.settings.migratory = true;
        self
    }

    /// Starts the runtime.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if the number of workers is 0 or above 4096, if there are no threads for blocking calls,
    /// if the stack size is below or above the size classes, if the name has a zero byte, if `KAHN_WORKERS` is not
    /// a number from 1 to 4096, or if `KAHN_HOMES` is neither `travelling` nor `kernel`. Returns another error if the OS refuses to start the worker threads.
    ///
    /// # Examples
    ///
    /// ```
    /// let error = kahn::Runtime::builder().workers(0).build().unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    /// ```
    pub fn build(mut self) -> io::Result<Runtime> {
        let workers = self.worker_count()?;
        let class = SizeClass::for_size(self.stack_size)?;
        if self.settings.blocking_threads == 0 {
            return Err(invalid("blocking_threads(0): blocking calls need at least one thread"));
        }
        if self.settings.name.contains('\0') {
            return Err(invalid("the name of a runtime must not contain a zero byte"));
        }
        if self.kind_of_homes()? == Homes::Travelling
            && !self.settings.migratory
            && shared_home::are_supported()
        {
            self.settings.max_homes = self.max_homes.unwrap_or(workers * HOMES_PER_WORKER).max(workers);
        }
        start(&self.settings, class, workers)
    }

    fn kind_of_homes(&self) -> io::Result<Homes> {
        let Some(text) = std::env::var_os(HOMES_VARIABLE).filter(|text| !text.is_empty()) else {
            return Ok(self.homes);
        };
        match text.to_str().map(str::trim) {
            Some("travelling") => Ok(Homes::Travelling),
            Some("kernel") => Ok(Homes::KernelThreads),
            _ => Err(invalid(&format!("{HOMES_VARIABLE}={text:?}: give \"travelling\" or \"kernel\""))),
        }
    }

    pub(super) fn worker_count(&self) -> io::Result<usize> {
        // An empty variable counts as not set, as in Go.
        let variable = std::env::var_os(WORKERS_VARIABLE).filter(|text| !text.is_empty());
        let (count, whence) = match variable {
            Some(text) => {
                let count = text.to_str().and_then(|text| text.trim().parse().ok()).ok_or_else(|| {
                    invalid(&format!("{WORKERS_VARIABLE}={text:?}: give a number from 1 to {WORKERS_MAX}"))
                })?;
                (count, format!("{WORKERS_VARIABLE}={count}"))
            }
            None => {
                let count = self
                    .workers
                    .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
                (count, format!("workers({count})"))
            }
        };
        if (1..=WORKERS_MAX).contains(&count) {
            Ok(count)
        } else {
            Err(invalid(&format!("{whence}: a runtime has from 1 to {WORKERS_MAX} workers")))
        }
    }
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

impl Default for Builder {
    fn default() -> Builder {
        Builder::new()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("workers", &self.workers)
            .field("stack_size", &self.stack_size)
            .field("blocking_threads", &self.settings.blocking_threads)
            .field("name", &self.settings.name)
            .field("homes", &self.homes)
            .field("max_homes", &self.max_homes)
            .field("migratory", &self.settings.migratory)
            .field("on_deadlock", &self.settings.on_deadlock.is_some())
            .finish()
    }
}
