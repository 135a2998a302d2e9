//! Random operations of many threads on channels, select, locks and timers, with cancels and time-outs. At the end
//! every message was received once, or returned to its sender, or dropped with a thread that was cut off; and every
//! lock is free.
//!
//! Runs for two seconds, or for `KAHN_SOAK_SECONDS`. A round that fails prints its seed, and `KAHN_SOAK_SEED` runs
//! that round alone.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use kahn::channel::{Receiver, SendTimeoutError, Sender, TrySendError, bounded};
use kahn::sync::{Condvar, Mutex, RwLock, Semaphore};
use kahn::time::timeout;
use support::{Counted, Counter, Random, runtime, within};

const CHANNELS: usize = 4;
const ACTORS: u64 = 16;
const OPERATIONS: u64 = 150;
const MESSAGES: usize = (ACTORS * OPERATIONS) as usize;

/// What is known of a message, as bits.
const SENT: u8 = 1;
const REFUSED: u8 = 2;
const RECEIVED: u8 = 4;

struct Message {
    id: usize,
    _counted: Counted,
}

/// What the actors of a round share.
struct World {
    counter: Counter,
    next: AtomicUsize,
    fates: Vec<AtomicU8>,
    total: Mutex<u64>,
    pair: RwLock<(u64, u64)>,
    added: AtomicUsize,
    permits: Semaphore,
    bell: (Mutex<u64>, Condvar),
}

impl World {
    fn message(&self) -> Message {
        let id = self.next.fetch_add(1, SeqCst);
        Message { id, _counted: self.counter.make() }
    }

    fn mark(&self, id: usize, fate: u8) {
        let before = self.fates[id].fetch_or(fate, SeqCst);
        assert_eq!(before & fate, 0, "message {id} met one fate twice");
        // The receiver may record it before the sender does.
        assert!(
            !(before | fate) & REFUSED != 0 || (before | fate) == REFUSED,
            "message {id}: {}",
            before | fate
        );
    }

    fn received(&self, message: Message) {
        self.mark(message.id, RECEIVED);
    }

    fn sent(&self, id: usize, refused: Option<Message>) {
        match refused {
            None => self.mark(id, SENT),
            Some(message) => {
                assert_eq!(message.id, id, "another message came back");
                self.mark(id, REFUSED);
            }
        }
    }
}

/// One operation, chosen at random.
fn act(world: &World, random: &mut Random, txs: &[Sender<Message>], rxs: &[Receiver<Message>]) {
    let soon = Duration::from_nanos(random.below(60_000));
    let (tx, rx) =
        (&txs[random.below(CHANNELS as u64) as usize], &rxs[random.below(CHANNELS as u64) as usize]);
    match random.below(16) {
        0 => {
            let message = world.message();
            let id = message.id;
            world.sent(
                id,
                match tx.try_send(message) {
                    Ok(()) => None,
                    Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => Some(message),
                },
            );
        }
        1..=3 => {
            let message = world.message();
            let id = message.id;
            world.sent(
                id,
                match tx.send_timeout(message, soon) {
                    Ok(()) => None,
                    Err(SendTimeoutError::Timeout(message) | SendTimeoutError::Disconnected(message)) => {
                        Some(message)
                    }
                },
            );
        }
        4 => _ = rx.try_recv().map(|message| world.received(message)),
        5..=7 => _ = rx.recv_timeout(soon).map(|message| world.received(message)),
        8 => {
            let message = world.message();
            let id = message.id;
            let mut message = Some(message);
            kahn::channel::select! {
                recv(rx) -> got => got.into_iter().for_each(|got| world.received(got)),
                send(tx, message.take().unwrap()) -> sent => {
                    world.sent(id, sent.err().map(|error| error.into_inner()));
                },
                default(soon) => {},
            }
        }
        9 => {
            // Two receives and two sends, one channel perhaps twice.
            let (other, another) = (&rxs[random.below(4) as usize], &txs[random.below(4) as usize]);
            let (one, two) = (world.message(), world.message());
            let (first, second) = (one.id, two.id);
            kahn::channel::select! {
                recv(rx) -> got => got.into_iter().for_each(|got| world.received(got)),
                recv(other) -> got => got.into_iter().for_each(|got| world.received(got)),
                send(tx, one) -> sent => world.sent(first, sent.err().map(|error| error.into_inner())),
                send(another, two) -> sent => world.sent(second, sent.err().map(|error| error.into_inner())),
                default(soon) => {},
            }
        }
        10 => {
            // A slot first, the message later; or never.
            let slot = timeout(soon, || tx.reserve());
            if random.below(2) == 0 {
                kahn::yield_now();
            }
            if let Ok(Ok(slot)) = slot
                && random.below(3) > 0
            {
                let message = world.message();
                let id = message.id;
                world.sent(id, slot.send(message).err().map(|error| error.into_inner()));
            }
        }
        11 => {
            let mut total = world.total.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            *total += 1;
            world.added.fetch_add(1, SeqCst);
        }
        12 => {
            let mut pair = world.pair.write().unwrap_or_else(|poisoned| poisoned.into_inner());
            pair.0 += 1;
            pair.1 += 1;
        }
        13 => {
            let pair = world.pair.read().unwrap_or_else(|poisoned| poisoned.into_inner());
            assert_eq!(pair.0, pair.1, "seen half written");
        }
        14 => {
            let permit = timeout(soon, || world.permits.acquire_many(1 + random.below(2) as usize));
            kahn::yield_now();
            drop(permit);
        }
        _ => {
            let (lock, condvar) = &world.bell;
            let mut rings = lock.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            *rings += 1;
            condvar.notify_one();
            let _ = condvar.wait_timeout(rings, soon);
        }
    }
}

