//! Time: sleeping, intervals, and bounds on waiting.
/// placeholder
pub fn timeout() {}
