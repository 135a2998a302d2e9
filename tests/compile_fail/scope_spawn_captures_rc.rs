//! A scope's green thread may run on any worker.
#[cfg(not(fault))]
use std::sync::Arc as Shared;
#[cfg(fault)]
use std::rc::Rc as Shared;

fn main() {
    let shared = Shared::new(1);
    kahn::scope(|s| {
        s.spawn(|| *shared); //~ E0277
    });
}
