//! The end of an actor runs to completion, and an operation that has had its effect does not unwind. This holds
//! whatever user code does meanwhile, wherever the budget is spent, and even if the actor's stack is leaked.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use kahn_actors::{
    Actor, ActorRef, Address, AskError, Builder, Context, Down, ExitReason, Overflow, Reply, TellError,
    dead_letters, registry, spawn,
};
use kahn_channels::{Receiver, Sender, bounded};
use kahn_core::{Runtime, time::timeout, wait::current::BUDGET};
use support::{until, within};

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

/// Counts the ends that it is told.
struct Watcher {
    watched: Vec<Address>,
    downs: Arc<AtomicUsize>,
}

impl Actor for Watcher {
    type Message = ();

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.watched.iter().for_each(|address| _ = ctx.monitor(address));
        Ok(())
    }

    fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }

    fn down(&mut self, _: Down, _: &mut Context<Self>) -> Result<(), ExitReason> {
        self.downs.fetch_add(1, SeqCst);
        Ok(())
    }
}

fn watch(watched: Vec<Address>) -> (ActorRef<()>, Arc<AtomicUsize>) {
    let downs = Arc::new(AtomicUsize::new(0));
    (spawn(Watcher { watched, downs: downs.clone() }), downs)
}

/// Spends `count` operations of a new budget.
fn consume(count: u32) {
    let (_tx, rx) = bounded::<()>(1);
    kahn_core::yield_now();
    (0..count).for_each(|_| _ = rx.try_recv());
}

/// One that is killed in `stopped`, when it has spent so much of its budget.
struct Spender(u32);

impl Actor for Spender {
    type Message = u32;

    fn handle(&mut self, _: u32, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        ctx.stop();
        Ok(())
    }

    fn stopped(&mut self, _: &ExitReason, ctx: &mut Context<Self>) {
        let me = ctx.me();
        consume(self.0);
        me.kill();
    }
}

#[test]
fn kill_during_an_end_still_tells_all_observers_wherever_the_budget_is_spent() {
    // One that receives nothing, so that the notes of dead letters find it full.
    let _behind = dead_letters::watch(1);
    within(|| {
        runtime(1).run(|| {
            for count in BUDGET - 12..BUDGET + 4 {
                let name = format!("spender {count}");
                let actor = Builder::new().spawn(Spender(count));
                registry::register(&name, &actor).unwrap();
                let (_watcher, downs) = watch(vec![actor.address()]);
                (0..10).for_each(|n| actor.tell(n).unwrap());
                actor.join();
                until(|| downs.load(SeqCst) == 1);
                assert!(registry::register(&name, spawn(Spender(0))).is_ok(), "the name is free");
            }
        });
    });
}

/// A message whose destructor uses a channel.
struct Note(Sender<()>);

impl Drop for Note {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

struct Sleeper;

impl Actor for Sleeper {
    type Message = Note;

    fn handle(&mut self, _: Note, _: &mut Context<Self>) -> Result<(), ExitReason> {
        kahn_core::sleep(Duration::MAX);
        Ok(())
    }
}

#[test]
fn shutdown_ends_every_actor_completely() {
    let _behind = dead_letters::watch(1);
    let (notes, _full) = bounded(1);
    within(|| {
        let (own, other) = (runtime(1), runtime(1));
        let actors = own.run(|| {
            let one = |n: usize| {
                let actor = Builder::new().mailbox(1000).spawn(Sleeper);
                (0..2 + n).for_each(|_| actor.tell(Note(notes.clone())).unwrap());
                actor
            };
            (0..BUDGET as usize).map(one).collect::<Vec<_>>()
        });
        let (_watcher, downs) = other.run(|| watch(actors.iter().map(ActorRef::address).collect()));
        own.shutdown(Duration::MAX).unwrap();
        other.run(|| {
            actors.iter().for_each(|actor| _ = actor.join());
            until(|| downs.load(SeqCst) == actors.len());
        });
    });
}

/// Gathers numbers, and waits at the first until it may go on.
struct Gathers(Receiver<()>, Vec<u32>);

enum Gather {
    Wait,
    Number(u32, Option<Panics>),
    All(Reply<Vec<u32>>),
}

struct Panics;

impl Drop for Panics {
    fn drop(&mut self) {
        panic!("as told");
    }
}

impl Actor for Gathers {
    type Message = Gather;

