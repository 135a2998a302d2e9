//! Many actors that live for one message: what it costs to start an actor, and to end it.
//!
//! All of them tell one collector, whose default mailbox makes some of them wait; it tells nobody, so it always empties
//! it.

use kahn::actor::{Actor, ActorRef, Context, ExitReason, spawn};

use crate::bench::{Bench, Size, compute, expect, tell};
use crate::gather::{Gather, Part};

pub const BENCH: Bench =
    Bench { name: "fork-join-create", about: "actors are started, handle one message, and end", run };

struct Worker(ActorRef<Part>);

impl Actor for Worker {
    type Message = f64;

    fn handle(&mut self, angle: f64, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        let is_sound = compute(angle) > 0.0;
        self.0.tell(Part::Number(is_sound.into()))?;
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
    expect("answers", Gather::sum(&gather)?, workers as u64)?;
    Ok(format!("{workers} actors have lived"))
}
