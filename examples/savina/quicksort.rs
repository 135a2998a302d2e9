//! Quicksort, with an actor for each part: a tree of actors, and messages that carry much.
//!
//! A parent is told by its two children alone, so nobody waits for room.

use kahn::actor::{Actor, Context, ExitReason, spawn};

use crate::bench::{Bench, Random, Size, expect, tell};
use crate::outcome::{Above, outcome};

pub const BENCH: Bench = Bench { name: "quicksort", about: "divide and conquer, the parts in messages", run };

struct Sorter {
    above: Option<Above<Message, Vec<u64>>>,
    /// Where its numbers go in the parent's.
    side: Side,
    cutoff: usize,
    /// What equals the pivot, and what the children have sorted.
    equal: Vec<u64>,
    less: Option<Vec<u64>>,
    greater: Option<Vec<u64>>,
}

#[derive(Clone, Copy)]
enum Side {
    Less,
    Greater,
}

enum Message {
    Sort(Vec<u64>),
    Sorted(Side, Vec<u64>),
}

impl Sorter {
    fn new(above: Above<Message, Vec<u64>>, side: Side, cutoff: usize) -> Sorter {
        Sorter { above: Some(above), side, cutoff, equal: Vec::new(), less: None, greater: None }
    }

    fn hand(&mut self, sorted: Vec<u64>) -> Result<(), ExitReason> {
        let side = self.side;
        // With its last reference the actor ends.
        self.above.take().map_or(Ok(()), |above| above.hand(sorted, |sorted| Message::Sorted(side, sorted)))
    }
}

impl Actor for Sorter {
    type Message = Message;

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Sort(mut numbers) if numbers.len() <= self.cutoff => {
                numbers.sort_unstable();
                return self.hand(numbers);
            }
            Message::Sort(numbers) => {
                let pivot = numbers[numbers.len() / 2];
                let (mut less, mut greater) = (Vec::new(), Vec::new());
                for number in numbers {
                    match number {
                        _ if number < pivot => less.push(number),
                        _ if number > pivot => greater.push(number),
                        _ => self.equal.push(number),
                    }
                }
                for (side, part) in [(Side::Less, less), (Side::Greater, greater)] {
                    let child = spawn(Sorter::new(Above::Parent(ctx.me()), side, self.cutoff));
                    child.tell(Message::Sort(part))?;
                }
            }
            Message::Sorted(Side::Less, numbers) => self.less = Some(numbers),
            Message::Sorted(Side::Greater, numbers) => self.greater = Some(numbers),
        }
        if let (Some(less), Some(greater)) = (&mut self.less, &self.greater) {
            let mut sorted = std::mem::take(less);
            sorted.append(&mut self.equal);
            sorted.extend_from_slice(greater);
            return self.hand(sorted);
        }
        Ok(())
    }
}

fn run(size: Size) -> Result<String, String> {
    let (count, cutoff) = size.pick((1_000_000, 2048), (5000, 64));
    let mut random = Random::new(1024);
    let mut numbers: Vec<u64> = (0..count).map(|_| random.below(1 << 60)).collect();
    let sorted = outcome(|done| {
        let root = spawn(Sorter::new(Above::Caller(done), Side::Less, cutoff));
        tell(&root, Message::Sort(numbers.clone()))
    })?;
    numbers.sort_unstable();
    expect("whether they are sorted", sorted == numbers, true)?;
    Ok(format!("{count} numbers are sorted"))
}
