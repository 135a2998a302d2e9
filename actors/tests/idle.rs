//! The idle time runs from the end of a handler to the next message, and does not end while messages wait.

mod support;

use std::time::{Duration, Instant};

use kahn_actors::testing::{Inbox, Step, Stepped};
use kahn_actors::{Actor, ActorRef, Builder, Context, ExitReason, Mailbox, spawn};
use kahn_channels::{Receiver, Sender, bounded};
use support::everywhere;

const SHORT: Duration = Duration::from_millis(3);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Message {
    /// Takes so long.
    Work(Duration),
    Beat,
    Idle,
}

/// Writes down what it was told, and when its handler was over before.
struct Worker {
    idle: Duration,
    beat: Option<Duration>,
    last: Instant,
    news: Sender<(Message, Duration)>,
}

impl Worker {
    fn of(idle: Duration, beat: Option<Duration>) -> (Worker, Receiver<(Message, Duration)>) {
        let (news, told) = bounded(1000);
        (Worker { idle, beat, last: Instant::now(), news }, told)
    }
}

impl Actor for Worker {
    type Message = Message;

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        ctx.set_idle_timeout(self.idle, Message::Idle);
        if let Some(beat) = self.beat {
            ctx.send_every(beat, Message::Beat);
        }
        Ok(())
    }

    fn handle(&mut self, message: Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
        self.news.send((message, self.last.elapsed()))?;
        if let Message::Work(time) = message {
            kahn_core::sleep(time);
        }
        if message != Message::Beat {
            self.last = Instant::now();
        }
        Ok(())
    }
}

#[test]
fn idle_time_does_not_end_while_messages_wait() {
    everywhere(|| {
        let (worker, told) = Worker::of(SHORT, None);
        let worker = spawn(worker);
        // Each takes longer than the idle time; all of them wait from the start.
        (0..5).for_each(|_| worker.tell(Message::Work(2 * SHORT)).unwrap());
        for _ in 0..5 {
            assert!(matches!(told.recv().unwrap().0, Message::Work(_)), "idle with a message that waits");
        }
        let (last, after) = told.recv().unwrap();
        assert_eq!(last, Message::Idle);
        assert!(after >= SHORT, "idle {after:?} after the end of a handler");
    });
}

#[test]
fn timer_messages_do_not_restart_the_idle_time() {
    everywhere(|| {
        let (worker, told) = Worker::of(4 * SHORT, Some(SHORT));
        let _worker = spawn(worker);
        let before = told.iter().take_while(|(message, _)| *message != Message::Idle).count();
        assert!(before < 1000, "never idle for the beats");
    });
}

/// A handler that sets it, and has nothing behind it.
#[test]
fn idle_time_begins_after_the_handler_that_sets_it() {
    struct Sets(Sender<Duration>, Instant);
    impl Actor for Sets {
        type Message = bool;
        fn handle(&mut self, is_idle: bool, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
            if is_idle {
                self.0.send(self.1.elapsed())?;
            } else {
                ctx.set_idle_timeout(SHORT, true);
                kahn_core::sleep(2 * SHORT);
                self.1 = Instant::now();
            }
            Ok(())
        }
    }
    everywhere(|| {
        let (news, told) = bounded(1);
        let actor = spawn(Sets(news, Instant::now()));
        for _ in 0..3 {
            actor.tell(false).unwrap();
            assert!(told.recv().unwrap() >= SHORT);
        }
    });
}

#[test]
fn loop_is_idle_while_it_waits() {
    everywhere(|| {
        let actor = Builder::new().spawn_loop(|mailbox: &mut Mailbox<&str>| {
            mailbox.set_idle_timeout(SHORT, "idle");
            assert_eq!(mailbox.recv()?, "work");
            kahn_core::sleep(2 * SHORT);
            assert_eq!(mailbox.recv()?, "work", "idle with a message that waits");
            let start = Instant::now();
            assert_eq!(mailbox.recv()?, "idle");
            assert!(start.elapsed() >= SHORT);
            Ok(())
        });
        (0..2).for_each(|_| actor.tell("work").unwrap());
        assert!(actor.join().is_normal());
    });
}

/// Its moments are exact where time passes by hand.
#[test]
fn stepped_actor_is_idle_after_its_time_has_passed() {
    struct Says(ActorRef<&'static str>);
    impl Actor for Says {
        type Message = &'static str;
        fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
            ctx.set_idle_timeout(Duration::from_secs(10), "idle");
            Ok(())
        }
        fn handle(&mut self, said: &'static str, _: &mut Context<Self>) -> Result<(), ExitReason> {
            Ok(self.0.tell(said)?)
        }
    }
    let mut said = Inbox::new();
    let mut stepped = Stepped::start(Says(said.actor_ref()));
    stepped.advance(Duration::from_secs(9));
    assert_eq!(stepped.deliver("one"), Step::Handled);
    stepped.advance(Duration::from_secs(9));
    stepped.actor_ref().tell("two").unwrap();
    stepped.advance(Duration::from_secs(9));
    assert_eq!(said.take_all(), ["one", "two"]);
    stepped.advance(Duration::from_secs(1));
    stepped.advance(Duration::MAX);
    assert_eq!(said.take_all(), ["idle"]);
}
