//! Dining philosophers that ask an arbitrator for both forks, and ask again when they are denied.
//!
//! No deadlock: a philosopher has at most two messages in the arbitrator's mailbox, `Eaten` and `Hungry`. The
//! arbitrator has space for two from each, so no tell parks.
//!
//! Checks: the number of meals; and that no two neighbours eat at the same time. While it eats, a philosopher sets a
//! flag at its seat and looks at the flags of its neighbours.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use kahn::actor::{Actor, ActorRef, Builder, Context, ExitReason, Reply, spawn};

use crate::bench::{Bench, Size, ask, burn_cpu, expect};
use crate::gather::{Gather, ToGather};

pub const BENCH: Bench =
    Bench { name: "philosophers", about: "philosophers ask an arbitrator for their forks", run };

struct Arbitrator {
    /// Whether each fork is taken.
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
    /// Whether the philosopher at each seat eats.
    is_eating: Arc<[AtomicBool]>,
    arbitrator: ActorRef<ToArbitrator>,
    left: u64,
    eaten: u64,
    gather: ActorRef<ToGather>,
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

    // SeqCst: of two neighbours that eat at the same time, at least one must see the flag of the other. Each stores its
    // own flag and then loads the other's, and weaker orderings would let both loads miss the stores.
    fn eat(&mut self) -> Result<(), ExitReason> {
        let seats = self.is_eating.len();
        self.is_eating[self.seat].store(true, SeqCst);
        burn_cpu(20);
        for neighbour in [(self.seat + 1) % seats, (self.seat + seats - 1) % seats] {
            if self.is_eating[neighbour].load(SeqCst) {
                let text = format!("{} and {neighbour} eat at the same time", self.seat);
                return Err(ExitReason::failed(text));
            }
        }
        self.is_eating[self.seat].store(false, SeqCst);
        self.eaten += 1;
        Ok(())
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
            self.eat()?;
            self.arbitrator.tell(ToArbitrator::Eaten { seat: self.seat })?;
            self.left -= 1;
            if self.left == 0 {
                ctx.stop();
                return Ok(self.gather.tell(ToGather::Number(self.eaten))?);
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
    let is_eating: Arc<[AtomicBool]> = (0..seats).map(|_| AtomicBool::new(false)).collect();
    for seat in 0..seats {
        let (arbitrator, gather, is_eating) = (arbitrator.clone(), gather.clone(), is_eating.clone());
        spawn(Philosopher { seat, is_eating, arbitrator, left: meals, eaten: 0, gather });
    }
    let total = meals * seats as u64;
    expect("meals eaten", Gather::sum(&gather)?, total)?;
    let (served, denials) = ask(&arbitrator, ToArbitrator::Counts)?;
    expect("meals served", served, total)?;
    Ok(format!("{seats} philosophers ate {total} meals, and were denied {denials} times"))
}
