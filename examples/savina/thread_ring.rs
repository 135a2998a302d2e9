//! A token goes round a ring of actors. Measures a tell to an actor that is always idle.
//!
//! The token carries the `Reply` to the `ask` that started it. The actor that has the token when no hops are left
//! replies.
//!
//! No deadlock: only one message is in flight, so no mailbox is ever full.

use kahn::actor::{Actor, ActorRef, Context, ExitReason, Reply, spawn};

use crate::bench::{Bench, Size, ask, expect, tell};

pub const BENCH: Bench = Bench { name: "thread-ring", about: "a token goes round a ring of actors", run };

struct Link {
    number: u64,
    next: Option<ActorRef<Message>>,
}

enum Message {
    Next(ActorRef<Message>),
    Token { hops: u64, done: Reply<u64> },
    Exit { links: u64 },
}

impl Link {
    fn pass(&self, message: Message) -> Result<(), ExitReason> {
        let next = self.next.as_ref().ok_or_else(|| ExitReason::failed("the ring is not closed"))?;
        Ok(next.tell(message)?)
    }
}

impl Actor for Link {
    type Message = Message;

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Next(next) => self.next = Some(next),
            Message::Token { hops: 0, done } => drop(done.send(self.number)),
            Message::Token { hops, done } => self.pass(Message::Token { hops: hops - 1, done })?,
            Message::Exit { links } => {
                if links > 1 {
                    self.pass(Message::Exit { links: links - 1 })?;
                }
                ctx.stop();
            }
        }
        Ok(())
    }
}

fn run(size: Size) -> Result<String, String> {
    let (links, hops) = size.pick((100, 100_000), (10, 1003));
    let ring: Vec<_> = (0..links).map(|number| spawn(Link { number, next: None })).collect();
    for (link, next) in ring.iter().zip(ring.iter().cycle().skip(1)) {
        tell(link, Message::Next(next.clone()))?;
    }
    let holder = ask(&ring[0], |done| Message::Token { hops, done })?;
    tell(&ring[0], Message::Exit { links })?;
    for link in &ring {
        link.join();
    }
    expect("the actor with the token", holder, hops % links)?;
    Ok(format!("after {hops} hops actor {holder} has the token"))
}
