//! Invalid input and exhausted resources. Each gives a typed error or a documented panic, and everything else goes
//! on.

mod support;

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use kahn::Runtime;
use kahn::channel::{
    RecvTimeoutError, SendTimeoutError, after, at, bounded, broadcast, never, oneshot, tick, watch,
};
use kahn::sync::{Condvar, Mutex, Semaphore};
use kahn::time::{interval, timeout};
use support::{child, child_command, is_child, output_of, runtime, stderr, with_each_size, within};

#[test]
fn runtime_without_workers_or_blocking_threads_is_an_error() {
    for builder in [
        Runtime::builder().workers(0),
        Runtime::builder().workers(usize::MAX),
        Runtime::builder().blocking_threads(0),
        Runtime::builder().name("a\0b"),
    ] {
        let text = format!("{builder:?}");
        let error = builder.build().map(drop).expect_err(&text);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}: {error}");
    }
    // The error says what would do.
    let error = Runtime::builder().workers(0).build().unwrap_err().to_string();
    assert!(error.contains("workers(0)") && error.contains("from 1 to"), "{error}");
}

#[test]
fn impossible_stack_sizes_are_errors() {
    for bytes in [0, 1, 4096, (16 << 10) - 1, (256 << 20) + 1, 1 << 40, usize::MAX / 2, usize::MAX] {
        let error = Runtime::builder().stack_size(bytes).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bytes}");
        let error = kahn::thread::Builder::new().stack_size(bytes).spawn(|| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bytes}");
        assert!(error.to_string().contains("256 MiB"), "{error}");
    }
    for bytes in [16 << 10, (16 << 10) + 1, 1 << 20, 256 << 20] {
        let builder = kahn::thread::Builder::new().stack_size(bytes);
        assert_eq!(builder.spawn(|| 7).unwrap().join().unwrap(), 7, "{bytes}");
    }
}

/// `KAHN_WORKERS`, in a process of its own for each value.
#[test]
fn workers_variable_is_parsed_strictly() {
    let test = "workers_variable_is_parsed_strictly";
    if is_child(test) {
        match Runtime::builder().workers(3).build() {
            Ok(runtime) => eprintln!("built {runtime:?}"),
            Err(error) => eprintln!("refused {:?}: {error}", error.kind()),
        }
        return;
    }
    for (value, answer) in [
        ("2", "built"),
        (" 5 ", "built"),
        ("4096", "built"),
        ("0", "refused InvalidInput"),
        ("4097", "refused InvalidInput"),
        ("-1", "refused InvalidInput"),
        ("two", "refused InvalidInput"),
        ("", "built"),
        (" ", "refused InvalidInput"),
        ("99999999999999999999999", "refused InvalidInput"),
        ("1.5", "refused InvalidInput"),
    ] {
        if value == "4096" {
            // More OS threads than a small machine may have.
            continue;
        }
        let mut command = child_command(test, test);
        command.env("KAHN_WORKERS", value);
        let said = stderr(&output_of(command));
        assert!(said.contains(answer), "{value:?}: {said}");
        if answer == "built" {
            // Set to nothing it is not set.
            let workers = if value.is_empty() { "3" } else { value.trim() };
            assert!(said.contains(&format!("workers: {workers}")), "{value:?}: {said}");
        } else {
            assert!(said.contains("KAHN_WORKERS"), "{value:?}: {said}");
        }
    }
}

/// Durations of nothing: everything answers at once, and a wait that could be satisfied is.
#[test]
fn durations_of_zero_return_at_once() {
    let zero = Duration::ZERO;
    let check = || {
        let (tx, rx) = bounded(1);
        assert_eq!(rx.recv_timeout(zero), Err(RecvTimeoutError::Timeout));
        assert_eq!(tx.send_timeout(1, zero), Ok(()));
        assert_eq!(tx.send_timeout(2, zero), Err(SendTimeoutError::Timeout(2)));
        assert_eq!(rx.recv_timeout(zero), Ok(1));
        assert_eq!(rx.recv_deadline(Instant::now()), Err(RecvTimeoutError::Timeout));
        kahn::channel::select! {
            recv(rx) -> _ => unreachable!(),
            default(zero) => {},
        }
        assert!(after(zero).recv().is_ok());
        assert!(at(Instant::now()).recv().is_ok());
        kahn::sleep(zero);
        kahn::thread::sleep_until(Instant::now());
        kahn::thread::park_timeout(zero);
        assert_eq!(timeout(zero, || 7), Ok(7));
        assert!(Semaphore::new(0).acquire_timeout(zero).is_none());
        assert!(Semaphore::new(1).acquire_timeout(zero).is_some());
        let (lock, condvar) = (Mutex::new(()), Condvar::new());
        let (_guard, ended) = condvar.wait_timeout(lock.lock().unwrap(), zero).unwrap();
        assert!(ended.timed_out());
        let (_one_tx, one_rx) = oneshot::<u32>();
        assert_eq!(one_rx.recv_timeout(zero), Err(RecvTimeoutError::Timeout));
        let (_all_tx, all_rx) = broadcast::<u32>(1);
        assert_eq!(all_rx.recv_timeout(zero), Err(RecvTimeoutError::Timeout));
        let (_watch_tx, watch_rx) = watch(1);
        assert_eq!(watch_rx.changed_timeout(zero), Err(RecvTimeoutError::Timeout));
    };
    with_each_size(check);
    within("an OS thread", check);
    assert!(catch_unwind(|| interval(zero)).is_err(), "documented");
    runtime(1).shutdown(zero).map_or_else(|error| assert!(error.count() > 0), |()| ());
}

