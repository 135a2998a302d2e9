//! Publishing by topic: which subscribers are told, and that a slow subscriber does not delay others.

mod support;

use std::sync::Mutex;

use kahn_actors::{
    Actor, ActorRef, Builder, ChildSpec, Context, ExitReason, Lag, Mailbox, Overflow, PubSub, Strategy,
    Supervisor, dead_letters,
};
use kahn_channels::{Receiver, Sender, bounded};
use kahn_core::Runtime;
use support::{everywhere, rounds, until, within};

struct News(u32);

impl From<u32> for News {
    fn from(n: u32) -> News {
        News(n)
    }
}

/// Says what it was told; panics at zero.
struct Reader(Sender<u32>);

impl Actor for Reader {
    type Message = News;

    fn handle(&mut self, News(n): News, _: &mut Context<Self>) -> Result<(), ExitReason> {
        assert_ne!(n, 0, "as told");
        Ok(self.0.send(n)?)
    }
}

fn reader() -> (ActorRef<News>, Receiver<u32>) {
    let (read, is_read) = bounded(10_000);
    (Builder::new().mailbox(10_000).spawn(Reader(read)), is_read)
}

/// One with room for `room` messages, that handles none until the sender is dropped.
fn held(room: usize, overflow: Overflow) -> (ActorRef<u32>, Sender<()>, Receiver<u32>) {
    let (read, is_read) = bounded(10_000);
    let (hold, held) = bounded::<()>(0);
    let slow =
        Builder::new().mailbox(room).overflow(overflow).spawn_loop(move |mailbox: &mut Mailbox<u32>| {
            held.recv().unwrap_err();
            while let Ok(n) = mailbox.recv() {
                read.send(n)?;
            }
            Ok(())
        });
    (slow, hold, is_read)
}

fn take(read: &Receiver<u32>, count: usize) -> Vec<u32> {
    read.iter().take(count).collect()
}

#[test]
fn published_message_reaches_the_subscribers_of_its_topic() {
    everywhere(|| {
        let bus = PubSub::<u32>::new();
        let ((tea, of_tea), (both, of_both)) = (reader(), reader());
        assert!(bus.subscribe("tea", &tea, Lag::Lose));
        assert!(bus.subscribe("tea", &both, Lag::Lose));
        assert!(bus.subscribe_with("salt", &both, Lag::Lose, |n| News(100 + n)));
        assert_eq!(bus.publish("tea", 1).told, 2);
        assert_eq!(bus.clone().publish("salt", 2).told, 1);
        assert_eq!(bus.publish("pepper", 3).told, 0);
        assert_eq!((take(&of_tea, 1), take(&of_both, 2)), (vec![1], vec![1, 102]));

        assert!(bus.unsubscribe("tea", &both));
        assert!(!bus.unsubscribe("tea", &both) && !bus.unsubscribe("pepper", &tea));
        assert_eq!(bus.publish("tea", 4).told, 1);
        assert_eq!(bus.publish("salt", 5).told, 1);
        assert_eq!((take(&of_tea, 1), take(&of_both, 1)), (vec![4], vec![105]));
        let mut topics = bus.topics();
        topics.sort();
        assert_eq!(topics, ["salt", "tea"]);
    });
}

/// These count dead letters, of which the process has one number.
static LETTERS: Mutex<()> = Mutex::new(());

#[test]
fn slow_subscriber_loses_messages_and_others_lose_none() {
    let _alone = LETTERS.lock().unwrap();
    everywhere(|| {
        let bus = PubSub::<u32>::new();
        let (slow, hold, is_read) = held(10, Overflow::Park);
        let (quick, is_read_quickly) = reader();
        bus.subscribe("x", &slow, Lag::Lose);
        bus.subscribe("x", &quick, Lag::Lose);
        let before = dead_letters::count();
        let missed: usize = (1..=1000).map(|n| bus.publish("x", n).missed).sum();
        assert_eq!(missed, 990);
        assert!(dead_letters::count() - before >= 990);
        assert_eq!(take(&is_read_quickly, 1000), (1..=1000).collect::<Vec<_>>());
        drop(hold);
        assert_eq!(take(&is_read, 10), (1..=10).collect::<Vec<_>>());
        assert_eq!(bus.publish("x", 1001).missed, 0);
        assert_eq!(take(&is_read, 1), [1001]);
    });
}

