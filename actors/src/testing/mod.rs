//! A test kit: probes, actors that are run step by step, and a check for unobserved panics.
//!
//! | to test | use |
//! |---|---|
//! | the messages that the actors under test send to others, and the actors' ends | [`Probe`], whose expectations wait |
//! | one actor alone, without a runtime, deterministically, with its own time | [`Stepped`] |
//! | the messages that such an actor sends, and its answers | [`Inbox`], [`Answer`] |
//! | a whole test, in its own runtime, that fails if an actor panics unobserved | [`check`] |

mod answer;
#[cfg(any(fibers, models))]
mod check;
#[cfg(any(fibers, models))]
pub use self::check::check;
mod inbox;
mod probe;
mod stepped;

pub use self::answer::{Answer, reply};
pub use self::inbox::Inbox;
pub use self::probe::Probe;
pub use self::stepped::{Step, Stepped};
