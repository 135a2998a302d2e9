//! The test kit.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use kahn_actors::testing::{Inbox, Probe, Step, Stepped, check, reply};
use kahn_actors::{
    Actor, ActorRef, AskError, ChildSpec, Context, Down, ExitReason, Reply, Supervisor, TellError, spawn,
};
use support::everywhere;

/// What a failing expectation says.
fn said<T>(f: impl FnOnce() -> T) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).err().expect("it fails");
    payload
        .downcast_ref::<String>()
        .cloned()
        .or(payload.downcast_ref::<&str>().map(|text| text.to_string()))
        .unwrap()
}

/// Passes numbers on, some with a delay.
struct Relay {
    to: ActorRef<u32>,
    seen: Vec<&'static str>,
}

enum Message {
    Pass(u32),
    Later(Duration, u32),
    Every(Duration, u32),
    Idle(Duration, u32),
    Ask(Reply<u32>),
    Keep(Reply<u32>),
    Stash(u32),
    Unstash,
    Twice(u32),
    Panic,
    Fail,
}

impl Clone for Message {
    fn clone(&self) -> Message {
        match self {
            Message::Pass(number) => Message::Pass(*number),
            _ => unreachable!("only these are sent again and again"),
        }
    }
}

thread_local! {
    static KEPT: std::cell::RefCell<Vec<Reply<u32>>> = const { std::cell::RefCell::new(Vec::new()) };
}

impl Actor for Relay {
    type Message = Message;

    fn started(&mut self, _: &mut Context<Self>) -> Result<(), ExitReason> {
        self.seen.push("started");
        Ok(())
    }

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Pass(number) => self.to.tell(number)?,
            Message::Later(delay, number) => drop(
                ctx.send_after(delay, Message::Pass(number)) == ctx.send_after(Duration::MAX, Message::Panic),
            ),
            Message::Every(period, number) => drop(
                ctx.send_every(period, Message::Pass(number))
                    == ctx.send_after(Duration::MAX, Message::Panic),
            ),
            Message::Idle(time, number) => ctx.set_idle_timeout(time, Message::Pass(number)),
            Message::Ask(reply) => reply.send(self.seen.len() as u32).unwrap(),
            Message::Keep(reply) => KEPT.with_borrow_mut(|kept| kept.push(reply)),
            Message::Stash(number) => ctx.stash(Message::Pass(number)),
            Message::Unstash => ctx.unstash_all(),
            Message::Twice(number) => {
                let me = ctx.me();
                for _ in 0..2 {
                    if me.tell(Message::Pass(number)).is_err() {
                        panic!("it is alive");
                    }
                }
            }
            Message::Panic => panic!("as told"),
            Message::Fail => return Err(ExitReason::failed("as told")),
        }
        Ok(())
    }

    fn down(&mut self, down: Down, _: &mut Context<Self>) -> Result<(), ExitReason> {
        self.seen.push(if down.reason.is_normal() { "down normally" } else { "down" });
        Ok(())
    }

    fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) {
        let _ = self.to.try_tell(1000);
    }
}

fn stepped() -> (Stepped<Relay>, Inbox<u32>) {
    let inbox = Inbox::new();
    (Stepped::start(Relay { to: inbox.actor_ref(), seen: Vec::new() }), inbox)
}

const S: Duration = Duration::from_secs(1);

#[test]
fn stepped_actor_handles_messages_only_in_steps() {
    let (mut relay, mut inbox) = stepped();
    assert_eq!(relay.actor().unwrap().seen, ["started"]);
    assert_eq!(relay.step(), Step::Idle);
    assert_eq!(relay.deliver(Message::Pass(1)), Step::Handled);
    relay.actor_ref().tell(Message::Pass(2)).ok().unwrap();
    assert_eq!(inbox.take_all(), [1]);
    assert_eq!(relay.step(), Step::Handled);
    assert_eq!(relay.step(), Step::Idle);
    assert_eq!(inbox.take_all(), [2]);
    relay.deliver(Message::Twice(3));
    assert!(inbox.is_empty());
    assert_eq!(relay.run(), 2);
    assert_eq!(inbox.take_all(), [3, 3]);
    for number in [4, 5] {
        relay.deliver(Message::Stash(number));
    }
    assert_eq!(relay.step(), Step::Idle);
    relay.deliver(Message::Unstash);
    assert_eq!(relay.run(), 2);
    assert_eq!(inbox.take_all(), [4, 5]);
}

