//! Models of actors: every interleaving of two or three threads, within bounds. The thread that wakes an actor runs
//! its turn. `ci/loom.sh` runs them.
#![cfg(kahn_loom)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use kahn_actors::{
    Actor, ActorRef, Address, AskError, Builder, Context, Down, ExitReason, Group, Reply, TellError,
};
use loom::thread;

/// Three preemptions find nearly every bug, and let a model end.
fn model(scenario: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(scenario);
}

/// What the actors of a model have seen, and how many of their values and messages are alive, unseen by the model.
#[derive(Clone, Default)]
struct Seen(Arc<[AtomicUsize; 3]>);

impl Seen {
    fn get(&self) -> [usize; 3] {
        [0, 1, 2].map(|i| self.0[i].load(SeqCst))
    }

    fn token(&self) -> Token {
        self.0[2].fetch_add(1, SeqCst);
        Token(self.clone())
    }
}

/// Something that is to be dropped once.
struct Token(Seen);

impl Drop for Token {
    fn drop(&mut self) {
        assert!(self.0.0[2].fetch_sub(1, SeqCst) > 0, "dropped twice");
    }
}

struct Model {
    seen: Seen,
    watch: Option<Address>,
    _token: Token,
}

enum Message {
    Count(#[expect(dead_code, reason = "for its drop")] Token),
    Answer(Token, Reply<Token>),
}

impl Actor for Model {
    type Message = Message;

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        if let Some(other) = &self.watch {
            ctx.monitor(other);
        }
        Ok(())
    }

    fn handle(&mut self, message: Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
        self.seen.0[0].fetch_add(1, SeqCst);
        if let Message::Answer(token, reply) = message {
            let _ = reply.send(token);
        }
        Ok(())
    }

    fn down(&mut self, _: Down, _: &mut Context<Self>) -> Result<(), ExitReason> {
        self.seen.0[1].fetch_add(1, SeqCst);
        Ok(())
    }
}

fn spawn(seen: &Seen, watch: Option<Address>, capacity: usize) -> ActorRef<Message> {
    let actor = Model { seen: seen.clone(), watch, _token: seen.token() };
    Builder::new().mailbox(capacity).spawn(actor)
}

/// Two senders and an actor that goes idle in between: every message is handled.
#[test]
fn push_races_with_going_idle() {
    model(|| {
        let seen = Seen::default();
        let actor = spawn(&seen, None, 4);
        let other = thread::spawn({
            let (actor, token) = (actor.clone(), seen.token());
            move || actor.tell(Message::Count(token)).is_ok()
        });
        assert!(actor.tell(Message::Count(seen.token())).is_ok());
        assert!(other.join().unwrap());
        assert_eq!(seen.get(), [2, 0, 1]);
        drop(actor);
        assert_eq!(seen.get(), [2, 0, 0], "nobody refers to it, and it has not ended");
    });
}

/// A mailbox with room for one message: a sender that finds it full waits, and then sends.
#[test]
fn sender_waits_for_room() {
    model(|| {
        let seen = Seen::default();
        let actor = spawn(&seen, None, 1);
        let other = thread::spawn({
            let (actor, tokens) = (actor.clone(), [seen.token(), seen.token()]);
            move || tokens.map(|token| actor.tell(Message::Count(token)).is_ok())
        });
        assert!(actor.tell(Message::Count(seen.token())).is_ok());
        assert_eq!(other.join().unwrap(), [true; 2]);
        drop(actor);
        assert_eq!(seen.get(), [3, 0, 0]);
    });
}

/// The last reference goes on one thread while another makes one from a weak one.
#[test]
fn drop_of_the_last_reference_races_with_an_upgrade() {
    model(|| {
        let seen = Seen::default();
        let actor = spawn(&seen, None, 4);
        let other = thread::spawn({
            let (weak, token) = (actor.downgrade(), seen.token());
            move || weak.upgrade().is_some_and(|actor| actor.tell(Message::Count(token)).is_ok())
        });
        drop(actor);
        let told = other.join().unwrap();
        assert_eq!(seen.get(), [usize::from(told), 0, 0]);
    });
}

