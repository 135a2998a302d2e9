//! The guard of a `Mutex` must not be released on another OS thread, so a task must not hold it over an `.await`.
use kahn::sync::{Arc, Mutex};

fn main() {
    let lock = Arc::new(Mutex::new(1));
    let task = async move {
        let guard = lock.lock().unwrap();
        #[cfg(not(fault))]
        drop(guard);
        kahn::task::yield_now().await;
        #[cfg(fault)]
        drop(guard);
    };
    let _ = kahn::task::spawn(task).join(); //~ future cannot be sent between threads safely
}
