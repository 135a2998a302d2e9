//! Circles of actors that wait for each other, in which a supervisor waits for the start or the end of a child, or
//! a child that is down waits for its supervisor. The asks and tells have no deadline, and the stops of the
//! children have no limit, so a circle that is not found hangs the test.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use kahn_actors::{
    Actor, ActorRef, AskError, ChildError, ChildSpec, Context, DynamicSupervisor, DynamicSupervisorRef,
    ExitReason, Reply, Restart, Shutdown, Strategy as Restarts, Supervisor, SupervisorRef, spawn,
};
use kahn_channels::bounded;
use proptest::prelude::*;
use support::family::{Kid, Log, Order, kid, order, patient, sync};
use support::{everywhere, until, within};

type Ref = ActorRef<Order>;

/// A kid that is never killed.
fn stoic(name: &str, log: &Log) -> ChildSpec {
    kid(name, log).shutdown(Shutdown::Infinity)
}

fn of(strategy: Restarts, log: &Log, kids: impl IntoIterator<Item = ChildSpec>) -> SupervisorRef {
    kids.into_iter()
        .fold(patient(Supervisor::new(strategy)).on_event(log.events()), Supervisor::child)
        .spawn()
}

/// Asks `other` without a deadline, and writes down what it is told.
fn ask(name: &str, log: &Log, other: &Ref) {
    log.add(format!("{name} asks"));
    let told = other.ask_timeout(Duration::MAX, Order::Sync);
    log.add(match told {
        Err(AskError::Deadlock(names)) => format!("{name} is told of {}", names.join(" -> ")),
        told => format!("{name} is told {told:?}"),
    });
}

/// An order to ask `other`.
fn ask_order(name: &str, log: &Log, other: &Ref) -> Order {
    let (name, log, other) = (name.to_owned(), log.clone(), other.clone());
    Order::Call(Box::new(move |_: &mut Context<Kid>| ask(&name, &log, &other)))
}

/// Orders a kid to wait, and then to fail. What is told to it meanwhile stands behind that. Returns when the kid waits.
fn fails_when(supervisor: &SupervisorRef, id: &str) -> kahn_channels::Sender<()> {
    let (go, goes) = bounded(1);
    let (waits, waiting) = bounded(1);
    let wait = move |_: &mut Context<Kid>| {
        waits.send(()).unwrap();
        goes.recv().unwrap();
    };
    order(supervisor, id, Order::Call(Box::new(wait)));
    waiting.recv().unwrap();
    order(supervisor, id, Order::End(ExitReason::failed("so")));
    go
}

#[test]
fn asks_of_a_child_that_is_down_end_when_its_supervisor_stops_the_askers() {
    everywhere(|| {
        for strategy in [Restarts::RestForOne, Restarts::OneForAll] {
            let log = Log::default();
            let names = ["b", "c", "d"];
            let supervisor = of(strategy, &log, ["a", "b", "c", "d"].map(|name| stoic(name, &log)));
            let a: Ref = supervisor.actor_ref("a").unwrap();
            let go = fails_when(&supervisor, "a");
            names.iter().for_each(|name| order(&supervisor, name, ask_order(name, &log, &a)));
            until(|| a.len() == 1 + names.len());
            go.send(()).unwrap();
            names.iter().for_each(|name| sync(&supervisor, name));
            for name in names {
                let supervisor = supervisor.address();
                let text = format!("{name} is told of {name} -> a -> actor #{}", supervisor.id());
                assert_eq!(log.count(&text), 1, "{:?}", log.take());
            }
            assert_eq!(log.count("did not stop as it should"), 0, "{:?}", log.take());
            supervisor.stop();
        }
    });
}

