//! OTP's statements on the stopping, ids and number of a supervisor's children, one test each: from the seventeenth
//! on. The first sixteen are in `supervisor_restarts.rs`.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use kahn_actors::{
    Actor, Address, AutoShutdown, Backoff, Builder, ChildError, ChildSpec, ChildState, Context, ExitReason,
    Mailbox, Restart, Shutdown, Strategy, Supervisor, SupervisorRef, registry,
};
use support::family::{Kid, Log, Order, fail, faulty, kid, order, patient, sync};
use support::{everywhere, until};

fn only(log: Vec<String>, signs: &str) -> Vec<String> {
    log.into_iter().filter(|entry| entry.starts_with(|first| signs.contains(first))).collect()
}

/// A supervisor of `a` and of what `spec` makes of `b`.
fn with_b(log: &Log, spec: impl FnOnce(ChildSpec) -> ChildSpec) -> SupervisorRef {
    patient(Supervisor::default())
        .child(kid("a", log))
        .child(spec(kid("b", log)))
        .on_event(log.events())
        .spawn()
}

#[test]
fn s17_between_attempts_the_supervisor_serves_its_mailbox() {
    everywhere(|| {
        // While it waits for the moment of the next attempt.
        let log = Log::default();
        let later = Backoff::constant(Duration::from_secs(3600));
        let supervisor = with_b(&log, |b| b.backoff(later));
        order(&supervisor, "b", Order::Panic);
        log.wait("b is started again in 3600s", 1);
        assert_eq!(supervisor.children()[1].state, ChildState::Restarting);
        assert!(matches!(supervisor.restart_child("b"), Err(ChildError::Restarting)));
        assert!(matches!(supervisor.delete_child("b"), Err(ChildError::Restarting)));
        supervisor.start_child(kid("c", &log)).unwrap();
        supervisor.stop();
        assert!(matches!(supervisor.join(), ExitReason::Shutdown));

        // While one attempt after the other fails, with no time between.
        let (log, fails) = (Log::default(), Arc::new(AtomicBool::new(false)));
        let supervisor = patient(Supervisor::default())
            .intensity(usize::MAX >> 8, Duration::from_millis(1))
            .child(faulty("a", &log, &fails))
            .on_event(log.events())
            .spawn();
        fails.store(true, SeqCst);
        order(&supervisor, "a", Order::Panic);
        log.wait("!a", 10);
        assert_eq!(supervisor.children()[0].state, ChildState::Restarting);
        supervisor.stop();
    });
}

#[test]
fn s17_child_terminated_during_its_backoff_is_not_started() {
    everywhere(|| {
        let log = Log::default();
        let supervisor = patient(Supervisor::new(Strategy::RestForOne))
            .child(kid("a", &log).backoff(Backoff::constant(Duration::from_secs(3600))))
            .child(kid("b", &log))
            .on_event(log.events())
            .spawn();
        order(&supervisor, "a", Order::Panic);
        log.wait("a is started again", 1);
        log.take();
        supervisor.terminate_child("a").unwrap();
        // Those that wait with it wait no longer.
        log.wait("+b", 1);
        sync(&supervisor, "b");
        assert_eq!(supervisor.children()[0].state, ChildState::Stopped);
        assert_eq!(log.count("+a"), 0);
        supervisor.stop();
    });
}

#[test]
fn s18_kill_kills_and_waits_for_the_end() {
    everywhere(|| {
        let log = Log::default();
        let supervisor = with_b(&log, |b| b.shutdown(Shutdown::Kill));
        order(&supervisor, "b", Order::Park);
        log.wait("b parks", 1);
        log.take();
        supervisor.terminate_child("b").unwrap();
        assert_eq!(
            log.take(),
            ["~b", "b was stopped: killed"],
            "its end is over, and `stopped` was not called"
        );
        supervisor.stop();
    });
}

