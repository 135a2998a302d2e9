//! A barber who sleeps while there is nobody, a waiting room with a limit, and customers who come again when it is full.
//!
//! A customer has one message under way to those it deals with, so a factory with a place for each never makes one wait;
//! nor are the mailboxes of a customer and of the barber ever full. Only the factory and the barber may park, while the
//! room's mailbox is full, and the room waits for nobody.
//!
//! What is checked: the barber serves in the order in which the room was entered, one at a time, and none while he sleeps
//! unless he is woken for it; and everybody who came was served or turned away, the latter only from a full room.

use std::collections::VecDeque;

use kahn::actor::{Actor, ActorRef, Builder, Context, ExitReason, Reply, spawn};

use crate::bench::{Bench, Random, Size, ask, busy, expect, finish};

pub const BENCH: Bench =
    Bench { name: "sleeping-barber", about: "a barber, a waiting room, and customers who come again", run };

/// How long it takes for a customer to come, and to cut hair, at most, in rounds.
const ROUNDS: u64 = 1000;

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
    /// With the numbers of their coming.
    waiting: VecDeque<(u64, ActorRef<ToCustomer>)>,
    entered: u64,
    refused: u64,
    barber: ActorRef<ToBarber>,
    barber_sleeps: bool,
}

enum ToRoom {
    Enter(ActorRef<ToCustomer>),
    Next,
    /// How many have entered, and how many were turned away.
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
                    busy(10 + self.random.below(ROUNDS));
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
                Err(ExitReason::failed("the barber wants the next in his sleep"))
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
                busy(10 + self.random.below(ROUNDS));
                self.cuts += 1;
                customer.tell(ToCustomer::Done)?;
                room.tell(ToRoom::Next)?;
            }
            ToBarber::Sleep if self.sleeps => return Err(ExitReason::failed("the barber sleeps already")),
            ToBarber::Sleep => self.sleeps = true,
            ToBarber::Cuts(reply) => drop(reply.send(self.cuts)),
        }
        Ok(())
    }
}

impl Customer {
    fn go(&mut self, from: State, to: State) -> Result<(), ExitReason> {
        if self.state != from {
            let state = self.state;
            return Err(ExitReason::failed(format!("a customer was told {to:?} in the state {state:?}")));
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
                self.go(State::Outside, State::Outside)?;
                Ok(self.factory.tell(ToFactory::Returned(ctx.me()))?)
            }
            ToCustomer::Wait => self.go(State::Outside, State::Waits),
            ToCustomer::Start => self.go(State::Waits, State::IsServed),
            ToCustomer::Done => {
                self.go(State::IsServed, State::Outside)?;
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
    expect("who has entered, and who was turned away", counts, (haircuts, attempts - haircuts))?;
    Ok(format!("{haircuts} haircuts in a room for {limit}, which was entered {attempts} times"))
}