/// Durations of for ever: nothing overflows, and what comes is got.
#[test]
fn endless_durations_do_not_overflow() {
    for time in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(1 << 40)] {
        let check = || {
            let (tx, rx) = bounded(0);
            let other = kahn::spawn(move || {
                tx.send_timeout(1, time).unwrap();
                tx.send_timeout(2, time).unwrap();
                tx.send_timeout(3, time).unwrap();
            });
            assert_eq!(rx.recv_timeout(time), Ok(1));
            assert_eq!(timeout(time, || rx.recv()), Ok(Ok(2)));
            kahn::channel::select! {
                recv(rx) -> three => assert_eq!(three, Ok(3)),
                recv(after(time)) -> _ => unreachable!(),
                recv(tick(time)) -> _ => unreachable!(),
                recv(never::<()>()) -> _ => unreachable!(),
                default(time) => unreachable!(),
            }
            other.join().unwrap();
            let me = kahn::thread::current();
            kahn::spawn(move || me.unpark());
            kahn::thread::park_timeout(time);
            assert!(Semaphore::new(1).acquire_timeout(time).is_some());
            let sleeper = kahn::spawn(move || kahn::sleep(time));
            let (lock, condvar) =
                (std::sync::Arc::new(Mutex::new(false)), std::sync::Arc::new(Condvar::new()));
            let (there, wakes) = (lock.clone(), condvar.clone());
            let waker = kahn::spawn(move || {
                *there.lock().unwrap() = true;
                wakes.notify_all();
            });
            let mut said = lock.lock().unwrap();
            while !*said {
                said = condvar.wait_timeout(said, time).unwrap().0;
            }
            drop(said);
            waker.join().unwrap();
            sleeper.cancel();
            assert!(sleeper.join().unwrap_err().is_cancelled());
            let mut beat = interval(time);
            beat.tick();
        };
        with_each_size(check);
        within("an OS thread", check);
        within("a shutdown", || runtime(2).shutdown(time).unwrap());
    }
}

/// Buffers are made as they fill.
#[test]
fn capacity_beyond_all_memory_costs_nothing() {
    let (tx, rx) = bounded::<[u64; 100]>(usize::MAX);
    assert_eq!(tx.capacity(), Some(usize::MAX));
    for i in 0..1000 {
        tx.send([i; 100]).unwrap();
    }
    assert_eq!((rx.len(), rx.is_full()), (1000, false));
    assert!((0..1000).all(|i| rx.recv().unwrap()[7] == i));
    let (tx, rx) = bounded::<()>(usize::MAX);
    for _ in 0..1000 {
        tx.try_send(()).unwrap();
    }
    assert_eq!(rx.try_iter().count(), 1000);
    for wrong in [0, usize::MAX] {
        // Either it works, or the panic is documented; it does not take the memory.
        let _ = catch_unwind(|| drop(broadcast::<u64>(wrong)));
    }
}

#[test]
fn runtime_inside_a_green_thread_panics_at_once() {
    with_each_size(|| {
        let message = |caught: std::thread::Result<()>| {
            *caught
                .unwrap_err()
                .downcast::<String>()
                .unwrap_or_else(|other| Box::new((*other.downcast::<&str>().unwrap()).to_owned()))
        };
        let caught = message(catch_unwind(|| kahn::run(|| ())));
        assert!(caught.contains("cannot be run inside a green thread"), "{caught}");
        let inner = runtime(1);
        let caught = message(catch_unwind(AssertUnwindSafe(|| inner.run(|| ()))));
        assert!(caught.contains("cannot be run inside a green thread"), "{caught}");
        // What the message says instead works, and so does a spawn there.
        assert_eq!(kahn::blocking(|| kahn::run(|| 7)), 7);
        assert_eq!(inner.spawn(|| 7).join().unwrap(), 7);
    });
}

