//! A lock is given back by who has taken it: its guard does not go to another thread.
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
