//! Dynamic supervisors: children of one kind, each with its own arguments, started and stopped at run time.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use kahn_actors::{
    Actor, ActorRef, Backoff, ChildError, ChildKind, ChildSpec, ChildState, Context, DynamicSupervisor,
    DynamicSupervisorRef, Event, ExitReason, Group, Lag, PubSub, Reply, Restart, Shutdown,
    Strategy as Restarts, Supervisor, registry, testing,
};
use proptest::prelude::*;
use support::family::Log;
use support::{everywhere, until, within};

enum Work {
    Number(Reply<u32>),
    End(ExitReason),
    Panic,
    /// Waits until so many have been asked to stop, itself included.
    EndWith(usize),
    /// Waits until it is killed.
    Park,
}

/// What all children of a test share.
#[derive(Clone, Default)]
struct Args {
    number: u32,
    alive: Arc<AtomicUsize>,
    parked: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
    fails: Arc<AtomicBool>,
}

struct Child(Args);

impl Child {
    fn new(args: Args) -> Child {
        args.alive.fetch_add(1, SeqCst);
        Child(args)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, SeqCst);
    }
}

impl Actor for Child {
    type Message = Work;

    fn started(&mut self, _: &mut Context<Self>) -> Result<(), ExitReason> {
        if self.0.fails.load(SeqCst) { Err(ExitReason::failed("as told")) } else { Ok(()) }
    }

    fn handle(&mut self, work: Work, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match work {
            Work::Number(reply) => drop(reply.send(self.0.number)),
            Work::End(reason) => return Err(reason),
            Work::Panic => panic!("as told"),
            Work::EndWith(others) => {
                self.0.parked.fetch_add(1, SeqCst);
                until(|| ctx.is_stopping());
                self.0.asked.fetch_add(1, SeqCst);
                until(|| self.0.asked.load(SeqCst) == others);
            }
            Work::Park => {
                self.0.parked.fetch_add(1, SeqCst);
                kahn_core::sleep(Duration::MAX);
            }
        }
        Ok(())
    }
}

type Ref = DynamicSupervisorRef<Args, Work>;

fn dynamic() -> DynamicSupervisor<Args, Work> {
    DynamicSupervisor::new(Child::new).intensity(1_000_000, Duration::MAX)
}

fn args(number: u32, of: &Args) -> Args {
    Args { number, ..of.clone() }
}

fn start(supervisor: &Ref, number: u32, of: &Args) -> ActorRef<Work> {
    supervisor.start(args(number, of)).unwrap()
}

fn tell(child: &ActorRef<Work>, work: Work) {
    assert!(child.tell(work).is_ok());
}

#[test]
fn child_is_started_with_its_arguments_and_again_with_the_same() {
    everywhere(|| {
        let supervisor = dynamic().name("kids").spawn();
        let all = Args::default();
        let children: Vec<_> = (0..5).map(|number| start(&supervisor, number, &all)).collect();
        for round in 0..3 {
            for (number, child) in children.iter().enumerate() {
                assert_eq!(child.ask(Work::Number), Ok(number as u32));
                tell(child, Work::End(ExitReason::failed("so")));
            }
            until(|| supervisor.children().iter().all(|child| child.restarts == round + 1));
        }
        assert_eq!(children[1].name(), Some("kids-2"));
        assert_eq!(supervisor.actor_ref("kids-2").unwrap(), children[1]);
        assert_eq!(supervisor.count(), 5);
        let infos = supervisor.children();
        assert!(
            infos.iter().all(|child| child.kind == ChildKind::Worker && child.state == ChildState::Running)
        );
        supervisor.stop();
        assert_eq!(all.alive.load(SeqCst), 0);
        assert!(matches!(supervisor.start(all.clone()), Err(ChildError::Ended)));
        assert!(matches!(supervisor.join(), ExitReason::Shutdown));
    });
}

