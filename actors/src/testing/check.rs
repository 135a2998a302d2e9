//! Tests that fail if an actor's panic goes unobserved.

use core::time::Duration;
use std::panic::resume_unwind;

use kahn_core::Runtime;

use crate::unobserved_panics;

/// How long the actors may take to end after the test.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a test in its own runtime. The test fails if an actor of that runtime panics unobserved: no monitor, link,
/// supervisor or joining caller learns of the panic.
///
/// A panic in [`stopped`](crate::Actor::stopped), in the function of [`on_event`](crate::Supervisor::on_event), or in the
/// destructor of the actor's value or of a message that is not handled, is not in the exit reason. So it is always
/// unobserved.
///
/// When `f` has returned, the tasks that still run are cancelled, and have ten seconds to end.
///
/// # Panics
///
/// Panics if `f` panics, if an actor has panicked unobserved, or if a task does not end in time.
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
///         panic!("no thread observes this");
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
    // The test's own panic is reported first, but only after its actors have ended.
    let tested = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.run(move || {
            *watching = unobserved_panics::watch_here();
            f()
        })
    }));
    let ended = runtime.shutdown(PATIENCE);
    let panics = watch.map(unobserved_panics::Watch::take).unwrap_or_default();
    let value = tested.unwrap_or_else(|payload| resume_unwind(payload));
    if let Err(left) = ended {
        panic!("the test is over, and not all of it ends: {left}");
    }
    let list: String = panics.iter().map(|panic| format!("\n  {panic}")).collect();
    assert!(panics.is_empty(), "{} panics in actors were not observed:{list}", panics.len());
    value
}
