//! Growing pauses between attempts, for what the operating system does not report.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(100);

/// The pauses between attempts. Each is twice as long as the one before, up to a limit.
#[derive(Debug, Default)]
pub(crate) struct Pause(Duration);

impl Pause {
    /// Returns the length of the next pause.
    pub(crate) fn next(&mut self) -> Duration {
        self.0 = (self.0 * 2).clamp(FIRST, LONGEST);
        self.0
    }
}
