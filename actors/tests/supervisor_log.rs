//! With the feature `tracing`, everything that a supervisor reports is logged once, with the supervisor's name.
//! `ci/test.sh` runs this test.
#![cfg(feature = "tracing")]

mod support;

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use kahn_actors::{
    AutoShutdown, Builder, ChildSpec, Event as Report, ExitReason, Mailbox, Restart, Shutdown, Supervisor,
};
use support::family::{Log, Order, faulty, kid, order};
use support::within;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Collects what is logged of supervisors as text.
#[derive(Clone, Default)]
struct Collect(Log);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!(" {field}={value:?}");
    }
}

impl Subscriber for Collect {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "kahn::supervisor"
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut text = Text(event.metadata().level().to_string());
        event.record(&mut text);
        self.0.add(text.0);
        panic!("a subscriber's panic ends nothing");
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn everything_is_logged_once() {
    std::panic::set_hook(Box::new(|_| {}));
    let logged = Log::default();
    tracing::subscriber::set_global_default(Collect(logged.clone())).unwrap();
    within(|| kahn_core::Runtime::builder().workers(2).build().unwrap().run(|| tell_of_everything(&logged)));
}

fn tell_of_everything(logged: &Log) {
    let (log, fails) = (Log::default(), Arc::new(AtomicBool::new(false)));
    let events = Log::default();
    let (seen, mend) = (events.clone(), fails.clone());
    let supervisor = Supervisor::default()
        .name("top")
        .intensity(2, Duration::MAX)
        .auto_shutdown(AutoShutdown::AnySignificant)
        .child(faulty("a", &log, &fails))
        .child(kid("b", &log).shutdown(Shutdown::Timeout(Duration::ZERO)))
        .child(kid("c", &log).restart(Restart::Transient).significant(true))
        .on_event(move |event: &Report| {
            if matches!(event, Report::StartFailed(..)) {
                mend.store(false, SeqCst);
            }
            seen.add(format!("{} {event}", if event.is_bad() { "WARN" } else { "DEBUG" }));
        });
    let supervisor = supervisor.spawn();
    // Someone it does not know.
    let address = supervisor.address();
    let stranger = Builder::new().name("stranger").spawn_loop(move |mailbox: &mut Mailbox<()>| {
        mailbox.link(&address);
        Err(ExitReason::failed("of no concern"))
    });
    stranger.join();
    events.wait("stranger", 1);
    // One that ends, and does not start, and starts.
    fails.store(true, SeqCst);
    order(&supervisor, "a", Order::End(ExitReason::failed("so")));
    events.wait("a has started", 2);
    // Stopped well, and badly.
    supervisor.terminate_child("a").unwrap();
    order(&supervisor, "b", Order::Park);
    log.wait("b parks", 1);
    supervisor.terminate_child("b").unwrap();
    // The end of one that matters.
    order(&supervisor, "c", Order::End(ExitReason::Normal));
    supervisor.join();

    // One that fails too often, of a supervisor without a name.
    let unnamed = Supervisor::default()
        .intensity(0, Duration::MAX)
        .child(ChildSpec::thread("d", || Err(ExitReason::Killed)))
        .spawn();
    unnamed.join();
    let number = format!("actor #{}", unnamed.id());

    let logged = logged.take();
    let of = |name: &str| {
        let mark = format!(" supervisor=\"{name}\"");
        let own = logged.iter().filter(move |entry| entry.contains(&mark));
        own.map(|entry| entry.replace(&format!(" supervisor=\"{name}\""), "").replace(" message=", " "))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("top"), events.take());
    assert_eq!(
        of("top"),
        [
            "DEBUG a has started",
            "DEBUG b has started",
            "DEBUG c has started",
            "WARN no child: stranger ended: failed: of no concern",
            "WARN a has ended: failed: so",
            "WARN a is started again",
            "WARN a did not start: failed: as told",
            "WARN a is started again",
            "DEBUG a has started",
            "DEBUG a was stopped: shut down",
            "WARN b did not stop as it should: killed",
            "DEBUG c has ended: normal",
            "DEBUG c was significant and has ended, so does its supervisor",
        ]
    );
    let given_up = "WARN d fails too often, the supervisor gives up: killed";
    assert_eq!(of(&number), ["DEBUG d has started", "WARN d has ended: killed", given_up]);
}
