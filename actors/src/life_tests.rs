//! Tests of supervised actors: the supervisor decides what follows the end of an incarnation.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::address::ActorRef;
use crate::cell::Phase;
use crate::lifecycle::{kill_life, wait_while};
use crate::supervision::{dismiss, resume, start_of};
use crate::{Actor, AskError, Builder, Context, Down, ExitReason, Mail, Mailbox, Reply, spawn};

/// Replies with the number of its incarnation.
struct Child(u32);

enum Order {
    Who(Reply<u32>),
    Panic,
    Park,
    Stash(Reply<u32>),
}

impl Actor for Child {
    type Message = Order;

    fn handle(&mut self, order: Order, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match order {
            Order::Who(reply) => drop(reply.send(self.0)),
            Order::Panic => panic!("as told"),
            Order::Park => kahn_core::sleep(Duration::MAX),
            // The first incarnation stashes the message; a later one replies.
            Order::Stash(reply) if self.0 == 1 => ctx.stash(Order::Stash(reply)),
            Order::Stash(reply) => drop(reply.send(self.0)),
        }
        Ok(())
    }
}

/// Runs `scenario` in a supervisor that has one child, on one and on two workers. Waits for the supervisor's end.
fn with_child(scenario: impl Fn(&mut Mailbox<()>, &ActorRef<Order>) + Send + Sync + 'static) {
    let scenario = Arc::new(scenario);
    for workers in [1, 2] {
        let scenario = scenario.clone();
        kahn_core::Runtime::builder().workers(workers).build().unwrap().run(move || {
            let supervisor = Builder::new().spawn_loop(move |mailbox: &mut Mailbox<()>| {
                let lives = AtomicU32::new(0);
                let mut builder = Builder::new();
                builder.supervisor = Some(mailbox.any().clone());
                let child = builder.spawn_again(move || Child(lives.fetch_add(1, SeqCst) + 1));
                resume(child.any());
                scenario(mailbox, &child);
                Ok(())
            });
            let reason = supervisor.join();
            assert!(reason.is_normal(), "{reason}");
        });
    }
}

fn until(condition: impl Fn() -> bool) {
    while !condition() {
        kahn_core::yield_now();
    }
}

fn down(supervisor: &mut Mailbox<()>) -> Down {
    match supervisor.next_mail().unwrap() {
        Mail::Down(down) => down,
        Mail::Message(()) => unreachable!("nobody tells"),
    }
}

#[test]
fn mailbox_and_references_outlive_an_incarnation_and_the_message_that_ended_it_does_not() {
    with_child(|supervisor, child| {
        assert_eq!(child.ask(Order::Who), Ok(1));
        let stashed = {
            let child = child.clone();
            kahn_core::spawn(move || child.ask_timeout(Duration::MAX, Order::Stash))
        };
        until(|| child.any().state.lock().handled == 2);
        assert_eq!(child.ask(Order::Who), Ok(1));
        assert!(child.tell(Order::Panic).is_ok());
        let reason = down(supervisor).reason;
        assert!(
            matches!(&reason, ExitReason::Panicked { message, .. } if &**message == "as told"),
            "{reason}"
        );
        assert!(child.is_alive());
        assert!(child.tell(Order::Panic).is_ok(), "told while it is between two");
        resume(child.any());
        assert_eq!(stashed.join().unwrap(), Ok(2), "what was put aside was not handled, and comes again");
        assert!(matches!(down(supervisor).reason, ExitReason::Panicked { .. }));
        resume(child.any());
        assert_eq!(child.ask(Order::Who), Ok(3));
        dismiss(child.any(), ExitReason::Shutdown, false);
        assert!(matches!(child.join(), ExitReason::Shutdown));
    });
}

#[test]
fn kill_ends_one_incarnation() {
    with_child(|supervisor, child| {
        for life in 1..5 {
            assert_eq!(child.ask(Order::Who), Ok(life));
            if life % 2 == 0 {
                assert!(child.tell(Order::Park).is_ok());
                until(|| child.is_empty());
            }
            child.kill();
            assert!(matches!(down(supervisor).reason, ExitReason::Killed));
            resume(child.any());
            wait_while(child.any(), |state| state.phase == Phase::New);
        }
        dismiss(child.any(), ExitReason::Killed, true);
        assert!(matches!(child.join(), ExitReason::Killed));
    });
}

