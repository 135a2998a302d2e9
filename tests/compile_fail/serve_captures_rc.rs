//! A server may run on any worker, so its closure must be `Send`.
#[cfg(not(fault))]
use std::sync::Arc as Shared;
#[cfg(fault)]
use std::rc::Rc as Shared;

fn main() {
    let (_tx, rx) = kahn::channel::bounded::<i32>(1);
    let shared = Shared::new(1);
    kahn::serve(rx, move |n| assert_eq!(n, *shared)); //~ E0277
}