#[test]
fn s19_timeout_asks_waits_then_kills_and_waits() {
    everywhere(|| {
        let log = Log::default();
        let supervisor = with_b(&log, |b| b.shutdown(Shutdown::Timeout(Duration::from_millis(5))));
        order(&supervisor, "b", Order::StopWhen(Arc::default()));
        sync(&supervisor, "b");
        log.take();
        supervisor.terminate_child("b").unwrap();
        // It was asked, and was in `stopped` for ever.
        assert_eq!(log.take(), ["-b", "~b", "b did not stop as it should: killed"]);
        // One that has its handler to end first, which it never does.
        supervisor.restart_child("b").unwrap();
        order(&supervisor, "b", Order::Park);
        log.wait("b parks", 1);
        log.take();
        supervisor.terminate_child("b").unwrap();
        assert_eq!(log.take(), ["~b", "b did not stop as it should: killed"]);
        supervisor.stop();
    });
}

#[test]
fn s19_child_that_ends_in_time_is_not_killed() {
    everywhere(|| {
        let log = Log::default();
        let supervisor = with_b(&log, |b| b.shutdown(Shutdown::Timeout(Duration::from_secs(3600))));
        log.take();
        supervisor.terminate_child("b").unwrap();
        assert_eq!(log.take(), ["-b", "~b", "b was stopped: shut down"]);
        supervisor.stop();
    });
}

/// That it does so for ever, and not for five seconds, is the matter of a test beside `stops.rs`.
#[test]
fn s20_infinity_waits() {
    everywhere(|| {
        let (log, may_stop) = (Log::default(), Arc::new(AtomicBool::new(false)));
        let supervisor = with_b(&log, |b| b.shutdown(Shutdown::Infinity));
        order(&supervisor, "b", Order::StopWhen(may_stop.clone()));
        sync(&supervisor, "b");
        let stops = kahn_core::spawn({
            let supervisor = supervisor.clone();
            move || supervisor.stop()
        });
        log.wait("-b", 1);
        (0..100).for_each(|_| kahn_core::yield_now());
        assert!(supervisor.is_alive() && log.count("~b") == 0);
        may_stop.store(true, SeqCst);
        stops.join().unwrap();
        assert_eq!(log.count("b was stopped: shut down"), 1);
    });
}

/// Its supervisor would not hear of its end if that came by a link.
#[test]
fn s21_a_child_that_unlinks_itself_cannot_hang_its_supervisor() {
    type Do = fn(&mut Context<Kid>, &Address);
    let unlinks: [Do; 4] = [
        |ctx, supervisor| ctx.unlink(supervisor),
        |ctx, supervisor| {
            ctx.link(supervisor);
            ctx.unlink(supervisor);
        },
        |ctx, supervisor| {
            let monitor = ctx.monitor(supervisor);
            ctx.demonitor(monitor);
            ctx.unlink(supervisor);
        },
        // One that stays linked tells its supervisor twice, which is not to count twice.
        |ctx, supervisor| ctx.link(supervisor),
    ];
    everywhere(|| {
        for unlink in unlinks {
            let log = Log::default();
            let supervisor = with_b(&log, |b| b);
            let alone = |id| {
                let address = supervisor.address();
                let unlink = move |ctx: &mut Context<Kid>| {
                    ctx.trap_exits(true);
                    unlink(ctx, &address);
                };
                order(&supervisor, id, Order::Call(Box::new(unlink)));
                sync(&supervisor, id);
            };
            alone("b");
            fail(&supervisor, &log, "b", ExitReason::failed("so"));
            log.wait("+b", 2);
            assert_eq!((log.count("b has ended"), log.count("b is started again")), (1, 1));
            // It is stopped, and waited for, all the same.
            alone("b");
            log.take();
            supervisor.terminate_child("b").unwrap();
            let log_b = |entry: &String| !entry.starts_with("no child: b");
            assert_eq!(
                log.take().into_iter().filter(log_b).collect::<Vec<_>>(),
                ["-b", "~b", "b was stopped: shut down"]
            );
            supervisor.restart_child("b").unwrap();
            alone("b");
            supervisor.stop();
            assert_eq!(log.count("~b"), 1);
            assert!(matches!(supervisor.join(), ExitReason::Shutdown));
        }
    });
}

