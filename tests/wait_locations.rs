//! A report of a deadlock names the line of the program at which each thread waits. Each public operation that
//! parks is tested once.
//!
//! A wait for a socket, a file or a process is no part of a deadlock. So another report tests these: that of a park inside
//! the initialiser of a `thread_local!`.

#[path = "support/parks.rs"]
#[allow(dead_code, reason = "this file uses a part")]
mod parks;
mod support;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use kahn::actor::testing::Probe;
use kahn::actor::{
    Actor, ActorRef, Builder, ChildSpec, Context, DynamicSupervisor, DynamicSupervisorRef, ExitReason, Group,
    Limiter, Mailbox, Overflow, Pool, Reply, Shutdown, Strategy, Supervisor, SupervisorRef, spawn,
};
use kahn::channel::{Receiver, Select, bounded, broadcast, never, oneshot, select, watch};
use kahn::sync::{Barrier, Condvar, LazyLock, Mutex, Once, OnceLock, RwLock, Semaphore, WaitGroup};
use parks::io::{FILE, Wait, short_waits, waits};
use support::{child, child_command, is_child, output_of, runtime, stderr, within};

const LONG: Duration = Duration::MAX;

/// Runs its message in its handler.
struct Runs;

enum Run {
    This(fn(&mut Context<Runs>)),
    Ask(Reply<()>),
}

impl Actor for Runs {
    type Message = Run;

    fn handle(&mut self, message: Run, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Run::This(f) => f(ctx),
            Run::Ask(reply) => std::mem::forget(reply),
        }
        Ok(())
    }
}

/// An actor that never takes another message, with its mailbox full.
fn full() -> ActorRef<Run> {
    let actor = Builder::new().mailbox(1).overflow(Overflow::Park).spawn(Runs);
    actor.tell(Run::This(|_| kahn::thread::park())).ok();
    while !actor.is_empty() {
        kahn::yield_now();
    }
    actor.tell(Run::Ask(kahn::actor::testing::reply().0)).ok();
    actor
}

/// Runs `f` in an actor's handler, and waits for its end.
fn in_handler(f: fn(&mut Context<Runs>)) {
    let actor = spawn(Runs);
    actor.tell(Run::This(f)).ok();
    actor.join();
}

fn in_loop(f: fn(&mut Mailbox<u32>)) {
    let actor = Builder::new().spawn_loop(move |mailbox: &mut Mailbox<u32>| {
        f(mailbox);
        Ok(())
    });
    actor.join();
}

/// Spawns `f`, and returns when it has called what it is given, which parks.
fn parks_inside(f: impl FnOnce(&dyn Fn()) + Send + 'static) {
    let begun = Arc::new(AtomicBool::new(false));
    let begins = begun.clone();
    let _detached = kahn::spawn(move || {
        f(&|| {
            begins.store(true, SeqCst);
            kahn::thread::park();
        });
    });
    while !begun.load(SeqCst) {
        kahn::yield_now();
    }
}

/// Receives with capacity 0 while another green thread waits for a permit, gets it, and parks with it.
fn bound_to_a_permit(receive: fn(&Receiver<u32>)) {
    let (tx, rx) = bounded::<u32>(0);
    let begun = Arc::new(AtomicBool::new(false));
    let begins = begun.clone();
    let _detached = kahn::spawn(move || {
        begins.store(true, SeqCst);
        let _permit = tx.reserve();
        kahn::thread::park();
    });
    while !begun.load(SeqCst) {
        kahn::yield_now();
    }
    receive(&rx);
}

/// As [`bound_to_a_permit`], but the receiver waits before the permit is taken.
fn waits_for_a_permit(receive: fn(&Receiver<u32>)) {
    let (tx, rx) = bounded::<u32>(0);
    let _detached = kahn::spawn_local(move || {
        let _permit = tx.reserve();
        kahn::thread::park();
    });
    receive(&rx);
}