#[test]
fn tells_to_the_full_mailbox_of_a_child_that_is_down_end_when_its_supervisor_stops_the_tellers() {
    everywhere(|| {
        let log = Log::default();
        let kids = [stoic("a", &log).mailbox(1), stoic("b", &log), stoic("c", &log)];
        let supervisor = of(Restarts::RestForOne, &log, kids);
        let a: Ref = supervisor.actor_ref("a").unwrap();
        let go = fails_when(&supervisor, "a");
        until(|| a.len() == 1);
        // Behind the failure there is room for one.
        for name in ["b", "c"] {
            let (own, log, a) = (name.to_owned(), log.clone(), a.clone());
            let tell = move |_: &mut Context<Kid>| {
                for number in 1..=2 {
                    log.add(format!("{own} tells {number}"));
                    if let Err(error) = a.tell(Order::Call(Box::new(|_| ()))) {
                        log.add(format!("{own} is told that it is full: {}", error.is_full()));
                    }
                }
            };
            order(&supervisor, name, Order::Call(Box::new(tell)));
        }
        log.wait("tells 1", 2);
        go.send(()).unwrap();
        ["b", "c"].iter().for_each(|name| sync(&supervisor, name));
        // The first of four had room, and the others none until `a` was started again.
        assert!((2..=3).contains(&log.count("is told that it is full: true")), "{:?}", log.take());
        assert_eq!(log.count("did not stop as it should"), 0, "{:?}", log.take());
        supervisor.stop();
    });
}

#[test]
fn ask_that_waits_for_room_ends_as_one_that_waits_for_its_answer() {
    everywhere(|| {
        let log = Log::default();
        let supervisor =
            of(Restarts::RestForOne, &log, [stoic("a", &log).mailbox(1), stoic("b", &log), stoic("c", &log)]);
        let a: Ref = supervisor.actor_ref("a").unwrap();
        let (go, goes) = bounded(1);
        let wait = move |_: &mut Context<Kid>| {
            goes.recv().unwrap();
            panic!("as told");
        };
        order(&supervisor, "a", Order::Call(Box::new(wait)));
        until(|| a.is_empty());
        for name in ["b", "c"] {
            order(&supervisor, name, ask_order(name, &log, &a));
            log.wait(&format!("{name} asks"), 1);
        }
        until(|| a.len() == 1);
        go.send(()).unwrap();
        ["b", "c"].iter().for_each(|name| sync(&supervisor, name));
        assert_eq!((log.count("b is told of b -> a"), log.count("c is told of c -> a")), (1, 1));
        supervisor.stop();
    });
}

/// An actor that asks another when it is asked, and says when it has been told.
struct Between(Ref, Log);

impl Actor for Between {
    type Message = Reply<()>;

    fn handle(&mut self, reply: Reply<()>, _: &mut Context<Self>) -> Result<(), ExitReason> {
        ask("between", &self.1, &self.0);
        let _ = reply.send(());
        Ok(())
    }
}

#[test]
fn last_ask_of_a_chain_that_leads_to_a_child_that_is_down_ends() {
    everywhere(|| {
        let log = Log::default();
        let supervisor = of(Restarts::RestForOne, &log, ["a", "b"].map(|name| stoic(name, &log)));
        let a: Ref = supervisor.actor_ref("a").unwrap();
        let between = spawn(Between(a.clone(), log.clone()));
        let go = fails_when(&supervisor, "a");
        let (own, asked) = (log.clone(), between.clone());
        let call = move |_: &mut Context<Kid>| {
            let told = asked.ask_timeout(Duration::MAX, |reply| reply);
            own.add(format!("b is told {told:?}"));
        };
        order(&supervisor, "b", Order::Call(Box::new(call)));
        until(|| a.len() == 2);
        go.send(()).unwrap();
        sync(&supervisor, "b");
        assert_eq!(
            (log.count("between is told of"), log.count("b is told Ok(())")),
            (1, 1),
            "{:?}",
            log.take()
        );
        supervisor.stop();
    });
}

#[test]
fn ask_ends_whose_asker_is_stopped_by_a_lower_supervisor() {
    everywhere(|| {
        let log = Log::default();
        let lower = {
            let log = log.clone();
            move || patient(Supervisor::default()).child(stoic("b", &log))
        };
        let supervisor =
            of(Restarts::RestForOne, &log, [stoic("a", &log), ChildSpec::supervisor("lower", lower)]);
        let a: Ref = supervisor.actor_ref("a").unwrap();
        let go = fails_when(&supervisor, "a");
        order(&supervisor.supervisor("lower").unwrap(), "b", ask_order("b", &log, &a));
        until(|| a.len() == 2);
        go.send(()).unwrap();
        log.wait("+b", 2);
        assert_eq!(log.count("b is told of b -> a"), 1, "{:?}", log.take());
        supervisor.stop();
    });
}

