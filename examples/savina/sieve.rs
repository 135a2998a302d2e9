//! The sieve of Eratosthenes, a thousand primes an actor: a pipeline that grows while it runs.
//!
//! Each tells the next alone, so any mailbox is large enough.

use kahn::actor::{Actor, ActorRef, Context, ExitReason, spawn};

use crate::bench::{Bench, Size, expect};
use crate::outcome::{Outcome, outcome, pour};

pub const BENCH: Bench =
    Bench { name: "sieve", about: "primes, by a pipeline that grows as it finds them", run };

struct Filter {
    primes: Vec<u32>,
    most: usize,
    next: Option<ActorRef<Message>>,
}

enum Message {
    Candidate(u32),
    /// There are no more candidates: the next adds its primes to those of all before it.
    End(Found, Outcome<Found>),
}

#[derive(Default)]
struct Found {
    filters: usize,
    primes: Vec<u32>,
}

impl Filter {
    fn new(prime: u32, most: usize) -> Filter {
        Filter { primes: vec![prime], most, next: None }
    }
}

impl Actor for Filter {
    type Message = Message;

    fn handle(&mut self, message: Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Candidate(n) if self.primes.iter().any(|prime| n.is_multiple_of(*prime)) => {}
            Message::Candidate(n) if self.primes.len() < self.most => self.primes.push(n),
            Message::Candidate(n) => match &self.next {
                Some(next) => next.tell(Message::Candidate(n))?,
                None => self.next = Some(spawn(Filter::new(n, self.most))),
            },
            Message::End(mut found, done) => {
                found.filters += 1;
                found.primes.append(&mut self.primes);
                match &self.next {
                    Some(next) => next.tell(Message::End(found, done))?,
                    None => drop(done.send(found)),
                }
            }
        }
        Ok(())
    }
}

fn run(size: Size) -> Result<String, String> {
    let (limit, most) = size.pick((100_000, 1000), (2000, 50));
    let found = outcome(|done| {
        let odd = (3..limit).step_by(2).map(Message::Candidate);
        let end = std::iter::once(Message::End(Found::default(), done));
        pour(odd.chain(end), spawn(Filter::new(2, most)))
    })?;
    expect("whether these are the primes", found.primes == primes(limit), true)?;
    Ok(format!("{} primes, in {} actors", found.primes.len(), found.filters))
}

/// The primes below `limit`, by crossing out.
fn primes(limit: u32) -> Vec<u32> {
    let mut is_crossed = vec![false; limit as usize];
    let mut primes = Vec::new();
    for n in 2..limit as usize {
        if !is_crossed[n] {
            primes.push(n as u32);
            is_crossed.iter_mut().step_by(n).for_each(|crossed| *crossed = true);
        }
    }
    primes
}
