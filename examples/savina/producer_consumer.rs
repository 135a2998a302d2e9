//! Producers and consumers with a bounded buffer between them, which a manager keeps: back-pressure made of messages.
//!
//! The manager tells a producer to go on only when there is room for what it will bring, and a consumer to consume when
//! there is something. So each of them has one message under way (a producer that ends, two), for which the manager has
//! a place, and no tell parks: what bounds the buffer is the protocol, not the mailbox.

use std::collections::VecDeque;

use kahn::actor::{Actor, ActorRef, Builder, Context, ExitReason, Reply};

use crate::bench::{Bench, Random, Size, ask, expect, finish};

pub const BENCH: Bench =
    Bench { name: "producer-consumer", about: "producers and consumers share a bounded buffer", run };

/// How much it costs to produce, and to consume, in hundreds of logarithms.
const COST: usize = 25;

#[derive(Clone, Copy)]
struct Work {
    buffer: usize,
    producers: usize,
    consumers: usize,
    /// What each producer is to produce.
    items: u64,
}

struct Manager {
    work: Work,
    /// Producers that wait for room.
    held_back: VecDeque<ActorRef<Produce>>,
    /// Consumers that wait for an item.
    hungry: VecDeque<ActorRef<Consume>>,
    buffer: VecDeque<u64>,
    most: usize,
    producers_left: usize,
    outcome: Outcome,
    done: Option<Reply<(Outcome, usize)>>,
}

#[derive(Clone, Copy, Default, PartialEq, Debug)]
struct Outcome {
    consumed: u64,
    sum: u64,
}

enum ToManager {
    Start(Reply<(Outcome, usize)>),
    Item(u64, ActorRef<Produce>),
    ProducerEnds,
    /// Nothing to consume yet, or the item that was.
    Ready(Option<u64>, ActorRef<Consume>),
}

struct Produce;

struct Consume(u64);

impl Manager {
    fn item(&mut self, item: u64, producer: ActorRef<Produce>) -> Result<(), ExitReason> {
        match self.hungry.pop_front() {
            Some(consumer) => consumer.tell(Consume(item))?,
            None => self.buffer.push_back(item),
        }
        self.most = self.most.max(self.buffer.len());
        // Each producer that is at work may bring one more.
        if self.buffer.len() >= self.work.buffer - self.work.producers {
            self.held_back.push_back(producer);
            return Ok(());
        }
        Ok(producer.tell(Produce)?)
    }

    fn ready(&mut self, consumer: ActorRef<Consume>) -> Result<(), ExitReason> {
        let Some(item) = self.buffer.pop_front() else {
            self.hungry.push_back(consumer);
            return Ok(());
        };
        consumer.tell(Consume(item))?;
        if let Some(producer) = self.held_back.pop_front() {
            producer.tell(Produce)?;
        }
        Ok(())
    }
}

impl Actor for Manager {
    type Message = ToManager;

    fn handle(&mut self, message: ToManager, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToManager::Start(done) => {
                self.done = Some(done);
                for number in 0..self.work.producers as u64 {
                    let items = number * self.work.items..(number + 1) * self.work.items;
                    let producer = Producer { manager: ctx.me(), items, random: Random::new(number) };
                    ctx.spawn_linked(producer).tell(Produce)?;
                }
                for number in 0..self.work.consumers as u64 {
                    let random = Random::new(self.work.producers as u64 + number);
                    ctx.spawn_linked(Consumer { manager: ctx.me(), random });
                }
            }
            ToManager::Item(item, producer) => self.item(item, producer)?,
            ToManager::ProducerEnds => self.producers_left -= 1,
            ToManager::Ready(consumed, consumer) => {
                self.outcome.consumed += u64::from(consumed.is_some());
                self.outcome.sum += consumed.unwrap_or(0);
                self.ready(consumer)?;
            }
        }
        if self.producers_left == 0 && self.hungry.len() == self.work.consumers {
            // The consumers end when nobody refers to them any more.
            finish(&mut self.done, (self.outcome, self.most), ctx);
        }
        Ok(())
    }
}

struct Producer {
    manager: ActorRef<ToManager>,
    items: std::ops::Range<u64>,
    random: Random,
}

impl Actor for Producer {
    type Message = Produce;

    fn handle(&mut self, _: Produce, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        let Some(item) = self.items.next() else {
            ctx.stop();
            return Ok(self.manager.tell(ToManager::ProducerEnds)?);
        };
        work(&mut self.random);
        Ok(self.manager.tell(ToManager::Item(item, ctx.me()))?)
    }
}

struct Consumer {
    manager: ActorRef<ToManager>,
    random: Random,
}

impl Actor for Consumer {
    type Message = Consume;

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(self.manager.tell(ToManager::Ready(None, ctx.me()))?)
    }

    fn handle(&mut self, Consume(item): Consume, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        work(&mut self.random);
        Ok(self.manager.tell(ToManager::Ready(Some(item), ctx.me()))?)
    }
}

fn work(random: &mut Random) -> f64 {
    let sum: f64 = (0..COST * 100).map(|_| (random.below(1 << 32) as f64 + 0.01).ln()).sum();
    std::hint::black_box(sum)
}

fn run(size: Size) -> Result<String, String> {
    let work = size.pick(
        Work { buffer: 50, producers: 40, consumers: 40, items: 1000 },
        Work { buffer: 6, producers: 4, consumers: 4, items: 50 },
    );
    let manager = Builder::new().mailbox(2 * work.producers + work.consumers + 1).spawn(Manager {
        work,
        held_back: VecDeque::new(),
        hungry: VecDeque::new(),
        buffer: VecDeque::new(),
        most: 0,
        producers_left: work.producers,
        outcome: Outcome::default(),
        done: None,
    });
    let (outcome, most) = ask(&manager, ToManager::Start)?;
    let items = work.producers as u64 * work.items;
    expect("what was consumed", outcome, Outcome { consumed: items, sum: items * (items - 1) / 2 })?;
    expect("whether the buffer has kept its bound", most <= work.buffer, true)?;
    Ok(format!("{items} items were consumed, at most {most} waited in a buffer of {}", work.buffer))
}