#[test]
fn parked_subscriber_gets_what_its_bounds_hold_and_delays_no_other() {
    let _alone = LETTERS.lock().unwrap();
    everywhere(|| {
        let bus = PubSub::<u32>::new();
        let (slow, hold, is_read) = held(10, Overflow::Park);
        let (quick, is_read_quickly) = reader();
        bus.subscribe("x", &slow, Lag::Park(1000));
        bus.subscribe("x", &quick, Lag::Lose);
        for n in 1..=1000 {
            assert_eq!(bus.publish("x", n).missed, 0);
        }
        assert_eq!(take(&is_read_quickly, 1000), (1..=1000).collect::<Vec<_>>());
        until(|| slow.len() == 10);
        // 1000 that wait, one in the courier's hand, 10 in the mailbox: the rest is lost.
        let told: Vec<u32> = (1001..=2000).filter(|&n| bus.publish("x", n).missed == 0).collect();
        assert!((10..=11).contains(&told.len()), "{told:?}");
        drop(hold);
        assert_eq!(take(&is_read, 1000), (1..=1000).collect::<Vec<_>>());
        assert_eq!(take(&is_read, told.len()), told);
    });
}

#[test]
fn mailbox_policy_also_applies_to_published_messages() {
    let _alone = LETTERS.lock().unwrap();
    everywhere(|| {
        let bus = PubSub::<u32>::new();
        let (slow, hold, is_read) = held(2, Overflow::DropOldest);
        bus.subscribe("x", &slow, Lag::Lose);
        assert_eq!((1..=5).map(|n| bus.publish("x", n).missed).sum::<usize>(), 0);
        drop(hold);
        assert_eq!(take(&is_read, 2), [4, 5]);
    });
}

#[test]
fn subscribing_again_changes_the_lag() {
    let _alone = LETTERS.lock().unwrap();
    everywhere(|| {
        let bus = PubSub::<u32>::new();
        let (slow, hold, is_read) = held(1, Overflow::Park);
        assert!(bus.subscribe("x", &slow, Lag::Lose));
        assert_eq!((bus.publish("x", 1).missed, bus.publish("x", 2).missed), (0, 1));
        assert!(!bus.subscribe("x", &slow, Lag::Park(5)));
        assert_eq!(bus.subscribers("x"), 1);
        assert_eq!((bus.publish("x", 3).missed, bus.publish("x", 4).missed), (0, 0));
        assert!(bus.unsubscribe("x", &slow));
        drop(hold);
        assert_eq!(take(&is_read, 3), [1, 3, 4], "what waited when it unsubscribed is told");
    });
}

#[test]
fn subscription_ends_with_its_actor_and_does_not_keep_it() {
    everywhere(|| {
        let bus = PubSub::<u32>::new();
        for lag in [Lag::Lose, Lag::Park(3)] {
            let (kept, _read) = reader();
            bus.subscribe("x", &kept, lag);
            kept.kill();
            kept.join();
            assert_eq!(bus.subscribers("x"), 0);
            assert!(!bus.subscribe("x", &kept, lag));

            let (dropped, read) = reader();
            bus.subscribe("x", &dropped, lag);
            let address = dropped.address();
            bus.publish("x", 9);
            assert_eq!(take(&read, 1), [9]);
            drop(dropped);
            assert!(address.join().is_normal());
            assert_eq!((bus.subscribers("x"), bus.topics()), (0, vec![]));
        }
    });
}

#[test]
fn subscription_survives_its_actors_restarts() {
    everywhere(|| {
        for lag in [Lag::Lose, Lag::Park(3)] {
            let (read, is_read) = bounded(10);
            let spec = ChildSpec::new("reader", move || Reader(read.clone()));
            let supervisor = Supervisor::new(Strategy::OneForOne).intensity(5, std::time::Duration::MAX);
            let supervisor = supervisor.child(spec).spawn();
            let bus = PubSub::<u32>::new();
            bus.subscribe("x", &supervisor.actor_ref::<News>("reader").unwrap(), lag);
            bus.publish("x", 0);
            bus.publish("x", 1);
            assert_eq!(take(&is_read, 1), [1]);

            supervisor.terminate_child("reader").unwrap();
            bus.publish("x", 2);
            supervisor.restart_child("reader").unwrap();
            until(|| {
                bus.publish("x", 3);
                is_read.try_recv().is_ok_and(|n| n == 3)
            });
            supervisor.stop();
        }
    });
}

