//! Any worker may start the green thread, so its captures must be `Send`.
#[cfg(not(fault))]
use std::sync::Arc as Shared;
#[cfg(fault)]
use std::rc::Rc as Shared;

fn main() {
    let shared = Shared::new(1);
    let _ = kahn::spawn(move || *shared).join(); //~ E0277
}
