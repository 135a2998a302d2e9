//! The order in which an actor's methods are called, and the effect of stops, kills and panics in them.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use kahn_actors::{Actor, Builder, Context, ExitReason, Reply, spawn};
use kahn_channels::{Receiver, Sender, bounded};
use kahn_core::Runtime;
use support::{everywhere, rounds, until, within};

#[derive(Clone, Copy, PartialEq)]
enum Where {
    Nowhere,
    Started,
    Stopped,
    Drop,
}

/// Says what is done with it, and panics where it is told to.
struct Noisy {
    log: Sender<String>,
    panics: Where,
    parks: Where,
}

impl Noisy {
    fn at(&self, place: Where, text: String) {
        self.log.send(text).unwrap();
        if self.panics == place {
            panic!("as told");
        }
        if self.parks == place {
            kahn_core::sleep(Duration::MAX);
        }
    }
}

impl Actor for Noisy {
    type Message = Option<Reply<()>>;

    fn started(&mut self, _: &mut Context<Self>) -> Result<(), ExitReason> {
        self.at(Where::Started, "started".into());
        Ok(())
    }

    fn handle(&mut self, message: Option<Reply<()>>, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Some(reply) => drop(reply.send(())),
            None => {
                ctx.stop();
                self.log.send("stops".into())?;
            }
        }
        Ok(())
    }

    fn stopped(&mut self, reason: &ExitReason, _: &mut Context<Self>) {
        self.at(Where::Stopped, format!("stopped: {reason}"));
    }
}

impl Drop for Noisy {
    fn drop(&mut self) {
        self.log.send("dropped".into()).unwrap();
        if self.panics == Where::Drop {
            panic!("as told");
        }
    }
}

fn noisy(panics: Where, parks: Where) -> (Noisy, Receiver<String>) {
    let (log, lines) = bounded(100);
    (Noisy { log, panics, parks }, lines)
}

fn lines(lines: &Receiver<String>) -> Vec<String> {
    lines.try_iter().collect()
}

#[test]
fn actor_methods_are_called_in_order() {
    everywhere(|| {
        let (actor, log) = noisy(Where::Nowhere, Where::Nowhere);
        let actor = spawn(actor);
        actor.ask(Some).unwrap();
        // What is in the mailbox behind its own stop is not handled.
        let _ = (actor.tell(None), actor.tell(None));
        assert!(actor.join().is_normal());
        assert_eq!(lines(&log), ["started", "stops", "stopped: normal", "dropped"]);
    });
}

#[test]
fn stopped_is_not_called_after_a_failed_start() {
    everywhere(|| {
        let (actor, log) = noisy(Where::Started, Where::Nowhere);
        assert!(matches!(spawn(actor).join(), ExitReason::Panicked { .. }));
        assert_eq!(lines(&log), ["started", "dropped"]);
        let made = Builder::new().spawn_with(|| -> Noisy { panic!("as told") });
        assert!(matches!(made.join(), ExitReason::Panicked { .. }));
    });
}

#[test]
fn panic_in_stopped_or_in_its_drop_does_not_change_the_reason() {
    everywhere(|| {
        for place in [Where::Stopped, Where::Drop] {
            let (actor, log) = noisy(place, Where::Nowhere);
            let actor = spawn(actor);
            actor.tell(None).unwrap();
            assert!(actor.join().is_normal());
            assert_eq!(lines(&log), ["started", "stops", "stopped: normal", "dropped"]);
        }
    });
}

#[test]
fn kill_ends_the_park_of_a_handler() {
    everywhere(|| {
        let (actor, log) = noisy(Where::Nowhere, Where::Started);
        let actor = spawn(actor);
        until(|| log.len() == 1);
        actor.kill();
        assert!(matches!(actor.join(), ExitReason::Killed));
        assert_eq!(lines(&log), ["started", "dropped"]);
        // It ends already: the kill cuts its end short, and the first reason counts.
        let (actor, log) = noisy(Where::Nowhere, Where::Stopped);
        let actor = spawn(actor);
        actor.stop();
        until(|| log.len() == 2);
        actor.kill();
        assert!(actor.join().is_normal());
        assert_eq!(lines(&log), ["started", "stopped: normal", "dropped"]);
    });
}

