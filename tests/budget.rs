//! The budget. A loop of operations that never wait lets others run, and can be cancelled and bounded by a
//! time-out. An operation that such an unwind ends has not happened in part.
//!
//! Method: each operation runs in a loop that never waits, so only the budget can end it. Then both sides count
//! what it has done.

#[path = "support/parks.rs"]
mod parks;
#[path = "support/io_operations.rs"]
mod io_operations;
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use kahn::actor::registry::Registry;
use kahn::actor::testing::{Inbox, Probe, Stepped, reply};
use kahn::actor::{
    Actor, ActorRef, Builder, Context, ExitReason, Group, Lag, Limiter, Mailbox, Overflow, PubSub, Strategy,
    Supervisor, dead_letters,
};
use kahn::channel::{after, bounded, broadcast, oneshot, tick, watch};
use kahn::sync::{Barrier, Condvar, LazyLock, Mutex, Once, OnceLock, RwLock, Semaphore, WaitGroup};
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
            // No room stays reserved for the thread that gave up.
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
            // No message stays reserved for the thread that gave up.
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
    let mut all = other_cases();
    all.extend(io_operations::cases());
    all
}

fn other_cases() -> Vec<Named> {
    vec![
        ("send", || sending(|tx| tx.send(1).unwrap())),
        ("try to send", || sending(|tx| tx.try_send(1).unwrap())),
        ("send for a time", || sending(|tx| tx.send_timeout(1, Duration::MAX).unwrap())),
        ("reserve and send", || sending(|tx| tx.reserve().unwrap().send(1).unwrap())),
        ("try to reserve, and send", || sending(|tx| tx.try_reserve().unwrap().send(1).unwrap())),
        ("select a send", || {
            sending(|tx| {
                kahn::channel::select! { send(tx, 1) -> sent => sent.unwrap() }
            })
        }),
        ("select a send, or nothing", || {
            sending(|tx| {
                kahn::channel::select! { send(tx, 1) -> sent => sent.unwrap(), default => unreachable!() }
            })
        }),
        ("receive", || receiving(|rx| rx.recv().map_or(0, |_| 1))),
        ("try to receive", || receiving(|rx| rx.try_recv().map_or(0, |_| 1))),
        ("receive for a time", || receiving(|rx| rx.recv_timeout(Duration::MAX).map_or(0, |_| 1))),
        ("receive many", || receiving(|rx| rx.recv_many(&mut Vec::new(), 3).unwrap())),
        ("select a receive", || {
            receiving(|rx| {
                kahn::channel::select! { recv(rx) -> message => message.map_or(0, |_| 1) }
            })
        }),
        ("select one of two receives", || {
            let (other_tx, other) = bounded::<usize>(1);
            receiving(move |rx| {
                let _open = &other_tx;
                kahn::channel::select! {
                    recv(rx) -> message => message.map_or(0, |_| 1),
                    recv(other) -> _ => unreachable!(),
                }
            })
        }),
        ("select a future", || {
            receiving(|rx| {
                kahn::channel::select! { wait(rx.recv_async()) -> message => message.map_or(0, |_| 1) }
            })
        }),
        ("select a future, or nothing", || {
            receiving(|rx| {
                kahn::channel::select! {
                    wait(rx.recv_async()) -> message => message.map_or(0, |_| 1),
                    default => unreachable!(),
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
                kahn::channel::select! { send(tx, 1) -> sent => sent.unwrap(), default => unreachable!() }
            })
        }),
        ("receive from who waits", || met(|rx| rx.recv().unwrap())),
        ("try to receive from who waits", || met(|rx| rx.try_recv().unwrap())),
        ("select a receive from who waits", || {
            met(|rx| {
                kahn::channel::select! { recv(rx) -> message => message.unwrap(), default => unreachable!() }
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
        ("spawn a task", || {
            Case::starting(|count| {
                drop(kahn::task::spawn(async move { count.fetch_add(1, SeqCst) }));
            })
        }),
        ("spawn a task here", || {
            Case::starting(|count| {
                drop(kahn::task::spawn_local(async move { count.fetch_add(1, SeqCst) }));
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
fn operation_ended_by_a_cancel_has_not_happened() {
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
fn operation_ended_by_a_time_out_has_not_happened() {
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

/// A thread that catches a time-out has let others run before.
#[test]
fn loop_of_time_outs_lets_others_run() {
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
fn scope_cancelled_in_a_spawn_ends() {
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

/// An operation as the body of a loop.
type Act = Box<dyn FnMut() + Send>;

/// An operation's name, and what makes it.
type Operation = (&'static str, fn() -> Act);

/// Every public operation that may not park, done in a loop in which it does not.
fn operations() -> Vec<Operation> {
    let mut all = Vec::new();
    all.extend(channel_operations());
    all.extend(other_channel_operations());
    all.extend(lock_operations());
    all.extend(thread_operations());
    all.extend(actor_operations());
    all.extend(registry_operations());
    all.extend(io_operations::operations());
    all
}

fn act(f: impl FnMut() + Send + 'static) -> Act {
    Box::new(f)
}

type Ends = (kahn::channel::Sender<usize>, kahn::channel::Receiver<usize>);

/// With room for one, and no message.
fn on_empty(mut f: impl FnMut(&Ends) + Send + 'static) -> Act {
    let ends = bounded(1);
    act(move || f(&ends))
}

fn on_full(mut f: impl FnMut(&Ends) + Send + 'static) -> Act {
    let ends = bounded(1);
    ends.0.try_send(1).unwrap();
    act(move || f(&ends))
}

fn on_closed(mut f: impl FnMut(&Ends) + Send + 'static) -> Act {
    let ends = bounded(1);
    ends.0.close();
    act(move || f(&ends))
}

fn channel_operations() -> Vec<Operation> {
    vec![
        ("send and receive", || {
            on_empty(|(tx, rx)| {
                tx.send(1).unwrap();
                rx.recv().unwrap();
            })
        }),
        ("try to send and receive", || {
            on_empty(|(tx, rx)| {
                tx.try_send(1).unwrap();
                rx.try_recv().unwrap();
            })
        }),
        ("send and receive for a time", || {
            on_empty(|(tx, rx)| {
                tx.send_timeout(1, Duration::MAX).unwrap();
                rx.recv_timeout(Duration::MAX).unwrap();
            })
        }),
        ("send and receive until a moment", || {
            on_empty(|(tx, rx)| {
                tx.send_deadline(1, Instant::now()).unwrap();
                rx.recv_deadline(Instant::now()).unwrap();
            })
        }),
        ("a new channel, send and receive", || {
            act(|| {
                let (tx, rx) = bounded(1);
                tx.send(1).unwrap();
                rx.recv().unwrap();
            })
        }),
        ("try to send without room", || on_full(|(tx, _)| assert!(tx.try_send(1).is_err()))),
        ("try to send without a receiver that waits", || {
            let (tx, _rx) = bounded::<usize>(0);
            act(move || {
                let _open = &_rx;
                assert!(tx.try_send(1).is_err());
            })
        }),
        ("try to receive nothing", || on_empty(|(_, rx)| assert!(rx.try_recv().is_err()))),
        ("iterate over nothing", || on_empty(|(_, rx)| assert_eq!(rx.try_iter().next(), None))),
        ("receive none", || on_full(|(_, rx)| assert_eq!(rx.recv_many(&mut Vec::new(), 0), Ok(0)))),
        ("reserve and give up", || on_empty(|(tx, _)| drop(tx.reserve().unwrap()))),
        ("try to reserve and give up", || on_empty(|(tx, _)| drop(tx.try_reserve().unwrap()))),
        ("try to reserve without room", || on_full(|(tx, _)| assert!(tx.try_reserve().is_err()))),
        ("send, closed", || on_closed(|(tx, _)| assert!(tx.send(1).is_err()))),
        ("try to send, closed", || on_closed(|(tx, _)| assert!(tx.try_send(1).is_err()))),
        ("send for a time, closed", || {
            on_closed(|(tx, _)| assert!(tx.send_timeout(1, Duration::MAX).is_err()))
        }),
        ("reserve, closed", || on_closed(|(tx, _)| assert!(tx.reserve().is_err()))),
        ("try to reserve, closed", || on_closed(|(tx, _)| assert!(tx.try_reserve().is_err()))),
        ("receive, closed", || on_closed(|(_, rx)| assert!(rx.recv().is_err()))),
        ("try to receive, closed", || on_closed(|(_, rx)| assert!(rx.try_recv().is_err()))),
        ("receive for a time, closed", || {
            on_closed(|(_, rx)| assert!(rx.recv_timeout(Duration::MAX).is_err()))
        }),
        ("receive until a moment, closed", || {
            on_closed(|(_, rx)| assert!(rx.recv_deadline(Instant::now()).is_err()))
        }),
        ("receive many, closed", || on_closed(|(_, rx)| assert!(rx.recv_many(&mut Vec::new(), 3).is_err()))),
        ("iterate, closed", || on_closed(|(_, rx)| assert_eq!(rx.iter().next(), None))),
        ("select a send and a receive", || {
            on_empty(|(tx, rx)| {
                kahn::channel::select! { send(tx, 1) -> sent => sent.unwrap() }
                kahn::channel::select! { recv(rx) -> message => assert_eq!(message, Ok(1)) }
            })
        }),
        ("select nothing", || {
            on_empty(|(_, rx)| kahn::channel::select! { recv(rx) -> _ => unreachable!(), default => {} })
        }),
        ("select what is closed", || {
            on_closed(|(_, rx)| kahn::channel::select! { recv(rx) -> message => assert!(message.is_err()) })
        }),
        ("select at run time", || {
            on_full(|(tx, rx)| {
                let mut select = kahn::channel::Select::new();
                select.recv(rx);
                select.select().recv(rx).unwrap();
                let mut select = kahn::channel::Select::new_biased();
                select.send(tx);
                select.try_select().unwrap().send(tx, 1).unwrap();
            })
        }),
        ("see what is ready", || {
            on_full(|(_, rx)| {
                let mut select = kahn::channel::Select::new();
                select.recv(rx);
                assert_eq!(select.ready(), 0);
            })
        }),
        ("try to see what is ready", || {
            on_empty(|(_, rx)| {
                let mut select = kahn::channel::Select::new();
                select.recv(rx);
                assert!(select.try_ready().is_err());
            })
        }),
        ("select a moment that has come", || {
            act(|| kahn::channel::select! { recv(after(Duration::ZERO)) -> _ => {} })
        }),
        ("select a moment that will come", || {
            let later = after(Duration::MAX);
            act(move || kahn::channel::select! { recv(later) -> _ => {}, default => {} })
        }),
        ("select never", || {
            act(|| kahn::channel::select! { recv(kahn::channel::never::<u32>()) -> _ => {}, default => {} })
        }),
        ("a moment that has come", || act(|| _ = after(Duration::ZERO).recv())),
        ("try a moment that will come", || {
            let later = after(Duration::MAX);
            act(move || assert!(later.try_recv().is_err()))
        }),
        ("a clock without a pause", || {
            let ticks = tick(Duration::ZERO);
            act(move || _ = ticks.recv())
        }),
        ("try never", || act(|| assert!(kahn::channel::never::<u32>().try_recv().is_err()))),
        ("never, for no time", || {
            act(|| assert!(kahn::channel::never::<u32>().recv_timeout(Duration::ZERO).is_err()))
        }),
        ("receive for no time", || on_empty(|(_, rx)| assert!(rx.recv_timeout(Duration::ZERO).is_err()))),
        ("send for no time", || on_full(|(tx, _)| assert!(tx.send_timeout(1, Duration::ZERO).is_err()))),
    ]
}

fn other_channel_operations() -> Vec<Operation> {
    vec![
        ("send and receive once", || {
            act(|| {
                let (tx, rx) = oneshot();
                tx.send(1).unwrap();
                rx.recv().unwrap();
            })
        }),
        ("send and try to receive once", || {
            act(|| {
                let (tx, rx) = oneshot();
                tx.send(1).unwrap();
                rx.try_recv().unwrap();
            })
        }),
        ("send once", || act(|| _ = oneshot().0.send(1))),
        ("receive once, without a sender", || {
            let (_, rx) = oneshot::<u32>();
            act(move || assert!(rx.recv().is_err()))
        }),
        ("receive once for a time, without a sender", || {
            let (_, rx) = oneshot::<u32>();
            act(move || assert!(rx.recv_timeout(Duration::MAX).is_err()))
        }),
        ("try to receive once", || {
            let (tx, rx) = oneshot::<u32>();
            act(move || {
                let _open = &tx;
                assert!(rx.try_recv().is_err());
            })
        }),
        ("wait for a receiver to be gone", || {
            let (tx, _) = oneshot::<u32>();
            act(move || tx.closed())
        }),
        ("broadcast", || {
            let (tx, rx) = broadcast(1);
            act(move || {
                tx.send(1).unwrap();
                rx.recv().unwrap();
            })
        }),
        ("broadcast to nobody", || {
            let (tx, _) = broadcast(1);
            act(move || assert!(tx.send(1).is_err()))
        }),
        ("try to broadcast without room", || {
            let (tx, rx) = broadcast(1);
            tx.send(1).unwrap();
            act(move || {
                let _open = &rx;
                assert!(tx.try_send(1).is_err());
            })
        }),
        ("receive a broadcast, closed", || {
            let (_, rx) = broadcast::<u32>(1);
            act(move || assert!(rx.recv().is_err()))
        }),
        ("try to receive a broadcast", || {
            let (tx, rx) = broadcast::<u32>(1);
            act(move || {
                let _open = &tx;
                assert!(rx.try_recv().is_err());
            })
        }),
        ("change and see the change", || {
            let (tx, rx) = watch(0);
            act(move || {
                tx.send(1).unwrap();
                rx.changed().unwrap();
            })
        }),
        ("modify", || {
            let (tx, _rx) = watch(0);
            act(move || {
                let _open = &_rx;
                tx.modify(|n| *n += 1).unwrap();
            })
        }),
        ("look at a value", || {
            let (tx, rx) = watch(0);
            act(move || assert_eq!(*rx.borrow() + *tx.borrow() + rx.get(), 0))
        }),
        ("watch a value, closed", || {
            let (_, rx) = watch(0);
            act(move || assert!(rx.changed().is_err()))
        }),
        ("watch a value for a time, closed", || {
            let (_, rx) = watch(0);
            act(move || assert!(rx.changed_timeout(Duration::MAX).is_err()))
        }),
    ]
}

fn lock_operations() -> Vec<Operation> {
    vec![
        ("lock", || {
            let lock = Mutex::new(0);
            act(move || *lock.lock().unwrap() += 1)
        }),
        ("try to lock", || {
            let lock = Mutex::new(0);
            act(move || *lock.try_lock().unwrap() += 1)
        }),
        ("lock a new mutex", || act(|| drop(Mutex::new(0).lock()))),
        ("try to lock a new mutex", || act(|| drop(Mutex::new(0).try_lock()))),
        ("call a new Once", || act(|| Once::new().call_once(|| ()))),
        ("force a call of a new Once", || act(|| Once::new().call_once_force(|_| ()))),
        ("wait for a Once that is done", || {
            let once = Once::new();
            once.call_once(|| ());
            act(move || once.wait())
        }),
        ("initialize a new OnceLock", || act(|| assert_eq!(*OnceLock::new().get_or_init(|| 1), 1))),
        ("set a new OnceLock", || act(|| assert!(OnceLock::new().set(1).is_ok()))),
        ("set a OnceLock that has a value", || {
            let cell = OnceLock::from(1);
            act(move || assert!(cell.set(2).is_err()))
        }),
        ("wait for a OnceLock that has a value", || {
            let cell = OnceLock::from(1);
            act(move || assert_eq!(*cell.wait(), 1))
        }),
        ("force a new LazyLock", || act(|| assert_eq!(*LazyLock::force(&LazyLock::new(|| 1)), 1))),
        ("try to lock what is locked", || {
            let lock = Arc::new(Mutex::new(0));
            let held = lock.clone();
            kahn::spawn_local(move || {
                let _held = held.lock().unwrap();
                kahn::sleep(Duration::MAX);
            });
            until("it is locked", || lock.try_lock().is_err());
            act(move || assert!(lock.try_lock().is_err()))
        }),
        ("read", || {
            let lock = RwLock::new(0);
            act(move || assert_eq!(*lock.read().unwrap() + *lock.try_read().unwrap(), 0))
        }),
        ("write", || {
            let lock = RwLock::new(0);
            act(move || *lock.write().unwrap() += 1)
        }),
        ("try to read", || {
            let lock = RwLock::new(0);
            act(move || assert_eq!(*lock.try_read().unwrap(), 0))
        }),
        ("try to write", || {
            let lock = RwLock::new(0);
            act(move || *lock.try_write().unwrap() += 1)
        }),
        ("take permits", || {
            let permits = Semaphore::new(3);
            act(move || drop((permits.acquire(), permits.acquire_many(2))))
        }),
        ("try to take permits", || {
            let permits = Semaphore::new(1);
            act(move || assert!(permits.try_acquire().is_some() && permits.try_acquire_many(2).is_none()))
        }),
        ("take permits for a time", || {
            let permits = Semaphore::new(1);
            act(move || assert!(permits.acquire_timeout(Duration::MAX).is_some()))
        }),
        ("take permits for no time", || {
            let permits = Semaphore::new(0);
            act(move || assert!(permits.acquire_timeout(Duration::ZERO).is_none()))
        }),
        ("add permits", || {
            let permits = Semaphore::new(0);
            act(move || permits.add_permits(1))
        }),
        ("notify one", || {
            let condition = Condvar::new();
            act(move || condition.notify_one())
        }),
        ("notify all", || {
            let condition = Condvar::new();
            act(move || condition.notify_all())
        }),
        ("wait for a condition, for no time", || {
            let (lock, condition) = (Mutex::new(0), Condvar::new());
            act(move || drop(condition.wait_timeout(lock.lock().unwrap(), Duration::ZERO)))
        }),
        ("meet nobody", || {
            let barrier = Barrier::new(1);
            act(move || assert!(barrier.wait().is_leader()))
        }),
        ("wait for a group of none", || act(|| WaitGroup::new().wait())),
    ]
}

fn thread_operations() -> Vec<Operation> {
    vec![
        ("spawn and join", || act(|| kahn::spawn(|| ()).join().unwrap())),
        ("spawn and join a task", || act(|| kahn::task::spawn(async {}).join().unwrap())),
        ("spawn with a stack that is too large", || act(|| assert!(too_large().spawn(|| ()).is_err()))),
        ("spawn a task with a stack that is too large", || {
            let builder = || kahn::task::Builder::new().stack_size(usize::MAX);
            act(move || assert!(builder().spawn(async {}).is_err()))
        }),
        ("spawn a task here with a stack that is too large", || {
            let builder = || kahn::task::Builder::new().stack_size(usize::MAX);
            act(move || assert!(builder().spawn_local(async {}).is_err()))
        }),
        ("spawn what may migrate with a stack that is too large", || {
            // SAFETY: nothing is spawned.
            act(|| assert!(unsafe { too_large().spawn_migratory(|| ()) }.is_err()))
        }),
        ("spawn in another runtime", || {
            let other = runtime(1);
            act(move || drop(other.spawn(|| ())))
        }),
        ("join what has finished", || {
            let mut finished: Vec<_> = (0..FAIR).map(|_| kahn::spawn_local(|| ())).collect();
            until("all have finished", || finished.iter().all(|thread| thread.is_finished()));
            act(move || finished.pop().expect("the other has run by now").join().unwrap())
        }),
        ("a scope of none", || act(|| kahn::scope(|_| ()))),
        ("park with a token", || {
            act(|| {
                kahn::thread::current().unpark();
                kahn::thread::park();
            })
        }),
        ("park for no time", || act(|| kahn::thread::park_timeout(Duration::ZERO))),
        ("yield", || act(kahn::yield_now)),
        ("sleep for no time", || act(|| kahn::sleep(Duration::ZERO))),
        ("sleep until a moment that has been", || act(|| kahn::thread::sleep_until(Instant::now()))),
        ("a bound on nothing", || act(|| timeout(Duration::MAX, || ()).unwrap())),
        ("a bound of no time on nothing", || act(|| _ = timeout(Duration::ZERO, || ()))),
        ("beats without a pause", || {
            let mut beats = kahn::time::interval(Duration::from_nanos(1));
            act(move || _ = beats.tick())
        }),
        ("block on what is ready", || act(|| kahn::block_on(async {}))),
        ("call what blocks", || act(|| kahn::blocking(|| ()))),
    ]
}

fn too_large() -> kahn::thread::Builder {
    kahn::thread::Builder::new().stack_size(usize::MAX)
}

/// An actor that ignores its messages.
struct Deaf;

impl Actor for Deaf {
    type Message = ();

    fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

fn ended() -> ActorRef<()> {
    let actor = kahn::actor::spawn(Deaf);
    actor.kill();
    actor.join();
    actor
}

fn actor_operations() -> Vec<Operation> {
    vec![
        ("tell, ended", || {
            let actor = ended();
            act(move || assert!(actor.tell(()).is_err()))
        }),
        ("join, ended", || {
            let actor = ended();
            act(move || drop(actor.join()))
        }),
        ("join an address, ended", || {
            let actor = ended().address();
            act(move || drop(actor.join()))
        }),
        ("join a supervisor, ended", || {
            let supervisor = Supervisor::new(Strategy::OneForOne).spawn();
            supervisor.stop();
            act(move || drop(supervisor.join()))
        }),
        ("stop a supervisor, ended", || {
            let supervisor = Supervisor::new(Strategy::OneForOne).spawn();
            supervisor.stop();
            act(move || supervisor.stop())
        }),
        ("ask a supervisor for its children, ended", || {
            let supervisor = Supervisor::new(Strategy::OneForOne).spawn();
            supervisor.stop();
            act(move || drop(supervisor.children()))
        }),
        ("take tokens", || {
            let limiter = Limiter::new(u32::MAX, Duration::from_secs(1));
            act(move || limiter.acquire(1))
        }),
        ("try to take tokens", || {
            let limiter = Limiter::new(u32::MAX, Duration::from_secs(1));
            act(move || assert!(limiter.try_acquire(1)))
        }),
        ("try to take tokens of none", || {
            let limiter = Limiter::new(1, Duration::MAX);
            limiter.acquire(1);
            act(move || assert!(!limiter.try_acquire(1)))
        }),
        ("take tokens for a time", || {
            let limiter = Limiter::new(1, Duration::MAX);
            limiter.acquire(1);
            act(move || assert!(limiter.acquire_timeout(1, Duration::from_secs(1)).is_err()))
        }),
        ("watch dead letters", || act(|| drop(dead_letters::watch(1)))),
        ("start a stepped actor", || act(|| drop(Stepped::start(Deaf)))),
        ("step", || {
            let mut stepped = Stepped::start(Deaf);
            act(move || _ = stepped.step())
        }),
        ("run steps", || {
            let mut stepped = Stepped::start(Deaf);
            act(move || _ = stepped.run())
        }),
        ("deliver a step", || {
            let mut stepped = Stepped::start(Deaf);
            act(move || _ = stepped.deliver(()))
        }),
        ("advance steps", || {
            let mut stepped = Stepped::start(Deaf);
            act(move || _ = stepped.advance(Duration::from_secs(1)))
        }),
        ("monitor for a stepped actor", || {
            let (mut stepped, other) = (Stepped::start(Deaf), ended());
            act(move || stepped.monitor(&other))
        }),
        ("monitor for a probe", || {
            let (mut probe, other) = (Probe::<()>::new(), ended());
            act(move || probe.watch(&other))
        }),
        ("take from an inbox", || {
            let mut inbox = Inbox::<()>::new();
            act(move || assert!(inbox.take().is_none()))
        }),
        ("take all from an inbox", || {
            let mut inbox = Inbox::<()>::new();
            act(move || assert!(inbox.take_all().is_empty()))
        }),
        ("take an answer", || {
            let (reply, mut answer) = reply::<u32>();
            act(move || {
                let _open = &reply;
                assert!(answer.take().is_none());
            })
        }),
    ]
}

/// An operation of an actor on itself, for actors of both kinds.
struct OnItself {
    name: &'static str,
    by_context: fn(&mut Context<Stepper>, &ActorRef<()>),
    by_mailbox: fn(&mut Mailbox<()>, &ActorRef<()>),
}

macro_rules! on_itself {
    ($($name:literal: |$me:ident, $other:ident| $act:expr;)*) => {
        &[$(OnItself {
            name: $name,
            by_context: |$me, $other| $act,
            by_mailbox: |$me, $other| $act,
        }),*]
    };
}

const ON_ITSELF: &[OnItself] = on_itself! {
    "monitor and demonitor": |me, other| {
        let monitor = me.monitor(other);
        me.demonitor(monitor);
    };
    "link and unlink": |me, other| {
        me.link(other);
        me.unlink(other);
    };
    "trap exits": |me, _other| me.trap_exits(true);
    "set and cancel a timer": |me, _other| {
        let timer = me.send_after(Duration::MAX, ());
        assert!(me.cancel_timer(timer));
    };
    "set and cancel a periodic timer": |me, _other| {
        let timer = me.send_every(Duration::MAX, ());
        assert!(me.cancel_timer(timer));
    };
    "set and cancel a timer that makes messages": |me, _other| {
        let timer = me.send_every_with(Duration::MAX, || ());
        assert!(me.cancel_timer(timer));
    };
    "set an idle timeout": |me, _other| me.set_idle_timeout(Duration::MAX, ());
    "set and clear an idle timeout": |me, _other| {
        me.set_idle_timeout(Duration::MAX, ());
        me.clear_idle_timeout();
    };
    "try to stash": |me, _other| _ = me.try_stash(());
    "stash and unstash": |me, _other| {
        me.stash(());
        me.unstash_all();
    };
    "unstash nothing": |me, _other| me.unstash_all();
    "spawn a linked actor": |me, _other| drop(me.spawn_linked(Deaf));
};

type Steps = Box<dyn FnOnce(&mut Context<Stepper>) + Send>;

/// Runs its steps at the first message.
struct Stepper(Option<Steps>);

impl Actor for Stepper {
    type Message = ();

    fn handle(&mut self, (): (), ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        if let Some(steps) = self.0.take() {
            steps(ctx);
        }
        Ok(())
    }
}

/// Does `act` again and again until another green thread of the worker has run. Returns whether it has.
fn another_runs(mut act: impl FnMut()) -> bool {
    let flag = Arc::new(AtomicBool::new(false));
    let sets = flag.clone();
    let _other = kahn::spawn_local(move || sets.store(true, SeqCst));
    (0..FAIR).take_while(|_| !flag.load(SeqCst)).inspect(|_| act()).count() < FAIR
}

#[test]
fn loop_of_any_operation_of_an_actor_on_itself_lets_others_run() {
    let mut starving = Vec::new();
    for OnItself { name, by_context, by_mailbox } in ON_ITSELF {
        within(name, || {
            runtime(1).run(|| {
                let other = kahn::actor::spawn(Deaf);
                let (tx, runs) = bounded(2);
                let (sends, peer) = (tx.clone(), other.clone());
                let steps = move |ctx: &mut Context<Stepper>| {
                    sends.send(another_runs(|| by_context(ctx, &peer))).unwrap();
                };
                kahn::actor::spawn(Stepper(Some(Box::new(steps)))).tell(()).unwrap();
                if !runs.recv().unwrap() {
                    starving.push((name, "Context"));
                }
                Builder::new().spawn_loop(move |mailbox: &mut Mailbox<()>| {
                    tx.send(another_runs(|| by_mailbox(mailbox, &other))).unwrap();
                    Ok(())
                });
                if !runs.recv().unwrap() {
                    starving.push((name, "Mailbox"));
                }
            });
        });
    }
    assert!(starving.is_empty(), "no other runs beside a loop of: {starving:?}");
}

/// An operation of a loop on itself, and the number of those that have happened.
type Countable =
    (&'static str, fn(&mut Mailbox<()>, &ActorRef<()>), fn(&mut Mailbox<()>, &ActorRef<()>) -> usize);

const COUNTABLE: &[Countable] = &[
    (
        "stash",
        |mailbox, _| mailbox.stash(()),
        |mailbox, _| {
            mailbox.unstash_all();
            std::iter::from_fn(|| mailbox.try_recv().ok()).count()
        },
    ),
    (
        "send_after",
        |mailbox, _| _ = mailbox.send_after(Duration::ZERO, ()),
        |mailbox, _| std::iter::from_fn(|| mailbox.try_recv().ok()).count(),
    ),
    (
        "monitor",
        |mailbox, other| _ = mailbox.monitor(other),
        |mailbox, other| {
            other.kill();
            other.join();
            std::iter::from_fn(|| mailbox.next_mail_timeout(Duration::ZERO).ok()).count()
        },
    ),
];

#[test]
fn operation_of_an_actor_on_itself_ended_by_a_time_out_has_not_happened() {
    for (name, act, done) in COUNTABLE {
        within(name, || {
            runtime(1).run(|| {
                let actor = Builder::new().mailbox(MANY).spawn_loop(move |mailbox: &mut Mailbox<()>| {
                    let other = kahn::actor::spawn(Deaf);
                    let acted =
                        (0..2000).filter(|_| timeout(Duration::ZERO, || act(mailbox, &other)).is_ok());
                    let acted = acted.count();
                    assert!(acted < 2000, "{name}: the loop yields");
                    assert_eq!(done(mailbox, &other), acted, "{name}");
                    Ok(())
                });
                let reason = actor.join();
                assert!(reason.is_normal(), "{reason}");
            });
        });
    }
}

fn registry_operations() -> Vec<Operation> {
    vec![
        ("look up a name that is not there", || {
            let registry = Registry::new();
            act(move || assert!(registry.whereis::<()>("nobody").is_err()))
        }),
        ("look up an address that is not there", || {
            let registry = Registry::new();
            act(move || assert!(registry.address("nobody").is_none()))
        }),
        ("list names", || {
            let registry = Registry::new();
            act(move || assert!(registry.names().is_empty()))
        }),
        ("register and unregister", || {
            let (registry, inbox) = (Registry::new(), Inbox::<()>::new());
            act(move || {
                registry.register("somebody", inbox.actor_ref()).unwrap();
                assert!(registry.unregister("somebody"));
            })
        }),
        ("register, ended", || {
            let (registry, actor) = (Registry::new(), ended());
            act(move || assert!(registry.register("somebody", &actor).is_err()))
        }),
        ("join and leave a group", || {
            let (group, inbox) = (Group::new(), Inbox::<()>::new());
            act(move || {
                assert!(group.join(&inbox.actor_ref()));
                assert!(group.leave(&inbox.actor_ref()));
            })
        }),
        ("list the members of a group", || {
            let group = Group::<()>::new();
            act(move || assert!(group.members().is_empty()))
        }),
        ("tell a group of none", || {
            let group = Group::new();
            act(move || assert_eq!(group.broadcast(()).told, 0))
        }),
        ("try to tell a group of none", || {
            let group = Group::new();
            act(move || assert_eq!(group.try_broadcast(()).told, 0))
        }),
        ("publish to nobody", || {
            let bus = PubSub::new();
            act(move || assert_eq!(bus.publish("topic", ()).told, 0))
        }),
        ("list topics", || {
            let bus = PubSub::<()>::new();
            act(move || assert!(bus.topics().is_empty()))
        }),
        ("subscribe and unsubscribe", || {
            let (bus, inbox) = (PubSub::<()>::new(), Inbox::<()>::new());
            act(move || {
                assert!(bus.subscribe("topic", &inbox.actor_ref(), Lag::Lose));
                assert!(bus.unsubscribe("topic", &inbox.actor_ref()));
            })
        }),
    ]
}

/// Operations in a future, one after the other without a pause, in a single `block_on`.
type Round = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

type Rounds = Box<dyn FnMut() -> Round + Send>;

type NamedRounds = (&'static str, fn() -> Rounds);

fn rounds(f: impl FnMut() -> Round + Send + 'static) -> Rounds {
    Box::new(f)
}

fn rounds_of_futures() -> Vec<NamedRounds> {
    let mut all = other_rounds_of_futures();
    all.extend(io_operations::rounds_of_futures());
    all
}

fn other_rounds_of_futures() -> Vec<NamedRounds> {
    vec![
        ("send and receive", || {
            let (tx, rx) = bounded(1);
            rounds(move || {
                let (tx, rx) = (tx.clone(), rx.clone());
                Box::pin(async move {
                    tx.send_async(1).await.unwrap();
                    assert_eq!(rx.recv_async().await, Ok(1));
                })
            })
        }),
        ("send, closed", || {
            let (tx, _) = bounded(1);
            rounds(move || {
                let tx = tx.clone();
                Box::pin(async move { assert!(tx.send_async(1).await.is_err()) })
            })
        }),
        ("receive, closed", || {
            let (_, rx) = bounded::<u32>(1);
            rounds(move || {
                let rx = rx.clone();
                Box::pin(async move { assert!(rx.recv_async().await.is_err()) })
            })
        }),
        ("a moment that has come", || {
            rounds(|| Box::pin(async { assert!(after(Duration::ZERO).recv_async().await.is_ok()) }))
        }),
        ("send and receive once", || {
            rounds(|| {
                Box::pin(async {
                    let (tx, rx) = oneshot();
                    tx.send(1).unwrap();
                    assert_eq!(rx.await, Ok(1));
                })
            })
        }),
        ("receive once, without a sender", || {
            rounds(|| {
                let (_, rx) = oneshot::<u32>();
                Box::pin(async move { assert!(rx.await.is_err()) })
            })
        }),
        ("receive what is broadcast, closed", || {
            let (_, rx) = broadcast::<u32>(1);
            rounds(move || {
                let rx = rx.clone();
                Box::pin(async move { assert!(rx.recv_async().await.is_err()) })
            })
        }),
        ("watch, closed", || {
            let (_, rx) = watch(0);
            rounds(move || {
                let rx = rx.clone();
                Box::pin(async move { assert!(rx.changed_async().await.is_err()) })
            })
        }),
        ("tell, dropping the oldest", || {
            let actor = Builder::new().mailbox(1).overflow(Overflow::DropOldest).spawn(Deaf);
            rounds(move || {
                let actor = actor.clone();
                Box::pin(async move { actor.tell_async(()).await.unwrap() })
            })
        }),
        ("tell, ended", || {
            let actor = ended();
            rounds(move || {
                let actor = actor.clone();
                Box::pin(async move { assert!(actor.tell_async(()).await.is_err()) })
            })
        }),
        ("await what has finished", || {
            let mut finished: Vec<_> = (0..FAIR).map(|_| kahn::task::spawn_local(async {})).collect();
            until("all have finished", || finished.iter().all(|task| task.is_finished()));
            rounds(move || {
                let task = finished.pop().expect("the other has run by now");
                Box::pin(async move { task.await.unwrap() })
            })
        }),
        ("yield", || rounds(|| Box::pin(kahn::task::yield_now()))),
        ("take and give back a permit", || {
            let semaphore = Arc::new(Semaphore::new(1));
            rounds(move || {
                let semaphore = semaphore.clone();
                Box::pin(async move { drop(semaphore.acquire_async().await) })
            })
        }),
        ("take and give back an owned permit", || {
            let semaphore = Arc::new(Semaphore::new(1));
            rounds(move || {
                let semaphore = semaphore.clone();
                Box::pin(async move { drop(semaphore.acquire_owned_async().await) })
            })
        }),
        ("wait for a group of one", || rounds(|| Box::pin(async { WaitGroup::new().wait_async().await }))),
        ("sleep for no time", || rounds(|| Box::pin(kahn::time::sleep_async(Duration::ZERO)))),
        ("sleep until a moment that has been", || {
            rounds(|| Box::pin(kahn::time::sleep_until_async(Instant::now())))
        }),
        ("a bound of no time", || {
            rounds(|| {
                Box::pin(async {
                    let pending = std::future::pending::<()>();
                    assert!(kahn::time::timeout_async(Duration::ZERO, pending).await.is_err());
                })
            })
        }),
        ("beats without a pause", || {
            rounds(|| {
                Box::pin(async { _ = kahn::time::interval(Duration::from_nanos(1)).tick_async().await })
            })
        }),
        ("a future that wakes itself", || {
            rounds(|| {
                let mut woken = false;
                Box::pin(std::future::poll_fn(move |context| {
                    if std::mem::replace(&mut woken, true) {
                        return std::task::Poll::Ready(());
                    }
                    context.waker().wake_by_ref();
                    std::task::Poll::Pending
                }))
            })
        }),
    ]
}

/// More operations than may be done before others run.
const FAIR: usize = 20_000;

/// On one worker, `act` is done again and again until another green thread has run. Returns whether it has.
fn lets_others_run(name: &'static str, make: fn() -> Act) -> bool {
    within(name, || {
        runtime(1).run(|| {
            let mut act = make();
            let flag = Arc::new(AtomicBool::new(false));
            let sets = flag.clone();
            let other = kahn::spawn_local(move || sets.store(true, SeqCst));
            let done = (0..FAIR).take_while(|_| !flag.load(SeqCst)).inspect(|_| act()).count();
            other.join().unwrap();
            done < FAIR
        })
    })
}

#[test]
fn loop_of_any_operation_lets_others_run() {
    let mut starving = operations();
    starving.retain(|&(name, make)| !lets_others_run(name, make));
    let names: Vec<_> = starving.iter().map(|(name, _)| name).collect();
    assert!(names.is_empty(), "no other runs beside a loop of: {names:?}");
}

#[test]
fn loop_of_refused_spawns_in_a_scope_lets_others_run() {
    within("the loop", || {
        runtime(1).run(|| {
            let flag = Arc::new(AtomicBool::new(false));
            let sets = flag.clone();
            let other = kahn::spawn_local(move || sets.store(true, SeqCst));
            kahn::scope(|scope| {
                let refused = || assert!(scope.spawn_with(too_large(), || ()).is_err());
                (0..FAIR).take_while(|_| !flag.load(SeqCst)).for_each(|_| refused());
            });
            assert!(flag.load(SeqCst), "no other has run");
            other.join().unwrap();
        });
    });
}

/// Has `act` unwind at each call, by a cancel or by a time-out, and catches the unwinds until another green thread has
/// run. Returns whether it has.
fn caught_lets_others_run(name: &str, act: impl FnMut() + Send + 'static, cancelled: bool) -> bool {
    /// A panic of `act` itself would be printed at each call.
    fn catching(act: &mut impl FnMut()) {
        let _ = catch_unwind(AssertUnwindSafe(act));
    }
    let looping = |mut act: Box<dyn FnMut() + Send>| {
        let flag = Arc::new(AtomicBool::new(false));
        let sets = flag.clone();
        let other = kahn::spawn_local(move || sets.store(true, SeqCst));
        let done = (0..FAIR).take_while(|_| !flag.load(SeqCst)).inspect(|_| catching(&mut act)).count();
        drop(other);
        done < FAIR
    };
    let mut act: Box<dyn FnMut() + Send> = Box::new(act);
    if !cancelled {
        let mut fair = false;
        let _ = timeout(Duration::ZERO, || {
            catching(&mut || kahn::sleep(Duration::MAX));
            fair = looping(act);
        });
        return fair;
    }
    let fair = Arc::new(AtomicBool::new(false));
    let sets = fair.clone();
    let handle = kahn::spawn_local(move || {
        catching(&mut || kahn::sleep(Duration::MAX));
        sets.store(looping(std::mem::replace(&mut act, Box::new(|| ()))), SeqCst);
    });
    kahn::yield_now();
    handle.cancel();
    let ended = handle.join();
    assert!(ended.is_ok(), "{name}: {ended:?}");
    fair.load(SeqCst)
}

fn check_caught(cancelled: bool) {
    let mut starving = Vec::new();
    let mut check = |name: &'static str, make: &(dyn Fn() -> Act + Sync)| {
        within(name, || {
            let fair = runtime(1).run(|| caught_lets_others_run(name, make(), cancelled));
            starving.extend((!fair).then_some(name));
        });
    };
    for (name, make) in operations() {
        check(name, &make);
    }
    for (name, park) in parks::parks() {
        check(name, &|| act(park));
    }
    assert!(starving.is_empty(), "no other runs beside a loop of: {starving:?}");
}

#[test]
fn loop_of_any_operation_that_catches_its_cancel_lets_others_run() {
    check_caught(true);
}

#[test]
fn loop_of_any_operation_that_catches_its_time_out_lets_others_run() {
    check_caught(false);
}

#[test]
fn loop_of_spawns_through_the_callers_own_runtime_lets_others_run() {
    within("the loop", || {
        let own = runtime(1);
        own.run(|| {
            let flag = Arc::new(AtomicBool::new(false));
            let sets = flag.clone();
            let other = kahn::spawn_local(move || sets.store(true, SeqCst));
            let alive = Arc::new(());
            let mut most = 0;
            for _ in 0..FAIR {
                let lives = alive.clone();
                own.spawn(move || drop(lives));
                most = most.max(Arc::strong_count(&alive));
            }
            assert!(flag.load(SeqCst), "no other has run");
            assert!(
                most < FAIR / 2,
                "the new ones start while others are spawned, but {most} were alive at once"
            );
            other.join().unwrap();
        });
    });
}

#[test]
fn loop_of_any_lock_operation_in_a_destructor_during_an_unwind_lets_others_run() {
    struct Loop {
        name: &'static str,
        act: Act,
        flag: Arc<AtomicBool>,
    }
    impl Drop for Loop {
        fn drop(&mut self) {
            // A panic here would abort, so the test looks at the flag afterwards.
            let done = (0..FAIR).take_while(|_| !self.flag.load(SeqCst)).inspect(|_| (self.act)()).count();
            if done == FAIR {
                eprintln!("{}: no other has run", self.name);
            }
        }
    }
    for (name, make) in lock_operations() {
        within(name, || {
            runtime(1).run(|| {
                let act = make();
                let flag = Arc::new(AtomicBool::new(false));
                let seen = Arc::new(AtomicBool::new(false));
                let (sets, sees, stays) = (flag.clone(), seen.clone(), flag.clone());
                let unwinds = kahn::spawn_local(move || {
                    let _sees = Sees(stays, sees);
                    let _loop = Loop { name, act, flag };
                    std::panic::resume_unwind(Box::new(()));
                });
                let other = kahn::spawn_local(move || {
                    kahn::yield_now();
                    sets.store(true, SeqCst);
                });
                assert!(unwinds.join().is_err());
                assert!(seen.load(SeqCst), "{name}: no other has run");
                other.join().unwrap();
            });
        });
    }
    /// Stores whether the flag was set when the loop was over.
    struct Sees(Arc<AtomicBool>, Arc<AtomicBool>);
    impl Drop for Sees {
        fn drop(&mut self) {
            self.1.store(self.0.load(SeqCst), SeqCst);
        }
    }
}

#[test]
fn loop_of_any_operation_in_a_future_lets_others_run() {
    for (name, make) in rounds_of_futures() {
        within(name, || {
            runtime(1).run(|| {
                let mut round = make();
                let flag = Arc::new(AtomicBool::new(false));
                let sets = flag.clone();
                let other = kahn::spawn_local(move || sets.store(true, SeqCst));
                kahn::block_on(async {
                    for _ in 0..FAIR {
                        round().await;
                        if flag.load(SeqCst) {
                            return;
                        }
                    }
                    panic!("{name}: no other has run");
                });
                other.join().unwrap();
            });
        });
    }
}

#[test]
fn loop_of_any_operation_in_a_task_lets_others_run() {
    for (name, make) in rounds_of_futures() {
        within(name, || {
            runtime(1).run(|| {
                let mut round = make();
                let flag = Arc::new(AtomicBool::new(false));
                let sets = flag.clone();
                let other = kahn::spawn_local(move || sets.store(true, SeqCst));
                let task = kahn::task::spawn_local(async move {
                    for _ in 0..FAIR {
                        round().await;
                        if flag.load(SeqCst) {
                            return;
                        }
                    }
                    panic!("{name}: no other has run");
                });
                task.join().unwrap();
                other.join().unwrap();
            });
        });
    }
}

/// An executor that polls on and on, and never gives way, gets on all the same: it blocks its worker, but not for ever.
#[test]
fn foreign_executor_on_a_green_thread_makes_progress() {
    within("the executor", || {
        runtime(1).run(|| {
            let (tx, rx) = bounded(1);
            for n in 0..MANY {
                let mut round = std::pin::pin!(async {
                    tx.send_async(n).await.unwrap();
                    assert_eq!(rx.recv_async().await, Ok(n));
                });
                let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                while round.as_mut().poll(&mut context).is_pending() {}
            }
        });
    });
}
