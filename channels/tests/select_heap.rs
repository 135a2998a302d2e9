//! 100,000 selects do not grow the heap (`select2` of Go's test suite). The test counts the allocations of the
//! process, so it has one of its own.
#![cfg(not(kahn_loom))]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

use kahn_channels::{bounded, select};
use support::{everywhere, times};

/// Bytes that are allocated now.
static HELD: AtomicIsize = AtomicIsize::new(0);

struct Counting;

// SAFETY: all is the system's; the count takes no part.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Relaxed (both): a figure.
        HELD.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: by the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: by the caller's contract.
        unsafe { System.dealloc(at, layout) };
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn selects_do_not_grow_the_heap() {
    everywhere(|world| {
        let (tx, rx) = bounded::<usize>(0);
        let (_idle, quiet) = bounded::<usize>(0);
        let rounds = times(100_000);
        let sender = world.spawn({
            let quiet = quiet.clone();
            move || {
                for n in 0..2 * rounds {
                    select! {
                        recv(quiet) -> _ => unreachable!(),
                        send(tx, n) -> res => res.unwrap(),
                    }
                }
            }
        });
        let receive = || {
            for _ in 0..rounds {
                select! {
                    recv(rx) -> msg => { msg.unwrap(); }
                    recv(quiet) -> _ => unreachable!(),
                }
            }
        };
        // The first half brings every buffer to its size.
        receive();
        let before = HELD.load(Ordering::Relaxed);
        receive();
        let grown = HELD.load(Ordering::Relaxed) - before;
        sender.join();
        assert!(grown < 64 * 1024, "{rounds} selects hold {grown} bytes more");
    });
}
