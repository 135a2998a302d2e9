//! A report of a deadlock names the line of the program at which each thread waits. Each public operation that
//! parks is tested once.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use kahn::actor::{
    Actor, ActorRef, Builder, ChildSpec, Context, ExitReason, Mailbox, Overflow, Reply, Shutdown, Strategy,
    Supervisor, SupervisorRef, spawn,
};
use kahn::channel::{Receiver, Select, bounded, broadcast, never, oneshot, select, watch};
use kahn::sync::{Barrier, Condvar, LazyLock, Mutex, Once, OnceLock, RwLock, Semaphore, WaitGroup};
use support::{child, is_child, runtime, stderr};

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

/// Where a supervisor itself waits, for a child.
const SUPERVISOR: &str = "actors/src/supervisor/actor.rs";

const SUPERVISORS: &[Case] = &[
    ("Supervisor::spawn", || {
        drop(Supervisor::new(Strategy::OneForOne).child(ChildSpec::new("stuck", || StartsNever)).spawn());
    }),
    ("Supervisor::try_spawn", || {
        drop(Supervisor::new(Strategy::OneForOne).child(ChildSpec::new("stuck", || StartsNever)).try_spawn());
    }),
    ("SupervisorRef::stop", || with_child_that_never_ends().stop()),
    ("SupervisorRef::stop in a handler", || in_handler(|_| with_child_that_never_ends().stop())),
    ("SupervisorRef::join", || _ = with_child_that_never_ends().join()),
    ("SupervisorRef::terminate_child", || {
        with_child_that_never_ends().terminate_child("stuck").unwrap();
    }),
];

struct StartsNever;

impl Actor for StartsNever {
    type Message = ();

    fn started(&mut self, _: &mut Context<Self>) -> Result<(), ExitReason> {
        kahn::thread::park();
        Ok(())
    }

    fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

fn with_child_that_never_ends() -> SupervisorRef {
    let begun = Arc::new(AtomicBool::new(false));
    let begins = begun.clone();
    let parks = move |_: &mut Mailbox<()>| {
        begins.store(true, SeqCst);
        kahn::thread::park();
        Ok(())
    };
    let child = ChildSpec::spawn_loop("stuck", parks).shutdown(Shutdown::Infinity);
    let supervisor = Supervisor::new(Strategy::OneForOne).child(child).spawn();
    while !begun.load(SeqCst) {
        kahn::yield_now();
    }
    supervisor
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
        let names_the_program = |row: &String| row.contains(file!()) || row.contains(SUPERVISOR);
        if rows.is_empty() || !rows.iter().all(names_the_program) {
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
fn supervisors_are_reported_at_the_line_that_waits() {
    alone("supervisors_are_reported_at_the_line_that_waits", SUPERVISORS);
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
