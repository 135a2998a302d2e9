//! A rendezvous in which one side has no message yet: it holds a permit, or is a select whose message is still
//! being made. If that side gives up, a select that it has met must not be selected for it, and goes on waiting for
//! its other operations. No message is lost, whichever side gives up.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use kahn_channels::{
    Permit, Receiver, RecvError, Select, Sender, TryRecvError, bounded, never, select, select_biased,
};
use support::{Handle, World, everywhere, times, until};

const SOON: Duration = Duration::from_millis(2);
/// Longer than a test may take.
const NEVER: Duration = Duration::from_secs(1000);

/// How a receiver waits for the first of a message from `rx`, a message from `other`, and the time.
type Wait = fn(rx: &Receiver<i32>, other: &Receiver<i32>, time: Duration) -> Option<Result<i32, RecvError>>;

fn by_macro(rx: &Receiver<i32>, other: &Receiver<i32>, time: Duration) -> Option<Result<i32, RecvError>> {
    select! {
        recv(rx) -> msg => Some(msg),
        recv(other) -> msg => Some(msg),
        default(time) => None,
    }
}

fn by_biased_macro(
    rx: &Receiver<i32>,
    other: &Receiver<i32>,
    time: Duration,
) -> Option<Result<i32, RecvError>> {
    select_biased! {
        recv(rx) -> msg => Some(msg),
        recv(other) -> msg => Some(msg),
        default(time) => None,
    }
}

fn dynamically(rx: &Receiver<i32>, other: &Receiver<i32>, time: Duration) -> Option<Result<i32, RecvError>> {
    let mut select = Select::new();
    let first = select.recv(rx);
    select.recv(other);
    let selected = select.select_timeout(time).ok()?;
    Some(if selected.index() == first { selected.recv(rx) } else { selected.recv(other) })
}

fn when_ready(rx: &Receiver<i32>, other: &Receiver<i32>, time: Duration) -> Option<Result<i32, RecvError>> {
    let deadline = std::time::Instant::now() + time;
    let mut select = Select::new();
    let first = select.recv(rx);
    select.recv(other);
    loop {
        let ready = select.ready_deadline(deadline).ok()?;
        match if ready == first { rx } else { other }.try_recv() {
            Ok(msg) => return Some(Ok(msg)),
            Err(TryRecvError::Disconnected) => return Some(Err(RecvError)),
            Err(TryRecvError::Empty) => {}
        }
    }
}

const WAYS: [Wait; 4] = [by_macro, by_biased_macro, dynamically, when_ready];

/// Reserves, and once it has met a receiver calls `act` with the permit when it is told to.
struct Holder<R> {
    thread: Handle<R>,
    has_met: Arc<AtomicBool>,
    may_act: Arc<AtomicBool>,
}

impl<R: Send + 'static> Holder<R> {
    fn new(
        world: &World,
        tx: Sender<i32>,
        act: impl FnOnce(Permit<'_, i32>) -> R + Send + 'static,
    ) -> Holder<R> {
        let (has_met, may_act) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (met, may) = (has_met.clone(), may_act.clone());
        let thread = world.spawn(move || {
            let permit = tx.reserve().unwrap();
            met.store(true, Ordering::Release);
            until("the holder may act", || may.load(Ordering::Acquire));
            act(permit)
        });
        Holder { thread, has_met, may_act }
    }

    fn until_met(&self) {
        until("the holder has met a receiver", || self.has_met.load(Ordering::Acquire));
    }

    fn act(self) -> R {
        self.may_act.store(true, Ordering::Release);
        self.thread.join()
    }
}

fn until_somebody_waits_to_send(rx: &Receiver<i32>) {
    until("a sender waits", || {
        let mut select = Select::new();
        select.recv(rx);
        select.try_ready().is_ok()
    });
}

/// A select that comes to a waiting holder of a permit, which is then dropped: the time goes on.
#[test]
fn default_is_chosen_after_a_dropped_permit() {
    everywhere(|world| {
        for wait in WAYS {
            let (tx, rx) = bounded(0);
            let holder = Holder::new(world, tx.clone(), |permit| drop(permit));
            until_somebody_waits_to_send(&rx);
            let receiver = world.spawn(move || wait(&rx, &never(), SOON));
            holder.until_met();
            holder.act();
            assert_eq!(receiver.join(), None);
        }
    });
}

/// The same without any time to wait.
#[test]
fn select_without_waiting_is_not_held_up_by_a_dropped_permit() {
    everywhere(|world| {
        for dynamic in [false, true] {
            let (tx, rx) = bounded(0);
            let holder = Holder::new(world, tx.clone(), |permit| drop(permit));
            until_somebody_waits_to_send(&rx);
            let receiver = world.spawn(move || {
                if dynamic {
                    let mut select = Select::new();
                    select.recv(&rx);
                    return select.try_select().map(|selected| selected.recv(&rx)).ok();
                }
                select! {
                    recv(rx) -> msg => Some(msg),
                    default => None,
                }
            });
            holder.until_met();
            holder.act();
            assert_eq!(receiver.join(), None);
        }
    });
}

