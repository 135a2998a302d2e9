//! Exits, links and monitors, by the rules of OTP.

mod support;

use kahn_channels::{Receiver, Sender, bounded};
use std::time::Duration;

use kahn_actors::{
    Actor, ActorRef, Address, AskError, Builder, ChildSpec, Context, Down, DownCause, ExitReason, Mail,
    Mailbox, MonitorId, Reply, Supervisor, spawn,
};
use support::{everywhere, within};

/// Does as it is told, and reports what it is told of others.
struct Puppet {
    news: Sender<String>,
    traps: bool,
}

enum Order {
    Link(Address),
    Unlink(Address),
    Monitor(Address, Reply<MonitorId>),
    Demonitor(MonitorId),
    End(ExitReason),
    Panic,
    /// Answers, and then waits for ever.
    Park(Reply<()>),
    Sync(Reply<()>),
    SpawnLinked(Reply<ActorRef<Order>>),
}

impl Actor for Puppet {
    type Message = Order;

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        ctx.trap_exits(self.traps);
        Ok(())
    }

    fn handle(&mut self, order: Order, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match order {
            Order::Link(other) => ctx.link(&other),
            Order::Unlink(other) => ctx.unlink(&other),
            Order::Monitor(other, reply) => drop(reply.send(ctx.monitor(&other))),
            Order::Demonitor(id) => ctx.demonitor(id),
            Order::End(reason) => return Err(reason),
            Order::Panic => panic!("as told"),
            Order::Park(reply) => {
                let _ = reply.send(());
                kahn_core::sleep(Duration::MAX);
            }
            Order::Sync(reply) => drop(reply.send(())),
            Order::SpawnLinked(reply) => {
                let news = self.news.clone();
                drop(reply.send(ctx.spawn_linked(Puppet { news, traps: false })));
            }
        }
        Ok(())
    }

    fn down(&mut self, down: Down, _: &mut Context<Self>) -> Result<(), ExitReason> {
        let cause = if down.cause == DownCause::Link { "link" } else { "monitor" };
        self.news.send(format!("{cause}: {}", down.reason)).map_err(|_| ExitReason::Normal)
    }

    fn stopped(&mut self, reason: &ExitReason, _: &mut Context<Self>) {
        let _ = self.news.send(format!("stopped: {reason}"));
    }
}

fn puppet(traps: bool) -> (ActorRef<Order>, Receiver<String>) {
    let (news, received) = bounded(100);
    (spawn(Puppet { news, traps }), received)
}

fn tell(actor: &ActorRef<Order>, order: Order) {
    actor.tell(order).unwrap_or_else(|_| panic!("it has ended"));
}

/// Whatever was told before has been handled, and what it told has arrived.
fn settle(actor: &ActorRef<Order>) {
    actor.ask(Order::Sync).unwrap();
    actor.ask(Order::Sync).unwrap();
}

#[test]
fn first_exit_reason_wins() {
    everywhere(|| {
        let (one, news) = puppet(false);
        one.ask(Order::Park).unwrap();
        one.stop();
        one.kill();
        one.kill();
        assert!(matches!(one.join(), ExitReason::Killed));
        assert!(news.iter().next().is_none(), "a kill runs no `stopped`");
        let (one, news) = puppet(false);
        tell(&one, Order::End(ExitReason::failed("first")));
        // It may have ended by now.
        let _ = one.tell(Order::End(ExitReason::failed("second")));
        assert_eq!(one.join().to_string(), "failed: first");
        one.kill();
        assert_eq!(one.join().to_string(), "failed: first");
        assert_eq!(news.recv().unwrap(), "stopped: failed: first");
    });
}

#[test]
fn normal_exit_does_not_end_linked_actors() {
    everywhere(|| {
        let ((one, _news), (other, _)) = (puppet(false), puppet(false));
        tell(&one, Order::Link(other.address()));
        settle(&one);
        other.stop();
        assert!(other.join().is_normal());
        settle(&one);
        assert!(one.is_alive());
    });
}

#[test]
fn abnormal_exit_ends_linked_actors_in_both_directions_and_along_a_chain() {
    everywhere(|| {
        for first in [0, 1, 2] {
            let puppets: Vec<_> = (0..3).map(|_| puppet(false)).collect();
            for pair in puppets.windows(2) {
                tell(&pair[0].0, Order::Link(pair[1].0.address()));
                settle(&pair[0].0);
            }
            // One that waits in its handler is ended there.
            puppets[(first + 1) % 3].0.ask(Order::Park).unwrap();
            let id = puppets[first].0.id();
            tell(&puppets[first].0, Order::Panic);
            for (i, (puppet, news)) in puppets.iter().enumerate() {
                match puppet.join() {
                    ExitReason::Panicked { .. } => assert_eq!(i, first),
                    ExitReason::LinkDied(link) => {
                        assert_eq!(link.id, id);
                        assert!(matches!(link.reason, ExitReason::Panicked { .. }), "{link:?}");
                    }
                    other => panic!("{other:?}"),
                }
                assert!(news.recv().unwrap().starts_with("stopped: "));
            }
        }
    });
}

