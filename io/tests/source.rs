//! [`Source`]: green threads and OS threads that wait for descriptors.

mod support;

use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kahn::Runtime;
use kahn::io::{Interest, Source};
use kahn::thread::JoinHandle;

type Stream = Source<UnixStream>;

fn pair() -> (Stream, Stream) {
    let (one, other) = UnixStream::pair().unwrap();
    (Source::new(one).unwrap(), Source::new(other).unwrap())
}

fn read(stream: &Stream, buffer: &mut [u8]) -> io::Result<usize> {
    stream.read_stream(buffer.len(), None, |mut stream| stream.read(buffer))
}

fn write(stream: &Stream, bytes: &[u8]) -> io::Result<usize> {
    stream.write_with(|mut stream| stream.write(bytes))
}

fn echo(stream: &Stream) -> io::Result<()> {
    let mut buffer = [0; 64];
    loop {
        match read(stream, &mut buffer)? {
            0 => return Ok(()),
            n => assert_eq!(write(stream, &buffer[..n])?, n),
        }
    }
}

#[test]
fn green_threads_exchange_bytes() {
    for workers in [1, 2, 4] {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        runtime.run(|| {
            let (ours, theirs) = pair();
            let peer = kahn::spawn(move || echo(&theirs));
            let mut buffer = [0; 64];
            for n in 0..1000_u32 {
                write(&ours, &n.to_ne_bytes()).unwrap();
                assert_eq!(read(&ours, &mut buffer).unwrap(), 4);
                assert_eq!(buffer[..4], n.to_ne_bytes());
            }
            drop(ours);
            peer.join().unwrap().unwrap();
        });
    }
}

#[test]
fn os_thread_exchanges_bytes_with_a_green_thread() {
    let (ours, theirs) = pair();
    let peer = kahn::spawn(move || echo(&theirs));
    let mut buffer = [0; 64];
    for n in 0..100_u32 {
        write(&ours, &n.to_ne_bytes()).unwrap();
        assert_eq!(read(&ours, &mut buffer).unwrap(), 4);
    }
    drop(ours);
    peer.join().unwrap().unwrap();
}

/// Waits until `done` returns true.
fn wait_until(mut done: impl FnMut() -> bool) {
    while !done() {
        kahn::yield_now();
        std::thread::yield_now();
    }
}