type Case = (&'static str, fn());

const ACTORS: &[Case] = &[
    ("tell", || _ = full().tell(Run::This(|_| ()))),
    ("tell_timeout", || _ = full().tell_timeout(Run::This(|_| ()), LONG)),
    ("ask_timeout", || _ = spawn(Runs).ask_timeout(LONG, Run::Ask)),
    ("ask_timeout, for room", || _ = full().ask_timeout(LONG, Run::Ask)),
    ("ask_timeout in a handler", || in_handler(|_| _ = spawn(Runs).ask_timeout(LONG, Run::Ask))),
    ("ask_timeout in a handler, for room", || in_handler(|_| _ = full().ask_timeout(LONG, Run::Ask))),
    ("ActorRef::join", || _ = full().join()),
    ("Address::join", || _ = full().address().join()),
    ("recv", || in_loop(|mailbox| _ = mailbox.recv())),
    ("recv_timeout", || in_loop(|mailbox| _ = mailbox.recv_timeout(LONG))),
    ("recv_matching", || in_loop(|mailbox| _ = mailbox.recv_matching(|_| false))),
    ("recv_matching_timeout", || in_loop(|mailbox| _ = mailbox.recv_matching_timeout(LONG, |_| false))),
    ("next_mail", || in_loop(|mailbox| _ = mailbox.next_mail())),
    ("next_mail_timeout", || in_loop(|mailbox| _ = mailbox.next_mail_timeout(LONG))),
];

/// An actor that never starts.
struct Never;

impl Actor for Never {
    type Message = ();

    fn started(&mut self, _: &mut Context<Self>) -> Result<(), ExitReason> {
        kahn::thread::park();
        Ok(())
    }

    fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

fn never_starts() -> ChildSpec {
    ChildSpec::new("never", || Never)
}

/// An actor that never ends.
struct Stuck;

impl Actor for Stuck {
    type Message = ();

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(ctx.me().tell(())?)
    }

    fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        kahn::thread::park();
        Ok(())
    }
}

fn stuck() -> ChildSpec {
    ChildSpec::new("stuck", || Stuck).shutdown(Shutdown::Infinity)
}

fn stuck_child() -> Supervisor {
    Supervisor::new(Strategy::OneForAll).child(stuck())
}

/// A supervisor whose child does not end.
fn supervisor() -> SupervisorRef {
    let supervisor = stuck_child().spawn();
    let_others_run();
    supervisor
}

/// A supervisor that waits for the end of its child.
fn stopping() -> SupervisorRef {
    let supervisor = supervisor();
    let stops = supervisor.clone();
    let _stopping = kahn::spawn(move || stops.stop());
    let_others_run();
    supervisor
}

/// There is one worker, so the others have run until they parked.
fn let_others_run() {
    (0..10).for_each(|_| kahn::yield_now());
}

type Kids = DynamicSupervisorRef<(), Run>;

/// A dynamic supervisor whose child does not end.
fn kids() -> (Kids, ActorRef<Run>) {
    let kids = DynamicSupervisor::new(|()| Runs).shutdown(Shutdown::Infinity).spawn();
    let child = kids.start(()).unwrap();
    child.tell(Run::This(|_| kahn::thread::park())).ok();
    while !child.is_empty() {
        kahn::yield_now();
    }
    (kids, child)
}

fn stopping_kids() -> (Kids, ActorRef<Run>) {
    let (kids, child) = kids();
    let stops = kids.clone();
    let _stopping = kahn::spawn(move || stops.stop());
    let_others_run();
    (kids, child)
}

