//! Signals of the operating system, as messages of a channel.
//!
//! [`listen`] returns a receiver for some signals. It can be used in [`select!`](kahn_channels::select), by green threads, OS threads
//! and async code.
//!
//! - Every receiver gets every signal that it listens to. The clones of one receiver share the signals.
//! - While a receiver exists, its signals do not have their default action. When all receivers of a signal are
//!   dropped, the signal has its former action again: Ctrl-C ends the process.
//! - As in the operating system, a signal that comes while the same one has not yet been received is not
//!   received twice. No other signal is lost, however late the receiver is.
//! - Handlers that the program has set by other means are called as well.
//! - A program that has listened to a signal is never reported as deadlocked, because a signal may come at any time.
//!
//! # Examples
//!
//! A server that stops at Ctrl-C, or when it is told to:
//!
//! ```
//! use kahn::channel::{bounded, select};
//! use kahn::signal::{Signal, listen};
//!
//! kahn::run(|| {
//!     let signals = listen(&[Signal::INTERRUPT, Signal::TERMINATE])?;
//!     let (stop, stopped) = bounded::<()>(0);
//!     kahn::spawn(move || drop(stop));
//!     select! {
//!         recv(signals) -> signal => println!("ended by {:?}", signal.unwrap()),
//!         recv(stopped) -> _ => println!("told to stop"),
//!     }
//!     Ok::<(), std::io::Error>(())
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use kahn_channels::{Receiver, Sender, bounded};
use kahn_core::signals::{self, Reaction, Watcher};

/// A signal of the operating system. Its `Debug` shows its name, such as `SIGINT`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

/// Defines constants for signals.
macro_rules! signals {
    ($($(#[$documentation:meta])* $name:ident = $signal:ident;)*) => {
        impl Signal {
            $(
                $(#[$documentation])*
                pub const $name: Signal = Signal(rustix::process::Signal::$signal.as_raw());
            )*
        }
    };
}

signals! {
    /// `SIGINT`: Ctrl-C at the terminal.
    INTERRUPT = INT;
    /// `SIGTERM`: a request to end.
    TERMINATE = TERM;
    /// `SIGHUP`: the terminal has gone. Services take it as a request to read their settings again.
    HANGUP = HUP;
    /// `SIGQUIT`: Ctrl-\ at the terminal.
    QUIT = QUIT;
    /// `SIGUSR1`: for the program's own use.
    USER_DEFINED1 = USR1;
    /// `SIGUSR2`: for the program's own use.
    USER_DEFINED2 = USR2;
    /// `SIGCHLD`: a child process has changed its state. [`Child::wait`](crate::process::Child::wait) does not need it.
    CHILD = CHILD;
    /// `SIGWINCH`: the terminal has another size.
    WINDOW_CHANGE = WINCH;
    /// `SIGALRM`: a timer of the operating system.
    ALARM = ALARM;
    /// `SIGTSTP`: Ctrl-Z at the terminal.
    TERMINAL_STOP = TSTP;
    /// `SIGCONT`: the process goes on after a stop.
    CONTINUE = CONT;
    /// `SIGPIPE`: a write to a pipe without a reader. Rust programs ignore it.
    PIPE = PIPE;
}

impl Signal {
    /// Returns the signal with this number. [`listen`] returns an error if the system has no such signal.
    #[must_use]
    pub const fn from_raw(number: i32) -> Signal {
        Signal(number)
    }

    /// Returns the number of the signal.
    #[must_use]
    pub const fn as_raw(self) -> i32 {
        self.0
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match signals::name(self.0) {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

/// Returns a receiver that gets these signals from now on. See the [module](self).
///
/// Dropping the receiver and its clones ends the listening.
///
/// # Errors
///
/// Returns [`InvalidInput`](io::ErrorKind::InvalidInput) if there are no signals in the list, or one that cannot be handled, such as
/// `SIGKILL` or `SIGSEGV`. Otherwise returns the error of the operating system, if it has no such signal, or if there is
/// no thread or descriptor left.
pub fn listen(signals: &[Signal]) -> io::Result<Receiver<Signal>> {
    if signals.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there are no signals to listen to"));
    }
    let (sender, receiver) = bounded(signals.len() + SPARE);
    let listener: Arc<dyn Watcher> = Arc::new(Listener { sender, queued: Mutex::default() });
    signals.iter().try_for_each(|signal| signals::watch(signal.0, &listener))?;
    Ok(receiver)
}

/// Returns a receiver that gets a message at each Ctrl-C (`SIGINT`). See [`listen`].
///
/// # Errors
///
/// Returns the errors of [`listen`].
///
/// # Examples
///
/// ```no_run
/// kahn::run(|| {
///     let interrupts = kahn::signal::ctrl_c()?;
///     interrupts.recv().unwrap();
///     println!("closing");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn ctrl_c() -> io::Result<Receiver<Signal>> {
    listen(&[Signal::INTERRUPT])
}

/// Places in a channel beyond one for each signal. A message that was given to a select that then chose otherwise
/// comes back, and takes one.
const SPARE: usize = 16;

/// Sends signals to one receiver. Only the thread that dispatches signals calls it.
struct Listener {
    sender: Sender<Signal>,
    /// The signals that were sent last, oldest first. The channel has at most these: only `notify` sends.
    queued: Mutex<VecDeque<Signal>>,
}

impl Listener {
    /// Returns whether the channel has the signal. If a receiver takes it at this moment, that is after the signal has
    /// come again, so it stands for both.
    fn has_queued(&self, signal: Signal) -> bool {
        let len = self.sender.len();
        let mut queued = self.queued.lock().unwrap_or_else(PoisonError::into_inner);
        let received = queued.len().saturating_sub(len);
        queued.drain(..received);
        queued.contains(&signal)
    }
}

impl Watcher for Listener {
    fn notify(&self, signal: i32) -> Reaction {
        let signal = Signal(signal);
        if self.is_gone() {
            return Reaction::Unhandled;
        }
        if !self.has_queued(signal) {
            if self.sender.try_send(signal).is_err() {
                // Closed. It is never full, as each signal is in it once.
                return Reaction::Unhandled;
            }
            self.queued.lock().unwrap_or_else(PoisonError::into_inner).push_back(signal);
        }
        Reaction::Handled
    }

    fn is_gone(&self) -> bool {
        self.sender.is_closed()
    }
}
