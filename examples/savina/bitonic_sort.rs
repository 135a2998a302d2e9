//! A sorting network of actors: tens of thousands of tiny ones, wired as the recursion says.
//!
//! ```text
//! sorter(n)   split ─┬─ sorter(n/2), up ───┬─ join ── merger(n)
//!                    └─ sorter(n/2), down ─┘
//! merger(n)   exchange ─┬─ merger(n/2) ─┬─ join
//!                       └─ merger(n/2) ─┘
//! ```
//!
//! The wires make no circle, and a join takes from both sides whatever comes, so any mailbox is large enough.

use std::collections::VecDeque;

use kahn::actor::{Actor, ActorRef, Context, ExitReason, spawn};

use crate::bench::{Bench, Random, Size, expect};
use crate::outcome::{Collect, outcome, pour};

pub const BENCH: Bench =
    Bench { name: "bitonic-sort", about: "a sorting network, an actor for each switch in it", run };

struct Item {
    value: u64,
    /// On which side it comes into a join.
    is_right: bool,
}

/// An actor's input: the actor, and the side.
#[derive(Clone)]
struct Port {
    to: ActorRef<Item>,
    is_right: bool,
}

impl Port {
    fn put(&self, value: u64) -> Result<(), ExitReason> {
        Ok(self.to.tell(Item { value, is_right: self.is_right })?)
    }

    fn of(actor: impl Actor<Message = Item>) -> Port {
        Port { to: spawn(actor), is_right: false }
    }

    fn right(&self) -> Port {
        Port { is_right: true, ..self.clone() }
    }
}

/// The first half goes left, the other right.
struct Split {
    half: usize,
    seen: usize,
    left: Port,
    right: Port,
}

impl Actor for Split {
    type Message = Item;

    fn handle(&mut self, item: Item, _: &mut Context<Self>) -> Result<(), ExitReason> {
        self.seen += 1;
        let port = if self.seen <= self.half { &self.left } else { &self.right };
        port.put(item.value)
    }
}

/// First what comes from the left, then the rest.
struct Join {
    half: usize,
    given: usize,
    /// What came from the right too early.
    early: VecDeque<u64>,
    next: Port,
}

impl Actor for Join {
    type Message = Item;

    fn handle(&mut self, item: Item, _: &mut Context<Self>) -> Result<(), ExitReason> {
        if item.is_right && self.given < self.half {
            self.early.push_back(item.value);
            return Ok(());
        }
        self.given += 1;
        self.next.put(item.value)?;
        if self.given == self.half {
            for value in self.early.drain(..) {
                self.next.put(value)?;
            }
        }
        Ok(())
    }
}

/// Compares each value of the first half with its partner in the other.
struct Exchange {
    half: usize,
    is_up: bool,
    seen: usize,
    first: VecDeque<u64>,
    left: Port,
    right: Port,
}

impl Actor for Exchange {
    type Message = Item;

    fn handle(&mut self, item: Item, _: &mut Context<Self>) -> Result<(), ExitReason> {
        self.seen += 1;
        if self.seen <= self.half {
            self.first.push_back(item.value);
            return Ok(());
        }
        let Some(partner) = self.first.pop_front() else {
            return Err(ExitReason::failed("a switch has got more than its share"));
        };
        let (low, high) = (partner.min(item.value), partner.max(item.value));
        self.left.put(if self.is_up { low } else { high })?;
        self.right.put(if self.is_up { high } else { low })
    }
}

/// Sorts any `n` values.
fn sorter(n: usize, is_up: bool, next: Port) -> Port {
    if n == 2 {
        return merger(n, is_up, next);
    }
    let half = n / 2;
    let join = join(half, merger(n, is_up, next));
    let (left, right) = (sorter(half, true, join.clone()), sorter(half, false, join.right()));
    Port::of(Split { half, seen: 0, left, right })
}

/// Sorts `n` values that first rise and then fall.
fn merger(n: usize, is_up: bool, next: Port) -> Port {
    let half = n / 2;
    let (left, right) = if n == 2 {
        (next.clone(), next)
    } else {
        let join = join(half, next);
        (merger(half, is_up, join.clone()), merger(half, is_up, join.right()))
    };
    Port::of(Exchange { half, is_up, seen: 0, first: VecDeque::new(), left, right })
}

fn join(half: usize, next: Port) -> Port {
    Port::of(Join { half, given: 0, early: VecDeque::new(), next })
}

fn run(size: Size) -> Result<String, String> {
    let count = size.pick(4096, 64);
    let mut random = Random::new(1 << 20);
    let mut values: Vec<u64> = (0..count).map(|_| random.below(1 << 20)).collect();
    let sorted = outcome(|done| {
        let last = Collect::spawn(count, done);
        let first = sorter(count, true, Port { to: last, is_right: false });
        let items = values.clone().into_iter();
        pour(items.map(|value| Item { value, is_right: false }), first.to)
    })?;
    let sorted: Vec<u64> = sorted.iter().map(|item| item.value).collect();
    values.sort_unstable();
    expect("whether they are sorted", sorted == values, true)?;
    Ok(format!("{count} values have passed the network"))
}
