//! Asking the asker back. This closes a circle while the asker's question waits or is in hand. It closes none after
//! the question was answered, dropped or passed on.

mod support;

use std::time::Duration;

use kahn_actors::{
    Actor, ActorRef, AskError, Builder, Context, ExitReason, Mailbox, MonitorId, Overflow, Reply, spawn,
};
use kahn_channels::{Receiver, Sender, bounded};
use support::{everywhere, rounds};

type Answer = Result<(), AskError>;

/// When the asked one asks back.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    /// With the question in hand.
    Before,
    AfterReply,
    AfterDrop,
    /// The reply goes to another thread, and the handler ends. Later a timer's message comes, or a stashed one, or the
    /// end of another actor.
    ByTimer,
    ByUnstash,
    ByDown,
    ByMessage,
    /// By its value's destructor, or in `stopped`, with the reply gone elsewhere.
    InStopped,
}

const NO_CIRCLES: [When; 7] = [
    When::AfterReply,
    When::AfterDrop,
    When::ByTimer,
    When::ByUnstash,
    When::ByDown,
    When::ByMessage,
    When::InStopped,
];

enum Message {
    /// To the asker: ask the other.
    Go(ActorRef<Message>, Reply<Answer>),
    Ping(Reply<()>),
    /// To the asked.
    Question(Reply<()>),
    Later,
    Open,
}

struct Asker;

impl Actor for Asker {
    type Message = Message;

    fn handle(&mut self, message: Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Go(other, reply) => drop(reply.send(other.ask(Message::Question))),
            Message::Ping(reply) => drop(reply.send(())),
            _ => unreachable!("for the other"),
        }
        Ok(())
    }
}

struct Asked {
    when: When,
    asker: ActorRef<Message>,
    /// Where a reply goes that is passed on.
    away: Sender<Reply<()>>,
    /// What the ask back said.
    said: Sender<Answer>,
    is_open: bool,
    _watched: Option<MonitorId>,
}

impl Asked {
    fn ask_back(&self) {
        let said = self.asker.ask(Message::Ping);
        self.said.send(said).unwrap();
    }
}

impl Actor for Asked {
    type Message = Message;

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Question(reply) => match self.when {
                When::Before => {
                    self.ask_back();
                    let _ = reply.send(());
                }
                When::AfterReply => {
                    let _ = reply.send(());
                    self.ask_back();
                }
                When::AfterDrop => {
                    drop(reply);
                    self.ask_back();
                }
                later => {
                    match later {
                        When::ByTimer => drop(ctx.send_after(Duration::from_millis(1), Message::Later)),
                        When::ByUnstash => ctx.unstash_all(),
                        When::ByDown => {
                            let other = Builder::new().spawn_loop(|_: &mut Mailbox<()>| Ok(()));
                            self._watched = Some(ctx.monitor(&other));
                        }
                        When::ByMessage => assert!(ctx.me().tell(Message::Later).is_ok()),
                        _ => ctx.stop(),
                    }
                    self.away.send(reply)?;
                }
            },
            Message::Later if self.when == When::ByUnstash && !self.is_open => ctx.stash(Message::Later),
            Message::Later => self.ask_back(),
            Message::Open => self.is_open = true,
            _ => unreachable!("for the other"),
        }
        Ok(())
    }

    fn down(&mut self, _: kahn_actors::Down, _: &mut Context<Self>) -> Result<(), ExitReason> {
        self.ask_back();
        Ok(())
    }

    fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) {
        if self.when == When::InStopped {
            self.ask_back();
        }
    }
}

/// What the ask back says, and what the asker is told. Replies that were passed on are used a while later, when the
/// asked has asked back or hangs.
fn ask_back(when: When, builder: Builder) -> (Answer, Answer) {
    let asker = Builder::new().name("asker").spawn(Asker);
    let (away, passed_on): (_, Receiver<Reply<()>>) = bounded(1);
    let (said, says) = bounded(1);
    let asked = Asked { when, asker: asker.clone(), away, said, is_open: false, _watched: None };
    let asked = builder.name("asked").spawn(asked);
    if when == When::ByUnstash {
        assert!(asked.tell(Message::Later).is_ok() && asked.tell(Message::Open).is_ok());
    }
    let third = kahn_core::spawn(move || {
        if let Ok(reply) = passed_on.recv() {
            kahn_core::sleep(Duration::from_millis(5));
            let _ = reply.send(());
        }
    });
    let told = asker.ask(|reply| Message::Go(asked.clone(), reply)).unwrap();
    let said = says.recv().unwrap();
    asker.kill();
    asked.kill();
    third.join().unwrap();
    (said, told)
}

#[test]
fn asking_back_with_the_question_in_hand_is_a_deadlock() {
    everywhere(|| {
        for _ in 0..rounds(10) {
            let (said, told) = ask_back(When::Before, Builder::new());
            assert_eq!(said, Err(AskError::Deadlock(vec!["asked".into(), "asker".into()])));
            assert_eq!(told, Ok(()));
        }
    });
}

#[test]
fn asking_back_after_the_question_is_out_of_hand_is_no_deadlock() {
    everywhere(|| {
        for when in NO_CIRCLES {
            for _ in 0..rounds(5) {
                let (said, told) = ask_back(when, Builder::new());
                assert_eq!(said, Ok(()), "{when:?}");
                let expected = if when == When::AfterDrop { Err(AskError::NoReply) } else { Ok(()) };
                assert_eq!(told, expected, "{when:?}");
            }
        }
    });
}

