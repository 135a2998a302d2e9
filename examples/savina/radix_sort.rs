//! A pipeline of sixty actors that sort numbers, each by one bit, the lowest bit first. Measures a message for each
//! number and stage.
//!
//! A stage forwards numbers with a zero bit at once. It keeps the others until it has seen all numbers.
//!
//! No deadlock: a stage tells only the next stage, and the collector at the end tells no actor. The bounded mailboxes
//! keep the front of the pipeline from running ahead.

use kahn::actor::{Actor, ActorRef, Context, ExitReason, spawn};

use crate::bench::{Bench, Random, Size, check};
use crate::results::{Collect, feed, wait_for_result};

pub const BENCH: Bench =
    Bench { name: "radix-sort", about: "a pipeline of actors sorts numbers, each by one bit", run };

const BITS: u32 = 60;

struct Stage {
    bit: u64,
    next: ActorRef<u64>,
    /// How many numbers are still to come.
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
    let sorted = wait_for_result(|done| {
        let last = Collect::spawn(count, done);
        let first = (0..BITS)
            .rev()
            .fold(last, |next, bit| spawn(Stage { bit: 1 << bit, next, left: count, ones: Vec::new() }));
        feed(numbers.clone().into_iter(), first)
    })?;
    numbers.sort_unstable();
    check(sorted == numbers, "the numbers are not sorted")?;
    Ok(format!("{count} numbers went through {BITS} actors"))
}