#[test]
fn stepped_time_passes_only_by_advance() {
    let (mut relay, mut inbox) = stepped();
    relay.deliver(Message::Later(3 * S, 3));
    relay.deliver(Message::Later(S, 1));
    relay.deliver(Message::Every(2 * S, 2));
    assert_eq!(relay.advance(S / 2), 0);
    assert_eq!(relay.advance(4 * S), 4);
    assert_eq!(inbox.take_all(), [1, 2, 3, 2]);
    // Exactly to the moment, and on.
    assert_eq!(relay.advance(S * 3 / 2), 1);
    assert_eq!(relay.advance(2 * S - Duration::from_nanos(1)), 0);
    assert_eq!(relay.advance(Duration::from_nanos(1)), 1);
    assert_eq!(inbox.take_all(), [2, 2]);

    let (mut relay, mut inbox) = stepped();
    relay.deliver(Message::Idle(2 * S, 9));
    relay.advance(S);
    relay.actor_ref().tell(Message::Pass(1)).ok().unwrap();
    relay.advance(2 * S - Duration::from_nanos(1));
    assert_eq!(inbox.take_all(), [1]);
    relay.advance(10 * S);
    assert_eq!(inbox.take_all(), [9]);
}

#[test]
fn replies_of_a_stepped_actor_can_be_inspected() {
    let (mut relay, _inbox) = stepped();
    assert_eq!(relay.ask(Message::Ask).take(), Some(Ok(1)));
    let mut kept = relay.ask(Message::Keep);
    assert_eq!(kept.take(), None);
    assert_eq!(kept.take(), None);
    KEPT.take().pop().unwrap().send(7).unwrap();
    assert_eq!(kept.take(), Some(Ok(7)));
    assert_eq!(kept.take(), Some(Err(AskError::NoReply)));
    let mut dropped = relay.ask(Message::Keep);
    KEPT.take();
    assert_eq!(dropped.take(), Some(Err(AskError::NoReply)));
    let late = relay.ask(Message::Keep);
    drop(late);
    assert_eq!(KEPT.take().pop().unwrap().send(8), Err(8));
    let (reply, answer) = reply::<Arc<()>>();
    let value = Arc::new(());
    reply.send(value.clone()).unwrap();
    drop(answer);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn stepped_actor_ends_like_any_actor() {
    let (mut relay, mut inbox) = stepped();
    let actor = relay.actor_ref();
    assert_eq!(relay.deliver(Message::Fail), Step::Ended);
    assert_eq!(relay.exit().unwrap().to_string(), "failed: as told");
    assert_eq!(inbox.take_all(), [1000], "it was stopped");
    assert!(relay.actor().is_none() && !actor.is_alive());
    assert_eq!(relay.step(), Step::Ended);
    assert_eq!(relay.deliver(Message::Pass(1)), Step::Ended);
    assert!(matches!(actor.tell(Message::Pass(1)), Err(TellError::Dead(_))));

    let (mut relay, _inbox) = stepped();
    assert_eq!(relay.ask::<u32>(|_| Message::Panic).take(), Some(Err(AskError::NoReply)));
    assert!(matches!(relay.exit(), Some(ExitReason::Panicked { message, .. }) if &**message == "as told"));

    let (mut relay, _inbox) = stepped();
    relay.actor_ref().tell(Message::Pass(1)).ok().unwrap();
    relay.actor_ref().stop();
    assert_eq!(relay.step(), Step::Ended, "a stop is first");
    assert!(relay.exit().unwrap().is_normal());

    let (mut relay, mut inbox) = stepped();
    relay.actor_ref().kill();
    assert_eq!(relay.step(), Step::Ended);
    assert!(matches!(relay.exit(), Some(ExitReason::Killed)) && inbox.take().is_none());

    let (relay, _inbox) = stepped();
    let actor = relay.actor_ref();
    drop(relay);
    assert!(matches!(actor.join(), ExitReason::Killed));
}

/// Also if it is the first actor of the program, and on whichever thread it is stepped.
#[test]
fn stepped_panic_has_its_place() {
    let place = || {
        let (mut relay, _to) = stepped();
        assert_eq!(relay.deliver(Message::Panic), Step::Ended);
        match relay.exit() {
            Some(ExitReason::Panicked { location: Some(location), .. }) => location.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert!(place().contains("testing.rs"));
    everywhere(|| assert!(place().contains("testing.rs")));
}

#[test]
fn stepped_actor_that_fails_to_start_has_ended() {
    struct Never;
    impl Actor for Never {
        type Message = ();
        fn started(&mut self, _: &mut Context<Self>) -> Result<(), ExitReason> {
            Err(ExitReason::failed("no"))
        }
        fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
            unreachable!("it has not started")
        }
    }
    let mut never = Stepped::start(Never);
    assert_eq!(never.exit().unwrap().to_string(), "failed: no");
    assert_eq!(never.step(), Step::Ended);
}

/// It ends with the step in which it says so, wherever that is, as an actor that runs ends with its message.
#[test]
fn stepped_actor_that_stops_itself_has_ended_after_the_step() {
    struct Stops {
        at_once: bool,
        to: ActorRef<&'static str>,
    }
    impl Actor for Stops {
        type Message = ();
        fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
            if self.at_once {
                ctx.stop();
            }
            Ok(())
        }
        fn handle(&mut self, (): (), ctx: &mut Context<Self>) -> Result<(), ExitReason> {
            ctx.stop();
            Ok(())
        }
        fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) {
            let _ = self.to.tell("stopped");
        }
    }
    for told in [false, true] {
        let mut log = Inbox::new();
        let mut stepped = Stepped::start(Stops { at_once: false, to: log.actor_ref() });
        let step = if told {
            stepped.actor_ref().tell(()).unwrap();
            stepped.step()
        } else {
            stepped.deliver(())
        };
        assert_eq!(step, Step::Ended);
        assert!(stepped.exit().unwrap().is_normal());
        assert_eq!(log.take_all(), ["stopped"]);
    }
    let mut log = Inbox::new();
    let stepped = Stepped::start(Stops { at_once: true, to: log.actor_ref() });
    assert!(stepped.exit().unwrap().is_normal());
    assert_eq!(log.take_all(), ["stopped"]);
}

