//! An actor that is run by its test.

use core::fmt;
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::answer::{Answer, reply};
use super::inbox::{release, unstarted};
use crate::actor::{Actor, Context};
use crate::address::{ActorRef, Address};
use crate::cell::Phase;
use crate::control::{Control, Next, Own};
use crate::ends::any;
use crate::exit::ExitReason;
use crate::life::{Incarnation, Life};
use crate::links;
use crate::panics;
use crate::slot::Reply;
use crate::spawn::{MAILBOX, Mortal};
use crate::timers::Timers;

/// An actor without a runtime, which does what its test says, when it says so: it is always the same run.
///
/// Its timers have a time of their own, which only [`advance`](Self::advance) moves on. Its panics end it, as they end any
/// actor. What it asks of others is waited for, so those have to run; what it tells others may go to an
/// [`Inbox`](super::Inbox).
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
    life: Life<A::Message, Mortal<A>>,
    own: Option<Box<Own<A::Message>>>,
    ended: Option<ExitReason>,
}

/// What a step was.
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
/// // Zero ends it.
/// assert_eq!(sum.deliver(0), Step::Ended);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// There was nothing to do.
    Idle,
    /// Something was handled.
    Handled,
    /// The actor has ended; [`Stepped::exit`] says why.
    Ended,
}

impl<A: Actor> Stepped<A> {
    /// Starts it: `started` has been called.
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

    /// As [`start`](Self::start), with a name.
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
        let me = unstarted(Some(name), MAILBOX);
        let timers = Timers::by_hand();
        let life = Life::new(Mortal::once(actor));
        let mut stepped = Stepped { me, life, own: Some(Own::with(timers)), ended: None };
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
        f: impl FnOnce(&mut Mortal<A>, &mut Control<A::Message>) -> Option<Result<(), ExitReason>>,
    ) -> Step {
        if self.ended.is_some() {
            return Step::Ended;
        }
        let process = self.me.process();
        let mut control = Control::new(process, self.own.take());
        let being = self.life.incarnation();
        let done = catch_unwind(AssertUnwindSafe(|| {
            panics::while_stepping(any(process), || f(being, &mut control))
        }));
        let reason = match done {
            Ok(done) => {
                let step = match (done, control.own_end()) {
                    (Some(Err(reason)), _) | (_, Some(reason)) => return self.end(control, reason),
                    (None, None) => Step::Idle,
                    (Some(Ok(())), None) => Step::Handled,
                };
                self.own = control.take_own();
                return step;
            }
            Err(payload) => panics::reason(any(process), payload),
        };
        self.end(control, reason)
    }

    fn end(&mut self, mut control: Control<A::Message>, reason: ExitReason) -> Step {
        let process = self.me.process();
        self.life.end(process, &mut control, reason);
        self.ended = Some(any(process).state.lock().reason());
        Step::Ended
    }

    /// Handles what is next: what it is told of other actors, then messages, its own first.
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
        self.run_step(|being, control| match control.next() {
            Next::Message(message) => Some(being.actor().handle(message, Context::of(control))),
            Next::Down(down) => Some(being.actor().down(down, Context::of(control))),
            Next::End(reason) => Some(Err(reason)),
            Next::Idle => None,
        })
    }

    /// Steps until there is nothing to do, or it has ended. Returns the number of steps, the one that ends it included.
    ///
    /// One that goes on telling itself goes on for ever.
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
        let mut steps = 0;
        while self.ended.is_none() && self.step() != Step::Idle {
            steps += 1;
        }
        steps
    }

    /// Handles this message, before all that wait.
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
        self.run_step(|being, control| {
            control.busy();
            Some(being.actor().handle(message, Context::of(control)))
        })
    }

    /// Handles the question that `question` makes, before all that wait. It may be answered by then, or later.
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

    /// Moves its time on. What its timers send on the way is handled at its moment, with all that comes of it. Answers how
    /// many steps that took, the one that ends it included. Where the clock cannot express the moment, [`Duration::MAX`] for one, its time stands still
    /// after the last timer; one that has a beat goes on for ever then.
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
            let Some(own) = &mut self.own else { return steps };
            let Some(passed) = own.advance(left) else { return steps };
            left -= passed;
            steps += self.run();
        }
    }

    /// The actor itself, unless it has ended.
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

    /// The reference by which it is told: what it is told waits for [`step`](Self::step).
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

    /// Lets it monitor another, as `Context::monitor` does.
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
        links::monitor(any(self.me.process()), &other.into().process);
    }

    /// Why it has ended, if it has.
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
        // SAFETY: made by `unstarted` in `named`, and this is its one end.
        unsafe { release(&self.me) };
    }
}

impl<A: Actor> fmt::Debug for Stepped<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stepped").field("actor", &self.me).field("ended", &self.ended).finish_non_exhaustive()
    }
}
