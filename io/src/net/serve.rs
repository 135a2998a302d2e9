//! Servers: a green thread for each connection, and a limit on their number.
//!
//! ```text
//!   caller of `run`              accepting green thread            one for each connection
//!   waits until accepting stops  takes a place, accepts, spawns    handles, gives its place back
//!   waits until all have ended   stops when the listener is
//!   or cancels the accepting     closed; its scope waits for
//!   green thread                 the connections
//! ```
//!
//! The connections are in a scope of the accepting green thread. So a cancel of that thread cancels them.

use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kahn_core::primitives::now;
use kahn_core::thread::{Builder, Scope, scope};
use kahn_core::wait::{
    Kind, Reason, WaitList, WaitOptions, Waited, is_internal_unwind, operation, run_catching,
};

use super::accept::{Failure, Listener};
use crate::socket::Pause;

/// Accepts connections, and calls `handler` with each of them in a green thread of its own. At most `limit` connections
/// are handled at a time. While so many are, further ones wait in the listener's queue.
///
/// This returns when the listener is closed by [`close`](super::TcpListener::close), and the connections have been
/// handled. [`Server`] can limit how long it waits for them.
///
/// - If a handler panics, its connection is closed. The others go on.
/// - If there are too many open files, or there is no memory, accepting pauses until a connection ends, or for a moment
///   that grows from a millisecond to 100 ms.
/// - If the caller is cancelled, or an enclosing [`timeout`](kahn_core::time::timeout) ends, the handlers are cancelled,
///   and this waits for them.
///
/// # Parks
///
/// Parks until the listener is closed and all handlers have ended.
///
/// # Errors
///
/// Returns [`InvalidInput`](io::ErrorKind::InvalidInput) if `limit` is zero, and the error of `accept` if the listener is
/// of no more use. The handlers have ended then, too.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
///
/// use kahn::net::{self, TcpListener, TcpStream};
///
/// kahn::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let address = listener.local_addr()?;
///     kahn::scope(|s| {
///         let server = s.spawn(|| {
///             net::serve(&listener, 100, |mut stream| {
///                 let mut name = String::new();
///                 if stream.read_to_string(&mut name).is_ok() {
///                     let _ = write!(stream, "hello, {name}");
///                 }
///             })
///         });
///
///         let mut stream = TcpStream::connect(address)?;
///         stream.write_all(b"world")?;
///         stream.shutdown(net::Shutdown::Write)?;
///         let mut reply = String::new();
///         stream.read_to_string(&mut reply)?;
///         assert_eq!(reply, "hello, world");
///
///         listener.close();
///         assert_eq!(server.join().unwrap()?.connections, 1);
///         Ok::<(), std::io::Error>(())
///     })
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn serve<L, F>(listener: L, limit: usize, handler: F) -> io::Result<Served>
where
    L: Listener,
    F: Fn(L::Stream) + Sync,
{
    Server::new(listener, limit).run(handler)
}

/// The settings of [`serve`].
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
/// use std::time::Duration;
///
/// use kahn::net::{Server, TcpListener, TcpStream};
///
/// kahn::run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let stop = listener.try_clone()?;
///     let mut client = TcpStream::connect(listener.local_addr()?)?;
///     let server = kahn::spawn(move || {
///         let server = Server::new(listener, 100).grace(Duration::from_millis(10));
///         server.run(|mut stream| {
///             stream.write_all(b"hello").unwrap();
///             // The client sends nothing. So this read is cancelled 10 ms after the stop.
///             stream.read(&mut [0; 64]).unwrap();
///         })
///     });
///     client.read_exact(&mut [0; 5])?;
///     stop.close();
///     assert_eq!(server.join().unwrap()?.cancelled, 1);
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "it does nothing before `run`"]
pub struct Server<L> {
    listener: L,
    limit: usize,
    grace: Option<Duration>,
}

