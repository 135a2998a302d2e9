//! Supervisors: actors that start others, and start them again when they fail.
//!
//! The rules are those of Erlang/OTP's [`supervisor`](https://www.erlang.org/doc/apps/stdlib/supervisor.html). A
//! supervisor is an actor like others; what it alone can do with its children is in [`keeping`](crate::keeping).
//!
//! | file | |
//! |---|---|
//! | `strategy`, `intensity`, `backoff` | the policies, pure |
//! | `child`, `outcome` | what a supervisor is told of a child, and what that may return |
//! | `children`, `kept` | the children that it has, and what all of them are |
//! | `event`, `error` | what it reports, and answers |
//! | `order` | what it is told |
//! | `handle`, `asks` | references to it, and what can be asked by them |
//! | `start` | its own start |
//! | `tree`, `stops` | what it does, and how it stops children |
//! | `restarts` | what follows a failure |
//! | `dynamic` | a supervisor of many children of one kind |

mod asks;
mod backoff;
mod child;
mod children;
mod dynamic;
mod error;
mod event;
mod handle;
mod intensity;
mod kept;
mod order;
mod outcome;
mod restarts;
mod start;
mod stops;
mod strategy;
mod tree;

use core::fmt;
use core::time::Duration;

pub use self::backoff::Backoff;
pub use self::child::{ChildKind, ChildSpec, Restart, Shutdown};
use self::children::Children;
pub use self::children::{ChildInfo, ChildState};
pub use self::dynamic::{DynamicOrder, DynamicSupervisor, DynamicSupervisorRef};
pub use self::error::{ChildError, StartError};
pub use self::event::Event;
use self::event::Reporter;
pub use self::handle::SupervisorRef;
use self::intensity::Intensity;
pub use self::order::Order;
pub use self::outcome::Outcome;
pub use self::strategy::{AutoShutdown, Strategy};

/// An actor that starts children, in order, starts them again when they end, and stops them in the reverse order when
/// it ends.
///
/// Built with its children, and started by [`spawn`](Self::spawn); or given to another as a child, in a
/// [`ChildSpec`], which makes a tree.
///
/// A restart gives a child a new value in its old place: the same mailbox, with the messages that have not been handled,
/// and the same references. The message in whose handling it failed is not handled again.
///
/// It ends with its children when it is stopped; when nobody has its [`SupervisorRef`] any more; when its children fail
/// more often than its [intensity](Self::intensity) allows; and by its [auto-shutdown](Self::auto_shutdown).
///
/// # Examples
///
/// ```
/// use kahn::actor::{Actor, ChildSpec, Context, ExitReason, Reply, Strategy, Supervisor};
///
/// /// Divides, and fails at zero.
/// struct Divider;
/// impl Actor for Divider {
///     type Message = (u32, u32, Reply<u32>);
///     fn handle(&mut self, (a, b, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
///         reply.send(a / b).ok();
///         Ok(())
///     }
/// }
///
/// # std::panic::set_hook(Box::new(|_| {}));
/// let supervisor = Supervisor::new(Strategy::OneForOne)
///     .child(ChildSpec::new("divider", || Divider))
///     .spawn();
/// let divider = supervisor.actor_ref::<(u32, u32, Reply<u32>)>("divider").unwrap();
/// assert!(divider.ask(|reply| (1, 0, reply)).is_err());
/// assert_eq!(divider.ask(|reply| (6, 3, reply)), Ok(2));
/// supervisor.stop();
/// ```
#[must_use = "`spawn` starts it"]
pub struct Supervisor {
    name: Option<String>,
    strategy: Strategy,
    intensity: Intensity,
    auto: AutoShutdown,
    reporter: Reporter,
    specs: Vec<ChildSpec>,
    children: Children,
}

impl Supervisor {
    /// A supervisor without children, that restarts at most one within five seconds.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Strategy, Supervisor};
    ///
    /// let supervisor = Supervisor::new(Strategy::OneForAll).spawn();
    /// supervisor.stop();
    /// ```
    pub fn new(strategy: Strategy) -> Supervisor {
        Supervisor {
            name: None,
            strategy,
            intensity: Intensity::new(1, Duration::from_secs(5)),
            auto: AutoShutdown::Never,
            reporter: Reporter::default(),
            specs: Vec::new(),
            children: Children::default(),
        }
    }