#[test]
fn stepped_actor_is_told_of_monitored_ends() {
    let (mut one, _inbox) = stepped();
    let (two, _other) = stepped();
    let mut three = Inbox::<()>::new();
    one.monitor(&two.actor_ref());
    one.monitor(&three.actor_ref());
    assert_eq!(one.step(), Step::Idle);
    drop(two);
    three.end(ExitReason::Normal);
    assert_eq!(one.run(), 2);
    assert_eq!(one.actor().unwrap().seen, ["started", "down", "down normally"]);
    assert!(three.actor_ref().tell(()).is_err());
}

#[test]
fn inbox_is_full_at_its_capacity() {
    let mut inbox = Inbox::with_capacity(2);
    let actor = inbox.actor_ref();
    actor.tell(1).unwrap();
    actor.tell(2).unwrap();
    assert!(matches!(actor.tell(3), Err(TellError::Full(3))));
    assert_eq!((inbox.len(), inbox.take()), (2, Some(1)));
    actor.tell(4).unwrap();
    assert_eq!(inbox.take_all(), [2, 4]);
    drop(inbox);
    assert!(matches!(actor.tell(5), Err(TellError::Dead(5))));
}

#[test]
fn dropping_an_inbox_drops_its_messages_and_frees_its_memory() {
    let value = Arc::new(());
    for _ in 0..100 {
        let inbox = Inbox::new();
        inbox.actor_ref().tell(value.clone()).unwrap();
    }
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn probes_are_told_in_order_and_see_ends_apart() {
    everywhere(|| {
        let mut probe = Probe::new();
        let relay = spawn(Relay { to: probe.actor_ref(), seen: Vec::new() });
        probe.watch(&relay);
        for number in 1..=5 {
            relay.tell(Message::Pass(number)).ok().unwrap();
        }
        relay.tell(Message::Fail).ok().unwrap();
        assert_eq!(probe.expect_down(&relay).to_string(), "failed: as told");
        assert_eq!(probe.expect(), 1);
        probe.expect_eq(2);
        assert_eq!(probe.expect_matching(|number| *number > 3), 4);
        probe.expect_eq(5);
        probe.expect_eq(1000);
        probe.expect_none(Duration::from_millis(1));
        probe.watch(&relay);
        assert_eq!(probe.expect_down(&relay).to_string(), "failed: as told", "the dead are told of at once");
    });
}

#[test]
fn failed_expectation_names_the_message_that_came() {
    everywhere(|| {
        let mut probe = Probe::<u32>::new().patience(Duration::from_millis(2));
        let text = said(|| probe.expect());
        assert_eq!(text, "no u32 within 2ms: 0 other messages");
        let actor = probe.actor_ref();
        actor.tell(1).unwrap();
        probe = probe.patience(Duration::from_secs(60));
        assert_eq!(said(|| probe.expect_eq(2)), "expected 2, and was told 1");
        for number in [3, 4] {
            actor.tell(number).unwrap();
        }
        assert_eq!(
            said(|| probe.expect_none(Duration::MAX)),
            "a u32 came that was not expected: 1 other messages"
        );
        probe = probe.patience(Duration::from_millis(20));
        let text = said(|| probe.expect_matching(|number| *number == 7));
        assert_eq!(text, "no u32 that is wanted within 20ms, but 2 others: 0 other messages");
        let other = Probe::<()>::named("other");
        let text = said(|| probe.expect_down(&other.actor_ref()));
        assert!(text.starts_with("Address(other) has not ended within 20ms"), "{text}");
    });
}

struct Fragile;

impl Actor for Fragile {
    type Message = ();

    fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        panic!("fragile")
    }
}

