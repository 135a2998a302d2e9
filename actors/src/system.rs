//! A tree that is a whole program: it ends in order when the program is asked to end, by Ctrl-C or by the system.

use core::error::Error;
use core::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};

use crate::address::Address;
use crate::ends::{kill, stop};
use crate::exit::ExitReason;
use crate::supervisor::{StartError, Supervisor, SupervisorRef};

/// A tree of supervisors that is a whole program.
///
/// While there is one, Ctrl-C (and `SIGTERM` and `SIGHUP`, where they exist) does not end the process: the first stops the
/// tree in order, last child first, each within its [`Shutdown`](crate::Shutdown); the second kills what is left of it;
/// the third ends the process. Without one, the first does that. On Unix, handlers that the program has set are called,
/// too, and a signal that the process ignores from its start (as under `nohup`) goes on being ignored.
///
/// One that is dropped hears no signals any more, and gives up its reference to the root. If that was the last, the tree ends
/// in order, and is not waited for; if not, it goes on.
///
/// # Examples
///
/// ```
/// use kahn::actor::{Actor, ChildSpec, Context, ExitReason, Supervisor, System};
///
/// struct Server;
/// impl Actor for Server {
///     type Message = ();
///     fn handle(&mut self, (): (), ctx: &mut Context<Self>) -> Result<(), ExitReason> {
///         ctx.stop();
///         Ok(())
///     }
///     fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) {
///         println!("closing");
///     }
/// }
///
/// let system = System::start(Supervisor::default().child(ChildSpec::new("server", || Server)))?;
/// # system.root().address().stop();
/// // Until Ctrl-C, or until the root gives up:
/// let reason = system.wait();
/// assert!(reason.is_orderly());
/// # Ok::<(), kahn::actor::SystemError>(())
/// ```
#[must_use = "`wait` waits for its end"]
#[derive(Debug)]
pub struct System {
    root: SupervisorRef,
}

/// Why a system did not start.
///
/// # Examples
///
/// ```
/// use kahn::actor::{ChildSpec, Supervisor, System, SystemError};
/// # use kahn::actor::{Actor, Context, ExitReason};
/// # struct Broken;
/// # impl Actor for Broken {
/// #     type Message = ();
/// #     fn started(&mut self, _: &mut Context<Self>) -> Result<(), ExitReason> {
/// #         Err(ExitReason::failed("so"))
/// #     }
/// #     fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
/// #         Ok(())
/// #     }
/// # }
///
/// let system = System::start(Supervisor::default().child(ChildSpec::new("broken", || Broken)));
/// assert!(matches!(system, Err(SystemError::Start(_))));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum SystemError {
    /// A child did not.
    Start(StartError),
    /// The signals cannot be had.
    Signals(io::Error),
}

impl fmt::Display for SystemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SystemError::Start(error) => error.fmt(f),
            SystemError::Signals(error) => write!(
                f,
                "the system cannot be told of Ctrl-C: {error}; spawn its root, and stop that in a handler of your own"
            ),
        }
    }
}

impl Error for SystemError {}

/// The roots of the systems that there are, and how often each was asked to end.
static ROOTS: Mutex<Vec<(Address, u32)>> = Mutex::new(Vec::new());

impl System {
    /// Starts a tree, and handles Ctrl-C for it from then on.
    ///
    /// # Parks
    ///
    /// Until all children have started, or one has not.
    ///
    /// # Errors
    ///
    /// A child did not start, or the signals cannot be had: there are no file descriptors or threads left, or (not on Unix)
    /// the program handles Ctrl-C itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Supervisor, System};
    ///
    /// let system = System::start(Supervisor::default())?;
    /// system.stop();
    /// # Ok::<(), kahn::actor::SystemError>(())
    /// ```
    #[track_caller]
    pub fn start(root: Supervisor) -> Result<System, SystemError> {
        {
            static WATCHED: Mutex<bool> = Mutex::new(false);
            let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
            if !*watched {
                signals::watch(interrupt).map_err(SystemError::Signals)?;
                *watched = true;
            }
        }
        let root = root.try_spawn().map_err(SystemError::Start)?;
        roots().push((root.address(), 0));
        Ok(System { root })
    }

