//! The part of the reactor that a model build has.

pub(crate) mod sleep;
