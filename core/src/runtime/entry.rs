//! The functions that `#[kahn::main]` and `#[kahn::test]` call.
//!
//! The value that a `main` or a test returns need not be `Send` (`Box<dyn Error>` is not). So it is reported, and
//! becomes an exit code, in its own green thread.

use std::panic::resume_unwind;
use std::process::{ExitCode, Termination};

use crate::os_threads::InTest;
use crate::runtime::Builder;
use crate::scheduler::deadlock::DEADLOCKED;

/// Runs a program.
///
/// # Panics
///
/// If `f` panics.
pub fn main<F, T>(settings: Builder, f: F) -> ExitCode
where
    F: FnOnce() -> T + Send,
    T: Termination,
{
    let runtime = match settings.build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("kahn does not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.run_or_deadlock(|| f().report()) {
        Ok(Ok(code)) => code,
        Ok(Err(payload)) => resume_unwind(payload),
        Err(report) => {
            eprint!("{report}");
            ExitCode::from(DEADLOCKED)
        }
    }
}

/// Runs a test that returns nothing.
///
/// # Panics
///
/// If `f` panics, on a deadlock, and if the runtime does not start.
#[track_caller]
pub fn test(settings: Builder, f: impl FnOnce() + Send) {
    let _in_test = InTest::new();
    match settings.build() {
        Ok(runtime) => runtime.run(f),
        Err(error) => panic!("kahn does not start: {error}"),
    }
}

/// Runs a test that returns a result.
///
/// # Panics
///
/// As [`test`].
#[track_caller]
pub fn test_with_result<F, T>(settings: Builder, f: F) -> ExitCode
where
    F: FnOnce() -> T + Send,
    T: Termination,
{
    let _in_test = InTest::new();
    match settings.build() {
        Ok(runtime) => runtime.run(|| f().report()),
        Err(error) => panic!("kahn does not start: {error}"),
    }
}
