//! Cancels and time-outs that race with the event that was waited for. A message is received or stays, a permit is
//! held or free, and no other waiter loses its turn.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, PoisonError, TryLockError};
use std::time::Duration;

use kahn::channel::{bounded, oneshot};
use kahn::sync::{Condvar, Mutex, RwLock, Semaphore};
use kahn::time::timeout;
use support::{Counted, Counter, Random, dawdle, rounds, until, with_each_size};

/// How a race is ended by force.
#[derive(Clone, Copy)]
enum End {
    Cancel,
    TimeOut,
    Both,
}

const ENDS: [End; 3] = [End::Cancel, End::TimeOut, End::Both];

/// Runs `f` in a green thread that is cancelled, or bounded, after a random short while. Answers whether it got
/// through.
fn interrupted(end: End, random: &mut Random, f: impl FnOnce() + Send + 'static) -> bool {
    let bound = match end {
        End::Cancel => Duration::MAX,
        End::TimeOut | End::Both => Duration::from_nanos(random.below(30_000)),
    };
    let handle = kahn::spawn(move || timeout(bound, f).is_ok());
    dawdle(random);
    if !matches!(end, End::TimeOut) {
        handle.cancel();
    }
    handle.join().unwrap_or(false)
}

fn each(race: impl Fn(End, &mut Random) + Sync) {
    for (seed, end) in ENDS.into_iter().enumerate() {
        with_each_size(|| {
            let mut random = Random::new(seed as u64);
            for _ in 0..rounds(150) {
                race(end, &mut random);
            }
        });
    }
}

/// A receive is cut off while a sender comes: the message is in exactly one place.
#[test]
fn message_arrives_or_stays_with_its_sender() {
    for cap in [0, 1] {
        each(|end, random| {
            let counter = Counter::new();
            let (tx, rx) = bounded::<Counted>(cap);
            let got = Arc::new(AtomicUsize::new(0));
            let (message, receiver, count) = (counter.make(), rx.clone(), got.clone());
            let sender = kahn::spawn(move || drop(tx.send(message)));
            interrupted(end, random, move || {
                let message = receiver.recv();
                count.fetch_add(usize::from(message.is_ok()), SeqCst);
            });
            // The next receiver gets it, if the first has not. It may have been dropped after it was received.
            let second = usize::from(rx.recv().is_ok());
            let first = got.load(SeqCst);
            assert!(first + second <= 1);
            assert!(first + second == 1, "the message was lost");
            sender.join().unwrap();
            counter.assert_all_gone();
        });
    }
}

/// A send is cut off while a receiver comes.
#[test]
fn message_is_received_or_dropped_once() {
    for cap in [0, 1] {
        each(|end, random| {
            let counter = Counter::new();
            let (tx, rx) = bounded::<Counted>(cap);
            if cap == 1 {
                tx.send(counter.make()).unwrap();
            }
            let (message, sender) = (counter.make(), tx.clone());
            drop(tx);
            let receiver = kahn::spawn(move || rx.iter().count());
            let sent = interrupted(end, random, move || sender.send(message).unwrap());
            let received = receiver.join().unwrap() - cap;
            // A send that has met its receiver is over, whatever comes then.
            assert!(received == usize::from(sent) || (received == 1 && !sent), "{received} for {sent}");
            counter.assert_all_gone();
        });
    }
}

/// A select between a send and a receive is cut off: at most one of the two has happened.
#[test]
fn select_takes_one_arm_or_none() {
    each(|end, random| {
        let counter = Counter::new();
        let (in_tx, in_rx) = bounded::<Counted>(0);
        let (out_tx, out_rx) = bounded::<Counted>(0);
        let (offered, answer) = (counter.make(), counter.make());
        let feeder = kahn::spawn(move || in_tx.send(offered).is_ok());
        let eater = kahn::spawn(move || out_rx.recv().is_ok());
        let done = Arc::new(AtomicUsize::new(0));
        let arm = done.clone();
        interrupted(end, random, move || {
            kahn::channel::select! {
                recv(in_rx) -> message => arm.store(if message.is_ok() { 1 } else { 3 }, SeqCst),
                send(out_tx, answer) -> sent => arm.store(if sent.is_ok() { 2 } else { 4 }, SeqCst),
            }
        });
        let (fed, eaten) = (feeder.join().unwrap(), eater.join().unwrap());
        assert!(!(fed && eaten), "two arms");
        match done.load(SeqCst) {
            1 => assert!(fed && !eaten),
            2 => assert!(eaten && !fed),
            // Cut off; an arm that was chosen meanwhile counts as done.
            0 => {}
            arm => panic!("arm {arm} ended without its partner having gone"),
        }
        counter.assert_all_gone();
    });
}

#[test]
fn permit_is_held_or_free() {
    each(|end, random| {
        let semaphore = Arc::new(Semaphore::new(1));
        let (mine, theirs) = (semaphore.clone(), semaphore.clone());
        let holder = kahn::spawn(move || {
            let _permit = theirs.acquire();
            kahn::yield_now();
        });
        interrupted(end, random, move || drop(mine.acquire()));
        holder.join().unwrap();
        assert_eq!(semaphore.available_permits(), 1);
        drop(semaphore.acquire());
    });
}

