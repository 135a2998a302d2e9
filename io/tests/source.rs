//! [`Source`]: green threads and OS threads that wait for descriptors.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use kahn::Runtime;
use kahn::io::Source;

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
