//! The [`Actor`] trait, and the [`Context`] that its methods receive.

mod context;

pub use self::context::Context;
use crate::exit::ExitReason;
use crate::signal::Down;

/// A value that handles messages, one at a time.
///
/// Between messages an actor has no stack and no thread; it takes the memory of its value and about two hundred bytes.
/// Each of its methods may park anywhere: it may ask another actor, sleep, lock, or receive. Then its mailbox waits,
/// and its worker runs other threads.
///
/// A method that returns an error, or panics, ends the actor with that reason.
///
/// # Examples
///
/// ```
/// use kahn::actor::{Actor, Context, ExitReason, spawn};
/// use kahn::channel::{Sender, bounded};
///
/// /// Counts words, and reports the number when it ends.
/// struct Words {
///     seen: usize,
///     report: Sender<usize>,
/// }
/// impl Actor for Words {
///     type Message = String;
///     fn handle(&mut self, line: String, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
///         if line == "END" {
///             ctx.stop();
///         } else {
///             self.seen += line.split_whitespace().count();
///         }
///         Ok(())
///     }
///     fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) {
///         let _ = self.report.send(self.seen);
///     }
/// }
/// let (report, reports) = bounded(1);
/// let words = spawn(Words { seen: 0, report });
/// words.tell("to be or not".into())?;
/// words.tell("to be".into())?;
/// words.tell("END".into())?;
/// assert!(words.join().is_normal());
/// assert_eq!(reports.recv(), Ok(6));
/// # Ok::<(), kahn::actor::TellError<String>>(())
/// ```
pub trait Actor: Sized + Send + 'static {
    /// The type of the messages.
    type Message: Send + 'static;

    /// Called once in each life, before the first message.
    ///
    /// # Errors
    ///
    /// Returns the reason for which the actor ends. [`stopped`](Self::stopped) is not called then.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Actor, Context, ExitReason, spawn};
    ///
    /// struct Reader(&'static str);
    /// impl Actor for Reader {
    ///     type Message = ();
    ///     fn started(&mut self, _: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         std::fs::metadata(self.0)?;
    ///         Ok(())
    ///     }
    ///     fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         Ok(())
    ///     }
    /// }
    /// assert!(matches!(spawn(Reader("/no such file")).join(), ExitReason::Failed(_)));
    /// ```
    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        let _ = ctx;
        Ok(())
    }

    /// Handles a message.
    ///
    /// # Errors
    ///
    /// Returns the reason for which the actor ends.
    fn handle(&mut self, message: Self::Message, ctx: &mut Context<Self>) -> Result<(), ExitReason>;

    /// Called when an actor that this one monitors has ended. If this actor traps exits, also called when an actor that
    /// it is linked to has ended.
    ///
    /// # Errors
    ///
    /// Returns the reason for which the actor ends.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{Actor, ActorId, Context, Down, ExitReason, Reply, spawn};
    ///
    /// /// Says which actor has ended.
    /// struct Watcher(Option<Reply<ActorId>>);
    /// impl Actor for Watcher {
    ///     type Message = (kahn::actor::Address, Reply<ActorId>);
    ///     fn handle(&mut self, (other, reply): Self::Message, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         self.0 = Some(reply);
    ///         ctx.monitor(&other);
    ///         Ok(())
    ///     }
    ///     fn down(&mut self, down: Down, _: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         let reply = self.0.take().expect("it monitors one");
    ///         let _ = reply.send(down.id);
    ///         Ok(())
    ///     }
    /// }
    /// let short = spawn(Watcher(None));
    /// short.stop();
    /// assert_eq!(spawn(Watcher(None)).ask(|reply| (short.address(), reply)), Ok(short.id()));
    /// ```
    fn down(&mut self, down: Down, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        let _ = (down, ctx);
        Ok(())
    }

    /// Called when the actor ends, whatever the reason, unless the actor is killed or has not started.
    ///
    /// After a panic it is called too, with the value as the panic left it. It may park, tell and ask; a kill ends it.
    /// A panic in it is ignored: the first reason counts.
    fn stopped(&mut self, reason: &ExitReason, ctx: &mut Context<Self>) {
        let _ = (reason, ctx);
    }
}