#[test]
fn s22_an_unexpected_reason_during_shutdown_is_reported_and_is_not_fatal() {
    everywhere(|| {
        let log = Log::default();
        let supervisor = with_b(&log, |b| b.shutdown(Shutdown::Infinity));
        order(&supervisor, "b", Order::PanicWhenAsked);
        log.wait("b parks", 1);
        supervisor.terminate_child("b").unwrap();
        assert_eq!(log.count("b did not stop as it should: panicked at"), 1);
        assert_eq!(log.count("b is started again"), 0);
        supervisor.restart_child("b").unwrap();
        sync(&supervisor, "b");
        supervisor.stop();
    });
}

#[test]
fn s23_significant_is_rejected_with_auto_shutdown_off_and_with_permanent() {
    everywhere(|| {
        let log = Log::default();
        let spec = |restart| kid("a", &log).restart(restart).significant(true);
        let error = |auto, restart| {
            Supervisor::default().auto_shutdown(auto).child(spec(restart)).try_spawn().unwrap_err().error
        };
        for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
            assert!(matches!(error(AutoShutdown::Never, restart), ChildError::SignificantInVain));
        }
        for auto in [AutoShutdown::AnySignificant, AutoShutdown::AllSignificant] {
            assert!(matches!(error(auto, Restart::Permanent), ChildError::SignificantPermanent));
        }
        let supervisor = Supervisor::default().spawn();
        assert!(matches!(
            supervisor.start_child(spec(Restart::Transient)),
            Err(ChildError::SignificantInVain)
        ));
        assert_eq!(log.take(), [""; 0]);
        supervisor.stop();
    });
}

/// Two significant children and one that is not.
fn significant(auto: AutoShutdown, log: &Log) -> SupervisorRef {
    patient(Supervisor::default())
        .auto_shutdown(auto)
        .child(kid("a", log).restart(Restart::Transient).significant(true))
        .child(kid("b", log).restart(Restart::Temporary).significant(true))
        .child(kid("c", log))
        .on_event(log.events())
        .spawn()
}

#[test]
fn s24_any_and_all_significant_end_the_supervisor_with_shutdown_the_rest_in_reverse() {
    everywhere(|| {
        for first in ["a", "b"] {
            let log = Log::default();
            let supervisor = significant(AutoShutdown::AnySignificant, &log);
            // Ends that are no news.
            fail(&supervisor, &log, "c", ExitReason::Normal);
            fail(&supervisor, &log, "a", ExitReason::failed("so"));
            log.take();
            order(&supervisor, first, Order::End(ExitReason::Normal));
            assert!(matches!(supervisor.join(), ExitReason::Shutdown));
            let other = if first == "a" { ["-b", "~b"] } else { ["-a", "~a"] };
            let expected = [&format!("-{first}"), &format!("~{first}"), "-c", "~c", other[0], other[1]];
            assert_eq!(only(log.take(), "-~"), expected);
        }
        let log = Log::default();
        let supervisor = significant(AutoShutdown::AllSignificant, &log);
        fail(&supervisor, &log, "b", ExitReason::failed("so"));
        assert!(supervisor.is_alive());
        log.take();
        order(&supervisor, "a", Order::End(ExitReason::Normal));
        assert!(matches!(supervisor.join(), ExitReason::Shutdown));
        assert_eq!(only(log.take(), "-~"), ["-a", "~a", "-c", "~c"]);
    });
}