/// Asks another in `started` and in `stopped`.
struct Asks(Ref, Log, bool);

impl Actor for Asks {
    type Message = ();

    fn started(&mut self, _: &mut Context<Self>) -> Result<(), ExitReason> {
        if !self.2 {
            return Ok(());
        }
        if self.0.tell(Order::Panic).is_err() {
            unreachable!("it is down, or will be, and takes messages");
        }
        Ok(self.0.ask_timeout(Duration::MAX, Order::Sync)?)
    }

    fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }

    fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) {
        ask("stopped", &self.1, &self.0);
    }
}

#[test]
fn ask_in_started_ends_when_the_child_that_is_asked_fails() {
    everywhere(|| {
        let log = Log::default();
        let supervisor = of(Restarts::OneForOne, &log, [stoic("a", &log)]);
        let a: Ref = supervisor.actor_ref("a").unwrap();
        for round in 1..=20 {
            let (asked, own) = (a.clone(), log.clone());
            let spec = ChildSpec::new("b", move || Asks(asked.clone(), own.clone(), true));
            let Err(ChildError::Failed(ExitReason::Failed(error))) = supervisor.start_child(spec) else {
                panic!("it has asked a child that was down");
            };
            assert!(matches!(error.downcast_ref(), Some(AskError::Deadlock(_))), "{error}");
            log.wait("+a", round + 1);
        }
        supervisor.stop();
    });
}

/// With these strategies the child that is asked in `started` may be one that is started later.
#[test]
fn ask_in_started_ends_if_the_asked_child_has_not_started_yet() {
    struct First(Arc<std::sync::Mutex<Option<Ref>>>, Log);
    impl Actor for First {
        type Message = Order;
        fn started(&mut self, _: &mut Context<Self>) -> Result<(), ExitReason> {
            let later = self.0.lock().unwrap().clone();
            if let Some(later) = later {
                ask("first", &self.1, &later);
            }
            Ok(())
        }
        fn handle(&mut self, _: Order, _: &mut Context<Self>) -> Result<(), ExitReason> {
            Err(ExitReason::failed("so"))
        }
    }
    everywhere(|| {
        for strategy in [Restarts::RestForOne, Restarts::OneForAll] {
            let (log, place) = (Log::default(), Arc::<std::sync::Mutex<_>>::default());
            let (own, later) = (log.clone(), Arc::clone(&place));
            let first = ChildSpec::new("first", move || First(later.clone(), own.clone()));
            let supervisor = of(strategy, &log, [first, stoic("later", &log)]);
            *place.lock().unwrap() = Some(supervisor.actor_ref("later").unwrap());
            order(&supervisor, "first", Order::Park);
            log.wait("+later", 2);
            assert_eq!(log.count("first is told of first -> later -> "), 1, "{:?}", log.take());
            place.lock().unwrap().take();
            supervisor.stop();
        }
    });
}

#[test]
fn ask_in_stopped_of_a_child_that_is_down_ends() {
    everywhere(|| {
        let log = Log::default();
        let supervisor = of(Restarts::RestForOne, &log, [stoic("a", &log)]);
        let a: Ref = supervisor.actor_ref("a").unwrap();
        let (asked, own) = (a.clone(), log.clone());
        let spec = ChildSpec::new("b", move || Asks(asked.clone(), own.clone(), false));
        supervisor.start_child(spec.shutdown(Shutdown::Infinity)).unwrap();
        order(&supervisor, "a", Order::Panic);
        log.wait("b has started", 2);
        assert_eq!(log.count("stopped is told of b -> a -> "), 1, "{:?}", log.take());
        supervisor.stop();
    });
}

