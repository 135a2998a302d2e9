//! Destructors of messages that panic: all messages are dropped, the first panic continues, and nothing aborts.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Wake, Waker};

use kahn_channels::{bounded, broadcast, oneshot, watch};

/// Panics when it is dropped, with its number, and counts itself before.
#[derive(Clone)]
struct Bomb(Arc<AtomicUsize>, usize);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
        panic_any(self.1);
    }
}

fn bombs(dropped: &Arc<AtomicUsize>) -> impl FnMut(usize) -> Arc<Bomb> {
    let dropped = dropped.clone();
    move |number| Arc::new(Bomb(dropped.clone(), number))
}

/// What `f` panics with.
fn panics(f: impl FnOnce()) -> usize {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("it panics");
    *payload.downcast().unwrap_or_else(|payload| resume_unwind(payload))
}

/// Runs `f` in a destructor, during an unwinding; it is to bring no panic of its own.
fn while_unwinding(f: impl FnOnce()) {
    struct Then<F: FnOnce()>(Option<F>);
    impl<F: FnOnce()> Drop for Then<F> {
        fn drop(&mut self) {
            self.0.take().unwrap()();
        }
    }
    let unwound = panics(|| {
        let _then = Then(Some(f));
        panic_any(usize::MAX);
    });
    assert_eq!(unwound, usize::MAX);
}

#[test]
fn channel_drops_all_messages_and_panics_once() {
    for unwinding in [false, true] {
        let dropped = Arc::new(AtomicUsize::new(0));
        let mut bomb = bombs(&dropped);
        let (tx, rx) = bounded(5);
        (0..5).for_each(|n| drop(tx.send(bomb(n))));
        if unwinding {
            while_unwinding(|| drop(rx));
        } else {
            assert_eq!(panics(|| drop(rx)), 0);
        }
        assert_eq!(dropped.load(SeqCst), 5);
        assert!(tx.is_closed());
    }
}

#[test]
fn broadcast_drops_all_messages_and_panics_once() {
    for unwinding in [false, true] {
        let dropped = Arc::new(AtomicUsize::new(0));
        let mut bomb = bombs(&dropped);
        let (tx, rx) = broadcast(5);
        (0..5).for_each(|n| drop(tx.send(bomb(n))));
        if unwinding {
            while_unwinding(|| drop(rx));
        } else {
            assert_eq!(panics(|| drop(rx)), 0);
        }
        assert_eq!(dropped.load(SeqCst), 5);
    }
}

/// Its clone panics, and so does the message itself, which it was the last to see.
#[test]
fn message_whose_clone_and_destructor_panic_does_not_abort() {
    struct Torn(Arc<AtomicUsize>);
    impl Clone for Torn {
        fn clone(&self) -> Torn {
            panic_any(1_usize);
        }
    }
    impl Drop for Torn {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
            panic_any(2_usize);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let (tx, rx) = broadcast(1);
    assert!(tx.send(Torn(dropped.clone())).is_ok());
    assert_eq!(panics(|| drop(rx.recv())), 1);
    assert_eq!(dropped.load(SeqCst), 1);
    drop((tx, rx));

    let (tx, rx) = broadcast(1);
    assert!(tx.send(Bomb(dropped.clone(), 3)).is_ok());
    assert_eq!(panics(|| drop(rx.recv())), 3, "the copy is dropped, too");
    assert_eq!(dropped.load(SeqCst), 3);
}

/// The panic of a waker is reported and ends there. The first panic of a message that is dropped propagates.
#[test]
fn wakers_and_messages_that_panic_do_not_abort() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic_any(7_usize);
        }
    }
    let waker = Waker::from(Arc::new(Panics));
    let mut context = Context::from_waker(&waker);
    let dropped = Arc::new(AtomicUsize::new(0));
    let mut bomb = bombs(&dropped);

    let (tx, rx) = watch(bomb(0));
    let others = [rx.clone(), rx.clone(), rx];
    let mut waiting: Vec<_> = others.iter().map(|rx| Box::pin(rx.changed_async())).collect();
    for future in &mut waiting {
        assert!(future.as_mut().poll(&mut context).is_pending());
    }
    assert_eq!(panics(|| drop(tx.send(bomb(1)))), 0);
    assert_eq!(dropped.load(SeqCst), 1, "the value that was replaced is gone");
    drop(waiting);
    drop(others);
    assert_eq!(panics(|| drop(tx)), 1);

    let (tx, rx) = bounded(2);
    let mut sending: Vec<_> = (2..5).map(|n| Box::pin(tx.send_async(bomb(n)))).collect();
    let polled: Vec<_> =
        sending.iter_mut().map(|future| future.as_mut().poll(&mut context).is_ready()).collect();
    assert_eq!(polled, [true, true, false]);
    assert_eq!(panics(|| drop(rx)), 2);
    assert_eq!(dropped.load(SeqCst), 4);
    assert_eq!(panics(|| drop(sending)), 4);

    let (tx, mut rx) = oneshot();
    assert!(Pin::new(&mut rx).poll(&mut context).is_pending());
    assert!(tx.send(bomb(5)).is_ok());
    while_unwinding(|| drop(rx));
    assert_eq!(dropped.load(SeqCst), 6);
}
