//! Asking: from every kind of thread, with deadlines, and in circles.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use kahn_actors::{Actor, ActorRef, AskError, Builder, Context, ExitReason, Mailbox, Reply, spawn};
use support::{everywhere, rounds, until};

/// Asks the next, if there is one, and answers what that has answered, and one.
struct Link {
    next: Option<ActorRef<Message>>,
    kept: Option<Reply<Answer>>,
}

type Answer = Result<u32, AskError>;

enum Message {
    Next(ActorRef<Message>),
    Count(Reply<Answer>),
    /// Keeps the reply until another message asks for it.
    Keep(Reply<Answer>),
    ErasedChild(Reply<Option<Reply<Answer>>>),
}

impl Actor for Link {
    type Message = Message;

    fn handle(&mut self, message: Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Next(next) => self.next = Some(next),
            Message::Count(reply) => {
                let answer = match &self.next {
                    Some(next) => next.ask(Message::Count).and_then(|answer| answer),
                    None => Ok(0),
                };
                let _ = reply.send(answer.map(|n| n + 1));
            }
            Message::Keep(reply) => self.kept = Some(reply),
            Message::ErasedChild(reply) => drop(reply.send(self.kept.take())),
        }
        Ok(())
    }
}

fn chain(length: usize, round: bool) -> Vec<ActorRef<Message>> {
    let link = |i| Builder::new().name(format!("link {i}")).spawn(Link { next: None, kept: None });
    let links: Vec<_> = (0..length).map(link).collect();
    for i in 0..length {
        if i + 1 < length || round {
            assert!(links[i].tell(Message::Next(links[(i + 1) % length].clone())).is_ok());
        }
    }
    links
}

/// Those that refer to each other in a circle are never without a reference.
fn end(links: Vec<ActorRef<Message>>) {
    links.iter().for_each(ActorRef::kill);
    links.iter().for_each(|link| drop(link.join()));
}

#[test]
fn chain_of_asks_without_a_circle_gets_its_reply() {
    everywhere(|| {
        let links = chain(100, false);
        assert_eq!(links[0].ask(Message::Count).unwrap(), Ok(100));
        end(links);
    });
}

#[test]
fn circle_is_found_at_once_and_names_its_actors() {
    everywhere(|| {
        for length in [1, 2, 3, 17] {
            let links = chain(length, true);
            let start = Instant::now();
            let Err(AskError::Deadlock(names)) = links[0].ask(Message::Count).unwrap() else {
                panic!("no circle")
            };
            assert!(start.elapsed() < Duration::from_secs(4));
            // The last is the one that closes it.
            let mut expected: Vec<_> = (0..length).map(|i| format!("link {i}")).collect();
            expected.rotate_right(1);
            assert_eq!(names, expected);
            end(links);
        }
    });
}

/// Two actors ask each other at the same moment: at least one sees the circle, and neither waits for the deadline.
#[test]
fn circle_closed_by_two_asks_at_once_is_found_by_at_least_one() {
    everywhere(|| {
        let start = Instant::now();
        let found = AtomicUsize::new(0);
        for _ in 0..rounds(200) {
            let links = chain(2, true);
            kahn_core::scope(|scope| {
                for link in &links {
                    let found = &found;
                    scope.spawn(move || {
                        let answer = link.ask(Message::Count).unwrap();
                        found.fetch_add(usize::from(matches!(answer, Err(AskError::Deadlock(_)))), SeqCst);
                    });
                }
            });
            end(links);
        }
        assert!(found.load(SeqCst) >= rounds(200));
        assert!(start.elapsed() < Duration::from_millis(4000).mul_f64(rounds(200) as f64));
    });
}

