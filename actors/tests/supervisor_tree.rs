//! Supervisors beyond OTP's statements: what a restart keeps, children that are not actors, trees, and their ends.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use kahn_actors::{
    Actor, AskError, Backoff, Builder, ChildError, ChildKind, ChildSpec, ChildState, Context, ExitReason,
    Mailbox, Reply, Restart, Shutdown, Strategy, Supervisor, SupervisorRef, TellError,
};
use kahn_channels::bounded;
use support::family::{Kid, Log, Order, fail, kid, order, patient, sync};
use support::{everywhere, until};

/// Adds up, and fails at zero.
struct Adder {
    sum: u32,
    lives: Arc<AtomicU32>,
}

enum Add {
    Number(u32),
    Sum(Reply<u32>),
}

impl Actor for Adder {
    type Message = Add;

    fn started(&mut self, _: &mut Context<Self>) -> Result<(), ExitReason> {
        self.lives.fetch_add(1, SeqCst);
        Ok(())
    }

    fn handle(&mut self, message: Add, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Add::Number(0) => panic!("zero is not a number to add"),
            Add::Number(number) => self.sum += number,
            Add::Sum(reply) => drop(reply.send(self.sum)),
        }
        Ok(())
    }
}

#[test]
fn restart_keeps_the_mailbox_and_the_message_that_killed_is_reported_and_not_handled_again() {
    everywhere(|| {
        let (log, lives) = (Log::default(), Arc::new(AtomicU32::new(0)));
        let make = {
            let lives = lives.clone();
            move || Adder { sum: 0, lives: lives.clone() }
        };
        let supervisor = patient(Supervisor::default())
            .child(ChildSpec::new("adder", make).backoff(Backoff::constant(Duration::from_millis(1))))
            .on_event(log.events())
            .spawn();
        let adder = supervisor.actor_ref::<Add>("adder").unwrap();
        for number in [1, 2, 0, 3, 0, 4, 5] {
            adder.tell(Add::Number(number)).unwrap();
        }
        assert_eq!(adder.ask(Add::Sum), Ok(9), "what came after the last zero");
        assert_eq!(lives.load(SeqCst), 3);
        let text = "adder has ended: panicked at actors/tests/supervisor_tree.rs";
        assert_eq!(log.count(text), 2);
        assert_eq!(log.count("zero is not a number to add"), 2);
        supervisor.stop();
        assert!(matches!(adder.tell(Add::Number(1)), Err(TellError::Dead(Add::Number(1)))));
    });
}

#[test]
fn question_that_kills_gets_no_reply_and_the_next_life_replies_to_the_next() {
    everywhere(|| {
        let log = Log::default();
        let supervisor = patient(Supervisor::default()).child(kid("a", &log)).spawn();
        let a = supervisor.actor_ref::<Order>("a").unwrap();
        for _ in 0..50 {
            let question = a.ask(|reply: Reply<()>| {
                Order::Call(Box::new(move |_| {
                    let _reply = reply;
                    panic!("as asked");
                }))
            });
            assert_eq!(question, Err(AskError::NoReply));
            assert_eq!(a.ask(Order::Sync), Ok(()));
        }
        supervisor.stop();
    });
}

#[test]
fn threads_are_children_too() {
    everywhere(|| {
        let log = Log::default();
        let (turns, rx) = bounded::<u32>(0);
        let lives = Arc::new(AtomicU32::new(0));
        let thread = {
            let (log, lives) = (log.clone(), lives.clone());
            move || {
                struct Gone(Log);
                impl Drop for Gone {
                    fn drop(&mut self) {
                        self.0.add("unwound");
                    }
                }
                let _gone = Gone(log.clone());
                let life = lives.fetch_add(1, SeqCst) + 1;
                match rx.recv() {
                    Ok(0) => panic!("zero in life {life}"),
                    Ok(1) => Err(ExitReason::failed("one")),
                    _ => Ok(()),
                }
            }
        };
        let supervisor = patient(Supervisor::default())
            .child(ChildSpec::thread("thread", thread).restart(Restart::Transient))
            .child(ChildSpec::thread("idler", || kahn_core::sleep(Duration::MAX)))
            .on_event(log.events())
            .spawn();
        assert_eq!(supervisor.children()[0].kind, ChildKind::Thread);
        turns.send(0).unwrap();
        turns.send(1).unwrap();
        until(|| lives.load(SeqCst) == 3);
        assert_eq!(log.count("zero in life 1"), 1);
        assert_eq!(log.count("thread has ended: failed: one"), 1);
        supervisor.terminate_child("thread").unwrap();
        assert_eq!(log.count("thread was stopped: shut down"), 1);
        assert_eq!(log.count("unwound"), 3);
        supervisor.restart_child("thread").unwrap();
        until(|| lives.load(SeqCst) == 4);
        turns.send(2).unwrap();
        log.wait("thread has ended: normal", 1);
        assert_eq!(supervisor.children()[0].state, ChildState::Stopped);
        supervisor.stop();
        assert_eq!(log.count("idler was stopped: shut down"), 1);
    });
}