#[test]
fn kill_between_two_incarnations_ends_the_next_before_it_starts() {
    with_child(|supervisor, child| {
        assert_eq!(child.ask(Order::Who), Ok(1));
        child.kill();
        assert!(matches!(down(supervisor).reason, ExitReason::Killed));
        // The supervisor's own kill is too late.
        kill_life(child.any(), ExitReason::Killed);
        resume(child.any());
        assert_eq!(child.ask(Order::Who), Ok(2));
        child.kill();
        assert!(matches!(down(supervisor).reason, ExitReason::Killed));
        child.kill();
        child.kill();
        resume(child.any());
        assert!(matches!(start_of(child.any(), std::panic::Location::caller()), Err(ExitReason::Killed)));
        assert!(matches!(down(supervisor).reason, ExitReason::Killed));
        // The value of the third life was never made.
        resume(child.any());
        assert_eq!(child.ask(Order::Who), Ok(3));
        dismiss(child.any(), ExitReason::Killed, true);
        assert!(matches!(child.join(), ExitReason::Killed));
    });
}

#[test]
fn actor_dismissed_between_two_lives_is_dead() {
    with_child(|supervisor, child| {
        child.kill();
        down(supervisor);
        let asks = {
            let child = child.clone();
            kahn_core::spawn(move || child.ask_timeout(Duration::MAX, Order::Who))
        };
        until(|| !child.is_empty());
        dismiss(child.any(), ExitReason::Shutdown, true);
        assert!(matches!(child.join(), ExitReason::Killed), "why its last life ended");
        assert_eq!(asks.join().unwrap(), Err(AskError::NoReply));
    });
}

#[test]
fn actor_whose_supervisor_has_ended_is_not_restarted() {
    let (tx, rx) = kahn_channels::bounded(2);
    with_child(move |_, child| tx.send(child.clone()).unwrap());
    while let Ok(child) = rx.try_recv() {
        child.kill();
        // If the kill does not end it, the end of its runtime does.
        assert!(matches!(child.join(), ExitReason::Killed));
    }
    struct Nobody;
    impl Actor for Nobody {
        type Message = ();
        fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
            Ok(())
        }
    }
    let supervisor = spawn(Nobody);
    let mut builder = Builder::new();
    builder.supervisor = Some(supervisor.any().clone());
    let child = builder.spawn_again(|| Child(1));
    resume(child.any());
    supervisor.kill();
    supervisor.join();
    assert!(child.tell(Order::Panic).is_ok());
    assert!(matches!(child.join(), ExitReason::Panicked { .. }));
}

/// Stashes every message in its first life. The stash holds as many as the mailbox.
struct Hoards(u32, Arc<Mutex<Vec<(u32, u32)>>>);

impl Actor for Hoards {
    type Message = u32;

    fn handle(&mut self, message: u32, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        if self.0 == 1 {
            ctx.stash(message);
        } else {
            self.1.lock().unwrap().push((self.0, message));
        }
        Ok(())
    }
}

#[test]
fn restart_empties_a_full_stash_to_the_front_of_the_mailbox() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let all = seen.clone();
    let reason = kahn_core::Runtime::builder().workers(1).build().unwrap().run(move || {
        let supervisor = Builder::new().spawn_loop(move |mailbox: &mut Mailbox<()>| {
            let lives = AtomicU32::new(0);
            let mut builder = Builder::new().mailbox(3);
            builder.supervisor = Some(mailbox.any().clone());
            let all = all.clone();
            let child = builder.spawn_again(move || Hoards(lives.fetch_add(1, SeqCst) + 1, all.clone()));
            resume(child.any());
            (0..4).for_each(|n| child.tell(n).unwrap());
            assert!(matches!(down(mailbox).reason, ExitReason::Panicked { .. }));
            resume(child.any());
            until(|| child.is_empty());
            dismiss(child.any(), ExitReason::Shutdown, false);
            child.join();
            Ok(())
        });
        supervisor.join()
    });
    assert!(reason.is_normal(), "{reason}");
    // The fourth message found the stash full, and is lost.
    assert_eq!(*seen.lock().unwrap(), [(2, 0), (2, 1), (2, 2)]);
}
