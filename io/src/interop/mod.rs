//! The traits of other libraries, for kahn's streams, timers and tasks.
//!
//! Each feature of the crate adds what one library needs. None is on by default.
//!
//! | feature | adds | for |
//! |---|---|---|
//! | `futures-io` | `futures_io::{AsyncRead, AsyncWrite}` for streams | `futures-util`, `async-tungstenite`, `futures-rustls` |
//! | `tokio-io` | `tokio::io::{AsyncRead, AsyncWrite}` for streams | libraries that are generic over tokio's traits, without tokio's runtime |
//! | `hyper` | `hyper::rt::{Read, Write}` for streams; `KahnTimer`, `KahnExecutor`, `KahnLocalExecutor` | `hyper` 1 |
//! | `ureq` | [`ureq_agent`], [`KahnConnector`], [`KahnResolver`] | `ureq` 3, a blocking client of HTTP |
//! | `redis` | [`RedisConnection`] | the blocking commands of the crate `redis` |
//!
//! # Async libraries
//!
//! The futures of the first three libraries run in a task ([`task::spawn`](kahn_core::async_task::spawn)), in
//! [`block_on`](kahn_core::block_on) on a green thread, and in any other executor.
//!
//! Streams are `TcpStream` and `UnixStream`. For the first three features:
//!
//! - The traits of `futures-io` and tokio are also implemented for `&TcpStream` and `&UnixStream`, so one task can read while another
//!   one writes. Of several tasks that poll one stream to read, only the last is woken, and likewise to write.
//! - The async methods have the names of the blocking ones, and of `TcpStream::{close, shutdown}`. Where both are in scope, name
//!   the trait: `AsyncReadExt::read(&mut stream, &mut buffer)`.
//! - Time-outs and `set_nonblocking` concern blocking calls. Async code bounds a wait with
//!   [`timeout_async`](kahn_core::time::timeout_async).
//! - A read or write that waits returns [`NotConnected`](std::io::ErrorKind::NotConnected) when another thread calls
//!   `close`. Closing or shutting down through the traits shuts down the writing side alone, and reading goes on.
//! - A read or write that is dropped while it waits has read or written nothing. The stream keeps the waker until the
//!   descriptor is ready, is polled again, or is dropped.

#[cfg(feature = "futures-io")]
mod futures_io;
#[cfg(feature = "hyper")]
mod hyper_rt;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "tokio-io")]
mod tokio_io;
#[cfg(feature = "ureq")]
mod ureq;

#[cfg(feature = "redis")]
pub use self::redis::RedisConnection;
#[cfg(feature = "ureq")]
pub use self::ureq::{KahnConnector, KahnResolver, KahnTransport, ureq_agent};
#[cfg(feature = "hyper")]
pub use hyper_rt::{KahnExecutor, KahnLocalExecutor, KahnSleep, KahnTimer};
