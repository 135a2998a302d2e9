//! Many readers and a few writers of a map that an actor owns. Measures an actor in place of a lock.
//!
//! No deadlock: a worker has one request in flight, and the dictionary has space for one from each worker. No tell
//! parks.

use std::collections::HashMap;

use kahn::actor::{Actor, ActorRef, Builder, Context, ExitReason, Reply, spawn};

use crate::bench::{Bench, Random, Size, ask, expect};
use crate::gather::{Gather, ToGather};

pub const BENCH: Bench =
    Bench { name: "concurrent-dictionary", about: "actors read and write a map that an actor owns", run };

const WRITES_PERCENT: u64 = 10;

struct Dictionary {
    /// At the start the value of each key is the key.
    map: HashMap<u64, u64>,
    reads: u64,
    writes: u64,
}

enum Request {
    Read { key: u64, from: ActorRef<Response> },
    Write { key: u64, value: u64, from: ActorRef<Response> },
    Counts(Reply<(u64, u64)>),
}

/// The value of the key, or its value before a write.
struct Response(Option<u64>);

impl Actor for Dictionary {
    type Message = Request;

    fn handle(&mut self, request: Request, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match request {
            Request::Read { key, from } => {
                self.reads += 1;
                from.tell(Response(self.map.get(&key).copied()))?;
            }
            Request::Write { key, value, from } => {
                self.writes += 1;
                from.tell(Response(self.map.insert(key, value)))?;
            }
            Request::Counts(reply) => drop(reply.send((self.reads, self.writes))),
        }
        Ok(())
    }
}

struct Worker {
    dictionary: ActorRef<Request>,
    gather: ActorRef<ToGather>,
    random: Random,
    left: u64,
    writes: u64,
    /// Keys are below this number.
    keys: u64,
    /// The key of the request in flight.
    key: u64,
}

impl Worker {
    fn request(&mut self, from: ActorRef<Response>) -> Result<(), ExitReason> {
        self.left -= 1;
        self.key = self.random.below(self.keys);
        let key = self.key;
        Ok(self.dictionary.tell(if self.random.chance(WRITES_PERCENT) {
            self.writes += 1;
            // A random value with `value % keys == key`, so that `handle` can check it.
            Request::Write { key, value: key + self.keys * self.random.below(1 << 40), from }
        } else {
            Request::Read { key, from }
        })?)
    }
}

impl Actor for Worker {
    type Message = Response;

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        ctx.link(&self.gather);
        self.request(ctx.me())
    }

    fn handle(&mut self, Response(value): Response, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        if value.map(|value| value % self.keys) != Some(self.key) {
            return Err(ExitReason::failed(format!("the key {} had the value {value:?}", self.key)));
        }
        if self.left > 0 {
            return self.request(ctx.me());
        }
        ctx.stop();
        Ok(self.gather.tell(ToGather::Number(self.writes))?)
    }
}

fn run(size: Size) -> Result<String, String> {
    let (workers, requests, keys) = size.pick((20, 10_000, 1 << 19), (5, 300, 1 << 8));
    let map = (0..keys).map(|key| (key, key)).collect();
    let dictionary = Builder::new().mailbox(workers + 1).spawn(Dictionary { map, reads: 0, writes: 0 });
    let gather = Gather::spawn(workers);
    for number in 0..workers {
        let (dictionary, gather) = (dictionary.clone(), gather.clone());
        let random = Random::new(number as u64);
        spawn(Worker { dictionary, gather, random, left: requests, writes: 0, keys, key: 0 });
    }
    let written = Gather::sum(&gather)?;
    let (reads, writes) = ask(&dictionary, Request::Counts)?;
    expect("writes", writes, written)?;
    expect("requests", reads + writes, requests * workers as u64)?;
    Ok(format!("{reads} reads and {writes} writes, each of the right key"))
}