/// What a server has done; see [`serve`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Served {
    /// How many connections were accepted and handed to a handler.
    pub connections: u64,
    /// How many handlers have panicked.
    pub panicked: u64,
    /// How many handlers were still running when the time of [`Server::grace`] was over, and were cancelled.
    pub cancelled: u64,
}

impl<L: Listener> Server<L> {
    /// Makes a server that handles at most `limit` connections at a time.
    pub fn new(listener: L, limit: usize) -> Server<L> {
        Server { listener, limit, grace: None }
    }

    /// Sets how long the server waits for its handlers after it has stopped to accept. Those that are still running then
    /// are cancelled, and the server waits for their ends. Without this it waits for as long as they take.
    pub fn grace(self, grace: Duration) -> Server<L> {
        Server { grace: Some(grace), ..self }
    }

    /// Does what [`serve`] says.
    ///
    /// # Parks
    ///
    /// Parks until the listener is closed and all handlers have ended.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`serve`].
    #[track_caller]
    pub fn run<F>(self, handler: F) -> io::Result<Served>
    where
        F: Fn(L::Stream) + Sync,
    {
        operation();
        if self.limit == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a server needs a limit of at least one",
            ));
        }
        let shared =
            Arc::new(Shared { state: WaitList::new(State::default()), location: Location::caller() });
        let stop: Arc<dyn Fn() + Send + Sync> = Arc::new({
            let shared = Arc::clone(&shared);
            move || shared.stop()
        });
        if self.listener.on_close(Arc::downgrade(&stop)).is_err() {
            return Ok(Served::default());
        }
        let accepting = Accepting { listener: &self.listener, limit: self.limit, shared: &shared, handler };
        let result = scope(|s| {
            let accepting = s.spawn(|| accepting.run());
            shared.wait_for_end(self.grace, || accepting.cancel());
            match accepting.join() {
                Ok(result) => result,
                Err(error) if error.is_cancelled() => Ok(()),
                Err(error) => resume_unwind(error.into_panic()),
            }
        });
        result.map(|()| shared.state.update(|state, _| state.served))
    }
}

/// The queue of the accepting green thread.
const ACCEPTING: usize = 0;
/// The queue of the caller of [`Server::run`].
const CALLER: usize = 1;

/// What the threads of a server share.
struct Shared {
    state: WaitList<State, (), 2>,
    /// The line that serves.
    location: &'static Location<'static>,
}

#[derive(Default)]
struct State {
    /// No further connection is accepted.
    stopped: bool,
    /// The accepting green thread and all handlers have ended.
    ended: bool,
    /// The number of places that are taken: handlers, and the place of the accepting green thread.
    taken: usize,
    /// How often a place was given back.
    given_back: u64,
    served: Served,
}

impl Shared {
    fn options(&self, kind: Kind, queue: usize) -> WaitOptions {
        WaitOptions::new(Reason::at(kind, self, self.location)).in_queue(queue)
    }

    fn stop(&self) {
        self.state.update(|state, queues| {
            state.stopped = true;
            queues.iter_mut().for_each(|queue| _ = queue.claim_all());
        });
    }

    /// Waits for a place below the limit, and takes it. Returns `None` if the server has stopped.
    fn take_place(self: &Arc<Self>, limit: usize) -> Option<Place> {
        loop {
            let waited = self.state.wait(self.options(Kind::Semaphore, ACCEPTING), |state| {
                if state.stopped {
                    return Some(false);
                }
                (state.taken < limit).then(|| {
                    state.taken += 1;
                    true
                })
            });
            match waited {
                Ok(Waited::Found(true)) => return Some(Place(Arc::clone(self))),
                Ok(Waited::Found(false)) => return None,
                // A place was given back, or the server has stopped.
                Ok(Waited::Woken(())) => {}
                Err(error) => _ = error.raise(),
            }
        }
    }