#[test]
fn unobserved_panic_fails_the_test() {
    for _ in 0..20 {
        let text = said(|| {
            check(|| {
                let fragile = spawn(Fragile);
                fragile.tell(()).unwrap();
                support::until(|| !fragile.is_alive());
            })
        });
        assert!(text.starts_with("1 panics in actors were not observed:\n  actor #"), "{text}");
        assert!(
            text.contains(": panicked at actors/tests/testing.rs:") && text.ends_with(": fragile"),
            "{text}"
        );
    }
}

#[test]
fn observed_panic_does_not_fail_the_test() {
    for _ in 0..20 {
        assert_eq!(check(|| 7), 7);
        // By a join, before or after.
        check(|| {
            let fragile = spawn(Fragile);
            fragile.tell(()).unwrap();
            assert!(matches!(fragile.join(), ExitReason::Panicked { .. }));
        });
        // By a monitor, before or after.
        check(|| {
            let mut probe = Probe::<()>::new();
            let fragile = spawn(Fragile);
            fragile.tell(()).unwrap();
            probe.watch(&fragile);
            probe.expect_down(&fragile);
        });
        // By a supervisor.
        check(|| {
            let supervisor = Supervisor::default().child(ChildSpec::new("fragile", || Fragile)).spawn();
            supervisor.actor_ref::<()>("fragile").unwrap().tell(()).unwrap();
            support::until(|| supervisor.children()[0].restarts == 1);
        });
        // Other ends are no panics.
        check(|| spawn(Fragile).kill());
    }
}

