//! The messages of a broadcast channel, and the places of its subscribers.
//!
//! Messages are numbered. A subscriber stands at the number of its next message. Each message counts the subscribers
//! that stand at it, and `at_end` counts those that stand behind the last. A message is kept while a subscriber
//! stands at it or before it.
//!
//! Invariants:
//!
//! - A subscriber stands at the first message, unless the buffer is empty.
//! - `subscribers` is the sum of the counts of all messages and of `at_end`.
//!
//! So a subscriber that comes, goes or moves changes two counts at most, however many messages it has yet to receive.
//! The only loop is over messages that a leaving subscriber frees. Each message is freed once.

use std::collections::VecDeque;

use kahn_core::primitives::Arc;
use kahn_core::wait::drop_all;

pub(super) struct Buffer<T> {
    messages: VecDeque<Message<T>>,
    /// The number of the first message.
    first: u64,
    /// How many subscribers have received every message.
    at_end: usize,
    subscribers: usize,
}

struct Message<T> {
    content: Arc<T>,
    /// How many subscribers receive this message next.
    here: usize,
}

/// A message that a subscriber has taken.
pub(super) struct Taken<T> {
    pub(super) content: Arc<T>,
    /// Whether the message has left the buffer.
    pub(super) was_last: bool,
}

/// Messages that have left the buffer. The caller drops them after unlocking.
#[must_use]
pub(super) struct Freed<T>(VecDeque<Message<T>>);

impl<T> Drop for Freed<T> {
    fn drop(&mut self) {
        drop_all(|| self.0.pop_front());
    }
}

impl<T> Buffer<T> {
    /// Creates an empty buffer with one subscriber, which stands at number 0.
    pub(super) fn new() -> Buffer<T> {
        Buffer { messages: VecDeque::new(), first: 0, at_end: 1, subscribers: 1 }
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn subscribers(&self) -> usize {
        self.subscribers
    }

    /// Returns the number that the next message will have.
    pub(super) fn end(&self) -> u64 {
        self.first + self.messages.len() as u64
    }

    /// Returns the number of messages from this number on.
    pub(super) fn len_from(&self, number: u64) -> usize {
        self.len() - self.index(number)
    }

    fn index(&self, number: u64) -> usize {
        usize::try_from(number - self.first).expect("not more messages than memory")
    }

    /// Returns the count of subscribers that stand at this number.
    fn count_at(&mut self, number: u64) -> &mut usize {
        let index = self.index(number);
        self.messages.get_mut(index).map_or(&mut self.at_end, |message| &mut message.here)
    }

    /// Adds a message for the present subscribers. There is at least one.
    pub(super) fn push(&mut self, content: T) {
        debug_assert!(self.subscribers > 0, "a message without a subscriber would stay");
        let here = core::mem::take(&mut self.at_end);
        self.messages.push_back(Message { content: Arc::new(content), here });
    }

    /// Adds a subscriber at this number, at which another one stands or which is the [end](Self::end).
    pub(super) fn join(&mut self, number: u64) {
        *self.count_at(number) += 1;
        self.subscribers += 1;
    }

    /// Moves a subscriber past the message with this number. Returns `None` if there is no such message yet.
    pub(super) fn take(&mut self, number: u64) -> Option<Taken<T>> {
        let index = self.index(number);
        let message = self.messages.get_mut(index)?;
        message.here -= 1;
        let was_last = index == 0 && message.here == 0;
        *self.count_at(number + 1) += 1;
        // The subscriber stands at the next message, so no other one becomes free.
        let content = if was_last {
            self.first += 1;
            self.messages.pop_front()?.content
        } else {
            self.messages[index].content.clone()
        };
        Some(Taken { content, was_last })
    }

    /// Removes a subscriber, which stands at this number. Returns the messages that no subscriber needs any more.
    pub(super) fn leave(&mut self, number: u64) -> Freed<T> {
        *self.count_at(number) -= 1;
        self.subscribers -= 1;
        if self.at_end == self.subscribers {
            self.first = self.end();
            return Freed(core::mem::take(&mut self.messages));
        }
        let unneeded = self.messages.iter().take_while(|message| message.here == 0).count();
        self.first += unneeded as u64;
        Freed(self.messages.drain(..unneeded).collect())
    }
}
