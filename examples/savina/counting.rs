//! One actor floods another with messages. Measures tells without replies.
//!
//! No deadlock: the producer parks while the counter's mailbox is full. The counter tells no actor before its last
//! message, so it always empties its mailbox.

use kahn::actor::{Actor, ActorRef, Context, ExitReason, Reply, spawn};

use crate::bench::{Bench, Size, ask, expect, finish};

pub const BENCH: Bench = Bench { name: "counting", about: "an actor counts the messages of another", run };

struct Producer {
    counter: ActorRef<ToCounter>,
    messages: u64,
    done: Option<Reply<u64>>,
}

enum ToProducer {
    Start(Reply<u64>),
    Counted(u64),
}

struct Counter(u64);

enum ToCounter {
    Count,
    Report(ActorRef<ToProducer>),
}

impl Actor for Producer {
    type Message = ToProducer;

    fn handle(&mut self, message: ToProducer, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToProducer::Start(done) => {
                self.done = Some(done);
                for _ in 0..self.messages {
                    self.counter.tell(ToCounter::Count)?;
                }
                self.counter.tell(ToCounter::Report(ctx.me()))?;
            }
            ToProducer::Counted(count) => {
                finish(&mut self.done, count, ctx);
            }
        }
        Ok(())
    }
}

impl Actor for Counter {
    type Message = ToCounter;

    fn handle(&mut self, message: ToCounter, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToCounter::Count => self.0 += 1,
            ToCounter::Report(producer) => producer.tell(ToProducer::Counted(self.0))?,
        }
        Ok(())
    }
}

fn run(size: Size) -> Result<String, String> {
    let messages = size.pick(1_000_000, 5000);
    let producer = spawn(Producer { counter: spawn(Counter(0)), messages, done: None });
    expect("the count", ask(&producer, ToProducer::Start)?, messages)?;
    Ok(format!("{messages} messages were counted"))
}
