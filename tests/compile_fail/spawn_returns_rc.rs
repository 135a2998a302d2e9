//! What a green thread returns goes to whoever joins it.
#[cfg(not(fault))]
use std::sync::Arc as Shared;
#[cfg(fault)]
use std::rc::Rc as Shared;

fn main() {
    let _ = kahn::spawn(|| Shared::new(1)).join(); //~ E0277
}
