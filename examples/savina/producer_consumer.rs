//! Producers and consumers share a bounded buffer that a manager owns. Measures back-pressure by messages.
//!
//! The manager tells a producer to continue only when the buffer has space for its next item, and a consumer only when
//! there is an item. The protocol bounds the buffer, not the mailbox.
//!
//! No deadlock: a consumer has one message in flight to the manager, and a producer at most two. The manager has space
//! for all of them, so no tell parks.

use std::collections::VecDeque;

use kahn::actor::{Actor, ActorRef, Builder, Context, ExitReason, Reply};

use crate::bench::{Bench, Random, Size, ask, check, expect, finish};

pub const BENCH: Bench =
    Bench { name: "producer-consumer", about: "producers and consumers share a bounded buffer", run };

/// The cost of producing and of consuming an item, in hundreds of logarithms.
const COST: usize = 25;

#[derive(Clone, Copy)]
struct Work {
    buffer: usize,
    producers: usize,
    consumers: usize,
    /// The number of items that each producer produces.
    items: u64,
}

struct Manager {
    work: Work,
    /// Producers that wait for space in the buffer.
    waiting_producers: VecDeque<ActorRef<Produce>>,
    /// Consumers that wait for an item.
    waiting_consumers: VecDeque<ActorRef<Consume>>,
    buffer: VecDeque<u64>,
    max_buffered: usize,
    producers_left: usize,
    consumed: Consumed,
    done: Option<Reply<(Consumed, usize)>>,
}

#[derive(Clone, Copy, Default, PartialEq, Debug)]
struct Consumed {
    items: u64,
    sum: u64,
}

enum ToManager {
    Start(Reply<(Consumed, usize)>),
    Item(u64, ActorRef<Produce>),
    ProducerEnds,
    /// The consumer waits for an item. Has the item that it has consumed, if this is not its first message.
    Ready(Option<u64>, ActorRef<Consume>),
}

struct Produce;

struct Consume(u64);

impl Manager {
    fn item(&mut self, item: u64, producer: ActorRef<Produce>) -> Result<(), ExitReason> {
        match self.waiting_consumers.pop_front() {
            Some(consumer) => consumer.tell(Consume(item))?,
            None => self.buffer.push_back(item),
        }
        self.max_buffered = self.max_buffered.max(self.buffer.len());
        // Each producer that was told to continue may send one more item.
        if self.buffer.len() >= self.work.buffer - self.work.producers {
            self.waiting_producers.push_back(producer);
            return Ok(());
        }
        Ok(producer.tell(Produce)?)
    }

    fn ready(&mut self, consumer: ActorRef<Consume>) -> Result<(), ExitReason> {
        let Some(item) = self.buffer.pop_front() else {
            self.waiting_consumers.push_back(consumer);
            return Ok(());
        };
        consumer.tell(Consume(item))?;
        if let Some(producer) = self.waiting_producers.pop_front() {
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
                self.consumed.items += u64::from(consumed.is_some());
                self.consumed.sum += consumed.unwrap_or(0);
                self.ready(consumer)?;
            }
        }
        if self.producers_left == 0 && self.waiting_consumers.len() == self.work.consumers {
            // The manager holds the last references to the consumers, which end when it does.
            finish(&mut self.done, (self.consumed, self.max_buffered), ctx);
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
        waiting_producers: VecDeque::new(),
        waiting_consumers: VecDeque::new(),
        buffer: VecDeque::new(),
        max_buffered: 0,
        producers_left: work.producers,
        consumed: Consumed::default(),
        done: None,
    });
    let (consumed, max_buffered) = ask(&manager, ToManager::Start)?;
    let items = work.producers as u64 * work.items;
    expect("the consumed items", consumed, Consumed { items, sum: items * (items - 1) / 2 })?;
    check(max_buffered <= work.buffer, "the buffer had more items than its bound")?;
    Ok(format!("{items} items were consumed, the buffer of {} had at most {max_buffered}", work.buffer))
}
