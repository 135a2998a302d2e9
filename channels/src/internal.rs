//! The functions that the select macros expand to. They are not public API, and are not covered by semver.

use core::time::Duration;

use crate::receiver::Receiver;
use crate::select::chosen::Chosen;
use crate::select::passes::{Aim, Case, Manner, Patience, wait_for};
use crate::select::patience;
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

#[inline]
#[track_caller]
fn run<'a>(cases: &mut [Case<'a>], biased: bool, patience: Patience) -> Option<Chosen<'a>> {
    for (index, case) in cases.iter_mut().enumerate() {
        case.index = index;
    }
    let (place, grant) = wait_for(cases, Manner { aim: Aim::Choose, biased }, patience)?;
    Some(Chosen::new(cases[place], grant))
}

/// Waits until one of the cases can be done, and chooses it.
#[inline]
#[track_caller]
pub fn select<'a>(cases: &mut [Case<'a>], biased: bool) -> Chosen<'a> {
    run(cases, biased, Patience::Endless).expect("waits until one is chosen")
}

/// Waits for at most `timeout` until one of the cases can be done, and chooses it. Without a `timeout`, does not wait.
#[inline]
#[track_caller]
pub fn select_or_default<'a>(
    cases: &mut [Case<'a>],
    biased: bool,
    timeout: Option<Duration>,
) -> Option<Chosen<'a>> {
    run(cases, biased, timeout.map_or(Patience::None, patience))
}
