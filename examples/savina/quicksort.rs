//! Quicksort with an actor for each part. Measures a tree of actors and messages with much data.
//!
//! No deadlock: an actor gets one request and two results, so no mailbox is ever full.

use kahn::actor::{Actor, Context, ExitReason, spawn};

use crate::bench::{Bench, Random, Size, check, tell};
use crate::results::{ReplyTo, wait_for_result};

pub const BENCH: Bench =
    Bench { name: "quicksort", about: "divide and conquer, with the parts in messages", run };

struct Sorter {
    reply_to: Option<ReplyTo<Message, Vec<u64>>>,
    /// On which side of the parent's pivot the numbers are.
    side: Side,
    cutoff: usize,
    /// The numbers that equal the pivot. `less` and `greater` are the sorted parts from the children.
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
    fn new(reply_to: ReplyTo<Message, Vec<u64>>, side: Side, cutoff: usize) -> Sorter {
        Sorter { reply_to: Some(reply_to), side, cutoff, equal: Vec::new(), less: None, greater: None }
    }

    fn reply(&mut self, sorted: Vec<u64>) -> Result<(), ExitReason> {
        let side = self.side;
        // The parent's reference was the last one, and it was dropped. The actor therefore ends by itself.
        self.reply_to
            .take()
            .map_or(Ok(()), |reply_to| reply_to.send(sorted, |sorted| Message::Sorted(side, sorted)))
    }
}

impl Actor for Sorter {
    type Message = Message;

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Sort(mut numbers) if numbers.len() <= self.cutoff => {
                numbers.sort_unstable();
                return self.reply(numbers);
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
                    let child = spawn(Sorter::new(ReplyTo::Parent(ctx.me()), side, self.cutoff));
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
            return self.reply(sorted);
        }
        Ok(())
    }
}

fn run(size: Size) -> Result<String, String> {
    let (count, cutoff) = size.pick((1_000_000, 2048), (5000, 64));
    let mut random = Random::new(1024);
    let mut numbers: Vec<u64> = (0..count).map(|_| random.below(1 << 60)).collect();
    let sorted = wait_for_result(|done| {
        let root = spawn(Sorter::new(ReplyTo::Caller(done), Side::Less, cutoff));
        tell(&root, Message::Sort(numbers.clone()))
    })?;
    numbers.sort_unstable();
    check(sorted == numbers, "the numbers are not sorted")?;
    Ok(format!("{count} numbers were sorted"))
}
