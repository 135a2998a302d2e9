//! The part of the reactor that a model build has.

pub(crate) mod direction;
pub(crate) mod sleep;

/// There is no count of waiters in a model.
#[derive(Debug)]
pub(crate) struct Counted;
