//! Iterators over a receiver's messages.

use core::fmt;
use core::iter::FusedIterator;

use crate::receiver::Receiver;

impl<T> Receiver<T> {
    /// Returns an iterator over the messages.
    ///
    /// It waits for each message. It ends when the channel is empty, and disconnected or closed.
    ///
    /// # Parks
    ///
    /// `next` parks until there is a message.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::bounded(1);
    /// std::thread::spawn(move || (0..3).for_each(|n| tx.send(n).unwrap()));
    /// assert_eq!(rx.iter().sum::<i32>(), 3);
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// Returns an iterator over the messages that are in the channel. It ends instead of waiting.
    ///
    /// # Parks
    ///
    /// `next` parks like [`Receiver::try_recv`].
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::bounded(3);
    /// tx.send(1).unwrap();
    /// tx.send(2).unwrap();
    /// assert_eq!(rx.try_iter().collect::<Vec<_>>(), [1, 2]);
    /// ```
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }
}

/// An iterator that waits for messages. Made by [`Receiver::iter`].
///
/// # Examples
///
/// ```
/// let (tx, rx) = kahn::channel::bounded(2);
/// tx.send("one").unwrap();
/// drop(tx);
/// for word in &rx {
///     assert_eq!(word, "one");
/// }
/// ```
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// An iterator that takes messages without waiting for them. Made by [`Receiver::try_iter`].
///
/// # Examples
///
/// ```
/// let (_tx, rx) = kahn::channel::bounded::<i32>(2);
/// assert_eq!(rx.try_iter().next(), None);
/// ```
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// An iterator that owns its receiver, and waits for messages. Made by [`Receiver::into_iter`].
///
/// # Examples
///
/// ```
/// let (tx, rx) = kahn::channel::bounded(2);
/// tx.send(1).unwrap();
/// tx.send(2).unwrap();
/// drop(tx);
/// assert_eq!(rx.into_iter().collect::<Vec<_>>(), [1, 2]);
/// ```
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    #[inline(always)]
    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> FusedIterator for Iter<'_, T> {}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    #[inline]
    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    #[inline(always)]
    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> FusedIterator for IntoIter<T> {}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}

impl<T> fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Iter { .. }")
    }
}

impl<T> fmt::Debug for TryIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("TryIter { .. }")
    }
}

impl<T> fmt::Debug for IntoIter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("IntoIter { .. }")
    }
}
