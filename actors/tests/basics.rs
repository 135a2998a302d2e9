//! The life of an actor: it handles the messages that it is told, in order, and its end has a reason.

mod support;

use std::sync::mpsc;

use kahn_actors::{Actor, AskError, Builder, Context, ExitReason, Reply, TellError, spawn};
use support::{everywhere, within};

struct Counter(u64);

enum Message {
    Add(u64),
    Get(Reply<u64>),
    Keep(Reply<u64>),
    Panic,
    Fail,
    Stop,
    Sleep,
}

impl Actor for Counter {
    type Message = Message;

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Add(n) => self.0 += n,
            Message::Get(reply) => drop(reply.send(self.0)),
            Message::Keep(reply) => drop(reply),
            Message::Panic => panic!("as told"),
            Message::Fail => Err(std::io::Error::other("as told"))?,
            Message::Stop => ctx.stop(),
            Message::Sleep => kahn_core::sleep(std::time::Duration::MAX),
        }
        Ok(())
    }
}

#[test]
fn every_told_message_is_handled() {
    everywhere(|| {
        let counter = spawn(Counter(0));
        for n in 0..1000 {
            counter.tell(Message::Add(n)).unwrap();
        }
        assert_eq!(counter.ask(Message::Get), Ok(499_500));
    });
}

#[test]
fn messages_of_one_sender_keep_their_order() {
    struct Order(u64);
    impl Actor for Order {
        type Message = u64;
        fn handle(&mut self, n: u64, _: &mut Context<Self>) -> Result<(), ExitReason> {
            assert_eq!(n, self.0);
            self.0 += 1;
            if n.is_multiple_of(7) {
                kahn_core::yield_now();
            }
            Ok(())
        }
        fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) {
            assert_eq!(self.0, 10_000);
        }
    }
    everywhere(|| {
        let order = Builder::new().mailbox(3).spawn(Order(0));
        let address = order.address();
        (0..10_000).for_each(|n| order.tell(n).unwrap());
        drop(order);
        assert!(address.join().is_normal());
    });
}

#[test]
fn each_end_has_its_reason() {
    everywhere(|| {
        let end = |message| {
            let counter = spawn(Counter(0));
            counter.tell(message).unwrap();
            let reason = counter.join();
            assert!(!counter.is_alive());
            assert!(matches!(counter.tell(Message::Add(1)), Err(TellError::Dead(Message::Add(1)))));
            assert_eq!(counter.ask(Message::Get), Err(AskError::Dead));
            reason
        };
        assert!(end(Message::Stop).is_normal());
        assert!(matches!(end(Message::Fail), ExitReason::Failed(e) if e.to_string() == "as told"));
        match end(Message::Panic) {
            ExitReason::Panicked { message, location, .. } => {
                assert_eq!(&*message, "as told");
                assert!(location.unwrap().contains("basics.rs"));
            }
            other => panic!("{other:?}"),
        }
        let sleeper = spawn(Counter(0));
        sleeper.tell(Message::Sleep).unwrap();
        sleeper.kill();
        assert!(matches!(sleeper.join(), ExitReason::Killed));
        let idle = spawn(Counter(0));
        assert_eq!(idle.ask(Message::Get), Ok(0));
        idle.stop();
        assert!(idle.join().is_normal());
    });
}

#[test]
fn ask_fails_at_once_when_its_reply_is_dropped() {
    everywhere(|| {
        let counter = spawn(Counter(0));
        assert_eq!(counter.ask(Message::Keep), Err(AskError::NoReply));
    });
}

#[test]
fn actor_ends_after_its_messages_when_no_reference_is_left() {
    struct Last(mpsc::Sender<&'static str>);
    impl Actor for Last {
        type Message = &'static str;
        fn handle(&mut self, text: &'static str, _: &mut Context<Self>) -> Result<(), ExitReason> {
            self.0.send(text)?;
            Ok(())
        }
        fn stopped(&mut self, reason: &ExitReason, _: &mut Context<Self>) {
            assert!(reason.is_normal());
            self.0.send("stopped").unwrap();
        }
    }
    everywhere(|| {
        let (tx, rx) = mpsc::channel();
        let last = spawn(Last(tx));
        let weak = last.downgrade();
        assert!(weak.upgrade().is_some());
        last.tell("one").unwrap();
        last.tell("two").unwrap();
        drop(last);
        weak.address().join();
        assert!(weak.upgrade().is_none());
        assert_eq!(rx.iter().collect::<Vec<_>>(), ["one", "two", "stopped"]);
    });
}

#[test]
fn many_senders_lose_nothing() {
    everywhere(|| {
        let counter = Builder::new().mailbox(4).spawn(Counter(0));
        let senders: Vec<_> = (0..8)
            .map(|_| {
                let counter = counter.clone();
                kahn_core::spawn(move || (0..500).for_each(|_| counter.tell(Message::Add(1)).unwrap()))
            })
            .collect();
        senders.into_iter().for_each(|sender| within(|| sender.join().unwrap()));
        assert_eq!(counter.ask(Message::Get), Ok(4000));
    });
}

#[test]
fn equal_references_have_equal_hashes() {
    use std::collections::HashSet;
    let inboxes = [(); 3].map(|()| kahn_actors::testing::Inbox::<()>::new());
    let (mut refs, mut weak, mut addresses) = (HashSet::new(), HashSet::new(), HashSet::new());
    for inbox in inboxes.iter().chain(&inboxes) {
        let actor = inbox.actor_ref();
        weak.insert(actor.downgrade());
        addresses.insert(actor.address());
        refs.insert(actor);
    }
    assert_eq!([refs.len(), weak.len(), addresses.len()], [3; 3]);
}
