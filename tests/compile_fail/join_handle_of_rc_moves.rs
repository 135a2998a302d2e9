//! The value of a `spawn_local` need not be `Send`. A join returns it, so the handle is not `Send` either.
#[cfg(not(fault))]
use std::sync::Arc as Shared;
#[cfg(fault)]
use std::rc::Rc as Shared;

#[kahn::main]
fn main() {
    let child = kahn::spawn_local(|| Shared::new(1));
    let _ = kahn::spawn(move || child.join().is_ok()).join(); //~ E0277
}
