//! The server on may: a coroutine for each connection.

use super::{announce, echo};
use crate::workloads::ServerWork;
use may::coroutine;
use may::net::TcpListener;

/// Serves for ever.
pub fn serve(work: ServerWork, workers: usize) -> ! {
    assert_ne!(work, ServerWork::Http, "there is no HTTP server for may here");
    may::config().set_workers(workers);
    let accepting = move || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        announce(listener.local_addr().expect("a listener has an address"));
        loop {
            let (stream, _) = listener.accept().expect("connections can be accepted");
            stream.set_nodelay(true).expect("a stream has this option");
            // SAFETY: `echo` uses no thread-local, and stays far below may's 32 KiB of stack.
            unsafe { coroutine::spawn(move || echo(stream)) };
        }
    };
    // SAFETY: the closure uses no thread-local, and stays far below may's 32 KiB of stack.
    let accepting = unsafe { coroutine::spawn(accepting) };
    accepting.join().expect("the coroutine goes on");
    unreachable!("the coroutine never ends")
}
