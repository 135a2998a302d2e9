//! The servers on tokio: a task for each connection.

use super::announce;
use super::kahn::respond;
use crate::workloads::{BUFFER, ServerWork};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Serves for ever.
pub fn serve(work: ServerWork, workers: usize) -> ! {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .expect("the runtime starts");
    // `block_on` runs its future on the calling thread, which is no worker. So connections are accepted in a task.
    runtime.block_on(async move {
        let accepting = match work {
            ServerWork::Http => tokio::spawn(accept(http)),
            _ => tokio::spawn(accept(echo)),
        };
        accepting.await.expect("the task goes on");
    });
    unreachable!("the task never ends")
}

async fn accept<F: Future<Output = ()> + Send + 'static>(handle: fn(TcpStream) -> F) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    announce(listener.local_addr().expect("a listener has an address"));
    loop {
        let (stream, _) = listener.accept().await.expect("connections can be accepted");
        stream.set_nodelay(true).expect("a stream has this option");
        tokio::spawn(handle(stream));
    }
}

async fn echo(mut stream: TcpStream) {
    let mut buffer = [0; BUFFER];
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

async fn http(stream: TcpStream) {
    // It fails if the client closes the connection.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(respond)).await;
}
