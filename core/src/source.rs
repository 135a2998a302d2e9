//! Waiting for descriptors: sockets, pipes, and whatever else the operating system can report as readable or writable.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::panic::Location;
use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::primitives::{AtomicU64, AtomicUsize, Ordering};
use crate::reactor::{Counted, Direction, PollId, Reactor, Readiness, Registration, Wanted, closed};
use crate::runtime::default_shared;
use crate::scheduler::{remote_here, runtime_here};
use crate::wait::{Kind, Reason, operation, poll_operation};

/// A descriptor that green threads can wait for.
///
/// `Source` wraps a value that owns a descriptor, such as a socket of `std` or of another library. It sets the
/// descriptor to non-blocking mode. [`read_with`](Self::read_with) and [`write_with`](Self::write_with) call a function
/// that tries a system call. If the function returns [`WouldBlock`](io::ErrorKind::WouldBlock), they park the caller
/// until the descriptor has changed, and try again. The worker runs other green threads meanwhile. On an OS thread that
/// is in no runtime, they block that thread.
///
/// Two green threads can use the two directions at the same time. Several that read, or several that write, are served
/// in the order in which they came.
///
/// A `Source` can be used from every worker and every runtime. The worker on which it is first waited for watches the
/// descriptor. If that worker runs one green thread for a long time without a park, changes of the descriptor are
/// noticed only afterwards.
///
/// # Examples
///
/// ```
/// use kahn::io::Source;
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
///
/// kahn::run(|| {
///     let (ours, theirs) = UnixStream::pair()?;
///     let (ours, theirs) = (Source::new(ours)?, Source::new(theirs)?);
///     let reader = kahn::spawn(move || {
///         let mut buffer = [0; 5];
///         let n = theirs.read_with(|mut stream| stream.read(&mut buffer))?;
///         Ok::<_, std::io::Error>(buffer[..n].to_vec())
///     });
///     ours.write_with(|mut stream| stream.write(b"hello"))?;
///     assert_eq!(reader.join().unwrap()?, b"hello");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Source<T: AsFd> {
    registration: Arc<Registration>,
    /// `None` only while the source is dropped.
    io: Option<T>,
}

/// Which change of a descriptor an operation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// There is something to read, or to accept, or the peer has closed its side.
    Readable,
    /// There is room for something to write, or a connection is established.
    Writable,
}

/// Closes a [`Source`] without a reference to it. See [`Source::closer`].
#[derive(Clone)]
pub struct Closer(Weak<Registration>);

impl Closer {
    /// Does what [`Source::close`] does. Does nothing if the source has been dropped.
    pub fn close(&self) {
        if let Some(registration) = self.0.upgrade() {
            registration.close();
        }
    }

    /// Returns whether the source has been dropped.
    pub fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }
}

impl fmt::Debug for Closer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closer").field("is_gone", &self.is_gone()).finish()
    }
}

impl<T: AsFd> Source<T> {
    /// Wraps `io`, and sets its descriptor to non-blocking mode. `as_fd` of `T` must always return the same descriptor;
    /// if it does not, waits may last for ever.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system if the mode cannot be set.
    pub fn new(io: T) -> io::Result<Source<T>> {
        rustix::io::ioctl_fionbio(&io, true)?;
        Ok(Source::from_nonblocking(io))
    }

    /// Like [`new`](Self::new), for a descriptor that is in non-blocking mode already. If it is not, operations block
    /// the worker.
    pub fn from_nonblocking(io: T) -> Source<T> {
        Source { registration: Arc::default(), io: Some(io) }
    }

    /// Returns the wrapped value.
    pub fn get_ref(&self) -> &T {
        self.io.as_ref().expect("a source is used before it is dropped")
    }

    /// Returns the wrapped value. Its descriptor stays in non-blocking mode.
    pub fn into_inner(mut self) -> T {
        self.deregister();
        self.io.take().expect("a source is used before it is dropped")
    }

    /// Calls `f` until it returns something else than [`WouldBlock`](io::ErrorKind::WouldBlock). Waits in between until
    /// the descriptor is readable.
    ///
    /// # Parks
    ///
    /// Parks while there is nothing to read, and while another green thread reads. Cancelling the green thread, and an
    /// enclosing [`time::timeout`](crate::time::timeout), end the wait.
    ///
    /// # Errors
    ///
    /// Returns the error of `f`; [`NotConnected`](io::ErrorKind::NotConnected) after [`close`](Self::close); and the
    /// operating system's error if the descriptor cannot be waited for, as a regular file cannot.
    #[track_caller]
    pub fn read_with<R>(&self, f: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.io(Interest::Readable, None, f)
    }

    /// Like [`read_with`](Self::read_with), but waits until the descriptor is writable.
    ///
    /// # Parks
    ///
    /// Parks while nothing can be written, and while another green thread writes.
    ///
    /// # Errors
    ///
    /// Returns the errors of `read_with`.
    #[track_caller]
    pub fn write_with<R>(&self, f: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.io(Interest::Writable, None, f)
    }