/// A mailbox that throws its oldest messages out has the one in hand all the same.
#[test]
fn circle_is_found_in_spite_of_dropped_messages() {
    struct Full(ActorRef<Message>);
    impl Actor for Full {
        type Message = Message;
        fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
            if let Message::Question(reply) = message {
                for _ in 0..5 {
                    let _ = ctx.me().tell(Message::Later);
                }
                let said = self.0.ask(Message::Ping);
                assert!(matches!(said, Err(AskError::Deadlock(_))), "{said:?}");
                let _ = reply.send(());
            }
            Ok(())
        }
    }
    everywhere(|| {
        let asker = spawn(Asker);
        let full = Builder::new().mailbox(2).overflow(Overflow::DropOldest).spawn(Full(asker.clone()));
        assert_eq!(asker.ask(|reply| Message::Go(full.clone(), reply)), Ok(Ok(())));
        // What comes later has its own number.
        assert_eq!(asker.ask(|reply| Message::Go(full.clone(), reply)), Ok(Ok(())));
        assert!(full.dropped() >= 6);
    });
}

/// Building the question asks another actor. Then the question goes to an actor that asks back.
#[test]
fn circle_is_found_in_spite_of_an_ask_made_while_building_a_question() {
    everywhere(|| {
        let (said, says) = bounded(1);
        let asker = Builder::new().spawn_loop(move |mailbox: &mut Mailbox<Message>| {
            let Message::Go(asked, reply) = mailbox.recv()? else { unreachable!("told first") };
            let third = spawn(Asker);
            let answer = asked.ask(|reply| {
                third.ask(Message::Ping).unwrap();
                Message::Question(reply)
            });
            let _ = reply.send(answer);
            Ok(())
        });
        struct Back(ActorRef<Message>, Sender<Answer>);
        impl Actor for Back {
            type Message = Message;
            fn handle(&mut self, message: Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
                if let Message::Question(reply) = message {
                    self.1.send(self.0.ask(Message::Ping))?;
                    let _ = reply.send(());
                }
                Ok(())
            }
        }
        let asked = spawn(Back(asker.clone(), said));
        assert_eq!(asker.ask(|reply| Message::Go(asked, reply)), Ok(Ok(())));
        let said = says.recv().unwrap();
        assert!(matches!(said, Err(AskError::Deadlock(_))), "{said:?}");
    });
}

/// A loop that has taken the question, and comes back for more without having answered it, has let go of it.
#[test]
fn receive_of_a_loop_releases_the_question_in_hand() {
    everywhere(|| {
        for again in [false, true] {
            let asker = spawn(Asker);
            let (said, says) = bounded(1);
            let back = asker.clone();
            let asked = Builder::new().spawn_loop(move |mailbox: &mut Mailbox<Message>| {
                let Message::Question(reply) = mailbox.recv()? else { unreachable!("nobody tells it else") };
                let mut kept = Some(reply);
                if again {
                    let _ = mailbox.recv_timeout(Duration::ZERO);
                    let reply = kept.take();
                    kahn_core::spawn(move || {
                        kahn_core::sleep(Duration::from_millis(5));
                        drop(reply);
                    });
                }
                said.send(back.ask(Message::Ping))?;
                drop(kept);
                Ok(())
            });
            let answer = {
                let asker = asker.clone();
                kahn_core::spawn(move || asker.ask(|reply| Message::Go(asked, reply)))
            };
            let said = says.recv().unwrap();
            match again {
                true => assert_eq!(said, Ok(())),
                false => assert!(matches!(said, Err(AskError::Deadlock(_))), "{said:?}"),
            }
            drop(answer.join().unwrap());
        }
    });
}

/// Two ask each other at once, each of which answers first and asks then: there is never a circle, however they meet.
#[test]
fn actors_that_reply_before_they_ask_close_no_circle() {
    struct Polite {
        other: Option<ActorRef<Polites>>,
        over: Sender<()>,
    }
    enum Polites {
        Other(ActorRef<Polites>),
        Question(u32, Reply<()>),
    }
    impl Actor for Polite {
        type Message = Polites;
        fn handle(&mut self, message: Polites, _: &mut Context<Self>) -> Result<(), ExitReason> {
            match message {
                Polites::Other(other) => self.other = Some(other),
                Polites::Question(left, reply) => {
                    reply.send(()).unwrap();
                    match &self.other {
                        Some(other) if left > 0 => {
                            other.ask(|reply| Polites::Question(left - 1, reply)).unwrap();
                        }
                        _ => self.over.send(())?,
                    }
                }
            }
            Ok(())
        }
    }
    everywhere(|| {
        for _ in 0..rounds(20) {
            let (over, is_over) = bounded(1);
            let pair = [0, 1].map(|_| spawn(Polite { other: None, over: over.clone() }));
            for (me, other) in [(0, 1), (1, 0)] {
                assert!(pair[me].tell(Polites::Other(pair[other].clone())).is_ok());
            }
            pair[0].ask(|reply| Polites::Question(50, reply)).unwrap();
            // All have been answered by then.
            is_over.recv().unwrap();
            for actor in pair {
                actor.stop();
                assert!(actor.join().is_normal());
            }
        }
    });
}
