//! No false deadlock: as long as anything inside or outside of the process can wake a green thread, there is no
//! report.
//!
//! In each scenario all green threads of a runtime sleep repeatedly, for longer than the detection of a deadlock
//! takes, and are woken each time. Each scenario runs in a process of its own, because other threads would prevent
//! a report.

mod support;

use std::cell::RefCell;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use kahn::Runtime;
use kahn::channel::{Sender, after, bounded, tick};
use support::{WORKERS, child, is_child, rounds, runtime, stderr};

/// Longer than it takes to find a deadlock on an idle machine (two looks, 5 ms and 5 ms after).
const LONG: Duration = Duration::from_millis(30);

/// Runs a scenario alone in a process, several times for each number of workers.
#[track_caller]
fn never_falsely(test: &str, scenario: fn(&Runtime)) {
    if is_child(test) {
        for workers in WORKERS {
            let runtime = runtime(workers);
            for _ in 0..rounds(5) {
                scenario(&runtime);
            }
        }
        return;
    }
    let output = child(test, test);
    assert!(output.status.success(), "{:?}: {}", output.status, stderr(&output));
}

/// An OS thread that sleeps, and then sends.
fn sends_later(tx: Sender<u32>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        std::thread::sleep(LONG);
        tx.send(7).unwrap();
    })
}

#[test]
fn os_thread_holds_a_sender() {
    never_falsely("os_thread_holds_a_sender", |runtime| {
        let (tx, rx) = bounded(0);
        let outsider = sends_later(tx);
        assert_eq!(runtime.run(move || rx.recv()), Ok(7));
        outsider.join().unwrap();
    });
}

#[test]
fn os_thread_got_a_sender_through_a_std_channel() {
    never_falsely("os_thread_got_a_sender_through_a_std_channel", |runtime| {
        let (give, get) = mpsc::channel::<Sender<u32>>();
        let outsider = std::thread::spawn(move || {
            let tx = get.recv().unwrap();
            sends_later(tx).join().unwrap();
        });
        let value = runtime.run(move || {
            let (tx, rx) = bounded(0);
            give.send(tx).unwrap();
            rx.recv()
        });
        assert_eq!(value, Ok(7));
        outsider.join().unwrap();
    });
}

#[test]
fn os_thread_finds_a_sender_in_a_static() {
    static PLACE: Mutex<Option<Sender<u32>>> = Mutex::new(None);
    never_falsely("os_thread_finds_a_sender_in_a_static", |runtime| {
        let outsider = std::thread::spawn(|| {
            std::thread::sleep(LONG);
            let tx = loop {
                if let Some(tx) = PLACE.lock().unwrap().take() {
                    break tx;
                }
            };
            tx.send(7).unwrap();
        });
        let value = runtime.run(|| {
            let (tx, rx) = bounded(0);
            *PLACE.lock().unwrap() = Some(tx);
            rx.recv()
        });
        assert_eq!(value, Ok(7));
        outsider.join().unwrap();
    });
}

/// The first thread of the process is the one that wakes, after a wait with a limit that is longer than any patience.
#[test]
fn main_thread_waits_with_a_limit() {
    let test = "main_thread_waits_with_a_limit";
    if !is_child(test) {
        let output = child(test, test);
        assert!(output.status.success(), "{:?}: {}", output.status, stderr(&output));
        return;
    }
    // The first thread belongs to the test harness. But the thread that forks is the first thread of the new process.
    // SAFETY: the harness waits meanwhile, holding no lock; the C library's and std's locks survive a fork.
    match unsafe { libc::fork() } {
        0 => {
            let ended = std::panic::catch_unwind(|| {
                for workers in [1, 2] {
                    let (tx, rx) = bounded(0);
                    let (_silent, limited) = mpsc::channel::<()>();
                    let inside = std::thread::spawn(move || runtime(workers).run(move || rx.recv()));
                    assert!(limited.recv_timeout(Duration::from_millis(2500)).is_err());
                    tx.send(7).unwrap();
                    assert_eq!(inside.join().unwrap(), Ok(7));
                }
            });
            // SAFETY: no thread of this process is to go on.
            unsafe { libc::_exit(i32::from(ended.is_err())) };
        }
        child => {
            let mut status = -1;
            // SAFETY: the child is ours, the status valid for writes.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert_eq!(status, 0);
        }
    }
}

