//! A bitonic sorting network of tens of thousands of small actors, connected recursively.
//!
//! ```text
//! sorter(n)   split ─┬─ sorter(n/2), up ───┬─ join ── merger(n)
//!                    └─ sorter(n/2), down ─┘
//! merger(n)   exchange ─┬─ merger(n/2) ─┬─ join
//!                       └─ merger(n/2) ─┘
//! ```
//!
//! No deadlock: the graph of actors has no cycle, and a join accepts the values of both sides in any order.

use std::collections::VecDeque;

use kahn::actor::{Actor, ActorRef, Context, ExitReason, spawn};

use crate::bench::{Bench, Random, Size, check};
use crate::results::{Collect, feed, wait_for_result};

pub const BENCH: Bench =
    Bench { name: "bitonic-sort", about: "a sorting network with an actor for each switch", run };

struct Item {
    value: u64,
    /// Whether the item enters a join on its right side.
    is_right: bool,
}

/// An input of an actor.
#[derive(Clone)]
struct Port {
    to: ActorRef<Item>,
    is_right: bool,
}

impl Port {
    fn send(&self, value: u64) -> Result<(), ExitReason> {
        Ok(self.to.tell(Item { value, is_right: self.is_right })?)
    }

    fn spawn(actor: impl Actor<Message = Item>) -> Port {
        Port { to: spawn(actor), is_right: false }
    }

    fn right(&self) -> Port {
        Port { is_right: true, ..self.clone() }
    }
}

/// Sends the first half of its items left and the second half right.
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
        port.send(item.value)
    }
}

/// Sends the items from the left side, then those from the right side.
struct Join {
    half: usize,
    sent: usize,
    /// Items from the right that arrived before all items from the left.
    early: VecDeque<u64>,
    next: Port,
}

impl Actor for Join {
    type Message = Item;

    fn handle(&mut self, item: Item, _: &mut Context<Self>) -> Result<(), ExitReason> {
        if item.is_right && self.sent < self.half {
            self.early.push_back(item.value);
            return Ok(());
        }
        self.sent += 1;
        self.next.send(item.value)?;
        if self.sent == self.half {
            for value in self.early.drain(..) {
                self.next.send(value)?;
            }
        }
        Ok(())
    }
}

/// Compares each value of the first half with its partner in the second half.
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
            return Err(ExitReason::failed("a switch got too many values"));
        };
        let (low, high) = (partner.min(item.value), partner.max(item.value));
        self.left.send(if self.is_up { low } else { high })?;
        self.right.send(if self.is_up { high } else { low })
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
    Port::spawn(Split { half, seen: 0, left, right })
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
    Port::spawn(Exchange { half, is_up, seen: 0, first: VecDeque::new(), left, right })
}

fn join(half: usize, next: Port) -> Port {
    Port::spawn(Join { half, sent: 0, early: VecDeque::new(), next })
}

fn run(size: Size) -> Result<String, String> {
    let count = size.pick(4096, 64);
    let mut random = Random::new(1 << 20);
    let mut values: Vec<u64> = (0..count).map(|_| random.below(1 << 20)).collect();
    let sorted = wait_for_result(|done| {
        let last = Collect::spawn(count, done);
        let first = sorter(count, true, Port { to: last, is_right: false });
        let items = values.clone().into_iter();
        feed(items.map(|value| Item { value, is_right: false }), first.to)
    })?;
    let sorted: Vec<u64> = sorted.iter().map(|item| item.value).collect();
    values.sort_unstable();
    check(sorted == values, "the values are not sorted")?;
    Ok(format!("{count} values were sorted"))
}
