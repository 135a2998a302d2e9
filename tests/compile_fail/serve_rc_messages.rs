//! A server may run on any worker, so its messages must be `Send`.
#[cfg(not(fault))]
use std::sync::Arc as Shared;
#[cfg(fault)]
use std::rc::Rc as Shared;

fn main() {
    let (_tx, rx) = kahn::channel::bounded::<Shared<i32>>(1);
    kahn::serve(rx, |_| ()); //~ E0277
}