#[test]
fn children_that_are_not_started_again_are_forgotten() {
    everywhere(|| {
        for (restart, ends) in [
            (Restart::Temporary, vec![Work::End(ExitReason::Normal), Work::End(ExitReason::failed("so"))]),
            (Restart::Transient, vec![Work::End(ExitReason::Normal), Work::End(ExitReason::Shutdown)]),
        ] {
            let supervisor = dynamic().restart(restart).spawn();
            for end in ends {
                let child = start(&supervisor, 1, &Args::default());
                tell(&child, end);
                until(|| supervisor.count() == 0);
                assert!(!child.is_alive());
            }
            supervisor.stop();
        }
    });
}

#[test]
fn terminate_forgets_a_child_by_its_reference_and_by_its_id() {
    everywhere(|| {
        let supervisor = dynamic().backoff(Backoff::constant(Duration::from_secs(3600))).spawn();
        let all = Args::default();
        let [a, b, c] = [1, 2, 3].map(|number| start(&supervisor, number, &all));
        supervisor.terminate(&a).unwrap();
        assert!(matches!(supervisor.terminate(&a), Err(ChildError::NotFound)));
        supervisor.terminate_id("2").unwrap();
        assert!(matches!(supervisor.terminate_id("2"), Err(ChildError::NotFound)));
        assert!(!a.is_alive() && !b.is_alive() && c.is_alive());
        // One that waits to be started again.
        tell(&c, Work::End(ExitReason::failed("so")));
        until(|| supervisor.children()[0].state == ChildState::Restarting);
        supervisor.terminate(&c).unwrap();
        assert!(matches!(c.join(), ExitReason::Failed(_)));
        assert_eq!((supervisor.count(), all.alive.load(SeqCst)), (0, 0));
        // One of another supervisor, by the same name.
        let other = dynamic().spawn();
        let foreign = start(&other, 1, &all);
        assert!(matches!(supervisor.terminate(&foreign), Err(ChildError::NotFound)));
        supervisor.stop();
        other.stop();
    });
}

#[test]
fn more_than_max_children_are_refused() {
    everywhere(|| {
        let supervisor = dynamic().max_children(3).restart(Restart::Temporary).spawn();
        let all = Args::default();
        let children: Vec<_> = (0..3).map(|number| start(&supervisor, number, &all)).collect();
        let refused = supervisor.start(all.clone()).unwrap_err();
        assert!(matches!(refused, ChildError::MaxChildren(3)), "{refused}");
        assert_eq!(refused.to_string(), "the supervisor has 3 children, and may have no more");
        tell(&children[0], Work::End(ExitReason::Normal));
        until(|| supervisor.count() == 2);
        start(&supervisor, 4, &all);
        supervisor.stop();
    });
}

#[test]
fn child_that_does_not_start_is_not_kept() {
    everywhere(|| {
        let supervisor = dynamic().spawn();
        let all = Args::default();
        all.fails.store(true, SeqCst);
        assert!(matches!(supervisor.start(all.clone()), Err(ChildError::Failed(ExitReason::Failed(_)))));
        assert_eq!((supervisor.count(), all.alive.load(SeqCst)), (0, 0));
        all.fails.store(false, SeqCst);
        assert_eq!(start(&supervisor, 7, &all).ask(Work::Number), Ok(7));
        supervisor.stop();
    });
}

#[test]
fn more_restarts_than_allowed_end_it_with_all_its_children() {
    everywhere(|| {
        let log = Log::default();
        let supervisor =
            DynamicSupervisor::new(Child::new).intensity(2, Duration::MAX).on_event(log.events()).spawn();
        let all = Args::default();
        let children: Vec<_> = (0..4).map(|number| start(&supervisor, number, &all)).collect();
        (0..3).for_each(|number| tell(&children[number], Work::Panic));
        assert!(matches!(supervisor.join(), ExitReason::Shutdown));
        assert_eq!(all.alive.load(SeqCst), 0);
        assert_eq!((log.count("is started again"), log.count("fails too often")), (2, 1));
    });
}

