//! The functions that the select macros expand to.

use core::time::Duration;

use crate::receiver::Receiver;
use crate::select::engine::{Case, Goal, SelectMode, Timeout, wait_for};
pub use crate::select::future_case::FutureCase;
use crate::select::selected::Selected;
use crate::sender::Sender;

/// Makes the case of a receive.
#[inline]
pub fn recv<T>(receiver: &Receiver<T>) -> Case<'_> {
    Case { operation: receiver, index: 0 }
}

/// Makes the case of a send.
#[inline]
pub fn send<T>(sender: &Sender<T>) -> Case<'_> {
    Case { operation: sender, index: 0 }
}

/// Makes the case of a future.
#[inline]
pub fn wait<'a, F: Future>(case: &'a FutureCase<'_, F>) -> Case<'a> {
    Case { operation: case, index: 0 }
}

#[inline]
#[track_caller]
fn run<'a>(cases: &mut [Case<'a>], biased: bool, timeout: Timeout) -> Option<Selected<'a>> {
    for (index, case) in cases.iter_mut().enumerate() {
        case.index = index;
    }
    let selected = wait_for(cases, SelectMode { goal: Goal::Select, biased }, timeout);
    cases.iter().for_each(|case| case.operation.finish());
    let (case, reservation) = selected?;
    Some(Selected::new(case, reservation))
}

/// Waits until one of the cases can be done, and chooses it.
#[inline]
#[track_caller]
pub fn select<'a>(cases: &mut [Case<'a>], biased: bool) -> Selected<'a> {
    run(cases, biased, Timeout::Never).expect("waits until one is selected")
}

/// Waits for at most `timeout` until one of the cases can be done, and chooses it. Without a `timeout`, does not wait.
#[inline]
#[track_caller]
pub fn select_or_default<'a>(
    cases: &mut [Case<'a>],
    biased: bool,
    timeout: Option<Duration>,
) -> Option<Selected<'a>> {
    run(cases, biased, timeout.map_or(Timeout::Now, Timeout::after))
}
