//! A reply goes from one thread to another, so it must be `Send`.
#[cfg(not(fault))]
use std::sync::Arc as Shared;
#[cfg(fault)]
use std::rc::Rc as Shared;

use kahn::actor::{ActorRef, Reply};

fn ask(actor: &ActorRef<Box<dyn FnOnce() + Send>>) {
    let _ = actor.ask(|reply: Reply<Shared<u32>>| { //~ E0277
        Box::new(move || drop(reply.send(Shared::new(1)))) as Box<dyn FnOnce() + Send> //~ E0277
    });
}

fn main() {
    let _ = ask;
}
