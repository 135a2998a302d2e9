//! Iterators over a subscriber's messages.

use core::fmt;
use core::iter::FusedIterator;

use crate::broadcast::Receiver;

impl<T: Clone> Receiver<T> {
    /// Returns an iterator over the messages.
    ///
    /// It waits for each message. It ends when this subscriber has received every message, and all senders were dropped
    /// or the channel was closed.
    ///
    /// # Parks
    ///
    /// `next` parks until there is a message.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::broadcast(4);
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
    /// Never waits.
    ///
    /// # Examples
    ///
    /// ```
    /// let (tx, rx) = kahn::channel::broadcast(4);
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
/// let (tx, rx) = kahn::channel::broadcast(4);
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
/// let (_tx, rx) = kahn::channel::broadcast::<u32>(4);
/// assert_eq!(rx.try_iter().next(), None);
/// ```
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// An iterator that owns its receiver, and waits for messages. Made by [`Receiver::into_iter`].
///
/// It is the subscriber. Once it is dropped, senders no longer wait for it.
///
/// # Examples
///
/// ```
/// let (tx, rx) = kahn::channel::broadcast(4);
/// tx.send(1).unwrap();
/// tx.send(2).unwrap();
/// drop(tx);
/// assert_eq!(rx.into_iter().collect::<Vec<_>>(), [1, 2]);
/// ```
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T: Clone> Iterator for Iter<'_, T> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T: Clone> FusedIterator for Iter<'_, T> {}

impl<T: Clone> Iterator for TryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

impl<T: Clone> Iterator for IntoIter<T> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T: Clone> FusedIterator for IntoIter<T> {}

impl<'a, T: Clone> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T: Clone> IntoIterator for Receiver<T> {
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
