//! `blocking` runs its closure on an OS thread of the pool.
#[cfg(not(fault))]
use std::sync::Arc as Shared;
#[cfg(fault)]
use std::rc::Rc as Shared;

fn main() {
    let shared = Shared::new(1);
    kahn::blocking(|| *shared); //~ E0277
}
