//! A worker that is stuck in one task is named in one warning, with the task.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kahn_core::{Runtime, thread};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Collects events as text.
#[derive(Clone, Default)]
struct Collect(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!("{field}={value:?} ");
    }
}

impl Subscriber for Collect {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn stuck_worker_is_named_in_one_warning() {
    let collect = Collect::default();
    tracing::subscriber::set_global_default(collect.clone()).unwrap();
    let warnings = || collect.0.lock().unwrap().len();
    let runtime =
        Runtime::builder().workers(1).warn_when_stuck(Duration::from_millis(5)).name("mill").build().unwrap();
    runtime.run(|| {
        let hog = thread::Builder::new().name("hog".into());
        let seen = collect.clone();
        let hog = hog.spawn(move || while seen.0.lock().unwrap().is_empty() {}).unwrap();
        hog.join().unwrap();
        // A task that parks is not stuck, however long it lasts.
        kahn_core::sleep(Duration::from_millis(30));
    });
    runtime.shutdown(Duration::from_secs(10)).unwrap();
    assert_eq!(warnings(), 1);
    let text = collect.0.lock().unwrap()[0].clone();
    assert!(text.contains("hog") && text.contains("mill") && text.contains("worker=0"), "{text}");
}