/// The supervisor waits for `c`, which waits for `a`, and then `a` fails.
#[test]
fn ask_ends_when_the_asked_child_fails_while_its_supervisor_already_waits_for_the_asker() {
    everywhere(|| {
        let log = Log::default();
        let supervisor = of(Restarts::RestForOne, &log, ["a", "b"].map(|name| stoic(name, &log)));
        let a: Ref = supervisor.actor_ref("a").unwrap();
        let (asked, own) = (a.clone(), log.clone());
        let spec = ChildSpec::new("c", move || Asks(asked.clone(), own.clone(), false));
        supervisor.start_child(spec.shutdown(Shutdown::Infinity)).unwrap();
        let go = fails_when(&supervisor, "a");
        order(&supervisor, "b", Order::Panic);
        until(|| a.len() == 2);
        go.send(()).unwrap();
        log.wait("c has started", 2);
        assert!(log.count("stopped is told of c -> a -> ") > 0, "{:?}", log.take());
        supervisor.stop();
    });
}

/// The start is over before the supervisor has seen it.
#[test]
fn child_that_has_started_may_ask_its_supervisor_at_once() {
    struct Eager(Arc<std::sync::Mutex<Option<SupervisorRef>>>, Log);
    impl Actor for Eager {
        type Message = ();
        fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
            Ok(ctx.me().tell(())?)
        }
        fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
            let supervisor = self.0.lock().unwrap().clone().expect("it is there");
            self.1.add(format!("{:?}", supervisor.actor_ref::<()>("eager").map(drop)));
            Ok(())
        }
    }
    everywhere(|| {
        let (log, place) = (Log::default(), Arc::<std::sync::Mutex<_>>::default());
        let supervisor = patient(Supervisor::default()).spawn();
        let (own, above) = (log.clone(), Arc::clone(&place));
        *place.lock().unwrap() = Some(supervisor.clone());
        supervisor.start_child(ChildSpec::new("eager", move || Eager(above.clone(), own.clone()))).unwrap();
        for round in 1..support::rounds(200) {
            log.wait("Ok(())", round);
            supervisor.terminate_child("eager").unwrap();
            supervisor.restart_child("eager").unwrap();
        }
        assert_eq!(log.count("Err"), 0, "{:?}", log.take());
        place.lock().unwrap().take();
        supervisor.stop();
    });
}

/// Starts a supervisor whose child asks it back, and stops it while its child asks it.
#[test]
fn ask_of_an_actor_that_waits_for_a_supervisor_of_the_asker_ends() {
    struct Owner(Log);
    enum Do {
        All,
        Answer(#[expect(dead_code, reason = "for its drop")] Reply<()>),
    }
    struct Back(ActorRef<Do>, Log);
    impl Back {
        fn ask(&self) {
            let told = self.0.ask_timeout(Duration::MAX, Do::Answer);
            self.1.add(format!("back is told of a circle: {}", matches!(told, Err(AskError::Deadlock(_)))));
        }
    }
    impl Actor for Back {
        type Message = ();
        fn started(&mut self, _: &mut Context<Self>) -> Result<(), ExitReason> {
            self.ask();
            Ok(())
        }
        fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
            self.1.add("back asks");
            self.ask();
            Ok(())
        }
    }
    impl Actor for Owner {
        type Message = Do;
        fn handle(&mut self, message: Do, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
            if let Do::All = message {
                let (me, log) = (ctx.me().clone(), self.0.clone());
                let spec = ChildSpec::new("back", move || Back(me.clone(), log.clone()));
                let supervisor = Supervisor::default().child(spec.shutdown(Shutdown::Infinity)).spawn();
                supervisor.actor_ref("back").unwrap().tell(())?;
                self.0.wait("back asks", 1);
                supervisor.stop();
                self.0.add("stopped");
            }
            Ok(())
        }
    }
    everywhere(|| {
        let log = Log::default();
        let owner = spawn(Owner(log.clone()));
        assert!(owner.tell(Do::All).is_ok());
        log.wait("stopped", 1);
        assert_eq!(log.count("back is told of a circle: true"), 2, "{:?}", log.take());
    });
}

