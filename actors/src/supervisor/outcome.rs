//! The return types of child threads.

use crate::exit::ExitReason;

/// The return type of a supervised green thread: `()`, or a `Result` whose error is the exit reason.
///
/// # Examples
///
/// ```
/// use std::num::ParseIntError;
/// use kahn::actor::{ChildSpec, ExitReason};
///
/// let nothing = ChildSpec::thread("nothing", || ());
/// let error = ChildSpec::thread("error", || -> Result<(), ParseIntError> { "x".parse::<u32>().map(drop) });
/// let reason = ChildSpec::thread("reason", || Err(ExitReason::Killed));
/// # let _ = (nothing, error, reason);
/// ```
pub trait Outcome {
    /// Converts the return value into the thread's end.
    ///
    /// # Errors
    ///
    /// Returns the exit reason, if it is not normal.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{ExitReason, Outcome};
    ///
    /// assert!(().into_result().is_ok());
    /// assert!(matches!(Err::<(), _>("x".parse::<u8>().unwrap_err()).into_result(), Err(ExitReason::Failed(_))));
    /// ```
    fn into_result(self) -> Result<(), ExitReason>;
}

impl Outcome for () {
    fn into_result(self) -> Result<(), ExitReason> {
        Ok(())
    }
}

impl<E: Into<ExitReason>> Outcome for Result<(), E> {
    fn into_result(self) -> Result<(), ExitReason> {
        self.map_err(Into::into)
    }
}
