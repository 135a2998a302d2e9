//! An actor that is run step by step by its test.

use core::fmt;
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use kahn_core::wait::{ends_caller, operation};

use super::answer::{Answer, reply};
use super::inbox::{release, unstarted};
use crate::actor::{Actor, Context};
use crate::address::{ActorRef, Address};
use crate::cell::{AnyActor, Phase};
use crate::control::{Control, LocalState, Next};
use crate::exit::ExitReason;
use crate::life::{Incarnation, Life};
use crate::lifecycle::any;
use crate::links;
use crate::panics;
use crate::slot::Reply;
use crate::spawn::{MAILBOX, SingleActor};
use crate::timers::Timers;

/// An actor without a runtime, which takes a step only when its test calls for one. Each run is therefore the same.
///
/// Its timers have their own time, which only [`advance`](Self::advance) moves on. A panic ends it, as it ends any
/// actor. If it asks other actors, it waits for them, so they must be running. An ask of itself, or of an actor that
/// waits for it, is a [`Deadlock`](crate::AskError::Deadlock), as in every actor. A kill of itself ends it when the
/// handler returns; it does not end a wait of the handler, which runs on the thread of the test. The messages that it
/// sends to others may go to an [`Inbox`](super::Inbox).
///
/// A timeout around a step, and a cancel of the green thread that takes the step, end a wait of the handler. They unwind
/// from the step, to the timeout or to the end of the green thread. The actor has then ended, with
/// [`Killed`](crate::ExitReason::Killed) and without a call of [`stopped`](crate::Actor::stopped). If they cut `stopped`
/// short, the actor has ended with the reason that `stopped` was given.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use kahn::actor::testing::{Inbox, Step, Stepped};
/// use kahn::actor::{Actor, ActorRef, Context, ExitReason};
///
/// /// Counts, and reports every second.
/// struct Meter { count: u64, to: ActorRef<u64> }
/// enum Message { Hit, Report }
///
/// impl Actor for Meter {
///     type Message = Message;
///     fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
///         ctx.send_after(Duration::from_secs(1), Message::Report);
///         Ok(())
///     }
///     fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
///         match message {
///             Message::Hit => self.count += 1,
///             Message::Report => {
///                 self.to.tell(std::mem::take(&mut self.count))?;
///                 ctx.send_after(Duration::from_secs(1), Message::Report);
///             }
///         }
///         Ok(())
///     }
/// }
///
/// let mut reports = Inbox::new();
/// let mut meter = Stepped::start(Meter { count: 0, to: reports.actor_ref() });
/// assert_eq!(meter.deliver(Message::Hit), Step::Handled);
/// assert_eq!(meter.actor().unwrap().count, 1);
/// meter.advance(Duration::from_millis(2500));
/// assert_eq!(reports.take_all(), [1, 0]);
/// ```
pub struct Stepped<A: Actor> {
    me: ActorRef<A::Message>,
    life: Life<A::Message, SingleActor<A>>,
    local: Option<Box<LocalState<A::Message>>>,
    ended: Option<ExitReason>,
}

/// The result of a step.
///
/// # Examples
///
/// ```
/// # use kahn::actor::{Actor, Context, ExitReason};
/// # struct Sum(u32);
/// # impl Actor for Sum {
/// #     type Message = u32;
/// #     fn handle(&mut self, n: u32, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
/// #         self.0 += n;
/// #         Ok(if n == 0 { ctx.stop() })
/// #     }
/// # }
/// use kahn::actor::testing::{Step, Stepped};
///
/// let mut sum = Stepped::start(Sum(0));
/// assert_eq!(sum.step(), Step::Idle);
/// assert_eq!(sum.deliver(1), Step::Handled);
/// // Zero ends the actor.
/// assert_eq!(sum.deliver(0), Step::Ended);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// There was nothing to do.
    Idle,
    /// The actor has handled something.
    Handled,
    /// The actor has ended. [`Stepped::exit`] returns the reason.
    Ended,
}

/// Returns the reason for which the actor has to end before it handles anything else, if it was killed.
fn killed(actor: &AnyActor) -> Option<ExitReason> {
    actor.state.lock().cold_if_any().and_then(|cold| cold.exit.clone())
}