/// A permit finds a select that waits, and is dropped: another arm is ready, or becomes so.
#[test]
fn another_arm_is_chosen_after_a_dropped_permit() {
    everywhere(|world| {
        for wait in WAYS {
            for early in [false, true] {
                let ((tx, rx), (other_tx, other_rx)) = (bounded(0), bounded(1));
                let receiver = world.spawn(move || wait(&rx, &other_rx, NEVER));
                let holder = Holder::new(world, tx.clone(), |permit| drop(permit));
                holder.until_met();
                if early {
                    other_tx.send(7).unwrap();
                }
                holder.act();
                if !early {
                    other_tx.send(7).unwrap();
                }
                assert_eq!(receiver.join(), Some(Ok(7)));
            }
        }
    });
}

/// A permit that is used is received, although another arm became ready meanwhile, and that one's message stays. And
/// the end of the channel ends the wait.
#[test]
fn message_of_a_used_permit_is_received() {
    everywhere(|world| {
        for wait in WAYS {
            let ((tx, rx), (other_tx, other_rx)) = (bounded(0), bounded(1));
            let others = other_rx.clone();
            let receiver = world.spawn(move || (wait(&rx, &other_rx, NEVER), rx));
            let holder = Holder::new(world, tx.clone(), |permit| permit.send(1));
            holder.until_met();
            other_tx.send(2).unwrap();
            assert_eq!(holder.act(), Ok(()));
            let (got, _rx) = receiver.join();
            assert_eq!((got, others.try_recv()), (Some(Ok(1)), Ok(2)));
        }
        for wait in WAYS {
            let (tx, rx) = bounded(0);
            let receiver = world.spawn(move || wait(&rx, &never(), NEVER));
            let closer = tx.clone();
            let holder = Holder::new(world, tx.clone(), move |permit| {
                closer.close();
                permit.send(1)
            });
            holder.until_met();
            assert_eq!(holder.act().map_err(|error| error.into_inner()), Err(1));
            assert_eq!(receiver.join(), Some(Err(RecvError)));
        }
    });
}

fn no_message() -> i32 {
    resume_unwind(Box::new("no message"))
}

/// A selected send whose message panics has given up, too.
#[test]
fn select_whose_message_expression_panics_gives_up() {
    everywhere(|world| {
        for wait in WAYS {
            let (tx, rx) = bounded(0);
            let ours = tx.clone();
            let receiver = world.spawn(move || wait(&rx, &never(), NEVER));
            let sender = world.spawn(move || {
                let sent = catch_unwind(AssertUnwindSafe(|| {
                    select! { send(tx, no_message()) -> _ => {} }
                }));
                sent.is_err()
            });
            assert!(sender.join());
            ours.send(3).unwrap();
            assert_eq!(receiver.join(), Some(Ok(3)));
        }
    });
}

/// An unsent message that a select waits for is not taken by another receiver, nor the other way round: two receivers,
/// two permits of which one is dropped, in either order.
#[test]
fn reservations_are_not_mixed_up() {
    everywhere(|world| {
        for (wait, drop_first) in WAYS.into_iter().flat_map(|wait| [(wait, true), (wait, false)]) {
            let (tx, rx) = bounded(0);
            let (plain_rx, plain_tx) = (rx.clone(), tx.clone());
            let selecting = world.spawn(move || wait(&rx, &never(), NEVER));
            let plain = world.spawn(move || plain_rx.recv());
            let holders = [1, 2]
                .map(|n| Holder::new(world, tx.clone(), move |permit| (n == 1).then(|| permit.send(n))));
            holders.iter().for_each(Holder::until_met);
            let [used, dropped] = holders;
            if drop_first {
                dropped.act();
                assert_eq!(used.act(), Some(Ok(())));
            } else {
                assert_eq!(used.act(), Some(Ok(())));
                dropped.act();
            }
            plain_tx.send(3).unwrap();
            let got = (selecting.join(), plain.join());
            assert!(got == (Some(Ok(1)), Ok(3)) || got == (Some(Ok(3)), Ok(1)), "{got:?}");
        }
    });
}

/// Permits used and dropped, selected sends that come and go, and receivers of all kinds: what was sent is received
/// once.
#[test]
fn no_message_is_lost_among_permits_selects_and_receivers() {
    everywhere(|world| {
        let total = times(4_000);
        let (tx, rx) = bounded(0);
        let sent = Arc::new(AtomicUsize::new(0));
        let receivers: Vec<_> = WAYS
            .into_iter()
            .map(|wait| {
                let rx = rx.clone();
                world.spawn(move || {
                    let mut sum = 0;
                    loop {
                        match wait(&rx, &never(), SOON) {
                            Some(Ok(n)) => sum += n as usize,
                            Some(Err(RecvError)) => return sum,
                            None => {}
                        }
                    }
                })
            })
            .collect();
        let plain = world.spawn(move || rx.iter().map(|n| n as usize).sum::<usize>());
        let senders: Vec<_> = (0..3)
            .map(|kind| {
                let (tx, sent) = (tx.clone(), sent.clone());
                world.spawn(move || {
                    for n in 0..total {
                        let done = match (kind, n % 3) {
                            (0, 0) => tx.reserve().map(drop).is_err(),
                            (0, _) => tx.reserve().unwrap().send(n as i32).is_ok(),
                            (1, _) => select! {
                                send(tx, n as i32) -> res => res.is_ok(),
                                default(SOON) => false,
                            },
                            _ => tx.send_timeout(n as i32, SOON).is_ok(),
                        };
                        sent.fetch_add(if done { n } else { 0 }, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        senders.into_iter().for_each(Handle::join);
        drop(tx);
        let received = receivers.into_iter().map(Handle::join).sum::<usize>() + plain.join();
        assert_eq!(received, sent.load(Ordering::Relaxed));
    });
}