#[test]
fn s25_ends_caused_by_the_supervisor_trigger_no_auto_shutdown() {
    everywhere(|| {
        for auto in [AutoShutdown::AnySignificant, AutoShutdown::AllSignificant] {
            // Neither the first of them nor the last.
            for ids in [["a", "b"], ["b", "a"]] {
                let log = Log::default();
                let supervisor = significant(auto, &log);
                for id in ids {
                    supervisor.terminate_child(id).unwrap();
                    sync(&supervisor, "c");
                }
                assert_eq!(supervisor.children().len(), 2, "the temporary one went");
                supervisor.delete_child("a").unwrap();
                sync(&supervisor, "c");
                assert_eq!(log.count("was significant"), 0);
                // The next that ends by itself does.
                supervisor.start_child(kid("d", &log).restart(Restart::Transient).significant(true)).unwrap();
                order(&supervisor, "d", Order::End(ExitReason::Normal));
                assert!(matches!(supervisor.join(), ExitReason::Shutdown));
                assert_eq!(log.count("d was significant"), 1);
            }
            // Nor do those of a strategy.
            let log = Log::default();
            let supervisor = patient(Supervisor::new(Strategy::OneForAll))
                .auto_shutdown(auto)
                .child(kid("a", &log).restart(Restart::Temporary).significant(true))
                .child(kid("b", &log))
                .on_event(log.events())
                .spawn();
            fail(&supervisor, &log, "b", ExitReason::failed("so"));
            sync(&supervisor, "b");
            assert_eq!(supervisor.children().len(), 1);
            assert_eq!(log.count("was significant"), 0);
            supervisor.stop();
        }
    });
}

/// Starts a supervisor of 2 * `count` children, and ends those of the second half, which are significant where `auto`
/// asks for that. Returns how long that takes.
fn end_half(auto: AutoShutdown, count: usize) -> Duration {
    let is_significant = auto == AutoShutdown::AllSignificant;
    let spec = |id: usize| {
        ChildSpec::new(id.to_string(), || Idle)
            .restart(Restart::Temporary)
            .significant(is_significant && id >= count)
    };
    // One more is significant and stays, so that the supervisor goes on.
    let supervisor =
        (0..=2 * count).map(spec).fold(Supervisor::default().auto_shutdown(auto), Supervisor::child).spawn();
    let ending: Vec<_> =
        (count..2 * count).map(|id| supervisor.actor_ref::<()>(&id.to_string()).unwrap()).collect();
    let start = Instant::now();
    ending.iter().for_each(|actor| actor.stop());
    until(|| supervisor.children().len() == count + 1);
    let time = start.elapsed();
    supervisor.kill();
    time
}

struct Idle;

impl Actor for Idle {
    type Message = ();

    fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

#[test]
fn end_of_a_significant_child_looks_at_no_other_child() {
    kahn_core::Runtime::builder().workers(1).build().unwrap().run(|| {
        let count = 4_000;
        let plain = end_half(AutoShutdown::Never, count);
        let significant = end_half(AutoShutdown::AllSignificant, count);
        assert!(
            significant < 10 * plain,
            "{count} ends took {significant:?}, and {plain:?} without auto shutdown"
        );
    });
}

#[test]
fn s26_duplicate_ids_are_rejected() {
    everywhere(|| {
        let log = Log::default();
        let twice = Supervisor::default().child(kid("a", &log)).child(kid("a", &log));
        assert!(matches!(twice.try_spawn().unwrap_err().error, ChildError::AlreadyStarted));
        let supervisor = with_b(&log, |b| b);
        assert!(matches!(supervisor.start_child(kid("b", &log)), Err(ChildError::AlreadyStarted)));
        supervisor.terminate_child("b").unwrap();
        assert!(matches!(supervisor.start_child(kid("b", &log)), Err(ChildError::AlreadyPresent)));
        supervisor.delete_child("b").unwrap();
        supervisor.start_child(kid("b", &log)).unwrap();
        sync(&supervisor, "b");
        supervisor.stop();
        assert!(matches!(supervisor.start_child(kid("c", &log)), Err(ChildError::Ended)));
    });
}

#[test]
fn s26_a_child_that_does_not_start_is_not_kept() {
    everywhere(|| {
        let log = Log::default();
        let supervisor = with_b(&log, |b| b);
        let fails = Arc::new(AtomicBool::new(true));
        let failed = supervisor.start_child(faulty("c", &log, &fails));
        assert!(matches!(failed, Err(ChildError::Failed(ExitReason::Failed(_)))));
        assert_eq!(supervisor.children().len(), 2);
        fails.store(false, SeqCst);
        supervisor.start_child(faulty("c", &log, &fails)).unwrap();
        // A failed restart on demand is no failure that counts, and the child stays stopped.
        supervisor.terminate_child("c").unwrap();
        fails.store(true, SeqCst);
        assert!(matches!(supervisor.restart_child("c"), Err(ChildError::Failed(_))));
        assert_eq!(supervisor.children()[2].state, ChildState::Stopped);
        supervisor.stop();
    });
}

#[test]
fn s27_terminate_child_keeps_a_specification_and_delete_child_wants_a_stopped_child() {
    everywhere(|| {
        let log = Log::default();
        let supervisor = with_b(&log, |b| b.restart(Restart::Transient));
        for id in ["a", "b"] {
            assert!(matches!(supervisor.delete_child(id), Err(ChildError::Running)));
            assert!(matches!(supervisor.restart_child(id), Err(ChildError::Running)));
            let reference = supervisor.actor_ref::<Order>(id).unwrap();
            supervisor.terminate_child(id).unwrap();
            supervisor.terminate_child(id).unwrap();
            assert!(!reference.is_alive() && reference.tell(Order::Panic).is_err());
            assert!(matches!(reference.join(), ExitReason::Shutdown));
            supervisor.restart_child(id).unwrap();
            sync(&supervisor, id);
            assert!(reference.is_alive(), "a reference is to the place, not to one incarnation");
            assert!(reference.ask(Order::Sync).is_ok());
            supervisor.terminate_child(id).unwrap();
            supervisor.delete_child(id).unwrap();
            assert!(matches!(supervisor.terminate_child(id), Err(ChildError::NotFound)));
            assert!(matches!(supervisor.actor_ref::<Order>(id), Err(ChildError::NotFound)));
            assert!(!reference.is_alive());
        }
        assert!(supervisor.children().is_empty());
        supervisor.stop();
    });
}

/// A supervisor's messages are typed, so the only unknown message is the exit of a linked actor that is not its child.
/// `supervisor_log.rs` checks that it is logged, too.
#[test]
fn s28_unknown_message_is_reported_and_ignored() {
    let reasons: [(fn() -> ExitReason, _); 4] = [
        (|| ExitReason::Normal, "normal"),
        (|| ExitReason::Shutdown, "shut down"),
        (|| ExitReason::Killed, "killed"),
        (|| ExitReason::failed("of no concern"), "failed: of no concern"),
    ];
    everywhere(|| {
        for strategy in [Strategy::OneForOne, Strategy::OneForAll] {
            let log = Log::default();
            // Not one restart may be counted for it.
            let supervisor = Supervisor::new(strategy)
                .intensity(0, Duration::MAX)
                .child(kid("a", &log))
                .child(kid("b", &log))
                .on_event(log.events())
                .spawn();
            log.take();
            for (reason, text) in reasons {
                let address = supervisor.address();
                // It is called as a child is.
                let stranger = Builder::new().name("a").spawn_loop(move |mailbox: &mut Mailbox<()>| {
                    mailbox.link(&address);
                    Err(reason())
                });
                stranger.join();
                let text = format!("no child: a ended: {text}");
                log.wait(&text, 1);
                sync(&supervisor, "a");
                sync(&supervisor, "b");
                assert_eq!(log.take(), [text], "and nothing else has happened");
                assert!(supervisor.children().iter().all(|child| child.restarts == 0));
            }
            // It minds its children as before.
            order(&supervisor, "a", Order::Panic);
            assert!(matches!(supervisor.join(), ExitReason::Shutdown));
        }
    });
}

/// Links a child to its supervisor.
fn link_up(supervisor: &SupervisorRef, id: &str) {
    let address = supervisor.address();
    order(supervisor, id, Order::Call(Box::new(move |ctx| ctx.link(&address))));
    sync(supervisor, id);
}

#[test]
fn end_of_a_child_that_is_linked_to_its_supervisor_is_reported_once() {
    everywhere(|| {
        let log = Log::default();
        let supervisor = patient(Supervisor::default())
            .child(kid("a", &log))
            .child(kid("b", &log).restart(Restart::Temporary))
            .on_event(log.events())
            .spawn();
        for id in ["a", "b"] {
            link_up(&supervisor, id);
            fail(&supervisor, &log, id, ExitReason::failed("so"));
        }
        sync(&supervisor, "a");
        link_up(&supervisor, "a");
        supervisor.terminate_child("a").unwrap();
        supervisor.delete_child("a").unwrap();
        supervisor.start_child(kid("c", &log).restart(Restart::Temporary)).unwrap();
        link_up(&supervisor, "c");
        supervisor.terminate_child("c").unwrap();
        supervisor.children();
        assert_eq!(log.count("no child"), 0, "{:?}", log.take());
        assert_eq!(log.count("has ended"), 2, "{:?}", log.take());
        supervisor.stop();
    });
}

#[test]
fn s29_restarts_multiply_with_the_depth_of_the_tree() {
    everywhere(|| {
        let log = Log::default();
        let leaf = {
            let log = log.clone();
            move || {
                struct Leaf(Log);
                impl Actor for Leaf {
                    type Message = ();
                    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
                        self.0.add("leaf");
                        ctx.send_after(Duration::ZERO, ());
                        Ok(())
                    }
                    fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
                        Err(ExitReason::failed("so"))
                    }
                }
                Leaf(log.clone())
            }
        };
        let lower = move || {
            Supervisor::default().intensity(2, Duration::MAX).child(ChildSpec::new("leaf", leaf.clone()))
        };
        let upper = move || {
            Supervisor::default()
                .intensity(3, Duration::MAX)
                .child(ChildSpec::supervisor("lower", lower.clone()))
        };
        let top = Supervisor::default()
            .intensity(1, Duration::MAX)
            .child(ChildSpec::supervisor("upper", upper))
            .spawn();
        assert!(matches!(top.join(), ExitReason::Shutdown));
        assert_eq!(log.count("leaf"), (2 + 1) * (3 + 1) * (1 + 1));
    });
}

