//! Results that no thread takes: the green thread drops its own value, or the payload of its panic, while it is
//! alive. So that destructor may do what any other destructor may do.

mod support;

use std::cell::Cell;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use kahn::actor::{self, Actor, Context, ExitReason};
use kahn::channel::{Sender, bounded};
use kahn::thread::JoinHandle;

use support::{rounds, with_each_size};

kahn::thread::local! {
    static MARK: Cell<u32> = Cell::new(0);
}

/// Does something that parks when it is dropped, and then says so, once.
#[derive(Debug)]
struct Parks {
    how: fn(),
    dropped: Sender<Option<kahn::thread::ThreadId>>,
}

impl Drop for Parks {
    fn drop(&mut self) {
        let me = kahn::thread::current().id();
        (self.how)();
        let same = kahn::thread::current().id() == me;
        self.dropped.send(same.then_some(me)).unwrap();
    }
}

const WAYS: [fn(); 6] = [
    || kahn::sleep(Duration::from_micros(10)),
    kahn::yield_now,
    || kahn::spawn(kahn::yield_now).join().unwrap(),
    || kahn::channel::after(Duration::from_micros(10)).recv().map(drop).unwrap(),
    || kahn::scope(|s| drop(s.spawn(kahn::yield_now))),
    || kahn::blocking(|| ()),
];

/// Lets many green threads end, unjoined, whose closures are `end`, and which leave what that is given.
fn unjoined<T: Send + 'static>(end: fn(Parks) -> T) {
    with_each_size(|| {
        let count = rounds(300);
        let runs = Arc::new(AtomicUsize::new(0));
        let (dropped, drops) = bounded(8);
        let ran = runs.clone();
        // Not here: a thread that drops a handle after the end drops the value, and its destructor reports that.
        let spawner = kahn::spawn(move || {
            for i in 0..count {
                let (runs, dropped) = (ran.clone(), dropped.clone());
                kahn::spawn(move || {
                    runs.fetch_add(1, SeqCst);
                    end(Parks { how: WAYS[i % WAYS.len()], dropped })
                });
            }
        });
        assert_eq!(drops.iter().inspect(|same| assert!(same.is_some(), "dropped by another")).count(), count);
        spawner.join().unwrap();
        assert_eq!(runs.load(SeqCst), count);
    });
}

#[test]
fn unjoined_values_are_dropped_by_their_green_thread() {
    unjoined(|parks| parks);
}

#[test]
fn unjoined_panic_payloads_are_dropped_by_their_green_thread() {
    unjoined::<()>(|parks| resume_unwind(Box::new(parks)));
}

/// The last error of an actor is dropped with the actor, if no reference to it is left, and on a green thread.
#[test]
fn unjoined_errors_are_dropped_where_parks_are_possible() {
    #[derive(Debug)]
    struct Fails(#[expect(dead_code, reason = "for its drop")] Parks);
    impl std::fmt::Display for Fails {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("fails")
        }
    }
    impl std::error::Error for Fails {}
    struct Failing;
    impl Actor for Failing {
        type Message = Parks;

        fn handle(&mut self, parks: Parks, _: &mut Context<Self>) -> Result<(), ExitReason> {
            Err(Fails(parks))?
        }
    }
    with_each_size(|| {
        let (dropped, drops) = bounded(8);
        for i in 0..rounds(300) {
            let actor = actor::spawn(Failing);
            actor.tell(Parks { how: WAYS[i % WAYS.len()], dropped: dropped.clone() }).unwrap();
        }
        drop(dropped);
        assert_eq!(
            drops.iter().inspect(|same| assert!(same.is_some(), "dropped by two")).count(),
            rounds(300)
        );
    });
}

/// The handle is dropped while the green thread ends. Either drops the value once, on a thread that may park.
#[test]
fn handle_drop_races_with_the_end() {
    with_each_size(|| {
        let (dropped, drops) = bounded(8);
        let sender = kahn::spawn(move || {
            for i in 0..rounds(1_000) {
                let dropped = dropped.clone();
                let handle = kahn::spawn(move || Parks { how: WAYS[i % 3], dropped });
                if i % 2 == 0 {
                    kahn::yield_now();
                }
                drop(handle);
            }
        });
        assert_eq!(drops.iter().count(), rounds(1_000));
        sender.join().unwrap();
    });
}

/// A value that owns a handle, and joins when it is dropped: nothing exotic.
#[test]
fn destructors_may_join() {
    struct Joined(Option<JoinHandle<()>>);
    impl Drop for Joined {
        fn drop(&mut self) {
            self.0.take().unwrap().join().unwrap();
        }
    }
    with_each_size(|| {
        let runs = AtomicUsize::new(0);
        kahn::scope(|s| {
            for _ in 0..100 {
                s.spawn(|| {
                    runs.fetch_add(1, SeqCst);
                    Joined(Some(kahn::spawn(kahn::yield_now)))
                });
            }
        });
        assert_eq!(runs.load(SeqCst), 100);
    });
}

/// What such a destructor leaves in thread-locals is not the next green thread's.
#[test]
fn locals_set_in_destructors_are_dropped_with_their_green_thread() {
    struct Marks(Sender<u32>);
    impl Drop for Marks {
        fn drop(&mut self) {
            MARK.with(|mark| mark.set(mark.get() + 1));
            self.0.send(MARK.with(Cell::get)).unwrap();
        }
    }
    with_each_size(|| {
        let (marks, marked) = bounded(8);
        let (gate, opened) = bounded::<()>(1);
        for _ in 0..100 {
            let (marks, opened) = (marks.clone(), opened.clone());
            // The handle goes first, so that the value is the green thread's to drop.
            drop(kahn::spawn(move || {
                opened.recv().unwrap_err();
                Marks(marks)
            }));
        }
        drop((marks, gate));
        assert!(marked.iter().all(|mark| mark == 1), "a value of another green thread's");
        assert_eq!(kahn::spawn(|| MARK.with(Cell::get)).join().unwrap(), 0);
    });
}

/// A server whose handler fails, and whose closure fails again when it is dropped: the first failure is its outcome,
/// and the second one's payload is dropped where it may park and panic.
#[test]
fn second_failure_of_a_server_is_dropped_where_parks_are_possible() {
    struct Payload(bool);
    impl Drop for Payload {
        fn drop(&mut self) {
            kahn::yield_now();
            if self.0 {
                resume_unwind(Box::new("a payload that fails in turn"));
            }
        }
    }
    struct Owned(bool);
    impl Drop for Owned {
        fn drop(&mut self) {
            resume_unwind(Box::new(Payload(self.0)));
        }
    }
    with_each_size(|| {
        for (fails, cancels) in [(false, false), (true, false), (false, true), (true, true)] {
            let (messages, received) = bounded::<()>(1);
            let owned = Owned(fails);
            let server = kahn::serve(received, move |()| {
                let _owned = &owned;
                resume_unwind(Box::new("the handler fails"));
            });
            if cancels {
                server.cancel()
            } else {
                messages.send(()).unwrap()
            }
            let error = server.join().unwrap_err();
            assert_eq!(error.is_cancelled(), cancels);
        }
    });
}
