//! OTP's statements on the starts and restarts of a supervisor's children, one test each: the first sixteen.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use kahn_actors::{
    Actor, ChildSpec, ChildState, Context, ExitReason, Restart, Shutdown, Strategy, Supervisor,
};
use support::everywhere;
use support::family::{Kid, Log, Order, fail, faulty, kid, order, patient, sync};

/// Three kids, a to c, each restarted as often as it likes.
fn three(strategy: Strategy, log: &Log, restart: Restart) -> Supervisor {
    ["a", "b", "c"]
        .iter()
        .fold(patient(Supervisor::new(strategy)), |supervisor, name| {
            supervisor.child(kid(name, log).restart(restart))
        })
        .on_event(log.events())
}

fn only(log: Vec<String>, signs: &str) -> Vec<String> {
    log.into_iter().filter(|entry| entry.starts_with(|first| signs.contains(first))).collect()
}

#[test]
fn s01_children_start_in_order_each_before_the_next() {
    struct Slow(&'static str, Log);
    impl Actor for Slow {
        type Message = ();
        fn started(&mut self, _: &mut Context<Self>) -> Result<(), ExitReason> {
            self.1.add(format!("{} begins", self.0));
            (0..10).for_each(|_| kahn_core::yield_now());
            self.1.add(format!("{} has begun", self.0));
            Ok(())
        }
        fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
            Ok(())
        }
    }
    everywhere(|| {
        let log = Log::default();
        let spec = |name: &'static str| {
            let log = log.clone();
            ChildSpec::new(name, move || Slow(name, log.clone()))
        };
        let supervisor = Supervisor::default().child(spec("a")).child(spec("b")).child(spec("c")).spawn();
        assert_eq!(
            log.take(),
            ["a begins", "a has begun", "b begins", "b has begun", "c begins", "c has begun"]
        );
        supervisor.stop();
    });
}

#[test]
fn s02_they_stop_in_reverse_order() {
    everywhere(|| {
        let log = Log::default();
        let supervisor = three(Strategy::OneForOne, &log, Restart::Permanent).spawn();
        log.take();
        supervisor.stop();
        assert_eq!(only(log.take(), "-~"), ["-c", "~c", "-b", "~b", "-a", "~a"]);
        assert!(matches!(supervisor.join(), ExitReason::Shutdown));
    });
}

#[test]
fn s03_a_child_that_fails_in_started_stops_those_before_it_and_the_start_fails() {
    everywhere(|| {
        let log = Log::default();
        let make = || {
            Supervisor::default()
                .child(kid("a", &log))
                .child(kid("b", &log))
                .child(faulty("c", &log, &Arc::new(AtomicBool::new(true))))
                .child(kid("d", &log))
        };
        let error = make().try_spawn().unwrap_err();
        assert_eq!(&*error.child, "c");
        assert_eq!(error.error.to_string(), "the child did not start: failed: as told");
        assert_eq!(log.take(), ["+a", "+b", "!c", "~c", "-b", "~b", "-a", "~a"]);
        let supervisor = make().spawn();
        let reason = supervisor.join();
        assert_eq!(reason.to_string(), "failed: child \"c\": the child did not start: failed: as told");
        assert!(supervisor.actor_ref::<Order>("a").is_err());
    });
}

/// A panic while a child is made is a start that failed, too.
#[test]
fn s03_a_child_that_cannot_be_made_has_not_started() {
    everywhere(|| {
        let log = Log::default();
        let error = Supervisor::default()
            .child(kid("a", &log))
            .child(ChildSpec::new("b", || -> Kid { panic!("no b") }))
            .try_spawn()
            .unwrap_err();
        let text = error.to_string();
        assert!(text.contains("\"b\"") && text.contains("panicked at") && text.ends_with("no b"), "{text}");
        assert_eq!(log.take(), ["+a", "-a", "~a"]);
    });
}

#[test]
fn s04_one_for_one_restarts_only_the_failed_child() {
    everywhere(|| {
        let log = Log::default();
        let supervisor = three(Strategy::OneForOne, &log, Restart::Permanent).spawn();
        let b = supervisor.actor_ref::<Order>("b").unwrap();
        log.take();
        fail(&supervisor, &log, "b", ExitReason::failed("so"));
        assert_eq!(only(log.take(), "+-~"), ["-b", "~b", "+b"]);
        sync(&supervisor, "b");
        assert_eq!(supervisor.actor_ref::<Order>("b").unwrap(), b, "its place is the same");
        supervisor.stop();
    });
}

#[test]
fn s05_one_for_all_stops_the_others_in_reverse_and_restarts_all_in_order() {
    everywhere(|| {
        let log = Log::default();
        let supervisor = three(Strategy::OneForAll, &log, Restart::Permanent).spawn();
        log.take();
        fail(&supervisor, &log, "b", ExitReason::failed("so"));
        assert_eq!(only(log.take(), "+-~"), ["-b", "~b", "-c", "~c", "-a", "~a", "+a", "+b", "+c"]);
        supervisor.stop();
    });
}

