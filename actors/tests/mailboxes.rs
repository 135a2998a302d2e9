//! Mailboxes: messages that find a mailbox full, and messages that no actor will handle.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use kahn_actors::dead_letters::Cause;
use kahn_actors::testing::Inbox;
use kahn_actors::{
    Actor, ActorRef, AskError, Builder, Context, ExitReason, Mail, Mailbox, MailboxError, Overflow, Reply,
    TellError, dead_letters, spawn,
};
use kahn_core::Runtime;
use kahn_core::sync::Semaphore;
use support::{everywhere, until, within};

/// Handles a message when it gets a permit for it.
struct Slow {
    gate: Arc<Semaphore>,
    handled: Vec<u32>,
}

enum Message {
    Number(u32),
    Handled(Reply<Vec<u32>>),
}

impl Actor for Slow {
    type Message = Message;

    fn handle(&mut self, message: Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Number(n) => {
                self.gate.acquire().forget();
                self.handled.push(n);
            }
            Message::Handled(reply) => drop(reply.send(self.handled.clone())),
        }
        Ok(())
    }
}

/// One that has a message in hand, and a mailbox for two.
fn slow(overflow: Overflow) -> (ActorRef<Message>, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let slow = Slow { gate: gate.clone(), handled: Vec::new() };
    let actor = Builder::new().mailbox(2).overflow(overflow).spawn(slow);
    actor.tell(Message::Number(0)).unwrap();
    until(|| actor.is_empty());
    (actor, gate)
}

fn finish(actor: &ActorRef<Message>, gate: &Semaphore) -> Vec<u32> {
    gate.add_permits(100);
    until(|| actor.is_empty());
    actor.ask(Message::Handled).unwrap()
}

#[test]
fn full_mailbox_makes_its_senders_wait_in_order() {
    everywhere(|| {
        let (actor, gate) = slow(Overflow::Park);
        actor.tell(Message::Number(1)).unwrap();
        actor.tell(Message::Number(2)).unwrap();
        assert!(actor.try_tell(Message::Number(9)).unwrap_err().is_full());
        assert!(matches!(
            actor.tell_timeout(Message::Number(9), Duration::from_millis(2)),
            Err(TellError::Timeout(Message::Number(9)))
        ));
        let waits = {
            let actor = actor.clone();
            kahn_core::spawn(move || actor.tell(Message::Number(3)).unwrap())
        };
        assert_eq!(actor.ask_timeout(Duration::from_millis(2), Message::Handled), Err(AskError::Timeout));
        gate.add_permits(100);
        waits.join().unwrap();
        assert_eq!(finish(&actor, &gate), [0, 1, 2, 3]);
    });
}

#[test]
fn fail_and_drop_policies_handle_a_full_mailbox() {
    everywhere(|| {
        let results = [
            (Overflow::Fail, vec![0, 1, 2], 0),
            (Overflow::DropNewest, vec![0, 1, 2], 2),
            (Overflow::DropOldest, vec![0, 3, 4], 2),
        ];
        for (overflow, expected, dropped) in results {
            let letters = dead_letters::watch(1000);
            let (actor, gate) = slow(overflow);
            for n in 1..=4 {
                let told = actor.tell(Message::Number(n));
                assert_eq!(told.is_err(), overflow == Overflow::Fail && n > 2);
            }
            if overflow == Overflow::Fail {
                assert_eq!(actor.ask(Message::Handled), Err(AskError::Full));
            }
            assert_eq!(actor.dropped(), dropped);
            let seen = letters.try_iter().filter(|letter| letter.id == actor.id()).map(|letter| letter.count);
            assert_eq!(seen.sum::<u64>(), dropped);
            assert_eq!(finish(&actor, &gate), expected);
        }
    });
}

#[test]
fn end_of_the_actor_ends_the_wait_for_room() {
    everywhere(|| {
        let (actor, _gate) = slow(Overflow::Park);
        actor.tell(Message::Number(1)).unwrap();
        actor.tell(Message::Number(2)).unwrap();
        let waits: Vec<_> = (0..3)
            .map(|n| {
                let actor = actor.clone();
                kahn_core::spawn(move || actor.tell(Message::Number(n)).unwrap_err().is_dead())
            })
            .collect();
        let asks = actor.ask_async(Message::Handled);
        let asks = kahn_core::spawn(move || kahn_core::block_on(asks));
        actor.kill();
        waits.into_iter().for_each(|wait| assert!(wait.join().unwrap()));
        assert!(matches!(asks.join().unwrap(), Err(AskError::Dead | AskError::NoReply)));
    });
}

