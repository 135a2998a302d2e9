//! Loops: that they share their worker, whatever they receive or fail to.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use kahn_actors::{Builder, ExitReason, Mailbox, RecvError};
use kahn_core::Runtime;
use kahn_core::sync::Semaphore;
use support::{until, within};

/// On one worker, where whoever does not yield is alone.
#[track_caller]
fn alone(scenario: impl Fn() + Sync) {
    within(|| Runtime::builder().workers(1).build().unwrap().run(&scenario));
}

type Receive = fn(&mut Mailbox<u32>) -> Result<u32, RecvError>;

const RECEIVES: [Receive; 4] = [
    |mailbox| mailbox.recv(),
    |mailbox| mailbox.recv_timeout(Duration::from_millis(1)),
    |mailbox| mailbox.recv_matching(|_| false),
    |mailbox| mailbox.recv_matching_timeout(Duration::from_secs(1000), |_| false),
];

/// It was stopped, and receives on: each receive fails at once.
#[test]
fn a_loop_that_does_not_mind_its_end_lets_others_run() {
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
fn a_loop_with_many_messages_lets_others_run() {
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
