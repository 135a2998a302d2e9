//! A test kit: probes, actors run step by step, and a check that no panic goes unnoticed.
//!
//! | to test | there is |
//! |---|---|
//! | what others are told by the actors under test, and that they end | [`Probe`], with expectations that wait |
//! | one actor alone, without a runtime, always in the same way, with its own time | [`Stepped`] |
//! | what such an actor tells others, or answers | [`Inbox`], [`Answer`] |
//! | a whole test, in a runtime of its own, that fails if an actor panics unnoticed | [`check`] |

mod answer;
#[cfg(fibers)]
mod check;
#[cfg(fibers)]
pub use self::check::check;
mod inbox;
mod probe;
mod stepped;

pub use self::answer::{Answer, reply};
pub use self::inbox::Inbox;
pub use self::probe::Probe;
pub use self::stepped::{Step, Stepped};