#[test]
fn two_monitors_report_one_end() {
    model(|| {
        let seen = Seen::default();
        let target = spawn(&seen, None, 4);
        let watchers = [0, 1].map(|_| {
            let (seen, target) = (seen.clone(), target.address());
            thread::spawn(move || spawn(&seen, Some(target), 4))
        });
        target.stop();
        let watchers = watchers.map(|watcher| watcher.join().unwrap());
        assert_eq!(seen.get(), [0, 2, 2]);
        drop((watchers, target));
        assert_eq!(seen.get(), [0, 2, 0]);
    });
}

/// Either the message is handled, or it is dropped, or its sender has it back.
#[test]
fn stop_races_with_tell() {
    model(|| {
        let seen = Seen::default();
        let actor = spawn(&seen, None, 1);
        let other = thread::spawn({
            let (actor, token) = (actor.clone(), seen.token());
            move || match actor.tell(Message::Count(token)) {
                Ok(()) => true,
                Err(TellError::Dead(Message::Count(_))) => false,
                Err(_) => panic!("it is neither full nor in time"),
            }
        });
        actor.stop();
        let told = other.join().unwrap();
        assert!(actor.join().is_normal());
        assert!(seen.get()[0] <= usize::from(told));
        assert_eq!(seen.get()[2], 0);
    });
}

/// Whichever comes first, no member is left that has ended.
#[test]
fn stop_races_with_joining_a_group() {
    model(|| {
        let seen = Seen::default();
        let actor = spawn(&seen, None, 1);
        let group = Group::new();
        let other = thread::spawn({
            let (actor, group) = (actor.clone(), group.clone());
            move || group.join(&actor)
        });
        actor.stop();
        let _joined = other.join().unwrap();
        assert!(actor.join().is_normal());
        assert!(group.is_empty());
    });
}

#[test]
fn kill_races_with_reply() {
    model(|| {
        let seen = Seen::default();
        let actor = spawn(&seen, None, 1);
        let other = thread::spawn({
            let (actor, token) = (actor.clone(), seen.token());
            move || match actor.ask(|reply| Message::Answer(token, reply)) {
                Ok(token) => drop(token),
                Err(AskError::NoReply | AskError::Dead) => {}
                Err(other) => panic!("{other}"),
            }
        });
        actor.kill();
        other.join().unwrap();
        assert!(matches!(actor.join(), ExitReason::Killed));
        assert_eq!(seen.get()[2], 0);
    });
}

/// Whether the reply or the deadline comes first, the reply is dropped once, by the side that has it.
#[test]
fn reply_races_with_a_deadline() {
    model(|| {
        let seen = Seen::default();
        let actor = spawn(&seen, None, 1);
        let (tx, rx) = kahn_channels::bounded(1);
        let supervisor = thread::spawn(move || {
            let reply: Reply<Token> = rx.recv().unwrap();
            let token = actor.ask(|reply| Message::Answer(seen.token(), reply)).unwrap();
            drop(reply.send(token));
            seen
        });
        struct Hand(kahn_channels::Sender<Reply<Token>>);
        impl Actor for Hand {
            type Message = Reply<Token>;
            fn handle(&mut self, reply: Reply<Token>, _: &mut Context<Self>) -> Result<(), ExitReason> {
                Ok(self.0.send(reply)?)
            }
        }
        let hand = kahn_actors::spawn(Hand(tx));
        match hand.ask_timeout(std::time::Duration::from_millis(1), |reply| reply) {
            Ok(token) => drop(token),
            Err(AskError::Timeout) => {}
            Err(other) => panic!("{other}"),
        }
        drop(hand);
        assert_eq!(supervisor.join().unwrap().get()[2], 0);
    });
}
