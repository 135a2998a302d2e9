//! Green threads with a home of their own, and what depends on the kernel thread: signals, faults, users, owners of the C
//! library's mutexes.
//!
//! What concerns the whole process runs in a process of its own.
#![cfg(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]

mod support;

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::os::unix::process::ExitStatusExt;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use kahn::thread::Builder;
use support::{child, is_child, runtime, stderr, until, within};

/// Returns the kernel's number of the thread that runs the caller.
#[inline(never)]
fn kernel_thread() -> c_int {
    // SAFETY: the call has no preconditions.
    unsafe { libc::gettid() }
}

/// Runs `f` in a green thread with a home of its own, after the home has been carried by two workers, if there are two.
fn travelled<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    /// How long a worker is held up, so that an idle one takes the home.
    const TURN: Duration = Duration::from_millis(1);
    let runtime = runtime(4);
    let workers = runtime.workers();
    let compute = || {
        let start = Instant::now();
        while start.elapsed() < TURN {
            std::hint::spin_loop();
        }
    };
    runtime.run(|| {
        kahn::scope(|s| {
            let home = Builder::new().exclusive_home(true).name("travels".into()).stack_size(64 << 10);
            let travels = s.spawn_with(home, || {
                let first = kernel_thread();
                while workers > 1 && kernel_thread() == first {
                    let computes = kahn::spawn(compute);
                    kahn::yield_now();
                    computes.join().unwrap();
                }
                f()
            });
            travels.unwrap().join().unwrap()
        })
    })
}

/// Runs `f` as `travelled` does in a child that `signal` ends, and returns what it has printed.
#[track_caller]
fn last_words(test: &str, signal: c_int, f: fn()) -> String {
    if is_child(test) {
        travelled(f);
        panic!("it should be dead");
    }
    let output = child(test, test);
    assert_eq!(output.status.signal(), Some(signal), "{:?}: {}", output.status, stderr(&output));
    stderr(&output)
}

/// Runs `part` in a process of its own, and checks that it ends well.
#[track_caller]
fn alone(test: &str, part: fn()) {
    if is_child(test) {
        return part();
    }
    let output = child(test, test);
    assert!(output.status.success(), "{:?}: {}", output.status, stderr(&output));
}

#[test]
fn abort_ends_the_process() {
    last_words("abort_ends_the_process", libc::SIGABRT, || std::process::abort());
}

#[test]
fn exit_has_its_status() {
    let test = "exit_has_its_status";
    if is_child(test) {
        travelled(|| std::process::exit(3));
    }
    assert_eq!(child(test, test).status.code(), Some(3));
}

#[expect(unconditional_recursion, reason = "to overflow is the purpose")]
fn deeper(n: u64) -> u64 {
    let frame = black_box([n; 64]);
    deeper(n + 1) + black_box(frame)[(n % 64) as usize]
}

#[test]
fn overflow_is_reported_with_the_name() {
    let words = last_words("overflow_is_reported_with_the_name", libc::SIGABRT, || _ = black_box(deeper(1)));
    assert!(words.contains("green thread 'travels'"), "{words}");
    assert!(words.contains("has overflowed its stack of 64 KiB"), "{words}");
}

#[test]
fn null_dereference_kills_the_process() {
    let words = last_words("null_dereference_kills_the_process", libc::SIGSEGV, || {
        // SAFETY: none; it is to fault.
        unsafe { black_box(ptr::null_mut::<u8>()).write_volatile(1) };
    });
    assert!(!words.contains("overflowed"), "{words}");
}

#[test]
fn panic_in_a_destructor_while_unwinding_aborts_with_its_name() {
    let test = "panic_in_a_destructor_while_unwinding_aborts_with_its_name";
    let words = last_words(test, libc::SIGABRT, || {
        let _second = support::OnDrop(|| {
            kahn::yield_now();
            panic!("second")
        });
        panic!("first");
    });
    assert!(words.contains("thread 'travels'"), "{words}");
    assert!(words.contains("first") && words.contains("second"), "{words}");
}

thread_local! { static HANDLED: Cell<u32> = const { Cell::new(0) } }
/// How often `count` was called, and where last.
static CALLS: AtomicUsize = AtomicUsize::new(0);
static CALLED_ON: AtomicI32 = AtomicI32::new(0);
static ON_ALTERNATE_STACK: AtomicBool = AtomicBool::new(false);

