//! An actor that adds up one number from each of several actors.

use kahn::actor::{Actor, ActorRef, Context, ExitReason, Reply, spawn};

use crate::bench::ask;

/// Adds up numbers. The actors that send them link themselves to it, so that the failure of one of them ends all.
pub struct Gather {
    /// How many numbers are missing.
    missing: usize,
    sum: u64,
    done: Option<Reply<u64>>,
}

pub enum ToGather {
    Number(u64),
    Sum(Reply<u64>),
}

impl Gather {
    pub fn spawn(numbers: usize) -> ActorRef<ToGather> {
        spawn(Gather { missing: numbers, sum: 0, done: None })
    }

    /// Waits for all numbers and returns their sum.
    pub fn sum(gather: &ActorRef<ToGather>) -> Result<u64, String> {
        ask(gather, ToGather::Sum)
    }
}

impl Actor for Gather {
    type Message = ToGather;

    fn handle(&mut self, message: ToGather, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToGather::Number(number) => {
                self.sum += number;
                self.missing -= 1;
            }
            ToGather::Sum(reply) => self.done = Some(reply),
        }
        if self.missing == 0
            && let Some(reply) = self.done.take()
        {
            let _ = reply.send(self.sum);
            ctx.stop();
        }
        Ok(())
    }
}
