//! `run` borrows from its caller, and runs on another OS thread all the same.
#[cfg(not(fault))]
use std::sync::Arc as Shared;
#[cfg(fault)]
use std::rc::Rc as Shared;

fn main() {
    let shared = Shared::new(1);
    kahn::run(|| *shared); //~ E0277
}