impl<A: Actor> Stepped<A> {
    /// Starts an actor, and calls its `started`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Context, ExitReason};
    /// # struct Sum(u32);
    /// # impl Actor for Sum {
    /// #     type Message = u32;
    /// #     fn handle(&mut self, n: u32, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         self.0 += n;
    /// #         Ok(if n == 0 { ctx.stop() })
    /// #     }
    /// # }
    /// use kahn::actor::testing::Stepped;
    ///
    /// let mut sum = Stepped::start(Sum(0));
    /// sum.deliver(1);
    /// assert_eq!(sum.actor().unwrap().0, 1);
    /// ```
    pub fn start(actor: A) -> Stepped<A> {
        Stepped::named("stepped", actor)
    }

    /// Starts an actor with a name, as [`start`](Self::start) does.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Context, ExitReason};
    /// # struct Sum(u32);
    /// # impl Actor for Sum {
    /// #     type Message = u32;
    /// #     fn handle(&mut self, n: u32, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         self.0 += n;
    /// #         Ok(if n == 0 { ctx.stop() })
    /// #     }
    /// # }
    /// use kahn::actor::testing::Stepped;
    ///
    /// let sum = Stepped::named("sum", Sum(0));
    /// assert_eq!(sum.actor_ref().name(), Some("sum"));
    /// ```
    pub fn named(name: &str, actor: A) -> Stepped<A> {
        operation();
        let me = unstarted(Some(name), MAILBOX);
        let timers = Timers::by_hand();
        let life = Life::new(SingleActor::once(actor));
        let mut stepped = Stepped { me, life, local: Some(LocalState::with(timers)), ended: None };
        stepped.run_step(|being, control| {
            let begun = being.begin(control);
            if begun.is_ok() {
                let mut state = control.any().state.lock();
                state.set_started(true);
                state.phase = Phase::Running;
            }
            Some(begun)
        });
        stepped
    }

    fn run_step(
        &mut self,
        f: impl FnOnce(&mut SingleActor<A>, &mut Control<A::Message>) -> Option<Result<(), ExitReason>>,
    ) -> Step {
        if self.ended.is_some() {
            return Step::Ended;
        }
        let process = self.me.process();
        let mut control = Control::new(process, self.local.take());
        if let Some(reason) = killed(any(process)) {
            return self.end(control, reason);
        }
        let being = self.life.incarnation();
        let done = catch_unwind(AssertUnwindSafe(|| {
            panics::while_stepping(any(process), || f(being, &mut control))
        }));
        let reason = match done {
            Ok(done) => {
                let step = match (done, killed(any(process)).or_else(|| control.requested_end())) {
                    (Some(Err(reason)), _) | (_, Some(reason)) => return self.end(control, reason),
                    (None, None) => Step::Idle,
                    (Some(Ok(())), None) => Step::Handled,
                };
                self.local = control.take_local();
                return step;
            }
            Err(payload) if ends_caller(&*payload) => {
                // The timeout or the cancel is that of the caller. It has cut the handler off, as a kill does.
                self.end(control, ExitReason::Killed);
                resume_unwind(payload);
            }
            Err(payload) => panics::reason(any(process), payload),
        };
        self.end(control, reason)
    }

    fn end(&mut self, mut control: Control<A::Message>, reason: ExitReason) -> Step {
        let process = self.me.process();
        let mut unwind = None;
        self.life.end_by(process, &mut control, reason, |being, reason, control| {
            let stopped = catch_unwind(AssertUnwindSafe(|| {
                panics::while_stepping(any(process), || being.stopped(reason, control));
            }));
            match stopped {
                // It goes on when the end is complete.
                Err(payload) if ends_caller(&*payload) => unwind = Some(payload),
                Err(payload) => resume_unwind(payload),
                Ok(()) => {}
            }
        });
        self.ended = Some(any(process).state.lock().reason());
        if let Some(payload) = unwind {
            resume_unwind(payload);
        }
        Step::Ended
    }

