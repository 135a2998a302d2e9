//! Messages dealt out to many actors in turn: how many can be sent and handled.
//!
//! The dealer parks while the mailbox of the next worker is full; the workers wait for nobody but the collector, at
//! their end.

use kahn::actor::{Actor, ActorRef, Context, ExitReason, spawn};

use crate::bench::{Bench, Size, compute, expect, tell};
use crate::gather::{Gather, Part};

pub const BENCH: Bench =
    Bench { name: "fork-join-throughput", about: "messages are dealt out to actors in turn", run };

struct Worker {
    left: u64,
    sound: u64,
    gather: ActorRef<Part>,
}

impl Actor for Worker {
    type Message = f64;

    fn handle(&mut self, angle: f64, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.sound += u64::from(compute(angle) > 0.0);
        self.left -= 1;
        if self.left == 0 {
            self.gather.tell(Part::Number(self.sound))?;
            ctx.stop();
        }
        Ok(())
    }
}

fn run(size: Size) -> Result<String, String> {
    let (actors, messages) = size.pick((60, 10_000), (10, 300));
    let gather = Gather::spawn(actors);
    let workers: Vec<_> =
        (0..actors).map(|_| spawn(Worker { left: messages, sound: 0, gather: gather.clone() })).collect();
    for _ in 0..messages {
        for worker in &workers {
            tell(worker, 37.2)?;
        }
    }
    let total = messages * actors as u64;
    expect("messages handled", Gather::sum(&gather)?, total)?;
    Ok(format!("{actors} actors have handled {total} messages"))
}
