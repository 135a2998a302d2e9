//! A supervision tree that is a whole program. It shuts down in order on Ctrl-C or on a termination signal.

use core::error::Error;
use core::fmt;
use std::io;
#[cfg(unix)]
use std::sync::{Arc, OnceLock};
use std::sync::{Mutex, PoisonError};

use crate::address::Address;
use crate::exit::ExitReason;
use crate::lifecycle::{kill, stop};
use crate::supervisor::{StartError, Supervisor, SupervisorRef};

/// A supervision tree that is a whole program.
///
/// While a `System` exists or starts, Ctrl-C (and `SIGTERM` and `SIGHUP`, where they exist) does not end the process
/// at once:
///
/// - The first signal stops the tree in order, last child first, each within its [`Shutdown`](crate::Shutdown). If
///   the tree is still starting, no further child of the root starts, and those that have started stop.
///   [`System::start`] then returns a system that ends.
/// - The second signal kills the rest of the tree.
/// - The third signal ends the process.
///
/// When no `System` exists any more, the first signal ends the process, unless the program handles it by other means: by
/// `kahn::signal`, or, on Unix, by a handler that it had set before. On Unix, handlers that the program has set are called
/// as well. A signal that the process ignores from its start (as under `nohup`) stays ignored.
///
/// Dropping a `System` stops its handling of signals, and drops its reference to the root. If that was the last
/// reference, the tree shuts down in order, and the drop does not wait for it. Otherwise the tree continues.
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
    /// Dropped before `root`: a tree that shuts down because no reference is left does not get signals any more.
    #[expect(dead_code, reason = "for its destructor")]
    entry: Option<Entry>,
    root: SupervisorRef,
}

/// The error of a system's start.
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
    /// A child did not start.
    Start(StartError),
    /// The signal handler could not be installed.
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

/// The root of each system, and how many times it was asked to end.
static ROOTS: Mutex<Vec<(Address, u32)>> = Mutex::new(Vec::new());

impl System {
    /// Starts a tree, and handles Ctrl-C for it.
    ///
    /// # Parks
    ///
    /// Parks until all children have started, or one of them has failed to start.
    ///
    /// # Errors
    ///
    /// Returns an error if a child does not start, or if the signal handler cannot be installed: there are no file
    /// descriptors or threads left, or (not on Unix) the program handles Ctrl-C itself.
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
                watch_signals().map_err(SystemError::Signals)?;
                *watched = true;
            }
        }
        // From here on signals stop the tree. A signal during the start stops the children that have started. If the start
        // fails or unwinds, the entry goes.
        let mut entry = None;
        let root = root.try_spawn_as(|root| entry = Some(Entry::new(root))).map_err(SystemError::Start)?;
        Ok(System { entry, root })
    }

    /// Returns the root supervisor.
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

    /// Waits for the end of the tree, and returns the root's exit reason.
    ///
    /// # Parks
    ///
    /// Parks until the root has ended.
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
    /// Parks until the root has ended.
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

/// The entry of a system in [`ROOTS`].
#[derive(Debug)]
struct Entry(Address);

impl Entry {
    fn new(root: Address) -> Entry {
        roots().push((root.clone(), 0));
        Entry(root)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // Dropped after unlocking.
        let _gone: Vec<_> = roots().extract_if(.., |(other, _)| *other == self.0).collect();
    }
}

fn roots() -> std::sync::MutexGuard<'static, Vec<(Address, u32)>> {
    ROOTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a request to end the program has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interrupt {
    /// No system exists.
    NoSystem,
    /// Systems stop, or are killed.
    Ending,
    /// Every system was asked too often. The process is to end at once.
    Exhausted,
}

/// Handles a request to end the program. The caller is an OS thread of its own.
fn interrupt() -> Interrupt {
    let asked: Vec<_> = {
        let mut roots = roots();
        roots.iter_mut().for_each(|(_, times)| *times += 1);
        roots.clone()
    };
    if asked.is_empty() {
        return Interrupt::NoSystem;
    }
    if asked.iter().all(|(_, times)| *times > 2) {
        return Interrupt::Exhausted;
    }
    for (root, times) in asked {
        match times {
            1 => stop(&root.process, ExitReason::Shutdown),
            _ => kill(&root.process, ExitReason::Killed),
        }
    }
    Interrupt::Ending
}

/// Calls [`interrupt`] at each request to end the program. A second call after an error continues the first.
#[cfg(unix)]
fn watch_signals() -> io::Result<()> {
    use kahn_core::signals::{SIGHUP, SIGINT, SIGTERM, Watcher, is_ignored, watch};
    static WATCHER: OnceLock<Arc<dyn Watcher>> = OnceLock::new();
    let watcher = WATCHER.get_or_init(|| Arc::new(Interrupts));
    [SIGINT, SIGTERM, SIGHUP]
        .into_iter()
        .filter(|&signal| !is_ignored(signal))
        .try_for_each(|signal| watch(signal, watcher))
}

#[cfg(unix)]
struct Interrupts;

#[cfg(unix)]
impl kahn_core::signals::Watcher for Interrupts {
    fn notify(&self, _: i32) -> kahn_core::signals::Reaction {
        use kahn_core::signals::Reaction;
        match interrupt() {
            Interrupt::NoSystem => Reaction::Unhandled,
            Interrupt::Ending => Reaction::Handled,
            Interrupt::Exhausted => Reaction::Default,
        }
    }
}

/// Calls [`interrupt`] at each Ctrl-C. Other systems have no other signal.
#[cfg(not(unix))]
fn watch_signals() -> io::Result<()> {
    let handler = || {
        if interrupt() != Interrupt::Ending {
            std::process::exit(130);
        }
    };
    ctrlc::try_set_handler(handler).map_err(io::Error::other)
}

#[cfg(fibers)]
#[cfg(test)]
mod tests {
    use kahn_channels::{Sender, bounded};

    use super::*;
    use crate::actor::{Actor, Context};
    use crate::supervisor::ChildSpec;

    /// Says what happens to it. While `interrupts` starts, the first signal comes.
    struct Part(&'static str, Sender<String>);

    impl Actor for Part {
        type Message = ();

        fn started(&mut self, _: &mut Context<Self>) -> Result<(), ExitReason> {
            if self.0 == "interrupts" {
                assert_eq!(interrupt(), Interrupt::Ending, "the system is registered");
            }
            Ok(self.1.send(format!("+{}", self.0))?)
        }

        fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
            Ok(())
        }

        fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) {
            let _ = self.1.send(format!("-{}", self.0));
        }
    }

    #[test]
    fn signal_while_the_tree_starts_stops_what_has_started_in_order() {
        let (log, logged) = bounded(10);
        let part = |name| {
            let log = log.clone();
            ChildSpec::new(name, move || Part(name, log.clone()))
        };
        let root = ["first", "interrupts", "last"]
            .map(part)
            .into_iter()
            .fold(Supervisor::default(), Supervisor::child);
        let system = System::start(root).unwrap();
        assert!(matches!(system.wait(), ExitReason::Shutdown));
        assert_eq!(logged.try_iter().collect::<Vec<_>>(), ["+first", "+interrupts", "-interrupts", "-first"]);
        assert!(roots().is_empty());
    }
}
