//! Models of programs with errors. Each must fail, with a report that names the error. `ci/loom.sh` runs them.
#![cfg(kahn_loom)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use kahn::actor::{Actor, ActorRef, AskError, Context, ExitReason, Reply};
use kahn::channel::{Sender, bounded, select};
use kahn::model::Builder;
use kahn::sync::{Arc, Mutex};
use kahn::thread;

/// Runs a model that must fail, and returns its report.
fn failure(settings: &Builder, program: impl Fn() + Send + Sync + 'static) -> String {
    let result = catch_unwind(AssertUnwindSafe(|| settings.check(program)));
    let payload = result.expect_err("the model has passed");
    *payload.downcast::<String>().expect("a report")
}

#[track_caller]
fn assert_reports(report: &str, parts: &[&str]) {
    for part in parts {
        assert!(report.contains(part), "the report does not contain {part:?}:\n{report}");
    }
}

fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.into())
}

#[test]
fn deadlock_by_lock_order_is_found() {
    let report = failure(&Builder::new(), || {
        let (a, b) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(())));
        let other = named("other").spawn({
            let (a, b) = (Arc::clone(&a), Arc::clone(&b));
            move || {
                let _b = b.lock().unwrap();
                let _a = a.lock().unwrap();
            }
        });
        let first = a.lock().unwrap();
        drop(b.lock().unwrap());
        drop(first);
        other.unwrap().join().unwrap();
    });
    assert_reports(&report, &["deadlock: all green threads wait", "\nmain ", "\nother ", "lock", file!()]);
    assert_reports(&report, &["LOOM_CHECKPOINT_FILE", "This was execution"]);
}

#[test]
fn lost_update_is_found() {
    let report = failure(&Builder::new(), || {
        let sum = Arc::new(Mutex::new(0));
        let add = |sum: &Mutex<i32>, n| {
            // The lock is released in between.
            let before = *sum.lock().unwrap();
            *sum.lock().unwrap() = before + n;
        };
        let other = kahn::spawn({
            let sum = Arc::clone(&sum);
            move || add(&sum, 1)
        });
        add(&sum, 2);
        other.join().unwrap();
        assert_eq!(*sum.lock().unwrap(), 3, "an update is lost");
    });
    assert_reports(&report, &["the main green thread panicked, at", file!(), "an update is lost"]);
}

#[test]
fn select_race_is_found() {
    let report = failure(&Builder::new(), || {
        let (tx, work) = bounded(1);
        let (quit, quits) = bounded::<()>(1);
        tx.send(()).unwrap();
        quit.send(()).unwrap();
        let worker = kahn::spawn(move || {
            let mut done = 0;
            loop {
                select! {
                    recv(work) -> _ => done += 1,
                    recv(quits) -> _ => return done,
                }
                if done == 1 {
                    return done;
                }
            }
        });
        assert_eq!(worker.join().unwrap(), 1, "work is dropped");
    });
    assert_reports(&report, &["work is dropped", "KAHN_MODEL_CHOICES='0.0#0=1'"]);
}

/// Asks the other one, when it is told to.
struct Peer;

enum Message {
    Ask(ActorRef<Message>, Sender<Result<u32, AskError>>),
    Value(Reply<u32>),
}

impl Actor for Peer {
    type Message = Message;

    fn handle(&mut self, message: Message, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            Message::Ask(other, results) => _ = results.send(other.ask(Message::Value)),
            Message::Value(reply) => drop(reply.send(1)),
        }
        Ok(())
    }
}

#[test]
fn ask_cycle_is_found() {
    let report = failure(&Builder::new(), || {
        let (a, b) = (kahn::actor::spawn(Peer), kahn::actor::spawn(Peer));
        let (tx, results) = bounded(2);
        a.tell(Message::Ask(b.clone(), tx.clone())).unwrap();
        b.tell(Message::Ask(a, tx)).unwrap();
        for result in results.iter().take(2) {
            result.expect("each asks the other");
        }
    });
    assert_reports(&report, &["the main green thread panicked", "each asks the other: Deadlock"]);
}

#[test]
fn report_names_what_each_green_thread_waits_for() {
    let report = failure(&Builder::new(), || {
        let (_tx, rx) = bounded::<()>(1);
        let receiver = named("receiver").spawn(move || rx.recv()).unwrap();
        let joiner = named("joiner").spawn(move || drop(receiver.join()));
        kahn::sleep(std::time::Duration::from_secs(1));
        joiner.unwrap().join().unwrap();
    });
    let line = |name: &str| report.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    assert!(line("receiver ").contains("receive "), "{report}");
    assert!(line("joiner ").contains("join ") && line("joiner ").contains(" receiver "), "{report}");
    assert!(line("main ").contains(" joiner "), "{report}");
}

#[test]
fn panic_that_no_thread_joins_is_found() {
    let report = failure(&Builder::new(), || {
        let handle = named("fails").spawn(|| panic!("unseen")).unwrap();
        while !handle.is_finished() {
            kahn::yield_now();
        }
    });
    assert_reports(&report, &["a panic that no thread has joined: fails, at", file!(), "unseen"]);
}

#[test]
fn too_many_green_threads_are_reported() {
    let report = failure(&Builder::new(), || {
        let handles: Vec<_> = (0..8).map(|_| kahn::spawn(|| ())).collect();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
    });
    assert_reports(&report, &["more green threads, tasks and actors than 5", "max_threads"]);
}

#[test]
fn endless_loop_is_reported() {
    let mut settings = Builder::new();
    settings.max_branches = 300;
    let report = failure(&settings, || {
        let lock = Mutex::new(());
        loop {
            drop(lock.lock().unwrap());
        }
    });
    assert_reports(&report, &["max_branches", "main"]);
}

#[test]
fn green_threads_run_only_in_a_model() {
    let refused = catch_unwind(|| drop(kahn::spawn(|| ()))).unwrap_err();
    assert!(refused.downcast::<String>().is_ok_and(|text| text.contains("only inside `kahn::model`")));
    let error = kahn::Runtime::builder().build().unwrap_err();
    assert!(error.to_string().contains("only inside `kahn::model`"));
}

#[test]
fn failure_is_repeated_from_a_checkpoint() {
    let program = || {
        let sum = Arc::new(Mutex::new(0));
        let other = kahn::spawn({
            let sum = Arc::clone(&sum);
            move || *sum.lock().unwrap() += 1
        });
        *sum.lock().unwrap() *= 2;
        other.join().unwrap();
        assert_eq!(*sum.lock().unwrap(), 1);
    };
    let report = failure(&Builder::new(), program);
    let (_, interval) = report.split_once("LOOM_CHECKPOINT_INTERVAL=").unwrap();
    let interval = interval.split_whitespace().next().unwrap();
    let file = std::env::temp_dir().join(format!("kahn-model-{}.json", std::process::id()));
    let mut settings = Builder::new();
    settings.checkpoint_file = Some(file.clone());
    settings.checkpoint_interval = interval.parse().unwrap();
    assert!(settings.checkpoint_interval > 1);
    assert_reports(&failure(&settings, program), &[&format!("This was execution {interval},")]);
    assert_reports(&failure(&settings, program), &["This was execution 1,"]);
    std::fs::remove_file(file).unwrap();
}
