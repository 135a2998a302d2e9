//! Models of channels: every interleaving of two or three threads, within bounds. `ci/loom.sh` runs them.
#![cfg(kahn_loom)]

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use kahn_channels::{Receiver, RecvError, Select, SelectedOperation, Sender, TryRecvError, bounded};
use loom::sync::Arc;
use loom::thread;

/// Three preemptions find nearly every bug, and let a model end.
fn model(scenario: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(scenario);
}

/// Any time that is not zero: in a model a deadline passes whenever it is looked at.
const SHORT: Duration = Duration::from_millis(1);

/// Messages that count themselves, unseen by the model.
struct Counted(StdArc<AtomicUsize>);

impl Counted {
    fn new(alive: &StdArc<AtomicUsize>) -> Counted {
        alive.fetch_add(1, Ordering::SeqCst);
        Counted(alive.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        assert!(self.0.fetch_sub(1, Ordering::SeqCst) > 0, "dropped twice");
    }
}

#[test]
fn message_is_handed_over() {
    model(|| {
        let (tx, rx) = bounded(0);
        let sender = thread::spawn(move || tx.send(Box::new(1)).unwrap());
        assert_eq!(rx.recv(), Ok(Box::new(1)));
        assert_eq!(rx.recv(), Err(RecvError));
        sender.join().unwrap();
    });
}

#[test]
fn two_senders_share_capacity_one() {
    model(|| {
        let (tx, rx) = bounded(1);
        let parts: Vec<_> = [tx.clone(), tx]
            .into_iter()
            .enumerate()
            .map(|(n, tx)| thread::spawn(move || tx.send(n).unwrap()))
            .collect();
        assert_eq!(rx.recv().unwrap() + rx.recv().unwrap(), 1);
        parts.into_iter().for_each(|part| part.join().unwrap());
    });
}

#[test]
fn close_races_with_send_and_receive() {
    for cap in [0, 1] {
        model(move || {
            let (tx, rx) = bounded(cap);
            let closer = tx.clone();
            let sender = thread::spawn(move || tx.send(1).is_ok());
            let closing = thread::spawn(move || closer.close());
            let got = rx.recv();
            closing.join().unwrap();
            // A receiver that came after the end of an unbuffered channel, or before the message of a buffered one.
            let got = got.or_else(|_| rx.recv());
            assert_eq!(sender.join().unwrap(), got.is_ok());
        });
    }
}

#[test]
fn endpoints_are_dropped_concurrently() {
    for cap in [0, 1] {
        model(move || {
            let alive = StdArc::new(AtomicUsize::new(0));
            let (tx, rx) = bounded(cap);
            let msg = Counted::new(&alive);
            let sender = thread::spawn(move || {
                let _ = tx.send(msg);
            });
            let receiver = thread::spawn(move || {
                let _ = rx.try_recv();
            });
            sender.join().unwrap();
            receiver.join().unwrap();
            assert_eq!(alive.load(Ordering::SeqCst), 0);
        });
    }
}

fn select_timed(rx1: &Receiver<i32>, rx2: &Receiver<i32>) -> Option<Result<i32, RecvError>> {
    kahn_channels::select_biased! {
        recv(rx1) -> msg => Some(msg),
        recv(rx2) -> msg => Some(msg),
        default(SHORT) => None,
    }
}

#[test]
fn cancel_of_a_select_races_with_a_wake_up() {
    model(|| {
        let (tx1, rx1) = bounded(0);
        let (_tx2, rx2) = bounded(1);
        let sender = thread::spawn(move || tx1.try_send(1).is_ok());
        let got = select_timed(&rx1, &rx2);
        let sent = sender.join().unwrap();
        match got {
            Some(Ok(n)) => assert_eq!((n, sent), (1, true)),
            // Disconnected, or out of time: the message was not taken.
            _ => assert!(!sent),
        }
    });
}

#[test]
fn two_selects_over_two_channels() {
    model(|| {
        let (tx1, rx1) = bounded::<i32>(0);
        let (tx2, rx2) = bounded::<i32>(0);
        let (other1, other2) = (rx1.clone(), tx2.clone());
        let other = thread::spawn(move || {
            kahn_channels::select_biased! {
                recv(other1) -> msg => assert_eq!(msg, Ok(1)),
                send(other2, 2) -> res => res.unwrap(),
            }
        });
        kahn_channels::select_biased! {
            recv(rx2) -> msg => assert_eq!(msg, Ok(2)),
            send(tx1, 1) -> res => res.unwrap(),
        }
        other.join().unwrap();
        drop((rx1, tx2));
    });
}

#[test]
fn select_meets_a_plain_receiver() {
    model(|| {
        let (tx, rx) = bounded(0);
        let receiver = thread::spawn(move || rx.recv());
        let mut select = Select::new();
        select.send(&tx);
        select.select().send(&tx, 1).unwrap();
        assert_eq!(receiver.join().unwrap(), Ok(1));
    });
}

#[test]
fn permit_is_dropped_or_used() {
    for cap in [0, 1] {
        model(move || {
            let (tx, rx) = bounded(cap);
            let sender = thread::spawn(move || {
                drop(tx.reserve().unwrap());
                tx.reserve().unwrap().send(1).unwrap();
            });
            assert_eq!(rx.recv(), Ok(1));
            sender.join().unwrap();
        });
    }
}

#[test]
fn permit_races_with_a_sender() {
    model(|| {
        let (tx, rx) = bounded(1);
        let other = tx.clone();
        let reserver = thread::spawn(move || tx.reserve().unwrap().send(1).unwrap());
        let sender = thread::spawn(move || other.send(2).unwrap());
        assert_eq!(rx.recv().unwrap() + rx.recv().unwrap(), 3);
        reserver.join().unwrap();
        sender.join().unwrap();
    });
}

#[test]
fn withdrawn_waiter_races_with_close() {
    for cap in [0, 1] {
        model(move || {
            let alive = StdArc::new(AtomicUsize::new(0));
            let (tx, rx): (Sender<Counted>, _) = bounded(cap);
            let messages: Vec<_> = (0..=cap).map(|_| Counted::new(&alive)).collect();
            let sender = thread::spawn(move || {
                for msg in messages {
                    let _ = tx.send_timeout(msg, SHORT);
                }
            });
            rx.close();
            drop(rx);
            sender.join().unwrap();
            assert_eq!(alive.load(Ordering::SeqCst), 0);
        });
    }
}

#[test]
fn withdrawn_receiver_races_with_send() {
    model(|| {
        let (tx, rx) = bounded(0);
        let sender = thread::spawn(move || tx.try_send(1).is_ok());
        let got = rx.recv_timeout(SHORT);
        assert_eq!(sender.join().unwrap(), got.is_ok());
    });
}

#[test]
fn default_needs_one_moment_without_ready_operation() {
    model(|| {
        let (tx1, rx1) = bounded(1);
        let (tx2, rx2) = bounded(1);
        tx1.send(1).unwrap();
        let (other1, other2) = (rx1.clone(), rx2.clone());
        let looker = thread::spawn(move || {
            kahn_channels::select_biased! {
                recv(other2) -> _ => true,
                recv(other1) -> _ => true,
                default => false,
            }
        });
        tx2.send(2).unwrap();
        let _ = rx1.try_recv();
        assert!(looker.join().unwrap());
        drop((tx1, rx2));
    });
}

#[test]
fn oneshot_send_races_with_drop_of_the_receiver() {
    model(|| {
        let alive = StdArc::new(AtomicUsize::new(0));
        let (tx, rx) = kahn_channels::oneshot();
        let msg = Counted::new(&alive);
        let sender = thread::spawn(move || drop(tx.send(msg)));
        let got = rx.recv_timeout(SHORT).is_ok();
        drop(rx);
        sender.join().unwrap();
        assert_eq!(alive.load(Ordering::SeqCst), 0, "received: {got}");
    });
}

#[test]
fn oneshot_send_wakes_the_receiver() {
    model(|| {
        let (tx, rx) = kahn_channels::oneshot();
        let sender = thread::spawn(move || tx.send(1).unwrap());
        assert_eq!(rx.recv(), Ok(1));
        sender.join().unwrap();
        assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    });
}

#[test]
fn broadcast_waits_for_the_slowest() {
    model(|| {
        let (tx, rx) = kahn_channels::broadcast(1);
        let other = tx.subscribe();
        let sender = thread::spawn(move || {
            tx.send(1).unwrap();
            tx.send(2).is_ok()
        });
        let dropper = thread::spawn(move || drop(other));
        assert_eq!((rx.recv(), rx.recv()), (Ok(1), Ok(2)));
        assert!(sender.join().unwrap());
        dropper.join().unwrap();
    });
}

#[test]
fn oneshot_send_ends_two_waiting_receivers() {
    model(|| {
        let (tx, rx) = kahn_channels::oneshot();
        let rx = Arc::new(rx);
        let other = rx.clone();
        let second = thread::spawn(move || other.recv().is_ok());
        let sender = thread::spawn(move || tx.send(1).unwrap());
        let first = rx.recv().is_ok();
        assert_ne!(first, second.join().unwrap(), "one has the message");
        sender.join().unwrap();
    });
}

#[test]
fn oneshot_sender_drop_ends_two_waiting_receivers() {
    model(|| {
        let (tx, rx) = kahn_channels::oneshot::<i32>();
        let rx = Arc::new(rx);
        let other = rx.clone();
        let second = thread::spawn(move || other.recv());
        let sender = thread::spawn(move || drop(tx));
        assert_eq!((rx.recv(), second.join().unwrap()), (Err(RecvError), Err(RecvError)));
        sender.join().unwrap();
    });
}

#[test]
fn broadcast_takes_the_message_of_a_waiting_sender() {
    model(|| {
        let alive = StdArc::new(AtomicUsize::new(0));
        let (tx, rx) = kahn_channels::broadcast(1);
        tx.send(StdArc::new(Counted::new(&alive))).unwrap();
        let msg = StdArc::new(Counted::new(&alive));
        let sender = thread::spawn(move || tx.send_timeout(msg, SHORT).is_ok());
        assert!(rx.recv().is_ok());
        // It is in the buffer as soon as there is room, or it was given up.
        let second = rx.recv().is_ok();
        assert_eq!(sender.join().unwrap(), second);
        drop(rx);
        assert_eq!(alive.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn broadcast_returns_the_message_without_subscribers() {
    model(|| {
        let (tx, rx) = kahn_channels::broadcast(1);
        tx.send(1).unwrap();
        let other = tx.clone();
        let sender = thread::spawn(move || tx.send(2));
        let second = thread::spawn(move || other.send(3));
        drop(rx);
        assert_eq!(sender.join().unwrap().unwrap_err().into_inner(), 2);
        assert_eq!(second.join().unwrap().unwrap_err().into_inner(), 3);
    });
}

#[test]
fn watch_send_wakes_the_subscriber() {
    model(|| {
        let (tx, rx) = kahn_channels::watch(0);
        let sender = thread::spawn(move || {
            tx.send(1).unwrap();
            tx.send(2).unwrap();
        });
        while rx.get() < 2 {
            rx.changed().unwrap();
        }
        sender.join().unwrap();
        assert_eq!(rx.changed(), Err(RecvError));
    });
}

/// A task that counts how often it was woken, unseen by the model.
struct Task(AtomicUsize);

impl Wake for Task {
    fn wake(self: StdArc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Two tasks wait, and a value is sent: one that goes away is not touched, and one that stays is woken, or has seen it.
#[test]
fn watch_send_wakes_the_task_unless_its_future_is_dropped() {
    model(|| {
        let (tx, rx) = kahn_channels::watch(0);
        let (first, second) = (rx.clone(), rx);
        let task = StdArc::new(Task(AtomicUsize::new(0)));
        let waker = Waker::from(task.clone());
        let mut context = Context::from_waker(&waker);
        let mut goes = Box::pin(first.changed_async());
        assert!(goes.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let sender = thread::spawn(move || tx.send(1).unwrap());
        let mut stays = Box::pin(second.changed_async());
        let has_seen = stays.as_mut().poll(&mut context).is_ready();
        drop(goes);
        sender.join().unwrap();
        if !has_seen {
            assert_eq!(task.0.load(Ordering::SeqCst), 1, "woken once");
            assert_eq!(stays.as_mut().poll(&mut context), Poll::Ready(Ok(())));
        }
    });
}

/// As above, for a broadcast: each task sees the message, whether it was there to be seen or came.
#[test]
fn broadcast_send_wakes_the_task() {
    model(|| {
        let (tx, rx) = kahn_channels::broadcast(1);
        let other = rx.clone();
        let task = StdArc::new(Task(AtomicUsize::new(0)));
        let waker = Waker::from(task.clone());
        let mut context = Context::from_waker(&waker);
        let sender = thread::spawn(move || tx.send(Box::new(1)).unwrap());
        let mut received = Box::pin(rx.recv_async());
        let mut polled = received.as_mut().poll(&mut context);
        assert_eq!(other.recv(), Ok(Box::new(1)));
        sender.join().unwrap();
        if polled.is_pending() {
            assert_eq!(task.0.load(Ordering::SeqCst), 1, "woken once");
            polled = received.as_mut().poll(&mut context);
        }
        assert_eq!(polled, Poll::Ready(Ok(Box::new(1))));
    });
}

/// A select has met a sender that gives up, and chooses another arm. The other arm's message is there before, or comes
/// after.
#[test]
fn select_goes_on_after_a_dropped_permit() {
    for early in [true, false] {
        model(move || {
            let ((tx, rx), (other_tx, other_rx)) = (bounded::<i32>(0), bounded(1));
            let giver = thread::spawn(move || {
                let give = || other_tx.send(7).unwrap();
                if early {
                    give();
                }
                drop(tx.reserve());
                if !early {
                    give();
                }
                tx
            });
            let got = kahn_channels::select_biased! {
                recv(rx) -> msg => msg,
                recv(other_rx) -> msg => msg,
            };
            assert_eq!(got, Ok(7));
            drop(rx);
            giver.join().unwrap();
        });
    }
}

/// The same against the time.
#[test]
fn select_times_out_after_a_dropped_permit() {
    model(|| {
        let (tx, rx) = bounded::<i32>(0);
        let giver = thread::spawn(move || {
            drop(tx.reserve());
            tx
        });
        let got = kahn_channels::select_biased! {
            recv(rx) -> msg => Some(msg),
            default(SHORT) => None,
        };
        assert_eq!(got, None);
        drop(rx);
        giver.join().unwrap();
    });
}

/// Two receivers, a select and a plain one; two permits, of which one is given up.
#[test]
fn reservations_of_two_receivers_are_not_mixed_up() {
    model(|| {
        let (tx, rx) = bounded(0);
        let (other_tx, other_rx) = (tx.clone(), rx.clone());
        let giver = thread::spawn(move || {
            drop(other_tx.reserve());
            other_tx.reserve().unwrap().send(1).unwrap();
        });
        let plain = thread::spawn(move || other_rx.recv());
        drop(tx);
        let got = kahn_channels::select_biased! { recv(rx) -> msg => msg };
        let other = plain.join().unwrap();
        assert!((got, other) == (Ok(1), Err(RecvError)) || (got, other) == (Err(RecvError), Ok(1)));
        giver.join().unwrap();
    });
}

/// A future is handed a message and dropped, while the sender is dropped: the other receiver gets the message.
#[test]
fn message_given_to_a_dropped_future_goes_to_the_other_receiver() {
    model(|| {
        let (tx, rx) = bounded(1);
        let mut future = Box::pin(rx.recv_async());
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let other_rx = rx.clone();
        let other = thread::spawn(move || other_rx.recv());
        let sender = thread::spawn(move || tx.send(1).unwrap());
        drop(future);
        assert_eq!(other.join().unwrap(), Ok(1));
        sender.join().unwrap();
    });
}

/// Drops a selected operation during an unwind that the panic hook does not see.
fn give_up(selected: SelectedOperation<'_>) {
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _chosen = selected;
        resume_unwind(Box::new(()))
    }));
    unwound.unwrap_err();
}

/// A selected receive is given up, while the sender is dropped: the other receiver gets the message.
#[test]
fn message_of_an_abandoned_reservation_goes_to_the_other_receiver() {
    model(|| {
        let (tx, rx) = bounded(1);
        tx.send(1).unwrap();
        let mut select = Select::new();
        select.recv(&rx);
        let selected = select.select();
        let other_rx = rx.clone();
        let other = thread::spawn(move || other_rx.recv());
        let closer = thread::spawn(move || drop(tx));
        give_up(selected);
        assert_eq!(other.join().unwrap(), Ok(1));
        closer.join().unwrap();
    });
}

/// A selected receive is completed, while the sender is dropped: the other receiver is told that the channel has ended.
#[test]
fn reservation_used_after_the_close_ends_the_channel() {
    model(|| {
        let (tx, rx) = bounded(1);
        tx.send(1).unwrap();
        let mut select = Select::new();
        select.recv(&rx);
        let selected = select.select();
        let other_rx = rx.clone();
        let other = thread::spawn(move || other_rx.recv());
        let closer = thread::spawn(move || drop(tx));
        assert_eq!(selected.recv(&rx), Ok(1));
        assert_eq!(other.join().unwrap(), Err(RecvError));
        closer.join().unwrap();
    });
}

/// The wake-up of a future races with a select that enters its queues. Without the look at `woken` on entering, the
/// select would sleep on.
#[test]
fn select_over_a_future_races_with_its_wake_up() {
    model(|| {
        let (tx, rx) = kahn_channels::oneshot();
        let (_never, never) = bounded::<i32>(1);
        let sender = thread::spawn(move || tx.send(7).unwrap());
        let got = kahn_channels::select_biased! {
            recv(never) -> _ => unreachable!(),
            wait(rx) -> answer => answer,
        };
        assert_eq!(got, Ok(7));
        sender.join().unwrap();
    });
}

/// A future that is not chosen may have been given a message, which it passes on.
#[test]
fn future_that_a_select_does_not_choose_passes_its_message_on() {
    model(|| {
        let (tx, rx) = bounded(1);
        let (go, gone) = kahn_channels::oneshot();
        let sender = thread::spawn(move || {
            tx.send(1).unwrap();
            // The receiver is gone if the other arm was chosen.
            let _ = go.send(());
        });
        let got = kahn_channels::select_biased! {
            wait(gone) -> _ => rx.recv(),
            wait(rx.recv_async()) -> message => message,
        };
        assert_eq!(got, Ok(1));
        sender.join().unwrap();
    });
}
