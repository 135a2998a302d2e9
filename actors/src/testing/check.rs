//! Tests in which no panic goes unnoticed.

use core::time::Duration;
use std::panic::resume_unwind;

use kahn_core::Runtime;

use crate::unnoticed;

/// How long the actors have to end when the test has.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a test in a runtime of its own, and fails it if an actor of that runtime panics and nobody is told: no monitor, no
/// link, no supervisor, nobody who joins it.
///
/// When `f` has returned, what still runs is cancelled, and has ten seconds to end.
///
/// # Panics
///
/// If `f` panics, an actor has panicked unnoticed, or something does not end.
///
/// # Examples
///
/// ```should_panic
/// # std::panic::set_hook(Box::new(|_| {}));
/// use kahn::actor::{Actor, Context, ExitReason, spawn, testing};
///
/// struct Fragile;
/// impl Actor for Fragile {
///     type Message = ();
///     fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
///         panic!("nobody looks");
///     }
/// }
///
/// testing::check(|| {
///     let fragile = spawn(Fragile);
///     fragile.tell(()).unwrap();
///     while fragile.is_alive() {
///         kahn::yield_now();
///     }
/// });
/// ```
#[track_caller]
pub fn check<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    let runtime = Runtime::builder().name("check").build().expect("a runtime for the test");
    let mut watch = None;
    let watching = &mut watch;
    // The panic of the test comes first, but not before its actors have ended.
    let tested = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.run(move || {
            *watching = unnoticed::watch_here();
            f()
        })
    }));
    let ended = runtime.shutdown(PATIENCE);
    let panics = watch.map(unnoticed::Watch::take).unwrap_or_default();
    let value = tested.unwrap_or_else(|payload| resume_unwind(payload));
    if let Err(left) = ended {
        panic!("the test is over, and not all of it ends: {left}");
    }
    let list: String = panics.iter().map(|panic| format!("\n  {panic}")).collect();
    assert!(panics.is_empty(), "{} actors panicked, and nobody was told:{list}", panics.len());
    value
}
