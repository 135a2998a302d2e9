//! TLS for a connection: rustls between hyper and the stream.
//!
//! rustls makes no system call. It takes the bytes that have come, and returns the bytes that are to be sent. Here they
//! pass through the stream's polls, so the time-outs of hyper and of [`Guarded`] apply to the handshake as well.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use crate::guarded::Guarded;

/// How many decrypted bytes are passed on at a time.
const CHUNK: usize = 16 << 10;

/// Reads a certificate, with those that it was signed with, and its key, from files in the format PEM.
pub fn config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, String> {
    let of_file = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let certificates = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let certificates: Vec<_> = certificates.map_err(|error| of_file(certificate, &error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| of_file(key, &error))?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key);
    config.map(Arc::new).map_err(|error| of_file(certificate, &error))
}

/// The encrypted stream of a connection.
pub struct TlsStream {
    stream: Guarded,
    session: ServerConnection,
    decrypted: Box<[u8]>,
    is_shut_down: bool,
}

impl TlsStream {
    pub fn new(stream: Guarded, config: &Arc<ServerConfig>) -> Result<TlsStream, rustls::Error> {
        let session = ServerConnection::new(Arc::clone(config))?;
        Ok(TlsStream { stream, session, decrypted: vec![0; CHUNK].into(), is_shut_down: false })
    }

    /// Sends what rustls wants to send.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            let mut stream = Polled { stream: &mut self.stream, context: &mut *context };
            if ready!(pending(self.session.write_tls(&mut stream)))? == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Gives rustls bytes that have come, and decrypts them. The reader of the session sees an end.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = Polled { stream: &mut self.stream, context: &mut *context };
        ready!(pending(self.session.read_tls(&mut stream)))?;
        if let Err(error) = self.session.process_new_packets() {
            // The client is told why, if there is room for it.
            let _ = self.poll_send(context);
            return Poll::Ready(Err(io::Error::new(ErrorKind::InvalidData, error)));
        }
        Poll::Ready(Ok(()))
    }
}

impl Read for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            // The handshake goes on while hyper reads. If there is no room, this task is woken when there is.
            if let Poll::Ready(Err(error)) = this.poll_send(context) {
                return Poll::Ready(Err(error));
            }
            let room = buffer.remaining().min(CHUNK);
            match this.session.reader().read(&mut this.decrypted[..room]) {
                Ok(n) => {
                    buffer.put_slice(&this.decrypted[..n]);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(this.poll_receive(context))?;
        }
    }
}

impl Write for TlsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // First what is left of the write before, so that no more than one write is kept in memory.
        ready!(self.poll_send(context))?;
        let n = self.session.writer().write(bytes)?;
        match self.poll_send(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // The rest is sent by the next write or flush.
            _ => Poll::Ready(Ok(n)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.is_shut_down, true) {
            self.session.send_close_notify();
        }
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The stream, as rustls uses it: an operation that waits returns `WouldBlock`, and the task is woken later.
struct Polled<'a, 'b> {
    stream: &'a mut Guarded,
    context: &'a mut Context<'b>,
}

/// Converts the result of an operation on [`Polled`] back.
fn pending(result: io::Result<usize>) -> Poll<io::Result<usize>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

fn would_block<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

impl io::Read for Polled<'_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(bytes);
        would_block(Pin::new(&mut *self.stream).poll_read(self.context, buffer.unfilled()))?;
        Ok(buffer.filled().len())
    }
}

impl io::Write for Polled<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        would_block(Pin::new(&mut *self.stream).poll_write(self.context, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        would_block(Pin::new(&mut *self.stream).poll_flush(self.context))
    }
}
