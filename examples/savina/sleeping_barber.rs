//! A barber that sleeps while there are no customers, a waiting room with a limit, and customers that come again when
//! the room is full.
//!
//! No deadlock: a customer has at most one message in the factory's mailbox, which has space for one from each. The
//! mailboxes of a customer and of the barber are never full. Only the factory and the barber may park, while the room's
//! mailbox is full, and the room never parks.
//!
//! Checks: the barber serves one customer at a time, in the order in which they entered the room. The room sends
//! customers only to a barber that has asked for the next one or sleeps. Every attempt to enter was counted as entered
//! or as refused.

use std::collections::VecDeque;

use kahn::actor::{Actor, ActorRef, Builder, Context, ExitReason, Reply, spawn};

use crate::bench::{Bench, Random, Size, ask, burn_cpu, expect, finish};

pub const BENCH: Bench =
    Bench { name: "sleeping-barber", about: "a barber, a waiting room, and customers that come again", run };

/// The longest pause between two customers and the longest haircut, in rounds of `burn_cpu`.
const MAX_ROUNDS: u64 = 1000;

struct Factory {
    room: ActorRef<ToRoom>,
    random: Random,
    haircuts: u64,
    left: u64,
    attempts: u64,
    done: Option<Reply<u64>>,
}

enum ToFactory {
    Start(Reply<u64>),
    Returned(ActorRef<ToCustomer>),
    HairIsCut,
}

struct Room {
    limit: usize,
    /// Each customer with its number in the order of entering.
    waiting: VecDeque<(u64, ActorRef<ToCustomer>)>,
    entered: u64,
    refused: u64,
    barber: ActorRef<ToBarber>,
    barber_sleeps: bool,
}

enum ToRoom {
    Enter(ActorRef<ToCustomer>),
    Next,
    /// The reply is how many customers have entered, and how many were refused.
    Counts(Reply<(u64, u64)>),
}

struct Barber {
    random: Random,
    cuts: u64,
    sleeps: bool,
}

enum ToBarber {
    Enter { number: u64, customer: ActorRef<ToCustomer>, room: ActorRef<ToRoom> },
    Sleep,
    Cuts(Reply<u64>),
}

struct Customer {
    factory: ActorRef<ToFactory>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum State {
    Outside,
    Waits,
    IsServed,
}

enum ToCustomer {
    Full,
    Wait,
    Start,
    Done,
}

impl Factory {
    fn send(&mut self, customer: ActorRef<ToCustomer>) -> Result<(), ExitReason> {
        self.attempts += 1;
        Ok(self.room.tell(ToRoom::Enter(customer))?)
    }
}

impl Actor for Factory {
    type Message = ToFactory;

    fn handle(&mut self, message: ToFactory, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToFactory::Start(done) => {
                self.done = Some(done);
                for _ in 0..self.haircuts {
                    let customer = Customer { factory: ctx.me(), state: State::Outside };
                    let customer = ctx.spawn_linked(customer);
                    self.send(customer)?;
                    burn_cpu(10 + self.random.below(MAX_ROUNDS));
                }
            }
            ToFactory::Returned(customer) => self.send(customer)?,
            ToFactory::HairIsCut => {
                self.left -= 1;
                if self.left == 0 {
                    finish(&mut self.done, self.attempts, ctx);
                }
            }
        }
        Ok(())
    }
}

impl Room {
    fn next(&mut self, me: ActorRef<ToRoom>) -> Result<(), ExitReason> {
        let next = self.waiting.pop_front();
        self.barber_sleeps = next.is_none();
        let enter = |(number, customer)| ToBarber::Enter { number, customer, room: me };
        Ok(self.barber.tell(next.map_or(ToBarber::Sleep, enter))?)
    }
}

impl Actor for Room {
    type Message = ToRoom;

    fn handle(&mut self, message: ToRoom, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToRoom::Next if self.barber_sleeps => {
                Err(ExitReason::failed("a barber that sleeps asked for the next customer"))
            }
            ToRoom::Next => self.next(ctx.me()),
            ToRoom::Counts(reply) => {
                let _ = reply.send((self.entered, self.refused));
                Ok(())
            }
            ToRoom::Enter(customer) if self.waiting.len() == self.limit => {
                self.refused += 1;
                Ok(customer.tell(ToCustomer::Full)?)
            }
            ToRoom::Enter(customer) => {
                customer.tell(ToCustomer::Wait)?;
                self.waiting.push_back((self.entered, customer));
                self.entered += 1;
                if self.barber_sleeps { self.next(ctx.me()) } else { Ok(()) }
            }
        }
    }
}

impl Actor for Barber {
    type Message = ToBarber;

    fn handle(&mut self, message: ToBarber, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToBarber::Enter { number, customer, room } => {
                if number != self.cuts {
                    let text = format!("customer {number} is served after {} others", self.cuts);
                    return Err(ExitReason::failed(text));
                }
                self.sleeps = false;
                customer.tell(ToCustomer::Start)?;
                burn_cpu(10 + self.random.below(MAX_ROUNDS));
                self.cuts += 1;
                customer.tell(ToCustomer::Done)?;
                room.tell(ToRoom::Next)?;
            }
            ToBarber::Sleep if self.sleeps => return Err(ExitReason::failed("the barber already sleeps")),
            ToBarber::Sleep => self.sleeps = true,
            ToBarber::Cuts(reply) => drop(reply.send(self.cuts)),
        }
        Ok(())
    }
}

impl Customer {
    fn change(&mut self, from: State, to: State) -> Result<(), ExitReason> {
        if self.state != from {
            let state = self.state;
            return Err(ExitReason::failed(format!(
                "a customer in the state {state:?} cannot change to {to:?}"
            )));
        }
        self.state = to;
        Ok(())
    }
}

impl Actor for Customer {
    type Message = ToCustomer;

    fn handle(&mut self, message: ToCustomer, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToCustomer::Full => {
                self.change(State::Outside, State::Outside)?;
                Ok(self.factory.tell(ToFactory::Returned(ctx.me()))?)
            }
            ToCustomer::Wait => self.change(State::Outside, State::Waits),
            ToCustomer::Start => self.change(State::Waits, State::IsServed),
            ToCustomer::Done => {
                self.change(State::IsServed, State::Outside)?;
                ctx.stop();
                Ok(self.factory.tell(ToFactory::HairIsCut)?)
            }
        }
    }
}

fn run(size: Size) -> Result<String, String> {
    let (haircuts, limit) = size.pick((5000, 1000), (100, 5));
    let barber = spawn(Barber { random: Random::new(1), cuts: 0, sleeps: true });
    let room = spawn(Room {
        limit,
        waiting: VecDeque::new(),
        entered: 0,
        refused: 0,
        barber: barber.clone(),
        barber_sleeps: true,
    });
    let factory = Builder::new().mailbox(haircuts as usize + 1).spawn(Factory {
        room: room.clone(),
        random: Random::new(2),
        haircuts,
        left: haircuts,
        attempts: 0,
        done: None,
    });
    let attempts = ask(&factory, ToFactory::Start)?;
    expect("haircuts", ask(&barber, ToBarber::Cuts)?, haircuts)?;
    let counts = ask(&room, ToRoom::Counts)?;
    expect(
        "the customers that entered and those that were refused",
        counts,
        (haircuts, attempts - haircuts),
    )?;
    Ok(format!("{haircuts} haircuts, {attempts} attempts to enter a room for {limit}"))
}