/// A loop of restarts that fail leaves its supervisor able to handle what it is told.
#[test]
fn supervisor_in_a_loop_of_restarts_handles_requests() {
    everywhere(|| {
        for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
            let (log, fails) = (Log::default(), Arc::new(AtomicBool::new(false)));
            let supervisor = patient(Supervisor::new(strategy))
                .child(kid("a", &log))
                .child(faulty("b", &log, &fails))
                .spawn();
            fails.store(true, SeqCst);
            order(&supervisor, "b", Order::Panic);
            log.wait("!b", 10);
            assert_eq!(supervisor.children()[1].state, ChildState::Restarting);
            assert!(matches!(supervisor.restart_child("b"), Err(ChildError::Restarting)));
            assert!(matches!(supervisor.delete_child("b"), Err(ChildError::Restarting)));
            supervisor.start_child(kid("c", &log)).unwrap();
            supervisor.terminate_child("b").unwrap();
            let before = log.count("!b");
            sync(&supervisor, "a");
            sync(&supervisor, "c");
            assert_eq!(log.count("!b"), before, "it is not started any more");
            assert!(matches!(supervisor.restart_child("b"), Err(ChildError::Failed(_))));
            fails.store(false, SeqCst);
            supervisor.restart_child("b").unwrap();
            sync(&supervisor, "b");
            supervisor.stop();
        }
    });
}

#[test]
fn stop_ends_a_loop_of_restarts() {
    everywhere(|| {
        for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
            let (log, fails) = (Log::default(), Arc::new(AtomicBool::new(false)));
            let supervisor = patient(Supervisor::new(strategy))
                .child(faulty("a", &log, &fails))
                .child(kid("b", &log))
                .spawn();
            fails.store(true, SeqCst);
            order(&supervisor, "a", Order::Panic);
            log.wait("!a", 10);
            supervisor.stop();
            assert!(matches!(supervisor.join(), ExitReason::Shutdown));
            assert_eq!(log.count("+b"), log.count("~b"));
        }
    });
}

/// Registers a name in `started`.
struct Named(registry::Registry);

impl Actor for Named {
    type Message = ();

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(self.0.register("name", ctx.me())?)
    }

    fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        Err(ExitReason::failed("so"))
    }
}