#[test]
fn s06_rest_for_one_touches_only_the_failed_and_the_later() {
    everywhere(|| {
        let log = Log::default();
        let supervisor = three(Strategy::RestForOne, &log, Restart::Permanent).spawn();
        log.take();
        fail(&supervisor, &log, "b", ExitReason::failed("so"));
        assert_eq!(only(log.take(), "+-~"), ["-b", "~b", "-c", "~c", "+b", "+c"]);
        fail(&supervisor, &log, "c", ExitReason::failed("so"));
        assert_eq!(only(log.take(), "+-~"), ["-c", "~c", "+c"]);
        supervisor.stop();
    });
}

/// The ways to end, and whether they are orderly.
fn ends() -> Vec<(Order, bool)> {
    vec![
        (Order::End(ExitReason::Normal), true),
        (Order::End(ExitReason::Shutdown), true),
        (Order::End(ExitReason::Killed), false),
        (Order::End(ExitReason::failed("so")), false),
        (Order::Panic, false),
    ]
}

#[test]
fn s07_permanent_restarts_on_any_reason() {
    everywhere(|| {
        let log = Log::default();
        let supervisor = three(Strategy::OneForOne, &log, Restart::Permanent).spawn();
        for (life, (end, _)) in ends().into_iter().enumerate() {
            order(&supervisor, "b", end);
            log.wait("+b", life + 2);
            sync(&supervisor, "b");
        }
        let b = supervisor.actor_ref::<Order>("b").unwrap();
        for end in [kahn_actors::ActorRef::kill, kahn_actors::ActorRef::stop] {
            let before = log.count("+b");
            end(&b);
            log.wait("+b", before + 1);
        }
        supervisor.stop();
    });
}

#[test]
fn s08_transient_restarts_only_on_an_abnormal_reason() {
    everywhere(|| {
        for (end, orderly) in ends() {
            let log = Log::default();
            let supervisor = three(Strategy::OneForOne, &log, Restart::Transient).spawn();
            let b = supervisor.actor_ref::<Order>("b").unwrap();
            order(&supervisor, "b", end);
            log.wait("b has ended", 1);
            let children = supervisor.children();
            let expected = if orderly { ChildState::Stopped } else { ChildState::Running };
            assert_eq!(children[1].state, expected);
            assert_eq!(children[1].restarts, u64::from(!orderly));
            assert_eq!(b.is_alive(), !orderly);
            supervisor.stop();
        }
    });
}

#[test]
fn s09_temporary_never_restarts_not_even_when_a_siblings_strategy_stopped_it() {
    everywhere(|| {
        let log = Log::default();
        for (end, _) in ends() {
            let supervisor = three(Strategy::OneForOne, &log, Restart::Temporary).spawn();
            log.take();
            order(&supervisor, "b", end);
            log.wait("b has ended", 1);
            assert_eq!(supervisor.children().len(), 2);
            assert_eq!(log.count("+b"), 0);
            supervisor.stop();
        }
        let supervisor = patient(Supervisor::new(Strategy::OneForAll))
            .child(kid("a", &log).restart(Restart::Temporary))
            .child(kid("b", &log))
            .on_event(log.events())
            .spawn();
        let a = supervisor.actor_ref::<Order>("a").unwrap();
        log.take();
        fail(&supervisor, &log, "b", ExitReason::failed("so"));
        assert_eq!(only(log.take(), "+-~"), ["-b", "~b", "-a", "~a", "+b"]);
        assert!(!a.is_alive());
        supervisor.stop();
    });
}

#[test]
fn s10_a_temporarys_specification_goes_with_it_and_others_keep_theirs() {
    everywhere(|| {
        let log = Log::default();
        let supervisor = patient(Supervisor::default())
            .child(kid("permanent", &log))
            .child(kid("transient", &log).restart(Restart::Transient))
            .child(kid("temporary", &log).restart(Restart::Temporary))
            .on_event(log.events())
            .spawn();
        for id in ["transient", "temporary"] {
            fail(&supervisor, &log, id, ExitReason::Normal);
        }
        let ids: Vec<_> = supervisor.children().into_iter().map(|child| (child.id, child.state)).collect();
        assert_eq!(
            ids,
            [("permanent".into(), ChildState::Running), ("transient".into(), ChildState::Stopped)]
        );
        assert_eq!(
            supervisor.restart_child("temporary").unwrap_err().to_string(),
            "the supervisor has no child of that id"
        );
        supervisor.restart_child("transient").unwrap();
        sync(&supervisor, "transient");
        supervisor.stop();
    });
}