    /// The supervisor of all.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Supervisor, System};
    ///
    /// let system = System::start(Supervisor::default().name("root"))?;
    /// assert_eq!(system.root().address().name(), Some("root"));
    /// # system.stop();
    /// # Ok::<(), kahn::actor::SystemError>(())
    /// ```
    pub fn root(&self) -> &SupervisorRef {
        &self.root
    }

    /// Waits for the end of the tree, and answers why it ended.
    ///
    /// # Parks
    ///
    /// Until then.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Supervisor, System};
    ///
    /// let system = System::start(Supervisor::default())?;
    /// # system.root().address().stop();
    /// // Until Ctrl-C:
    /// assert!(system.wait().is_normal());
    /// # Ok::<(), kahn::actor::SystemError>(())
    /// ```
    #[track_caller]
    pub fn wait(self) -> ExitReason {
        self.root.join()
    }

    /// Stops the tree in order, and waits for its end.
    ///
    /// # Parks
    ///
    /// Until then.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Supervisor, System};
    ///
    /// let system = System::start(Supervisor::default())?;
    /// let root = system.root().address();
    /// system.stop();
    /// assert!(!root.is_alive());
    /// # Ok::<(), kahn::actor::SystemError>(())
    /// ```
    #[track_caller]
    pub fn stop(self) {
        self.root.stop();
    }
}

impl Drop for System {
    fn drop(&mut self) {
        let root = self.root.address();
        roots().retain(|(other, _)| *other != root);
    }
}

fn roots() -> std::sync::MutexGuard<'static, Vec<(Address, u32)>> {
    ROOTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Somebody wants the program to end. Called on an OS thread of its own. Answers whether that should be at once.
fn interrupt() -> bool {
    let asked: Vec<_> = {
        let mut roots = roots();
        roots.iter_mut().for_each(|(_, times)| *times += 1);
        roots.clone()
    };
    if asked.iter().all(|(_, times)| *times > 2) {
        return true;
    }
    for (root, times) in asked {
        match times {
            1 => stop(&root.process, ExitReason::Shutdown),
            _ => kill(&root.process, ExitReason::Killed),
        }
    }
    false
}

#[cfg(unix)]
mod signals {
    //! By Unix's signals.

    use std::io;
    use std::thread;

    use libc::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;

    /// Calls `f` at each signal from now on, and lets it do what it does by default if `f` says so.
    pub(super) fn watch(f: fn() -> bool) -> io::Result<()> {
        let heeded: Vec<_> =
            [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| !is_ignored(signal)).collect();
        let mut signals = Signals::new(heeded)?;
        let watch = move || {
            for signal in signals.forever() {
                if f() {
                    // It ends the process; if not, there is nothing else to be done.
                    let _ = emulate_default_handler(signal);
                }
            }
        };
        thread::Builder::new().name("kahn-signals".into()).spawn(watch).map(drop)
    }

    fn is_ignored(signal: libc::c_int) -> bool {
        let mut action = core::mem::MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: asks, and sets nothing; the answer has a place. The signal is one there is, so it does not fail, and if it
        // did, nothing would be read.
        unsafe {
            libc::sigaction(signal, core::ptr::null(), action.as_mut_ptr()) == 0
                && action.assume_init().sa_sigaction == libc::SIG_IGN
        }
    }
}

#[cfg(not(unix))]
mod signals {
    //! By what else there is.

    use std::io;

    /// Calls `f` at each Ctrl-C from now on, and ends the process if `f` says so.
    pub(super) fn watch(f: fn() -> bool) -> io::Result<()> {
        let handler = move || {
            if f() {
                std::process::exit(130);
            }
        };
        ctrlc::try_set_handler(handler).map_err(io::Error::other)
    }
}
