//! The transport and the resolver of `ureq::unversioned`.
//!
//! ureq calls [`is_open`](Transport::is_open), and drops transports, while it holds a mutex of `std`. So neither may park:
//! another green thread of the worker would wait for that mutex with the whole worker.

use std::io::{self, Read, Write};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use kahn_core::primitives::now;
use kahn_core::thread::is_green;
use kahn_core::time::timeout as bounded;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout,
    ShutdownHandle, Transport,
};
use ureq::{Agent, Error};

use crate::net::{SocketAddr, TcpStream, ToSocketAddrs};

/// Makes an agent of ureq whose calls park: with [`KahnConnector`], [`KahnResolver`], and ureq's connector for HTTP
/// proxies.
///
/// The agent can be used by many green threads at a time, and on OS threads. A cancel and an enclosing
/// [`timeout`](kahn_core::time::timeout) end a call that waits, and close its connection.
///
/// # Examples
///
/// ```no_run
/// let agent = kahn::interop::ureq_agent(ureq::config::Config::default());
/// let page = agent.get("http://example.org/").call()?.body_mut().read_to_string()?;
/// # Ok::<(), ureq::Error>(())
/// ```
#[must_use]
pub fn ureq_agent(config: Config) -> Agent {
    Agent::with_parts(config, ConnectProxyConnector::default().chain(KahnConnector), KahnResolver)
}

/// Connects ureq through [`TcpStream`]s. Calls that wait park.
///
/// It only connects. A connector for proxies comes before it in a chain, and one for TLS behind it, such as ureq's
/// `RustlsConnector`. [`ureq_agent`] has the first of them.
///
/// # Examples
///
/// ```
/// use kahn::interop::{KahnConnector, KahnResolver};
/// use ureq::unversioned::transport::{ConnectProxyConnector, Connector};
///
/// let connector = ConnectProxyConnector::default().chain(KahnConnector); // .chain(RustlsConnector::default())
/// let agent = ureq::Agent::with_parts(ureq::config::Config::default(), connector, KahnResolver);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct KahnConnector;

impl<In: Transport> Connector<In> for KahnConnector {
    type Out = Either<In, KahnTransport>;

    /// # Parks
    ///
    /// Parks until the connection is established.
    #[track_caller]
    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        if chained.is_some() {
            return Ok(chained.map(Either::A));
        }
        let stream = Arc::new(Stream(connect(&details.addrs, details.timeout)?));
        if details.config.no_delay() {
            stream.0.set_nodelay(true)?;
        }
        let handle: Weak<Stream> = Arc::downgrade(&stream);
        (details.register_shutdown)(handle)?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(Either::B(KahnTransport { stream, buffers })))
    }
}

/// Tries one address after the other. Each gets half of the time that is left, and the last one all of it.
#[track_caller]
fn connect(addresses: &[SocketAddr], timeout: NextTimeout) -> Result<TcpStream, Error> {
    let deadline = deadline(timeout)?;
    // With a proxy, ureq leaves the look-up to the connector of the proxy.
    let none = io::Error::new(io::ErrorKind::InvalidInput, "no address: is there a connector for the proxy?");
    let mut last = none.into();
    for (i, address) in addresses.iter().enumerate() {
        let connected = match deadline {
            None => TcpStream::connect(address),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(now());
                let part = if i + 1 == addresses.len() { left } else { left / 2 };
                // A time-out of zero is not possible.
                TcpStream::connect_timeout(address, part.max(Duration::from_nanos(1)))
            }
        };
        match connected {
            Ok(stream) => return Ok(stream),
            Err(error) => last = convert(error, timeout),
        }
    }
    Err(last)
}

/// Returns the instant at which a wait that begins now ends.
fn deadline(timeout: NextTimeout) -> Result<Option<Instant>, Error> {
    if timeout.after.is_not_happening() {
        return Ok(None);
    }
    if timeout.after.is_zero() {
        return Err(Error::Timeout(timeout.reason));
    }
    Ok(now().checked_add(*timeout.after))
}

/// Converts the error of a deadline into that of ureq.
fn convert(error: io::Error, timeout: NextTimeout) -> Error {
    // A connection that the system has given up is also `TimedOut`, but has a number.
    let is_deadline = error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none();
    if is_deadline { Error::Timeout(timeout.reason) } else { error.into() }
}

/// A connection that [`Agent::shutdown`] can close.
#[derive(Debug)]
struct Stream(TcpStream);

impl ShutdownHandle for Stream {
    fn shutdown(&self) {
        self.0.close();
    }
}

/// A connection of [`KahnConnector`].
pub struct KahnTransport {
    stream: Arc<Stream>,
    buffers: LazyBuffers,
}

impl std::fmt::Debug for KahnTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("KahnTransport").field(&self.stream.0).finish()
    }
}

impl Transport for KahnTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    /// # Parks
    ///
    /// Parks while the peer reads nothing.
    #[track_caller]
    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        // The deadline is that of the whole output.
        let deadline = deadline(timeout)?;
        let mut rest = &self.buffers.output()[..amount];
        while !rest.is_empty() {
            match self.stream.0.0.write_until(deadline, |mut stream| stream.write(rest)) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(n) => rest = &rest[n..],
                Err(error) => return Err(convert(error, timeout)),
            }
        }
        Ok(())
    }

    /// # Parks
    ///
    /// Parks while there is nothing to read.
    #[track_caller]
    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        let deadline = deadline(timeout)?;
        let buffer = self.buffers.input_append_buf();
        let socket = &self.stream.0.0;
        let read = socket.read_stream_until(buffer.len(), deadline, |mut stream| stream.read(buffer));
        let amount = read.map_err(|error| convert(error, timeout))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // This goes around `TcpStream::peek`, which may yield. Bytes that no request has asked for make the connection
        // useless.
        let peeked = self.stream.0.0.get().peek(&mut [0]);
        peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// Looks names up for ureq with [`ToSocketAddrs`]: on a green thread, by parking.
#[derive(Clone, Copy, Debug, Default)]
pub struct KahnResolver;

impl Resolver for KahnResolver {
    /// # Parks
    ///
    /// Parks while the name is looked up.
    #[track_caller]
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        if !is_green() {
            // On an OS thread only a thread of its own can bound the look-up.
            return DefaultResolver::default().resolve(uri, config, timeout);
        }
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(Error::BadUri(format!("{uri} has no scheme or no host")));
        };
        let Some(address) = DefaultResolver::host_and_port(scheme, authority) else {
            return Err(Error::BadUri(format!("unknown scheme: {scheme}")));
        };
        let found = match deadline(timeout)? {
            None => address.to_socket_addrs()?,
            Some(_) => bounded(*timeout.after, || address.to_socket_addrs())
                .map_err(|_| Error::Timeout(timeout.reason))??,
        };
        let mut addresses = self.empty();
        for address in config.ip_family().keep_wanted(found) {
            if addresses.try_push(address).is_err() {
                break;
            }
        }
        if addresses.is_empty() { Err(Error::HostNotFound) } else { Ok(addresses) }
    }
}
