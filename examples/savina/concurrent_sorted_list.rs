//! Many readers and a few writers of a sorted linked list that an actor owns. Each request takes long.
//!
//! No deadlock: a worker has one request in flight, and the list has space for one from each worker. No tell parks.

use kahn::actor::{Actor, ActorRef, Builder, Context, ExitReason, Reply, spawn};

use crate::bench::{Bench, Random, Size, ask, expect};
use crate::gather::{Gather, ToGather};

pub const BENCH: Bench =
    Bench { name: "concurrent-sorted-list", about: "actors read and write a list that an actor owns", run };

const VALUES: u32 = 1 << 19;
const WRITES_PERCENT: u64 = 10;
const SIZES_PERCENT: u64 = 1;
/// The index that ends the list.
const END: u32 = u32::MAX;

/// A sorted linked list whose nodes are in a `Vec`.
struct List {
    /// The value of each node, and the index of the next node.
    nodes: Vec<(u32, u32)>,
    first: u32,
}

impl List {
    fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        let mut index = self.first;
        std::iter::from_fn(move || {
            let (value, next) = *self.nodes.get(index as usize)?;
            Some((std::mem::replace(&mut index, next), value))
        })
    }

    fn insert(&mut self, value: u32) {
        let before = self.iter().take_while(|(_, other)| *other < value).last();
        let new = self.nodes.len() as u32;
        let link = match before {
            Some((index, _)) => &mut self.nodes[index as usize].1,
            None => &mut self.first,
        };
        let next = std::mem::replace(link, new);
        self.nodes.push((value, next));
    }

    fn contains(&self, value: u32) -> bool {
        self.iter().find(|(_, other)| *other >= value).is_some_and(|(_, other)| other == value)
    }
}

#[derive(Clone, Copy)]
enum Operation {
    Insert(u32),
    Contains(u32),
    Size,
}

enum Request {
    Do(Operation, ActorRef<Response>),
    /// The reply is the length of the list, or `None` if it is not sorted.
    Check(Reply<Option<u64>>),
}

/// The size of the list, or 1 or 0 for whether it contains the value.
struct Response(u64);

impl Actor for List {
    type Message = Request;

    fn handle(&mut self, request: Request, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match request {
            Request::Check(reply) => {
                let values: Vec<_> = self.iter().map(|(_, value)| value).collect();
                let _ = reply.send(values.is_sorted().then_some(values.len() as u64));
                Ok(())
            }
            Request::Do(operation, from) => {
                let response = match operation {
                    Operation::Size => self.nodes.len() as u64,
                    Operation::Contains(value) => self.contains(value).into(),
                    Operation::Insert(value) => {
                        self.insert(value);
                        1
                    }
                };
                Ok(from.tell(Response(response))?)
            }
        }
    }
}

struct Worker {
    list: ActorRef<Request>,
    gather: ActorRef<ToGather>,
    random: Random,
    left: u64,
    inserted: Vec<u32>,
    /// The request in flight.
    operation: Operation,
}

impl Worker {
    fn request(&mut self, from: ActorRef<Response>) -> Result<(), ExitReason> {
        self.left -= 1;
        let chance = self.random.below(100);
        self.operation = if chance < SIZES_PERCENT {
            Operation::Size
        } else if chance < SIZES_PERCENT + WRITES_PERCENT {
            let value = self.random.below(VALUES.into()) as u32;
            self.inserted.push(value);
            Operation::Insert(value)
        } else {
            Operation::Contains(self.random.below(VALUES.into()) as u32)
        };
        Ok(self.list.tell(Request::Do(self.operation, from))?)
    }

    /// Whether a response is possible: the list must contain the values that this worker has inserted, and may contain
    /// others.
    fn is_possible(&self, response: u64) -> bool {
        match self.operation {
            Operation::Insert(_) => response == 1,
            Operation::Size => response >= self.inserted.len() as u64,
            Operation::Contains(value) => response == 1 || !self.inserted.contains(&value),
        }
    }
}

impl Actor for Worker {
    type Message = Response;

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        ctx.link(&self.gather);
        self.request(ctx.me())
    }

    fn handle(&mut self, Response(response): Response, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        if !self.is_possible(response) {
            return Err(ExitReason::failed("the list has lost an inserted value"));
        }
        if self.left > 0 {
            return self.request(ctx.me());
        }
        ctx.stop();
        Ok(self.gather.tell(ToGather::Number(self.inserted.len() as u64))?)
    }
}

fn run(size: Size) -> Result<String, String> {
    let (workers, requests) = size.pick((20, 8000), (5, 300));
    let list = Builder::new().mailbox(workers + 1).spawn(List { nodes: Vec::new(), first: END });
    let gather = Gather::spawn(workers);
    for number in 0..workers {
        let (list, gather) = (list.clone(), gather.clone());
        let random = Random::new(number as u64);
        spawn(Worker {
            list,
            gather,
            random,
            left: requests,
            inserted: Vec::new(),
            operation: Operation::Size,
        });
    }
    let inserted = Gather::sum(&gather)?;
    expect("the length of the sorted list", ask(&list, Request::Check)?, Some(inserted))?;
    Ok(format!("{} requests, the list has {inserted} values in order", requests * workers as u64))
}