/// Each of them ends only when all have been asked. One after the other, they never would.
#[test]
fn stop_asks_all_children_at_once() {
    everywhere(|| {
        let all = Args::default();
        let supervisor = dynamic().shutdown(Shutdown::Infinity).spawn();
        let children: Vec<_> = (0..20).map(|number| start(&supervisor, number, &all)).collect();
        children.iter().for_each(|child| tell(child, Work::EndWith(children.len())));
        until(|| all.parked.load(SeqCst) == children.len());
        supervisor.stop();
        assert_eq!((all.alive.load(SeqCst), all.asked.load(SeqCst)), (0, children.len()));
    });
}

#[test]
fn stop_kills_those_that_have_not_ended_in_their_time() {
    everywhere(|| {
        let (all, log) = (Args::default(), Log::default());
        let short = Shutdown::Timeout(Duration::from_millis(20));
        let supervisor = dynamic().shutdown(short).on_event(log.events()).spawn();
        let children: Vec<_> = (0..50).map(|number| start(&supervisor, number, &all)).collect();
        children.iter().step_by(2).for_each(|child| tell(child, Work::Park));
        until(|| all.parked.load(SeqCst) == 25);
        supervisor.stop();
        assert_eq!(all.alive.load(SeqCst), 0);
        // Where others use the machine, one that has nothing to do may be late, too.
        let killed = log.count("did not stop as it should: killed");
        assert!((25..=50).contains(&killed), "{killed}");
        assert_eq!(killed + log.count("was stopped: shut down"), 50);
        assert!(children.iter().all(|child| !child.is_alive()));
    });
}

#[test]
fn dynamic_supervisor_may_be_a_child_of_another_supervisor() {
    everywhere(|| {
        let all = Args::default();
        let root = Supervisor::new(Restarts::OneForAll)
            .intensity(10, Duration::MAX)
            .child(ChildSpec::dynamic_supervisor("kids", dynamic))
            .child(ChildSpec::supervisor("other", Supervisor::default))
            .spawn();
        assert!(matches!(root.dynamic_supervisor::<u32, Work>("kids"), Err(ChildError::WrongType { .. })));
        let kids: Ref = root.dynamic_supervisor("kids").unwrap();
        assert_eq!(root.children()[0].kind, ChildKind::Supervisor);
        let old = start(&kids, 1, &all);
        assert_eq!(old.name(), Some("kids-1"));
        // A new life has no children, and takes orders by the same reference.
        kids.kill();
        until(|| root.children()[0].restarts == 1);
        until(|| all.alive.load(SeqCst) == 0);
        assert!(!old.is_alive());
        assert_eq!(kids.count(), 0);
        let new = start(&kids, 2, &all);
        root.stop();
        assert!(!new.is_alive() && !kids.is_alive());
        assert_eq!(all.alive.load(SeqCst), 0);
    });
}

/// It ends if no reference to it is left. A child of it may stop it.
#[test]
fn dynamic_supervisor_ends_like_other_supervisors() {
    everywhere(|| {
        let all = Args::default();
        let supervisor = dynamic().spawn();
        let child = start(&supervisor, 1, &all);
        drop(supervisor);
        assert!(matches!(child.join(), ExitReason::Shutdown));
        until(|| all.alive.load(SeqCst) == 0);

        struct Stops(DynamicSupervisorRef<(), ()>);
        impl Actor for Stops {
            type Message = ();
            fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
                Ok(ctx.me().tell(())?)
            }
            fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
                self.0.stop();
                Ok(())
            }
        }
        let place = Arc::<std::sync::Mutex<Option<DynamicSupervisorRef<(), ()>>>>::default();
        let made = place.clone();
        let make = move |()| Stops(made.lock().unwrap().clone().unwrap());
        let supervisor = DynamicSupervisor::new(make).shutdown(Shutdown::Infinity).spawn();
        *place.lock().unwrap() = Some(supervisor.clone());
        supervisor.start(()).unwrap();
        assert!(matches!(supervisor.join(), ExitReason::Shutdown));
        place.lock().unwrap().take();
    });
}

