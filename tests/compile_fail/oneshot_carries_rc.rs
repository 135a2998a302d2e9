//! As for `bounded`.
#[cfg(not(fault))]
use std::sync::Arc as Shared;
#[cfg(fault)]
use std::rc::Rc as Shared;

fn main() {
    let (tx, _rx) = kahn::channel::oneshot::<Shared<i32>>();
    kahn::spawn(move || tx.send(Shared::new(1)).is_ok()); //~ E0277
}
