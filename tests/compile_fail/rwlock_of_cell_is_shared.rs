//! Several readers share the value, so it must be `Sync`. A mutex needs only `Send`.
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