/// Ten times as many take ten times as long, and the logarithm of that; if it were quadratic, a hundred times. The
/// best of some, because other programs use this machine, too.
#[test]
fn ten_thousand_children_start_end_and_stop_in_time_linear_in_their_number() {
    fn time(children: u32) -> Duration {
        let begin = std::time::Instant::now();
        let all = Args::default();
        let supervisor = dynamic().restart(Restart::Transient).spawn();
        let refs: Vec<_> = (0..children).map(|number| start(&supervisor, number, &all)).collect();
        // A third fails, a third is terminated, and the rest is stopped.
        refs.iter().step_by(3).for_each(|child| tell(child, Work::End(ExitReason::failed("so"))));
        refs.iter().skip(1).step_by(3).for_each(|child| supervisor.terminate(child).unwrap());
        for child in refs.iter().step_by(3) {
            child.ask(Work::Number).unwrap();
        }
        supervisor.stop();
        assert_eq!(all.alive.load(SeqCst), 0);
        begin.elapsed()
    }
    within(|| {
        kahn_core::Runtime::builder().workers(2).build().unwrap().run(|| {
            let best = |children| (0..2).map(|_| time(children)).min().unwrap();
            let (few, many) = (best(1_000), best(10_000));
            assert!(many < few * 40, "{few:?}, {many:?}");
        });
    });
}

/// With this strategy there is no order among those that were added later.
#[test]
fn children_that_were_added_later_stop_at_once_and_before_the_others() {
    everywhere(|| {
        let log = Log::default();
        let all = Args::default();
        let supervisor = Supervisor::default()
            .child(support::family::kid("a", &log))
            .child(support::family::kid("b", &log))
            .on_event(log.events())
            .spawn();
        for number in 0..10 {
            let own = args(number, &all);
            let spec = ChildSpec::new(number.to_string(), move || Child::new(own.clone()));
            supervisor.start_child(spec.shutdown(Shutdown::Infinity)).unwrap();
            let child = supervisor.actor_ref::<Work>(&number.to_string()).unwrap();
            tell(&child, Work::EndWith(10));
        }
        until(|| all.parked.load(SeqCst) == 10);
        supervisor.stop();
        let log: Vec<_> =
            log.take().into_iter().filter(|entry| entry.ends_with("stopped: shut down")).collect();
        assert_eq!(log.len(), 12);
        assert_eq!(log[10..], ["b was stopped: shut down", "a was stopped: shut down"]);
    });
}

/// Where one depends on those before it, they stop in order.
#[test]
fn children_that_were_added_later_stop_in_order_where_the_strategy_has_one() {
    everywhere(|| {
        for strategy in [Restarts::OneForAll, Restarts::RestForOne] {
            let log = Log::default();
            let supervisor = Supervisor::new(strategy).on_event(log.events()).spawn();
            for name in ["a", "b", "c"] {
                supervisor.start_child(support::family::kid(name, &log)).unwrap();
            }
            supervisor.stop();
            let log: Vec<_> = log.take().into_iter().filter(|entry| entry.starts_with('~')).collect();
            assert_eq!(log, ["~c", "~b", "~a"]);
        }
    });
}

