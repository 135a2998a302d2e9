//! A tree that is a whole program: it ends in order when the program is asked to end, by Ctrl-C or by the system.

use core::error::Error;
use core::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::address::{Address, kill, stop};
use crate::exit::ExitReason;
use crate::supervisor::{StartError, Supervisor, SupervisorRef};

/// A tree of supervisors that is a whole program.
///
/// While there is one, Ctrl-C (and `SIGTERM` and `SIGHUP`, where they exist) does not end the process: the first stops the
/// tree in order, last child first, each within its [`Shutdown`](crate::Shutdown); the second kills what is left of it;
/// the third ends the process with code 130. Without one, the first does that.
///
/// # Examples
///
/// ```
/// use kahn_actors::{Actor, ChildSpec, Context, ExitReason, Supervisor, System};
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
/// # Ok::<(), kahn_actors::SystemError>(())
/// ```
#[must_use = "`wait` waits for its end"]
#[derive(Debug)]
pub struct System {
    root: SupervisorRef,
}

/// Why a system did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum SystemError {
    /// A child did not.
    Start(StartError),
    /// The program handles Ctrl-C itself. Have it call [`System::stop`] then, and start the root by
    /// [`Supervisor::try_spawn`].
    Signals(ctrlc::Error),
}

impl fmt::Display for SystemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SystemError::Start(error) => error.fmt(f),
            SystemError::Signals(error) => write!(
                f,
                "Ctrl-C is handled by somebody else ({error}): spawn the root supervisor, and stop it from that handler"
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
    /// A child did not start, or the program has a handler for Ctrl-C already.
    #[track_caller]
    pub fn start(root: Supervisor) -> Result<System, SystemError> {
        static HANDLES: OnceLock<Result<(), ()>> = OnceLock::new();
        let mut failed = None;
        let handles =
            HANDLES.get_or_init(|| ctrlc::try_set_handler(interrupt).map_err(|error| failed = Some(error)));
        if handles.is_err() {
            return Err(SystemError::Signals(failed.unwrap_or(ctrlc::Error::MultipleHandlers)));
        }
        let root = root.try_spawn().map_err(SystemError::Start)?;
        roots().push((root.address(), 0));
        Ok(System { root })
    }

    /// The supervisor of all.
    pub fn root(&self) -> &SupervisorRef {
        &self.root
    }

    /// Waits for the end of the tree, and answers why it ended.
    ///
    /// # Parks
    ///
    /// Until then.
    #[track_caller]
    pub fn wait(self) -> ExitReason {
        self.root.join()
    }

    /// Stops the tree in order, and waits for its end.
    ///
    /// # Parks
    ///
    /// Until then.
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

/// Somebody wants the program to end. Called on an OS thread of its own.
fn interrupt() {
    let asked: Vec<_> = {
        let mut roots = roots();
        roots.iter_mut().for_each(|(_, times)| *times += 1);
        roots.clone()
    };
    if asked.iter().all(|(_, times)| *times > 2) {
        std::process::exit(130);
    }
    for (root, times) in asked {
        match times {
            1 => stop(&root.process, ExitReason::Shutdown),
            _ => kill(&root.process, ExitReason::Killed),
        }
    }
}