    /// Waits until a place is given back, until the server stops, or until the deadline. `given_back` is the count before
    /// the attempt that failed.
    fn wait_for_change(&self, given_back: u64, deadline: Instant) {
        let options = self.options(Kind::Semaphore, ACCEPTING).until(Some(deadline));
        let waited =
            self.state.wait(options, |state| (state.stopped || state.given_back != given_back).then_some(()));
        if let Err(error) = waited {
            let _ = error.raise();
        }
    }

    fn given_back(&self) -> u64 {
        self.state.update(|state, _| state.given_back)
    }

    /// Waits until the server has ended. Calls `cancel` when the grace after its stop is over.
    fn wait_for_end(&self, grace: Option<Duration>, cancel: impl FnOnce()) {
        self.wait_until(None, |state| state.stopped || state.ended);
        let deadline = grace.and_then(|grace| now().checked_add(grace));
        if !self.wait_until(deadline, |state| state.ended) {
            cancel();
        }
    }

    /// Waits until a condition holds. Returns false when the deadline has passed.
    fn wait_until(&self, deadline: Option<Instant>, holds: impl Fn(&State) -> bool) -> bool {
        loop {
            let options = self.options(Kind::Scope, CALLER).until(deadline);
            match self.state.wait(options, |state| holds(state).then_some(())) {
                Ok(Waited::Found(())) => return true,
                Ok(Waited::Woken(())) => {}
                Err(error) => {
                    let _ = error.raise();
                    return false;
                }
            }
        }
    }
}

/// The place of a connection. Gives it back when it is dropped.
struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.state.update(|state, queues| {
            state.taken -= 1;
            state.given_back += 1;
            queues[ACCEPTING].claim_next();
        });
    }
}

/// A connection that is or will be handled. The stream is dropped before the place is given back, also if the handler
/// never runs.
struct Connection<S> {
    stream: Option<S>,
    _place: Place,
}

/// Records that the accepting green thread and all handlers have ended.
struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.state.update(|state, queues| {
            state.ended = true;
            queues[CALLER].claim_all();
        });
    }
}

/// The accepting green thread.
struct Accepting<'a, L, F> {
    listener: &'a L,
    limit: usize,
    shared: &'a Arc<Shared>,
    handler: F,
}

impl<L: Listener, F: Fn(L::Stream) + Sync> Accepting<'_, L, F> {
    /// Accepts connections until the server stops. Waits for their handlers.
    fn run(&self) -> io::Result<()> {
        let _ended = Ended(self.shared);
        scope(|s| {
            let result = self.accept(s);
            self.shared.stop();
            result
        })
    }

    fn accept<'scope>(&'scope self, s: &'scope Scope<'scope, '_>) -> io::Result<()> {
        let mut pause = Pause::default();
        while let Some(place) = self.shared.take_place(self.limit) {
            let given_back = self.shared.given_back();
            let spawned = match self.listener.accept_stream() {
                Ok(stream) => {
                    let connection = Connection { stream: Some(stream), _place: place };
                    s.spawn_with(Builder::new(), move || self.handle(connection)).map(drop)
                }
                Err(error) => Err(error),
            };
            match spawned {
                Ok(()) => pause = Pause::default(),
                Err(error) => match Failure::of(&error) {
                    Failure::Connection => {}
                    Failure::Shortage => self.shared.wait_for_change(given_back, now() + pause.next()),
                    Failure::Closed => return Ok(()),
                    Failure::Listener => return Err(error),
                },
            }
        }
        Ok(())
    }

    fn handle(&self, mut connection: Connection<L::Stream>) {
        self.shared.state.update(|state, _| state.served.connections += 1);
        let stream = connection.stream.take().expect("a connection is handled once");
        let Err(payload) = catch_unwind(AssertUnwindSafe(|| (self.handler)(stream))) else { return };
        if is_internal_unwind(&*payload) {
            self.shared.state.update(|state, _| state.served.cancelled += 1);
            resume_unwind(payload);
        }
        // The panic hook has reported it.
        self.shared.state.update(|state, _| state.served.panicked += 1);
        run_catching(|| drop(payload));
    }
}
