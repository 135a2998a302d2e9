//! Whoever joins a `spawn_local` gets its value, which need not be `Send`: so the handle stays, too.
#[cfg(not(fault))]
use std::sync::Arc as Shared;
#[cfg(fault)]
use std::rc::Rc as Shared;

#[kahn::main]
fn main() {
    let child = kahn::spawn_local(|| Shared::new(1));
    let _ = kahn::spawn(move || child.join().is_ok()).join(); //~ E0277
}
