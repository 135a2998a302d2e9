//! Many readers and a few writers of one sorted linked list, which an actor owns: what it does for each takes long.
//!
//! A worker has one request under way, and the list a place for each worker: no tell parks.

use kahn::actor::{Actor, ActorRef, Builder, Context, ExitReason, Reply, spawn};

use crate::bench::{Bench, Random, Size, ask, expect};
use crate::gather::{Gather, Part};

pub const BENCH: Bench =
    Bench { name: "concurrent-sorted-list", about: "actors read and write a list that an actor owns", run };

const VALUES: u32 = 1 << 19;
const WRITES_PERCENT: u64 = 10;
const SIZES_PERCENT: u64 = 1;
const NOWHERE: u32 = u32::MAX;

/// A linked list in order, whose nodes stand one after the other in a `Vec`.
struct List {
    nodes: Vec<(u32, u32)>,
    first: u32,
}

impl List {
    fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        let mut place = self.first;
        std::iter::from_fn(move || {
            let (value, next) = *self.nodes.get(place as usize)?;
            Some((std::mem::replace(&mut place, next), value))
        })
    }

    fn insert(&mut self, value: u32) {
        let before = self.iter().take_while(|(_, other)| *other < value).last();
        let new = self.nodes.len() as u32;
        let link = match before {
            Some((place, _)) => &mut self.nodes[place as usize].1,
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
enum What {
    Insert(u32),
    Contains(u32),
    Size,
}

enum Request {
    Do(What, ActorRef<Answer>),
    /// Its length if it is in order.
    Check(Reply<Option<u64>>),
}

/// The size, or whether a value is there: 1 or 0.
struct Answer(u64);

impl Actor for List {
    type Message = Request;

    fn handle(&mut self, request: Request, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match request {
            Request::Check(reply) => {
                let values: Vec<_> = self.iter().map(|(_, value)| value).collect();
                let _ = reply.send(values.is_sorted().then_some(values.len() as u64));
                Ok(())
            }
            Request::Do(what, from) => {
                let answer = match what {
                    What::Size => self.nodes.len() as u64,
                    What::Contains(value) => self.contains(value).into(),
                    What::Insert(value) => {
                        self.insert(value);
                        1
                    }
                };
                Ok(from.tell(Answer(answer))?)
            }
        }
    }
}

struct Worker {
    list: ActorRef<Request>,
    gather: ActorRef<Part>,
    random: Random,
    left: u64,
    inserted: Vec<u32>,
    /// The request under way.
    what: What,
}

impl Worker {
    fn request(&mut self, from: ActorRef<Answer>) -> Result<(), ExitReason> {
        self.left -= 1;
        let chance = self.random.below(100);
        self.what = if chance < SIZES_PERCENT {
            What::Size
        } else if chance < SIZES_PERCENT + WRITES_PERCENT {
            let value = self.random.below(VALUES.into()) as u32;
            self.inserted.push(value);
            What::Insert(value)
        } else {
            What::Contains(self.random.below(VALUES.into()) as u32)
        };
        Ok(self.list.tell(Request::Do(self.what, from))?)
    }

    /// Whether an answer can be: what we have inserted is there, with what others have.
    fn is_possible(&self, answer: u64) -> bool {
        match self.what {
            What::Insert(_) => answer == 1,
            What::Size => answer >= self.inserted.len() as u64,
            What::Contains(value) => answer == 1 || !self.inserted.contains(&value),
        }
    }
}

impl Actor for Worker {
    type Message = Answer;

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        ctx.link(&self.gather);
        self.request(ctx.me())
    }

    fn handle(&mut self, Answer(answer): Answer, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        if !self.is_possible(answer) {
            return Err(ExitReason::failed("the list has lost what was inserted"));
        }
        if self.left > 0 {
            return self.request(ctx.me());
        }
        ctx.stop();
        Ok(self.gather.tell(Part::Number(self.inserted.len() as u64))?)
    }
}

fn run(size: Size) -> Result<String, String> {
    let (workers, requests) = size.pick((20, 8000), (5, 300));
    let list = Builder::new().mailbox(workers + 1).spawn(List { nodes: Vec::new(), first: NOWHERE });
    let gather = Gather::spawn(workers);
    for number in 0..workers {
        let (list, gather) = (list.clone(), gather.clone());
        let random = Random::new(number as u64);
        spawn(Worker { list, gather, random, left: requests, inserted: Vec::new(), what: What::Size });
    }
    let inserted = Gather::sum(&gather)?;
    expect("the length of the sorted list", ask(&list, Request::Check)?, Some(inserted))?;
    Ok(format!("{} requests, the list has {inserted} values in order", requests * workers as u64))
}
