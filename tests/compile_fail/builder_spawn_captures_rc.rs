//! As for `spawn`.
#[cfg(not(fault))]
use std::sync::Arc as Shared;
#[cfg(fault)]
use std::rc::Rc as Shared;

fn main() {
    let shared = Shared::new(1);
    let _ = kahn::thread::Builder::new().spawn(move || *shared); //~ E0277
}
