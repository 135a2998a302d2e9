//! The sieve of Eratosthenes with a thousand primes per actor. Measures a pipeline that grows while it runs.
//!
//! No deadlock: a filter tells only the next filter.

use kahn::actor::{Actor, ActorRef, Context, ExitReason, spawn};

use crate::bench::{Bench, Size, check};
use crate::results::{ResultSender, feed, wait_for_result};

pub const BENCH: Bench = Bench { name: "sieve", about: "finds primes with a pipeline that grows", run };

struct Filter {
    primes: Vec<u32>,
    max_primes: usize,
    next: Option<ActorRef<Message>>,
}

enum Message {
    Candidate(u32),
    /// There are no more candidates. Each filter adds its primes and forwards the message.
    End(Found, ResultSender<Found>),
}

#[derive(Default)]
struct Found {
    filters: usize,
    primes: Vec<u32>,
}

impl Filter {
    fn new(prime: u32, max_primes: usize) -> Filter {
        Filter { primes: vec![prime], max_primes, next: None }
    }
}

impl Actor for Filter {
    type Message = Message;

    fn handle(&mut self, message: Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Candidate(n) if self.primes.iter().any(|prime| n.is_multiple_of(*prime)) => {}
            Message::Candidate(n) if self.primes.len() < self.max_primes => self.primes.push(n),
            Message::Candidate(n) => match &self.next {
                Some(next) => next.tell(Message::Candidate(n))?,
                None => self.next = Some(spawn(Filter::new(n, self.max_primes))),
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
    let (limit, max_primes) = size.pick((100_000, 1000), (2000, 50));
    let found = wait_for_result(|done| {
        let odd = (3..limit).step_by(2).map(Message::Candidate);
        let end = std::iter::once(Message::End(Found::default(), done));
        feed(odd.chain(end), spawn(Filter::new(2, max_primes)))
    })?;
    check(found.primes == primes(limit), "the primes are wrong")?;
    Ok(format!("{} primes, in {} actors", found.primes.len(), found.filters))
}

/// Returns the primes below `limit`, by the sieve of Eratosthenes on an array.
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