#[test]
fn green_thread_sleeps() {
    never_falsely("green_thread_sleeps", |runtime| {
        let value = runtime.run(|| {
            let (tx, rx) = bounded(0);
            kahn::spawn(move || {
                kahn::sleep(LONG);
                tx.send(7).unwrap();
            });
            rx.recv()
        });
        assert_eq!(value, Ok(7));
    });
}

#[test]
fn timeout_is_pending() {
    never_falsely("timeout_is_pending", |runtime| {
        runtime.run(|| {
            let (_tx, rx) = bounded::<u32>(0);
            assert!(kahn::time::timeout(LONG, || rx.recv()).is_err());
            assert!(rx.recv_timeout(LONG).is_err());
            kahn::thread::park_timeout(LONG);
        });
    });
}

#[test]
fn timer_channels_are_pending() {
    never_falsely("timer_channels_are_pending", |runtime| {
        runtime.run(|| {
            let (_tx, rx) = bounded::<u32>(0);
            assert!(after(LONG).recv().is_ok());
            kahn::channel::select! {
                recv(rx) -> _ => unreachable!(),
                recv(tick(LONG)) -> _ => {},
            }
            kahn::channel::select! {
                recv(rx) -> _ => unreachable!(),
                default(LONG) => {},
            }
        });
    });
}

#[test]
fn blocking_call_is_under_way() {
    never_falsely("blocking_call_is_under_way", |runtime| {
        runtime.run(|| {
            let (tx, rx) = bounded(0);
            kahn::spawn(move || {
                // The thread of the pool itself sleeps without a limit most of the time.
                kahn::blocking(|| {
                    let (done, is_done) = mpsc::channel();
                    std::thread::spawn(move || {
                        std::thread::sleep(LONG);
                        done.send(()).unwrap();
                    });
                    is_done.recv().unwrap();
                });
                tx.send(7).unwrap();
            });
            assert_eq!(rx.recv(), Ok(7));
        });
    });
}

/// A future is woken by a thread that is woken by another.
#[test]
fn async_task_runs_elsewhere() {
    never_falsely("async_task_runs_elsewhere", |runtime| {
        let (tx, rx) = bounded(0);
        let (started, start) = mpsc::channel::<()>();
        let executor = std::thread::spawn(move || {
            // An executor of one task, with std's park: it waits for the message below, which it passes on.
            kahn::block_on(async move {
                start.recv().unwrap();
                tx.send_async(7).await.unwrap();
            });
        });
        let alarm = std::thread::spawn(move || {
            std::thread::sleep(LONG);
            started.send(()).unwrap();
        });
        assert_eq!(runtime.run(move || rx.recv()), Ok(7));
        executor.join().unwrap();
        alarm.join().unwrap();
    });
}

#[test]
fn another_runtime_will_send() {
    never_falsely("another_runtime_will_send", |runtime| {
        let other = support::runtime(1);
        let (tx, rx) = bounded(0);
        let (to_other, from_one) = bounded::<u32>(0);
        other.spawn(move || {
            let value = from_one.recv().unwrap();
            kahn::sleep(LONG);
            tx.send(value).unwrap();
        });
        let value = runtime.run(move || {
            to_other.send(7).unwrap();
            rx.recv()
        });
        assert_eq!(value, Ok(7));
    });
}

/// A pipe, from a process that ends.
#[test]
fn os_thread_reads_what_another_process_writes() {
    never_falsely("os_thread_reads_what_another_process_writes", |runtime| {
        let (tx, rx) = bounded(0);
        let outsider = std::thread::spawn(move || {
            assert!(std::process::Command::new("sleep").arg("0.03").status().unwrap().success());
            tx.send(7).unwrap();
        });
        assert_eq!(runtime.run(move || rx.recv()), Ok(7));
        outsider.join().unwrap();
    });
}