#[test]
fn child_that_has_been_joined_has_no_name_and_is_in_no_group_and_no_topic() {
    everywhere(|| {
        let names = registry::Registry::new();
        let (group, news) = (Group::<Work>::new(), PubSub::<u32>::new());
        for round in 0..support::rounds(30) {
            for kind in 0..5 {
                let root = Supervisor::default().spawn();
                let dynamic = dynamic().restart(Restart::Temporary).spawn();
                let child = if kind < 3 {
                    let own = args(1, &Args::default());
                    root.start_child(ChildSpec::new("a", move || Child::new(own.clone()))).unwrap();
                    root.actor_ref("a").unwrap()
                } else {
                    start(&dynamic, 1, &Args::default())
                };
                names.register("a", &child).unwrap();
                group.join(&child);
                news.subscribe_with("topic", &child, Lag::Lose, |_| Work::Panic);
                assert_eq!((group.len(), news.subscribers("topic")), (1, 1));
                match kind {
                    0 => root.stop(),
                    1 => root.terminate_child("a").unwrap(),
                    2 => root.terminate_child("a").and_then(|()| root.delete_child("a")).unwrap(),
                    3 => dynamic.terminate(&child).unwrap(),
                    // By itself: its supervisor is told later.
                    _ => tell(&child, Work::End(ExitReason::Normal)),
                }
                child.join();
                let left = (names.whereis::<Work>("a").is_ok(), group.len(), group.contains(&child));
                assert_eq!(left, (false, 0, false), "{kind} in round {round}");
                assert!(group.is_empty() && news.subscribers("topic") == 0 && news.topics().is_empty());
                root.stop();
                dynamic.stop();
            }
        }
    });
}