#[test]
fn subscription_outlives_the_runtime_that_it_was_made_in() {
    within(|| {
        let bus = PubSub::<u32>::new();
        let (reader, is_read) = reader();
        let runtime = Runtime::builder().workers(1).build().unwrap();
        runtime.run(|| bus.subscribe("x", &reader, Lag::Park(5)));
        assert_eq!(bus.publish("x", 1).told, 1);
        assert_eq!(take(&is_read, 1), [1]);
        runtime.shutdown(std::time::Duration::from_secs(60)).unwrap();
        assert_eq!(bus.publish("x", 2).told, 1);
        assert_eq!(take(&is_read, 1), [2]);
    });
}

/// Published from several threads while subscribers come and go: each gets what one publisher says in its order.
#[test]
fn each_publishers_order_is_kept() {
    within(|| {
        let bus = PubSub::<(usize, u32)>::new();
        let (heard, hears) = bounded(100_000);
        let listen = |heard: Sender<(usize, u32)>| {
            Builder::new().mailbox(100_000).spawn_loop(move |mailbox: &mut Mailbox<(usize, u32)>| {
                let mut last = [None; 3];
                while let Ok((from, n)) = mailbox.recv() {
                    assert!(last[from].replace(n) < Some(n));
                    heard.send((from, n))?;
                }
                Ok(())
            })
        };
        let steady = listen(heard);
        bus.subscribe("x", &steady, Lag::Park(100_000));
        let count = rounds(500) as u32;
        std::thread::scope(|scope| {
            for from in 0..3 {
                let bus = &bus;
                scope.spawn(move || {
                    for n in 0..count {
                        assert!(bus.publish("x", (from, n)).told >= 1);
                    }
                });
            }
            scope.spawn(|| {
                for _ in 0..count {
                    let (heard, _hears) = bounded(100_000);
                    let guest = listen(heard);
                    assert!(bus.subscribe("x", &guest, Lag::Lose));
                    guest.stop();
                    guest.join();
                }
            });
        });
        assert_eq!(hears.iter().take(3 * count as usize).count(), 3 * count as usize);
        assert_eq!(bus.subscribers("x"), 1);
        assert!(steady.is_alive());
    });
}

#[test]
fn messages_stay_in_order_when_a_lag_changes_while_some_wait() {
    let _alone = LETTERS.lock().unwrap();
    everywhere(|| {
        for leaves in [false, true] {
            let bus = PubSub::<u32>::new();
            let (slow, hold, is_read) = held(1, Overflow::Park);
            let publish = |numbers: std::ops::RangeInclusive<u32>| {
                numbers.filter(|&n| bus.publish("x", n).told == 1).collect::<Vec<_>>()
            };
            let subscribe = |lag| {
                assert!(!leaves || bus.unsubscribe("x", &slow));
                assert_eq!(bus.subscribe("x", &slow, lag), leaves);
            };
            bus.subscribe("x", &slow, Lag::Park(8));
            let mut told = publish(1..=8);
            assert_eq!(told.len(), 8);
            subscribe(Lag::Park(64));
            told.extend(publish(9..=40));
            assert_eq!(told.len(), 40);
            // Those that wait are more than may wait now. They stay, and no more come.
            subscribe(Lag::Park(1));
            assert_eq!(publish(41..=45), []);
            subscribe(Lag::Lose);
            assert_eq!(publish(46..=50), []);
            drop(hold);
            let mut n = 50;
            until(|| {
                n += 1;
                bus.publish("x", n).told == 1
            });
            told.push(n);
            assert_eq!(take(&is_read, told.len()), told);
            // A subscription that is over keeps no courier, and no message that is not delivered.
            bus.unsubscribe("x", &slow);
            assert_eq!(bus.publish("x", 0).told, 0);
            bus.subscribe("x", &slow, Lag::Park(1));
            assert_eq!(bus.publish("x", 7).told, 1);
            assert_eq!(take(&is_read, 1), [7]);
        }
    });
}