/// A semaphore of the C library that a signal's handler posts: all threads wait on futexes without a limit.
#[test]
fn signal_handler_wakes_an_os_thread() {
    static SEMAPHORE: AtomicPtr<libc::sem_t> = AtomicPtr::new(std::ptr::null_mut());
    extern "C" fn on_alarm(_: i32) {
        // SAFETY: made before the handler was installed, never freed; the call is allowed in a handler.
        unsafe { libc::sem_post(SEMAPHORE.load(SeqCst)) };
    }
    never_falsely("signal_handler_wakes_an_os_thread", |runtime| {
        let semaphore =
            Box::into_raw(Box::new(std::mem::MaybeUninit::<libc::sem_t>::zeroed())).cast::<libc::sem_t>();
        // SAFETY: a place for a semaphore, which stays; a handler of the right type; a timer that fires once.
        unsafe {
            assert_eq!(libc::sem_init(semaphore, 0, 0), 0);
            SEMAPHORE.store(semaphore, SeqCst);
            libc::signal(libc::SIGALRM, on_alarm as extern "C" fn(i32) as usize);
            let mut alarm: libc::itimerval = std::mem::zeroed();
            alarm.it_value.tv_usec = LONG.as_micros() as libc::suseconds_t;
            assert_eq!(libc::setitimer(libc::ITIMER_REAL, &alarm, std::ptr::null_mut()), 0);
        }
        let (tx, rx) = bounded(0);
        let outsider = std::thread::spawn(move || {
            // SAFETY: initialised above; a wait that a signal ends early is repeated.
            while unsafe { libc::sem_wait(SEMAPHORE.load(SeqCst)) } != 0 {}
            tx.send(7).unwrap();
        });
        assert_eq!(runtime.run(move || rx.recv()), Ok(7));
        outsider.join().unwrap();
    });
}

