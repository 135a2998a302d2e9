//! Sixty actors in a row sort numbers by one bit each, the lowest first: a long pipeline with a message for each number.
//!
//! A stage passes on at once what has a zero there, and keeps the rest until it has seen all. It tells the next alone,
//! and the last one tells nobody, so small mailboxes do no harm: they are what keeps the front of the pipeline from
//! running away.

use kahn::actor::{Actor, ActorRef, Context, ExitReason, spawn};

use crate::bench::{Bench, Random, Size, expect};
use crate::outcome::{Collect, outcome, pour};

pub const BENCH: Bench =
    Bench { name: "radix-sort", about: "a row of actors sorts numbers, one bit each", run };

const BITS: u32 = 60;

struct Stage {
    bit: u64,
    next: ActorRef<u64>,
    /// How many numbers are to come.
    left: usize,
    ones: Vec<u64>,
}

impl Actor for Stage {
    type Message = u64;

    fn handle(&mut self, number: u64, _: &mut Context<Self>) -> Result<(), ExitReason> {
        self.left -= 1;
        if number & self.bit == 0 {
            self.next.tell(number)?;
        } else {
            self.ones.push(number);
        }
        if self.left == 0 {
            for number in self.ones.drain(..) {
                self.next.tell(number)?;
            }
        }
        Ok(())
    }
}

fn run(size: Size) -> Result<String, String> {
    let count = size.pick(100_000, 500);
    let mut random = Random::new(2048);
    let mut numbers: Vec<u64> = (0..count).map(|_| random.below(1 << BITS)).collect();
    let sorted = outcome(|done| {
        let last = Collect::spawn(count, done);
        let first = (0..BITS)
            .rev()
            .fold(last, |next, bit| spawn(Stage { bit: 1 << bit, next, left: count, ones: Vec::new() }));
        pour(numbers.clone().into_iter(), first)
    })?;
    numbers.sort_unstable();
    expect("whether they are sorted", sorted == numbers, true)?;
    Ok(format!("{count} numbers went through {BITS} actors"))
}