/// For a waiting thread and a waiting task: a message that is returned is a dead letter.
#[test]
fn message_refused_while_it_waits_for_room_is_counted() {
    everywhere(|| {
        for is_async in [false, true] {
            let letters = dead_letters::watch(10_000);
            let (actor, _gate) = slow(Overflow::Park);
            actor.tell(Message::Number(1)).unwrap();
            actor.tell(Message::Number(2)).unwrap();
            let waits: Vec<_> = (0..3)
                .map(|n| {
                    let actor = actor.clone();
                    kahn_core::spawn(move || match is_async {
                        true => kahn_core::block_on(actor.tell_async(Message::Number(n))),
                        false => actor.tell(Message::Number(n)),
                    })
                })
                .collect();
            // Long enough that they wait, as a rule; if not, they are refused at once, and counted, too.
            kahn_core::sleep(Duration::from_millis(2));
            actor.kill();
            waits.into_iter().for_each(|wait| assert!(wait.join().unwrap().unwrap_err().is_dead()));
            let mut refused = 0;
            until(|| {
                let mine = letters.try_iter().filter(|letter| letter.id == actor.id());
                refused += mine
                    .filter(|letter| letter.cause == Cause::ActorEnded)
                    .map(|letter| letter.count)
                    .sum::<u64>();
                refused == 3
            });
        }
    });
}

#[test]
fn remaining_messages_are_dropped_once_and_counted() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    struct Stuck;
    impl Actor for Stuck {
        type Message = Counted;
        fn handle(&mut self, _: Counted, _: &mut Context<Self>) -> Result<(), ExitReason> {
            kahn_core::sleep(Duration::MAX);
            Ok(())
        }
    }
    everywhere(|| {
        let letters = dead_letters::watch(10_000);
        let drops = Arc::new(AtomicUsize::new(0));
        let stuck = spawn(Stuck);
        (0..10).for_each(|_| stuck.tell(Counted(drops.clone())).unwrap());
        until(|| stuck.len() == 9);
        stuck.kill();
        stuck.join();
        until(|| drops.load(SeqCst) == 10);
        drop(stuck.tell(Counted(drops.clone())).unwrap_err());
        until(|| {
            let mine = letters.try_iter().filter(|letter| letter.id == stuck.id());
            drops.fetch_add(100 * mine.map(|letter| letter.count as usize).sum::<usize>(), SeqCst) >= 1000
        });
        assert_eq!(drops.load(SeqCst), 11 + 100 * 10);
    });
}

/// Wherever they are left: in the mailbox, put aside, passed over, or with a timer. Two panics at once would abort.
#[test]
fn messages_whose_drops_panic_are_all_dropped() {
    struct Bomb(Arc<AtomicUsize>);
    impl Drop for Bomb {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
            panic!("as every one of them");
        }
    }
    struct Keeps(Arc<AtomicUsize>);
    impl Actor for Keeps {
        type Message = Bomb;
        fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
            for _ in 0..3 {
                ctx.send_after(Duration::from_secs(1000), Bomb(self.0.clone()));
                ctx.send_after(Duration::MAX, Bomb(self.0.clone()));
                ctx.stash(Bomb(self.0.clone()));
            }
            ctx.set_idle_timeout(Duration::from_secs(1000), Bomb(self.0.clone()));
            until(|| ctx.me().len() == 3);
            Ok(())
        }
        fn handle(&mut self, bomb: Bomb, _: &mut Context<Self>) -> Result<(), ExitReason> {
            std::mem::forget(bomb);
            Ok(())
        }
    }
    within(|| {
        Runtime::builder().workers(2).build().unwrap().run(|| {
            let dropped = Arc::new(AtomicUsize::new(0));
            let tell = |actor: &ActorRef<Bomb>| {
                for _ in 0..3 {
                    // One that is handed back stays with its error.
                    let told = actor.tell(Bomb(dropped.clone()));
                    assert!(told.map_err(std::mem::forget).is_ok());
                }
            };
            let actor = spawn(Keeps(dropped.clone()));
            actor.stop();
            tell(&actor);
            assert!(actor.join().is_normal());
            assert_eq!(dropped.swap(0, SeqCst), 13);

            let passes = Builder::new().spawn_loop(|mailbox: &mut Mailbox<Bomb>| {
                until(|| mailbox.me().len() == 3);
                assert!(mailbox.recv_matching_timeout(Duration::ZERO, |_| false).is_err());
                Ok(())
            });
            tell(&passes);
            assert!(passes.join().is_normal());
            assert_eq!(dropped.swap(0, SeqCst), 3);

            let inbox = Inbox::new();
            tell(&inbox.actor_ref());
            drop(inbox);
            assert_eq!(dropped.swap(0, SeqCst), 3);
        });
    });
}