#[test]
fn loops_are_children_too() {
    everywhere(|| {
        let log = Log::default();
        let spec = ChildSpec::spawn_loop("loop", |mailbox: &mut Mailbox<(u32, Reply<u32>)>| {
            loop {
                let (number, reply) = mailbox.recv()?;
                let _ = reply.send(100 / number);
            }
        });
        let supervisor = patient(Supervisor::default()).child(spec).on_event(log.events()).spawn();
        let divider = supervisor.actor_ref::<(u32, Reply<u32>)>("loop").unwrap();
        assert_eq!(divider.ask(|reply| (5, reply)), Ok(20));
        assert_eq!(divider.ask(|reply| (0, reply)), Err(AskError::NoReply));
        assert_eq!(divider.ask(|reply| (4, reply)), Ok(25));
        supervisor.stop();
        assert_eq!(log.count("loop was stopped"), 1);
    });
}

/// root: a, lower: (b, c), d
fn tree(log: &Log) -> SupervisorRef {
    let lower = {
        let log = log.clone();
        move || {
            patient(Supervisor::new(Strategy::OneForAll))
                .child(kid("b", &log))
                .child(kid("c", &log))
                .on_event(log.events())
        }
    };
    patient(Supervisor::default())
        .child(kid("a", log))
        .child(ChildSpec::supervisor("lower", lower))
        .child(kid("d", log))
        .on_event(log.events())
        .spawn()
}

fn kids(log: &Log) -> String {
    let log = log.take();
    let of = |entry: &String| entry.starts_with(['+', '-']).then(|| entry.clone() + " ");
    log.iter().filter_map(of).collect::<String>().trim_end().to_owned()
}

#[test]
fn tree_starts_and_stops_in_order() {
    everywhere(|| {
        let log = Log::default();
        let root = tree(&log);
        assert_eq!(kids(&log), "+a +b +c +d");
        let lower = root.supervisor("lower").unwrap();
        fail(&lower, &log, "b", ExitReason::failed("so"));
        sync(&lower, "c");
        assert_eq!(kids(&log), "-b -c +b +c");
        root.stop();
        assert_eq!(kids(&log), "-d -c -b -a");
        assert!(!lower.is_alive());
    });
}

#[test]
fn supervisor_that_is_killed_takes_its_children_along_and_is_restarted_with_new_ones() {
    everywhere(|| {
        let log = Log::default();
        let root = tree(&log);
        let lower = root.supervisor("lower").unwrap();
        let b = lower.actor_ref::<Order>("b").unwrap();
        log.take();
        lower.kill();
        assert!(matches!(b.join(), ExitReason::Killed));
        log.wait("+c", 1);
        sync(&root.supervisor("lower").unwrap(), "b");
        assert_eq!(lower, root.supervisor("lower").unwrap());
        assert_ne!(lower.actor_ref::<Order>("b").unwrap(), b, "another place, of another supervisor's life");
        root.stop();
        assert_eq!(kids(&log), "+b +c -d -c -b -a");
    });
}

#[test]
fn dropping_the_last_reference_ends_a_supervisor() {
    everywhere(|| {
        let log = Log::default();
        let root = tree(&log);
        let a = root.actor_ref::<Order>("a").unwrap();
        let address = root.address();
        drop(root);
        assert!(address.join().is_normal());
        assert!(!a.is_alive());
        assert_eq!(kids(&log), "+a +b +c +d -d -c -b -a");
    });
}

#[test]
fn references_are_typed() {
    everywhere(|| {
        let log = Log::default();
        let root = tree(&log);
        let wrong = root.actor_ref::<u32>("a").unwrap_err();
        let ChildError::WrongType { expected, .. } = &wrong else { panic!("{wrong}") };
        assert_eq!(expected, "an actor with messages of type u32");
        assert!(root.supervisor("a").is_err());
        assert!(matches!(root.actor_ref::<u32>("x"), Err(ChildError::NotFound)));
        root.stop();
        assert!(matches!(root.actor_ref::<Order>("a"), Err(ChildError::Ended)));
        assert!(root.children().is_empty());
    });
}

