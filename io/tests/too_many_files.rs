//! Too many open files: waits, servers and files go on, and nothing spins. Each test is a process of its own, because the
//! limit is that of the process.

mod support;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Barrier;
use std::time::Duration;

use kahn::net::TcpStream;
use kahn::os::unix::net::UnixStream;
use support::{child, is_child, listener, runtime, stderr, within};

/// Runs a part of a test in a process of its own.
#[track_caller]
fn alone(test: &str, part: fn()) {
    if is_child(test) {
        return within(test, part);
    }
    let output = child(test, test);
    assert!(output.status.success(), "{}", stderr(&output));
}

/// Sets the limit on open files.
fn set_limit(files: u64) {
    let limit = libc::rlimit { rlim_cur: files, rlim_max: files };
    // SAFETY: the pointer is to a valid structure.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
}

/// Takes all descriptors that are left.
fn take_all() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

fn time_of(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a valid structure.
    assert_eq!(unsafe { libc::clock_gettime(clock, &raw mut time) }, 0);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

/// Returns the processor time that the process uses while an OS thread spins for this processor time. So the result does
/// not depend on how busy the machine is.
fn time_beside_a_thread_that_spins_for(time: Duration) -> Duration {
    let before = time_of(libc::CLOCK_PROCESS_CPUTIME_ID);
    let spinning = std::thread::spawn(move || while time_of(libc::CLOCK_THREAD_CPUTIME_ID) < time {});
    kahn::blocking(|| spinning.join().unwrap());
    (time_of(libc::CLOCK_PROCESS_CPUTIME_ID) - before).saturating_sub(time)
}

/// Waits on the sockets of a runtime's workers, a socket each, all at the same time.
fn wait_on_each_worker(workers: usize, pairs: &[(UnixStream, StdStream)]) -> Vec<io::Result<usize>> {
    let all_run = Barrier::new(workers);
    kahn::scope(|s| {
        let readers: Vec<_> = pairs
            .iter()
            .map(|(ours, _)| {
                let all_run = &all_run;
                s.spawn(move || {
                    // It holds its worker up. So each of them is on another worker.
                    all_run.wait();
                    { ours }.read(&mut [0; 8])
                })
            })
            .collect();
        let writer = s.spawn(move || {
            kahn::sleep(Duration::from_millis(1));
            pairs.iter().for_each(|(_, theirs)| { theirs }.write_all(b"x").unwrap());
        });
        writer.join().unwrap();
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    })
}

fn pairs(count: usize) -> Vec<(UnixStream, StdStream)> {
    let pair = || StdStream::pair().unwrap();
    (0..count).map(|_| pair()).map(|(ours, theirs)| (ours.into(), theirs)).collect()
}

/// A poller takes two descriptors.
#[test]
fn worker_without_a_poller_waits_with_that_of_another_worker() {
    alone("worker_without_a_poller_waits_with_that_of_another_worker", || {
        for workers in [2, 4] {
            set_limit(200);
            let runtime = runtime(workers);
            let workers = runtime.workers();
            let pairs = pairs(workers);
            runtime.run(|| {
                // The worker that runs this makes its poller.
                let mut first = StdStream::pair().map(|(one, other)| (UnixStream::from(one), other)).unwrap();
                kahn::scope(|s| {
                    let reader = s.spawn_local(|| first.0.read(&mut [0; 8]).unwrap());
                    kahn::yield_now();
                    first.1.write_all(b"x").unwrap();
                    assert_eq!(reader.join().unwrap(), 1);
                });
                let taken = take_all();
                for result in wait_on_each_worker(workers, &pairs) {
                    assert_eq!(result.unwrap(), 1);
                }
                drop(taken);
            });
        }
    });
}

#[test]
fn wait_without_any_poller_is_an_error_that_says_what_to_do() {
    alone("wait_without_any_poller_is_an_error_that_says_what_to_do", || {
        set_limit(200);
        let runtime = runtime(2);
        runtime.run(|| {
            let mut pairs = pairs(1);
            let (ours, theirs) = &mut pairs[0];
            let mut taken = take_all();
            let error = ours.read(&mut [0; 8]).unwrap_err();
            assert!(error.to_string().contains("raise the limit on open files"), "{error}");
            let source = error.get_ref().unwrap().source().unwrap().downcast_ref::<io::Error>().unwrap();
            assert_eq!(source.raw_os_error(), Some(libc::EMFILE));
            // One is not enough, and is given back.
            taken.pop();
            assert!(ours.read(&mut [0; 8]).is_err());
            taken.pop();
            kahn::scope(|s| {
                let reader = s.spawn_local(|| ours.read(&mut [0; 8]).unwrap());
                kahn::yield_now();
                theirs.write_all(b"x").unwrap();
                assert_eq!(reader.join().unwrap(), 1);
            });
        });
    });
}

/// The server needs a poller for its first wait, and a descriptor for each connection.
#[test]
fn server_begins_to_accept_when_there_are_descriptors() {
    alone("server_begins_to_accept_when_there_are_descriptors", || {
        set_limit(100);
        for workers in [1, 2, 4] {
            let runtime = runtime(workers);
            runtime.run(|| {
                let (listener, address) = listener();
                let mut taken = take_all();
                // `accept` needs one, also if no connection is there. The poller needs two.
                taken.pop();
                kahn::scope(|s| {
                    let server = s.spawn(|| {
                        kahn::net::serve(&listener, 10, |mut stream: TcpStream| {
                            let mut byte = [0];
                            while matches!(stream.read(&mut byte), Ok(1)) {
                                let _ = stream.write_all(&byte);
                            }
                        })
                    });
                    for _ in 0..100 {
                        kahn::yield_now();
                    }
                    assert!(!server.is_finished());
                    drop(taken);
                    kahn::blocking(|| {
                        let client = std::net::TcpStream::connect(address).unwrap();
                        (&client).write_all(b"x").unwrap();
                        (&client).read_exact(&mut [0]).unwrap();
                    });
                    listener.close();
                    assert_eq!(server.join().unwrap().unwrap().connections, 1);
                });
            });
        }
    });
}

/// A connection waits, and there is no descriptor for it. The listener is readable all the time.
#[test]
fn server_without_descriptors_does_not_spin() {
    alone("server_without_descriptors_does_not_spin", || {
        set_limit(100);
        for workers in [1, 2, 4] {
            let runtime = runtime(workers);
            runtime.run(|| {
                let (listener, address) = listener();
                kahn::scope(|s| {
                    let server = s.spawn(|| {
                        kahn::net::serve(&listener, 1000, |stream: TcpStream| {
                            let _ = kahn::io::copy(&mut &stream, &mut &stream);
                        })
                    });
                    let mut first = TcpStream::connect(address).unwrap();
                    first.write_all(b"x").unwrap();
                    first.read_exact(&mut [0]).unwrap();
                    let mut taken = take_all();
                    taken.pop();
                    let mut waiting = std::net::TcpStream::connect(address).unwrap();
                    let time = Duration::from_millis(50);
                    let used = time_beside_a_thread_that_spins_for(time);
                    assert!(used < time / 4, "{used:?} of processor time");
                    drop(taken);
                    kahn::blocking(|| {
                        waiting.write_all(b"x").unwrap();
                        waiting.read_exact(&mut [0]).unwrap();
                    });
                    drop((first, waiting));
                    listener.close();
                    assert_eq!(server.join().unwrap().unwrap().connections, 2);
                });
            });
        }
    });
}

#[test]
fn calls_without_descriptors_fail_and_leave_nothing_behind() {
    alone("calls_without_descriptors_fail_and_leave_nothing_behind", || {
        set_limit(100);
        runtime(2).run(|| {
            let (listener, address) = listener();
            // The poller, the threads of the pool, and what else is made once.
            let stream = TcpStream::connect(address).unwrap();
            let _peer = listener.accept().unwrap();
            assert!(kahn::fs::exists("/dev/null").unwrap());
            assert!(kahn::process::Command::new("true").status().unwrap().success());
            let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
            let before = descriptors();
            let taken = take_all();
            let errors = [
                kahn::fs::File::open("/dev/null").map(drop).unwrap_err(),
                kahn::fs::read("/dev/null").map(drop).unwrap_err(),
                kahn::fs::read_dir("/").map(drop).unwrap_err(),
                kahn::process::Command::new("true").output().map(drop).unwrap_err(),
                TcpStream::connect(address).map(drop).unwrap_err(),
                stream.try_clone().map(drop).unwrap_err(),
                kahn::net::TcpListener::bind("127.0.0.1:0").map(drop).unwrap_err(),
                kahn::net::UdpSocket::bind("127.0.0.1:0").map(drop).unwrap_err(),
                UnixStream::pair().map(drop).unwrap_err(),
            ];
            for error in errors {
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
            }
            drop(taken);
            assert_eq!(descriptors(), before);
            assert!(kahn::process::Command::new("true").status().unwrap().success());
            assert!(stream.as_raw_fd() > 0);
        });
    });
}
