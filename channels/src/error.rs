//! The errors of channel operations. Names and meaning follow `crossbeam-channel`. The error of a send contains the
//! message that was not sent.

use core::error::Error;
use core::fmt;

/// The error of [`send`](crate::Sender::send): the channel is disconnected or closed.
///
/// It contains the message that was not sent.
///
/// # Examples
///
/// ```
/// let (tx, rx) = kahn::channel::bounded(1);
/// drop(rx);
/// assert_eq!(tx.send("lost").unwrap_err().into_inner(), "lost");
/// ```
#[derive(PartialEq, Eq, Clone, Copy)]
pub struct SendError<T>(pub T);

/// The error of [`try_send`](crate::Sender::try_send). It contains the message that was not sent.
///
/// # Examples
///
/// ```
/// use kahn::channel::{TrySendError, bounded};
///
/// let (tx, rx) = bounded(0);
/// assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
/// drop(rx);
/// assert_eq!(tx.try_send(1), Err(TrySendError::Disconnected(1)));
/// ```
#[derive(PartialEq, Eq, Clone, Copy)]
pub enum TrySendError<T> {
    /// The channel is full. With capacity 0: no receiver waits.
    Full(T),
    /// The channel is disconnected or closed.
    Disconnected(T),
}

/// The error of [`send_timeout`](crate::Sender::send_timeout). It contains the message that was not sent.
///
/// # Examples
///
/// ```
/// use kahn::channel::{SendTimeoutError, bounded};
/// use std::time::Duration;
///
/// let (tx, rx) = bounded(0);
/// assert_eq!(tx.send_timeout(1, Duration::ZERO), Err(SendTimeoutError::Timeout(1)));
/// drop(rx);
/// assert_eq!(tx.send_timeout(1, Duration::ZERO), Err(SendTimeoutError::Disconnected(1)));
/// ```
#[derive(PartialEq, Eq, Clone, Copy)]
pub enum SendTimeoutError<T> {
    /// The deadline passed before there was a place.
    Timeout(T),
    /// The channel is disconnected or closed.
    Disconnected(T),
}

/// The error of [`recv`](crate::Receiver::recv): the channel is empty, and disconnected or closed, so no message will
/// come.
///
/// # Examples
///
/// ```
/// use kahn::channel::{RecvError, bounded};
///
/// let (tx, rx) = bounded::<i32>(1);
/// drop(tx);
/// assert_eq!(rx.recv(), Err(RecvError));
/// ```
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub struct RecvError;

/// The error of [`try_recv`](crate::Receiver::try_recv).
///
/// # Examples
///
/// ```
/// use kahn::channel::{TryRecvError, bounded};
///
/// let (tx, rx) = bounded::<i32>(1);
/// assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
/// drop(tx);
/// assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
/// ```
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub enum TryRecvError {
    /// No message is in the channel now.
    Empty,
    /// The channel is empty, and disconnected or closed.
    Disconnected,
}

/// The error of [`recv_timeout`](crate::Receiver::recv_timeout).
///
/// # Examples
///
/// ```
/// use kahn::channel::{RecvTimeoutError, bounded};
/// use std::time::Duration;
///
/// let (tx, rx) = bounded::<i32>(1);
/// assert_eq!(rx.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
/// drop(tx);
/// assert_eq!(rx.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Disconnected));
/// ```
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub enum RecvTimeoutError {
    /// The deadline passed before a message arrived.
    Timeout,
    /// The channel is empty, and disconnected or closed.
    Disconnected,
}

/// The error of [`Select::try_select`](crate::Select::try_select): no operation is ready.
///
/// # Examples
///
/// ```
/// use kahn::channel::{Select, TrySelectError, bounded};
///
/// let (_tx, rx) = bounded::<i32>(1);
/// let mut select = Select::new();
/// select.recv(&rx);
/// assert_eq!(select.try_select().map(|_| ()), Err(TrySelectError));
/// ```
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub struct TrySelectError;

/// The error of [`Select::select_timeout`](crate::Select::select_timeout): no operation became ready in time.
///
/// # Examples
///
/// ```
/// use kahn::channel::{Select, SelectTimeoutError, bounded};
///
/// let (_tx, rx) = bounded::<i32>(1);
/// let mut select = Select::new();
/// select.recv(&rx);
/// assert_eq!(select.select_timeout(std::time::Duration::ZERO).map(|_| ()), Err(SelectTimeoutError));
/// ```
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub struct SelectTimeoutError;

/// The error of [`Select::try_ready`](crate::Select::try_ready): no operation is ready.
///
/// # Examples
///
/// ```
/// use kahn::channel::{Select, TryReadyError, bounded};
///
/// let (_tx, rx) = bounded::<i32>(1);
/// let mut select = Select::new();
/// select.recv(&rx);
/// assert_eq!(select.try_ready(), Err(TryReadyError));
/// ```
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub struct TryReadyError;