/// Limits the process's address space to what it has and so many bytes more.
#[cfg(target_os = "linux")]
fn allow(more: Option<u64>) {
    let used = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = used.split_whitespace().next().unwrap().parse().unwrap();
    // SAFETY: no arguments that could be wrong; a valid record.
    unsafe {
        let page = libc::sysconf(libc::_SC_PAGESIZE) as u64;
        let rlim_cur = more.map_or(libc::RLIM_INFINITY, |more| pages * page + more);
        let limit = libc::rlimit { rlim_cur, rlim_max: libc::RLIM_INFINITY };
        assert_eq!(libc::setrlimit(libc::RLIMIT_AS, &limit), 0);
    }
}

/// Memory for stacks runs out: `Builder::spawn` says so, the rest lives on, and when some have ended all is well again.
#[test]
#[cfg(target_os = "linux")]
fn spawn_recovers_after_memory_runs_out() {
    let test = "spawn_recovers_after_memory_runs_out";
    if !is_child(test) {
        let output = child(test, test);
        return assert!(output.status.success(), "{:?}: {}", output.status, stderr(&output));
    }
    for (workers, stack) in [(1, 4 << 20), (2, 1 << 20), (2, 256 << 10)] {
        let runtime = runtime(workers);
        // A thread of the pool, which cannot be made when all is gone.
        runtime.run(|| kahn::blocking(|| ()));
        runtime.run(|| {
            for round in 0..3 {
                let (open, gate) = bounded::<()>(0);
                let mut parked = Vec::new();
                allow(Some(200 << 20));
                let error = loop {
                    let gate = gate.clone();
                    let builder = kahn::thread::Builder::new().stack_size(stack);
                    match builder.spawn(move || gate.recv().is_err()) {
                        Ok(handle) => parked.push(handle),
                        Err(error) => break error,
                    }
                    assert!(parked.len() < 100_000, "memory never runs out");
                    kahn::yield_now();
                };
                // A little, or the first small thing that is allocated would end the process.
                allow(Some(32 << 20));
                assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
                assert!(parked.len() > 20, "round {round}: {} only", parked.len());
                // The rest lives on.
                kahn::sleep(Duration::from_millis(1));
                assert_eq!(kahn::blocking(|| 7), 7);
                // And all get through, also those that had no stack yet.
                drop(open);
                for handle in parked {
                    assert!(handle.join().unwrap());
                }
                assert_eq!(kahn::spawn(|| 7).join().unwrap(), 7);
            }
        });
        allow(None);
    }
}

/// A stack that cannot be had keeps from starting what needs one of its size, and nothing else.
#[test]
#[cfg(target_os = "linux")]
fn stack_too_large_for_the_memory_delays_no_other_start() {
    let test = "stack_too_large_for_the_memory_delays_no_other_start";
    // A process of its own for each number: what was had once can be had again.
    let parts = [(1, "one worker"), (2, "two workers")];
    if !parts.iter().any(|(_, part)| is_child(part)) {
        for (_, part) in parts {
            let output = child(test, part);
            assert!(output.status.success(), "{part}: {:?}: {}", output.status, stderr(&output));
        }
    }
    for workers in parts.iter().filter(|(_, part)| is_child(part)).map(|(workers, _)| *workers) {
        let runtime = runtime(workers);
        runtime.run(|| {
            let big = || kahn::thread::Builder::new().stack_size(256 << 20);
            // Stacks of the usual size, of which there are then enough.
            (0..100).for_each(|_| kahn::spawn(|| ()).join().unwrap());
            allow(Some(32 << 20));
            let waits: Vec<_> =
                (0..3).map(|_| big().spawn(|| 7)).take_while(Result::is_ok).flatten().collect();
            assert!(!waits.is_empty());
            // When its turn has come, its size is known to be short.
            let error = loop {
                match big().spawn(|| 7) {
                    Ok(handle) => handle.cancel(),
                    Err(error) => break error,
                }
                kahn::sleep(Duration::from_millis(1));
            };
            assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
            for n in 0..200 {
                assert_eq!(kahn::spawn(move || n).join().unwrap(), n);
                let builder = kahn::thread::Builder::new();
                assert_eq!(builder.spawn(move || n).unwrap().join().unwrap(), n);
                kahn::thread::spawn_local(|| ()).join().unwrap();
                if n % 50 == 0 {
                    kahn::sleep(Duration::from_millis(1));
                }
            }
            // A cancelled one needs no such stack to end.
            let mut waits = waits.into_iter();
            let cancelled = waits.next().unwrap();
            cancelled.cancel();
            assert!(cancelled.join().unwrap_err().is_cancelled());
            // With memory, the others start.
            allow(None);
            waits.for_each(|handle| assert_eq!(handle.join().unwrap(), 7));
            assert_eq!(big().spawn(|| 7).unwrap().join().unwrap(), 7);
        });
        runtime.shutdown(Duration::from_secs(60)).unwrap();
    }
}
