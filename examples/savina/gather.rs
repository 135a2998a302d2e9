//! An actor that waits until all the others have said their number.

use kahn::actor::{Actor, ActorRef, Context, ExitReason, Reply, spawn};

use crate::bench::ask;

/// Adds up the numbers. Those who say them link themselves to it, so that the failure of one is the failure of all.
pub struct Gather {
    left: usize,
    sum: u64,
    done: Option<Reply<u64>>,
}

pub enum Part {
    Number(u64),
    Await(Reply<u64>),
}

impl Gather {
    pub fn spawn(numbers: usize) -> ActorRef<Part> {
        spawn(Gather { left: numbers, sum: 0, done: None })
    }

    /// Waits for the sum.
    pub fn sum(gather: &ActorRef<Part>) -> Result<u64, String> {
        ask(gather, Part::Await)
    }
}

impl Actor for Gather {
    type Message = Part;

    fn handle(&mut self, part: Part, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match part {
            Part::Number(number) => {
                self.sum += number;
                self.left -= 1;
            }
            Part::Await(reply) => self.done = Some(reply),
        }
        if self.left == 0
            && let Some(reply) = self.done.take()
        {
            let _ = reply.send(self.sum);
            ctx.stop();
        }
        Ok(())
    }
}