#[test]
fn actor_that_traps_exits_is_told_of_every_reason() {
    everywhere(|| {
        let (one, news) = puppet(true);
        type End = fn(&ActorRef<Order>);
        let ends: [(&str, End); 3] = [
            ("link: normal", |other| other.stop()),
            ("link: killed", |other| other.kill()),
            ("link: failed: so", |other| tell(other, Order::End(ExitReason::failed("so")))),
        ];
        for (text, end) in ends {
            let (other, _news) = puppet(false);
            tell(&one, Order::Link(other.address()));
            settle(&one);
            end(&other);
            assert_eq!(news.recv().unwrap(), text);
        }
        assert!(one.is_alive());
        one.kill();
        assert!(matches!(one.join(), ExitReason::Killed), "a kill cannot be trapped");
    });
}

#[test]
fn link_to_the_dead_brings_its_exit_at_once() {
    everywhere(|| {
        let (other, _news) = puppet(false);
        other.kill();
        other.join();
        let (one, _news) = puppet(false);
        tell(&one, Order::Link(other.address()));
        assert!(
            matches!(one.join(), ExitReason::LinkDied(link) if matches!(link.reason, ExitReason::Killed))
        );
    });
}

#[test]
fn unlinked_actor_survives_the_end_of_the_other() {
    everywhere(|| {
        let ((one, _news), (other, _other_news)) = (puppet(false), puppet(false));
        tell(&one, Order::Link(other.address()));
        tell(&one, Order::Unlink(other.address()));
        settle(&one);
        tell(&other, Order::Panic);
        other.join();
        settle(&one);
        tell(&one, Order::Link(one.address()));
        settle(&one);
    });
}

#[test]
fn each_monitor_reports_once_and_at_once_for_a_dead_actor() {
    everywhere(|| {
        let ((one, news), (other, _other_news)) = (puppet(false), puppet(false));
        let watch = || one.ask(|reply| Order::Monitor(other.address(), reply)).unwrap();
        assert_ne!(watch(), watch());
        let taken_back = watch();
        tell(&one, Order::Demonitor(taken_back));
        settle(&one);
        tell(&other, Order::End(ExitReason::failed("so")));
        other.join();
        assert_eq!(news.recv().unwrap(), "monitor: failed: so");
        assert_eq!(news.recv().unwrap(), "monitor: failed: so");
        settle(&one);
        assert!(news.try_recv().is_err());
        watch();
        assert_eq!(news.recv().unwrap(), "monitor: failed: so");
    });
}

#[test]
fn demonitor_removes_a_report_that_was_not_handled() {
    everywhere(|| {
        let looped = Builder::new().spawn_loop(|mailbox: &mut Mailbox<Address>| {
            let other = mailbox.recv()?;
            let (one, two) = (mailbox.monitor(&other), mailbox.monitor(&other));
            other.kill();
            other.join();
            mailbox.demonitor(one);
            match mailbox.next_mail()? {
                Mail::Down(down) => assert_eq!(down.cause, DownCause::Monitor(two)),
                other => panic!("{other:?}"),
            }
            assert!(mailbox.recv_timeout(Duration::from_millis(1)).is_err());
            Ok(())
        });
        let (other, _news) = puppet(false);
        looped.tell(other.address()).unwrap();
        assert!(looped.join().is_normal());
    });
}

#[test]
fn linked_child_ends_with_its_parent() {
    everywhere(|| {
        let (parent, _news) = puppet(false);
        let child = parent.ask(Order::SpawnLinked).unwrap();
        parent.kill();
        assert!(matches!(child.join(), ExitReason::LinkDied(_)));
        let (parent, _news) = puppet(false);
        let child = parent.ask(Order::SpawnLinked).unwrap();
        tell(&child, Order::Panic);
        assert!(matches!(parent.join(), ExitReason::LinkDied(_)));
    });
}

#[test]
fn loop_actor_can_be_linked_and_killed() {
    everywhere(|| {
        let (one, _news) = puppet(false);
        let looped = Builder::new().spawn_loop(|mailbox: &mut Mailbox<Address>| {
            let other = mailbox.recv()?;
            mailbox.link(&other);
            mailbox.recv()?;
            unreachable!("nothing more is told");
        });
        looped.tell(one.address()).unwrap();
        support::until(|| looped.is_empty());
        tell(&one, Order::Panic);
        // Linked before or after the other's end, it ends with it.
        assert!(matches!(looped.join(), ExitReason::LinkDied(_)));
    });
}

