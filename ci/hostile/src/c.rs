//! What code in C relies on: the C library, and the kernel.

use std::cell::Cell;
use std::ffi::{CString, c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{io, ptr};

use crate::Scenario;
use crate::travel::{hop, hops, kernel_thread};

pub const SCENARIOS: &[Scenario] = &[
    ("errno", errno),
    ("specific_data", specific_data),
    ("thread_local_destructors", thread_local_destructors),
    ("recursive_mutex", recursive_mutex),
    ("errorcheck_mutex", errorcheck_mutex),
    ("robust_mutex", robust_mutex),
    ("fork", fork),
    ("loaded_library", loaded_library),
    ("raised_signal", raised_signal),
    ("signal_of_the_process", signal_of_the_process),
    ("locale", locale),
    ("processor", processor),
    ("pthread_kill_of_itself", pthread_kill_of_itself),
];

/// Fails with the name of the call.
fn check(name: &str, result: c_int) {
    assert_eq!(result, 0, "{name}: {}", io::Error::from_raw_os_error(result));
}

/// Installs the signal handlers, and loads the library.
pub fn prepare() {
    for signal in [libc::SIGUSR1, libc::SIGUSR2] {
        // SAFETY: the handler is async-signal-safe: it uses a thread-local without a destructor, and atomics.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as extern "C" fn(c_int) as usize;
            action.sa_flags = libc::SA_ONSTACK | libc::SA_RESTART;
            assert_eq!(libc::sigaction(signal, &action, ptr::null_mut()), 0);
        }
    }
    library();
}

/// What must hold when all homes have ended.
pub fn check_the_end() {
    assert_eq!(
        MADE.load(Ordering::SeqCst),
        DESTROYED.load(Ordering::SeqCst),
        "values of pthread_setspecific"
    );
    assert_eq!(VALUES.load(Ordering::SeqCst), DROPPED.load(Ordering::SeqCst), "values of thread_local!");
}

fn errno(n: u64) {
    // SAFETY: the address is valid while the identity is.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: closes no descriptor.
    assert_eq!(unsafe { libc::close(-1) }, -1);
    assert_eq!(io::Error::last_os_error().raw_os_error(), Some(libc::EBADF));
    hops(n);
    // SAFETY: as above.
    unsafe {
        assert_eq!(libc::__errno_location(), place);
        *place = 4242;
        kahn::yield_now();
        assert_eq!(*libc::__errno_location(), 4242);
    }
}

static MADE: AtomicU64 = AtomicU64::new(0);
static DESTROYED: AtomicU64 = AtomicU64::new(0);

fn specific_data(n: u64) {
    extern "C" fn destroy(value: *mut c_void) {
        // SAFETY: the value was made below.
        let value = unsafe { Box::from_raw(value.cast::<Box<u64>>()) };
        assert_eq!(**value >> 60, 7);
        DESTROYED.fetch_add(1, Ordering::SeqCst);
    }
    static KEY: OnceLock<libc::pthread_key_t> = OnceLock::new();
    let key = *KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: the destructor has the right type.
        check("pthread_key_create", unsafe { libc::pthread_key_create(&mut key, Some(destroy)) });
        key
    });
    // SAFETY: the key is alive.
    unsafe {
        let mut value = libc::pthread_getspecific(key);
        if value.is_null() {
            value = Box::into_raw(Box::new(Box::new(7_u64 << 60))).cast();
            MADE.fetch_add(1, Ordering::SeqCst);
            check("pthread_setspecific", libc::pthread_setspecific(key, value));
        }
        hops(n);
        assert_eq!(libc::pthread_getspecific(key), value);
    }
}

static VALUES: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);