/// In OTP this hangs.
#[test]
fn child_that_asks_its_supervisor_during_its_start_or_stop_gets_deadlock() {
    struct Asker(Arc<std::sync::Mutex<Option<SupervisorRef>>>, Log);
    impl Actor for Asker {
        type Message = SupervisorRef;
        fn started(&mut self, _: &mut Context<Self>) -> Result<(), ExitReason> {
            let supervisor = self.0.lock().unwrap().clone();
            if let Some(supervisor) = supervisor {
                self.1.add(supervisor.actor_ref::<Order>("a").unwrap_err().to_string());
            }
            Ok(())
        }
        fn handle(&mut self, supervisor: SupervisorRef, _: &mut Context<Self>) -> Result<(), ExitReason> {
            supervisor.terminate_child("asker")?;
            Ok(())
        }
        fn stopped(&mut self, reason: &ExitReason, _: &mut Context<Self>) {
            let supervisor = self.0.lock().unwrap().clone();
            self.1.add(format!("{reason}, {}", supervisor.unwrap().restart_child("a").unwrap_err()));
        }
    }
    everywhere(|| {
        let (log, place) = (Log::default(), Arc::<std::sync::Mutex<_>>::default());
        let make = {
            let (log, place) = (log.clone(), place.clone());
            move || Asker(place.clone(), log.clone())
        };
        let supervisor = patient(Supervisor::default())
            .child(kid("a", &log))
            .child(ChildSpec::new("asker", make).shutdown(Shutdown::Infinity))
            .spawn();
        *place.lock().unwrap() = Some(supervisor.clone());
        supervisor.terminate_child("asker").unwrap();
        assert_eq!(log.count("shut down, the supervisor waits for the caller"), 1);
        supervisor.restart_child("asker").unwrap();
        assert_eq!(log.count("the supervisor waits for the caller: "), 2);
        // One that asks for its own end, and waits for that, is told so too, when its supervisor begins to wait for it.
        let asker = supervisor.actor_ref::<SupervisorRef>("asker").unwrap();
        asker.tell(supervisor.clone()).unwrap();
        let ExitReason::Failed(error) = asker.join() else { panic!("it has returned the error") };
        assert!(matches!(error.downcast_ref(), Some(ChildError::Deadlock(_))), "{error}");
        assert_eq!(log.count("the supervisor waits for the caller: "), 3);
        assert_eq!(supervisor.children()[1].state, ChildState::Stopped);
        place.lock().unwrap().take();
        supervisor.stop();
    });
}

/// The answer has left when its supervisor turns to the next failure, but the child has not run since.
#[test]
fn child_that_has_its_reply_is_stopped_and_not_killed() {
    struct Slow(Log);
    impl Actor for Slow {
        type Message = ();
        fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
            self.0.add("slow begins");
            until(|| self.0.count("~b") == 1);
            // Its supervisor is told after that.
            kahn_core::sleep(Duration::from_millis(1));
            // It ends at once, so that its supervisor need not wait for that, and the asker has no time to run.
            ctx.stop();
            Ok(())
        }
        fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
            Ok(())
        }
    }
    everywhere(|| {
        for _ in 0..10 {
            let log = Log::default();
            let supervisor = patient(Supervisor::new(Strategy::OneForAll))
                .child(kid("a", &log))
                .child(kid("b", &log))
                .on_event(log.events())
                .spawn();
            let b = supervisor.actor_ref::<Order>("b").unwrap();
            let (asked, slow) = (supervisor.clone(), log.clone());
            let ask = move |_: &mut Context<Kid>| {
                let spec = ChildSpec::new("slow", {
                    let slow = slow.clone();
                    move || Slow(slow.clone())
                });
                let spec = spec.restart(Restart::Temporary);
                slow.add(format!("a is answered: {:?}", asked.start_child(spec)));
            };
            order(&supervisor, "a", Order::Call(Box::new(ask)));
            // Its supervisor has taken the question: else it would hear of the failure first.
            log.wait("slow begins", 1);
            assert!(b.tell(Order::Panic).is_ok());
            log.wait("+b", 2);
            assert_eq!(log.count("did not stop as it should"), 0, "{:?}", log.take());
            assert_eq!(log.count("a is answered: Ok(())"), 1, "{:?}", log.take());
            assert_eq!(log.count("-a"), 1, "{:?}", log.take());
            supervisor.stop();
        }
    });
}

