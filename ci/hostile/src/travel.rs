//! Parks of all kinds, which move a green thread between workers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kahn::channel::bounded;

/// How often `hop` was called.
pub static PARKS: AtomicU64 = AtomicU64::new(0);
/// How often the caller ran on another kernel thread afterwards.
pub static MOVES: AtomicU64 = AtomicU64::new(0);

/// A generator of random numbers (xorshift).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        random.next();
        random
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 3
    }
}

/// Returns the kernel's number of the thread that runs the caller.
#[inline(never)]
pub fn kernel_thread() -> i32 {
    // SAFETY: the call has no preconditions.
    unsafe { libc::gettid() }
}

/// Parks in a way that depends on `n`. May return on another kernel thread.
pub fn hop(n: u64) {
    let before = kernel_thread();
    match n % 16 {
        0..8 => kahn::yield_now(),
        8..11 => kahn::sleep(Duration::from_micros(n % 97)),
        11..14 => {
            let (to, from) = bounded(usize::try_from(n % 2).unwrap());
            kahn::scope(|s| {
                s.spawn(move || to.send(n).unwrap());
                assert_eq!(from.recv().unwrap(), n);
            });
        }
        14 => assert_eq!(kahn::blocking(|| n), n),
        _ => {
            let _ = kahn::time::timeout(Duration::from_micros(n % 50), || kahn::sleep(Duration::MAX));
        }
    }
    PARKS.fetch_add(1, Ordering::Relaxed);
    if kernel_thread() != before {
        MOVES.fetch_add(1, Ordering::Relaxed);
    }
}

/// Parks several times.
pub fn hops(n: u64) {
    (0..1 + n % 4).for_each(|i| hop(n / 7 + i));
}