extern "C" fn count(_: c_int) {
    HANDLED.set(HANDLED.get() + 1);
    CALLED_ON.store(kernel_thread(), SeqCst);
    let mut stack = MaybeUninit::<libc::stack_t>::uninit();
    // SAFETY: the call fills the value.
    let stack = unsafe {
        libc::sigaltstack(ptr::null(), stack.as_mut_ptr());
        stack.assume_init()
    };
    ON_ALTERNATE_STACK.store(stack.ss_flags & libc::SS_ONSTACK != 0, SeqCst);
    CALLS.fetch_add(1, SeqCst);
}

fn install_count(signal: c_int) {
    // SAFETY: the handler has the right type, and is async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as extern "C" fn(c_int) as usize;
        action.sa_flags = libc::SA_ONSTACK;
        assert_eq!(libc::sigaction(signal, &action, ptr::null_mut()), 0);
    }
}

#[test]
fn signals_that_it_raises_are_handled_before_raise_returns() {
    alone("signals_that_it_raises_are_handled_before_raise_returns", || {
        install_count(libc::SIGUSR1);
        travelled(|| {
            // SAFETY: the signal has a handler.
            unsafe {
                assert_eq!(libc::raise(libc::SIGUSR1), 0);
                assert_eq!(libc::pthread_kill(libc::pthread_self(), libc::SIGUSR1), 0);
            }
            assert_eq!(HANDLED.get(), 2, "the handler uses the identity of the home");
            assert_eq!(CALLED_ON.load(SeqCst), kernel_thread());
            assert!(ON_ALTERNATE_STACK.load(SeqCst));
        });
    });
}

#[test]
fn signals_that_others_send_to_its_pthread_wait_for_the_end_of_the_home() {
    alone("signals_that_others_send_to_its_pthread_wait_for_the_end_of_the_home", || {
        install_count(libc::SIGUSR1);
        let worker = travelled(|| {
            // SAFETY: the call has no preconditions.
            let this = unsafe { libc::pthread_self() };
            // SAFETY: the thread is alive, and the signal has a handler.
            let sends = move || unsafe { libc::pthread_kill(this, libc::SIGUSR1) };
            assert_eq!(std::thread::spawn(sends).join().unwrap(), 0);
            kahn::yield_now();
            assert_eq!((HANDLED.get(), CALLS.load(SeqCst)), (0, 0));
            kernel_thread()
        });
        until("the handler", || CALLS.load(SeqCst) == 1);
        assert_ne!(CALLED_ON.load(SeqCst), worker, "it runs on the OS thread of the home");
    });
}

#[test]
fn its_pthread_and_the_kernel_thread_differ() {
    travelled(|| {
        let mut clock = 0;
        let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
        // SAFETY: the thread is alive. The calls fill the values.
        let (of_pthread, of_kernel_thread) = unsafe {
            let this = libc::pthread_self();
            assert_eq!(libc::pthread_getcpuclockid(this, &mut clock), 0);
            assert_eq!(libc::pthread_getaffinity_np(this, size_of_val(&set), set.as_mut_ptr()), 0);
            let mut times = [libc::timespec { tv_sec: 0, tv_nsec: 0 }; 2];
            assert_eq!(libc::clock_gettime(clock, &mut times[0]), 0);
            assert_eq!(libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut times[1]), 0);
            (times[0].tv_nsec, times[1].tv_nsec)
        };
        assert_ne!(of_pthread, of_kernel_thread, "the OS thread of the home sleeps");
    });
}

/// A mutex of the C library.
struct Mutex(Box<std::cell::UnsafeCell<libc::pthread_mutex_t>>);

// SAFETY: the mutex may be used by several threads.
unsafe impl Sync for Mutex {}
// SAFETY: it is in a box that does not move.
unsafe impl Send for Mutex {}

impl Mutex {
    fn new(set: impl FnOnce(*mut libc::pthread_mutexattr_t) -> c_int) -> Mutex {
        let mutex = Mutex(Box::new(libc::PTHREAD_MUTEX_INITIALIZER.into()));
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the attributes and the mutex are initialized before they are used.
        unsafe {
            assert_eq!(libc::pthread_mutexattr_init(attributes.as_mut_ptr()), 0);
            assert_eq!(set(attributes.as_mut_ptr()), 0);
            assert_eq!(libc::pthread_mutex_init(mutex.0.get(), attributes.as_ptr()), 0);
        }
        mutex
    }

