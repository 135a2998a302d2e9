//! The budget: a loop of operations that never wait lets others run, and can be cancelled and bounded; and what ends it
//! there has not happened by half. Each operation is done in a loop that never waits, so it can be ended by the budget
//! alone; then what it has done is counted from both sides.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use kahn::actor::{Actor, Context, ExitReason};
use kahn::channel::{bounded, broadcast, tick, watch};
use kahn::sync::{RwLock, Semaphore};
use kahn::thread::Scope;
use kahn::time::timeout;
use support::{runtime, until, within};

/// More than is done in any loop here.
const MANY: usize = 4000;

/// An operation that is done again and again.
struct Case {
    /// Does it, and answers how much of it was done.
    act: Box<dyn Fn() -> usize + Send>,
    /// How much has been done in all, as seen by others.
    done: Box<dyn Fn() -> usize + Send>,
}

impl Case {
    fn new(act: impl Fn() -> usize + Send + 'static, done: impl Fn() -> usize + Send + 'static) -> Case {
        Case { act: Box::new(act), done: Box::new(done) }
    }

    /// One that starts something, which counts itself and then lets go of what it was given.
    fn starting(start: impl Fn(Arc<AtomicUsize>) + Send + 'static) -> Case {
        let started = Arc::new(AtomicUsize::new(0));
        let starts = started.clone();
        Case::new(
            move || {
                start(starts.clone());
                1
            },
            move || {
                until("all have started, or are gone", || Arc::strong_count(&started) == 1);
                started.load(SeqCst)
            },
        )
    }
}

/// Parks so many on a channel without room, and waits until they are there.
fn waiting(count: usize, park: impl Fn() + Clone + Send + 'static) {
    let here = Arc::new(AtomicUsize::new(0));
    for _ in 0..count {
        let (park, here) = (park.clone(), here.clone());
        kahn::spawn_local(move || {
            here.fetch_add(1, SeqCst);
            park();
        });
    }
    until("all wait", || here.load(SeqCst) == count);
}

struct Counts(Option<Arc<AtomicUsize>>);

impl Actor for Counts {
    type Message = ();

    fn started(&mut self, _: &mut Context<Self>) -> Result<(), ExitReason> {
        self.0.take().expect("started once").fetch_add(1, SeqCst);
        Ok(())
    }

    fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

fn full() -> (kahn::channel::Sender<usize>, kahn::channel::Receiver<usize>) {
    let (tx, rx) = bounded(MANY);
    (0..MANY).for_each(|n| tx.try_send(n).unwrap());
    (tx, rx)
}

fn sending(send: impl Fn(&kahn::channel::Sender<usize>) + Send + 'static) -> Case {
    let (tx, rx) = bounded(MANY);
    let sender = tx.clone();
    Case::new(
        move || {
            send(&sender);
            1
        },
        move || {
            let done = rx.try_iter().count();
            // No place is kept for who gave up.
            assert_eq!((0..).take_while(|&n| tx.try_send(n).is_ok()).count(), MANY);
            done
        },
    )
}

fn receiving(receive: impl Fn(&kahn::channel::Receiver<usize>) -> usize + Send + 'static) -> Case {
    let (tx, rx) = full();
    let receiver = rx.clone();
    Case::new(
        move || receive(&receiver),
        move || {
            let left: Vec<_> = rx.try_iter().collect();
            assert!(left.is_sorted() && tx.is_empty());
            // No message is kept for who gave up.
            tx.try_send(0).unwrap();
            assert_eq!(rx.try_recv(), Ok(0));
            MANY - left.len()
        },
    )
}

/// With capacity 0, to receivers that wait.
fn meeting(send: impl Fn(&kahn::channel::Sender<usize>) + Send + 'static) -> Case {
    let (tx, rx) = bounded(0);
    let received = Arc::new(AtomicUsize::new(0));
    let receives = received.clone();
    waiting(MANY, move || {
        receives.fetch_add(rx.recv().map_or(0, |_| 1), SeqCst);
    });
    let closer = tx.clone();
    Case::new(
        move || {
            send(&tx);
            1
        },
        move || {
            // None is bound to a sender that has given up.
            closer.close();
            until("all receivers are gone", || Arc::strong_count(&received) == 1);
            received.load(SeqCst)
        },
    )
}

/// With capacity 0, from senders that wait.
fn met(receive: impl Fn(&kahn::channel::Receiver<usize>) -> usize + Send + 'static) -> Case {
    let (tx, rx) = bounded(0);
    let sent = Arc::new(AtomicUsize::new(0));
    let sends = sent.clone();
    waiting(MANY, move || {
        sends.fetch_add(tx.send(1).map_or(0, |()| 1), SeqCst);
    });
    let closer = rx.clone();
    Case::new(
        move || receive(&rx),
        move || {
            closer.close();
            until("all senders are gone", || Arc::strong_count(&sent) == 1);
            sent.load(SeqCst)
        },
    )
}

/// A name, and what makes the case.
type Named = (&'static str, fn() -> Case);

fn cases() -> Vec<Named> {
    vec![
        ("send", || sending(|tx| tx.send(1).unwrap())),
        ("try to send", || sending(|tx| tx.try_send(1).unwrap())),
        ("send for a time", || sending(|tx| tx.send_timeout(1, Duration::MAX).unwrap())),
        ("reserve and send", || sending(|tx| tx.reserve().unwrap().send(1).unwrap())),
        ("try to reserve, and send", || sending(|tx| tx.try_reserve().unwrap().send(1).unwrap())),
        ("select a send", || {
            sending(|tx| {
                kahn::select! { send(tx, 1) -> sent => sent.unwrap() }
            })
        }),
        ("select a send, or nothing", || {
            sending(|tx| {
                kahn::select! { send(tx, 1) -> sent => sent.unwrap(), default => unreachable!() }
            })
        }),
        ("receive", || receiving(|rx| rx.recv().map_or(0, |_| 1))),
        ("try to receive", || receiving(|rx| rx.try_recv().map_or(0, |_| 1))),
        ("receive for a time", || receiving(|rx| rx.recv_timeout(Duration::MAX).map_or(0, |_| 1))),
        ("receive many", || receiving(|rx| rx.recv_many(&mut Vec::new(), 3).unwrap())),
        ("select a receive", || {
            receiving(|rx| {
                kahn::select! { recv(rx) -> message => message.map_or(0, |_| 1) }
            })
        }),
        ("select one of two receives", || {
            let (other_tx, other) = bounded::<usize>(1);
            receiving(move |rx| {
                let _open = &other_tx;
                kahn::select! {
                    recv(rx) -> message => message.map_or(0, |_| 1),
                    recv(other) -> _ => unreachable!(),
                }
            })
        }),
        ("block on a receive", || receiving(|rx| kahn::block_on(rx.recv_async()).map_or(0, |_| 1))),
        ("a clock without a pause", || {
            let ticks = tick(Duration::ZERO);
            let taken = Arc::new(AtomicUsize::new(0));
            let takes = taken.clone();
            Case::new(
                move || {
                    takes.fetch_add(ticks.recv().map_or(0, |_| 1), SeqCst);
                    1
                },
                move || taken.load(SeqCst),
            )
        }),
        ("send to who waits", || meeting(|tx| tx.send(1).unwrap())),
        ("try to send to who waits", || meeting(|tx| tx.try_send(1).unwrap())),
        ("select a send to who waits", || {
            meeting(|tx| {
                kahn::select! { send(tx, 1) -> sent => sent.unwrap(), default => unreachable!() }
            })
        }),
        ("receive from who waits", || met(|rx| rx.recv().unwrap())),
        ("try to receive from who waits", || met(|rx| rx.try_recv().unwrap())),
        ("select a receive from who waits", || {
            met(|rx| {
                kahn::select! { recv(rx) -> message => message.unwrap(), default => unreachable!() }
            })
        }),
        ("broadcast", || {
            let (tx, rx) = broadcast(MANY);
            Case::new(move || tx.send(1).map_or(0, |()| 1), move || rx.len())
        }),
        ("try to broadcast", || {
            let (tx, rx) = broadcast(MANY);
            Case::new(move || tx.try_send(1).map_or(0, |()| 1), move || rx.len())
        }),
        ("receive what is broadcast", || broadcasted(|rx| rx.recv().map_or(0, |_| 1))),
        ("try to receive what is broadcast", || broadcasted(|rx| rx.try_recv().map_or(0, |_| 1))),
        ("watch", || {
            let (tx, rx) = watch(0);
            Case::new(move || tx.send(*tx.borrow() + 1).map_or(0, |()| 1), move || rx.get())
        }),
        ("modify what is watched", || {
            let (tx, rx) = watch(0);
            Case::new(move || tx.modify(|n| *n += 1).map_or(0, |()| 1), move || rx.get())
        }),
        ("read and write", || {
            let lock = Arc::new(RwLock::new(0));
            let writes = lock.clone();
            Case::new(
                move || {
                    *writes.write().unwrap() += 1;
                    1
                },
                move || *lock.read().unwrap(),
            )
        }),
        ("take a permit for good", || {
            let semaphore = Arc::new(Semaphore::new(MANY));
            let takes = semaphore.clone();
            Case::new(
                move || {
                    takes.acquire().forget();
                    1
                },
                move || MANY - semaphore.available_permits(),
            )
        }),
        ("spawn", || {
            Case::starting(|count| {
                kahn::spawn(move || count.fetch_add(1, SeqCst));
            })
        }),
        ("spawn here", || {
            Case::starting(|count| {
                kahn::spawn_local(move || count.fetch_add(1, SeqCst));
            })
        }),
        ("serve", || {
            Case::starting(|count| {
                let (tx, rx) = bounded::<Arc<AtomicUsize>>(1);
                tx.send(count).unwrap();
                kahn::serve(rx, |count| {
                    count.fetch_add(1, SeqCst);
                });
            })
        }),
        ("start an actor", || Case::starting(|count| drop(kahn::actor::spawn(Counts(Some(count)))))),
    ]
}

fn broadcasted(
    receive: impl Fn(&kahn::channel::broadcast::Receiver<usize>) -> usize + Send + 'static,
) -> Case {
    let (tx, rx) = broadcast(MANY);
    (0..MANY).for_each(|n| tx.try_send(n).unwrap());
    let rx = Arc::new(rx);
    let receiver = rx.clone();
    Case::new(
        move || {
            let _open = &tx;
            receive(&receiver)
        },
        move || MANY - rx.len(),
    )
}

fn each(test: impl Fn(Case) + Sync) {
    for (name, case) in cases() {
        within(name, || {
            runtime(1).run(|| {
                eprintln!("{name}");
                test(case());
            });
        });
    }
}

/// On one worker it runs until the budget has it yield, and there it is cancelled.
#[test]
fn what_a_cancel_ends_has_not_been_done() {
    each(|Case { act, done }| {
        let counted = Arc::new(AtomicUsize::new(0));
        let counts = counted.clone();
        let handle = kahn::spawn(move || {
            loop {
                counts.fetch_add(act(), SeqCst);
            }
        });
        until("the budget has been spent once", || counted.load(SeqCst) > 0);
        handle.cancel();
        assert!(handle.join().is_err_and(|error| error.is_cancelled()));
        assert_eq!(done(), counted.load(SeqCst), "seen by others, and by who did it");
    });
}

/// And it is ended at most once for each budget: the next is not spent already.
#[test]
fn what_a_time_out_ends_has_not_been_done() {
    each(|Case { act, done }| {
        let (mut counted, mut ended, mut just_ended) = (0, 0, false);
        for _ in 0..1000 {
            let acted = timeout(Duration::ZERO, &act);
            assert!(acted.is_ok() || !just_ended, "a new budget is there after each end");
            just_ended = acted.is_err();
            ended += usize::from(just_ended);
            counted += acted.unwrap_or(0);
        }
        assert!(ended > 0, "the loop yields");
        drop(act);
        assert_eq!(done(), counted, "seen by others, and by who did it");
    });
}

/// Who catches a time-out has let others run for it.
#[test]
fn a_loop_of_time_outs_lets_others_run() {
    within("the loop", || {
        runtime(1).run(|| {
            let (_tx, rx) = bounded::<u32>(1);
            let flag = Arc::new(AtomicBool::new(false));
            let sets = flag.clone();
            let other = kahn::spawn(move || sets.store(true, SeqCst));
            while !flag.load(SeqCst) {
                let _ = timeout(Duration::ZERO, || rx.try_recv());
            }
            other.join().unwrap();
        });
    });
}

/// A child that is spawned at the moment of a cancel is a child of the scope, which ends it, or has never been one.
#[test]
fn a_scope_ends_that_is_cancelled_in_a_spawn() {
    for (name, spawn) in [
        ("spawn", (|scope, park| drop(scope.spawn(park))) as for<'s> fn(&'s Scope<'s, '_>, fn())),
        ("spawn_local", |scope, park| drop(scope.spawn_local(park))),
    ] {
        within(name, || {
            runtime(1).run(|| {
                let spawned = Arc::new(AtomicUsize::new(0));
                let counts = spawned.clone();
                let parent = kahn::spawn(move || {
                    kahn::scope(|scope| {
                        loop {
                            spawn(scope, || kahn::sleep(Duration::MAX));
                            counts.fetch_add(1, SeqCst);
                        }
                    });
                });
                until("the budget has been spent once", || spawned.load(SeqCst) > 0);
                parent.cancel();
                assert!(parent.join().is_err_and(|error| error.is_cancelled()));
            });
        });
    }
}