#[test]
fn ask_fails_at_once_when_the_asked_actor_dies() {
    everywhere(|| {
        let (one, _news) = puppet(false);
        one.ask(Order::Park).unwrap();
        let asker = {
            let one = one.clone();
            kahn_core::spawn(move || one.ask_timeout(Duration::MAX, Order::Sync))
        };
        support::until(|| one.len() == 1);
        one.kill();
        assert_eq!(asker.join().unwrap(), Err(AskError::NoReply));
    });
}

/// A monitor is of one life: of a child that is restarted it tells once, and its references go on.
#[test]
fn monitor_of_a_child_tells_of_the_end_of_one_life() {
    everywhere(|| {
        let (news, told) = bounded(10);
        let child = ChildSpec::new("child", move || Puppet { news: news.clone(), traps: false });
        let supervisor = Supervisor::default().intensity(10, Duration::MAX).child(child).spawn();
        let child: ActorRef<Order> = supervisor.actor_ref("child").unwrap();
        let watched = child.clone();
        let watcher = Builder::new().spawn_loop(move |mailbox: &mut Mailbox<()>| {
            let down = |mailbox: &mut Mailbox<()>, texts: &[&str]| {
                for text in texts {
                    let Mail::Down(down) = mailbox.next_mail()? else {
                        unreachable!("nobody tells it anything")
                    };
                    assert_eq!(down.reason.to_string(), *text);
                }
                Ok::<(), ExitReason>(())
            };
            let fail = |text| assert!(watched.tell(Order::End(ExitReason::failed(text))).is_ok());
            let lives = || watched.ask_timeout(Duration::MAX, Order::Sync).unwrap();
            mailbox.monitor(&watched);
            fail("first");
            down(mailbox, &["failed: first"])?;
            // Its next life, by the same reference.
            lives();
            assert!(watched.is_alive());
            fail("second");
            lives();
            let soon = Duration::from_millis(5);
            assert!(mailbox.next_mail_timeout(soon).is_err(), "told of a life that it did not monitor");
            mailbox.monitor(&watched);
            fail("third");
            down(mailbox, &["failed: third"])?;
            lives();
            Ok(())
        });
        let reason = watcher.join();
        assert!(reason.is_normal(), "{reason}");
        drop((child, told));
        supervisor.stop();
    });
}

/// A link ends, too: the child's next life has no links.
#[test]
fn link_to_a_child_ends_with_its_life() {
    everywhere(|| {
        let (news, told) = bounded(10);
        let (of_child, _told) = bounded(10);
        let child = ChildSpec::new("child", move || Puppet { news: of_child.clone(), traps: false });
        let supervisor = Supervisor::default().intensity(10, Duration::MAX).child(child).spawn();
        let child: ActorRef<Order> = supervisor.actor_ref("child").unwrap();
        let partner = spawn(Puppet { news, traps: true });
        assert!(partner.tell(Order::Link(child.address())).is_ok());
        partner.ask(Order::Sync).unwrap();
        for text in ["first", "second"] {
            assert!(child.tell(Order::End(ExitReason::failed(text))).is_ok());
            child.ask_timeout(Duration::MAX, Order::Sync).unwrap();
        }
        assert_eq!(told.recv().unwrap(), "link: failed: first");
        // The child's second life fails for itself alone, and so does the partner.
        assert!(partner.tell(Order::End(ExitReason::failed("so"))).is_ok());
        assert!(matches!(partner.join(), ExitReason::Failed(_)));
        child.ask_timeout(Duration::MAX, Order::Sync).unwrap();
        assert_eq!(told.iter().collect::<Vec<_>>(), ["stopped: failed: so"]);
        supervisor.stop();
    });
}

