//! Models of the locks: every order of the steps of two or three threads.
//!
//! `RUSTFLAGS="--cfg kahn_loom" cargo test -p kahn-core --release --test sync_loom`
#![cfg(kahn_loom)]

use kahn_core::sync::Mutex;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

/// A value whose every use the model checks to be ordered after the last.
struct Checked(UnsafeCell<usize>);

// SAFETY: the model fails when two threads use it at once.
unsafe impl Sync for Checked {}
// SAFETY: as above.
unsafe impl Send for Checked {}

impl Checked {
    fn new() -> Checked {
        Checked(UnsafeCell::new(0))
    }

    fn add(&self) -> usize {
        self.0.with_mut(|value| {
            // SAFETY: as above.
            unsafe {
                *value += 1;
                *value
            }
        })
    }

    fn get(&self) -> usize {
        // SAFETY: as above.
        self.0.with(|value| unsafe { *value })
    }
}

fn model(preemptions: usize, f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(f);
}

#[test]
fn mutex_two_threads_thrice() {
    model(4, || {
        let lock = Arc::new(Mutex::new(Checked::new()));
        let other = {
            let lock = lock.clone();
            thread::spawn(move || {
                for _ in 0..3 {
                    lock.lock().unwrap().add();
                }
            })
        };
        for _ in 0..3 {
            lock.lock().unwrap().add();
        }
        other.join().unwrap();
        assert_eq!(lock.lock().unwrap().get(), 6);
    });
}

#[test]
fn mutex_three_threads() {
    model(3, || {
        let lock = Arc::new(Mutex::new(Checked::new()));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let lock = lock.clone();
                thread::spawn(move || {
                    lock.lock().unwrap().add();
                })
            })
            .collect();
        lock.lock().unwrap().add();
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(lock.lock().unwrap().get(), 3);
    });
}

#[test]
fn mutex_try_lock() {
    model(3, || {
        let lock = Arc::new(Mutex::new(Checked::new()));
        let other = {
            let lock = lock.clone();
            thread::spawn(move || lock.try_lock().map(|value| value.add()).is_ok())
        };
        lock.lock().unwrap().add();
        let tried = other.join().unwrap();
        assert_eq!(lock.lock().unwrap().get(), 1 + usize::from(tried));
    });
}