const SUPERVISORS: &[Case] = &[
    ("Supervisor::spawn", || _ = Supervisor::default().child(never_starts()).spawn()),
    ("Supervisor::try_spawn", || _ = Supervisor::default().child(never_starts()).try_spawn()),
    ("Supervisor::spawn, of a tree", || {
        let lower = ChildSpec::supervisor("lower", || Supervisor::default().child(never_starts()));
        Supervisor::default().child(lower).spawn();
    }),
    ("Supervisor::spawn in a handler", || {
        in_handler(|_| _ = Supervisor::default().child(never_starts()).spawn())
    }),
    ("SupervisorRef::stop", || supervisor().stop()),
    ("SupervisorRef::stop, of a tree", || {
        let supervisor = Supervisor::default().child(ChildSpec::supervisor("lower", stuck_child)).spawn();
        let_others_run();
        supervisor.stop();
    }),
    ("SupervisorRef::stop in a handler", || in_handler(|_| supervisor().stop())),
    ("SupervisorRef::join", || _ = supervisor().join()),
    ("SupervisorRef::actor_ref", || _ = stopping().actor_ref::<()>("stuck")),
    ("SupervisorRef::supervisor", || _ = stopping().supervisor("stuck")),
    ("SupervisorRef::dynamic_supervisor", || _ = stopping().dynamic_supervisor::<(), ()>("stuck")),
    ("SupervisorRef::children", || _ = stopping().children()),
    ("SupervisorRef::start_child", || _ = supervisor().start_child(never_starts())),
    ("SupervisorRef::terminate_child", || _ = supervisor().terminate_child("stuck")),
    ("SupervisorRef::restart_child", || _ = stopping().restart_child("stuck")),
    ("SupervisorRef::delete_child", || _ = stopping().delete_child("stuck")),
    ("a restart of all children", || {
        let fails = ChildSpec::thread("fails", || Err::<(), _>(ExitReason::failed("so")));
        let supervisor = stuck_child().child(fails).spawn();
        supervisor.join();
    }),
    ("the end of a supervisor with added children", || {
        let supervisor = Supervisor::default().spawn();
        supervisor.start_child(stuck()).unwrap();
        let_others_run();
        supervisor.stop();
    }),
    ("DynamicSupervisorRef::start", || {
        let kids = DynamicSupervisor::new(|()| Never).spawn();
        let _ = kids.start(());
    }),
    ("DynamicSupervisorRef::start, stopping", || _ = stopping_kids().0.start(())),
    ("DynamicSupervisorRef::terminate", || {
        let (kids, child) = kids();
        let _ = kids.terminate(&child);
    }),
    ("DynamicSupervisorRef::terminate_id", || _ = kids().0.terminate_id("1")),
    ("DynamicSupervisorRef::actor_ref", || _ = stopping_kids().0.actor_ref("1")),
    ("DynamicSupervisorRef::children", || _ = stopping_kids().0.children()),
    ("DynamicSupervisorRef::count", || _ = stopping_kids().0.count()),
    ("DynamicSupervisorRef::stop", || kids().0.stop()),
    ("DynamicSupervisorRef::join", || _ = kids().0.join()),
    ("a dynamic supervisor in a tree", || {
        let kids = ChildSpec::dynamic_supervisor("kids", || DynamicSupervisor::new(|()| Never));
        let root = Supervisor::default().child(kids).spawn();
        let _ = root.dynamic_supervisor::<(), ()>("kids").unwrap().start(());
    }),
    ("PoolBuilder::spawn", || _ = Pool::builder(1).spawn(|| Never)),
    ("Pool::stop", || {
        let pool = Pool::builder(1).spawn(|| Runs).unwrap();
        pool.supervisor().start_child(stuck()).unwrap();
        let_others_run();
        pool.stop();
    }),
];

const GROUPS: &[Case] = &[
    ("Group::broadcast", || {
        let (group, loops) = (Group::new(), parked_loop());
        group.join(&loops);
        (0..3).for_each(|n| _ = group.broadcast(n));
    }),
    ("Limiter::acquire", || {
        let limiter = Limiter::new(1, LONG);
        limiter.acquire(1);
        limiter.acquire(1);
    }),
    ("Probe::expect", || _ = Probe::<u32>::new().patience(LONG).expect()),
    ("Probe::expect_matching", || _ = Probe::<u32>::new().patience(LONG).expect_matching(|_| true)),
    ("Probe::expect_none", || Probe::<u32>::new().expect_none(LONG)),
    ("Probe::expect_down", || {
        let never = full();
        _ = Probe::<u32>::new().patience(LONG).expect_down(&never);
    }),
];

fn parked_loop() -> ActorRef<u32> {
    Builder::new().mailbox(1).spawn_loop(|_: &mut Mailbox<u32>| {
        kahn::thread::park();
        Ok(())
    })
}