/// What a child does in `stopped`.
type Last = Arc<dyn Fn() + Send + Sync>;

/// Does something in `stopped`.
struct Ends(Last);

impl Actor for Ends {
    type Message = ();

    fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }

    fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) {
        (self.0)();
    }
}

/// A supervisor that is stopped with its dynamic children, and what its children ask of it: whether it is a circle.
trait Above: Send + Sync + 'static {
    fn ask(&self) -> bool;
    fn stop(&self);
    fn start(&self, number: usize, last: Last);
}

impl Above for SupervisorRef {
    fn ask(&self) -> bool {
        matches!(self.actor_ref::<()>("x"), Err(ChildError::Deadlock(_)))
    }

    fn stop(&self) {
        SupervisorRef::stop(self);
    }

    fn start(&self, number: usize, last: Last) {
        let spec = ChildSpec::new(number.to_string(), move || Ends(last.clone()));
        self.start_child(spec.shutdown(Shutdown::Infinity)).unwrap();
    }
}

impl Above for DynamicSupervisorRef<Last, ()> {
    fn ask(&self) -> bool {
        matches!(self.actor_ref("x"), Err(ChildError::Deadlock(_)))
    }

    fn stop(&self) {
        DynamicSupervisorRef::stop(self);
    }

    fn start(&self, _: usize, last: Last) {
        DynamicSupervisorRef::start(self, last).unwrap();
    }
}

fn both(f: impl Fn(Arc<dyn Above>)) {
    f(Arc::new(Supervisor::default().spawn()));
    f(Arc::new(DynamicSupervisor::new(Ends).shutdown(Shutdown::Infinity).spawn()));
}

/// One child asks in `stopped`, and another ends only when the first child was told. The supervisor may look at either
/// first.
#[test]
fn child_that_is_stopped_together_with_others_is_told_at_once_that_its_supervisor_waits_for_it() {
    everywhere(|| {
        both(|above| {
            let (asked, told, circles) = <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
            for number in 0..3 {
                let (asked, told, circles, own) =
                    (asked.clone(), told.clone(), circles.clone(), Arc::downgrade(&above));
                above.start(
                    number,
                    Arc::new(move || {
                        let own = own.upgrade().unwrap();
                        match number {
                            // All are asked to end before the one in the middle asks.
                            1 => {
                                until(|| asked.load(SeqCst) == 2);
                                circles.fetch_add(usize::from(own.ask()), SeqCst);
                                told.store(1, SeqCst);
                            }
                            _ => {
                                asked.fetch_add(1, SeqCst);
                                until(|| told.load(SeqCst) == 1);
                            }
                        }
                    }),
                );
            }
            above.stop();
            assert_eq!(circles.load(SeqCst), 1);
        });
    });
}

/// Passes a question on.
struct Passes(Arc<dyn Fn() -> bool + Send + Sync>);

impl Actor for Passes {
    type Message = Reply<bool>;

    fn handle(&mut self, reply: Reply<bool>, _: &mut Context<Self>) -> Result<(), ExitReason> {
        let _ = reply.send((self.0)());
        Ok(())
    }
}

#[test]
fn actor_that_asks_a_stopping_supervisor_for_a_child_of_it_is_told_at_once() {
    everywhere(|| {
        both(|above| {
            let (asked, told, circles) = <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
            let own = Arc::downgrade(&above);
            let outside = spawn(Passes(Arc::new(move || own.upgrade().unwrap().ask())));
            for number in 0..3 {
                let (asked, told, circles, outside) =
                    (asked.clone(), told.clone(), circles.clone(), outside.clone());
                above.start(
                    number,
                    Arc::new(move || {
                        if number == 1 {
                            until(|| asked.load(SeqCst) == 2);
                            let circle = outside.ask_timeout(Duration::MAX, |reply| reply);
                            circles.fetch_add(usize::from(circle == Ok(true)), SeqCst);
                            told.store(1, SeqCst);
                        } else {
                            asked.fetch_add(1, SeqCst);
                            until(|| told.load(SeqCst) == 1);
                        }
                    }),
                );
            }
            above.stop();
            assert_eq!(circles.load(SeqCst), 1);
        });
    });
}