/// A green thread that waits in `read` of this stream.
fn spawn_reader(stream: &Arc<Stream>) -> JoinHandle<io::Result<usize>> {
    let stream = Arc::clone(stream);
    kahn::spawn(move || read(&stream, &mut [0; 64]))
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn close_wakes_all_readers_and_writers() {
    for workers in [1, 2, 4] {
        Runtime::builder().workers(workers).build().unwrap().run(|| {
            let (ours, _theirs) = pair();
            let ours = Arc::new(ours);
            // The stream is full, so writers wait.
            let bytes = [0; 4096];
            while let Ok(n) = ours.io(Interest::Writable, Some(Instant::now()), |mut s| s.write(&bytes)) {
                assert!(n > 0);
            }
            let readers = (0..3).map(|_| spawn_reader(&ours)).collect::<Vec<_>>();
            let writers = (0..3).map(|_| {
                let ours = Arc::clone(&ours);
                kahn::spawn(move || write(&ours, &[0; 64]))
            });
            let waiters = readers.into_iter().chain(writers).collect::<Vec<_>>();
            for _ in 0..100 {
                kahn::yield_now();
            }
            ours.close();
            for waiter in waiters {
                assert_eq!(kind(waiter.join().unwrap()), ErrorKind::NotConnected);
            }
            assert_eq!(kind(read(&ours, &mut [0; 1])), ErrorKind::NotConnected);
            assert_eq!(kind(ours.readable()), ErrorKind::NotConnected);
        });
    }
}

#[test]
fn readers_are_served_in_order() {
    kahn::run(|| {
        let (ours, theirs) = pair();
        let ours = Arc::new(ours);
        let (sender, order) = kahn::channel::bounded(16);
        let begun = Arc::new(AtomicUsize::new(0));
        for n in 0..10 {
            let (ours, sender, begun_here) = (Arc::clone(&ours), sender.clone(), Arc::clone(&begun));
            kahn::spawn_local(move || {
                let mut buffer = [0; 1];
                begun_here.store(n + 1, Ordering::Relaxed);
                assert_eq!(read(&ours, &mut buffer).unwrap(), 1);
                sender.send((n, buffer[0])).unwrap();
            });
            // The readers are on the worker of this loop. So when the loop goes on, the reader waits.
            wait_until(|| begun.load(Ordering::Relaxed) == n + 1);
        }
        write(&theirs, &[0, 1, 2, 3, 4]).unwrap();
        (0..5).for_each(|n| assert_eq!(order.recv(), Ok((n, u8::try_from(n).unwrap()))));
        write(&theirs, &[5, 6, 7, 8, 9]).unwrap();
        (5..10).for_each(|n| assert_eq!(order.recv(), Ok((n, u8::try_from(n).unwrap()))));
    });
}

#[test]
fn cancelled_reader_passes_its_turn_on() {
    for workers in [1, 2, 4] {
        Runtime::builder().workers(workers).build().unwrap().run(|| {
            let (ours, theirs) = pair();
            let ours = Arc::new(ours);
            let first = spawn_reader(&ours);
            kahn::yield_now();
            let second = spawn_reader(&ours);
            kahn::yield_now();
            first.cancel();
            assert!(first.join().unwrap_err().is_cancelled());
            write(&theirs, b"x").unwrap();
            assert_eq!(second.join().unwrap().unwrap(), 1);
        });
    }
}

#[test]
fn cancel_races_with_data() {
    for workers in [1, 2, 4] {
        Runtime::builder().workers(workers).build().unwrap().run(|| {
            for _ in 0..200 {
                let (ours, theirs) = pair();
                let ours = Arc::new(ours);
                let first = spawn_reader(&ours);
                let second = spawn_reader(&ours);
                let writer = kahn::spawn(move || {
                    write(&theirs, b"x").unwrap();
                    theirs
                });
                first.cancel();
                let theirs = writer.join().unwrap();
                let taken = first.join().is_ok();
                if taken {
                    write(&theirs, b"y").unwrap();
                }
                assert_eq!(second.join().unwrap().unwrap(), 1);
            }
        });
    }
}

#[test]
fn timeout_ends_a_wait_and_loses_no_data() {
    kahn::run(|| {
        let (ours, theirs) = pair();
        let late = kahn::time::timeout(Duration::from_millis(2), || read(&ours, &mut [0; 1]));
        assert!(late.is_err());
        let soon = Instant::now() + Duration::from_millis(2);
        let late = ours.io(Interest::Readable, Some(soon), |mut stream| stream.read(&mut [0; 1]));
        assert_eq!(kind(late), ErrorKind::TimedOut);
        assert!(Instant::now() >= soon);
        write(&theirs, b"x").unwrap();
        assert_eq!(read(&ours, &mut [0; 1]).unwrap(), 1);
    });
}

/// Each byte ends a wait, and the call waits on. If each wait had the whole time, the call would never end.
#[test]
fn deadline_bounds_all_waits_of_a_call_together() {
    kahn::run(|| {
        let (ours, theirs) = pair();
        let reader = kahn::spawn(move || {
            let soon = Instant::now() + Duration::from_millis(20);
            ours.io(Interest::Readable, Some(soon), |mut stream| {
                let _ = stream.read(&mut [0; 64]);
                Err::<(), _>(ErrorKind::WouldBlock.into())
            })
        });
        while !reader.is_finished() {
            // It fails when the reader has ended.
            let _ = write(&theirs, b"x");
            kahn::sleep(Duration::from_millis(1));
        }
        assert_eq!(kind(reader.join().unwrap()), ErrorKind::TimedOut);
    });
}

/// A read that takes less than it could does not try again before the next event. The end of the stream must not be
/// missed by that, whether it comes with the data or after it.
#[test]
fn end_of_the_stream_is_seen_after_a_short_read() {
    for workers in [1, 2, 4] {
        Runtime::builder().workers(workers).build().unwrap().run(|| {
            for n in 0..300 {
                let (ours, theirs) = pair();
                let reader = kahn::spawn(move || {
                    let mut buffer = [0; 64];
                    let first = read(&ours, &mut buffer)?;
                    Ok::<_, io::Error>((first, read(&ours, &mut buffer)?))
                });
                match n % 3 {
                    0 => kahn::yield_now(),
                    1 => kahn::sleep(Duration::from_micros(20)),
                    _ => {}
                }
                write(&theirs, b"last").unwrap();
                if n % 2 == 0 {
                    kahn::yield_now();
                }
                drop(theirs);
                assert_eq!(reader.join().unwrap().unwrap(), (4, 0));
            }
        });
    }
}

#[test]
fn both_directions_are_used_at_once() {
    kahn::run(|| {
        const BYTES: usize = 8 << 20;
        let (ours, theirs) = pair();
        let (ours, theirs) = (Arc::new(ours), Arc::new(theirs));
        let transfer = |stream: &Arc<Stream>, writes: bool| {
            let stream = Arc::clone(stream);
            kahn::spawn(move || {
                let (mut buffer, mut count) = ([1; 30_000], 0);
                while count < BYTES {
                    let len = buffer.len().min(BYTES - count);
                    let n = if writes {
                        write(&stream, &buffer[..len])
                    } else {
                        read(&stream, &mut buffer[..len])
                    };
                    count += n.unwrap();
                }
            })
        };
        let all = [
            transfer(&ours, true),
            transfer(&ours, false),
            transfer(&theirs, true),
            transfer(&theirs, false),
        ];
        all.into_iter().for_each(|handle| handle.join().unwrap());
    });
}

#[test]
fn regular_file_cannot_be_waited_for() {
    let file = Source::new(std::fs::File::open("Cargo.toml").unwrap()).unwrap();
    // It is never found unready, so an operation succeeds without a wait.
    assert_eq!(file.read_with(|mut file| file.read(&mut [0; 4])).unwrap(), 4);
    let blocks = || file.read_with(|_| Err::<(), _>(ErrorKind::WouldBlock.into()));
    assert_eq!(kind(kahn::run(blocks)), ErrorKind::PermissionDenied);
}

#[test]
fn source_outlives_the_runtime_whose_worker_watched_it() {
    let (ours, theirs) = pair();
    let (ours, theirs) = (Arc::new(ours), Arc::new(theirs));
    for n in 0..20 {
        let runtime = Runtime::builder().workers(1 + n % 2).build().unwrap();
        runtime.run(|| {
            let reader = spawn_reader(&ours);
            kahn::yield_now();
            write(&theirs, b"x").unwrap();
            assert_eq!(reader.join().unwrap().unwrap(), 1);
        });
        runtime.shutdown(Duration::MAX).unwrap();
    }
    // The default runtime watches it now.
    std::thread::scope(|s| {
        let reader = s.spawn(|| read(&ours, &mut [0; 1]).unwrap());
        write(&theirs, b"x").unwrap();
        assert_eq!(reader.join().unwrap(), 1);
    });
}

#[test]
fn waiter_goes_on_elsewhere_when_the_watching_runtime_ends() {
    for _ in 0..50 {
        let (ours, theirs) = pair();
        let (ours, theirs) = (Arc::new(ours), Arc::new(theirs));
        let first = Runtime::builder().workers(1).build().unwrap();
        // A worker of the first runtime watches the stream.
        let late =
            first.run(|| ours.ready(Interest::Readable, Some(Instant::now() + Duration::from_micros(100))));
        assert_eq!(kind(late), ErrorKind::TimedOut);
        let second = Runtime::builder().workers(1).build().unwrap();
        let reader = second.spawn({
            let ours = Arc::clone(&ours);
            move || read(&ours, &mut [0; 1])
        });
        std::thread::scope(|s| {
            s.spawn(|| first.shutdown(Duration::MAX).unwrap());
            write(&theirs, b"x").unwrap();
        });
        assert_eq!(reader.join().unwrap().unwrap(), 1);
    }
}

#[kahn::test(workers = 2)]
#[should_panic(expected = "deadlock")]
fn deadlock_is_reported_beside_a_source_without_waiters() {
    let (ours, _theirs) = pair();
    let late = ours.ready(Interest::Readable, Some(Instant::now() + Duration::from_millis(1)));
    assert_eq!(kind(late), ErrorKind::TimedOut);
    let (_sender, receiver) = kahn::channel::bounded::<()>(1);
    let _ = receiver.recv();
}

/// A future that has waited for a descriptor is dropped, and then the descriptor. Neither counts as waiting.
#[kahn::test(workers = 2)]
#[should_panic(expected = "deadlock")]
fn deadlock_is_reported_after_a_task_has_given_up_its_wait() {
    let (ours, _theirs) = pair();
    let waiting =
        poll_fn(|context| ours.poll_io(Interest::Readable, context, |mut stream| stream.read(&mut [0; 1])));
    let late = kahn::time::timeout(Duration::from_millis(1), || kahn::block_on(waiting));
    assert!(late.is_err());
    drop(ours);
    let (_sender, receiver) = kahn::channel::bounded::<()>(1);
    let _ = receiver.recv();
}

/// The process itself writes, from an OS thread that kahn does not know, after a time in which a false report would
/// have come.
#[test]
fn waiting_for_a_descriptor_is_no_deadlock() {
    for workers in [1, 2] {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        let (ours, theirs) = pair();
        runtime.run(|| {
            let reader = kahn::spawn(move || read(&ours, &mut [0; 1]));
            let writer = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(100));
                (theirs.get_ref() as &UnixStream).write_all(b"x")
            });
            assert_eq!(reader.join().unwrap().unwrap(), 1);
            writer.join().unwrap().unwrap();
        });
    }
}

