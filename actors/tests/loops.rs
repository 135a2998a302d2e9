//! Actors that are loops: they share their worker, whatever they receive or fail to receive, and each message is
//! received in its turn.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use kahn_actors::{ActorRef, Builder, ChildSpec, ExitReason, Mailbox, MailboxError, Supervisor};
use kahn_channels::{Receiver, bounded};
use kahn_core::Runtime;
use kahn_core::sync::Semaphore;
use kahn_core::time::timeout;
use support::{everywhere, until, within};

/// On one worker, where an actor that does not yield keeps all others from running.
#[track_caller]
fn alone(scenario: impl Fn() + Sync) {
    within(|| Runtime::builder().workers(1).build().unwrap().run(&scenario));
}

type Receive = fn(&mut Mailbox<u32>) -> Result<u32, MailboxError>;

const RECEIVES: [Receive; 4] = [
    |mailbox| mailbox.recv(),
    |mailbox| mailbox.recv_timeout(Duration::from_millis(1)),
    |mailbox| mailbox.recv_matching(|_| false),
    |mailbox| mailbox.recv_matching_timeout(Duration::from_secs(1000), |_| false),
];

/// It was stopped, and receives on: each receive fails at once.
#[test]
fn loop_that_ignores_its_end_lets_others_run() {
    alone(|| {
        for receive in RECEIVES {
            let failed = Arc::new(AtomicUsize::new(0));
            let count = failed.clone();
            let actor = Builder::new().spawn_loop(move |mailbox: &mut Mailbox<u32>| {
                loop {
                    if receive(mailbox).is_err() {
                        count.fetch_add(1, SeqCst);
                    }
                }
            });
            kahn_core::sleep(Duration::from_millis(2));
            actor.stop();
            let seen = failed.load(SeqCst);
            until(|| failed.load(SeqCst) > seen + 10_000);
            actor.kill();
            assert!(matches!(actor.join(), ExitReason::Killed));
        }
    });
}

#[test]
fn try_recv_of_a_mailbox_does_not_wait() {
    everywhere(|| {
        let looks = Builder::new().spawn_loop(|mailbox: &mut Mailbox<u32>| {
            assert!(matches!(mailbox.try_recv(), Err(MailboxError::Empty)));
            mailbox.me().tell(1)?;
            mailbox.me().tell(2)?;
            assert_eq!(mailbox.recv_matching(|n| *n == 2)?, 2);
            assert_eq!(mailbox.try_recv()?, 1, "what was passed over counts");
            // It was not asleep in between, and is roused from a real wait.
            let me = mailbox.me();
            kahn_core::spawn(move || {
                kahn_core::sleep(Duration::from_millis(1));
                me.tell(3)
            });
            loop {
                match mailbox.try_recv() {
                    Err(MailboxError::Empty) => {}
                    other => break assert_eq!(other?, 3),
                }
            }
            let me = mailbox.me();
            kahn_core::spawn(move || me.tell(4));
            assert_eq!(mailbox.recv()?, 4);
            mailbox.stop();
            assert!(matches!(mailbox.try_recv(), Err(MailboxError::Ended(_))));
            Ok(())
        });
        let reason = looks.join();
        assert!(reason.is_normal(), "{reason}");
    });
}

#[test]
fn loop_with_many_messages_lets_others_run() {
    const MANY: usize = 10_000;
    alone(|| {
        // Received, or passed over.
        for wanted in [true, false] {
            let (gate, count) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
            let (opened, counted) = (gate.clone(), count.clone());
            let actor = Builder::new().mailbox(MANY).spawn_loop(move |mailbox: &mut Mailbox<usize>| {
                opened.acquire().forget();
                for _ in 0..MANY {
                    let number = mailbox.recv_matching(|n| {
                        counted.fetch_add(1, SeqCst);
                        wanted || *n == MANY - 1
                    })?;
                    if number == MANY - 1 {
                        break;
                    }
                }
                Ok(())
            });
            (0..MANY).for_each(|n| actor.tell(n).unwrap());
            gate.add_permits(1);
            let mut turns = 0;
            while count.load(SeqCst) < MANY {
                kahn_core::yield_now();
                turns += 1;
            }
            assert!(turns > 10, "others had {turns} turns while {MANY} messages were received");
            assert!(actor.join().is_normal());
        }
    });
}

#[test]
fn demonitor_removes_a_report_that_a_receive_has_passed_over() {
    everywhere(|| {
        let actor = Builder::new().spawn_loop(|mailbox: &mut Mailbox<u32>| {
            let other = Builder::new().spawn_loop(|other: &mut Mailbox<u32>| {
                let _ = other.recv();
                Ok(())
            });
            let monitor = mailbox.monitor(&other);
            other.stop();
            other.join();
            mailbox.me().tell(1).unwrap();
            assert_eq!(mailbox.recv().unwrap(), 1, "the end is passed over");
            mailbox.demonitor(monitor);
            assert!(mailbox.next_mail_timeout(Duration::ZERO).is_err());
            Ok(())
        });
        let reason = actor.join();
        assert!(reason.is_normal(), "{reason}");
    });
}

/// Receives the three messages that are there.
fn three(mailbox: &mut Mailbox<u32>) -> [u32; 3] {
    core::array::from_fn(|_| mailbox.try_recv().unwrap())
}

