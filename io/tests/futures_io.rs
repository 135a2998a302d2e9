//! Streams through the traits of `futures-io`, with the real `futures-util`.

use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy};
use kahn::net::{TcpListener, TcpStream};
use kahn::os::unix::net::UnixStream;
use kahn::{Runtime, task};

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (ours, listener.accept().unwrap().0)
}

fn on_workers(test: impl Fn() + Sync) {
    for workers in [1, 2, 4] {
        Runtime::builder().workers(workers).build().unwrap().run(&test);
    }
}

/// Blocking calls, whose names the async traits have too.
mod blocking {
    use std::io::{Read, Write};

    use kahn::net::TcpStream;

    pub(super) fn read(mut stream: &TcpStream, buffer: &mut [u8]) -> usize {
        stream.read(buffer).unwrap()
    }

    pub(super) fn read_to_end(mut stream: &TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    pub(super) fn write_all(mut stream: &TcpStream, bytes: &[u8]) {
        stream.write_all(bytes).unwrap();
    }
}

/// Counts wake-ups.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Counter {
    fn wait(&self) {
        while self.0.load(Ordering::SeqCst) == 0 {
            kahn::yield_now();
        }
    }
}

/// The executor of another library, in small: it polls on an OS thread of its own.
struct Unparker(std::thread::Thread);

impl Wake for Unparker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on_elsewhere<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unparker(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

async fn echo(stream: TcpStream) -> std::io::Result<u64> {
    let n = copy(&stream, &mut &stream).await?;
    AsyncWriteExt::close(&mut &stream).await?;
    Ok(n)
}

#[test]
fn tasks_exchange_lines() {
    on_workers(|| {
        let (ours, theirs) = pair();
        let server = task::spawn(echo(theirs));
        let client = task::spawn(async move {
            let mut reader = BufReader::new(&ours);
            for n in 0..500 {
                let mut line = String::new();
                (&ours).write_all(format!("line {n}\n").as_bytes()).await.unwrap();
                reader.read_line(&mut line).await.unwrap();
                assert_eq!(line, format!("line {n}\n"));
            }
        });
        client.join().unwrap();
        assert!(server.join().unwrap().unwrap() > 500);
    });
}

#[test]
fn unix_streams_exchange_lines() {
    on_workers(|| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let server = task::spawn(async move { copy(&theirs, &mut &theirs).await });
        let client = task::spawn(async move {
            (&ours).write_all(b"to be or not to be\n").await.unwrap();
            let mut line = String::new();
            BufReader::new(&ours).read_line(&mut line).await.unwrap();
            line
        });
        assert_eq!(client.join().unwrap(), "to be or not to be\n");
        assert_eq!(server.join().unwrap().unwrap(), 19);
    });
}

#[test]
fn one_task_reads_while_another_writes() {
    // More than the buffers of the connection hold. So the writer waits until the other task has read.
    let bytes = Arc::new((0..251).collect::<Vec<u8>>().repeat(16 << 10));
    on_workers(|| {
        let (ours, theirs) = pair();
        let server = task::spawn(echo(theirs));
        let ours = Arc::new(ours);
        let writer = task::spawn({
            let (ours, bytes) = (Arc::clone(&ours), Arc::clone(&bytes));
            async move {
                (&*ours).write_all(&bytes).await.unwrap();
                AsyncWriteExt::close(&mut &*ours).await.unwrap();
            }
        });
        let reader = task::spawn(async move {
            let mut received = Vec::new();
            (&*ours).read_to_end(&mut received).await.unwrap();
            received
        });
        assert!(reader.join().unwrap() == *bytes);
        writer.join().unwrap();
        assert_eq!(server.join().unwrap().unwrap(), bytes.len() as u64);
    });
}

#[test]
fn foreign_executor_exchanges_bytes_with_a_green_thread() {
    on_workers(|| {
        let (ours, theirs) = pair();
        let green = kahn::spawn(move || {
            let mut bytes = [0; 4];
            assert_eq!(blocking::read(&theirs, &mut bytes), 4);
            kahn::sleep(Duration::from_millis(1));
            blocking::write_all(&theirs, &bytes);
        });
        let foreign = std::thread::spawn(move || {
            block_on_elsewhere(async {
                (&ours).write_all(b"ping").await.unwrap();
                let mut bytes = [0; 4];
                (&ours).read_exact(&mut bytes).await.unwrap();
                bytes
            })
        });
        green.join().unwrap();
        assert_eq!(&kahn::blocking(|| foreign.join().unwrap()), b"ping");
    });
}

#[test]
fn close_of_the_trait_ends_the_writing_side_alone() {
    on_workers(|| {
        let (mut ours, theirs) = pair();
        kahn::block_on(async {
            ours.write_all(b"last").await.unwrap();
            AsyncWriteExt::close(&mut ours).await.unwrap();
        });
        let mut text = blocking::read_to_end(&theirs);
        assert_eq!(text, "last");
        blocking::write_all(&theirs, b"reply");
        drop(theirs);
        kahn::block_on(AsyncReadExt::read_to_string(&mut ours, &mut text)).unwrap();
        assert_eq!(text, "lastreply");
        // The connection has ended. To close it again does nothing.
        kahn::block_on(AsyncWriteExt::close(&mut ours)).unwrap();
    });
}

