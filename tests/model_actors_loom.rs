//! Models of small programs with actors that are correct. The same text passes without `--cfg kahn_loom`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kahn::actor::{Actor, ActorRef, ChildSpec, Context, ExitReason, Reply, Supervisor};

/// Runs a model with fewer preemptions and choices than the default: actors take many steps.
fn model(preemptions: usize, choices: usize, program: impl Fn() + Send + Sync + 'static) {
    let mut model = kahn::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.choice_bound = Some(choices);
    model.check(program);
}

/// Adds up numbers. Fails at zero.
#[derive(Default)]
struct Sum(u32);

enum Message {
    Add(u32),
    Total(Reply<u32>),
}

impl Actor for Sum {
    type Message = Message;

    fn handle(&mut self, message: Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Add(0) => return Err(ExitReason::failed("zero")),
            Message::Add(n) => self.0 += n,
            Message::Total(reply) => drop(reply.send(self.0)),
        }
        Ok(())
    }
}

#[test]
fn ask_sees_earlier_tells() {
    model(1, 0, || {
        let sum = kahn::actor::spawn(Sum::default());
        sum.tell(Message::Add(1)).unwrap();
        assert_eq!(sum.ask(Message::Total), Ok(1));
    });
}

#[test]
fn two_tellers_are_both_heard() {
    model(1, 0, || {
        let sum = kahn::actor::spawn(Sum::default());
        let other = kahn::spawn({
            let sum: ActorRef<Message> = sum.clone();
            move || sum.tell(Message::Add(2)).unwrap()
        });
        sum.tell(Message::Add(1)).unwrap();
        other.join().unwrap();
        assert_eq!(sum.ask(Message::Total), Ok(3));
    });
}

#[test]
fn supervisor_restarts_its_child() {
    let starts = Arc::new(AtomicUsize::new(0));
    model(0, 1, move || {
        starts.store(0, Ordering::Relaxed);
        let make = {
            let starts = Arc::clone(&starts);
            move || {
                starts.fetch_add(1, Ordering::Relaxed);
                Sum::default()
            }
        };
        let supervisor = Supervisor::default().child(ChildSpec::new("sum", make)).try_spawn().unwrap();
        let sum = supervisor.actor_ref::<Message>("sum").unwrap();
        sum.tell(Message::Add(1)).unwrap();
        sum.tell(Message::Add(0)).unwrap();
        // The new value, after the restart.
        assert_eq!(sum.ask(Message::Total), Ok(0));
        assert_eq!(starts.load(Ordering::Relaxed), 2);
    });
}

/// Asks its peer.
struct Peer(u32);

enum PeerMessage {
    AskOther(ActorRef<PeerMessage>, Reply<u32>),
    Value(Reply<u32>),
}

impl Actor for Peer {
    type Message = PeerMessage;

    fn handle(&mut self, message: PeerMessage, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            PeerMessage::AskOther(other, reply) => drop(reply.send(other.ask(PeerMessage::Value)?)),
            PeerMessage::Value(reply) => drop(reply.send(self.0)),
        }
        Ok(())
    }
}

#[test]
fn asks_in_one_direction_are_answered() {
    model(1, 0, || {
        let (a, b) = (kahn::actor::spawn(Peer(1)), kahn::actor::spawn(Peer(2)));
        assert_eq!(a.ask(|reply| PeerMessage::AskOther(b.clone(), reply)), Ok(2));
        assert_eq!(b.ask(PeerMessage::Value), Ok(2));
    });
}

#[test]
fn named_actor_is_found_while_it_lives() {
    model(1, 0, || {
        let sum = kahn::actor::spawn(Sum::default());
        kahn::actor::registry::register("sum", &sum).unwrap();
        let other = kahn::spawn(|| {
            if let Ok(sum) = kahn::actor::registry::whereis::<Message>("sum") {
                let _ = sum.tell(Message::Add(1));
            }
        });
        sum.stop();
        other.join().unwrap();
    });
}