    /// Waits until the descriptor is readable. Another thread may read what is there before the caller does.
    ///
    /// # Parks
    ///
    /// Parks until the descriptor is readable.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`read_with`](Self::read_with).
    #[track_caller]
    pub fn readable(&self) -> io::Result<()> {
        self.ready(Interest::Readable, None)
    }

    /// Waits until the descriptor is writable.
    ///
    /// # Parks
    ///
    /// Parks until the descriptor is writable.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`read_with`](Self::read_with).
    #[track_caller]
    pub fn writable(&self) -> io::Result<()> {
        self.ready(Interest::Writable, None)
    }

    /// Waits until the descriptor is readable or writable, or until the deadline.
    ///
    /// # Parks
    ///
    /// Parks until the descriptor is ready.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`io`](Self::io).
    #[track_caller]
    pub fn ready(&self, interest: Interest, deadline: Option<Instant>) -> io::Result<()> {
        self.io(interest, deadline, |io| try_ready(io.as_fd(), interest))
    }

    /// Like [`read_with`](Self::read_with) or [`write_with`](Self::write_with), with a deadline. The deadline bounds all
    /// waits of the call together. If it has passed already, `f` is still tried once.
    ///
    /// # Parks
    ///
    /// Parks as `read_with` and `write_with` do.
    ///
    /// # Errors
    ///
    /// Returns the errors of `read_with`, and [`TimedOut`](io::ErrorKind::TimedOut) when the deadline has passed.
    #[track_caller]
    pub fn io<R>(
        &self,
        interest: Interest,
        deadline: Option<Instant>,
        mut f: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.run(interest, deadline, |io| Ok((f(io)?, Readiness::Maybe)))
    }

    /// Calls `f` once, and never waits for the descriptor. `f` does not wait for its turn either: other threads may use
    /// the descriptor at the same time.
    ///
    /// # Errors
    ///
    /// Returns the error of `f`, and [`NotConnected`](io::ErrorKind::NotConnected) after [`close`](Self::close).
    pub fn try_io<R>(&self, f: impl FnOnce(&T) -> io::Result<R>) -> io::Result<R> {
        operation();
        if self.is_closed() {
            return Err(closed());
        }
        f(self.get_ref())
    }

    /// Like [`io`](Self::io) with [`Interest::Readable`], for a stream of bytes. `f` reads at most `len` bytes. If it
    /// reads fewer, the stream is taken for empty, and the next read waits before it tries. This saves a system call for
    /// each message.
    ///
    /// Use it for TCP streams, and for pipes that are not in packet mode. Other streams may have more bytes after a short
    /// read, and then the next read waits although there are some: Unix streams on which descriptors are sent, and
    /// connections whose encryption the operating system does.
    ///
    /// # Parks
    ///
    /// Parks as [`read_with`](Self::read_with) does.
    ///
    /// # Errors
    ///
    /// Returns the errors of `io`.
    #[track_caller]
    pub fn read_stream(
        &self,
        len: usize,
        deadline: Option<Instant>,
        mut f: impl FnMut(&T) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.run(Interest::Readable, deadline, |io| {
            let n = f(io)?;
            // Only Linux reports that the peer has closed its side, without which the end of the stream would be missed.
            let drained = cfg!(target_os = "linux") && 0 < n && n < len;
            Ok((n, if drained { Readiness::Drained } else { Readiness::Maybe }))
        })
    }

    #[track_caller]
    fn run<R>(
        &self,
        interest: Interest,
        deadline: Option<Instant>,
        mut f: impl FnMut(&T) -> io::Result<(R, Readiness)>,
    ) -> io::Result<R> {
        operation();
        let io = self.get_ref();
        let wanted = Wanted { reason: self.reason(interest, Location::caller()), deadline };
        let (direction, register) = (self.direction(interest), || self.register());
        direction.run(wanted, register, || f(io))
    }

    /// Calls `f` for a task of async code. If `f` returns [`WouldBlock`](io::ErrorKind::WouldBlock), the task is woken
    /// when the descriptor is ready. Of the tasks that poll in this way for an interest, only the last is woken, as with
    /// the `poll_read` and `poll_write` of other libraries. A task that has been pending is woken in any case, also if a
    /// later poll succeeds before the event is noticed.
    pub fn poll_io<R>(
        &self,
        interest: Interest,
        context: &Context<'_>,
        mut f: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        if poll_operation(context).is_pending() {
            return Poll::Pending;
        }
        let io = self.get_ref();
        self.direction(interest).poll(PollId::Owner, context, || self.register(), || f(io))
    }