#[test]
fn close_of_the_stream_ends_a_read_that_waits() {
    on_workers(|| {
        let (ours, _theirs) = pair();
        let ours = Arc::new(ours);
        let reader = task::spawn({
            let ours = Arc::clone(&ours);
            async move { (&*ours).read(&mut [0; 8]).await }
        });
        kahn::yield_now();
        ours.close();
        assert_eq!(reader.join().unwrap().unwrap_err().kind(), ErrorKind::NotConnected);
    });
}

#[test]
fn read_that_is_dropped_takes_nothing() {
    on_workers(|| {
        let (ours, theirs) = pair();
        let counter = Arc::new(Counter::default());
        let waker = Waker::from(Arc::clone(&counter));
        let mut bytes = [0; 8];
        {
            let mut stream = &ours;
            let read = pin!(stream.read(&mut bytes));
            assert!(read.poll(&mut Context::from_waker(&waker)).is_pending());
        }
        blocking::write_all(&theirs, b"kept");
        // The waker of the dropped read is called once, and is released.
        counter.wait();
        let n = kahn::block_on((&ours).read(&mut bytes)).unwrap();
        assert_eq!(&bytes[..n], b"kept");
        assert_eq!(counter.0.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn dropped_stream_releases_the_waker() {
    on_workers(|| {
        let (ours, _theirs) = pair();
        let counter = Arc::new(Counter::default());
        let waker = Waker::from(Arc::clone(&counter));
        assert!(pin!((&ours).read(&mut [0; 8])).poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(Arc::strong_count(&counter) > 2);
        drop(ours);
        assert_eq!(Arc::strong_count(&counter), 2);
    });
}

#[test]
fn last_task_that_polls_is_woken() {
    on_workers(|| {
        let (ours, theirs) = pair();
        let counters = [Arc::new(Counter::default()), Arc::new(Counter::default())];
        for counter in &counters {
            let waker = Waker::from(Arc::clone(counter));
            assert!(pin!((&ours).read(&mut [0; 8])).poll(&mut Context::from_waker(&waker)).is_pending());
        }
        blocking::write_all(&theirs, b"x");
        counters[1].wait();
        assert_eq!(counters[0].0.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn read_that_succeeds_before_its_event_wakes_the_task_too() {
    // On one worker no event is noticed until this green thread parks.
    Runtime::builder().workers(1).build().unwrap().run(|| {
        let (ours, theirs) = pair();
        let counter = Arc::new(Counter::default());
        let waker = Waker::from(Arc::clone(&counter));
        let (mut context, mut bytes) = (Context::from_waker(&waker), [0; 8]);
        assert!(pin!((&ours).read(&mut bytes)).poll(&mut context).is_pending());
        blocking::write_all(&theirs, b"x");
        assert!(pin!((&ours).read(&mut bytes)).poll(&mut context).is_ready());
        assert_eq!(counter.0.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn timeout_async_bounds_a_read() {
    on_workers(|| {
        let (ours, theirs) = pair();
        let late = task::spawn(async move {
            let limit = Duration::from_millis(2);
            let late = kahn::time::timeout_async(limit, (&ours).read(&mut [0; 8])).await.is_err();
            (late, ours)
        });
        let (late, ours) = late.join().unwrap();
        assert!(late);
        blocking::write_all(&theirs, b"after");
        let mut bytes = [0; 5];
        kahn::block_on((&ours).read_exact(&mut bytes)).unwrap();
        assert_eq!(&bytes, b"after");
    });
}

#[test]
fn time_outs_and_the_mode_concern_blocking_calls_alone() {
    on_workers(|| {
        let (ours, theirs) = pair();
        ours.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        ours.set_nonblocking(true).unwrap();
        let reader = task::spawn(async move {
            let mut bytes = [0; 4];
            (&ours).read_exact(&mut bytes).await.map(|_| bytes)
        });
        kahn::sleep(Duration::from_millis(3));
        blocking::write_all(&theirs, b"late");
        assert_eq!(&reader.join().unwrap().unwrap(), b"late");
    });
}

#[test]
fn cancel_ends_a_task_that_reads() {
    on_workers(|| {
        let (ours, theirs) = pair();
        let reader = task::spawn(async move { (&ours).read(&mut [0; 8]).await });
        kahn::yield_now();
        reader.cancel();
        assert!(reader.join().unwrap_err().is_cancelled());
        // The stream was dropped with the task.
        assert_eq!(blocking::read(&theirs, &mut [0; 8]), 0);
    });
}

#[test]
fn writes_of_several_buffers_arrive_in_order() {
    on_workers(|| {
        let (ours, theirs) = pair();
        let slices = [b"one ".as_slice(), b"two ", b"three"].map(std::io::IoSlice::new);
        let n = kahn::block_on(poll_fn(|context| {
            futures_util::io::AsyncWrite::poll_write_vectored(Pin::new(&mut &ours), context, &slices)
        }))
        .unwrap();
        drop(ours);
        let text = blocking::read_to_end(&theirs);
        assert_eq!(text, "one two three"[..n]);
    });
}
