//! A guard is `Sync` only if the value is.
#[cfg(fault)]
use std::cell::Cell as Number;
#[cfg(not(fault))]
use std::sync::atomic::AtomicU32 as Number;
fn main() {
    let lock = kahn::sync::Mutex::new(Number::new(1));
    let guard = lock.lock().unwrap();
    kahn::scope(|s| {
        s.spawn(|| _ = &*guard); //~ E0277
    });
}
