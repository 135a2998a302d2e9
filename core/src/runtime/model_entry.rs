//! The functions that `#[kahn::main]` and `#[kahn::test]` call. In a model build they say that they do not run.

use std::process::{ExitCode, Termination};

use crate::runtime::Builder;

/// Says that a program does not run in a model build.
pub fn main<F, T>(settings: Builder, _f: F) -> ExitCode
where
    F: FnOnce() -> T + Send,
    T: Termination,
{
    if let Err(error) = settings.build() {
        eprintln!("kahn does not start: {error}");
    }
    ExitCode::FAILURE
}

/// Says that a test does not run in a model build.
///
/// # Panics
///
/// Always.
#[track_caller]
pub fn test(settings: Builder, _f: impl FnOnce() + Send) {
    settings.build().map(drop).unwrap_or_else(|error| panic!("kahn does not start: {error}"));
}

/// As [`test`].
///
/// # Panics
///
/// Always.
#[track_caller]
pub fn test_with_result<F, T>(settings: Builder, _f: F) -> ExitCode
where
    F: FnOnce() -> T + Send,
    T: Termination,
{
    test(settings, || ());
    ExitCode::FAILURE
}
