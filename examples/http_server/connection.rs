//! One connection: hyper, and the limits for its client.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use kahn::channel::watch::Receiver;
use kahn::interop::KahnTimer;
use kahn::net::TcpStream;
use rustls::ServerConfig;

use crate::guarded::Guarded;
use crate::service::Service;
use crate::tls::TlsStream;

/// What a client may use.
pub struct Limits {
    /// The time for the head of a request, and for the handshake of TLS or the pause before it.
    pub idle: Duration,
    /// The time for the body of a request.
    pub body: Duration,
    /// The time in which a client reads nothing of a response.
    pub stalled: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        let time = Duration::from_secs(30);
        Limits { idle: time, body: time, stalled: time }
    }
}

/// The size of the head of a request.
const HEAD_BYTES: usize = 16 << 10;
const HEADERS: usize = 64;

/// Handles the requests of a connection, until the client or the server closes it.
pub fn run(
    stream: TcpStream,
    tls: Option<&Arc<ServerConfig>>,
    service: &Service,
    limits: &Limits,
    stopping: Receiver<bool>,
) {
    // Responses are sent at once.
    let _ = stream.set_nodelay(true);
    let stream = Guarded::new(stream, limits.stalled);
    match tls {
        None => serve(stream, service, limits, stopping),
        Some(config) => match TlsStream::new(stream, config) {
            Ok(stream) => serve(stream, service, limits, stopping),
            Err(error) => eprintln!("TLS: {error}"),
        },
    }
}

fn serve<S: Read + Write + Unpin>(stream: S, service: &Service, limits: &Limits, stopping: Receiver<bool>) {
    let respond =
        service_fn(|request| async move { Ok::<_, Infallible>(service.respond(request, limits.body).await) });
    let mut http = http1::Builder::new();
    http.timer(KahnTimer).header_read_timeout(limits.idle).max_buf_size(HEAD_BYTES).max_headers(HEADERS);
    // A client that has sent its last request, and closed its writing side, still gets the responses.
    http.half_close(true);
    let connection = http.serve_connection(stream, respond);

    kahn::block_on(async {
        let mut connection = pin!(connection);
        let mut stop = pin!(stopping.changed_async());
        let mut is_stopping = false;
        let end = poll_fn(|context| {
            if !is_stopping && stop.as_mut().poll(context).is_ready() {
                is_stopping = true;
                // It answers the request that has begun, and then closes the connection.
                connection.as_mut().graceful_shutdown();
            }
            connection.as_mut().poll(context)
        });
        // A client that vanishes, stalls or sends no HTTP concerns this connection alone. hyper has answered it, if it
        // can be answered.
        let _ = end.await;
    });
}