/// The error of [`Select::ready_timeout`](crate::Select::ready_timeout): no operation became ready in time.
///
/// # Examples
///
/// ```
/// use kahn::channel::{Select, ReadyTimeoutError, bounded};
///
/// let (_tx, rx) = bounded::<i32>(1);
/// let mut select = Select::new();
/// select.recv(&rx);
/// assert_eq!(select.ready_timeout(std::time::Duration::ZERO), Err(ReadyTimeoutError));
/// ```
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub struct ReadyTimeoutError;

const SEND_DISCONNECTED: &str = "sending on a disconnected channel";
const RECV_DISCONNECTED: &str = "receiving on an empty and disconnected channel";

impl<T> SendError<T> {
    /// Returns the message that was not sent.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> TrySendError<T> {
    /// Returns the message that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            TrySendError::Full(msg) | TrySendError::Disconnected(msg) => msg,
        }
    }

    /// Returns `true` if the channel was full.
    pub fn is_full(&self) -> bool {
        matches!(self, TrySendError::Full(_))
    }

    /// Returns `true` if the channel is disconnected or closed.
    pub fn is_disconnected(&self) -> bool {
        matches!(self, TrySendError::Disconnected(_))
    }
}

impl<T> SendTimeoutError<T> {
    /// Returns the message that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            SendTimeoutError::Timeout(msg) | SendTimeoutError::Disconnected(msg) => msg,
        }
    }

    /// Returns `true` if the deadline passed.
    pub fn is_timeout(&self) -> bool {
        matches!(self, SendTimeoutError::Timeout(_))
    }

    /// Returns `true` if the channel is disconnected or closed.
    pub fn is_disconnected(&self) -> bool {
        matches!(self, SendTimeoutError::Disconnected(_))
    }
}

impl TryRecvError {
    /// Returns `true` if no message was in the channel.
    pub fn is_empty(&self) -> bool {
        matches!(self, TryRecvError::Empty)
    }

    /// Returns `true` if the channel is empty, and disconnected or closed.
    pub fn is_disconnected(&self) -> bool {
        matches!(self, TryRecvError::Disconnected)
    }
}

impl RecvTimeoutError {
    /// Returns `true` if the deadline passed.
    pub fn is_timeout(&self) -> bool {
        matches!(self, RecvTimeoutError::Timeout)
    }

    /// Returns `true` if the channel is empty, and disconnected or closed.
    pub fn is_disconnected(&self) -> bool {
        matches!(self, RecvTimeoutError::Disconnected)
    }
}

// `Debug` does not show the message, whose type need not implement `Debug`.

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError(..)")
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "Full(..)",
            TrySendError::Disconnected(_) => "Disconnected(..)",
        })
    }
}

impl<T> fmt::Debug for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendTimeoutError::Timeout(_) => "Timeout(..)",
            SendTimeoutError::Disconnected(_) => "Disconnected(..)",
        })
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(SEND_DISCONNECTED)
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            TrySendError::Full(_) => "sending on a full channel",
            TrySendError::Disconnected(_) => SEND_DISCONNECTED,
        })
    }
}

impl<T> fmt::Display for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            SendTimeoutError::Timeout(_) => "timed out waiting on send operation",
            SendTimeoutError::Disconnected(_) => SEND_DISCONNECTED,
        })
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(RECV_DISCONNECTED)
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            TryRecvError::Empty => "receiving on an empty channel",
            TryRecvError::Disconnected => RECV_DISCONNECTED,
        })
    }
}

impl fmt::Display for RecvTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            RecvTimeoutError::Timeout => "timed out waiting on receive operation",
            RecvTimeoutError::Disconnected => "channel is empty and disconnected",
        })
    }
}

impl fmt::Display for TrySelectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("all operations in select would block")
    }
}

impl fmt::Display for SelectTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("timed out waiting on select")
    }
}

impl fmt::Display for TryReadyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("no operation in select is ready")
    }
}

impl fmt::Display for ReadyTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("timed out waiting for a ready operation in select")
    }
}

impl<T> Error for SendError<T> {}
impl<T> Error for TrySendError<T> {}
impl<T> Error for SendTimeoutError<T> {}
impl Error for RecvError {}
impl Error for TryRecvError {}
impl Error for RecvTimeoutError {}
impl Error for TrySelectError {}
impl Error for SelectTimeoutError {}
impl Error for TryReadyError {}
impl Error for ReadyTimeoutError {}

impl<T> From<SendError<T>> for TrySendError<T> {
    fn from(err: SendError<T>) -> TrySendError<T> {
        TrySendError::Disconnected(err.0)
    }
}

impl<T> From<SendError<T>> for SendTimeoutError<T> {
    fn from(err: SendError<T>) -> SendTimeoutError<T> {
        SendTimeoutError::Disconnected(err.0)
    }
}

impl From<RecvError> for TryRecvError {
    fn from(_: RecvError) -> TryRecvError {
        TryRecvError::Disconnected
    }
}

impl From<RecvError> for RecvTimeoutError {
    fn from(_: RecvError) -> RecvTimeoutError {
        RecvTimeoutError::Disconnected
    }
}
