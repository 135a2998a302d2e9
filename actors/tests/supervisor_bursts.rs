//! Failures that occur while a supervisor handles earlier failures. Their order is not determined, so no model
//! predicts the result. In every order the starts come in order, restarts are counted, and at the end all children
//! are as they should be.

mod support;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kahn_actors::{
    Actor, ActorRef, Backoff, ChildSpec, ChildState, Context, Event, ExitReason, Restart,
    Strategy as Restarts, Supervisor, SupervisorRef,
};
use proptest::prelude::*;
use support::{until, within};

#[derive(Clone, Copy, Debug)]
struct Spec {
    restart: Restart,
    /// Its backoff, in ten microseconds.
    delay: u64,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Normal,
    Failed,
    Panic,
    Kill,
}

/// A kid ends, and so many of its next starts fail.
type Failure = (prop::sample::Index, End, u32);

#[derive(Default)]
struct World {
    /// `(+1, kid)` when it has started, `(0, kid)` when its start has failed, `(-1, kid)` when it is dropped.
    log: Vec<(i8, usize)>,
    fails: HashMap<usize, u32>,
}

type Shared = Arc<Mutex<World>>;

struct Kid(usize, Shared);

impl Actor for Kid {
    type Message = End;

    fn started(&mut self, _: &mut Context<Self>) -> Result<(), ExitReason> {
        let world = &mut *self.1.lock().unwrap();
        let fails = world.fails.entry(self.0).or_default();
        let starts = *fails == 0;
        *fails = fails.saturating_sub(1);
        world.log.push((starts.into(), self.0));
        if starts { Ok(()) } else { Err(ExitReason::failed("as told")) }
    }

    fn handle(&mut self, end: End, _: &mut Context<Self>) -> Result<(), ExitReason> {
        Err(match end {
            End::Normal => ExitReason::Normal,
            End::Failed => ExitReason::failed("as told"),
            End::Panic => std::panic::resume_unwind(Box::new("as told")),
            End::Kill => unreachable!("nobody is told to be killed"),
        })
    }
}

impl Drop for Kid {
    fn drop(&mut self) {
        self.1.lock().unwrap().log.push((-1, self.0));
    }
}

/// What must be true of a log, whatever came when.
fn check(log: &[(i8, usize)], restarts: Restarts, stopped: bool) {
    let (mut alive, mut failed) = (BTreeSet::new(), None);
    for &(what, kid) in log {
        match what {
            -1 if failed == Some(kid) => failed = None,
            -1 => assert!(alive.remove(&kid), "{kid} ends twice: {log:?}"),
            _ => {
                assert!(failed.is_none(), "a start while another fails: {log:?}");
                if restarts != Restarts::OneForOne {
                    let later = alive.range(kid..).next();
                    assert!(later.is_none(), "{kid} starts before {later:?} has ended: {log:?}");
                }
                if what == 0 {
                    failed = Some(kid);
                } else {
                    assert!(alive.insert(kid), "{kid} starts twice: {log:?}");
                }
            }
        }
    }
    assert!(failed.is_none() && (!stopped || alive.is_empty()), "{log:?}");
}

fn run(restarts: Restarts, max: usize, specs: Vec<Spec>, bursts: Vec<Vec<Failure>>) {
    let world = Shared::default();
    let counts = Arc::<Mutex<(usize, usize)>>::default();
    let counting = counts.clone();
    let supervisor = Supervisor::new(restarts).intensity(max, Duration::MAX).on_event(move |event| {
        let mut counts = counting.lock().unwrap();
        match event {
            Event::Restarting(..) => counts.0 += 1,
            Event::GaveUp(..) => counts.1 += 1,
            _ => {}
        }
    });
    let supervisor = specs.iter().enumerate().fold(supervisor, |supervisor, (number, spec)| {
        let world = world.clone();
        let child =
            ChildSpec::new(number.to_string(), move || Kid(number, world.clone())).restart(spec.restart);
        supervisor.child(child.backoff(Backoff::constant(Duration::from_micros(spec.delay * 10))))
    });
    let supervisor = supervisor.spawn();
    let find = |number: usize| supervisor.actor_ref(&number.to_string()).ok();
    let kids: Vec<Option<ActorRef<End>>> = (0..specs.len()).map(find).collect();
    for (number, burst) in bursts.into_iter().enumerate() {
        for (kid, end, fails) in burst {
            let number = kid.index(kids.len());
            let Some(kid) = &kids[number] else { continue };
            world.lock().unwrap().fails.insert(number, fails);
            match end {
                End::Kill => kid.kill(),
                end => drop(kid.try_tell(end)),
            }
        }
        (0..number % 4).for_each(|_| kahn_core::yield_now());
    }
    // What is in a mailbox may be handled by a later life, so wait until they are empty, and all is quiet.
    let quiet = || {
        let children = supervisor.children();
        let waits = children.iter().any(|child| child.state == ChildState::Restarting);
        !waits && kids.iter().flatten().all(|kid| !kid.is_alive() || kid.is_empty())
    };
    until(|| !supervisor.is_alive() || (quiet() && settled(&supervisor, &world)));
    let gave_up = !supervisor.is_alive();
    supervisor.stop();
    assert!(matches!(supervisor.join(), ExitReason::Shutdown));
    check(&world.lock().unwrap().log, restarts, true);
    let (counted, given_up) = *counts.lock().unwrap();
    // It may have given up just now.
    assert!(given_up <= 1 && given_up >= usize::from(gave_up));
    assert!(if given_up == 1 { counted == max } else { counted <= max }, "{counted} restarts, {max} allowed");
}

/// Whether those run that should, as far as their supervisor has heard, and no others.
fn settled(supervisor: &SupervisorRef, world: &Shared) -> bool {
    let runs = |child: &kahn_actors::ChildInfo| child.state == ChildState::Running;
    let number = |child: kahn_actors::ChildInfo| child.id.parse::<usize>().unwrap();
    let real: BTreeSet<_> = supervisor.children().into_iter().filter(runs).map(number).collect();
    let mut logged = BTreeSet::new();
    for &(what, kid) in &world.lock().unwrap().log {
        match what {
            1 => drop(logged.insert(kid)),
            -1 => drop(logged.remove(&kid)),
            _ => {}
        }
    }
    real == logged
}

fn spec() -> impl Strategy<Value = Spec> {
    let restart = prop_oneof![
        3 => Just(Restart::Permanent),
        2 => Just(Restart::Transient),
        1 => Just(Restart::Temporary),
    ];
    (restart, prop_oneof![2 => Just(0), 1 => 1_u64..40]).prop_map(|(restart, delay)| Spec { restart, delay })
}

fn failure() -> impl Strategy<Value = Failure> {
    let end = prop_oneof![Just(End::Normal), Just(End::Failed), Just(End::Panic), Just(End::Kill)];
    (any::<prop::sample::Index>(), end, prop_oneof![4 => Just(0), 1 => 1_u32..3])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: support::rounds(300) as u32, ..ProptestConfig::default() })]

    #[test]
    fn concurrent_failures_end_by_the_rules(
        restarts in prop_oneof![Just(Restarts::OneForOne), Just(Restarts::OneForAll), Just(Restarts::RestForOne)],
        max in prop_oneof![0_usize..30, Just(1_000_000)],
        specs in prop::collection::vec(spec(), 1..6),
        bursts in prop::collection::vec(prop::collection::vec(failure(), 1..6), 1..12),
        workers in 1_usize..4,
    ) {
        within(|| {
            let runtime = kahn_core::Runtime::builder().workers(workers).build().unwrap();
            runtime.run(|| run(restarts, max, specs, bursts));
        });
    }
}