/// A semaphore in memory that another process shares and posts.
#[test]
fn another_process_wakes_an_os_thread_through_shared_memory() {
    never_falsely("another_process_wakes_an_os_thread_through_shared_memory", |runtime| {
        // SAFETY: fresh shared memory for one semaphore; the child calls what is allowed after a fork, and leaves.
        let semaphore = unsafe {
            let place = libc::mmap(
                std::ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(place, libc::MAP_FAILED);
            let semaphore = place.cast::<libc::sem_t>();
            assert_eq!(libc::sem_init(semaphore, 1, 0), 0);
            if libc::fork() == 0 {
                libc::usleep(LONG.as_micros() as libc::useconds_t);
                libc::sem_post(semaphore);
                libc::_exit(0);
            }
            semaphore.expose_provenance()
        };
        let (tx, rx) = bounded(0);
        let outsider = std::thread::spawn(move || {
            let semaphore = std::ptr::with_exposed_provenance_mut::<libc::sem_t>(semaphore);
            // SAFETY: initialised above, and never unmapped.
            while unsafe { libc::sem_wait(semaphore) } != 0 {}
            tx.send(7).unwrap();
        });
        assert_eq!(runtime.run(move || rx.recv()), Ok(7));
        outsider.join().unwrap();
        // SAFETY: reaps the child.
        unsafe { libc::wait(std::ptr::null_mut()) };
    });
}

/// Threads that hand a baton on in turns of a few microseconds, all but one asleep at any time: a look at one after the
/// other may find each of them asleep.
#[test]
fn token_circulates_between_os_threads() {
    never_falsely("token_circulates_between_os_threads", |runtime| {
        const RUNNERS: usize = 4;
        let turns = Arc::new(AtomicUsize::new(0));
        let (mut ends, mut starts) = (Vec::new(), Vec::new());
        for _ in 0..RUNNERS {
            let (end, start) = mpsc::sync_channel::<Option<Sender<u32>>>(1);
            ends.push(end);
            starts.push(Some(start));
        }
        let (tx, rx) = bounded(0);
        ends[0].send(Some(tx)).unwrap();
        let runners: Vec<_> = (0..RUNNERS)
            .map(|i| {
                let (next, mine) = (ends[(i + 1) % RUNNERS].clone(), starts[i].take().unwrap());
                let turns = turns.clone();
                std::thread::spawn(move || {
                    while let Ok(Some(tx)) = mine.recv() {
                        if turns.fetch_add(1, SeqCst) == 5000 {
                            tx.send(7).unwrap();
                            break;
                        }
                        let _ = next.send(Some(tx));
                    }
                    let _ = next.try_send(None);
                })
            })
            .collect();
        assert_eq!(runtime.run(move || rx.recv()), Ok(7));
        drop(ends);
        runners.into_iter().for_each(|runner| runner.join().unwrap());
    });
}

/// The handler of another runtime waits with a limit, and then wakes.
#[test]
fn another_runtimes_handler_wakes_after_a_wait_with_a_limit() {
    never_falsely("another_runtimes_handler_wakes_after_a_wait_with_a_limit", |runtime| {
        for other_workers in [1, 2] {
            let (tx, rx) = bounded(1);
            let (release, released) = bounded(1);
            let other = Runtime::builder()
                .workers(other_workers)
                .on_deadlock(move |_| {
                    let end = Instant::now() + LONG;
                    while let Some(left) = end.checked_duration_since(Instant::now()) {
                        std::thread::park_timeout(left);
                    }
                    tx.send(7).unwrap();
                    let _ = release.try_send(());
                })
                .build()
                .unwrap();
            let outsider = std::thread::spawn(move || other.run(move || released.recv()));
            assert_eq!(runtime.run(move || rx.recv()), Ok(7));
            assert_eq!(outsider.join().unwrap(), Ok(()));
        }
    });
}

/// A value that sends when its OS thread ends.
struct SendsAtTheEnd(Sender<u32>);

impl Drop for SendsAtTheEnd {
    fn drop(&mut self) {
        std::thread::sleep(LONG);
        self.0.send(7).unwrap();
    }
}

thread_local! {
    static AT_THE_END: RefCell<Option<SendsAtTheEnd>> = const { RefCell::new(None) };
}

/// Idle threads of the blocking pool end by themselves. What the destructors of their thread-locals do comes first.
#[test]
fn idle_blocking_thread_wakes_as_it_ends() {
    never_falsely("idle_blocking_thread_wakes_as_it_ends", |runtime| {
        let value = runtime.run(|| {
            let (tx, rx) = bounded(0);
            kahn::blocking(move || AT_THE_END.set(Some(SendsAtTheEnd(tx))));
            rx.recv()
        });
        assert_eq!(value, Ok(7));
    });
}

/// The same, of another runtime, which sends its threads home only after their time.
#[test]
fn idle_blocking_thread_of_another_runtime_wakes_as_it_ends() {
    never_falsely("idle_blocking_thread_of_another_runtime_wakes_as_it_ends", |runtime| {
        let other = support::runtime(1);
        let (tx, rx) = bounded(0);
        other.run(move || kahn::blocking(move || AT_THE_END.set(Some(SendsAtTheEnd(tx)))));
        let ends = std::thread::spawn(move || drop(other));
        assert_eq!(runtime.run(move || rx.recv()), Ok(7));
        ends.join().unwrap();
    });
}

/// OS threads that wait for the default runtime look for a deadlock, too.
#[test]
fn os_thread_waits_for_another_and_the_default_runtime() {
    never_falsely("os_thread_waits_for_another_and_the_default_runtime", |runtime| {
        let (tx, rx) = bounded(0);
        let (on, passes_on) = bounded::<u32>(0);
        let green = kahn::spawn(move || tx.send(passes_on.recv().unwrap()).unwrap());
        let outsider = sends_later(on.clone());
        assert_eq!(rx.recv(), Ok(7));
        green.join().unwrap();
        outsider.join().unwrap();
        // A runtime that is run reports for itself, also to an OS thread that waits for the default one.
        let (tx, rx) = bounded::<u32>(0);
        let runner = std::thread::scope(|s| {
            let waits = s.spawn(move || rx.recv());
            let deadlocked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                runtime.run(move || {
                    let _tx = tx;
                    kahn::channel::never::<()>().recv()
                })
            }));
            (deadlocked.is_err(), waits.join().unwrap().is_err())
        });
        assert_eq!(runner, (true, true));
    });
}
