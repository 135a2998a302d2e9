//! Replies whose answer is polled instead of awaited.

use core::cell::UnsafeCell;
use core::fmt;
use core::ptr::NonNull;
use core::task::Waker;

use kahn_core::wait::operation;

use crate::error::AskError;
use crate::slot::{Asker, Reply};

/// The answer to a question, for a test to look at.
///
/// # Examples
///
/// ```
/// use kahn::actor::testing::{Answer, reply};
///
/// let (reply, mut answer): (_, Answer<u32>) = reply();
/// reply.send(7).unwrap();
/// assert_eq!(answer.take(), Some(Ok(7)));
/// ```
pub struct Answer<R: 'static> {
    /// Declared before `place`, so that it is dropped first.
    asker: Asker<'static, R>,
    place: Box<UnsafeCell<Option<R>>>,
}

/// Returns a [`Reply`] to put into a message, and the [`Answer`] that receives its value.
///
/// # Examples
///
/// ```
/// use kahn::actor::testing::reply;
///
/// let (reply, mut answer) = reply::<u32>();
/// assert_eq!(answer.take(), None);
/// reply.send(7).unwrap();
/// assert_eq!(answer.take(), Some(Ok(7)));
/// ```
pub fn reply<R: 'static>() -> (Reply<R>, Answer<R>) {
    let place = Box::new(UnsafeCell::new(None));
    // SAFETY: the place is a heap allocation that holds `None`. It outlives the asker, because the field `asker` is
    // dropped before the field `place`. Only `take` touches the place otherwise, and it does so only after the reply
    // has left the slot.
    let (asker, reply) = unsafe { Asker::new(NonNull::new_unchecked(place.get())) };
    (reply, Answer { asker, place })
}

impl<R: 'static> Answer<R> {
    /// Returns the answer, once. Returns `None` as long as an answer may still come, and [`AskError::NoReply`] if none
    /// will come or it was taken already.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::actor::{AskError, testing::reply};
    ///
    /// let (reply, mut answer) = reply::<u32>();
    /// assert_eq!(answer.take(), None, "there may be one");
    /// drop(reply);
    /// assert_eq!(answer.take(), Some(Err(AskError::NoReply)));
    /// ```
    pub fn take(&mut self) -> Option<Result<R, AskError>> {
        operation();
        if !self.asker.poll(Waker::noop()) {
            return None;
        }
        // The reply has left the slot, so nothing else touches the place.
        Some(self.place.get_mut().take().ok_or(AskError::NoReply))
    }
}

impl<R: 'static> fmt::Debug for Answer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer { .. }")
    }
}