/// A link and an unlink of the two sides at the same moment may leave either outcome. A link after both holds.
#[test]
fn link_after_a_race_of_link_and_unlink_holds() {
    type Step = Box<dyn FnOnce(&mut Context<Runs>) + Send>;
    /// Runs what it is told.
    struct Runs;
    impl Actor for Runs {
        type Message = (Option<Step>, Reply<()>);
        fn handle(&mut self, (step, done): Self::Message, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
            if let Some(step) = step {
                step(ctx);
            }
            let _ = done.send(());
            Ok(())
        }
    }
    within(|| {
        kahn_core::Runtime::builder().workers(2).build().unwrap().run(|| {
            for round in 0..300 {
                let (a, b) = (spawn(Runs), spawn(Runs));
                let (to_b, to_a) = (b.clone(), a.clone());
                kahn_core::scope(|s| {
                    let a = &a;
                    s.spawn(move || {
                        let link: Step = Box::new(move |ctx| {
                            (0..round % 7).for_each(|_| std::hint::spin_loop());
                            ctx.link(&to_b);
                        });
                        a.ask(|done| (Some(link), done)).unwrap();
                    });
                    let b = &b;
                    s.spawn(move || {
                        let unlink: Step = Box::new(move |ctx| ctx.unlink(&to_a));
                        b.ask(|done| (Some(unlink), done)).unwrap();
                    });
                });
                let to_a = a.clone();
                let link: Step = Box::new(move |ctx| ctx.link(&to_a));
                b.ask(|done| (Some(link), done)).unwrap();
                a.kill();
                assert!(matches!(b.join(), ExitReason::LinkDied(_)), "round {round}");
            }
        });
    });
}

/// Ends as it is told when its gate opens, and stops itself before that if it is to.
struct Gated {
    busy: Sender<()>,
    gate: Receiver<()>,
    stops: bool,
    fails: bool,
}

impl Actor for Gated {
    type Message = ();

    fn handle(&mut self, (): (), ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        assert!(!ctx.is_stopping());
        if self.stops {
            ctx.stop();
            assert!(ctx.is_stopping());
        }
        self.busy.send(())?;
        // It is let go on by a message, or by an unwind.
        self.gate.recv()?;
        if self.fails { Err(ExitReason::failed("so")) } else { Ok(()) }
    }
}

/// An actor of either kind that is in its handler, and is linked to `peer`; and the sender that lets it go on.
fn gated(is_loop: bool, stops: bool, fails: bool, peer: &ActorRef<Order>) -> (ActorRef<()>, Sender<()>) {
    let ((busy, is_busy), (open, gate)) = (bounded(1), bounded(1));
    let actor = Gated { busy, gate, stops, fails };
    let gated = if is_loop {
        Builder::new().spawn_loop(move |mailbox: &mut Mailbox<()>| {
            mailbox.recv()?;
            if actor.stops {
                mailbox.stop();
                assert!(mailbox.is_stopping());
            }
            actor.busy.send(())?;
            actor.gate.recv()?;
            if actor.fails { Err(ExitReason::failed("so")) } else { Ok(mailbox.recv()?) }
        })
    } else {
        spawn(actor)
    };
    peer.tell(Order::Link(gated.address())).unwrap();
    peer.ask(Order::Sync).unwrap();
    gated.tell(()).unwrap();
    is_busy.recv().unwrap();
    (gated, open)
}

#[test]
fn first_reason_counts_of_a_stop_and_a_linked_actors_end() {
    everywhere(|| {
        for is_loop in [false, true] {
            let peer = || spawn(Puppet { news: bounded(1).0, traps: false });
            let kill = |peer: &ActorRef<Order>| {
                peer.kill();
                peer.join();
            };
            for stops in [false, true] {
                let peer = peer();
                let (gated, open) = gated(is_loop, stops, false, &peer);
                if !stops {
                    gated.stop();
                }
                kill(&peer);
                let _ = open.send(());
                assert!(gated.join().is_normal(), "loop: {is_loop}, by itself: {stops}");
            }
            let peer = peer();
            let (gated, open) = gated(is_loop, false, false, &peer);
            kill(&peer);
            gated.stop();
            let _ = open.send(());
            assert!(matches!(gated.join(), ExitReason::LinkDied(_)), "loop: {is_loop}");
        }
    });
}

#[test]
fn stop_hides_no_failure_and_a_kill_counts_after_a_stop() {
    everywhere(|| {
        for is_loop in [false, true] {
            let peer = spawn(Puppet { news: bounded(1).0, traps: false });
            for stops in [false, true] {
                let (fails, open) = gated(is_loop, stops, true, &peer);
                peer.tell(Order::Unlink(fails.address())).unwrap();
                peer.ask(Order::Sync).unwrap();
                fails.stop();
                open.send(()).unwrap();
                assert!(matches!(fails.join(), ExitReason::Failed(_)), "loop: {is_loop}, by itself: {stops}");
                let (killed, _open) = gated(is_loop, stops, false, &peer);
                peer.tell(Order::Unlink(killed.address())).unwrap();
                peer.ask(Order::Sync).unwrap();
                killed.stop();
                killed.kill();
                assert!(matches!(killed.join(), ExitReason::Killed), "loop: {is_loop}, by itself: {stops}");
            }
            peer.stop();
        }
    });
}