fn thread_local_destructors(n: u64) {
    struct Counts(std::thread::ThreadId, libc::pthread_t);
    impl Drop for Counts {
        fn drop(&mut self) {
            // SAFETY: the call has no preconditions.
            assert_eq!(unsafe { libc::pthread_self() }, self.1);
            assert_eq!(std::thread::current().id(), self.0);
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    thread_local! {
        static VALUE: Counts = {
            VALUES.fetch_add(1, Ordering::SeqCst);
            // SAFETY: as above.
            Counts(std::thread::current().id(), unsafe { libc::pthread_self() })
        };
    }
    VALUE.with(|_| hop(n));
}

/// A mutex of the C library.
struct Mutex(Box<libc::pthread_mutex_t>);

impl Mutex {
    fn new(set: impl FnOnce(*mut libc::pthread_mutexattr_t) -> c_int) -> Mutex {
        // SAFETY: the attributes and the mutex are made before they are used.
        unsafe {
            let mut attributes = MaybeUninit::uninit();
            check("pthread_mutexattr_init", libc::pthread_mutexattr_init(attributes.as_mut_ptr()));
            check("pthread_mutexattr_set…", set(attributes.as_mut_ptr()));
            let mut mutex = Mutex(Box::new(libc::PTHREAD_MUTEX_INITIALIZER));
            check("pthread_mutex_init", libc::pthread_mutex_init(&mut *mutex.0, attributes.as_ptr()));
            mutex
        }
    }

    fn lock(&mut self) -> c_int {
        // SAFETY: the mutex is alive.
        unsafe { libc::pthread_mutex_lock(&mut *self.0) }
    }

    fn unlock(&mut self) -> c_int {
        // SAFETY: the mutex is alive.
        unsafe { libc::pthread_mutex_unlock(&mut *self.0) }
    }
}

fn recursive_mutex(n: u64) {
    // SAFETY: the attributes are alive.
    let mut mutex =
        Mutex::new(|a| unsafe { libc::pthread_mutexattr_settype(a, libc::PTHREAD_MUTEX_RECURSIVE) });
    check("lock", mutex.lock());
    hops(n);
    check("lock again", mutex.lock());
    hops(n / 3);
    check("unlock", mutex.unlock());
    hop(n);
    check("unlock again", mutex.unlock());
}

fn errorcheck_mutex(n: u64) {
    // SAFETY: the attributes are alive.
    let mut mutex =
        Mutex::new(|a| unsafe { libc::pthread_mutexattr_settype(a, libc::PTHREAD_MUTEX_ERRORCHECK) });
    check("lock", mutex.lock());
    hops(n);
    assert_eq!(mutex.lock(), libc::EDEADLK);
    check("unlock", mutex.unlock());
    hops(n / 3);
    assert_eq!(mutex.unlock(), libc::EPERM);
}

fn robust_mutex(n: u64) {
    // SAFETY: the attributes are alive.
    let mut mutex =
        Mutex::new(|a| unsafe { libc::pthread_mutexattr_setrobust(a, libc::PTHREAD_MUTEX_ROBUST) });
    check("lock", mutex.lock());
    hops(n);
    check("unlock", mutex.unlock());
}

fn fork(n: u64) {
    static ONE: AtomicU64 = AtomicU64::new(0);
    if ONE.fetch_add(1, Ordering::SeqCst) == 0 {
        thread_local! { static VALUE: Cell<u64> = const { Cell::new(0) } }
        VALUE.set(n);
        hop(n);
        // SAFETY: the child calls only what is async-signal-safe, and the allocator, which the C library's fork prepares.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                let right = VALUE.get() == n && kernel_thread() == libc::getpid();
                // Other allocators do not promise this.
                let allocates = cfg!(any(feature = "jemalloc", feature = "mimalloc", feature = "tcmalloc"))
                    || vec![1_u8; 100].iter().all(|byte| *byte == 1);
                libc::_exit(if right && allocates { 7 } else { 8 });
            }
            assert!(child > 0);
            hop(n);
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &mut status, 0), child);
            assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 7, "{status:x}");
        }
    }
    ONE.fetch_sub(1, Ordering::SeqCst);
}

/// Returns the path of a library with thread-locals, which `HOSTILE_LIBRARY` names.
fn library() -> Option<&'static CString> {
    static PATH: OnceLock<Option<CString>> = OnceLock::new();
    PATH.get_or_init(|| std::env::var("HOSTILE_LIBRARY").ok().map(|path| CString::new(path).unwrap()))
        .as_ref()
}

fn loaded_library(n: u64) {
    let Some(path) = library() else { return hop(n) };
    // SAFETY: the library has these functions of these types, and is unloaded after their last use.
    unsafe {
        let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
        assert!(!handle.is_null());
        let symbol = libc::dlsym(handle, c"count".as_ptr());
        assert!(!symbol.is_null());
        let count = std::mem::transmute::<*mut c_void, extern "C" fn() -> *mut u64>(symbol);
        let place = count();
        let before = *place;
        hops(n);
        assert_eq!(count(), place);
        assert_eq!(*place, before + 1);
        hop(n);
        assert_eq!(libc::dlclose(handle), 0);
    }
}

thread_local! { static HANDLED: Cell<u64> = const { Cell::new(0) } }
static SEEN: AtomicU64 = AtomicU64::new(0);

extern "C" fn handler(signal: c_int) {
    if signal == libc::SIGUSR1 {
        HANDLED.set(HANDLED.get() + 1);
    } else {
        SEEN.fetch_add(1, Ordering::SeqCst);
    }
}

fn raised_signal(n: u64) {
    hops(n);
    let before = HANDLED.get();
    // SAFETY: the signal has a handler.
    assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0);
    assert_eq!(HANDLED.get(), before + 1, "raise returns after the handler, which uses the same identity");
    hop(n);
    assert_eq!(HANDLED.get(), before + 1);
}

fn pthread_kill_of_itself(n: u64) {
    hops(n);
    let before = HANDLED.get();
    // SAFETY: the signal has a handler.
    check("pthread_kill", unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGUSR1) });
    assert_eq!(HANDLED.get(), before + 1);
}

fn signal_of_the_process(n: u64) {
    let before = SEEN.load(Ordering::SeqCst);
    // SAFETY: the signal has a handler.
    assert_eq!(unsafe { libc::kill(libc::getpid(), libc::SIGUSR2) }, 0);
    hops(n);
    while SEEN.load(Ordering::SeqCst) == before {
        kahn::yield_now();
    }
}

fn locale(n: u64) {
    // SAFETY: the locale is made, used by this identity alone, and freed after it is no longer used.
    unsafe {
        let new = libc::newlocale(libc::LC_ALL_MASK, c"C".as_ptr(), ptr::null_mut());
        let old = libc::uselocale(new);
        hops(n);
        assert_eq!(libc::uselocale(old), new);
        libc::freelocale(new);
    }
}

/// The C library's restartable sequences would have the number of the processor on which the home's OS thread ran last.
fn processor(n: u64) {
    hop(n);
    // SAFETY: the calls fill `before`, and read the sets.
    unsafe {
        let mut before: libc::cpu_set_t = std::mem::zeroed();
        let size = size_of::<libc::cpu_set_t>();
        assert_eq!(libc::sched_getaffinity(0, size, &mut before), 0);
        for cpu in (0..64).filter(|cpu| libc::CPU_ISSET(*cpu, &before)) {
            let mut one: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(cpu, &mut one);
            assert_eq!(libc::sched_setaffinity(0, size, &one), 0);
            assert_eq!(libc::sched_getcpu(), c_int::try_from(cpu).unwrap());
        }
        assert_eq!(libc::sched_setaffinity(0, size, &before), 0);
    }
}