#[test]
fn panic_of_the_test_takes_precedence() {
    let text = said(|| {
        check(|| {
            spawn(Fragile).tell(()).unwrap();
            panic!("the test");
        })
    });
    assert_eq!(text, "the test");
}

/// Ends itself at its second message.
struct Two(u32);

impl Actor for Two {
    type Message = ();

    fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        ctx.send_every(Duration::from_secs(1), ());
        Ok(())
    }

    fn handle(&mut self, (): (), ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.0 += 1;
        if self.0 == 2 {
            ctx.stop();
        }
        Ok(())
    }
}

#[test]
fn run_and_advance_count_the_step_that_ends_the_actor_once() {
    let mut two = Stepped::start(Two(0));
    assert_eq!(two.advance(Duration::from_secs(5)), 2);
    assert_eq!((two.advance(Duration::from_secs(5)), two.run()), (0, 0));
    let mut two = Stepped::start(Two(0));
    (0..3).for_each(|_| two.actor_ref().tell(()).unwrap());
    assert_eq!((two.run(), two.run()), (2, 0));
}

#[test]
fn inbox_has_room_for_one_message_at_least() {
    assert_eq!(said(|| Inbox::<u32>::with_capacity(0)), "mailbox: the capacity must be one at least");
    assert!(Inbox::with_capacity(1).actor_ref().tell(1).is_ok());
}

/// Asks and kills itself, and writes down what it is told.
struct Itself(Arc<std::sync::Mutex<Vec<String>>>);

enum Own {
    Ask,
    Answer(Reply<()>),
    Kill,
}

impl Actor for Itself {
    type Message = Own;

    fn handle(&mut self, message: Own, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Own::Ask => {
                let told = ctx.me().ask(Own::Answer);
                self.0.lock().unwrap().push(format!("{told:?}"));
            }
            Own::Answer(reply) => drop(reply.send(())),
            Own::Kill => {
                ctx.me().kill();
                self.0.lock().unwrap().push("returns".to_owned());
            }
        }
        Ok(())
    }

    fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) {
        self.0.lock().unwrap().push("stopped".to_owned());
    }
}

#[test]
fn stepped_actor_that_asks_or_kills_itself_is_told_and_ends_as_any_other() {
    everywhere(|| {
        let logs = <[Arc<std::sync::Mutex<Vec<String>>>; 3]>::default();
        let real = kahn_actors::Builder::new().name("itself").spawn(Itself(logs[0].clone()));
        assert!(real.tell(Own::Ask).is_ok() && real.tell(Own::Kill).is_ok());
        assert!(matches!(real.join(), ExitReason::Killed));
        let seen = logs.clone().map(|log| log.lock().unwrap().join(" "))[0].clone();
        assert!(seen.starts_with("Err(Deadlock") && seen.ends_with("returns"), "{seen}");
        let mut stepped = Stepped::named("itself", Itself(logs[1].clone()));
        assert_eq!(stepped.deliver(Own::Ask), Step::Handled);
        assert_eq!(stepped.deliver(Own::Kill), Step::Ended);
        assert!(matches!(stepped.exit(), Some(ExitReason::Killed)));
        assert_eq!(logs[1].lock().unwrap().len(), 2);
        assert_eq!(logs[1].lock().unwrap()[1], "returns");
        assert!(logs[1].lock().unwrap()[0].starts_with("Err(Deadlock"));
        // A killed actor handles no more messages.
        let mut stepped = Stepped::named("itself", Itself(logs[2].clone()));
        stepped.actor_ref().kill();
        assert_eq!(stepped.deliver(Own::Ask), Step::Ended);
        assert!(logs[2].lock().unwrap().is_empty());
    });
}
