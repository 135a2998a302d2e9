//! The thread that took a lock has to release it, so the guard is not `Send`.
fn main() {
    let lock = kahn::sync::Mutex::new(1);
    kahn::scope(|s| {
        #[cfg(fault)]
        let value = lock.lock().unwrap();
        #[cfg(not(fault))]
        let value = Box::new(*lock.lock().unwrap());
        s.spawn(move || assert_eq!(*value, 1)); //~ E0277
    });
}
