//! The workloads for actors.

use crate::answers;
use crate::workloads::{MAILBOX, SETTLE};
use kahn::actor::{Actor, ActorRef, Builder, Context, ExitReason, Reply};
use std::time::{Duration, Instant};

struct Sum(u64);

enum Message {
    Add(u64),
    Get(Reply<u64>),
}

impl Actor for Sum {
    type Message = Message;

    fn handle(&mut self, message: Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Add(n) => self.0 += n,
            Message::Get(reply) => reply.send(self.0).expect("the asker waits for the reply"),
        }
        Ok(())
    }
}

fn start(sum: u64) -> ActorRef<Message> {
    Builder::new().mailbox(MAILBOX).spawn(Sum(sum))
}

fn add_all(actor: &ActorRef<Message>, messages: u64) {
    for n in 0..messages {
        actor.tell(Message::Add(n)).unwrap_or_else(|_| panic!("the actor has ended"));
    }
}

pub fn tell(senders: u64, messages: u64) -> Duration {
    let actor = start(0);
    let begun = Instant::now();
    if senders == 1 {
        add_all(&actor, messages);
    } else {
        let senders: Vec<_> = (0..senders)
            .map(|_| {
                let actor = actor.clone();
                kahn::spawn(move || add_all(&actor, messages / senders))
            })
            .collect();
        senders.into_iter().for_each(|sender| sender.join().expect("a sender finishes"));
    }
    let sum = actor.ask(Message::Get).expect("the actor replies");
    let time = begun.elapsed();
    assert_eq!(sum, senders * answers::sum(messages / senders));
    time
}

pub fn ask(asks: u64) -> Duration {
    let actor = start(1);
    let begun = Instant::now();
    let sum: u64 = (0..asks).map(|_| actor.ask(Message::Get).expect("the actor replies")).sum();
    let time = begun.elapsed();
    assert_eq!(sum, asks);
    time
}

pub fn idle(actors: u64) -> u64 {
    let before = answers::resident();
    let all: Vec<_> = (0..actors).map(start).collect();
    let sum: u64 = all.iter().map(|actor| actor.ask(Message::Get).expect("every actor replies")).sum();
    kahn::sleep(SETTLE);
    let after = answers::resident();
    assert_eq!(sum, answers::sum(actors));
    after.saturating_sub(before)
}
