//! How a result leaves the actors, and what several benchmarks feed and empty them with.
//!
//! A result leaves through a channel whose only sender an actor has. So there is an error, and no wait for ever, if the
//! actors end without a result.

use kahn::actor::{Actor, ActorRef, Context, ExitReason, spawn};
use kahn::channel::oneshot;

use crate::bench::tell;

pub type Outcome<R> = oneshot::Sender<R>;

/// Starts actors, and waits for what they compute.
pub fn outcome<R>(start: impl FnOnce(Outcome<R>) -> Result<(), String>) -> Result<R, String> {
    let (done, result) = oneshot();
    start(done)?;
    result.recv().map_err(|_| "the actors have ended without a result".into())
}

/// Who waits for what an actor in a tree computes.
pub enum Above<M: Send + 'static, R> {
    Parent(ActorRef<M>),
    Caller(Outcome<R>),
}

impl<M: Send + Sync + 'static, R> Above<M, R> {
    /// Hands the result over, to a parent as the message that `wrap` makes of it.
    pub fn hand(self, result: R, wrap: impl FnOnce(R) -> M) -> Result<(), ExitReason> {
        match self {
            Above::Parent(parent) => parent.tell(wrap(result))?,
            Above::Caller(done) => drop(done.send(result)),
        }
        Ok(())
    }
}

/// Keeps what it is told, until it has all of it.
pub struct Collect<T> {
    all: usize,
    parts: Vec<T>,
    done: Option<Outcome<Vec<T>>>,
}

impl<T: Send + 'static> Collect<T> {
    /// One that waits for `all` parts, one at least.
    pub fn spawn(all: usize, done: Outcome<Vec<T>>) -> ActorRef<T> {
        spawn(Collect { all, parts: Vec::with_capacity(all), done: Some(done) })
    }
}

impl<T: Send + 'static> Actor for Collect<T> {
    type Message = T;

    fn handle(&mut self, part: T, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.parts.push(part);
        if self.parts.len() == self.all {
            let _ = self.done.take().map(|done| done.send(std::mem::take(&mut self.parts)));
            ctx.stop();
        }
        Ok(())
    }
}

/// Pours what an iterator yields into another actor.
struct Source<I, M: Send + 'static> {
    items: I,
    next: ActorRef<M>,
}

/// Starts an actor that tells `next` all the items, and ends.
pub fn pour<M: Send + Sync + 'static>(
    items: impl Iterator<Item = M> + Send + 'static,
    next: ActorRef<M>,
) -> Result<(), String> {
    tell(&spawn(Source { items, next }), ())
}

impl<M: Send + Sync + 'static, I: Iterator<Item = M> + Send + 'static> Actor for Source<I, M> {
    type Message = ();

    fn handle(&mut self, (): (), ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        for item in self.items.by_ref() {
            self.next.tell(item)?;
        }
        ctx.stop();
        Ok(())
    }
}
