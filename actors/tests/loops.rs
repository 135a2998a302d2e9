//! Actors that are loops share their worker, whatever they receive or fail to receive.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use kahn_actors::{Builder, ExitReason, Mailbox, MailboxError};
use kahn_core::Runtime;
use kahn_core::sync::Semaphore;
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