/// The supervisor in between stops its children at once as well.
#[test]
fn grandchild_that_is_stopped_together_with_others_is_told_at_once() {
    everywhere(|| {
        both(|above| {
            let (asked, told, circles) = <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
            let below = Arc::new(std::sync::Mutex::new(Vec::new()));
            for number in 0..3 {
                let lower = DynamicSupervisor::new(Ends).shutdown(Shutdown::Infinity).spawn();
                for kid in 0..3 {
                    let (asked, told, circles, own) =
                        (asked.clone(), told.clone(), circles.clone(), Arc::downgrade(&above));
                    let last: Last = Arc::new(move || {
                        if (number, kid) == (1, 1) {
                            until(|| asked.load(SeqCst) == 8);
                            circles.fetch_add(usize::from(own.upgrade().unwrap().ask()), SeqCst);
                            told.store(1, SeqCst);
                        } else {
                            asked.fetch_add(1, SeqCst);
                            until(|| told.load(SeqCst) == 1);
                        }
                    });
                    lower.start(last).unwrap();
                }
                let stop = lower.clone();
                above.start(number, Arc::new(move || stop.stop()));
                below.lock().unwrap().push(lower);
            }
            above.stop();
            assert_eq!(circles.load(SeqCst), 1);
        });
    });
}

#[test]
fn thousands_of_children_that_ask_their_supervisor_in_stopped_are_all_told() {
    everywhere(|| {
        both(|above| {
            let circles = Arc::<AtomicUsize>::default();
            let count = support::rounds(2_000);
            for number in 0..count {
                let (circles, own) = (circles.clone(), Arc::downgrade(&above));
                above.start(
                    number,
                    Arc::new(move || {
                        circles.fetch_add(usize::from(own.upgrade().unwrap().ask()), SeqCst);
                    }),
                );
            }
            above.stop();
            assert_eq!(circles.load(SeqCst), count);
        });
    });
}

#[test]
fn handler_that_would_wait_for_its_own_end_gets_an_error_also_inside_blocking() {
    everywhere(|| {
        for is_blocking in [false, true] {
            let log = Log::default();
            let supervisor = of(Restarts::OneForOne, &log, [stoic("a", &log)]);
            let call = |what: fn(&SupervisorRef) -> String| {
                let (log, above) = (log.clone(), supervisor.clone());
                let run = move |_: &mut Context<Kid>| {
                    let run = || what(&above);
                    log.add(if is_blocking { kahn_core::blocking(run) } else { run() });
                };
                order(&supervisor, "a", Order::Call(Box::new(run)));
            };
            call(|above| {
                let told = above.terminate_child("a");
                format!("terminate: {}", matches!(told, Err(ChildError::Deadlock(_))))
            });
            log.wait("terminate: true", 1);
            until(|| supervisor.restart_child("a").is_ok());
            call(|above| {
                let own: Ref = above.actor_ref("a").unwrap();
                let told = own.ask_timeout(Duration::MAX, Order::Sync);
                format!("ask: {}", matches!(told, Err(AskError::Deadlock(_))))
            });
            log.wait("ask: true", 1);
            call(|above| {
                let joined = catch_unwind(AssertUnwindSafe(|| above.join()));
                format!("join panics: {}", joined.is_err())
            });
            log.wait("join panics: true", 1);
            call(|above| {
                above.stop();
                "stop returns".to_owned()
            });
            supervisor.join();
            assert_eq!(log.count("stop returns"), 1);
            assert_eq!(log.count("did not stop as it should"), 0, "{:?}", log.take());
        }
    });
}

/// Asks and tells siblings without a deadline, and fails.
struct Busy(usize, Arc<Peers>);

#[derive(Default)]
struct Peers {
    all: std::sync::Mutex<Vec<ActorRef<Work>>>,
    starts: AtomicUsize,
}

impl Peers {
    fn get(&self, number: usize) -> Option<ActorRef<Work>> {
        let all = self.all.lock().unwrap();
        (!all.is_empty()).then(|| all[number % all.len()].clone())
    }
}