/// A question that is kept beyond its handler closes no circle: another thread may answer it.
#[test]
fn reply_kept_beyond_its_handler_closes_no_circle() {
    everywhere(|| {
        let supervisor = spawn(Link { next: None, kept: None });
        let asker = Builder::new().spawn_loop({
            let supervisor = supervisor.clone();
            move |mailbox: &mut Mailbox<Message>| {
                assert_eq!(supervisor.ask(Message::Keep)?, Ok(7));
                while let Ok(Message::Count(reply)) = mailbox.recv() {
                    let _ = reply.send(Ok(1));
                }
                Ok(())
            }
        });
        let mut kept = None;
        until(|| {
            kept = supervisor.ask(Message::ErasedChild).unwrap();
            kept.is_some()
        });
        // Now the supervisor asks the asker, which waits for an answer that is not the supervisor's to give any more.
        assert!(supervisor.tell(Message::Next(asker.clone())).is_ok());
        let count = {
            let supervisor = supervisor.clone();
            kahn_core::spawn(move || supervisor.ask(Message::Count))
        };
        until(|| asker.len() == 1);
        kept.unwrap().send(Ok(7)).unwrap();
        assert_eq!(count.join().unwrap().unwrap(), Ok(2));
        end(vec![supervisor, asker]);
    });
}

#[test]
fn late_reply_is_returned_to_its_sender_alone() {
    everywhere(|| {
        let (tx, rx) = kahn_channels::bounded(1);
        let late = Builder::new().spawn_loop(move |mailbox: &mut Mailbox<Reply<Arc<()>>>| {
            let reply = mailbox.recv()?;
            tx.send(reply)?;
            Ok(())
        });
        assert_eq!(late.ask_timeout(Duration::from_millis(1), |reply| reply), Err(AskError::Timeout));
        let answer = Arc::new(());
        let back = rx.recv().unwrap().send(answer.clone()).unwrap_err();
        assert_eq!(Arc::strong_count(&back), 2);
    });
}

/// Whether the reply or the deadline comes first, nothing is lost and nothing is there twice.
#[test]
fn replies_race_with_deadlines_and_kills() {
    struct Echo;
    impl Actor for Echo {
        type Message = (Arc<()>, Reply<Arc<()>>);
        fn handle(&mut self, (token, reply): Self::Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
            let _ = reply.send(token);
            Ok(())
        }
    }
    everywhere(|| {
        for round in 0..rounds(300) {
            let token = Arc::new(());
            let echo = spawn(Echo);
            let killer = (round % 3 == 0).then(|| {
                let echo = echo.clone();
                kahn_core::spawn(move || echo.kill())
            });
            let timeout = Duration::from_micros(round as u64 % 100);
            match echo.ask_timeout(timeout, |reply| (token.clone(), reply)) {
                Ok(answer) => assert!(Arc::ptr_eq(&answer, &token)),
                Err(AskError::Timeout) => {}
                Err(AskError::NoReply | AskError::Dead) if killer.is_some() => {}
                Err(other) => panic!("{other}"),
            }
            killer.into_iter().for_each(|killer| killer.join().unwrap());
            echo.stop();
            echo.join();
            until(|| Arc::strong_count(&token) == 1);
        }
    });
}

/// A cancelled asker leaves, and the reply finds no asker.
#[test]
fn cancelled_ask_leaves_nothing_behind() {
    everywhere(|| {
        let (tx, rx) = kahn_channels::bounded(1);
        let supervisor = Builder::new().spawn_loop(move |mailbox: &mut Mailbox<Reply<u32>>| {
            tx.send(mailbox.recv()?)?;
            Ok(())
        });
        let asker = kahn_core::spawn(move || supervisor.ask(|reply| reply));
        let reply = rx.recv().unwrap();
        asker.cancel();
        assert!(asker.join().unwrap_err().is_cancelled());
        assert_eq!(reply.send(5), Err(5));
    });
}

#[test]
fn async_code_asks_and_tells() {
    everywhere(|| {
        let links = chain(3, false);
        let asks: Vec<_> = (0..3).map(|i| links[i].ask_async(Message::Count)).collect();
        let answers = kahn_core::block_on(async {
            let mut answers = Vec::new();
            for ask in asks {
                answers.push(ask.await.unwrap().unwrap());
            }
            links[0]
                .tell_async(Message::Next(links[0].clone()))
                .await
                .unwrap_or_else(|_| panic!("it has ended"));
            answers
        });
        assert_eq!(answers, [3, 2, 1]);
        // Dropped before it has its answer.
        drop(links[0].ask_async(Message::Keep));
        end(links);
    });
}
