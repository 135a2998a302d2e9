//! Fairness: every green thread that can run gets turns, beside pairs that wake each other for ever, loops that
//! never park, timers, and stuck workers.
//!
//! A table combines each way to become runnable with each way to keep a worker busy
//! (`each_way_to_become_runnable_…`).

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use kahn::Runtime;
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

/// One that does a hundred operations without parking each turn, against one that yields after each: the hog's turns
/// are at most twice the other's, and it cannot keep the worker.
#[test]
fn loop_that_never_parks_yields() {
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
fn loop_of_failed_receives_lets_the_sender_run() {
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
                kahn::channel::select! {
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
fn loop_of_failed_locks_lets_the_holder_run() {
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
fn yielding_threads_make_progress_beside_busy_ones() {
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
fn timers_fire_beside_busy_threads() {
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
fn work_from_outside_starts_beside_busy_threads() {
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
fn children_of_a_stuck_worker_run_on_others() {
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
fn work_from_outside_does_not_wait_for_a_stuck_worker() {
    for workers in [2, 3, 8] {
        within(&format!("{workers} workers"), || {
            for round in 0..rounds(20) {
                let runtime = runtime(workers);
                if runtime.workers() == 1 {
                    // `KAHN_WORKERS` is 1: there is no other worker.
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

/// An asked actor runs next, beside the asker. An endless chain of asks still leaves turns to actors that are told,
/// before their mailboxes are full.
#[test]
fn asks_leave_turns_to_the_asked_actor() {
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

/// An actor that handles messages without a pause gets as many operations as the green threads of its worker.
#[test]
fn messages_of_an_actor_count_as_operations() {
    const MESSAGES: usize = 6400;
    struct Counter {
        gate: Arc<kahn::sync::Semaphore>,
        handled: Arc<AtomicUsize>,
    }
    impl Actor for Counter {
        type Message = ();

        fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
            if self.handled.load(SeqCst) == 0 {
                self.gate.acquire().forget();
            }
            self.handled.fetch_add(1, SeqCst);
            Ok(())
        }
    }
    let runtime = runtime(1);
    if runtime.workers() != 1 {
        // `KAHN_WORKERS` says otherwise. On two workers, the actor and the thread would not share one.
        return;
    }
    within("one worker", move || {
        runtime.run(|| {
            let (gate, handled) = (Arc::new(kahn::sync::Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
            let counter = Counter { gate: gate.clone(), handled: handled.clone() };
            let counter = actor::Builder::new().mailbox(MESSAGES).spawn(counter);
            (0..MESSAGES).for_each(|_| counter.tell(()).unwrap());
            let mut yields = 0;
            gate.add_permits(1);
            while handled.load(SeqCst) < MESSAGES {
                kahn::yield_now();
                yields += 1;
            }
            // A turn costs at least one operation, and at most two if the thread only yields.
            assert!(yields >= MESSAGES / 4, "{yields} turns beside {MESSAGES} messages");
        });
    });
}

/// What the two sides of a contest share.
#[derive(Default)]
struct Contest {
    stop: AtomicBool,
    /// What the busy side has done.
    rounds: AtomicUsize,
    /// How often the other side has run.
    beats: AtomicUsize,
    /// `rounds` at the first beat, and at the last that counts.
    span: [AtomicUsize; 2],
}

impl Contest {
    /// Beats that count.
    const BEATS: usize = 30;

    fn goes_on(&self) -> bool {
        !self.stop.load(SeqCst)
    }

    fn round(&self) {
        self.rounds.fetch_add(1, SeqCst);
    }

    fn beat(&self) {
        let beats = self.beats.fetch_add(1, SeqCst);
        let rounds = self.rounds.load(SeqCst);
        match beats {
            0 => self.span[0].store(rounds, SeqCst),
            Self::BEATS => self.span[1].store(rounds, SeqCst),
            _ => {}
        }
    }

    fn is_over(&self) -> bool {
        self.beats.load(SeqCst) > Self::BEATS
    }
}

/// An actor that returns each ball to the actor in it, until the contest is over.
struct Player(Arc<Contest>);

struct Ball {
    to: ActorRef<Ball>,
    over: kahn::channel::Sender<()>,
}

impl Actor for Player {
    type Message = Ball;

    fn handle(&mut self, ball: Ball, context: &mut Context<Self>) -> Result<(), ExitReason> {
        self.0.round();
        if self.0.goes_on() {
            let _ = ball.to.tell(Ball { to: context.me(), over: ball.over });
        } else {
            let _ = ball.over.try_send(());
        }
        Ok(())
    }
}

fn migratory(f: impl FnOnce() + Send + 'static) -> kahn::thread::JoinHandle<()> {
    // SAFETY: the callers below have only counters, channels and locals of `std` on the stack while they park.
    unsafe { kahn::thread::Builder::new().spawn_migratory(f) }.unwrap()
}

fn players(contest: &Arc<Contest>, to_itself: bool) {
    let (over, is_over) = bounded(1);
    let one = actor::spawn(Player(contest.clone()));
    let other = if to_itself { one.clone() } else { actor::spawn(Player(contest.clone())) };
    one.tell(Ball { to: other, over }).unwrap();
    is_over.recv().unwrap();
}

/// A name, and a way to keep a worker busy: runs in a green thread until the contest is over.
type Busy = (&'static str, fn(&Arc<Contest>));

/// A name, the most rounds of the busy side between two beats, and what starts a green thread or an actor that beats
/// each time that it becomes runnable, until the contest is over. There is no such number where the clock or an OS
/// thread sets the pace.
type Runnable = (&'static str, Option<usize>, fn(&Arc<Runtime>, &Arc<Contest>));

const BUSY: [Busy; 15] = [
    ("spawn and join", |contest| {
        while contest.goes_on() {
            contest.round();
            kahn::spawn(|| ()).join().unwrap();
        }
    }),
    ("spawn_local and join", |contest| {
        while contest.goes_on() {
            contest.round();
            kahn::thread::spawn_local(|| ()).join().unwrap();
        }
    }),
    ("spawn two, join one", |contest| {
        while contest.goes_on() {
            contest.round();
            drop(kahn::spawn(|| ()));
            kahn::spawn(|| ()).join().unwrap();
        }
    }),
    ("spawn eight, join them", |contest| {
        while contest.goes_on() {
            contest.round();
            let handles: Vec<_> = (0..8).map(|_| kahn::spawn(|| ())).collect();
            handles.into_iter().for_each(|handle| handle.join().unwrap());
        }
    }),
    ("scope", |contest| {
        while contest.goes_on() {
            contest.round();
            kahn::scope(|scope| _ = scope.spawn(|| ()));
        }
    }),
    ("wait group", |contest| {
        while contest.goes_on() {
            contest.round();
            let group = kahn::sync::WaitGroup::new();
            let member = group.clone();
            drop(kahn::spawn(move || drop(member)));
            group.wait();
        }
    }),
    ("spawn and receive", |contest| {
        while contest.goes_on() {
            contest.round();
            let (tx, rx) = kahn::channel::oneshot();
            drop(kahn::spawn(move || tx.send(1)));
            rx.recv().unwrap();
        }
    }),
    ("yield", |contest| {
        while contest.goes_on() {
            contest.round();
            kahn::yield_now();
        }
    }),
    ("send and receive", |contest| {
        let (ping, pinged) = bounded(0);
        let (pong, ponged) = bounded(0);
        let other = kahn::spawn(move || pinged.into_iter().for_each(|()| pong.send(()).unwrap()));
        while contest.goes_on() {
            contest.round();
            ping.send(()).unwrap();
            ponged.recv().unwrap();
        }
        drop(ping);
        other.join().unwrap();
    }),
    ("send and receive, migratory", |contest| {
        let (ping, pinged) = bounded(0);
        let (pong, ponged) = bounded(0);
        let contest = contest.clone();
        let one = migratory(move || {
            while contest.goes_on() {
                contest.round();
                ping.send(()).unwrap();
                ponged.recv().unwrap();
            }
        });
        migratory(move || pinged.into_iter().for_each(|()| pong.send(()).unwrap())).join().unwrap();
        one.join().unwrap();
    }),
    ("operations without a park", |contest| {
        let (tx, rx) = bounded(1);
        while contest.goes_on() {
            contest.round();
            tx.send(()).unwrap();
            rx.recv().unwrap();
        }
    }),
    ("ask", |contest| {
        struct Server;
        impl Actor for Server {
            type Message = Reply<()>;

            fn handle(&mut self, reply: Reply<()>, _: &mut Context<Self>) -> Result<(), ExitReason> {
                let _ = reply.send(());
                Ok(())
            }
        }
        let server = actor::spawn(Server);
        while contest.goes_on() {
            contest.round();
            server.ask(|reply| reply).unwrap();
        }
    }),
    ("serve", |contest| {
        let (questions, rx) = bounded(1);
        let (tx, answers) = bounded(1);
        let _server = kahn::serve(rx, move |()| tx.send(()).unwrap());
        while contest.goes_on() {
            contest.round();
            questions.send(()).unwrap();
            answers.recv().unwrap();
        }
    }),
    ("tell", |contest| players(contest, false)),
    ("tell itself", |contest| players(contest, true)),
];

const RUNNABLE: [Runnable; 9] = [
    ("yields", Some(2000), |_, contest| {
        let contest = contest.clone();
        drop(kahn::spawn(move || {
            while contest.goes_on() {
                contest.beat();
                kahn::yield_now();
            }
        }));
    }),
    ("yields, migratory", Some(2000), |_, contest| {
        let contest = contest.clone();
        drop(migratory(move || {
            while contest.goes_on() {
                contest.beat();
                kahn::yield_now();
            }
        }));
    }),
    ("is woken beside", Some(4000), |_, contest| {
        let (tx, rx) = bounded(1);
        let [sends, receives] = [contest.clone(), contest.clone()];
        drop(kahn::spawn(move || {
            while sends.goes_on() && tx.send(()).is_ok() {
                kahn::yield_now();
            }
        }));
        drop(kahn::spawn(move || rx.into_iter().for_each(|()| receives.beat())));
    }),
    ("is woken beside, migratory", Some(4000), |_, contest| {
        let (tx, rx) = bounded(1);
        let [sends, receives] = [contest.clone(), contest.clone()];
        drop(kahn::spawn(move || {
            while sends.goes_on() && tx.send(()).is_ok() {
                kahn::yield_now();
            }
        }));
        drop(migratory(move || rx.into_iter().for_each(|()| receives.beat())));
    }),
    ("is spawned", Some(20_000), |_, contest| {
        let contest = contest.clone();
        drop(kahn::spawn(move || {
            while contest.goes_on() {
                let child = kahn::spawn({
                    let contest = contest.clone();
                    move || contest.beat()
                });
                while !child.is_finished() && contest.goes_on() {
                    kahn::yield_now();
                }
            }
        }));
    }),
    ("is due", None, |_, contest| {
        let contest = contest.clone();
        drop(kahn::spawn(move || {
            while contest.goes_on() {
                contest.beat();
                kahn::sleep(Duration::from_micros(100));
            }
        }));
    }),
    ("is sent to from outside", None, |_, contest| {
        let (tx, rx) = bounded(1);
        let [sends, receives] = [contest.clone(), contest.clone()];
        drop(std::thread::spawn(move || while sends.goes_on() && tx.send(()).is_ok() {}));
        drop(kahn::spawn(move || rx.into_iter().for_each(|()| receives.beat())));
    }),
    ("is spawned from outside", None, |runtime, contest| {
        let (runtime, contest) = (runtime.clone(), contest.clone());
        drop(std::thread::spawn(move || {
            while contest.goes_on() {
                let contest = contest.clone();
                runtime.spawn(move || contest.beat()).join().unwrap();
            }
        }));
    }),
    ("is told from outside", None, |_, contest| {
        struct Beater(Arc<Contest>);
        impl Actor for Beater {
            type Message = ();

            fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
                self.0.beat();
                Ok(())
            }
        }
        let beater = actor::Builder::new().mailbox(1).spawn(Beater(contest.clone()));
        let contest = contest.clone();
        drop(std::thread::spawn(move || while contest.goes_on() && beater.tell(()).is_ok() {}));
    }),
];

/// Sets every way to become runnable against every way to keep a worker busy, and fails if one of the former is shut
/// out.
fn contests(workers: usize) {
    for (busy, keep_busy) in BUSY {
        for (runnable, most, start) in RUNNABLE {
            let what = format!("{workers} workers: {busy}; beside it, one that {runnable}");
            let contest = Arc::new(Contest::default());
            let rounds = within(&what, || {
                let runtime = Arc::new(runtime(workers));
                let busy: Vec<_> = (0..runtime.workers())
                    .map(|_| {
                        let contest = contest.clone();
                        runtime.spawn(move || keep_busy(&contest))
                    })
                    .collect();
                until("every worker is busy", || contest.rounds.load(SeqCst) > 100);
                runtime.run({
                    let (runtime, contest) = (runtime.clone(), contest.clone());
                    move || start(&runtime, &contest)
                });
                until("it has run", || contest.is_over());
                contest.stop.store(true, SeqCst);
                busy.into_iter().for_each(|handle| handle.join().unwrap());
                let [first, last] = contest.span.each_ref().map(|rounds| rounds.load(SeqCst));
                (last - first) / Contest::BEATS
            });
            // With more than one worker, the two sides may have a core at different times.
            if let (Some(most), 1) = (most, workers) {
                assert!(rounds <= most, "{what}: {rounds} rounds between two beats");
            }
        }
    }
}

#[test]
fn each_way_to_become_runnable_gets_turns_on_one_worker() {
    contests(1);
}

#[test]
fn each_way_to_become_runnable_gets_turns_on_two_workers() {
    contests(2);
}

#[test]
fn each_way_to_become_runnable_gets_turns_on_four_workers() {
    contests(4);
}

/// A loop that spawns, beside something else that keeps the only worker busy. What it spawns does not pile up, and
/// another new green thread starts soon. Each task that the loop spawns spawns some leaves.
fn new_green_thread_starts_beside_a_loop_of_spawns(keep_busy: Busy, leaves: usize) {
    /// The most that the loop spawns before the start: about 64 for each one that waits.
    const MOST: usize = 100_000;
    /// The most tasks of the loop that wait at a time: some more than the 1024 that a spawner may get ahead of.
    const WAITING: usize = 4096;
    let (name, keep_busy) = keep_busy;
    let runtime = runtime(1);
    if runtime.workers() != 1 {
        eprintln!("skipped: KAHN_WORKERS is not 1, and this test needs all on one worker");
        return;
    }
    within(&format!("{name}, {leaves} leaves"), move || {
        runtime.run(move || {
            let contest = Arc::new(Contest::default());
            let [spawned, ended] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
            let (spawns, ends, goes_on) = (spawned.clone(), ended.clone(), contest.clone());
            let spawner = kahn::spawn(move || {
                while goes_on.goes_on() {
                    spawns.fetch_add(1, SeqCst);
                    let ends = ends.clone();
                    drop(kahn::spawn(move || {
                        (0..leaves).for_each(|_| drop(kahn::spawn(|| ())));
                        ends.fetch_add(1, SeqCst);
                    }));
                }
            });
            let busy = kahn::spawn({
                let contest = contest.clone();
                move || keep_busy(&contest)
            });
            let mut wrong = None;
            for n in 1..=3 {
                until("the loop has spawned more", || spawned.load(SeqCst) >= 2_000 / (leaves + 1) * n);
                let before = spawned.load(SeqCst);
                let child = kahn::spawn(|| ());
                let since = || spawned.load(SeqCst) - before;
                while !child.is_finished() && since() <= MOST {
                    kahn::yield_now();
                }
                let waiting = spawned.load(SeqCst) - ended.load(SeqCst);
                if since() > MOST || waiting > WAITING {
                    wrong = Some((since(), waiting));
                    break;
                }
            }
            contest.stop.store(true, SeqCst);
            spawner.join().unwrap();
            busy.join().unwrap();
            assert_eq!(wrong, None, "{name}: spawned before the start, and waiting");
        });
    });
}

/// A server that sends itself messages, so that it has one whenever it takes its next turn.
const FEEDS_ITSELF: Busy = ("a server that feeds itself", |contest| {
    let (tx, rx) = bounded(64);
    let (sends, goes_on) = (tx.clone(), contest.clone());
    let server = kahn::serve(rx, move |()| {
        if goes_on.goes_on() {
            (0..2).for_each(|_| _ = sends.try_send(()));
        } else {
            sends.close();
        }
    });
    tx.send(()).unwrap();
    server.join().unwrap();
});

const SLEEPS: Busy = ("timers", |contest| {
    while contest.goes_on() {
        kahn::sleep(Duration::from_micros(20));
    }
});

#[test]
fn new_green_thread_starts_beside_a_loop_of_spawns_and_a_server() {
    new_green_thread_starts_beside_a_loop_of_spawns(FEEDS_ITSELF, 0);
}

#[test]
fn new_green_thread_starts_beside_a_loop_of_spawns_of_trees_and_a_server() {
    new_green_thread_starts_beside_a_loop_of_spawns(FEEDS_ITSELF, 10);
}

#[test]
fn new_green_thread_starts_beside_a_loop_of_spawns_and_anything_else() {
    for busy in BUSY.into_iter().chain([SLEEPS]) {
        new_green_thread_starts_beside_a_loop_of_spawns(busy, 0);
    }
}

/// A worker whose turns are short at first and then long: how many of the long ones something else has to wait for.
struct LongTurns {
    long: AtomicBool,
    stop: AtomicBool,
    turns: AtomicUsize,
}

impl LongTurns {
    /// Two green threads that yield for ever. After this the worker has done enough short turns to look around rarely.
    fn start(runtime: &Runtime) -> Arc<LongTurns> {
        let turns = LongTurns { long: false.into(), stop: false.into(), turns: 0.into() };
        let turns = Arc::new(turns);
        for _ in 0..2 {
            let turns = turns.clone();
            runtime.spawn(move || {
                while !turns.stop.load(SeqCst) {
                    turns.turns.fetch_add(1, SeqCst);
                    if turns.long.load(SeqCst) {
                        spin(Duration::from_millis(2));
                    }
                    kahn::yield_now();
                }
            });
        }
        until("many short turns", || turns.count() > 10_000);
        turns
    }

    fn count(&self) -> usize {
        self.turns.load(SeqCst)
    }

    /// Long turns from now on. Returns when the first has begun.
    fn lengthen(&self) {
        self.long.store(true, SeqCst);
        let count = self.count();
        until("a long turn", || self.count() > count + 1);
    }
}

fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// A deadline that passes during the first long turns is noticed after few of them.
#[test]
fn sleep_ends_after_few_turns_when_short_turns_become_long() {
    within("the sleep", || {
        for _ in 0..rounds(20) {
            let runtime = runtime(1);
            let turns = LongTurns::start(&runtime);
            let sleeper = turns.clone();
            let sleeper = runtime.spawn(move || {
                sleeper.long.store(true, SeqCst);
                let before = sleeper.count();
                kahn::sleep(Duration::from_millis(2));
                sleeper.count() - before
            });
            // One or two until the deadline, 16 until the worker notices that they are long, and the other one's.
            let waited = sleeper.join().unwrap();
            assert!(waited <= 20, "{waited} turns");
            turns.stop.store(true, SeqCst);
        }
    });
}

#[test]
fn spawn_from_outside_starts_after_few_turns_when_short_turns_become_long() {
    within("the spawn", || {
        for _ in 0..rounds(20) {
            let runtime = runtime(1);
            let turns = LongTurns::start(&runtime);
            turns.lengthen();
            let started = runtime.spawn({
                let turns = turns.clone();
                move || turns.count()
            });
            // Counted after the spawn: this thread may be interrupted before.
            let before = turns.count();
            // The turn in which it comes, and one of the other class.
            let waited = started.join().unwrap().saturating_sub(before);
            assert!(waited <= 4, "{waited} turns");
            turns.stop.store(true, SeqCst);
        }
    });
}

#[test]
fn shutdown_takes_few_turns_when_short_turns_become_long() {
    within("the shutdown", || {
        for _ in 0..rounds(10) {
            let runtime = runtime(1);
            let turns = LongTurns::start(&runtime);
            turns.lengthen();
            let before = turns.count();
            runtime.shutdown(Duration::from_secs(60)).unwrap();
            // A few; but this thread may be interrupted before the shutdown begins.
            let took = turns.count() - before;
            assert!(took <= 100, "{took} turns");
        }
    });
}
