//! Spawning green threads.

use core::num::NonZeroU8;
use std::io;

use crate::fiber::stack::SizeClass;
use crate::handle::JoinHandle;
use crate::runtime;
use crate::scheduler::{self, SHORT_OF_MEMORY, Scheduler};
use crate::task::{Runnable, SpawnOptions, allocate};
use crate::thread::own_home::{self, Home};
use crate::wait::consume;

/// Spawns a green thread in the caller's runtime, or in the process's default runtime.
///
/// # Parks
///
/// Never waits, but yields to other green threads every so often, so that a loop of spawns does not fill the memory.
///
/// # Panics
///
/// Panics if the last attempt to allocate memory for a stack of the default size failed, and no such memory has been
/// freed since. [`Builder::spawn`] returns an error instead.
///
/// # Examples
///
/// ```
/// let handle = kahn::spawn(|| 6 * 7);
/// assert_eq!(handle.join().unwrap(), 42);
/// ```
///
/// The closure must be `Send`, since any worker may start it:
///
/// ```compile_fail
/// let local = std::rc::Rc::new(1);
/// kahn::spawn(move || println!("{local}"));
/// ```
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    begin();
    assert!(!scheduler::is_short_of_memory_for(SpawnOptions::default()), "spawn: {SHORT_OF_MEMORY}");
    let migratory = scheduler::migratory_here();
    let options = SpawnOptions { migratory: migratory.unwrap_or(false), ..SpawnOptions::default() };
    // SAFETY: the bounds require that the closure and its value are `Send` and `'static`.
    unsafe { start(f, None, options) }
}

/// Spawns a green thread that stays on the worker of its parent. So its closure and its value need not be `Send`.
/// Communication with its parent is cheapest, because both share a worker.
///
/// # Parks
///
/// Never waits, but yields to other green threads every so often, as [`spawn()`] does.
///
/// # Panics
///
/// Panics if the caller is not a green thread, because no worker would run the new one. Panics if the caller has a [home of its
/// own](Builder::exclusive_home), because it does not stay on its worker.
///
/// # Examples
///
/// ```
/// kahn::run(|| {
///     let shared = std::rc::Rc::new(std::cell::Cell::new(0));
///     let child = kahn::spawn_local({
///         let shared = shared.clone();
///         move || shared.set(42)
///     });
///     child.join().unwrap();
///     assert_eq!(shared.get(), 42);
/// });
/// ```
#[track_caller]
pub fn spawn_local<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    // SAFETY: the bounds require that the closure and its value are `'static`.
    unsafe { spawn_local_unchecked(f) }
}

/// Spawns a green thread that stays on the worker of its parent.
///
/// # Safety
///
/// The values that `F` and `T` borrow outlive the task and its output.
#[track_caller]
pub(super) unsafe fn spawn_local_unchecked<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T,
{
    assert_stays();
    begin();
    let options = SpawnOptions { local: true, ..SpawnOptions::default() };
    // SAFETY: only this worker runs a local task, and the handle is not `Send` if `T` is not. The caller guarantees
    // the lifetimes.
    unsafe { start(f, None, options) }
}

/// Panics if the caller does not run on a worker, or does not stay there. A local child would stay there.
#[track_caller]
pub(crate) fn assert_stays() {
    assert!(
        crate::thread::is_green(),
        "spawn_local: the caller is not a green thread, so there is no worker to stay on; use spawn"
    );
    assert!(
        !scheduler::has_own_home(),
        "spawn_local: the caller has a home of its own, so it does not stay on its worker, as the new one would; use spawn"
    );
}

/// Allocates and queues a task. The caller has called [`begin`]. This does not unwind.
///
/// # Safety
///
/// The rules of `allocate` hold for `F`, `T` and `options`.
pub(super) unsafe fn start<F, T>(f: F, name: Option<Box<str>>, options: SpawnOptions) -> JoinHandle<T>
where
    F: FnOnce() -> T,
{
    // SAFETY: the caller guarantees the rules of `allocate`.
    let task = unsafe { allocate::<Scheduler, _, _>(scheduler::watched(f), name, options) };
    let handle = JoinHandle::new(task);
    // SAFETY: the task has been made just now, and has not been queued.
    queue(unsafe { Runnable::new(task) });
    handle
}

