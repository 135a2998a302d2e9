//! Replies whose answer is looked at, and not waited for.

use core::cell::UnsafeCell;
use core::fmt;
use core::ptr::NonNull;
use core::task::Waker;

use crate::error::AskError;
use crate::slot::{Asker, Reply};

/// What becomes of a question.
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
    /// Before its place: it is dropped first.
    asker: Asker<'static, R>,
    place: Box<UnsafeCell<Option<R>>>,
}

/// A [`Reply`] to put into a message, and where its answer is to be found.
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
    // SAFETY: the place is on the heap, empty, and lives until the asker, which is dropped before it, has left; `take`
    // touches it only when the reply has.
    let (asker, reply) = unsafe { Asker::new(NonNull::new_unchecked(place.get())) };
    (reply, Answer { asker, place })
}

impl<R: 'static> Answer<R> {
    /// The answer, once: `None` as long as there may be one, [`AskError::NoReply`] if there will be none (any more).
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
        if !self.asker.poll(Waker::noop()) {
            return None;
        }
        // The reply has left the slot: the place is ours.
        Some(self.place.get_mut().take().ok_or(AskError::NoReply))
    }
}

impl<R: 'static> fmt::Debug for Answer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer { .. }")
    }
}