    /// Its name, for reports, if it is started by [`spawn`](Self::spawn) or [`try_spawn`](Self::try_spawn). As a child it
    /// has the id of its [`ChildSpec`], and as any actor the name of its [`Builder`](crate::Builder).
    ///
    /// # Examples
    ///
    /// ```
    /// let supervisor = kahn::actor::Supervisor::default().name("sessions").spawn();
    /// assert_eq!(supervisor.name(), Some("sessions"));
    /// supervisor.stop();
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Supervisor {
        self.name = Some(name.into());
        self
    }

    /// How many restarts there may be within a time, which includes both its ends. The one that is too many ends the
    /// supervisor, and all its children, with [`ExitReason::Shutdown`](crate::ExitReason::Shutdown). One failure counts
    /// once, however many children are restarted for it; a start that fails counts as another. If there may be more than
    /// a thousand, the time is taken to a thousandth of it.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::{ChildSpec, ExitReason, Supervisor};
    ///
    /// // Three restarts, and the fourth is too many.
    /// let supervisor = Supervisor::default()
    ///     .intensity(3, Duration::from_secs(60))
    ///     .child(ChildSpec::thread("ends", || ()))
    ///     .spawn();
    /// assert!(matches!(supervisor.join(), ExitReason::Shutdown));
    /// ```
    pub fn intensity(mut self, max: usize, within: Duration) -> Supervisor {
        self.intensity = Intensity::new(max, within);
        self
    }

    /// When it ends because a [significant](ChildSpec::significant) child has.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{AutoShutdown, ChildSpec, ExitReason, Restart, Supervisor};
    ///
    /// let job = ChildSpec::thread("job", || println!("working")).restart(Restart::Transient).significant(true);
    /// let supervisor = Supervisor::default().auto_shutdown(AutoShutdown::AllSignificant).child(job).spawn();
    /// assert!(matches!(supervisor.join(), ExitReason::Shutdown));
    /// ```
    pub fn auto_shutdown(mut self, auto: AutoShutdown) -> Supervisor {
        self.auto = auto;
        self
    }

    /// Adds a child. Children start in the order in which they are added.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{ChildSpec, Supervisor};
    ///
    /// let supervisor = Supervisor::default()
    ///     .child(ChildSpec::supervisor("first", Supervisor::default))
    ///     .child(ChildSpec::supervisor("second", Supervisor::default))
    ///     .spawn();
    /// assert_eq!(&*supervisor.children()[1].id, "second");
    /// supervisor.stop();
    /// ```
    pub fn child(mut self, spec: ChildSpec) -> Supervisor {
        self.specs.push(spec);
        self
    }

    /// Calls `f` with everything that happens to the children. It runs in the supervisor, which does nothing else
    /// meanwhile; its panics are ignored.
    ///
    /// Nothing is reported anywhere if nothing is said, but with the feature `tracing`: see [`Event`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use kahn::actor::{ChildSpec, Event, Restart, Supervisor};
    ///
    /// let (tx, events) = mpsc::channel();
    /// let supervisor = Supervisor::default()
    ///     .child(ChildSpec::thread("task", || ()).restart(Restart::Transient))
    ///     .on_event(move |event: &Event| drop(tx.send(event.to_string())))
    ///     .spawn();
    /// assert_eq!(events.recv().unwrap(), "task has started");
    /// assert_eq!(events.recv().unwrap(), "task has ended: normal");
    /// supervisor.stop();
    /// ```
    pub fn on_event(mut self, f: impl Fn(&Event) + Send + Sync + 'static) -> Supervisor {
        self.reporter.call(f);
        self
    }
}

impl Default for Supervisor {
    fn default() -> Supervisor {
        Supervisor::new(Strategy::default())
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("name", &self.name)
            .field("strategy", &self.strategy)
            .field("intensity", &self.intensity)
            .field("auto_shutdown", &self.auto)
            .field("children", &self.specs)
            .finish_non_exhaustive()
    }
}