#[test]
fn waits_leave_nothing_behind() {
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    kahn::run(|| {
        let once = || {
            let (ours, theirs) = pair();
            let reader = kahn::spawn(move || read(&ours, &mut [0; 1]));
            kahn::yield_now();
            write(&theirs, b"x").unwrap();
            assert_eq!(reader.join().unwrap().unwrap(), 1);
        };
        (0..100).for_each(|_| once());
        let before = descriptors();
        (0..20_000).for_each(|_| once());
        // Other tests of this process open descriptors, too.
        assert!(descriptors() < before + 1000);
    });
}

#[test]
fn shutdown_cancels_waits() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let (ours, _theirs) = pair();
    let ours = Arc::new(ours);
    let reader = runtime.spawn({
        let ours = Arc::clone(&ours);
        move || read(&ours, &mut [0; 1])
    });
    wait_until(|| Arc::strong_count(&ours) == 2);
    runtime.shutdown(Duration::MAX).unwrap();
    assert!(reader.join().unwrap_err().is_cancelled());
}

/// Its worker polls no more, so the descriptor cannot be registered there.
#[test]
fn wait_of_a_green_thread_that_outlasts_the_shutdown_is_cancelled() {
    support::within("the wait", || {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        let (ours, _theirs) = pair();
        let may_read = Arc::new(AtomicUsize::new(0));
        let (started, reads) = (Arc::clone(&may_read), Arc::clone(&may_read));
        let reader = runtime.spawn(move || {
            started.store(1, Ordering::Release);
            while started.load(Ordering::Acquire) < 2 {
                std::thread::yield_now();
            }
            read(&ours, &mut [0; 1])
        });
        wait_until(|| may_read.load(Ordering::Acquire) == 1);
        assert!(runtime.shutdown(Duration::from_millis(1)).is_err());
        reads.store(2, Ordering::Release);
        assert!(reader.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn task_is_woken_by_data_and_by_close() {
    for workers in [1, 2, 4] {
        Runtime::builder().workers(workers).build().unwrap().run(|| {
            let (ours, theirs) = pair();
            let (ours, theirs) = (Arc::new(ours), Arc::new(theirs));
            let peer = {
                let theirs = Arc::clone(&theirs);
                kahn::spawn(move || (0..100).try_for_each(|_| write(&theirs, b"x").map(drop)))
            };
            let mut seen = 0;
            while seen < 100 {
                let n = kahn::block_on(poll_fn(|context| {
                    ours.poll_io(Interest::Readable, context, |mut stream| stream.read(&mut [0; 64]))
                }));
                seen += n.unwrap();
            }
            peer.join().unwrap().unwrap();
            let waiter = {
                let ours = Arc::clone(&ours);
                kahn::spawn(move || {
                    kahn::block_on(poll_fn(|context| {
                        ours.poll_io(Interest::Readable, context, |mut stream| stream.read(&mut [0; 64]))
                    }))
                })
            };
            kahn::yield_now();
            ours.close();
            assert_eq!(kind(waiter.join().unwrap()), ErrorKind::NotConnected);
        });
    }
}
