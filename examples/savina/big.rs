//! Everybody pings anybody: a message and its answer between any two of many actors.
//!
//! Each has one ping under way. So a mailbox holds at most a ping from each of the others, one pong, and the two messages
//! with which all begins: with a place for each of these no tell parks, and nobody waits in a circle.

use std::sync::Arc;

use kahn::actor::{Actor, ActorRef, Builder, Context, ExitReason};

use crate::bench::{Bench, Random, Size, end, expect, tell};
use crate::gather::{Gather, Part};

pub const BENCH: Bench =
    Bench { name: "big", about: "many actors, each of which pings the others at random", run };

struct Worker {
    number: usize,
    others: Arc<[ActorRef<Message>]>,
    random: Random,
    left: u64,
    /// Who was pinged.
    expected: usize,
    pongs: u64,
    gather: ActorRef<Part>,
}

enum Message {
    /// Comes to all before anybody starts.
    Meet(Arc<[ActorRef<Message>]>),
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
            return Ok(self.gather.tell(Part::Number(self.pongs))?);
        }
        self.left -= 1;
        // Anybody but oneself.
        let place = self.random.below(self.others.len() as u64 - 1) as usize;
        self.expected = if place < self.number { place } else { place + 1 };
        Ok(self.others[self.expected].tell(Message::Ping { from: self.number })?)
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
            Message::Meet(others) => {
                self.others = others;
                Ok(())
            }
            Message::Start => self.ping(),
            Message::Ping { from } => Ok(self.others[from].tell(Message::Pong { from: self.number })?),
            Message::Pong { from } if from != self.expected => Err(ExitReason::failed(format!(
                "{from} has answered {}, who had pinged {}",
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
                others: Arc::new([]),
                random: Random::new(number as u64),
                left: pings,
                expected: number,
                pongs: 0,
                gather: gather.clone(),
            })
        })
        .collect();
    for worker in workers.iter() {
        tell(worker, Message::Meet(workers.clone()))?;
    }
    for worker in workers.iter() {
        tell(worker, Message::Start)?;
    }
    let total = pings * actors as u64;
    let pongs = Gather::sum(&gather);
    end(workers.iter());
    expect("pongs", pongs?, total)?;
    Ok(format!("{actors} actors have had {total} pings answered"))
}