/// Begins a spawn, before anything exists that an unwind would leave behind, and before the spawn is refused: a loop
/// that retries a refused spawn pays for it. Yields if the budget is spent, or if many new tasks wait here, which a
/// cancel or a timeout may end. Starts the default runtime if the caller is in no runtime.
pub(crate) fn begin() {
    consume(1);
    if !scheduler::let_new_start() {
        let _ = runtime::default_shared();
    }
}

/// Queues a new task in the caller's runtime, or in the default one. After [`begin`], this does not unwind.
pub(crate) fn queue(task: Runnable) {
    if let Err(task) = scheduler::spawn(task) {
        runtime::inject(runtime::default_shared(), task);
    }
}

/// The settings of a green thread, like `std::thread::Builder`.
///
/// # Examples
///
/// ```
/// let handle = kahn::thread::Builder::new()
///     .name("parser".into())
///     .stack_size(1 << 20)
///     .spawn(|| kahn::thread::current().name().map(str::to_owned))?;
/// assert_eq!(handle.join().unwrap().as_deref(), Some("parser"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "`spawn` starts the green thread"]
#[derive(Clone, Debug, Default)]
pub struct Builder {
    name: Option<String>,
    stack_size: Option<usize>,
    exclusive_home: bool,
}

impl Builder {
    /// Creates settings without a name, and with the runtime's stack size.
    ///
    /// # Examples
    ///
    /// ```
    /// let handle = kahn::thread::Builder::new().spawn(|| 7)?;
    /// assert_eq!(handle.join().unwrap(), 7);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Sets the name, which reports show.
    ///
    /// # Examples
    ///
    /// ```
    /// let builder = kahn::thread::Builder::new().name("parser".into());
    /// assert_eq!(builder.spawn(|| ())?.thread().name(), Some("parser"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn name(mut self, name: String) -> Builder {
        self.name = Some(name);
        self
    }

    /// Sets the size of the stack, in bytes. It is rounded up to a size class (16, 64, 256 KiB, 1, 4, 16, 64, 256
    /// MiB, including the guard page).
    ///
    /// # Examples
    ///
    /// ```
    /// let error = kahn::thread::Builder::new().stack_size(1).spawn(|| ()).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    /// ```
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = Some(bytes);
        self
    }

    /// Gives the green thread a thread identity of its own: the thread-local storage of an OS thread that is started for it and
    /// sleeps.
    ///
    /// - It shares the values of `thread_local!` with no other green thread. `std::thread::current()` is its own, and has its
    ///   name. So even code that relies on the order in which a thread enters and leaves scopes is right, such as `scoped-tls`.
    /// - It may change its worker at each park, and idle workers take it from busy ones. Everything may be on its stack
    ///   meanwhile: `Rc`s, guards of `std`'s locks, borrows of thread-locals. This suits green threads that compute for long
    ///   between parks.
    ///
    /// The OS thread costs about 20 µs at the start and some 40 KB of the system's memory. It counts against the limits of the system for threads. It ends soon after the
    /// green thread, and drops the values of thread-locals. A join does not wait for that, as in `std` with detached threads;
    /// a shutdown of the runtime does.
    ///
    /// [`spawn_local`] and [`Scope::spawn_local`](crate::thread::Scope::spawn_local) panic in such a green thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// use kahn::thread::Builder;
    ///
    /// thread_local! { static DEPTH: Cell<u32> = const { Cell::new(0) } }
    ///
    /// let count = || {
    ///     DEPTH.set(DEPTH.get() + 1);
    ///     kahn::yield_now();
    ///     DEPTH.get()
    /// };
    /// # if cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))) {
    /// let a = Builder::new().exclusive_home(true).spawn(count)?;
    /// let b = Builder::new().exclusive_home(true).spawn(count)?;
    /// assert_eq!((a.join().unwrap(), b.join().unwrap()), (1, 1));
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn exclusive_home(mut self, exclusive: bool) -> Builder {
        self.exclusive_home = exclusive;
        self
    }

    /// Spawns the green thread.
    ///
    /// # Parks
    ///
    /// Never waits, but yields to other green threads every so often, as [`spawn()`] does.
    ///
    /// # Errors
    ///
    /// Returns `InvalidInput` if the stack size is below or above the size classes. Returns `OutOfMemory` if the last
    /// attempt to allocate memory for a stack of this size failed, and no such memory has been freed since.
    ///
    /// With [`exclusive_home`](Self::exclusive_home), returns `Unsupported` if thread identities cannot travel between kernel
    /// threads on this system, or the error of the system that has refused the OS thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::thread::Builder;
    ///
    /// // Small stacks, for many green threads.
    /// let small = Builder::new().stack_size(16 << 10);
    /// let handles = (0..100).map(|n| small.clone().spawn(move || n)).collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(handles.into_iter().map(|handle| handle.join().unwrap()).sum::<i32>(), 4950);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        begin();
        let prepared = self.prepare()?;
        // SAFETY: the bounds require that the closure and its value are `Send` and `'static`.
        Ok(unsafe { prepared.start(f) })
    }

    /// Does all of a spawn that may fail. The caller has called [`begin`].
    pub(super) fn prepare(self) -> io::Result<Prepared> {
        let migratory = !self.exclusive_home && scheduler::migratory_here().unwrap_or(false);
        let options = SpawnOptions { local: self.exclusive_home, ..self.options(migratory)? };
        let home = if self.exclusive_home { Some(own_home::make(self.name.as_deref())?) } else { None };
        Ok(Prepared { name: self.into_name(), options, home })
    }

    /// Spawns a green thread that may move to another OS thread when it parks.
    ///
    /// # Parks
    ///
    /// Never waits, but yields to other green threads every so often, as [`spawn()`] does.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`spawn`](Self::spawn).
    ///
    /// # Safety
    ///
    /// Every value on the green thread's stack while it parks can be used on another OS thread afterwards. Nothing
    /// that belongs to an OS thread is kept over a park.
    /// [`runtime::Builder::migratory`](crate::runtime::Builder::migratory) describes the same rule for a whole
    /// runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// kahn::run(|| {
    ///     // SAFETY: only a number is on the stack while it sleeps.
    ///     let handle = unsafe {
    ///         kahn::thread::Builder::new().spawn_migratory(|| {
    ///             let n = 6;
    ///             kahn::sleep(Duration::from_millis(1));
    ///             n * 7
    ///         })
    ///     };
    ///     assert_eq!(handle?.join().unwrap(), 42);
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub unsafe fn spawn_migratory<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        begin();
        let options = self.options(true)?;
        // SAFETY: the bounds require that the closure and its value are `Send` and `'static`. The caller guarantees
        // the rule about the values on the stack.
        Ok(unsafe { start(f, self.name.map(String::into_boxed_str), options) })
    }

    pub(crate) fn options(&self, migratory: bool) -> io::Result<SpawnOptions> {
        if migratory {
            scheduler::note_migratory();
        }
        let class = self.stack_size.map(SizeClass::for_size).transpose()?;
        let number = |class: SizeClass| u8::try_from(class.index() + 1).ok().and_then(NonZeroU8::new);
        let class = class.map(|class| number(class).expect("there are eight classes"));
        let options = SpawnOptions { class, migratory, ..SpawnOptions::default() };
        if scheduler::is_short_of_memory_for(options) {
            return Err(io::Error::new(io::ErrorKind::OutOfMemory, SHORT_OF_MEMORY));
        }
        Ok(options)
    }

    pub(crate) fn into_name(self) -> Option<Box<str>> {
        self.name.map(String::into_boxed_str)
    }
}

/// A green thread that any worker may start, but for its closure.
pub(super) struct Prepared {
    name: Option<Box<str>>,
    options: SpawnOptions,
    home: Option<Home>,
}

impl Prepared {
    /// # Safety
    ///
    /// `F` and `T` are `Send`. The values that they borrow outlive the task and its output.
    #[track_caller]
    pub(super) unsafe fn start<F, T>(self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T,
    {
        let Prepared { name, options, home } = self;
        let Some(home) = home else {
            // SAFETY: as the caller guarantees.
            return unsafe { start(f, name, options) };
        };
        // SAFETY: as the caller guarantees.
        let task = unsafe { allocate::<Scheduler, _, _>(f, name, options) };
        let handle = JoinHandle::new(task);
        // SAFETY: the task has been made just now, and has not been queued.
        own_home::spawn_in(home, unsafe { Runnable::new(task) });
        handle
    }
}
