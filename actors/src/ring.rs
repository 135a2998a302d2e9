//! The messages of a mailbox, oldest first: a ring buffer that grows as it fills, up to a limit.
//!
//! A single small message needs no buffer: it is stored in the ring itself. When the ring is empty, its owner may free
//! the buffer with `shrink`.
//!
//! | `capacity` | the messages are |
//! |---|---|
//! | 0 | inline: at most [`Ring::INLINE`] of them |
//! | a power of two | in the buffer, from `head` on, `len` of them, wrapping around |

use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use std::alloc::{alloc, dealloc, handle_alloc_error};

use kahn_core::wait::run_catching;

/// The greatest size of a message that is stored inline, in words.
const INLINE_WORDS: usize = 2;
/// The capacity of the first buffer, in messages.
const FIRST: u32 = 8;

pub(crate) struct Ring<M> {
    buffer: NonNull<M>,
    inline: MaybeUninit<[usize; INLINE_WORDS]>,
    capacity: u32,
    head: u32,
    len: u32,
    limit: u32,
}

// SAFETY: the ring owns its messages, as a `VecDeque` does.
unsafe impl<M: Send> Send for Ring<M> {}

impl<M> Ring<M> {
    /// The number of messages that are stored inline.
    const INLINE: u32 =
        if size_of::<M>() <= size_of::<[usize; INLINE_WORDS]>() && align_of::<M>() <= align_of::<usize>() {
            1
        } else {
            0
        };

    /// Creates an empty ring that takes at most `limit` messages.
    pub(crate) fn new(limit: u32) -> Ring<M> {
        Ring {
            buffer: NonNull::dangling(),
            inline: MaybeUninit::uninit(),
            capacity: 0,
            head: 0,
            len: 0,
            limit,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit as usize
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.len >= self.limit
    }

    /// Puts a message behind the others. The ring may grow beyond its limit; the caller checks the limit.
    #[inline]
    pub(crate) fn push(&mut self, message: M) {
        let room = if self.capacity == 0 { Self::INLINE } else { self.capacity };
        if self.len == room {
            self.grow();
        }
        // SAFETY: there is room, so the place is in the buffer or is the inline one, and holds no message.
        unsafe { self.place(self.len).write(message) };
        self.len += 1;
    }

    /// Puts a message before the others.
    pub(crate) fn push_front(&mut self, message: M) {
        if self.capacity == 0 || self.len == self.capacity {
            self.grow();
        }
        self.head = self.head.wrapping_sub(1) & (self.capacity - 1);
        // SAFETY: there was room, so the place before the first is in the buffer and holds nothing.
        unsafe { self.place(0).write(message) };
        self.len += 1;
    }

    /// Takes the oldest message.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<M> {
        if self.len == 0 {
            return None;
        }
        // SAFETY: the first place holds a message. It leaves the ring here, so the place is not read again.
        let message = unsafe { self.place(0).read() };
        self.len -= 1;
        if self.capacity != 0 {
            self.head = (self.head + 1) & (self.capacity - 1);
        }
        Some(message)
    }

    /// Frees the buffer if the ring is empty.
    #[inline]
    pub(crate) fn shrink(&mut self) {
        if self.len == 0 && self.capacity != 0 {
            self.free();
        }
    }

    /// Returns the place of the message that has `n` messages before it.
    #[inline]
    fn place(&mut self, n: u32) -> *mut M {
        if self.capacity == 0 {
            return self.inline.as_mut_ptr().cast();
        }
        // SAFETY: the index is masked by the capacity, so it is inside the buffer.
        unsafe { self.buffer.as_ptr().add(((self.head + n) & (self.capacity - 1)) as usize) }
    }

    fn layout(capacity: u32) -> Layout {
        Layout::array::<M>(capacity as usize).expect("a mailbox that fits the address space")
    }

    /// Moves the messages to a buffer of twice the capacity.
    #[cold]
    fn grow(&mut self) {
        let capacity = if self.capacity == 0 { FIRST } else { self.capacity * 2 };
        let layout = Ring::<M>::layout(capacity);
        let buffer = if layout.size() == 0 {
            NonNull::dangling()
        } else {
            // SAFETY: the size is not zero.
            let memory = unsafe { alloc(layout) };
            NonNull::new(memory.cast::<M>()).unwrap_or_else(|| handle_alloc_error(layout))
        };
        for n in 0..self.len {
            // SAFETY: the first `len` places hold messages, each of which is moved once. The new buffer is larger than
            // `len`.
            unsafe { buffer.as_ptr().add(n as usize).write(self.place(n).read()) };
        }
        let len = self.len;
        self.free();
        (self.buffer, self.capacity, self.len) = (buffer, capacity, len);
    }

    /// Frees the buffer. The caller has moved all messages out of it.
    fn free(&mut self) {
        let layout = Ring::<M>::layout(self.capacity);
        if layout.size() != 0 {
            // SAFETY: `grow` allocated the buffer with this layout.
            unsafe { dealloc(self.buffer.as_ptr().cast(), layout) };
        }
        (self.buffer, self.capacity, self.head, self.len) = (NonNull::dangling(), 0, 0, 0);
    }
}

impl<M> Drop for Ring<M> {
    fn drop(&mut self) {
        // One by one, each in its own catch: the destructors of two messages may panic.
        while let Some(message) = self.pop() {
            run_catching(|| drop(message));
        }
        self.free();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// Compares the ring with a `VecDeque`, in random sequences of pushes at both ends, pops and shrinks.
    fn agrees<M: Clone + PartialEq + core::fmt::Debug>(make: impl Fn(u32) -> M) {
        let mut seed = 1_u64;
        for _ in 0..200 {
            let (mut ring, mut model) = (Ring::new(64), VecDeque::new());
            for n in 0..200 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                match (seed >> 60) & 7 {
                    0..=2 if !ring.is_full() => {
                        ring.push(make(n));
                        model.push_back(make(n));
                    }
                    3 if !ring.is_full() => {
                        ring.push_front(make(n));
                        model.push_front(make(n));
                    }
                    4 => ring.shrink(),
                    _ => assert_eq!(ring.pop(), model.pop_front()),
                }
                assert_eq!(ring.len(), model.len());
            }
        }
    }

    #[test]
    fn ring_is_first_in_first_out_for_every_message_size() {
        agrees(|n| n);
        agrees(|_| ());
        agrees(|n| [u64::from(n); 2]);
        agrees(|n| [u64::from(n); 5]);
        agrees(|n| vec![n]);
        agrees(u128::from);
    }

    #[test]
    fn ring_drops_remaining_messages_once() {
        let token = std::sync::Arc::new(());
        for count in 0..20 {
            let mut ring = Ring::new(64);
            (0..count).for_each(|_| ring.push(token.clone()));
            drop(ring);
            assert_eq!(std::sync::Arc::strong_count(&token), 1);
        }
    }
}
