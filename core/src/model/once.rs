//! A model in a build that explores nothing: the program runs once.

use crate::model::Builder;
use crate::runtime::Runtime;

pub(super) fn defaults() -> Builder {
    Builder {
        max_threads: 5,
        max_branches: 20_000,
        max_permutations: None,
        max_duration: None,
        preemption_bound: Some(2),
        choice_bound: Some(2),
        checkpoint_file: None,
        checkpoint_interval: 20_000,
        location: false,
        log: false,
    }
}

#[track_caller]
pub(super) fn check<F>(_settings: &Builder, program: F)
where
    F: Fn() + Send + Sync + 'static,
{
    match Runtime::builder().build() {
        Ok(runtime) => runtime.run(program),
        Err(error) => panic!("kahn::model: {error}"),
    }
}