    /// Handles the next event. A stop and the ends of other actors come first, then messages of timers and stashed
    /// messages, then the mailbox.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Context, ExitReason};
    /// # struct Sum(u32);
    /// # impl Actor for Sum {
    /// #     type Message = u32;
    /// #     fn handle(&mut self, n: u32, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         self.0 += n;
    /// #         Ok(if n == 0 { ctx.stop() })
    /// #     }
    /// # }
    /// use kahn::actor::testing::{Step, Stepped};
    ///
    /// let mut sum = Stepped::start(Sum(0));
    /// sum.actor_ref().tell(1).unwrap();
    /// assert_eq!((sum.step(), sum.step()), (Step::Handled, Step::Idle));
    /// ```
    pub fn step(&mut self) -> Step {
        operation();
        self.run_step(|being, control| match control.next() {
            Next::Message(message) => Some(being.actor().handle(message, Context::of(control))),
            Next::Down(down) => Some(being.actor().down(down, Context::of(control))),
            Next::End(reason) => Some(Err(reason)),
            Next::Idle => None,
        })
    }

    /// Takes steps until there is nothing to do, or the actor has ended. Returns the number of steps, including the one
    /// that ended the actor.
    ///
    /// If the actor sends a message to itself in each step, this never returns.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Context, ExitReason};
    /// # struct Sum(u32);
    /// # impl Actor for Sum {
    /// #     type Message = u32;
    /// #     fn handle(&mut self, n: u32, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         self.0 += n;
    /// #         Ok(if n == 0 { ctx.stop() })
    /// #     }
    /// # }
    /// use kahn::actor::testing::Stepped;
    ///
    /// let mut sum = Stepped::start(Sum(0));
    /// (1..=3).for_each(|n| sum.actor_ref().tell(n).unwrap());
    /// assert_eq!(sum.run(), 3);
    /// assert_eq!(sum.actor().unwrap().0, 6);
    /// ```
    pub fn run(&mut self) -> usize {
        // Also if the actor has ended, so that it takes no step.
        operation();
        let mut steps = 0;
        while self.ended.is_none() && self.step() != Step::Idle {
            steps += 1;
        }
        steps
    }

    /// Handles this message at once, before all that wait.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Context, ExitReason};
    /// # struct Sum(u32);
    /// # impl Actor for Sum {
    /// #     type Message = u32;
    /// #     fn handle(&mut self, n: u32, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         self.0 += n;
    /// #         Ok(if n == 0 { ctx.stop() })
    /// #     }
    /// # }
    /// use kahn::actor::testing::{Step, Stepped};
    ///
    /// let mut sum = Stepped::start(Sum(0));
    /// assert_eq!(sum.deliver(1), Step::Handled);
    /// ```
    pub fn deliver(&mut self, message: A::Message) -> Step {
        operation();
        self.run_step(|being, control| {
            control.busy();
            Some(being.actor().handle(message, Context::of(control)))
        })
    }