    fn handle(&mut self, message: Gather, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Gather::Wait => drop(self.0.recv()),
            Gather::Number(number, panics) => {
                std::mem::forget(panics);
                self.1.push(number);
            }
            Gather::All(reply) => drop(reply.send(self.1.clone())),
        }
        Ok(())
    }
}

/// One that is in its first message, with another before it, which fills its mailbox.
fn busy(overflow: Overflow, panics: Option<Panics>) -> (ActorRef<Gather>, Sender<()>) {
    let (go, may_go) = bounded(1);
    let actor = Builder::new().mailbox(1).overflow(overflow).spawn(Gathers(may_go, Vec::new()));
    actor.tell(Gather::Wait).unwrap();
    until(|| actor.is_empty());
    actor.tell(Gather::Number(1, panics)).unwrap();
    (actor, go)
}

#[test]
fn unwound_tell_has_not_sent_its_message_wherever_the_budget_is_spent() {
    let _behind = dead_letters::watch(1);
    within(|| {
        runtime(1).run(|| {
            for count in BUDGET - 12..BUDGET + 4 {
                let (actor, go) = busy(Overflow::DropOldest, None);
                let deadline = Instant::now();
                let told = timeout(Duration::ZERO, || {
                    // The time is over, but only a park or a yield finds that out.
                    while Instant::now() <= deadline {}
                    let (_tx, rx) = bounded::<()>(1);
                    (0..count).for_each(|_| _ = rx.try_recv());
                    actor.tell(Gather::Number(2, None)).is_ok()
                });
                go.send(()).unwrap();
                until(|| actor.is_empty());
                let handled = actor.ask(Gather::All).unwrap();
                assert_eq!(
                    handled,
                    if told.is_ok() { [2] } else { [1] },
                    "after {count} operations: {told:?}"
                );
            }
        });
    });
}

#[test]
fn tell_succeeds_if_the_destructor_of_the_dropped_message_panics() {
    support::everywhere(|| {
        let (actor, go) = busy(Overflow::DropOldest, Some(Panics));
        assert!(actor.tell(Gather::Number(2, None)).is_ok());
        go.send(()).unwrap();
        until(|| actor.is_empty());
        assert_eq!(actor.ask(Gather::All), Ok(vec![2]));
    });
}

/// Blocks its handler, outside of the reach of a shutdown.
struct Blocked(Arc<std::sync::Mutex<mpsc::Receiver<()>>>);

enum Block {
    Now,
    Ask(Reply<()>),
}

impl Actor for Blocked {
    type Message = Block;

    fn handle(&mut self, message: Block, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Block::Now => kahn_core::blocking(|| _ = self.0.lock().unwrap().recv()),
            Block::Ask(reply) => drop(reply.send(())),
        }
        Ok(())
    }
}