const CHANNELS: &[Case] = &[
    ("send", || {
        let (tx, _rx) = bounded(0);
        let _ = tx.send(1);
    }),
    ("send_timeout", || {
        let (tx, _rx) = bounded(0);
        let _ = tx.send_timeout(1, LONG);
    }),
    ("reserve", || {
        let (tx, _rx) = bounded(1);
        tx.send(1).unwrap();
        let _ = tx.reserve();
    }),
    ("recv", || _ = never::<u32>().recv()),
    ("recv of a channel", || {
        let (_tx, rx) = bounded::<u32>(1);
        let _ = rx.recv();
    }),
    ("recv_timeout", || {
        let (_tx, rx) = bounded::<u32>(1);
        let _ = rx.recv_timeout(LONG);
    }),
    ("recv_many", || {
        let (_tx, rx) = bounded::<u32>(1);
        let _ = rx.recv_many(&mut Vec::new(), 1);
    }),
    ("iter", || {
        let (_tx, rx) = bounded::<u32>(1);
        assert!(rx.iter().next().is_none());
    }),
    ("select!", || {
        let (_tx, rx) = bounded::<u32>(1);
        select! {
            recv(rx) -> _ => {}
            recv(never::<u32>()) -> _ => {}
        }
    }),
    ("Select::select", || {
        let (_tx, rx) = bounded::<u32>(1);
        let mut select = Select::new();
        select.recv(&rx);
        let operation = select.select();
        let _ = operation.recv(&rx);
    }),
    ("Select::ready", || {
        let (_tx, rx) = bounded::<u32>(1);
        let mut select = Select::new();
        select.recv(&rx);
        select.ready();
    }),
    ("recv, bound to a permit", || bound_to_a_permit(|rx| _ = rx.recv())),
    ("recv of a receiver that waits, bound to a permit", || waits_for_a_permit(|rx| _ = rx.recv())),
    ("recv after a failed select, bound to a permit", || {
        bound_to_a_permit(|rx| {
            let mut select = Select::new();
            select.recv(rx);
            _ = rx.recv();
        });
    }),
    ("try_recv, bound to a permit", || bound_to_a_permit(|rx| _ = rx.try_recv())),
    ("recv_timeout, bound to a permit", || bound_to_a_permit(|rx| _ = rx.recv_timeout(LONG))),
    ("recv_timeout of a receiver that waits, bound to a permit", || {
        waits_for_a_permit(|rx| _ = rx.recv_timeout(LONG));
    }),
    ("recv_many, bound to a permit", || bound_to_a_permit(|rx| _ = rx.recv_many(&mut Vec::new(), 2))),
    ("recv_many of a receiver that waits, bound to a permit", || {
        waits_for_a_permit(|rx| _ = rx.recv_many(&mut Vec::new(), 2));
    }),
    ("iter, bound to a permit", || bound_to_a_permit(|rx| _ = rx.iter().next())),
    ("iter of a receiver that waits, bound to a permit", || waits_for_a_permit(|rx| _ = rx.iter().next())),
    ("try_iter, bound to a permit", || bound_to_a_permit(|rx| _ = rx.try_iter().next())),
    ("select!, bound to a permit", || {
        bound_to_a_permit(|rx| {
            select! {
                recv(rx) -> _ => {}
                recv(never::<u32>()) -> _ => {}
            }
        });
    }),
    ("select! that waits, bound to a permit", || {
        waits_for_a_permit(|rx| {
            select! {
                recv(rx) -> _ => {}
                recv(never::<u32>()) -> _ => {}
            }
        });
    }),
    ("select! with a default, bound to a permit", || {
        bound_to_a_permit(|rx| {
            select! {
                recv(rx) -> _ => {}
                default => {}
            }
        });
    }),
    ("Select::select, bound to a permit", || {
        bound_to_a_permit(|rx| {
            let mut select = Select::new();
            select.recv(rx);
            let operation = select.select();
            let _ = operation.recv(rx);
        });
    }),
    ("oneshot recv", || {
        let (_tx, rx) = oneshot::<u32>();
        let _ = rx.recv();
    }),
    ("oneshot recv_timeout", || {
        let (_tx, rx) = oneshot::<u32>();
        let _ = rx.recv_timeout(LONG);
    }),
    ("oneshot closed", || {
        let (tx, _rx) = oneshot::<u32>();
        tx.closed();
    }),
    ("broadcast send", || {
        let (tx, _rx) = broadcast(1);
        (0..2).for_each(|n| _ = tx.send(n));
    }),
    ("broadcast recv", || {
        let (_tx, rx) = broadcast::<u32>(1);
        let _ = rx.recv();
    }),
    ("broadcast recv_timeout", || {
        let (_tx, rx) = broadcast::<u32>(1);
        let _ = rx.recv_timeout(LONG);
    }),
    ("watch changed", || {
        let (_tx, rx) = watch(1);
        let _ = rx.changed();
    }),
    ("watch changed_timeout", || {
        let (_tx, rx) = watch(1);
        let _ = rx.changed_timeout(LONG);
    }),
];