/// Green threads, some of which are cut off, and two OS threads.
fn round(seed: u64) {
    let mut random = Random::new(seed);
    let workers = [1, 2, 3, 8][random.below(4) as usize];
    let counter = Counter::new();
    let world = Arc::new(World {
        counter: counter.clone(),
        next: AtomicUsize::new(0),
        fates: (0..2 * MESSAGES).map(|_| AtomicU8::new(0)).collect(),
        total: Mutex::new(0),
        pair: RwLock::new((0, 0)),
        added: AtomicUsize::new(0),
        permits: Semaphore::new(2),
        bell: (Mutex::new(0), Condvar::new()),
    });
    let (txs, rxs): (Vec<_>, Vec<_>) = (0..CHANNELS).map(|_| bounded(random.below(5) as usize)).unzip();
    let actor = |mut random: Random| {
        let (world, txs, rxs) = (world.clone(), txs.clone(), rxs.clone());
        move || {
            for _ in 0..OPERATIONS {
                act(&world, &mut random, &txs, &rxs);
            }
        }
    };
    let runtime = runtime(workers);
    let outsiders: Vec<_> =
        (0..2).map(|i| std::thread::spawn(actor(Random::new(seed ^ (i + 1) << 32)))).collect();
    let green: Vec<_> =
        (2..ACTORS).map(|i| runtime.spawn(actor(Random::new(seed ^ (i + 1) << 32)))).collect();
    // Every third is a victim.
    for victim in green.iter().step_by(3) {
        for _ in 0..random.below(20_000) {
            std::hint::spin_loop();
        }
        victim.cancel();
    }
    for (i, handle) in green.into_iter().enumerate() {
        if let Err(error) = handle.join() {
            assert!(i % 3 == 0 || error.is_panic(), "actor {i} was cancelled");
            if error.is_panic() {
                resume_unwind(error.into_panic());
            }
        }
    }
    outsiders.into_iter().for_each(|handle| handle.join().unwrap_or_else(|panic| resume_unwind(panic)));
    // No thread is left. The messages in the channels are taken out, and then the counts must agree.
    for rx in &rxs {
        rx.try_iter().for_each(|message| world.received(message));
    }
    for (id, fate) in world.fates.iter().enumerate() {
        assert_ne!(fate.load(SeqCst) & (SENT | RECEIVED), SENT, "message {id} was sent, and is nowhere");
    }
    counter.assert_all_gone();
    assert_eq!(*world.total.try_lock().unwrap_or_else(into_value) as usize, world.added.load(SeqCst));
    assert!(
        !matches!(world.pair.try_write(), Err(std::sync::TryLockError::WouldBlock)),
        "the lock is not free"
    );
    assert_eq!(world.permits.available_permits(), 2);
}

fn into_value<T>(error: std::sync::TryLockError<T>) -> T {
    match error {
        std::sync::TryLockError::Poisoned(poisoned) => poisoned.into_inner(),
        std::sync::TryLockError::WouldBlock => panic!("the lock is not free"),
    }
}

fn seconds() -> u64 {
    std::env::var("KAHN_SOAK_SECONDS").map_or(2, |text| text.parse().expect("KAHN_SOAK_SECONDS=seconds"))
}

#[test]
fn random_operations_lose_nothing() {
    let run = |seed: u64| {
        within(&format!("the round with KAHN_SOAK_SEED={seed}"), || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| round(seed))) {
                eprintln!("this round is run again with KAHN_SOAK_SEED={seed}");
                resume_unwind(panic);
            }
        });
    };
    if let Ok(seed) = std::env::var("KAHN_SOAK_SEED") {
        return run(seed.parse().expect("KAHN_SOAK_SEED=number"));
    }
    (0..8).for_each(run);
    let since_epoch = std::time::UNIX_EPOCH.elapsed().unwrap();
    let (mut seed, end) = (since_epoch.as_nanos() as u64, Instant::now() + Duration::from_secs(seconds()));
    eprintln!("random rounds from KAHN_SOAK_SEED={seed}");
    while Instant::now() < end {
        run(seed);
        seed += 1;
    }
}