#[test]
fn actor_that_tells_itself_never_waits() {
    struct Echo;
    impl Actor for Echo {
        type Message = Option<Reply<usize>>;
        fn handle(
            &mut self,
            message: Option<Reply<usize>>,
            ctx: &mut Context<Self>,
        ) -> Result<(), ExitReason> {
            let Some(reply) = message else { return Ok(()) };
            let me = ctx.me();
            let taken = (0..).take_while(|_| me.tell(None).is_ok()).count();
            assert!(matches!(me.tell(None), Err(TellError::Full(None))));
            let _ = reply.send(taken);
            Ok(())
        }
    }
    everywhere(|| {
        let echo = Builder::new().mailbox(5).spawn(Echo);
        assert_eq!(echo.ask(Some), Ok(5));
    });
}

#[test]
fn selective_receive_keeps_the_other_messages() {
    everywhere(|| {
        let looped = Builder::new().mailbox(4).spawn_loop(|mailbox: &mut Mailbox<u32>| {
            assert_eq!(mailbox.recv_matching(|n| *n == 3).unwrap(), 3);
            assert_eq!(mailbox.recv_matching(|n| *n == 2).unwrap(), 2);
            assert_eq!(mailbox.recv().unwrap(), 1);
            assert!(matches!(mailbox.next_mail().unwrap(), Mail::Message(4)));
            assert!(matches!(
                mailbox.recv_matching_timeout(Duration::from_millis(1), |n| *n == 9),
                Err(MailboxError::Timeout)
            ));
            mailbox.me().tell(5).unwrap();
            assert_eq!(mailbox.recv_timeout(Duration::from_secs(60)).unwrap(), 5);
            Ok(())
        });
        (1..=4).for_each(|n| looped.tell(n).unwrap());
        let reason = looped.join();
        assert!(reason.is_normal(), "{reason}");
    });
}

#[test]
fn selective_receive_on_a_full_mailbox_without_a_match_is_an_error() {
    everywhere(|| {
        let looped = Builder::new().mailbox(3).spawn_loop(|mailbox: &mut Mailbox<u32>| {
            assert!(matches!(mailbox.recv_matching(|n| *n == 9), Err(MailboxError::Full)));
            assert_eq!(mailbox.recv().unwrap(), 0);
            assert_eq!(mailbox.recv_matching(|n| *n == 9).unwrap(), 9);
            Ok(())
        });
        (0..3).for_each(|n| looped.tell(n).unwrap());
        looped.tell(9).unwrap();
        let reason = looped.join();
        assert!(reason.is_normal(), "{reason}");
    });
}

#[test]
fn loop_ends_when_it_is_stopped_or_has_no_references() {
    everywhere(|| {
        let ended = Arc::new(AtomicBool::new(false));
        for stop in [true, false] {
            let flag = ended.clone();
            let looped = Builder::new().spawn_loop(move |mailbox: &mut Mailbox<u32>| {
                assert!(matches!(mailbox.recv(), Err(MailboxError::Ended(ExitReason::Normal))));
                assert!(mailbox.recv().is_err(), "it stays so");
                flag.store(true, SeqCst);
                Ok(())
            });
            let address = looped.address();
            if stop {
                looped.stop();
                assert!(looped.join().is_normal());
            }
            drop(looped);
            assert!(address.join().is_normal());
            assert!(ended.swap(false, SeqCst));
        }
    });
}

/// Records the number of each message.
struct Record(Vec<u32>);

enum Recorded {
    By(u32),
    All(Reply<Vec<u32>>),
}

impl Actor for Record {
    type Message = Recorded;

    fn handle(&mut self, message: Recorded, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Recorded::By(sender) => self.0.push(sender),
            Recorded::All(reply) => drop(reply.send(self.0.clone())),
        }
        Ok(())
    }
}

/// A sender that is let in does not fill the mailbox again before the others have had room.
#[test]
fn senders_of_a_full_mailbox_take_turns_of_many_messages() {
    const SENDERS: u32 = 8;
    const MESSAGES: usize = 2000;
    const MAILBOX: usize = 128;
    let runtime = Runtime::builder().workers(1).build().unwrap();
    if runtime.workers() != 1 {
        // `KAHN_WORKERS` says otherwise. Between workers there is no such order.
        return;
    }
    let order = runtime.run(|| {
        let actor = Builder::new().mailbox(MAILBOX).spawn(Record(Vec::new()));
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let actor = actor.clone();
                kahn_core::spawn(move || {
                    (0..MESSAGES).for_each(|_| actor.tell(Recorded::By(sender)).unwrap());
                })
            })
            .collect();
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        actor.ask(Recorded::All).unwrap()
    });
    assert_eq!(order.len(), SENDERS as usize * MESSAGES);
    let changes = order.windows(2).filter(|pair| pair[0] != pair[1]).count();
    // One for each mailbox of messages, if the senders never find the mailbox filled by another.
    assert!(changes <= 3 * order.len() / MAILBOX, "{changes} changes of the sender");
    let mut counts = [0; SENDERS as usize];
    for sender in order {
        counts[sender as usize] += 1;
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(most - least <= 4 * MAILBOX, "the senders have sent {counts:?}");
    }
}