#[test]
fn s11_defaults() {
    assert_eq!(Restart::default(), Restart::Permanent);
    assert_eq!(Strategy::default(), Strategy::OneForOne);
    let log = Log::default();
    let spec = format!("{:?}", kid("a", &log));
    assert!(spec.contains("restart: Permanent, shutdown: Timeout(5s)"), "{spec}");
    assert!(spec.contains("backoff: None, significant: false"), "{spec}");
    let text = format!("{:?}", ChildSpec::supervisor("s", Supervisor::default));
    assert!(text.contains(&format!("shutdown: {:?}", Shutdown::Infinity)), "{text}");
    for supervisor in [Supervisor::default(), Supervisor::new(Strategy::OneForOne)] {
        let text = format!("{supervisor:?}");
        assert!(text.contains("strategy: OneForOne, intensity: 1 in 5s, auto_shutdown: Never"), "{text}");
    }
    everywhere(|| {
        // One restart is allowed, and no more.
        let log = Log::default();
        let supervisor = Supervisor::default().child(kid("a", &log)).on_event(log.events()).spawn();
        fail(&supervisor, &log, "a", ExitReason::failed("so"));
        assert!(supervisor.is_alive());
        order(&supervisor, "a", Order::Panic);
        assert!(matches!(supervisor.join(), ExitReason::Shutdown));
    });
}

#[test]
fn s12_more_restarts_than_allowed_stop_all_children_and_the_supervisor_with_shutdown() {
    everywhere(|| {
        let log = Log::default();
        let supervisor =
            three(Strategy::OneForOne, &log, Restart::Permanent).intensity(3, Duration::MAX).spawn();
        let a = supervisor.actor_ref::<Order>("a").unwrap();
        for id in ["a", "b", "c"] {
            fail(&supervisor, &log, id, ExitReason::failed("so"));
        }
        log.take();
        order(&supervisor, "b", Order::Panic);
        assert!(matches!(supervisor.join(), ExitReason::Shutdown));
        assert!(!a.is_alive());
        let log = log.take();
        assert!(log.iter().any(|entry| entry.starts_with("b fails too often")), "{log:?}");
        assert_eq!(only(log, "+-~"), ["-b", "~b", "-c", "~c", "-a", "~a"]);
    });
}

/// The ends of the window themselves are the matter of a test beside `intensity.rs`, which says what time it is.
#[test]
fn s13_restarts_count_as_long_as_the_window_says() {
    everywhere(|| {
        let log = Log::default();
        let make = |within| {
            let supervisor = Supervisor::default().intensity(1, within).on_event(log.events());
            supervisor.child(kid("a", &log)).spawn()
        };
        let forgetful = make(Duration::ZERO);
        for _ in 0..20 {
            fail(&forgetful, &log, "a", ExitReason::failed("so"));
        }
        assert_eq!(forgetful.children()[0].restarts, 20);
        forgetful.stop();
        let resentful = make(Duration::MAX);
        fail(&resentful, &log, "a", ExitReason::failed("so"));
        order(&resentful, "a", Order::Panic);
        assert!(matches!(resentful.join(), ExitReason::Shutdown));
    });
}

#[test]
fn s14_with_intensity_zero_the_first_failure_ends_it() {
    everywhere(|| {
        let log = Log::default();
        let supervisor =
            Supervisor::default().intensity(0, Duration::from_secs(5)).child(kid("a", &log)).spawn();
        order(&supervisor, "a", Order::Panic);
        assert!(matches!(supervisor.join(), ExitReason::Shutdown));
        assert_eq!(log.take(), ["+a", "-a", "~a"]);
    });
}

#[test]
fn s15_one_failure_counts_once_however_many_siblings_it_restarts() {
    everywhere(|| {
        let log = Log::default();
        let supervisor =
            three(Strategy::OneForAll, &log, Restart::Permanent).intensity(2, Duration::MAX).spawn();
        for _ in 0..2 {
            fail(&supervisor, &log, "a", ExitReason::failed("so"));
            sync(&supervisor, "c");
        }
        order(&supervisor, "a", Order::Panic);
        assert!(matches!(supervisor.join(), ExitReason::Shutdown));
        assert_eq!(log.count("+c"), 3);
    });
}

#[test]
fn s16_a_restart_that_fails_counts_as_another() {
    everywhere(|| {
        let (log, fails) = (Log::default(), Arc::new(AtomicBool::new(false)));
        let supervisor = Supervisor::default()
            .intensity(3, Duration::MAX)
            .child(faulty("a", &log, &fails))
            .child(kid("b", &log))
            .spawn();
        log.take();
        fails.store(true, SeqCst);
        order(&supervisor, "a", Order::Panic);
        assert!(matches!(supervisor.join(), ExitReason::Shutdown));
        // One restart for the panic, and two for starts that failed; the third such start is one too many.
        assert_eq!(log.take(), ["-a", "~a", "!a", "~a", "!a", "~a", "!a", "~a", "-b", "~b"]);
    });
}
