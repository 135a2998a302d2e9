//! `run` borrows from its caller, and runs its closure on another OS thread.
#[cfg(not(fault))]
use std::sync::Arc as Shared;
#[cfg(fault)]
use std::rc::Rc as Shared;

fn main() {
    let shared = Shared::new(1);
    kahn::run(|| *shared); //~ E0277
}