/// The children of its next life are other actors. Those of the last have ended by then.
#[test]
fn names_below_a_supervisor_that_has_given_up_are_free_when_it_is_started_again() {
    everywhere(|| {
        let (log, names) = (Log::default(), registry::Registry::new());
        let own = names.clone();
        let lower = move || {
            let names = own.clone();
            Supervisor::default()
                .intensity(0, Duration::MAX)
                .child(ChildSpec::new("named", move || Named(names.clone())))
        };
        let root = patient(Supervisor::default())
            .child(ChildSpec::supervisor("lower", lower))
            .on_event(log.events())
            .spawn();
        for round in 1..support::rounds(50) {
            log.wait("lower has started", round);
            let named = names.whereis::<()>("name").unwrap();
            named.tell(()).unwrap();
            assert!(matches!(named.join(), ExitReason::Failed(_)));
        }
        root.stop();
        assert_eq!(log.count("did not start"), 0, "{:?}", log.take());
        assert!(names.whereis::<()>("name").is_err());
    });
}

#[test]
fn s30_ten_thousand_children_start_and_stop_in_time_linear_in_their_number() {
    struct Idle;
    impl Actor for Idle {
        type Message = ();
        fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
            Ok(())
        }
    }
    fn time(children: usize) -> Duration {
        let start = Instant::now();
        let supervisor = (0..children)
            .fold(Supervisor::new(Strategy::OneForAll), |supervisor, number| {
                supervisor.child(ChildSpec::new(number.to_string(), || Idle))
            })
            .spawn();
        let one = supervisor.actor_ref::<()>("0").unwrap();
        assert_eq!(supervisor.children().len(), children);
        one.kill();
        until(|| supervisor.children()[0].restarts == 1);
        let last = supervisor.actor_ref::<()>(&(children - 1).to_string()).unwrap();
        // Half of them by name, the others with it.
        for number in 0..children / 2 {
            supervisor.terminate_child(&number.to_string()).unwrap();
            supervisor.delete_child(&number.to_string()).unwrap();
        }
        supervisor.stop();
        assert!(!last.is_alive());
        start.elapsed()
    }
    support::within(|| {
        kahn_core::Runtime::builder().workers(2).build().unwrap().run(|| {
            // Twenty times as many take twenty times as long; if it were quadratic, four hundred times. The best of
            // some, because others use this machine, too.
            let best = |children| (0..3).map(|_| time(children)).min().unwrap();
            let (few, many) = (best(500), best(10_000));
            assert!(many < few * 150, "{few:?}, {many:?}");
        });
    });
}

/// Its own supervisor starts it again: the caller waits for the incarnation that it has stopped, and for no later one.
#[test]
fn stop_returns_although_the_supervisor_is_a_permanent_child_and_comes_back() {
    everywhere(|| {
        let (started, starts) = kahn_channels::bounded(64);
        let outer = Supervisor::default()
            .intensity(1_000, Duration::from_secs(1))
            .child(ChildSpec::supervisor("inner", move || {
                let _ = started.send(());
                Supervisor::default()
            }))
            .spawn();
        let inner = outer.supervisor("inner").unwrap();
        for _ in 0..20 {
            starts.recv().unwrap();
            inner.stop();
        }
        starts.recv().unwrap();
        outer.stop();
    });
}

/// What a refused specification owns is dropped by the supervisor, which goes on if that panics.
#[test]
fn refused_start_whose_destructor_panics_ends_no_one_else() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                std::panic::resume_unwind(Box::new("a specification that panics when it is dropped"));
            }
        }
    }
    everywhere(|| {
        let supervisor =
            Supervisor::default().child(ChildSpec::thread("a", || kahn_core::sleep(Duration::MAX))).spawn();
        let bomb = Bomb;
        let spec = ChildSpec::thread("a", move || {
            let _bomb = &bomb;
        });
        assert!(matches!(supervisor.start_child(spec), Err(ChildError::AlreadyStarted)));
        assert_eq!(supervisor.children().len(), 1);
        assert!(supervisor.is_alive());
        supervisor.stop();
    });
}
