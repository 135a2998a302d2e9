//! Many actors that each handle one message. Measures starting and ending an actor.
//!
//! No deadlock: the workers park while the mailbox of `Gather` is full. `Gather` tells no actor, so it always empties
//! its mailbox.

use kahn::actor::{Actor, ActorRef, Context, ExitReason, spawn};

use crate::bench::{Bench, Size, compute, expect, tell};
use crate::gather::{Gather, ToGather};

pub const BENCH: Bench =
    Bench { name: "fork-join-create", about: "actors are started, handle one message, and end", run };

struct Worker(ActorRef<ToGather>);

impl Actor for Worker {
    type Message = f64;

    fn handle(&mut self, angle: f64, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        let is_positive = compute(angle) > 0.0;
        self.0.tell(ToGather::Number(is_positive.into()))?;
        ctx.stop();
        Ok(())
    }
}

fn run(size: Size) -> Result<String, String> {
    let workers = size.pick(40_000, 500);
    let gather = Gather::spawn(workers);
    for _ in 0..workers {
        tell(&spawn(Worker(gather.clone())), 37.2)?;
    }
    expect("results", Gather::sum(&gather)?, workers as u64)?;
    Ok(format!("{workers} actors were started and have ended"))
}