const LOCKS: &[Case] = &[
    ("Mutex::lock", || {
        let lock = Mutex::new(());
        std::mem::forget(lock.lock().unwrap());
        let _ = lock.lock();
    }),
    ("RwLock::read", || {
        let lock = RwLock::new(());
        std::mem::forget(lock.write().unwrap());
        let _ = lock.read();
    }),
    ("RwLock::write", || {
        let lock = RwLock::new(());
        std::mem::forget(lock.read().unwrap());
        let _ = lock.write();
    }),
    ("Condvar::wait", || {
        let lock = Mutex::new(());
        drop(Condvar::new().wait(lock.lock().unwrap()));
    }),
    ("Condvar::wait_while", || {
        let lock = Mutex::new(());
        drop(Condvar::new().wait_while(lock.lock().unwrap(), |()| true));
    }),
    ("Condvar::wait_timeout", || {
        let lock = Mutex::new(());
        drop(Condvar::new().wait_timeout(lock.lock().unwrap(), LONG));
    }),
    ("Condvar::wait_timeout_while", || {
        let lock = Mutex::new(());
        drop(Condvar::new().wait_timeout_while(lock.lock().unwrap(), LONG, |()| true));
    }),
    ("Semaphore::acquire", || _ = Semaphore::new(0).acquire()),
    ("Semaphore::acquire_many", || _ = Semaphore::new(0).acquire_many(2)),
    ("Semaphore::acquire_timeout", || _ = Semaphore::new(0).acquire_timeout(LONG)),
    ("Semaphore::acquire_many_timeout", || _ = Semaphore::new(0).acquire_many_timeout(2, LONG)),
    ("Barrier::wait", || _ = Barrier::new(2).wait()),
    ("WaitGroup::wait", || {
        let group = WaitGroup::new();
        let _other = group.clone();
        group.wait();
    }),
    ("Once::wait", || Once::new().wait()),
    ("Once::wait_force", || Once::new().wait_force()),
    ("Once::call_once", || {
        let once = Arc::new(Once::new());
        let again = once.clone();
        parks_inside(move |park| again.call_once(park));
        once.call_once(|| ());
    }),
    ("OnceLock::wait", || _ = OnceLock::<u32>::new().wait()),
    ("OnceLock::get_or_init", || {
        let lock = Arc::new(OnceLock::new());
        let again = lock.clone();
        parks_inside(move |park| _ = again.get_or_init(park));
        lock.get_or_init(|| ());
    }),
    ("LazyLock::force", || {
        let lock = Arc::new(LazyLock::<(), fn()>::new(|| kahn::thread::park()));
        let again = lock.clone();
        let _other = kahn::spawn(move || _ = LazyLock::force(&again));
        kahn::yield_now();
        LazyLock::force(&lock);
    }),
];

const THREADS: &[Case] = &[
    ("park", || kahn::thread::park()),
    ("park_timeout", || kahn::thread::park_timeout(LONG)),
    ("sleep", || kahn::sleep(LONG)),
    ("join", || _ = kahn::spawn(|| kahn::thread::park()).join()),
    ("scope", || kahn::scope(|scope| drop(scope.spawn(|| kahn::thread::park())))),
    ("scoped join", || kahn::scope(|scope| drop(scope.spawn(|| kahn::thread::park()).join()))),
    ("block_on", || kahn::block_on(std::future::pending::<()>())),
    ("join of a task", || _ = kahn::task::spawn(std::future::pending::<()>()).join()),
    ("block_on of a task", || _ = kahn::block_on(kahn::task::spawn(std::future::pending::<()>()))),
];

