//! Nobody is shut out: not by a pair that wakes each other for ever, nor by a loop that never parks, nor by timers, nor
//! by a worker that is stuck.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use kahn::actor::{self, Actor, ActorRef, Context, ExitReason, Overflow, Reply};
use kahn::channel::{TryRecvError, after, bounded, tick};
use support::{Random, WORKERS, rounds, runtime, until, with_each_size, within};

/// A pair that plays ping-pong until told to stop, and counts.
fn pair(cap: usize, stop: &Arc<AtomicBool>) -> (Arc<AtomicUsize>, [kahn::thread::JoinHandle<()>; 2]) {
    let count = Arc::new(AtomicUsize::new(0));
    let (ping, pinged) = bounded(cap);
    let (pong, ponged) = bounded(cap);
    let (counts, stops) = (count.clone(), stop.clone());
    let one = kahn::spawn(move || {
        while !stops.load(SeqCst) {
            ping.send(()).unwrap();
            ponged.recv().unwrap();
            counts.fetch_add(1, SeqCst);
        }
    });
    let other = kahn::spawn(move || {
        for () in pinged {
            if pong.send(()).is_err() {
                break;
            }
        }
    });
    (count, [one, other])
}

/// Two pairs on one worker: while one has had 100,000 turns, the other has had half as many at least.
#[test]
fn two_pairs_get_equal_shares() {
    for cap in [0, 1] {
        within("the pairs", || {
            runtime(1).run(|| {
                let stop = Arc::new(AtomicBool::new(false));
                let (hog, hogs) = pair(cap, &stop);
                let (light, lights) = pair(cap, &stop);
                until("enough turns", || hog.load(SeqCst) + light.load(SeqCst) >= 100_000);
                let (a, b) = (hog.load(SeqCst), light.load(SeqCst));
                stop.store(true, SeqCst);
                hogs.into_iter().chain(lights).for_each(|handle| handle.join().unwrap());
                assert!(a <= 2 * b && b <= 2 * a, "{a} and {b} turns");
            });
        });
    }
}

/// One that does a hundred operations without parking each turn, against one that yields after each: the hog's turns are
/// at most twice the other's, and it cannot keep the worker.
#[test]
fn a_loop_that_never_parks_yields() {
    within("the loop", || {
        runtime(1).run(|| {
            let stop = Arc::new(AtomicBool::new(false));
            let (operations, turns) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let (counts, stops) = (operations.clone(), stop.clone());
            let hog = kahn::spawn(move || {
                let (tx, rx) = bounded(100);
                while !stops.load(SeqCst) {
                    tx.send(1).unwrap();
                    rx.recv().unwrap();
                    counts.fetch_add(2, SeqCst);
                }
            });
            let light = kahn::spawn({
                let (turns, stop) = (turns.clone(), stop.clone());
                move || {
                    while !stop.load(SeqCst) {
                        turns.fetch_add(1, SeqCst);
                        kahn::yield_now();
                    }
                }
            });
            until("the light one has had its turns", || turns.load(SeqCst) >= 500);
            stop.store(true, SeqCst);
            hog.join().unwrap();
            light.join().unwrap();
            // A turn of the hog is a budget of operations, which is documented nowhere, but not thousands.
            assert!(operations.load(SeqCst) < 500 * 2000, "{} operations", operations.load(SeqCst));
        });
    });
}

/// A spinner that only looks lets the sender run, on its own worker, too.
#[test]
fn who_only_looks_lets_the_sender_run() {
    with_each_size(|| {
        for _ in 0..rounds(20) {
            let (tx, rx) = bounded(1);
            let (other_tx, other_rx) = bounded::<u32>(0);
            let sender = kahn::spawn(move || {
                tx.send(7).unwrap();
                other_tx.send(8).unwrap();
            });
            while rx.try_recv() == Err(TryRecvError::Empty) {}
            loop {
                kahn::select! {
                    recv(other_rx) -> message => break assert_eq!(message, Ok(8)),
                    default => {},
                }
            }
            sender.join().unwrap();
        }
    });
}

/// The same for locks that are only tried, and lengths that are only looked at.
#[test]
fn who_only_tries_lets_the_holder_run() {
    with_each_size(|| {
        let lock = Arc::new(kahn::sync::Mutex::new(0));
        let (held, is_held) = bounded(0);
        let other = lock.clone();
        let holder = kahn::spawn(move || {
            let mut guard = other.lock().unwrap();
            held.send(()).unwrap();
            kahn::yield_now();
            *guard = 7;
        });
        is_held.recv().unwrap();
        while lock.try_lock().map_or(true, |value| *value != 7) {}
        holder.join().unwrap();
    });
}

#[test]
fn yields_make_progress_beside_busy_ones() {
    with_each_size(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let busy: Vec<_> = (0..10)
            .map(|_| {
                let stop = stop.clone();
                kahn::spawn(move || {
                    while !stop.load(SeqCst) {
                        kahn::yield_now();
                    }
                })
            })
            .collect();
        for _ in 0..rounds(200) {
            kahn::yield_now();
            kahn::spawn(kahn::yield_now).join().unwrap();
        }
        stop.store(true, SeqCst);
        busy.into_iter().for_each(|handle| handle.join().unwrap());
    });
}

/// Timers fire beside pairs that keep every worker busy, and not before their time.
#[test]
fn timers_fire_beside_busy_ones() {
    with_each_size(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let pairs: Vec<_> = (0..8).map(|cap| pair(cap % 2, &stop)).collect();
        let start = Instant::now();
        assert!(after(Duration::from_millis(5)).recv().is_ok());
        kahn::sleep(Duration::from_millis(5));
        let beat = tick(Duration::from_millis(1));
        (0..5).for_each(|_| _ = beat.recv().unwrap());
        assert!(start.elapsed() >= Duration::from_millis(15));
        stop.store(true, SeqCst);
        for (_, handles) in pairs {
            handles.into_iter().for_each(|handle| handle.join().unwrap());
        }
    });
}

