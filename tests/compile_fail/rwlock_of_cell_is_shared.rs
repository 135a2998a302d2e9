//! Many read at once, so what they read must be fit for that. One at a time is enough of a mutex.
use std::cell::Cell;
#[cfg(not(fault))]
use kahn::sync::Mutex as Lock;
#[cfg(fault)]
use kahn::sync::RwLock as Lock;
fn main() {
    let lock = Lock::new(Cell::new(1));
    kahn::scope(|s| {
        s.spawn(|| assert!(!lock.is_poisoned())); //~ E0277
    });
}