    /// Like [`readable`](Self::readable), for async code, and for an arm of `select!`. Several futures of one source
    /// can wait at the same time, and all of them are woken. Dropping the future ends its wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::{bounded, select};
    /// use kahn::io::Source;
    /// use std::io::Write;
    /// use std::os::unix::net::UnixStream;
    ///
    /// kahn::run(|| {
    ///     let (ours, mut theirs) = UnixStream::pair()?;
    ///     let ours = Source::new(ours)?;
    ///     let (_stop, stopped) = bounded::<()>(0);
    ///     theirs.write_all(b"hello")?;
    ///     select! {
    ///         wait(ours.readable_async()) -> result => result?,
    ///         recv(stopped) -> _ => unreachable!(),
    ///     }
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn readable_async(&self) -> ReadyFuture<'_, T> {
        ReadyFuture { source: self, interest: Interest::Readable, wait: None }
    }

    /// Like [`readable_async`](Self::readable_async), but waits until the descriptor is writable.
    pub fn writable_async(&self) -> ReadyFuture<'_, T> {
        ReadyFuture { source: self, interest: Interest::Writable, wait: None }
    }

    /// Ends all waits for the descriptor with an error, and lets all later operations fail. The descriptor itself is
    /// closed when the source is dropped. A system call that another thread is in at this moment may still succeed.
    pub fn close(&self) {
        self.registration.close();
    }

    /// Returns whether [`close`](Self::close) has been called.
    pub fn is_closed(&self) -> bool {
        self.registration.is_closed()
    }

    /// Returns a handle that closes this source.
    pub fn closer(&self) -> Closer {
        Closer(Arc::downgrade(&self.registration))
    }

    fn direction(&self, interest: Interest) -> &Direction {
        match interest {
            Interest::Readable => &self.registration.read,
            Interest::Writable => &self.registration.write,
        }
    }

    fn reason(&self, interest: Interest, location: &'static Location<'static>) -> Reason {
        let kind = match interest {
            Interest::Readable => Kind::Readable,
            Interest::Writable => Kind::Writable,
        };
        let fd = self.get_ref().as_fd().as_raw_fd();
        Reason { kind, resource: usize::try_from(fd).unwrap_or(0), location }
    }

    /// Registers the descriptor, unless that has been done, and counts the caller as waiting for it.
    fn register(&self) -> io::Result<Counted> {
        let here = remote_here().map(|remote| &remote.reactor);
        // A worker whose runtime has given up on it runs the caller and polls no more. So it is tried once.
        let mut first = here;
        let choose = || first.take().unwrap_or_else(reactor_elsewhere);
        let reactor = self.registration.ensure(self.get_ref().as_fd(), choose, reactors)?;
        Ok(Counted::new(reactor, here.is_some_and(|here| std::ptr::eq(here, reactor))))
    }

    fn deregister(&self) {
        if let Some(io) = &self.io {
            self.registration.deregister(io.as_fd());
        }
    }
}

/// The future of [`Source::readable_async`] and [`Source::writable_async`].
///
/// # Errors
///
/// Its output is an error in the cases of [`Source::read_with`].
#[must_use = "futures do nothing unless they are polled"]
pub struct ReadyFuture<'a, T: AsFd> {
    source: &'a Source<T>,
    interest: Interest,
    /// Set while the direction may hold a waker of this future.
    wait: Option<PollId>,
}

impl<T: AsFd> Future for ReadyFuture<'_, T> {
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        if poll_operation(context).is_pending() {
            return Poll::Pending;
        }
        let this = self.get_mut();
        let (source, interest) = (this.source, this.interest);
        // Relaxed: only a unique number is needed.
        let wait = *this.wait.get_or_insert_with(|| PollId::Future(NEXT.fetch_add(1, Ordering::Relaxed)));
        let try_it = || try_ready(source.as_fd(), interest);
        source.direction(interest).poll(wait, context, || source.register(), try_it)
    }
}

impl<T: AsFd> Drop for ReadyFuture<'_, T> {
    fn drop(&mut self) {
        if let Some(wait) = self.wait {
            self.source.direction(self.interest).forget(wait);
        }
    }
}

impl<T: AsFd> fmt::Debug for ReadyFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyFuture").field("interest", &self.interest).finish_non_exhaustive()
    }
}

/// Returns the reactor of a worker of the default runtime, for a caller that is on no worker.
fn reactor_elsewhere() -> &'static Reactor {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let shared = default_shared();
    // Relaxed: only a spread over the workers is wanted.
    &shared.remotes[NEXT.fetch_add(1, Ordering::Relaxed) % shared.remotes.len()].reactor
}

/// Returns the reactors of the caller's runtime, or of the default runtime.
fn reactors() -> Vec<&'static Reactor> {
    let here = runtime_here();
    let shared = here.as_ref().unwrap_or_else(|| default_shared());
    shared.remotes.iter().map(|remote| &remote.reactor).collect()
}

/// Returns `WouldBlock` unless the descriptor is ready now.
fn try_ready(fd: BorrowedFd<'_>, interest: Interest) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let flags = match interest {
        Interest::Readable => PollFlags::IN,
        Interest::Writable => PollFlags::OUT,
    };
    match poll(&mut [PollFd::from_borrowed_fd(fd, flags)], Some(&Timespec::default()))? {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ => Ok(()),
    }
}

impl<T: AsFd> Drop for Source<T> {
    fn drop(&mut self) {
        self.deregister();
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for Source<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(self.get_ref()).finish()
    }
}

impl<T: AsFd> AsFd for Source<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}