    /// Handles the question that `question` makes at once, before all messages that wait. The answer may come in this
    /// step or later.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::testing::Stepped;
    /// use kahn::actor::{Actor, Context, ExitReason, Reply};
    ///
    /// struct Seven;
    /// impl Actor for Seven {
    ///     type Message = Reply<u32>;
    ///     fn handle(&mut self, reply: Reply<u32>, _: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         let _ = reply.send(7);
    ///         Ok(())
    ///     }
    /// }
    /// assert_eq!(Stepped::start(Seven).ask(|reply| reply).take(), Some(Ok(7)));
    /// ```
    pub fn ask<R: 'static>(&mut self, question: impl FnOnce(Reply<R>) -> A::Message) -> Answer<R> {
        let (reply, answer) = reply();
        self.deliver(question(reply));
        answer
    }

    /// Moves the actor's time on by `time`. Each timer on the way fires at its own time, and all steps that follow from
    /// it are taken then. Returns the number of steps, including the one that ended the actor.
    ///
    /// If the clock cannot represent the final time, as with [`Duration::MAX`], the actor's time stops at the last
    /// timer. With a periodic timer, this then never returns.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use kahn::actor::testing::Stepped;
    /// use kahn::actor::{Actor, Context, ExitReason};
    ///
    /// struct Later(bool);
    /// impl Actor for Later {
    ///     type Message = ();
    ///     fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         ctx.send_after(Duration::from_secs(3600), ());
    ///         Ok(())
    ///     }
    ///     fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
    ///         self.0 = true;
    ///         Ok(())
    ///     }
    /// }
    /// let mut later = Stepped::start(Later(false));
    /// assert_eq!(later.advance(Duration::from_secs(3599)), 0);
    /// assert_eq!(later.advance(Duration::from_secs(1)), 1);
    /// assert!(later.actor().unwrap().0);
    /// ```
    pub fn advance(&mut self, time: Duration) -> usize {
        let mut left = time;
        let mut steps = self.run();
        loop {
            let Some(local) = &mut self.local else { return steps };
            let Some(passed) = local.advance(left) else { return steps };
            left -= passed;
            steps += self.run();
        }
    }

    /// Returns the actor's value, unless the actor has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Context, ExitReason};
    /// # struct Sum(u32);
    /// # impl Actor for Sum {
    /// #     type Message = u32;
    /// #     fn handle(&mut self, n: u32, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         self.0 += n;
    /// #         Ok(if n == 0 { ctx.stop() })
    /// #     }
    /// # }
    /// use kahn::actor::testing::Stepped;
    ///
    /// let mut sum = Stepped::start(Sum(0));
    /// assert_eq!(sum.actor().unwrap().0, 0);
    /// sum.deliver(0);
    /// assert!(sum.actor().is_none(), "it has ended");
    /// ```
    pub fn actor(&mut self) -> Option<&mut A> {
        self.life.incarnation().actor_if_any()
    }

    /// Returns a reference to the actor. Messages to it wait for [`step`](Self::step).
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Context, ExitReason};
    /// # struct Sum(u32);
    /// # impl Actor for Sum {
    /// #     type Message = u32;
    /// #     fn handle(&mut self, n: u32, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         self.0 += n;
    /// #         Ok(if n == 0 { ctx.stop() })
    /// #     }
    /// # }
    /// use kahn::actor::testing::Stepped;
    ///
    /// let mut sum = Stepped::start(Sum(0));
    /// sum.actor_ref().tell(1).unwrap();
    /// assert_eq!(sum.actor_ref().len(), 1);
    /// assert_eq!(sum.run(), 1);
    /// ```
    pub fn actor_ref(&self) -> ActorRef<A::Message> {
        self.me.clone()
    }

    /// Makes the actor monitor another actor, as `Context::monitor` does.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Context, ExitReason};
    /// # struct Sum(u32);
    /// # impl Actor for Sum {
    /// #     type Message = u32;
    /// #     fn handle(&mut self, n: u32, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         self.0 += n;
    /// #         Ok(if n == 0 { ctx.stop() })
    /// #     }
    /// # }
    /// use kahn::actor::testing::{Inbox, Step, Stepped};
    ///
    /// let mut sum = Stepped::start(Sum(0));
    /// let inbox = Inbox::<u32>::new();
    /// sum.monitor(&inbox.actor_ref());
    /// drop(inbox);
    /// assert_eq!(sum.step(), Step::Handled, "it is told of the end");
    /// ```
    pub fn monitor(&mut self, other: impl Into<Address>) {
        operation();
        links::monitor(any(self.me.process()), &other.into().process);
    }

    /// Returns the actor's exit reason, if it has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// # use kahn::actor::{Actor, Context, ExitReason};
    /// # struct Sum(u32);
    /// # impl Actor for Sum {
    /// #     type Message = u32;
    /// #     fn handle(&mut self, n: u32, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
    /// #         self.0 += n;
    /// #         Ok(if n == 0 { ctx.stop() })
    /// #     }
    /// # }
    /// use kahn::actor::testing::Stepped;
    ///
    /// let mut sum = Stepped::start(Sum(0));
    /// assert!(sum.exit().is_none());
    /// sum.deliver(0);
    /// assert!(sum.exit().unwrap().is_normal());
    /// ```
    pub fn exit(&self) -> Option<&ExitReason> {
        self.ended.as_ref()
    }
}

impl<A: Actor> Drop for Stepped<A> {
    fn drop(&mut self) {
        self.run_step(|_, _| Some(Err(ExitReason::Killed)));
        // SAFETY: the process was made by `unstarted` in `named`. It is released only here, and `drop` runs once.
        unsafe { release(&self.me) };
    }
}

impl<A: Actor> fmt::Debug for Stepped<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stepped").field("actor", &self.me).field("ended", &self.ended).finish_non_exhaustive()
    }
}
