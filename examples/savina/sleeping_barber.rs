//! A barber who sleeps while there is nobody, a waiting room with a limit, and customers who come again when it is full.
//!
//! A customer has one message under way to those it deals with, so a factory with a place for each never makes one wait;
//! nor are the mailboxes of a customer and of the barber ever full. Only the factory and the barber may park, while the
//! room's mailbox is full, and the room waits for nobody.

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
    waiting: VecDeque<ActorRef<ToCustomer>>,
    barber: ActorRef<ToBarber>,
    barber_sleeps: bool,
}

enum ToRoom {
    Enter(ActorRef<ToCustomer>),
    Next,
}

struct Barber {
    random: Random,
    cuts: u64,
}

enum ToBarber {
    Enter(ActorRef<ToCustomer>, ActorRef<ToRoom>),
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
        Ok(self.barber.tell(next.map_or(ToBarber::Sleep, |customer| ToBarber::Enter(customer, me)))?)
    }
}

impl Actor for Room {
    type Message = ToRoom;

    fn handle(&mut self, message: ToRoom, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToRoom::Next => self.next(ctx.me()),
            ToRoom::Enter(customer) if self.waiting.len() == self.limit => {
                Ok(customer.tell(ToCustomer::Full)?)
            }
            ToRoom::Enter(customer) => {
                customer.tell(ToCustomer::Wait)?;
                self.waiting.push_back(customer);
                if self.barber_sleeps { self.next(ctx.me()) } else { Ok(()) }
            }
        }
    }
}

impl Actor for Barber {
    type Message = ToBarber;

    fn handle(&mut self, message: ToBarber, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToBarber::Enter(customer, room) => {
                customer.tell(ToCustomer::Start)?;
                busy(10 + self.random.below(ROUNDS));
                self.cuts += 1;
                customer.tell(ToCustomer::Done)?;
                room.tell(ToRoom::Next)?;
            }
            ToBarber::Sleep => {}
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
    let barber = spawn(Barber { random: Random::new(1), cuts: 0 });
    let room = Room { limit, waiting: VecDeque::new(), barber: barber.clone(), barber_sleeps: true };
    let factory = Builder::new().mailbox(haircuts as usize + 1).spawn(Factory {
        room: spawn(room),
        random: Random::new(2),
        haircuts,
        left: haircuts,
        attempts: 0,
        done: None,
    });
    let attempts = ask(&factory, ToFactory::Start)?;
    expect("haircuts", ask(&barber, ToBarber::Cuts)?, haircuts)?;
    Ok(format!("{haircuts} haircuts in a room for {limit}, which was entered {attempts} times"))
}