/// Work from outside starts beside those that keep every worker busy.
#[test]
fn work_from_outside_starts_beside_busy_ones() {
    for workers in WORKERS {
        within(&format!("{workers} workers"), || {
            let runtime = runtime(workers);
            let stop = Arc::new(AtomicBool::new(false));
            let stopper = stop.clone();
            let busy: Vec<_> = (0..2 * workers)
                .map(|_| {
                    let stop = stop.clone();
                    runtime.spawn(move || {
                        let (_, handles) = pair(0, &stop);
                        handles.into_iter().for_each(|handle| handle.join().unwrap());
                    })
                })
                .collect();
            for _ in 0..rounds(100) {
                runtime.spawn(|| ()).join().unwrap();
                runtime.run(kahn::yield_now);
            }
            stopper.store(true, SeqCst);
            busy.into_iter().for_each(|handle| handle.join().unwrap());
        });
    }
}

/// A green thread that computes, and never parks, keeps its worker; what it has spawned is run by another. Each spins
/// until the one spawned after it has started, so every one needs a worker of its own, and is noticed without anyone's
/// help.
#[test]
fn what_a_stuck_worker_has_spawned_is_run_by_others() {
    for workers in [2, 3, 4, 8] {
        within(&format!("{workers} workers"), || {
            let runtime = runtime(workers);
            // `KAHN_WORKERS` may have said otherwise.
            let workers = runtime.workers();
            let mut random = Random::new(workers as u64);
            for round in 0..rounds(400 / workers) {
                let chain = workers - 1;
                let started = Arc::new(AtomicUsize::new(0));
                let pauses: Vec<u64> = (0..chain).map(|_| random.below(4000)).collect();
                let flag = started.clone();
                runtime.run(move || {
                    // One spawns all of them, between pauses, and then spins.
                    for pause in pauses {
                        let flag = flag.clone();
                        drop(kahn::spawn(move || {
                            flag.fetch_add(1, SeqCst);
                            while flag.load(SeqCst) < chain {
                                std::thread::yield_now();
                            }
                        }));
                        for _ in 0..pause {
                            std::hint::spin_loop();
                        }
                    }
                    while flag.load(SeqCst) < chain {
                        std::thread::yield_now();
                    }
                });
                assert_eq!(started.load(SeqCst), chain, "round {round}");
            }
        });
    }
}

/// What is handed over to a worker that is stuck is run by another.
#[test]
fn nothing_waits_for_a_stuck_worker() {
    for workers in [2, 3, 8] {
        within(&format!("{workers} workers"), || {
            for round in 0..rounds(20) {
                let runtime = runtime(workers);
                if runtime.workers() == 1 {
                    // `KAHN_WORKERS` says so: there is nobody else.
                    return;
                }
                let stop = Arc::new(AtomicBool::new(false));
                let (started, stops) = (Arc::new(AtomicBool::new(false)), stop.clone());
                runtime.run(move || {
                    let starts = started.clone();
                    let stuck = kahn::spawn(move || {
                        starts.store(true, SeqCst);
                        while !stops.load(SeqCst) {
                            std::thread::yield_now();
                        }
                    });
                    // It starts elsewhere: we do not let it start here.
                    while !started.load(SeqCst) {
                        std::thread::yield_now();
                    }
                    let (open, gate) = bounded::<()>(0);
                    let mut parked = Vec::new();
                    for i in 0..50 {
                        let gate = gate.clone();
                        let (ready, is_ready) = bounded(0);
                        parked.push(kahn::spawn(move || {
                            ready.send(i).unwrap();
                            gate.recv().is_err()
                        }));
                        assert_eq!(is_ready.recv(), Ok(i), "round {round}");
                    }
                    let handles: Vec<_> = (0..50).map(|i| kahn::spawn(move || i)).collect();
                    assert_eq!(handles.into_iter().map(|handle| handle.join().unwrap()).sum::<i32>(), 1225);
                    drop(open);
                    assert!(parked.into_iter().all(|handle| handle.join().unwrap()));
                    stop.store(true, SeqCst);
                    stuck.join().unwrap();
                });
            }
        });
    }
}

/// Who is asked runs next, beside who asks. A chain of asks that never ends still leaves turns to those who are told, before
/// their mailboxes are full.
#[test]
fn asks_leave_turns_to_who_is_told() {
    struct Sink;
    impl Actor for Sink {
        type Message = usize;

        fn handle(&mut self, _: usize, _: &mut Context<Self>) -> Result<(), ExitReason> {
            Ok(())
        }
    }
    struct Inner;
    impl Actor for Inner {
        type Message = Reply<()>;

        fn handle(&mut self, reply: Reply<()>, _: &mut Context<Self>) -> Result<(), ExitReason> {
            let _ = reply.send(());
            Ok(())
        }
    }
    struct Outer(ActorRef<Reply<()>>, ActorRef<usize>);
    impl Actor for Outer {
        type Message = (usize, Reply<()>);

        fn handle(&mut self, (n, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
            self.1.tell(n)?;
            self.0.ask(|reply| reply)?;
            let _ = reply.send(());
            Ok(())
        }
    }
    within("one worker", || {
        runtime(1).run(|| {
            let sink = actor::Builder::new().mailbox(64).overflow(Overflow::DropOldest).spawn(Sink);
            let outer = actor::spawn(Outer(actor::spawn(Inner), sink.clone()));
            for n in 0..rounds(20_000) {
                outer.ask(|reply| (n, reply)).unwrap();
            }
            assert_eq!(sink.dropped(), 0);
        });
    });
}
