//! Models: a program runs once for each order in which its green threads may take their steps.
//!
//! docs/models.md is the guide.

#[cfg_attr(models, path = "explore.rs")]
#[cfg_attr(not(models), path = "once.rs")]
mod check;

use core::time::Duration;
use std::path::PathBuf;

/// Runs `program` in all orders of the steps of its green threads, within the bounds of [`Builder`].
///
/// In a build without `--cfg kahn_loom`, runs `program` once, in a runtime.
///
/// # Panics
///
/// Panics with a report if an execution fails: if the main green thread panics, if no other thread joins the panic of a green
/// thread, on a deadlock, and if a limit is exceeded.
///
/// # Examples
///
/// ```
/// use kahn::sync::{Arc, Mutex};
///
/// kahn::model(|| {
///     let sum = Arc::new(Mutex::new(0));
///     let adder = kahn::spawn({
///         let sum = Arc::clone(&sum);
///         move || *sum.lock().unwrap() += 1
///     });
///     *sum.lock().unwrap() += 2;
///     adder.join().unwrap();
///     assert_eq!(*sum.lock().unwrap(), 3);
/// });
/// ```
#[track_caller]
pub fn model<F>(program: F)
where
    F: Fn() + Send + Sync + 'static,
{
    Builder::new().check(program);
}

/// The settings of a model: those of loom, and the bound on choices.
///
/// They have an effect in builds with `--cfg kahn_loom` alone.
///
/// # Examples
///
/// ```
/// let mut model = kahn::model::Builder::new();
/// model.preemption_bound = Some(3);
/// model.check(|| {
///     let (tx, rx) = kahn::channel::bounded(1);
///     kahn::spawn(move || tx.send(7).unwrap());
///     assert_eq!(rx.recv(), Ok(7));
/// });
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Builder {
    /// The most green threads, tasks and actors of one execution, with the main green thread and those that have ended. At
    /// most 5, which is loom's limit and the default.
    pub max_threads: usize,
    /// The most branching points of one execution. The default is `LOOM_MAX_BRANCHES`, or 20,000.
    pub max_branches: usize,
    /// The most executions of one exploration. `None` is no limit. The default is `LOOM_MAX_PERMUTATIONS`.
    pub max_permutations: Option<usize>,
    /// How long one exploration may take. `None` is no limit. The default is `LOOM_MAX_DURATION`, in seconds.
    pub max_duration: Option<Duration>,
    /// The most preemptions of one execution: switches from a green thread that could go on. `None` is no limit. The default
    /// is `LOOM_MAX_PREEMPTIONS`, or 2.
    pub preemption_bound: Option<usize>,
    /// The most choices of one execution that are not the default one: which of the ready cases a `select!` takes first, and
    /// that a deadline passes although something else could happen. `None` is no limit. The default is
    /// `KAHN_MODEL_CHOICES_MAX`, or 2.
    pub choice_bound: Option<usize>,
    /// The file that holds the next execution, to go on from there. The default is `LOOM_CHECKPOINT_FILE`.
    pub checkpoint_file: Option<PathBuf>,
    /// After how many executions the file is written. The default is `LOOM_CHECKPOINT_INTERVAL`, or 20,000.
    pub checkpoint_interval: usize,
    /// Whether loom records the source location of each step, for its log. The default is whether `LOOM_LOCATION` is set.
    pub location: bool,
    /// Whether loom logs each step. The default is whether `LOOM_LOG` is set.
    pub log: bool,
}

impl Builder {
    /// Creates the default settings.
    pub fn new() -> Builder {
        check::defaults()
    }

    /// Runs `program` as [`model()`] does, with these settings.
    ///
    /// # Panics
    ///
    /// Panics in the same cases as [`model()`].
    #[track_caller]
    pub fn check<F>(&self, program: F)
    where
        F: Fn() + Send + Sync + 'static,
    {
        check::check(self, program);
    }
}

impl Default for Builder {
    fn default() -> Builder {
        Builder::new()
    }
}