/// The rows of the report with which `run` panics.
fn rows(f: fn()) -> Vec<String> {
    let runtime = runtime(1);
    let Err(payload) = catch_unwind(AssertUnwindSafe(|| runtime.run(f))) else {
        return vec!["it has ended by itself".to_owned()];
    };
    let Ok(report) = payload.downcast::<String>() else { return vec!["no report".to_owned()] };
    report.lines().skip(2).map(str::to_owned).collect()
}

fn check(cases: &[Case]) {
    std::panic::set_hook(Box::new(|_| {}));
    let mut wrong = Vec::new();
    for (name, f) in cases {
        let rows = rows(*f);
        if rows.is_empty() || !rows.iter().all(|row| row.contains(file!())) {
            wrong.push(format!("{name}: {rows:#?}"));
        }
    }
    drop(std::panic::take_hook());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether a program hangs is a question about the whole process, so each of these has one of its own.
#[track_caller]
fn alone(test: &str, cases: &[Case]) {
    if is_child(test) {
        return check(cases);
    }
    let output = child(test, test);
    assert!(output.status.success(), "{:?}: {}", output.status, stderr(&output));
}

#[test]
fn actors_are_reported_at_the_line_that_waits() {
    alone("actors_are_reported_at_the_line_that_waits", ACTORS);
}

#[test]
fn supervisors_are_reported_at_the_line_that_waits_or_has_spawned_them() {
    alone("supervisors_are_reported_at_the_line_that_waits_or_has_spawned_them", SUPERVISORS);
}

#[test]
fn groups_and_probes_are_reported_at_the_line_that_waits() {
    alone("groups_and_probes_are_reported_at_the_line_that_waits", GROUPS);
}

#[test]
fn channels_are_reported_at_the_line_that_waits() {
    alone("channels_are_reported_at_the_line_that_waits", CHANNELS);
}

#[test]
fn locks_are_reported_at_the_line_that_waits() {
    alone("locks_are_reported_at_the_line_that_waits", LOCKS);
}

#[test]
fn threads_are_reported_at_the_line_that_waits() {
    alone("threads_are_reported_at_the_line_that_waits", THREADS);
}

thread_local! {
    static WAIT: Cell<Option<Box<dyn FnOnce()>>> = const { Cell::new(None) };
    static WAITED: () = WAIT.take().expect("a wait is prepared")();
}

/// Occupies the only thread of the pool, so that the next blocking call has to wait.
fn occupy_the_blocking_pool() {
    static BEGUN: AtomicBool = AtomicBool::new(false);
    let _detached = kahn::spawn(|| {
        kahn::blocking(|| {
            BEGUN.store(true, SeqCst);
            std::thread::park();
        });
    });
    while !BEGUN.load(SeqCst) {
        kahn::yield_now();
    }
}

/// Runs each wait in a process of its own, inside an initialiser, and checks the line of the report.
#[track_caller]
fn each_alone(test: &str, waits: Vec<Wait>) {
    if let Some((_, prepare)) = waits.iter().find(|(name, _)| is_child(name)) {
        return within(test, || {
            let runtime = kahn::Runtime::builder().workers(1).blocking_threads(1).build().unwrap();
            runtime.run(|| {
                WAIT.set(Some(prepare()));
                occupy_the_blocking_pool();
                WAITED.with(|()| ());
            });
        });
    }
    let mut wrong = Vec::new();
    for (name, _) in waits {
        let mut command = child_command(test, name);
        command.env("KAHN_CHECK", "thread_locals");
        let text = stderr(&output_of(command));
        let report = text.lines().find(|line| line.starts_with("a green thread parks"));
        if report.is_none_or(|line| !line.contains(&format!(", at {FILE}:"))) {
            wrong.push(format!("{name}: {}", report.unwrap_or(&text)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn waits_for_input_and_output_are_reported_at_the_line_that_waits() {
    each_alone("waits_for_input_and_output_are_reported_at_the_line_that_waits", waits());
}

#[test]
fn short_waits_for_input_and_output_are_reported_at_the_line_that_waits() {
    each_alone("short_waits_for_input_and_output_are_reported_at_the_line_that_waits", short_waits());
}
