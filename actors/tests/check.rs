//! Panics that end inside of `stopped` and of destructors fail a test that runs in `testing::check`.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use kahn_actors::testing::check;
use kahn_actors::{
    Actor, ActorRef, Builder, ChildSpec, Context, Event, ExitReason, Overflow, Supervisor, spawn,
};
use support::until;

/// Panics when it is dropped.
struct Bomb(&'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

#[derive(Default)]
struct Quiet {
    _value: Option<Bomb>,
    panics_in_stopped: bool,
}

enum Message {
    Stash(Bomb),
    Later(Bomb),
    Park,
    Ignore(#[expect(dead_code, reason = "for its destructor")] Bomb),
}

impl Actor for Quiet {
    type Message = Message;

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Stash(bomb) => ctx.stash(Message::Ignore(bomb)),
            Message::Later(bomb) => drop(ctx.send_after(Duration::MAX, Message::Ignore(bomb))),
            Message::Park => kahn_core::sleep(Duration::MAX),
            Message::Ignore(_) => {}
        }
        Ok(())
    }

    fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) {
        assert!(!self.panics_in_stopped, "in stopped");
    }
}

fn ends(actor: &ActorRef<Message>) {
    actor.stop();
    assert!(actor.join().is_normal());
}

fn handled(actor: &ActorRef<Message>, message: Message) {
    actor.tell(message).unwrap();
    until(|| actor.is_empty());
}

type Case = (&'static str, fn());

const CASES: &[Case] = &[
    ("in stopped", || ends(&spawn(Quiet { panics_in_stopped: true, ..Quiet::default() }))),
    ("value", || ends(&spawn(Quiet { _value: Some(Bomb("value")), ..Quiet::default() }))),
    ("stashed", || {
        let actor = spawn(Quiet::default());
        handled(&actor, Message::Stash(Bomb("stashed")));
        ends(&actor);
    }),
    ("of a timer", || {
        let actor = spawn(Quiet::default());
        handled(&actor, Message::Later(Bomb("of a timer")));
        ends(&actor);
    }),
    ("not handled", || {
        let actor = spawn(Quiet::default());
        actor.tell(Message::Park).unwrap();
        actor.tell(Message::Ignore(Bomb("not handled"))).unwrap();
        actor.kill();
        actor.join();
    }),
    ("in on_event", || {
        let supervisor = Supervisor::default()
            .child(ChildSpec::new("child", Quiet::default))
            .on_event(|event| assert!(matches!(event, Event::Stopped(..)), "in on_event"));
        supervisor.spawn().stop();
    }),
    ("refused", || {
        let supervisor = Supervisor::default().child(ChildSpec::new("child", Quiet::default)).spawn();
        let bomb = Bomb("refused");
        let refused = ChildSpec::thread("child", move || _ = &bomb);
        assert!(supervisor.start_child(refused).is_err());
        supervisor.stop();
    }),
    ("no room", || {
        let actor = Builder::new().mailbox(1).overflow(Overflow::DropOldest).spawn(Quiet::default());
        actor.tell(Message::Park).unwrap();
        until(|| actor.is_empty());
        (0..2).for_each(|_| _ = actor.tell(Message::Park));
        actor.tell(Message::Ignore(Bomb("no room"))).unwrap();
        actor.tell(Message::Park).unwrap();
        actor.kill();
        actor.join();
    }),
];

#[test]
fn panic_in_stopped_or_in_a_destructor_fails_the_test() {
    let mut wrong = Vec::new();
    for (text, f) in CASES {
        let said = match catch_unwind(AssertUnwindSafe(|| check(f))) {
            Ok(()) => "it passed".to_owned(),
            Err(payload) => *payload.downcast::<String>().unwrap(),
        };
        if !(said.starts_with("1 panics in actors were not observed:\n  actor #") && said.ends_with(text)) {
            wrong.push(format!("{text}: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A kill ends the wait of `stopped`, which is no panic.
#[test]
fn kill_in_stopped_does_not_fail_the_test() {
    struct Waits(Arc<AtomicBool>);
    impl Actor for Waits {
        type Message = ();
        fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
            Ok(())
        }
        fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) {
            self.0.store(true, SeqCst);
            kahn_core::sleep(Duration::MAX);
        }
    }
    check(|| {
        let begun = Arc::new(AtomicBool::new(false));
        let waits = spawn(Waits(begun.clone()));
        waits.stop();
        until(|| begun.load(SeqCst));
        waits.kill();
        waits.join();
    });
}
