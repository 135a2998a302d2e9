//! Timers, idle time, and stashed messages.

mod support;

use std::time::{Duration, Instant};

use kahn_actors::{
    Actor, ActorRef, Builder, ChildSpec, Context, ExitReason, Mailbox, MailboxError, Reply, Supervisor,
    TimerId, spawn,
};
use kahn_channels::{Sender, bounded};
use support::{everywhere, until};

const SHORT: Duration = Duration::from_millis(2);

#[derive(Default)]
struct Clock {
    seen: Vec<&'static str>,
}

#[derive(Clone)]
enum Tick {
    After(Duration, &'static str),
    /// All of them in one moment.
    All([(Duration, &'static str); 4]),
    Every(Duration, &'static str),
    Name(&'static str),
    Cancel(TimerId),
    /// One that is set and cancelled at once.
    Cancelled(Duration, &'static str),
}

enum Message {
    Do(Tick, Option<Reply<Option<TimerId>>>),
    Seen(Reply<Vec<&'static str>>),
}

impl Clone for Message {
    fn clone(&self) -> Message {
        match self {
            Message::Do(tick, _) => Message::Do(tick.clone(), None),
            Message::Seen(_) => unreachable!("no timer sends this"),
        }
    }
}

fn name(name: &'static str) -> Message {
    Message::Do(Tick::Name(name), None)
}

impl Actor for Clock {
    type Message = Message;

    fn handle(&mut self, message: Message, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        let (tick, reply) = match message {
            Message::Do(tick, reply) => (tick, reply),
            Message::Seen(reply) => {
                reply.send(self.seen.clone()).unwrap();
                return Ok(());
            }
        };
        let mut id = None;
        match tick {
            Tick::After(delay, text) => id = Some(ctx.send_after(delay, name(text))),
            Tick::All(all) => {
                for (delay, text) in all {
                    ctx.send_after(delay, name(text));
                }
            }
            Tick::Every(period, text) => id = Some(ctx.send_every(period, name(text))),
            Tick::Name(text) => self.seen.push(text),
            Tick::Cancelled(delay, text) => {
                let timer = ctx.send_after(delay, name(text));
                assert!(ctx.cancel_timer(timer) && !ctx.cancel_timer(timer));
            }
            Tick::Cancel(timer) => drop(ctx.cancel_timer(timer)),
        }
        reply.into_iter().for_each(|reply| reply.send(id).unwrap());
        Ok(())
    }
}

fn order(clock: &ActorRef<Message>, tick: Tick) -> Option<TimerId> {
    clock.ask(|reply| Message::Do(tick, Some(reply))).unwrap()
}

fn seen(clock: &ActorRef<Message>) -> Vec<&'static str> {
    clock.ask(Message::Seen).unwrap()
}

#[test]
fn messages_come_in_the_order_of_their_time_and_never_early() {
    everywhere(|| {
        let clock = spawn(Clock::default());
        let start = Instant::now();
        let all = [(3 * SHORT, "last"), (SHORT, "first"), (2 * SHORT, "second"), (Duration::MAX, "never")];
        order(&clock, Tick::All(all));
        until(|| seen(&clock).len() == 3);
        assert!(start.elapsed() >= 3 * SHORT);
        assert_eq!(seen(&clock), ["first", "second", "last"]);
    });
}

#[test]
fn periodic_timer_runs_until_it_is_cancelled() {
    everywhere(|| {
        let clock = spawn(Clock::default());
        let start = Instant::now();
        let beat = order(&clock, Tick::Every(SHORT, "beat")).unwrap();
        until(|| seen(&clock).len() >= 5);
        assert!(start.elapsed() >= 5 * SHORT);
        order(&clock, Tick::Cancel(beat));
        let count = seen(&clock).len();
        order(&clock, Tick::After(3 * SHORT, "after"));
        until(|| seen(&clock).last() == Some(&"after"));
        assert_eq!(seen(&clock).len(), count + 1, "a beat after its cancel");
    });
}

#[test]
fn timer_that_is_cancelled_sends_nothing() {
    everywhere(|| {
        let clock = spawn(Clock::default());
        order(&clock, Tick::Cancelled(SHORT, "cancelled"));
        order(&clock, Tick::After(3 * SHORT, "other"));
        until(|| seen(&clock) == ["other"]);
    });
}

#[test]
fn timers_end_with_their_actor() {
    everywhere(|| {
        for kill in [true, false] {
            let clock = spawn(Clock::default());
            order(&clock, Tick::Every(SHORT, "beat"));
            order(&clock, Tick::After(Duration::from_secs(1000), "late"));
            until(|| !seen(&clock).is_empty());
            if kill {
                clock.kill()
            } else {
                clock.stop()
            }
            clock.join();
        }
    });
}

/// Two beats of which neither is handled in time: no more of them wait than there are, and a cancel takes all of them
/// back.
#[test]
fn periodic_timer_skips_while_its_message_is_not_handled() {
    struct Beats(Vec<TimerId>, Vec<u32>, Sender<Vec<u32>>);
    impl Actor for Beats {
        type Message = u32;
        fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
            self.0 = (1..=2).map(|n| ctx.send_every(SHORT, n)).collect();
            Ok(())
        }
        fn handle(&mut self, n: u32, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
            self.1.push(n);
            kahn_core::sleep(2 * SHORT);
            if self.1.len() == 6 {
                self.0.drain(..).for_each(|timer| assert!(ctx.cancel_timer(timer)));
                ctx.send_after(2 * SHORT, 3);
            }
            if n == 3 {
                self.2.send(self.1.clone())?;
            }
            Ok(())
        }
    }
    everywhere(|| {
        let (news, told) = bounded(1);
        let _beats = spawn(Beats(Vec::new(), Vec::new(), news));
        let seen = told.recv().unwrap();
        assert_eq!(seen.len(), 7, "a beat after its cancel: {seen:?}");
        assert_eq!(
            (seen[..6].iter().filter(|n| **n == 1).count(), seen[6]),
            (3, 3),
            "they take turns: {seen:?}"
        );
    });
}

/// Where there is no worker to keep the time, they are set by the actor's next turn.
#[test]
fn timers_set_inside_blocking_come_and_so_do_later_ones() {
    struct Sets(Sender<u32>);
    impl Actor for Sets {
        type Message = u32;
        fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
            kahn_core::blocking(|| ctx.send_after(SHORT, 1));
            ctx.send_after(2 * SHORT, 2);
            Ok(())
        }
        fn handle(&mut self, n: u32, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
            self.0.send(n)?;
            match n {
                2 => kahn_core::blocking(|| _ = ctx.send_after(SHORT, 3)),
                3 => kahn_core::blocking(|| ctx.set_idle_timeout(SHORT, 4)),
                _ => {}
            }
            Ok(())
        }
    }
    everywhere(|| {
        let (news, told) = bounded(9);
        let _actor = spawn(Sets(news));
        assert_eq!(told.iter().take(4).collect::<Vec<_>>(), [1, 2, 3, 4]);
        // The only message so far, taken asleep.
        let (news, told) = bounded(9);
        let actor = spawn(First(news));
        actor.tell(0).unwrap();
        assert_eq!(told.recv(), Ok(1));
        // A loop that waits there.
        let waits = Builder::new().spawn_loop(|mailbox: &mut Mailbox<u32>| {
            kahn_core::blocking(|| {
                assert!(matches!(mailbox.recv_timeout(Duration::from_nanos(1)), Err(MailboxError::Timeout)));
                mailbox.send_after(SHORT, 5);
                mailbox.send_every(2 * SHORT, 6);
                assert_eq!(mailbox.recv()?, 5);
                assert_eq!(mailbox.recv()?, 6);
                assert_eq!(mailbox.recv()?, 6);
                Ok(())
            })
        });
        assert!(waits.join().is_normal());
    });
    struct First(Sender<u32>);
    impl Actor for First {
        type Message = u32;
        fn handle(&mut self, n: u32, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
            match n {
                0 => kahn_core::blocking(|| _ = ctx.send_after(SHORT, 1)),
                n => self.0.send(n)?,
            }
            Ok(())
        }
    }
}

#[test]
fn many_timers_are_set_and_cancelled_and_come() {
    const MANY: usize = 30_000;
    struct Many(usize, Sender<()>);
    impl Actor for Many {
        type Message = bool;
        fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
            let late: Vec<_> =
                (0..MANY).map(|i| ctx.send_after(Duration::from_micros((MANY - i) as u64), true)).collect();
            let never: Vec<_> = (0..MANY).map(|_| ctx.send_after(Duration::from_secs(1000), false)).collect();
            for timer in never.into_iter().chain(late.into_iter().step_by(2)) {
                assert!(ctx.cancel_timer(timer));
            }
            Ok(())
        }
        fn handle(&mut self, comes: bool, _: &mut Context<Self>) -> Result<(), ExitReason> {
            assert!(comes, "it was cancelled");
            self.0 += 1;
            if self.0 == MANY / 2 {
                self.1.send(())?;
            }
            Ok(())
        }
    }
    let start = Instant::now();
    everywhere(|| {
        let (news, told) = bounded(1);
        let _actor = spawn(Many(0, news));
        told.recv().unwrap();
    });
    assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
}

/// Tells how long it was since the last message, when it is told that it is idle.
struct Idler {
    last: Instant,
    news: Sender<Duration>,
}

#[derive(Clone, Copy)]
enum Idle {
    Set(Duration),
    SetAndClear(Duration),
    Touch,
    Now,
}

impl Actor for Idler {
    type Message = Idle;

    fn handle(&mut self, message: Idle, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Idle::Set(idle) => ctx.set_idle_timeout(idle, Idle::Now),
            Idle::SetAndClear(idle) => {
                ctx.set_idle_timeout(idle, Idle::Now);
                ctx.clear_idle_timeout();
            }
            Idle::Touch => {}
            Idle::Now => self.news.send(self.last.elapsed())?,
        }
        self.last = Instant::now();
        Ok(())
    }
}

#[test]
fn idle_time_is_told_once_when_no_message_has_come_for_as_long() {
    everywhere(|| {
        let (news, told) = bounded(10);
        let idler = spawn(Idler { last: Instant::now(), news });
        idler.tell(Idle::Set(4 * SHORT)).unwrap();
        for _ in 0..20 {
            idler.tell(Idle::Touch).unwrap();
            kahn_core::sleep(SHORT / 2);
        }
        // The clock is read a moment after the message has come.
        assert!(told.recv().unwrap() >= 3 * SHORT, "told while it was busy");
        idler.tell(Idle::SetAndClear(SHORT)).unwrap();
        idler.tell(Idle::Set(10 * SHORT)).unwrap();
        assert!(told.recv().unwrap() >= 9 * SHORT, "what was taken back was told");
        assert!(told.is_empty());
    });
}

/// Puts all aside until it is opened.
struct Gate {
    open: bool,
    seen: Vec<u32>,
}

enum Pass {
    Number(u32),
    Open,
    Seen(Reply<Vec<u32>>),
}

impl Actor for Gate {
    type Message = Pass;

    fn handle(&mut self, message: Pass, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Pass::Open => {
                self.open = true;
                ctx.unstash_all();
            }
            Pass::Seen(reply) => drop(reply.send(self.seen.clone())),
            message if !self.open => ctx.stash(message),
            Pass::Number(n) => self.seen.push(n),
        }
        Ok(())
    }
}

#[test]
fn stashed_messages_are_handled_before_later_ones() {
    everywhere(|| {
        let gate = spawn(Gate { open: false, seen: Vec::new() });
        let tell = |message| assert!(gate.tell(message).is_ok());
        (0..5).for_each(|n| tell(Pass::Number(n)));
        tell(Pass::Open);
        tell(Pass::Number(5));
        assert_eq!(gate.ask(Pass::Seen).unwrap(), [0, 1, 2, 3, 4, 5]);
    });
}

#[test]
fn stash_holds_as_many_messages_as_the_mailbox() {
    everywhere(|| {
        let gate = Builder::new().mailbox(3).spawn(Gate { open: false, seen: Vec::new() });
        (0..4).for_each(|n| assert!(gate.tell(Pass::Number(n)).is_ok()));
        match gate.join() {
            ExitReason::Panicked { message, .. } => assert!(message.contains("3 messages"), "{message}"),
            other => panic!("{other}"),
        }
    });
}

/// The timer's timer must stand in the actor's own runtime: the other one ends first, and the next runtime gets its
/// workers' records.
#[test]
fn timers_set_inside_another_runtime_fire_after_that_runtime_has_ended() {
    for workers in [1, 2] {
        for _ in 0..20 {
            let own = kahn_core::Runtime::builder().workers(workers).build().unwrap();
            let beats = own.run(move || {
                let actor = Builder::new().spawn_loop(|mailbox: &mut Mailbox<&str>| {
                    let (far, soon) = kahn_core::blocking(|| {
                        let other = kahn_core::Runtime::builder().workers(1).build().unwrap();
                        other.run(|| {
                            let far = mailbox.send_after(Duration::from_secs(3600), "far");
                            (far, mailbox.send_after(Duration::from_millis(5), "soon"))
                        })
                    });
                    // The records of the runtime above serve this one.
                    let next =
                        kahn_core::blocking(|| kahn_core::Runtime::builder().workers(1).build().unwrap());
                    let sleeper = next.spawn(|| kahn_core::sleep(Duration::from_millis(1)));
                    assert_eq!(mailbox.recv().unwrap(), "soon");
                    assert!(!mailbox.cancel_timer(soon), "it has fired");
                    mailbox.send_after(SHORT, "again");
                    assert_eq!(mailbox.recv().unwrap(), "again");
                    assert!(mailbox.cancel_timer(far));
                    sleeper.join().unwrap();
                    kahn_core::blocking(|| drop(next));
                    Ok(())
                });
                actor.join()
            });
            assert!(beats.is_normal(), "{beats}");
        }
    }
}

/// The OS thread that sets the timer has to wake the worker that is to ring it, which may be asleep.
#[test]
fn timers_set_inside_blocking_fire_while_the_actor_waits_there() {
    everywhere(|| {
        let actor = Builder::new().spawn_loop(|mailbox: &mut Mailbox<&str>| {
            kahn_core::blocking(|| {
                mailbox.send_after(SHORT, "soon");
                assert_eq!(mailbox.recv().unwrap(), "soon");
            });
            Ok(())
        });
        assert!(actor.join().is_normal());
    });
}

/// What no timer could clone.
struct Beat(u32);

#[test]
fn send_every_with_makes_each_message_when_it_is_handled() {
    everywhere(|| {
        let actor = Builder::new().spawn_loop(|mailbox: &mut Mailbox<Beat>| {
            let mut count = 0;
            let beat = mailbox.send_every_with(SHORT, move || {
                count += 1;
                Beat(count)
            });
            for n in 1..4 {
                assert_eq!(mailbox.recv()?.0, n);
            }
            assert!(mailbox.cancel_timer(beat));
            assert!(matches!(mailbox.recv_timeout(3 * SHORT), Err(MailboxError::Timeout)));
            Ok(())
        });
        let reason = actor.join();
        assert!(reason.is_normal(), "{reason}");
    });
}

/// Refuses what it cannot put aside.
struct Refuses;

impl Actor for Refuses {
    type Message = Option<Reply<u32>>;

    fn handle(&mut self, message: Option<Reply<u32>>, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Some(reply) => {
                if let Err(full) = ctx.try_stash(Some(reply)) {
                    let reply = full.into_inner().expect("it was put in");
                    let _ = reply.send(0);
                }
            }
            None => ctx.stop(),
        }
        Ok(())
    }
}

#[test]
fn try_stash_returns_the_message_when_the_stash_is_full() {
    everywhere(|| {
        let actor = Builder::new().mailbox(2).spawn(Refuses);
        let mut kept: Vec<_> = (0..2).map(|_| kahn_actors::testing::reply::<u32>()).collect();
        let answers: Vec<_> =
            kept.drain(..).map(|(reply, answer)| (actor.tell(Some(reply)).unwrap(), answer)).collect();
        assert_eq!(actor.ask(Some), Ok(0), "the third is refused, and the actor lives on");
        assert!(actor.is_alive());
        actor.tell(None).unwrap();
        assert!(actor.join().is_normal());
        drop(answers);
    });
}

#[test]
fn timer_id_of_another_life_or_actor_cancels_nothing() {
    everywhere(|| {
        let (tx, ids) = bounded::<TimerId>(10);
        let (tx_fired, fired) = bounded(1);
        let mut old = None;
        let child = ChildSpec::spawn_loop("child", move |mailbox: &mut Mailbox<u32>| {
            let timer = mailbox.send_after(SHORT, 7);
            tx.send(timer).unwrap();
            match old.replace(timer) {
                None => Err(ExitReason::failed("the first life is over")),
                Some(old) => {
                    assert!(!mailbox.cancel_timer(old));
                    tx_fired.send(mailbox.recv()?).unwrap();
                    mailbox.recv()?;
                    Ok(())
                }
            }
        });
        let supervisor = Supervisor::default().child(child).spawn();
        assert_eq!(fired.recv(), Ok(7));
        let [first, second] = [ids.recv().unwrap(), ids.recv().unwrap()];
        assert!(first < second);
        let other = Builder::new().spawn_loop(move |mailbox: &mut Mailbox<u32>| {
            let own = mailbox.send_after(Duration::MAX, 1);
            assert!(!mailbox.cancel_timer(first) && !mailbox.cancel_timer(second));
            assert!(mailbox.cancel_timer(own));
            Ok(())
        });
        let reason = other.join();
        assert!(reason.is_normal(), "{reason}");
        supervisor.stop();
    });
}
