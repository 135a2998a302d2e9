//! Destructors of messages that panic: all messages are dropped, the first panic continues, and nothing aborts.
//! Clones and destructors that park: no cancel and no timeout interrupts what has had its effect.

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

/// Its clone, or its destructor, parks for longer than the `timeout` around it lasts.
#[cfg(fibers)]
mod parking {
    use std::cell::Cell;
    use std::time::Duration;

    use kahn_channels::{TryRecvError, broadcast, watch};
    use kahn_core::time::timeout;

    thread_local! {
        /// How often a park was not interrupted.
        static PARKS: Cell<usize> = const { Cell::new(0) };
    }

    fn park() {
        kahn_core::sleep(Duration::from_millis(3));
        PARKS.set(PARKS.get() + 1);
    }

    fn within<T>(f: impl FnOnce() -> T) -> Option<T> {
        timeout(Duration::from_millis(1), f).ok()
    }

    struct SlowClone(u32);
    impl Clone for SlowClone {
        fn clone(&self) -> SlowClone {
            park();
            SlowClone(self.0)
        }
    }

    /// Only the stored message is slow, not the clones of it.
    struct SlowDrop(u32, bool);
    impl Clone for SlowDrop {
        fn clone(&self) -> SlowDrop {
            SlowDrop(self.0, false)
        }
    }
    impl Drop for SlowDrop {
        fn drop(&mut self) {
            if self.1 {
                park();
            }
        }
    }

    fn number<T, E>(result: Result<T, E>, number: impl FnOnce(T) -> u32) -> u32 {
        number(result.unwrap_or_else(|_| panic!("there is a message")))
    }

    #[test]
    fn broadcast_receive_whose_clone_parks_is_not_interrupted() {
        let (tx, rx) = broadcast(4);
        let _other = tx.subscribe();
        (1..=4).for_each(|n| assert!(tx.send(SlowClone(n)).is_ok()));
        assert_eq!(within(|| number(rx.recv(), |m| m.0)), Some(1));
        assert_eq!(within(|| number(rx.try_recv(), |m| m.0)), Some(2));
        assert_eq!(within(|| rx.iter().next().map(|m| m.0)), Some(Some(3)));
        assert_eq!(within(|| number(kahn_core::block_on(rx.recv_async()), |m| m.0)), Some(4));
        assert!(matches!(rx.try_recv(), Err(TryRecvError::Empty)));
        assert_eq!(PARKS.get(), 4);
    }

    #[test]
    fn broadcast_receive_whose_message_parks_when_dropped_is_not_interrupted() {
        let (tx, rx) = broadcast(4);
        (1..=2).for_each(|n| assert!(tx.send(SlowDrop(n, true)).is_ok()));
        assert_eq!(within(|| number(rx.recv(), |m| m.0)), Some(1));
        assert_eq!(within(|| number(rx.try_recv(), |m| m.0)), Some(2));
        assert_eq!(PARKS.get(), 2);
    }

    #[test]
    fn watch_get_whose_clone_parks_is_not_interrupted() {
        let (tx, rx) = watch(SlowClone(0));
        assert!(tx.send(SlowClone(1)).is_ok());
        assert_eq!(within(|| rx.get().0), Some(1));
        assert!(!rx.has_changed());
        assert_eq!(PARKS.get(), 1);
    }

    #[test]
    fn watch_send_whose_old_value_parks_when_dropped_is_not_interrupted() {
        let (tx, rx) = watch(SlowDrop(0, true));
        assert_eq!(within(|| tx.send(SlowDrop(1, true)).is_ok()), Some(true));
        assert_eq!(within(|| tx.modify(|value| *value = SlowDrop(2, false)).is_ok()), Some(true));
        assert_eq!((rx.get().0, PARKS.get()), (2, 2));
    }

    /// A cancel waits for the clone, and takes effect at the next park.
    #[test]
    fn cancelled_broadcast_receive_has_its_message() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

        /// Clones itself when it has been told to.
        struct Told(kahn_channels::Sender<()>, kahn_channels::Receiver<()>);
        impl Clone for Told {
            fn clone(&self) -> Told {
                self.0.send(()).expect("the test waits for it");
                self.1.recv().expect("the test tells it");
                Told(self.0.clone(), self.1.clone())
            }
        }
        kahn_core::run(|| {
            let (in_clone_tx, in_clone) = kahn_channels::bounded(1);
            let (go, go_rx) = kahn_channels::bounded(1);
            let (tx, rx) = broadcast(1);
            let _other = tx.subscribe();
            assert!(tx.send(Told(in_clone_tx, go_rx)).is_ok());
            let reached = Arc::new(AtomicU32::new(0));
            let count = reached.clone();
            let receiver = kahn_core::spawn(move || {
                drop(rx.recv());
                count.fetch_add(1, SeqCst);
                kahn_core::yield_now();
                count.fetch_add(1, SeqCst);
            });
            in_clone.recv().expect("it has begun to clone");
            receiver.cancel();
            go.send(()).expect("the clone waits");
            assert!(receiver.join().is_err());
            assert_eq!(reached.load(SeqCst), 1, "it had its message, and was then cancelled");
        });
    }
}