#[test]
fn child_may_stop_its_whole_tree() {
    everywhere(|| {
        let log = Log::default();
        let root = tree(&log);
        let lower = root.supervisor("lower").unwrap();
        let stops = root.clone();
        order(&lower, "b", Order::Call(Box::new(move |_| stops.stop())));
        assert!(matches!(root.join(), ExitReason::Shutdown));
        assert!(!lower.is_alive());
    });
}

/// Children fail while the tree is taken down, at any moment.
#[test]
fn tree_ends_whatever_its_children_do_meanwhile() {
    everywhere(|| {
        for round in 0..support::rounds(30) {
            let log = Log::default();
            let root = tree(&log);
            let kids: Vec<_> = ["b", "c"]
                .iter()
                .map(|id| root.supervisor("lower").unwrap().actor_ref::<Order>(id).unwrap())
                .chain(["a", "d"].iter().map(|id| root.actor_ref::<Order>(id).unwrap()))
                .collect();
            let killers = kids.clone();
            let kills = kahn_core::spawn(move || {
                for kid in &killers {
                    let _ = kid.try_tell(Order::Panic);
                    kid.kill();
                }
            });
            (0..round % 7).for_each(|_| kahn_core::yield_now());
            root.stop();
            kills.join().unwrap();
            assert!(kids.iter().all(|kid| !kid.is_alive()));
        }
    });
}

/// A runtime that is shut down ends its trees, and hangs in none.
#[test]
fn runtime_that_ends_takes_its_trees_along() {
    for _ in 0..20 {
        let log = Log::default();
        support::within(|| {
            let runtime = kahn_core::Runtime::builder().workers(2).build().unwrap();
            let root = runtime.run(|| {
                let root = tree(&log);
                order(&root, "a", Order::Park);
                fail(&root, &log, "d", ExitReason::failed("so"));
                root
            });
            runtime.shutdown(Duration::from_secs(60)).unwrap();
            assert!(!root.is_alive());
        });
        let log = log.take();
        let drops = log.iter().filter(|entry| entry.starts_with('~')).count();
        assert_eq!(drops, 5, "{log:?}");
    }
}

#[test]
fn start_that_waits_keeps_its_supervisor_and_a_kill_ends_both() {
    struct Never;
    impl Actor for Never {
        type Message = ();
        fn started(&mut self, _: &mut Context<Self>) -> Result<(), ExitReason> {
            kahn_core::sleep(Duration::MAX);
            Ok(())
        }
        fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
            Ok(())
        }
    }
    everywhere(|| {
        let (log, begins) = (Log::default(), Arc::new(AtomicBool::new(false)));
        let supervisor = Supervisor::default().child(kid("a", &log)).spawn();
        let starts = kahn_core::spawn({
            let (supervisor, begins) = (supervisor.clone(), begins.clone());
            move || {
                supervisor.start_child(ChildSpec::new("never", move || {
                    begins.store(true, SeqCst);
                    Never
                }))
            }
        });
        until(|| begins.load(SeqCst));
        supervisor.kill();
        assert!(matches!(supervisor.join(), ExitReason::Killed));
        assert!(matches!(starts.join().unwrap(), Err(ChildError::Ended)));
        until(|| log.count("~a") == 1);
    });
}

#[test]
fn supervisor_can_be_linked_to_the_actor_that_starts_it() {
    everywhere(|| {
        let log = Log::default();
        let mother = Builder::new().spawn_loop({
            let mut supervisor = Some(patient(Supervisor::default()).child(kid("a", &log)));
            move |mailbox: &mut Mailbox<Reply<SupervisorRef>>| {
                let linked = supervisor.take().unwrap().spawn();
                mailbox.link(&linked);
                let _ = mailbox.recv()?.send(linked);
                mailbox.recv().map(drop).map_err(ExitReason::from)
            }
        });
        let linked = mother.ask(|reply| reply).unwrap();
        sync(&linked, "a");
        linked.kill();
        assert!(matches!(mother.join(), ExitReason::LinkDied(_)));
    });
}

fn assert_send<T: Send>() {}

#[test]
fn supervisor_may_be_built_on_one_thread_and_started_on_another() {
    assert_send::<Supervisor>();
    assert_send::<ChildSpec>();
    assert_send::<SupervisorRef>();
    let _: fn() -> Kid = || unreachable!("only its type is used");
}
