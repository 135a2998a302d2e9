//! The servers on kahn: a green thread for each connection, or a task.

use super::{announce, echo};
use crate::workloads::{BUFFER, RESPONSE, ServerWork};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use kahn::net::{TcpListener, TcpStream};
use std::convert::Infallible;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The most connections.
const LIMIT: usize = 100_000;

/// Serves for ever. With `tasks`, each connection is a task of async code, and otherwise a green thread.
pub fn serve(tasks: bool, work: ServerWork, workers: usize) -> ! {
    let runtime = kahn::Runtime::builder().workers(workers).build().expect("the runtime starts");
    runtime.run(move || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        announce(listener.local_addr().expect("a listener has an address"));
        match (tasks, work) {
            (false, ServerWork::Http) => run(listener, |stream| kahn::block_on(http(stream))),
            (false, _) => run(listener, echo),
            (true, ServerWork::Http) => spawn(listener, http),
            (true, _) => spawn(listener, echo_async),
        }
    })
}

fn run(listener: TcpListener, handle: impl Fn(TcpStream) + Sync) -> ! {
    let handle = |stream: TcpStream| {
        stream.set_nodelay(true).expect("a stream has this option");
        handle(stream);
    };
    kahn::net::serve(listener, LIMIT, handle).expect("connections can be accepted");
    unreachable!("the listener is never closed")
}

fn spawn<F: Future<Output = ()> + Send + 'static>(listener: TcpListener, handle: fn(TcpStream) -> F) -> ! {
    loop {
        let (stream, _) = listener.accept().expect("connections can be accepted");
        stream.set_nodelay(true).expect("a stream has this option");
        kahn::task::spawn(handle(stream));
    }
}

async fn echo_async(mut stream: TcpStream) {
    let mut buffer = [0; BUFFER];
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

async fn http(stream: TcpStream) {
    // It fails if the client closes the connection.
    let _ = http1::Builder::new().serve_connection(stream, service_fn(respond)).await;
}

/// The response of `http`, on kahn and on tokio.
pub async fn respond(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(RESPONSE.as_bytes()))))
}
