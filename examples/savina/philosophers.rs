//! The dining philosophers, who ask an arbitrator for both forks, and ask again when they are denied.
//!
//! A philosopher has at most two messages at the arbitrator: that it has eaten, and that it is hungry again. With a place
//! for each no tell parks.

use kahn::actor::{Actor, ActorRef, Builder, Context, ExitReason, Reply, spawn};

use crate::bench::{Bench, Size, ask, expect};
use crate::gather::{Gather, Part};

pub const BENCH: Bench =
    Bench { name: "philosophers", about: "philosophers dine, an arbitrator has the forks", run };

struct Arbitrator {
    /// Whether it is taken.
    forks: Vec<bool>,
    meals: u64,
    denials: u64,
}

enum ToArbitrator {
    Hungry { seat: usize, philosopher: ActorRef<ToPhilosopher> },
    Eaten { seat: usize },
    Counts(Reply<(u64, u64)>),
}

struct Philosopher {
    seat: usize,
    arbitrator: ActorRef<ToArbitrator>,
    left: u64,
    eaten: u64,
    gather: ActorRef<Part>,
}

enum ToPhilosopher {
    Eat,
    Denied,
}

impl Arbitrator {
    fn forks(&mut self, seat: usize) -> [usize; 2] {
        [seat, (seat + 1) % self.forks.len()]
    }
}

impl Actor for Arbitrator {
    type Message = ToArbitrator;

    fn handle(&mut self, message: ToArbitrator, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToArbitrator::Hungry { seat, philosopher } => {
                let forks = self.forks(seat);
                if forks.iter().any(|&fork| self.forks[fork]) {
                    self.denials += 1;
                    return Ok(philosopher.tell(ToPhilosopher::Denied)?);
                }
                forks.iter().for_each(|&fork| self.forks[fork] = true);
                philosopher.tell(ToPhilosopher::Eat)?;
            }
            ToArbitrator::Eaten { seat } => {
                self.meals += 1;
                for fork in self.forks(seat) {
                    if !std::mem::replace(&mut self.forks[fork], false) {
                        return Err(ExitReason::failed(format!("seat {seat} has eaten without fork {fork}")));
                    }
                }
            }
            ToArbitrator::Counts(reply) => drop(reply.send((self.meals, self.denials))),
        }
        Ok(())
    }
}

impl Philosopher {
    fn ask_for_forks(&self, ctx: &Context<Self>) -> Result<(), ExitReason> {
        Ok(self.arbitrator.tell(ToArbitrator::Hungry { seat: self.seat, philosopher: ctx.me() })?)
    }
}

impl Actor for Philosopher {
    type Message = ToPhilosopher;

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        ctx.link(&self.gather);
        self.ask_for_forks(ctx)
    }

    fn handle(&mut self, message: ToPhilosopher, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        if let ToPhilosopher::Eat = message {
            self.eaten += 1;
            self.arbitrator.tell(ToArbitrator::Eaten { seat: self.seat })?;
            self.left -= 1;
            if self.left == 0 {
                ctx.stop();
                return Ok(self.gather.tell(Part::Number(self.eaten))?);
            }
        }
        self.ask_for_forks(ctx)
    }
}

fn run(size: Size) -> Result<String, String> {
    let (seats, meals) = size.pick((20, 10_000), (5, 200));
    let arbitrator = Arbitrator { forks: vec![false; seats], meals: 0, denials: 0 };
    let arbitrator = Builder::new().mailbox(2 * seats + 1).spawn(arbitrator);
    let gather = Gather::spawn(seats);
    for seat in 0..seats {
        let (arbitrator, gather) = (arbitrator.clone(), gather.clone());
        spawn(Philosopher { seat, arbitrator, left: meals, eaten: 0, gather });
    }
    let total = meals * seats as u64;
    expect("meals eaten", Gather::sum(&gather)?, total)?;
    let (served, denials) = ask(&arbitrator, ToArbitrator::Counts)?;
    expect("meals served", served, total)?;
    Ok(format!("{seats} philosophers have had {total} meals, and were denied {denials} times"))
}
