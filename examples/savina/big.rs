//! Many actors ping each other at random. Measures messages between any two of many actors.
//!
//! No deadlock: an actor has one ping in flight. A mailbox therefore holds at most a ping from each other actor, one
//! pong and the two messages at the start. It has space for all of them, so no tell parks.

use std::sync::Arc;

use kahn::actor::{Actor, ActorRef, Builder, Context, ExitReason};

use crate::bench::{Bench, Random, Size, expect, stop_all, tell};
use crate::gather::{Gather, ToGather};

pub const BENCH: Bench = Bench { name: "big", about: "many actors ping each other at random", run };

struct Worker {
    number: usize,
    workers: Arc<[ActorRef<Message>]>,
    random: Random,
    left: u64,
    /// The actor that was pinged last.
    expected: usize,
    pongs: u64,
    gather: ActorRef<ToGather>,
}

enum Message {
    /// Every actor gets it before the first one gets `Start`.
    Workers(Arc<[ActorRef<Message>]>),
    Start,
    Ping {
        from: usize,
    },
    Pong {
        from: usize,
    },
}

impl Worker {
    fn ping(&mut self) -> Result<(), ExitReason> {
        if self.left == 0 {
            return Ok(self.gather.tell(ToGather::Number(self.pongs))?);
        }
        self.left -= 1;
        // Any actor but this one.
        let index = self.random.below(self.workers.len() as u64 - 1) as usize;
        self.expected = if index < self.number { index } else { index + 1 };
        Ok(self.workers[self.expected].tell(Message::Ping { from: self.number })?)
    }
}

impl Actor for Worker {
    type Message = Message;

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        ctx.link(&self.gather);
        Ok(())
    }

    fn handle(&mut self, message: Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Workers(workers) => {
                self.workers = workers;
                Ok(())
            }
            Message::Start => self.ping(),
            Message::Ping { from } => Ok(self.workers[from].tell(Message::Pong { from: self.number })?),
            Message::Pong { from } if from != self.expected => Err(ExitReason::failed(format!(
                "actor {} got a pong from {from}, expected one from {}",
                self.number, self.expected
            ))),
            Message::Pong { .. } => {
                self.pongs += 1;
                self.ping()
            }
        }
    }
}

fn run(size: Size) -> Result<String, String> {
    let (actors, pings) = size.pick((120, 20_000), (12, 300));
    let gather = Gather::spawn(actors);
    let workers: Arc<[_]> = (0..actors)
        .map(|number| {
            Builder::new().mailbox(actors + 2).spawn(Worker {
                number,
                workers: Arc::new([]),
                random: Random::new(number as u64),
                left: pings,
                expected: number,
                pongs: 0,
                gather: gather.clone(),
            })
        })
        .collect();
    for worker in workers.iter() {
        tell(worker, Message::Workers(workers.clone()))?;
    }
    for worker in workers.iter() {
        tell(worker, Message::Start)?;
    }
    let total = pings * actors as u64;
    let pongs = Gather::sum(&gather);
    stop_all(workers.iter());
    expect("pongs", pongs?, total)?;
    Ok(format!("{actors} actors got a pong for each of {total} pings"))
}