/// Three want a lock; the middle one is cut off: the last still gets it.
#[test]
fn turn_at_a_lock_is_not_lost() {
    each(|end, random| {
        let (lock, shared) = (Arc::new(Mutex::new(0)), Arc::new(RwLock::new(0)));
        // A thread that is cut off while it holds the lock poisons it, as a panicking thread does.
        let user = |writes: bool| {
            let (lock, shared) = (lock.clone(), shared.clone());
            move || {
                *lock.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                kahn::yield_now();
                let mut guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
                kahn::yield_now();
                *guard += 1;
                drop(guard);
                if writes { *shared.write().unwrap() += 1 } else { drop(shared.read().unwrap()) }
            }
        };
        let first = kahn::spawn(user(true));
        let reader = kahn::spawn(user(false));
        interrupted(end, random, user(true));
        let last = kahn::spawn(user(true));
        [first, reader, last].into_iter().for_each(|handle| handle.join().unwrap());
        assert!(!matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) && shared.try_write().is_ok());
    });
}

/// A notification of one is not swallowed by a waiter that is cut off.
#[test]
fn notification_is_not_lost() {
    each(|end, random| {
        let pair = Arc::new((Mutex::new(0), Condvar::new()));
        let waiter = |pair: &Arc<(Mutex<u32>, Condvar)>| {
            let pair = pair.clone();
            move || {
                let mut tickets = pair.1.wait_while(pair.0.lock().unwrap(), |tickets| *tickets == 0).unwrap();
                *tickets -= 1;
            }
        };
        let stays = kahn::spawn(waiter(&pair));
        let notifier = {
            let pair = pair.clone();
            kahn::spawn(move || {
                for _ in 0..2 {
                    *pair.0.lock().unwrap() += 1;
                    pair.1.notify_one();
                    kahn::yield_now();
                }
            })
        };
        interrupted(end, random, waiter(&pair));
        notifier.join().unwrap();
        // There was a ticket and a notification for each; the one that stays needs one.
        stays.join().unwrap();
    });
}

#[test]
fn oneshot_message_arrives_or_is_returned() {
    each(|end, random| {
        let counter = Counter::new();
        let (tx, rx) = oneshot::<Counted>();
        let message = counter.make();
        let sender = kahn::spawn(move || tx.send(message).is_ok());
        let got = Arc::new(AtomicUsize::new(0));
        let count = got.clone();
        interrupted(end, random, move || {
            count.fetch_add(usize::from(rx.recv().is_ok()), SeqCst);
        });
        let sent = sender.join().unwrap();
        assert!(got.load(SeqCst) <= usize::from(sent));
        counter.assert_all_gone();
    });
}

/// A join that is cut off, a scope that is, while the children end.
#[test]
fn children_finish_although_their_waiters_are_cut_off() {
    each(|end, random| {
        let counter = Counter::new();
        let running = Arc::new(AtomicUsize::new(0));
        let child = |i: u64| {
            let (counted, running) = (counter.make(), running.clone());
            move || {
                let _counted = counted;
                running.fetch_add(1, SeqCst);
                let _leaves = support::OnDrop(|| _ = running.fetch_sub(1, SeqCst));
                if i.is_multiple_of(2) {
                    kahn::yield_now();
                } else {
                    kahn::sleep(Duration::from_micros(i * 7));
                }
            }
        };
        let children: Vec<_> = (0..4).map(child).collect();
        let inside = running.clone();
        interrupted(end, random, move || {
            kahn::scope(|s| {
                let mut children = children.into_iter();
                let first = s.spawn(children.next().unwrap());
                children.for_each(|child| drop(s.spawn(child)));
                let _ = first.join();
            });
            assert_eq!(inside.load(SeqCst), 0);
        });
        assert_eq!(running.load(SeqCst), 0);
        counter.assert_all_gone();
    });
}

/// A park that is unparked and cut off at once: the token is taken, or stays for the next.
#[test]
fn unpark_token_is_taken_or_stays() {
    with_each_size(|| {
        let mut random = Random::new(1);
        for _ in 0..rounds(500) {
            let bound = Duration::from_nanos(random.below(20_000));
            let handle = kahn::spawn(move || {
                let parked = timeout(bound, kahn::thread::park);
                if parked.is_err() {
                    // The token was not taken, so it is there, or will be.
                    kahn::thread::park();
                }
            });
            dawdle(&mut random);
            handle.thread().unpark();
            handle.join().unwrap();
        }
    });
}

/// Many receivers of one channel are cut off at random while messages flow: every message is received once.
#[test]
fn messages_flow_past_cancelled_waiters() {
    for cap in [0, 1, 7] {
        with_each_size(|| {
            let counter = Counter::new();
            let total = rounds(300);
            let (tx, rx) = bounded::<Counted>(cap);
            let received = Arc::new(AtomicUsize::new(0));
            let senders: Vec<_> = (0..2)
                .map(|_| {
                    let (tx, counter) = (tx.clone(), counter.clone());
                    kahn::spawn(move || (0..total).for_each(|_| tx.send(counter.make()).unwrap()))
                })
                .collect();
            drop(tx);
            let mut random = Random::new(cap as u64);
            let victims = || received.load(SeqCst) < 2 * total;
            let steady = {
                let (rx, received) = (rx.clone(), received.clone());
                kahn::spawn(move || {
                    while received.load(SeqCst) < total {
                        if rx.recv().is_err() {
                            break;
                        }
                        received.fetch_add(1, SeqCst);
                    }
                })
            };
            while victims() {
                let (rx, received) = (rx.clone(), received.clone());
                interrupted(ENDS[random.below(3) as usize], &mut random, move || {
                    for message in rx {
                        // Nothing parks between the receipt and the count.
                        drop(message);
                        received.fetch_add(1, SeqCst);
                    }
                });
            }
            steady.join().unwrap();
            senders.into_iter().for_each(|sender| sender.join().unwrap());
            assert_eq!(received.load(SeqCst), 2 * total);
            until("all are gone", || counter.alive() == 0);
        });
    }
}
