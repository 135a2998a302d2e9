//! Models of a descriptor whose state changes while threads and tasks begin to wait for it: no event is lost, the turn
//! is passed on, and `close` ends all waits.

use core::task::{Context, Poll, Waker};
use std::io;
use std::task::Wake;

use super::ALL;
use crate::primitives::explore::{Arc, orders, thread};
use crate::primitives::{AtomicUsize, Ordering, Parker, Unparker};
use crate::reactor::Counted;
use crate::reactor::direction::{Direction, PollId, Readiness, Wanted};
use crate::wait::{Kind, Reason};

/// A stream: its direction for reading, and the bytes that are there.
#[derive(Default)]
struct Stream {
    direction: Direction,
    bytes: AtomicUsize,
}

impl Stream {
    /// Takes one byte, as the system call would, and reports what it has left.
    fn call(&self) -> io::Result<((), Readiness)> {
        let take = |bytes: usize| bytes.checked_sub(1);
        match self.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, take) {
            Ok(1) => Ok(((), Readiness::Drained)),
            Ok(_) => Ok(((), Readiness::Maybe)),
            Err(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn read(&self) -> io::Result<()> {
        let reason = Reason::new::<()>(Kind::Readable, core::ptr::null());
        self.direction.run(Wanted { reason, deadline: None }, || Ok(Counted), || self.call())
    }

    /// Adds a byte. The operating system reports each change.
    fn write(&self) {
        self.bytes.fetch_add(1, Ordering::AcqRel);
        self.direction.notify(false);
    }
}

fn spawn_reader(stream: &Arc<Stream>, reads: usize) -> thread::JoinHandle<io::Result<()>> {
    let stream = stream.clone();
    thread::spawn(move || (0..reads).try_for_each(|_| stream.read()))
}

#[test]
fn event_races_with_a_thread_that_begins_to_wait() {
    orders(ALL, || {
        let stream = Arc::new(Stream::default());
        let reader = spawn_reader(&stream, 1);
        stream.write();
        reader.join().unwrap().unwrap();
    });
}

/// After the first read the stream is empty, and the second read waits without a try.
#[test]
fn second_event_races_with_a_read_that_empties_the_stream() {
    orders(3, || {
        let stream = Arc::new(Stream::default());
        let reader = spawn_reader(&stream, 2);
        stream.write();
        stream.write();
        reader.join().unwrap().unwrap();
    });
}

#[test]
fn turn_is_passed_on_to_the_next_reader() {
    orders(2, || {
        let stream = Arc::new(Stream::default());
        let readers = [spawn_reader(&stream, 1), spawn_reader(&stream, 1)];
        stream.write();
        stream.write();
        readers.into_iter().for_each(|reader| reader.join().unwrap().unwrap());
    });
}

#[test]
fn close_races_with_a_thread_that_begins_to_wait() {
    orders(3, || {
        let stream = Arc::new(Stream::default());
        let reader = spawn_reader(&stream, 1);
        stream.direction.close();
        assert_eq!(reader.join().unwrap().unwrap_err().kind(), io::ErrorKind::NotConnected);
    });
}

/// The end of the peer comes with an event, and nothing comes after it.
#[test]
fn last_event_races_with_a_read_that_empties_the_stream() {
    orders(3, || {
        let stream = Arc::new(Stream::default());
        let ended = Arc::new(AtomicUsize::new(0));
        let reader = {
            let (stream, ended) = (stream.clone(), ended.clone());
            thread::spawn(move || {
                stream.read().unwrap();
                let reason = Reason::new::<()>(Kind::Readable, core::ptr::null());
                let end = || match ended.load(Ordering::Acquire) {
                    0 => Err(io::ErrorKind::WouldBlock.into()),
                    _ => Ok(((), Readiness::Maybe)),
                };
                stream.direction.run(Wanted { reason, deadline: None }, || Ok(Counted), end)
            })
        };
        // Data and end come in one event.
        stream.bytes.fetch_add(1, Ordering::AcqRel);
        ended.store(1, Ordering::Release);
        stream.direction.notify(true);
        reader.join().unwrap().unwrap();
    });
}

/// A waker that unparks a thread.
struct Unpark(Unparker);

impl Wake for Unpark {
    fn wake(self: std::sync::Arc<Unpark>) {
        self.0.unpark();
    }
}

/// A task that polls until it has read one byte.
fn spawn_task(stream: &Arc<Stream>, wait: PollId) -> thread::JoinHandle<io::Result<()>> {
    let stream = stream.clone();
    thread::spawn(move || {
        let parker = Parker::new();
        let waker = Waker::from(std::sync::Arc::new(Unpark(parker.unparker())));
        let context = Context::from_waker(&waker);
        let poll = || stream.direction.poll(wait, &context, || Ok(Counted), || stream.call().map(drop));
        loop {
            match poll() {
                Poll::Ready(result) => return result,
                Poll::Pending => parker.park(),
            }
        }
    })
}

#[test]
fn event_races_with_a_task_that_polls() {
    orders(ALL, || {
        let stream = Arc::new(Stream::default());
        let task = spawn_task(&stream, PollId::Owner);
        stream.write();
        task.join().unwrap().unwrap();
    });
}

#[test]
fn one_event_wakes_two_tasks() {
    orders(2, || {
        let stream = Arc::new(Stream::default());
        let tasks = [spawn_task(&stream, PollId::Future(1)), spawn_task(&stream, PollId::Future(2))];
        stream.bytes.fetch_add(2, Ordering::AcqRel);
        stream.direction.notify(false);
        tasks.into_iter().for_each(|task| task.join().unwrap().unwrap());
    });
}