#[test]
fn check_knows_that_a_supervisor_was_told_of_a_panic() {
    let waits = Backoff::constant(Duration::from_secs(3600));
    for restart in [Restart::Permanent, Restart::Transient, Restart::Temporary] {
        for backoff in [Backoff::constant(Duration::ZERO), waits] {
            for stops in [false, true] {
                within(|| {
                    testing::check(|| {
                        let log = Log::default();
                        let all = Args::default();
                        let own = all.clone();
                        let root = Supervisor::default()
                            .child(
                                ChildSpec::new("a", move || Child::new(own.clone()))
                                    .restart(restart)
                                    .backoff(backoff),
                            )
                            .on_event(log.events())
                            .spawn();
                        let kids = dynamic().restart(restart).backoff(backoff).on_event(log.events()).spawn();
                        let child = start(&kids, 1, &all);
                        tell(&root.actor_ref("a").unwrap(), Work::Panic);
                        tell(&child, Work::Panic);
                        log.wait("has ended: panicked", 2);
                        if stops {
                            root.stop();
                            kids.stop();
                        }
                    });
                });
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Start,
    Normal(prop::sample::Index),
    Fail(prop::sample::Index),
    Kill(prop::sample::Index),
    Terminate(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => Just(Step::Start),
        1 => index().prop_map(Step::Normal),
        2 => index().prop_map(Step::Fail),
        1 => index().prop_map(Step::Kill),
        2 => index().prop_map(Step::Terminate),
    ]
}

/// Beside a model: the children, and how often each was restarted.
fn run(restart: Restart, max: usize, intensity: usize, steps: Vec<Step>) {
    let all = Args::default();
    let supervisor = DynamicSupervisor::new(Child::new)
        .restart(restart)
        .max_children(max)
        .intensity(intensity, Duration::MAX)
        .spawn();
    let mut model: Vec<(String, u64, ActorRef<Work>)> = Vec::new();
    let (mut last, mut restarts) = (0, 0);
    for step in steps {
        let (index, fails) = match step {
            Step::Start => {
                let started = supervisor.start(args(last, &all));
                if model.len() >= max {
                    assert!(matches!(started, Err(ChildError::MaxChildren(_))));
                } else {
                    last += 1;
                    model.push((last.to_string(), 0, started.unwrap()));
                }
                continue;
            }
            _ if model.is_empty() => continue,
            Step::Normal(index) => (index, restart == Restart::Permanent),
            Step::Fail(index) | Step::Kill(index) => (index, restart != Restart::Temporary),
            Step::Terminate(index) => {
                let (_, _, child) = model.remove(index.index(model.len()));
                supervisor.terminate(&child).unwrap();
                assert!(!child.is_alive());
                continue;
            }
        };
        let place = index.index(model.len());
        let child = model[place].2.clone();
        match step {
            Step::Normal(_) => tell(&child, Work::End(ExitReason::Normal)),
            Step::Kill(_) => child.kill(),
            _ => tell(&child, Work::End(ExitReason::failed("so"))),
        }
        if fails {
            restarts += 1;
            if restarts > intensity {
                assert!(matches!(supervisor.join(), ExitReason::Shutdown));
                break;
            }
            model[place].1 += 1;
        } else {
            model.remove(place);
        }
        let agrees = || {
            let real: Vec<_> = supervisor
                .children()
                .into_iter()
                .map(|child| (child.id.to_string(), child.restarts, child.state))
                .collect();
            let model: Vec<_> =
                model.iter().map(|(id, restarts, _)| (id.clone(), *restarts, ChildState::Running)).collect();
            real == model
        };
        until(agrees);
        assert_eq!(supervisor.count(), model.len());
        assert_eq!(all.alive.load(SeqCst), model.len());
    }
    supervisor.stop();
    assert!(model.iter().all(|(_, _, child)| !child.is_alive()));
    assert_eq!(all.alive.load(SeqCst), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: support::rounds(200) as u32, ..ProptestConfig::default() })]

    #[test]
    fn random_starts_and_ends_of_dynamic_children_follow_the_rules(
        restart in prop_oneof![Just(Restart::Permanent), Just(Restart::Transient), Just(Restart::Temporary)],
        max in 1_usize..8,
        intensity in prop_oneof![0_usize..10, Just(1_000_000)],
        steps in prop::collection::vec(step(), 0..60),
        workers in 1_usize..4,
    ) {
        within(|| {
            kahn_core::Runtime::builder().workers(workers).build().unwrap()
                .run(|| run(restart, max, intensity, steps));
        });
    }
}

/// What is reported of children says which.
#[test]
fn events_name_the_children() {
    everywhere(|| {
        let seen = Arc::<std::sync::Mutex<Vec<String>>>::default();
        let note = seen.clone();
        let supervisor = dynamic()
            .restart(Restart::Temporary)
            .on_event(move |event: &Event| note.lock().unwrap().push(event.to_string()))
            .spawn();
        let child = start(&supervisor, 1, &Args::default());
        tell(&child, Work::End(ExitReason::Normal));
        until(|| supervisor.count() == 0);
        start(&supervisor, 2, &Args::default());
        supervisor.stop();
        assert_eq!(
            *seen.lock().unwrap(),
            ["1 has started", "1 has ended: normal", "2 has started", "2 was stopped: shut down"]
        );
    });
}

struct Deaf;

impl Actor for Deaf {
    type Message = u8;

    fn handle(&mut self, _: u8, _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }
}

#[test]
fn error_of_a_wrong_type_names_no_private_type() {
    everywhere(|| {
        let root = Supervisor::default()
            .child(ChildSpec::supervisor("lower", Supervisor::default))
            .child(ChildSpec::dynamic_supervisor("kids", || DynamicSupervisor::new(|_: u32| Deaf)))
            .child(ChildSpec::new("deaf", || Deaf))
            .child(ChildSpec::thread("thread", || kahn_core::sleep(Duration::MAX)))
            .spawn();
        const DYNAMIC: &str = "a dynamic supervisor with arguments of type u32 and messages of type u8";
        let said = [
            (
                root.actor_ref::<u16>("lower").unwrap_err(),
                "a supervisor",
                "an actor with messages of type u16",
            ),
            (root.actor_ref::<u16>("kids").unwrap_err(), DYNAMIC, "an actor with messages of type u16"),
            (root.supervisor("kids").unwrap_err(), DYNAMIC, "a supervisor"),
            (root.supervisor("deaf").unwrap_err(), "an actor with messages of type u8", "a supervisor"),
            (root.supervisor("thread").unwrap_err(), "a thread", "a supervisor"),
            (root.dynamic_supervisor::<u32, u8>("lower").unwrap_err(), "a supervisor", DYNAMIC),
            (
                root.dynamic_supervisor::<u64, u8>("kids").unwrap_err(),
                DYNAMIC,
                "a dynamic supervisor with arguments of type u64 and messages of type u8",
            ),
        ];
        for (error, found, expected) in said {
            assert_eq!(error.to_string(), format!("the child is {found}, not {expected}"));
        }
        root.stop();
    });
}
