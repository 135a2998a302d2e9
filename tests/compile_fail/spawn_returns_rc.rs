//! The value of a green thread goes to the thread that joins it, so it must be `Send`.
#[cfg(not(fault))]
use std::sync::Arc as Shared;
#[cfg(fault)]
use std::rc::Rc as Shared;

fn main() {
    let _ = kahn::spawn(|| Shared::new(1)).join(); //~ E0277
}