enum Work {
    Nothing,
    Ask(usize),
    Tell(usize),
    Fail,
    Answer(Reply<()>),
}

impl Actor for Busy {
    type Message = Work;

    fn started(&mut self, _: &mut Context<Self>) -> Result<(), ExitReason> {
        let starts = self.1.starts.fetch_add(1, SeqCst);
        if starts.is_multiple_of(3)
            && let Some(peer) = self.1.get(starts / 3)
        {
            let _ = peer.ask_timeout(Duration::MAX, Work::Answer);
        }
        Ok(())
    }

    fn handle(&mut self, work: Work, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match work {
            Work::Nothing => {}
            Work::Ask(other) => {
                if let Some(peer) = self.1.get(other) {
                    let _ = peer.ask_timeout(Duration::MAX, Work::Answer);
                }
            }
            Work::Tell(other) => {
                if let Some(peer) = self.1.get(other) {
                    let _ = peer.tell(Work::Nothing);
                }
            }
            Work::Fail => return Err(ExitReason::failed("so")),
            Work::Answer(reply) => {
                let _ = reply.send(());
            }
        }
        Ok(())
    }

    fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) {
        if let Some(peer) = self.1.get(self.0 + 1) {
            let _ = peer.ask_timeout(Duration::MAX, Work::Answer);
        }
    }
}

fn busy(number: usize, peers: &Arc<Peers>) -> ChildSpec {
    let peers = peers.clone();
    ChildSpec::new(number.to_string(), move || Busy(number, peers.clone()))
        .shutdown(Shutdown::Infinity)
        .mailbox(2)
        .restart(if number % 4 == 3 { Restart::Transient } else { Restart::Permanent })
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Ask(usize),
    Tell(usize),
    Fail,
}

fn act() -> impl Strategy<Value = (usize, Act)> {
    let act = prop_oneof![
        4 => (0_usize..8).prop_map(Act::Ask),
        2 => (0_usize..8).prop_map(Act::Tell),
        2 => Just(Act::Fail),
    ];
    (0_usize..8, act)
}

fn run(strategy: Restarts, upper: usize, lower: usize, acts: Vec<(usize, Act)>) {
    let peers = Arc::new(Peers::default());
    let below = {
        let peers = peers.clone();
        move || {
            (0..lower).fold(patient(Supervisor::new(Restarts::OneForAll)), |supervisor, number| {
                supervisor.child(busy(upper + number, &peers))
            })
        }
    };
    let root = (0..upper)
        .fold(patient(Supervisor::new(strategy)), |supervisor, number| supervisor.child(busy(number, &peers)))
        .child(ChildSpec::supervisor("below", below))
        .spawn();
    let below = root.supervisor("below").unwrap();
    let all: Vec<ActorRef<Work>> = (0..upper)
        .map(|number| root.actor_ref(&number.to_string()).unwrap())
        .chain((0..lower).map(|number| below.actor_ref(&(upper + number).to_string()).unwrap()))
        .collect();
    *peers.all.lock().unwrap() = all.clone();
    for (number, act) in acts {
        let _ = all[number % all.len()].try_tell(match act {
            Act::Ask(other) => Work::Ask(other),
            Act::Tell(other) => Work::Tell(other),
            Act::Fail => Work::Fail,
        });
    }
    root.stop();
    peers.all.lock().unwrap().clear();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: support::rounds(200) as u32, ..ProptestConfig::default() })]

    #[test]
    fn trees_end_although_children_ask_and_tell_each_other_without_deadline(
        strategy in prop_oneof![Just(Restarts::OneForOne), Just(Restarts::OneForAll), Just(Restarts::RestForOne)],
        upper in 1_usize..4,
        lower in 1_usize..4,
        acts in prop::collection::vec(act(), 0..60),
        workers in 1_usize..4,
    ) {
        within(|| {
            kahn_core::Runtime::builder().workers(workers).build().unwrap()
                .run(|| run(strategy, upper, lower, acts));
        });
    }
}
