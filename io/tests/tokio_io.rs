//! Streams through tokio's `AsyncRead` and `AsyncWrite`, with the real extension traits, and without tokio's runtime.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use kahn::net::{TcpListener, TcpStream};
use kahn::os::unix::net::UnixStream;
use kahn::{Runtime, task};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy};

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

#[test]
fn tasks_exchange_lines() {
    on_workers(|| {
        let (ours, theirs) = pair();
        let server = task::spawn(async move {
            let n = copy(&mut &theirs, &mut &theirs).await?;
            AsyncWriteExt::shutdown(&mut &theirs).await?;
            Ok::<_, std::io::Error>(n)
        });
        let client = task::spawn(async move {
            let (reader, mut writer) = tokio::io::split(ours);
            let mut lines = BufReader::new(reader).lines();
            for n in 0..500 {
                writer.write_all(format!("line {n}\n").as_bytes()).await.unwrap();
                assert_eq!(lines.next_line().await.unwrap(), Some(format!("line {n}")));
            }
            writer.shutdown().await.unwrap();
            assert_eq!(lines.next_line().await.unwrap(), None);
        });
        client.join().unwrap();
        assert!(server.join().unwrap().unwrap() > 500);
    });
}

#[test]
fn unix_streams_exchange_bytes() {
    on_workers(|| {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let server = task::spawn(async move {
            let n = theirs.read_u64().await.unwrap();
            theirs.write_u64(n + 1).await.unwrap();
        });
        let next = kahn::block_on(async {
            ours.write_u64(41).await.unwrap();
            ours.read_u64().await.unwrap()
        });
        assert_eq!(next, 42);
        server.join().unwrap();
    });
}

#[test]
fn more_bytes_than_the_buffers_hold_pass_both_ways() {
    const LEN: usize = 4 << 20;
    on_workers(|| {
        let (mut ours, mut theirs) = pair();
        let forward = task::spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(&mut theirs);
            let n = copy(&mut reader, &mut writer).await.unwrap();
            writer.shutdown().await.unwrap();
            n
        });
        // A green thread that calls the async code of a library.
        let green = kahn::spawn(move || {
            let bytes = vec![7; LEN];
            let writes = Arc::new(ours.try_clone().unwrap());
            let writer = task::spawn(async move {
                AsyncWriteExt::write_all(&mut &*writes, &bytes).await.unwrap();
                AsyncWriteExt::shutdown(&mut &*writes).await.unwrap();
            });
            let mut received = Vec::new();
            kahn::block_on(AsyncReadExt::read_to_end(&mut ours, &mut received)).unwrap();
            writer.join().unwrap();
            received
        });
        assert!(green.join().unwrap() == vec![7; LEN]);
        assert_eq!(forward.join().unwrap(), LEN as u64);
    });
}

#[test]
fn shutdown_of_the_trait_ends_the_writing_side_alone() {
    on_workers(|| {
        let (mut ours, mut theirs) = pair();
        kahn::block_on(async {
            AsyncWriteExt::write_all(&mut ours, b"last").await.unwrap();
            AsyncWriteExt::shutdown(&mut ours).await
        })
        .unwrap();
        let mut text = String::new();
        Read::read_to_string(&mut theirs, &mut text).unwrap();
        Write::write_all(&mut theirs, b" reply").unwrap();
        drop(theirs);
        kahn::block_on(AsyncReadExt::read_to_string(&mut ours, &mut text)).unwrap();
        assert_eq!(text, "last reply");
    });
}

#[test]
fn close_of_the_stream_ends_a_read_that_waits() {
    on_workers(|| {
        let (ours, _theirs) = pair();
        let ours = Arc::new(ours);
        let reader = task::spawn({
            let ours = Arc::clone(&ours);
            async move { AsyncReadExt::read(&mut &*ours, &mut [0; 8]).await }
        });
        kahn::yield_now();
        ours.close();
        assert_eq!(reader.join().unwrap().unwrap_err().kind(), ErrorKind::NotConnected);
    });
}

#[test]
fn read_that_is_given_up_takes_nothing() {
    on_workers(|| {
        let (mut ours, mut theirs) = pair();
        let late = task::spawn(async move {
            let limit = Duration::from_millis(2);
            let read = AsyncReadExt::read_u32(&mut ours);
            (kahn::time::timeout_async(limit, read).await.is_err(), ours)
        });
        let (late, mut ours) = late.join().unwrap();
        assert!(late);
        Write::write_all(&mut theirs, &7_u32.to_be_bytes()).unwrap();
        assert_eq!(kahn::block_on(ours.read_u32()).unwrap(), 7);
    });
}

#[test]
fn reads_go_behind_the_bytes_that_a_buffer_holds() {
    on_workers(|| {
        let (mut ours, mut theirs) = pair();
        Write::write_all(&mut theirs, b"defgh").unwrap();
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(b"abc");
        while bytes.len() < 8 {
            assert!(kahn::block_on(AsyncReadExt::read_buf(&mut ours, &mut bytes)).unwrap() > 0);
        }
        assert_eq!(bytes, b"abcdefgh");
    });
}
