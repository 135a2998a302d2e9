//! A sender may go to another thread only if its messages may.
#[cfg(not(fault))]
use std::sync::Arc as Shared;
#[cfg(fault)]
use std::rc::Rc as Shared;

fn main() {
    let (tx, rx) = kahn::channel::bounded(1);
    kahn::spawn(move || tx.send(Shared::new(1)).is_ok()); //~ E0277
    assert_eq!(*rx.recv().unwrap(), 1);
}