#[test]
fn actor_leaked_by_a_shutdown_has_ended_for_all_others() {
    for workers in [1, 2] {
        within(|| {
            let (own, other) = (runtime(workers), runtime(1));
            let (release, released) = mpsc::channel();
            let released = Arc::new(std::sync::Mutex::new(released));
            let name = format!("blocked with {workers}");
            let actor = own.run(|| {
                let actor = Builder::new().mailbox(1).spawn(Blocked(released));
                registry::register(&name, &actor).unwrap();
                actor.tell(Block::Now).unwrap();
                until(|| actor.is_empty());
                actor
            });
            let (_watcher, downs) = other.run(|| watch(vec![actor.address()]));
            let again = actor.clone();
            let joiner = other.spawn(move || again.join());
            let again = actor.clone();
            let asker = other.spawn(move || again.ask_timeout(Duration::MAX, Block::Ask));
            until(|| actor.len() == 1);
            // The mailbox is full.
            let again = actor.clone();
            let teller = other.spawn(move || again.tell(Block::Now));
            let again = actor.clone();
            let thread = std::thread::spawn(move || (again.tell(Block::Now).is_err(), again.join()));
            other.run(|| (0..10).for_each(|_| kahn_core::yield_now()));

            assert_eq!(own.shutdown(Duration::from_millis(20)).unwrap_err().count(), 1);
            assert!(matches!(joiner.join().unwrap(), ExitReason::Killed));
            assert!(matches!(teller.join().unwrap(), Err(TellError::Dead(Block::Now))));
            assert!(matches!(thread.join().unwrap(), (true, ExitReason::Killed)));
            assert_eq!(asker.join().unwrap(), Err(AskError::NoReply));
            until(|| downs.load(SeqCst) == 1);
            assert!(!actor.is_alive());
            assert!(actor.tell(Block::Now).unwrap_err().is_dead());
            assert!(registry::register(&name, &actor).is_err(), "it has ended");
            assert!(other.run(|| registry::register(&name, spawn(Spender(0)))).is_ok());
            drop(release);
        });
    }
}

/// An error of an actor that another reason has come before: it is dropped unseen, by a destructor that looks at the
/// actor.
struct LateError(Address, mpsc::Sender<bool>);

impl Drop for LateError {
    fn drop(&mut self) {
        kahn_core::yield_now();
        let _ = self.1.send(self.0.is_alive());
    }
}

impl std::fmt::Debug for LateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LateError")
    }
}

impl std::fmt::Display for LateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("late")
    }
}

impl std::error::Error for LateError {}

/// The second reason of an end may own the last reference to the actor, or look at it: no lock is held when it is
/// dropped.
#[test]
fn reason_that_came_too_late_is_dropped_without_the_actors_lock() {
    struct Fails(mpsc::Sender<bool>);
    impl Actor for Fails {
        type Message = ();
        fn handle(&mut self, (): (), ctx: &mut Context<Self>) -> Result<(), ExitReason> {
            ctx.me().kill();
            Err(LateError(ctx.me().address(), self.0.clone()).into())
        }
    }
    /// Fails in the last handler with a message that holds the last reference to itself.
    struct TellsTheDead(ActorRef<ActorRef<()>>);
    impl Actor for TellsTheDead {
        type Message = ();
        fn handle(&mut self, (): (), ctx: &mut Context<Self>) -> Result<(), ExitReason> {
            let me = ctx.me();
            me.kill();
            self.0.tell(me)?;
            Ok(())
        }
    }
    for workers in [1, 2] {
        within(|| {
            runtime(workers).run(|| {
                let (dropped, drops) = mpsc::channel();
                let actor = spawn(Fails(dropped));
                actor.tell(()).unwrap();
                assert!(matches!(actor.join(), ExitReason::Killed));
                assert_eq!(drops.iter().count(), 1, "the error was dropped once");

                let dead = spawn(Keeps(None));
                dead.kill();
                dead.join();
                let actor = spawn(TellsTheDead(dead));
                let address = actor.address();
                actor.tell(()).unwrap();
                drop(actor);
                assert!(matches!(address.join(), ExitReason::Killed));
            });
        });
    }
}

/// Keeps the last reference that it is told.
struct Keeps(Option<ActorRef<()>>);

impl Actor for Keeps {
    type Message = ActorRef<()>;

    fn handle(&mut self, actor: ActorRef<()>, _: &mut Context<Self>) -> Result<(), ExitReason> {
        self.0 = Some(actor);
        Ok(())
    }
}