/// Unwinds while it looks at message 1 of the messages 0 to 2.
type Unwind = fn(&mut Mailbox<u32>);

const UNWINDS: [Unwind; 2] = [
    |mailbox| {
        let parks = |n: &u32| {
            if *n == 1 {
                kahn_core::sleep(Duration::MAX);
            }
            false
        };
        assert!(timeout(Duration::from_millis(1), || mailbox.recv_matching(parks)).is_err());
    },
    |mailbox| {
        let panics = |n: &u32| {
            if *n == 1 {
                resume_unwind(Box::new(()));
            }
            false
        };
        assert!(catch_unwind(AssertUnwindSafe(|| mailbox.recv_matching(panics))).is_err());
    },
];

#[test]
fn message_stays_in_its_place_if_the_predicate_of_a_receive_unwinds() {
    everywhere(|| {
        for unwind in UNWINDS {
            let actor = Builder::new().spawn_loop(move |mailbox: &mut Mailbox<u32>| {
                (0..3).for_each(|n| mailbox.me().tell(n).unwrap());
                unwind(mailbox);
                assert_eq!(three(mailbox), [0, 1, 2], "from the mailbox");
                (0..3).for_each(|n| mailbox.stash(n));
                mailbox.unstash_all();
                unwind(mailbox);
                assert_eq!(three(mailbox), [0, 1, 2], "from the stash");
                (0..3).for_each(|n| mailbox.me().tell(n).unwrap());
                assert!(mailbox.recv_matching_timeout(Duration::ZERO, |_| false).is_err());
                unwind(mailbox);
                assert_eq!(three(mailbox), [0, 1, 2], "passed over before");
                Ok(())
            });
            let reason = actor.join();
            assert!(reason.is_normal(), "{reason}");
        }
    });
}

/// A supervised loop whose first life runs `f`. Each later life sends the messages that it receives.
fn lives(f: impl Fn(&mut Mailbox<u32>) + Send + 'static) -> (Supervisor, Receiver<u32>) {
    let (tx, received) = bounded(10);
    let mut is_first = true;
    let child = ChildSpec::spawn_loop("loop", move |mailbox: &mut Mailbox<u32>| {
        if core::mem::take(&mut is_first) {
            f(mailbox);
            return Err(ExitReason::failed("the first life is over"));
        }
        loop {
            tx.send(mailbox.recv()?).unwrap();
        }
    });
    (Supervisor::default().child(child), received)
}

#[test]
fn kill_in_the_predicate_of_a_receive_leaves_the_message_to_the_next_life() {
    everywhere(|| {
        let looks = Arc::new(AtomicUsize::new(0));
        let counts = looks.clone();
        let (supervisor, received) = lives(move |mailbox| {
            let _ = mailbox.recv_matching(|n| {
                counts.fetch_add(1, SeqCst);
                if *n == 1 {
                    kahn_core::sleep(Duration::MAX);
                }
                false
            });
        });
        let supervisor = supervisor.spawn();
        let actor: ActorRef<u32> = supervisor.actor_ref("loop").unwrap();
        (0..3).for_each(|n| actor.tell(n).unwrap());
        until(|| looks.load(SeqCst) == 2);
        actor.kill();
        assert_eq!([(); 3].map(|()| received.recv().unwrap()), [0, 1, 2]);
        supervisor.stop();
    });
}

/// Stashes message 0 of the messages 0 to 4, passes 1 and 2 over, and receives 3.
fn stash_and_pass(mailbox: &mut Mailbox<u32>) {
    let first = mailbox.recv().unwrap();
    mailbox.stash(first);
    assert_eq!(mailbox.recv_matching(|n| *n == 3).unwrap(), 3);
}

#[test]
fn unstashed_messages_come_before_those_that_were_passed_over() {
    everywhere(|| {
        let actor = Builder::new().spawn_loop(|mailbox: &mut Mailbox<u32>| {
            (0..5).for_each(|n| mailbox.me().tell(n).unwrap());
            stash_and_pass(mailbox);
            mailbox.unstash_all();
            assert_eq!(three(mailbox), [0, 1, 2]);
            assert_eq!(mailbox.recv().unwrap(), 4);
            Ok(())
        });
        let reason = actor.join();
        assert!(reason.is_normal(), "{reason}");
    });
}

#[test]
fn next_life_receives_stashed_messages_before_those_that_were_passed_over() {
    everywhere(|| {
        let (supervisor, received) = lives(stash_and_pass);
        let supervisor = supervisor.spawn();
        let actor: ActorRef<u32> = supervisor.actor_ref("loop").unwrap();
        (0..5).for_each(|n| actor.tell(n).unwrap());
        assert_eq!([(); 4].map(|()| received.recv().unwrap()), [0, 1, 2, 4]);
        supervisor.stop();
    });
}

#[test]
fn end_of_a_loop_comes_before_messages_that_were_passed_over() {
    everywhere(|| {
        let actor = Builder::new().spawn_loop(|mailbox: &mut Mailbox<u32>| {
            (0..5).for_each(|n| mailbox.me().tell(n).unwrap());
            stash_and_pass(mailbox);
            mailbox.stop();
            assert!(matches!(mailbox.recv(), Err(MailboxError::Ended(_))));
            Ok(())
        });
        let reason = actor.join();
        assert!(reason.is_normal(), "{reason}");
    });
}
