//! A receiver may go to another thread only if its messages may. This includes OS threads.
#[cfg(not(fault))]
use std::sync::Arc as Shared;
#[cfg(fault)]
use std::rc::Rc as Shared;

fn main() {
    let (tx, rx) = kahn::channel::bounded(1);
    tx.send(Shared::new(1)).unwrap();
    std::thread::spawn(move || rx.recv().is_ok()); //~ E0277
}