#[test]
fn actor_killed_before_its_start_never_starts() {
    // One worker, which is busy with this: the actor cannot have started.
    within(|| {
        Runtime::builder().workers(1).build().unwrap().run(|| {
            let (actor, log) = noisy(Where::Nowhere, Where::Nowhere);
            let actor = spawn(actor);
            actor.kill();
            assert!(matches!(actor.join(), ExitReason::Killed));
            assert_eq!(lines(&log), ["dropped"]);
        });
    });
}

/// Stops, kills, tells and the last reference's drop, all at once: it ends once, and what it had is dropped once.
#[test]
fn racing_ends_give_one_reason() {
    struct Held(Arc<AtomicUsize>);
    impl Actor for Held {
        type Message = Arc<()>;
        fn handle(&mut self, _: Arc<()>, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
            kahn_core::yield_now();
            drop(ctx.me());
            Ok(())
        }
    }
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    everywhere(|| {
        let (drops, token) = (Arc::new(AtomicUsize::new(0)), Arc::new(()));
        for round in 0..rounds(200) {
            let actor = Builder::new().mailbox(2).spawn(Held(drops.clone()));
            let (address, weak) = (actor.address(), actor.downgrade());
            let threads = [0, 1, 2].map(|part| {
                let (actor, token) = (actor.clone(), token.clone());
                kahn_core::spawn(move || match (part, round % 3) {
                    (0, _) => while actor.tell(token.clone()).is_ok() {},
                    (1, 0) | (2, 1) => actor.kill(),
                    (1, _) | (2, 0) => actor.stop(),
                    _ => drop(actor),
                })
            });
            drop(actor);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            address.join();
            assert!(weak.upgrade().is_none());
            until(|| Arc::strong_count(&token) == 1);
            assert_eq!(drops.load(SeqCst), round + 1);
        }
    });
}

/// A runtime that ends takes its actors with it, wherever they are.
#[test]
fn end_of_the_runtime_ends_its_actors() {
    for workers in [1, 2] {
        within(|| {
            let runtime = Runtime::builder().workers(workers).build().unwrap();
            let logs: Vec<_> = runtime.run(|| {
                let places = [Where::Nowhere, Where::Started];
                let some = places.into_iter().map(|place| {
                    let (actor, log) = noisy(Where::Nowhere, place);
                    let actor = spawn(actor);
                    until(|| log.len() == 1);
                    (actor, log)
                });
                some.collect()
            });
            runtime.shutdown(Duration::from_secs(60)).unwrap();
            for (actor, log) in logs {
                assert!(!actor.is_alive());
                assert!(matches!(actor.join(), ExitReason::Killed));
                assert_eq!(lines(&log), ["started", "dropped"]);
            }
        });
    }
}

/// A turn is a batch of messages: wherever in it an actor ends itself, it handles nothing after that.
#[test]
fn actor_stops_itself_at_every_position_of_a_batch() {
    struct Stops {
        at: usize,
        seen: Arc<AtomicUsize>,
    }
    impl Actor for Stops {
        type Message = ();
        fn handle(&mut self, (): (), ctx: &mut Context<Self>) -> Result<(), ExitReason> {
            if self.seen.fetch_add(1, SeqCst) + 1 == self.at {
                ctx.stop();
            }
            Ok(())
        }
    }
    everywhere(|| {
        for at in (1..=3).chain(62..=66).chain(126..=130) {
            let seen = Arc::new(AtomicUsize::new(0));
            let actor = Builder::new().mailbox(200).spawn(Stops { at, seen: seen.clone() });
            for _ in 0..200 {
                if actor.tell(()).is_err() {
                    break;
                }
            }
            assert!(actor.join().is_normal());
            assert_eq!(seen.load(SeqCst), at);
        }
    });
}
