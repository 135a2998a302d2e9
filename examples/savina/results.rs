//! Receives results from actors, and actors at both ends of a pipeline: a source and a collector.
//!
//! An actor sends the result of a benchmark through a oneshot channel, and it owns the only sender. If the actor ends
//! without a result, the sender is dropped and the wait for the result fails instead of lasting for ever.

use kahn::actor::{Actor, ActorRef, Context, ExitReason, spawn};
use kahn::channel::oneshot;

use crate::bench::tell;

pub type ResultSender<R> = oneshot::Sender<R>;

/// Calls `start`, which starts actors, and waits for their result.
pub fn wait_for_result<R>(start: impl FnOnce(ResultSender<R>) -> Result<(), String>) -> Result<R, String> {
    let (done, result) = oneshot();
    start(done)?;
    result.recv().map_err(|_| "the actors have ended without a result".into())
}

/// The destination of the result that an actor in a tree computes.
pub enum ReplyTo<M: Send + 'static, R> {
    Parent(ActorRef<M>),
    Caller(ResultSender<R>),
}

impl<M: Send + Sync + 'static, R> ReplyTo<M, R> {
    /// Sends the result. A parent gets it as the message that `wrap` returns.
    pub fn send(self, result: R, wrap: impl FnOnce(R) -> M) -> Result<(), ExitReason> {
        match self {
            ReplyTo::Parent(parent) => parent.tell(wrap(result))?,
            ReplyTo::Caller(done) => drop(done.send(result)),
        }
        Ok(())
    }
}

/// An actor that collects a number of messages and sends them as the result.
pub struct Collect<T> {
    expected: usize,
    parts: Vec<T>,
    done: Option<ResultSender<Vec<T>>>,
}

impl<T: Send + 'static> Collect<T> {
    /// Starts a collector for `expected` messages, which must be at least one.
    pub fn spawn(expected: usize, done: ResultSender<Vec<T>>) -> ActorRef<T> {
        spawn(Collect { expected, parts: Vec::with_capacity(expected), done: Some(done) })
    }
}

impl<T: Send + 'static> Actor for Collect<T> {
    type Message = T;

    fn handle(&mut self, part: T, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.parts.push(part);
        if self.parts.len() == self.expected {
            let _ = self.done.take().map(|done| done.send(std::mem::take(&mut self.parts)));
            ctx.stop();
        }
        Ok(())
    }
}

/// An actor that tells another actor the items of an iterator.
struct Source<I, M: Send + 'static> {
    items: I,
    next: ActorRef<M>,
}

/// Starts an actor that tells `next` all items and then ends.
pub fn feed<M: Send + Sync + 'static>(
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
