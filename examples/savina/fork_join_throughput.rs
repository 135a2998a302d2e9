//! Sends messages to many actors in turn. Measures the throughput of messages.
//!
//! No deadlock: the main green thread parks while the mailbox of the next worker is full. A worker waits only for
//! `Gather`, once, and `Gather` tells no actor.

use kahn::actor::{Actor, ActorRef, Context, ExitReason, spawn};

use crate::bench::{Bench, Size, compute, expect, tell};
use crate::gather::{Gather, ToGather};

pub const BENCH: Bench =
    Bench { name: "fork-join-throughput", about: "many actors get messages in turn", run };

struct Worker {
    left: u64,
    positive: u64,
    gather: ActorRef<ToGather>,
}

impl Actor for Worker {
    type Message = f64;

    fn handle(&mut self, angle: f64, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.positive += u64::from(compute(angle) > 0.0);
        self.left -= 1;
        if self.left == 0 {
            self.gather.tell(ToGather::Number(self.positive))?;
            ctx.stop();
        }
        Ok(())
    }
}

fn run(size: Size) -> Result<String, String> {
    let (actors, messages) = size.pick((60, 10_000), (10, 300));
    let gather = Gather::spawn(actors);
    let workers: Vec<_> =
        (0..actors).map(|_| spawn(Worker { left: messages, positive: 0, gather: gather.clone() })).collect();
    for _ in 0..messages {
        for worker in &workers {
            tell(worker, 37.2)?;
        }
    }
    let total = messages * actors as u64;
    expect("messages handled", Gather::sum(&gather)?, total)?;
    Ok(format!("{actors} actors have handled {total} messages"))
}