    fn robust() -> Mutex {
        // SAFETY: the attributes are initialized.
        Mutex::new(|a| unsafe { libc::pthread_mutexattr_setrobust(a, libc::PTHREAD_MUTEX_ROBUST) })
    }

    fn lock(&self) -> c_int {
        // SAFETY: the mutex is initialized.
        unsafe { libc::pthread_mutex_lock(self.0.get()) }
    }

    fn unlock(&self) -> c_int {
        // SAFETY: the mutex is initialized.
        unsafe { libc::pthread_mutex_unlock(self.0.get()) }
    }

    fn make_consistent(&self) -> c_int {
        // SAFETY: the mutex is initialized.
        unsafe { libc::pthread_mutex_consistent(self.0.get()) }
    }

    /// The first word of a mutex of glibc is the futex, with this bit if a thread sleeps for it.
    fn has_waiters(&self) -> bool {
        const WAITERS: u32 = 0x8000_0000;
        // SAFETY: the word is initialized, and changed by atomic operations alone.
        unsafe { &*self.0.get().cast::<std::sync::atomic::AtomicU32>() }.load(SeqCst) & WAITERS != 0
    }
}

#[test]
fn robust_mutexes_can_be_held_over_parks() {
    let mutex = Mutex::robust();
    travelled(|| {
        assert_eq!(mutex.lock(), 0);
        std::thread::scope(|s| {
            let waits = s.spawn(|| (mutex.lock(), mutex.unlock()));
            until("a waiter", || mutex.has_waiters());
            kahn::yield_now();
            assert_eq!(mutex.unlock(), 0);
            assert_eq!(waits.join().unwrap(), (0, 0));
        });
        // The other way round.
        let locked = AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| {
                assert_eq!(mutex.lock(), 0);
                locked.store(true, SeqCst);
                until("a waiter", || mutex.has_waiters());
                assert_eq!(mutex.unlock(), 0);
            });
            until("the lock", || locked.load(SeqCst));
            assert_eq!(mutex.lock(), 0);
            kahn::yield_now();
            assert_eq!(mutex.unlock(), 0);
        });
    });
}

#[test]
fn robust_mutexes_are_released_at_the_end_of_the_home() {
    let mutex = Mutex::robust();
    travelled(|| assert_eq!(mutex.lock(), 0));
    // Waits until the OS thread of the home has ended.
    assert_eq!(mutex.lock(), libc::EOWNERDEAD);
    assert_eq!((mutex.make_consistent(), mutex.unlock()), (0, 0));
}

extern "C" fn store(to: *mut c_void) {
    // SAFETY: the value of the key is such a pointer.
    unsafe { (*to.cast::<AtomicI32>()).store(kernel_thread(), SeqCst) };
}

#[test]
fn destructors_of_pthread_values_run_on_the_os_thread_of_the_home() {
    static RAN_ON: AtomicI32 = AtomicI32::new(0);
    let mut key = 0;
    // SAFETY: the destructor has the right type.
    assert_eq!(unsafe { libc::pthread_key_create(&mut key, Some(store)) }, 0);
    let worker = travelled(|| {
        // SAFETY: the key is alive. The value is what its destructor expects.
        unsafe {
            assert_eq!(libc::pthread_setspecific(key, (&raw const RAN_ON).cast()), 0);
            kahn::yield_now();
            assert_eq!(libc::pthread_getspecific(key), (&raw const RAN_ON).cast_mut().cast());
        }
        kernel_thread()
    });
    within("the destructor", || until("it", || RAN_ON.load(SeqCst) != 0));
    assert_ne!(RAN_ON.load(SeqCst), worker);
}

#[test]
fn a_forked_child_has_the_identity() {
    thread_local! { static VALUE: Cell<u32> = const { Cell::new(0) } }
    travelled(|| {
        VALUE.set(17);
        // SAFETY: the child calls only what is async-signal-safe.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                let same = VALUE.get() == 17 && libc::raise(0) == 0;
                libc::_exit(c_int::from(!same));
            }
            let mut status = 1;
            assert_eq!(libc::waitpid(child, &mut status, 0), child);
            assert_eq!(status, 0);
        }
    });
}
