//! The buffer of a channel: a ring that doubles its size as it fills. A large capacity therefore costs no memory up
//! front.

use core::mem::MaybeUninit;

use kahn_core::wait::drop_all;

/// A queue of messages in the order of their arrival.
/// ```text
///   slots:  . . m m m m . .        `head` counts the messages taken, less those put back
///               ^head   ^head+len  the first message is at `head & mask`
/// ```
///
/// The number of slots is a power of two, or zero before the first message.
/// ```
pub(crate) struct Ring<T> {
    slots: Box<[MaybeUninit<T>]>,
    head: usize,
    len: usize,
}

impl<T> Ring<T> {
    /// The number of slots of the first allocation. A busy channel with a small capacity allocates only once.
    const FIRST: usize = 8;

    pub(crate) fn new() -> Ring<T> {
        Ring { slots: Box::new([]), head: 0, len: 0 }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    fn mask(&self) -> usize {
        self.slots.len().wrapping_sub(1)
    }

    /// Adds a message at the end.
    #[inline]
    pub(crate) fn push_back(&mut self, msg: T) {
        if self.len == self.slots.len() {
            self.grow();
        }
        let at = self.head.wrapping_add(self.len) & self.mask();
        // SAFETY: `at` is at most `mask`, which is one less than the number of slots. There is at least one slot: if
        // there was none, `len` was equal to it, and `grow` has run.
        unsafe { self.slots.get_unchecked_mut(at) }.write(msg);
        self.len += 1;
    }

    /// Adds a message at the front.
    pub(crate) fn push_front(&mut self, msg: T) {
        if self.len == self.slots.len() {
            self.grow();
        }
        self.head = self.head.wrapping_sub(1);
        let at = self.head & self.mask();
        self.slots[at].write(msg);
        self.len += 1;
    }

    /// Removes and returns the first message.
    #[inline]
    pub(crate) fn pop_front(&mut self) -> Option<T> {
        if self.len == 0 {
            return None;
        }
        let at = self.head & self.mask();
        self.head = self.head.wrapping_add(1);
        self.len -= 1;
        // SAFETY: `at` is at most `mask`, which is one less than the number of slots. There are slots, because there
        // was a message. The first `len` slots from `head` on hold messages. The changes above exclude this slot from
        // them, so its message is read once.
        Some(unsafe { self.slots.get_unchecked(at).assume_init_read() })
    }

    /// Doubles the number of slots. Each message moves to its position modulo the new size.
    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let more = (self.slots.len() * 2).max(Self::FIRST);
        let mut slots = Box::new_uninit_slice(more);
        for count in 0..self.len {
            let position = self.head.wrapping_add(count);
            // SAFETY: the slot is one of the first `len` from `head` on, so it holds a message. The old slots are freed
            // below without dropping their contents, so each message is moved, not copied.
            let msg = unsafe { self.slots[position & self.mask()].assume_init_read() };
            slots[position & (more - 1)].write(msg);
        }
        self.slots = slots;
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        if core::mem::needs_drop::<T>() {
            drop_all(|| self.pop_front());
        }
    }
}

#[cfg(all(test, not(kahn_loom)))]
mod tests {
    use super::Ring;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;

    #[test]
    fn order_is_kept_while_it_grows_and_wraps() {
        let mut ring = Ring::new();
        let (mut next_in, mut next_out) = (0_u32, 0_u32);
        for round in 0..40 {
            for _ in 0..round {
                ring.push_back(next_in);
                next_in += 1;
            }
            for _ in 0..round / 2 {
                assert_eq!(ring.pop_front(), Some(next_out));
                next_out += 1;
            }
        }
        while let Some(msg) = ring.pop_front() {
            assert_eq!(msg, next_out);
            next_out += 1;
        }
        assert_eq!(next_in, next_out);
    }

    #[test]
    fn message_put_back_comes_first() {
        let mut ring = Ring::new();
        for n in 0..8 {
            ring.push_back(n);
        }
        let first = ring.pop_front().expect("eight are in");
        ring.push_back(8);
        ring.push_front(first);
        assert_eq!(core::iter::from_fn(|| ring.pop_front()).collect::<Vec<_>>(), (0..=8).collect::<Vec<_>>());
    }

    #[test]
    fn zero_sized_messages() {
        let mut ring = Ring::new();
        for _ in 0..100 {
            ring.push_back(());
        }
        assert_eq!(core::iter::from_fn(|| ring.pop_front()).count(), 100);
    }

    #[test]
    fn panicking_drops_do_not_lose_the_others() {
        struct Bomb(#[expect(dead_code, reason = "dropped")] Rc<()>, Option<u32>);
        impl Drop for Bomb {
            fn drop(&mut self) {
                if let Some(number) = self.1 {
                    std::panic::panic_any(number);
                }
            }
        }
        let alive = Rc::new(());
        let mut ring = Ring::new();
        for n in 0..6 {
            ring.push_back(Bomb(alive.clone(), (n % 2 == 1).then_some(n)));
        }
        let payload = catch_unwind(AssertUnwindSafe(|| drop(ring))).unwrap_err();
        assert_eq!(*payload.downcast::<u32>().unwrap(), 1, "the first goes on");
        assert_eq!(Rc::strong_count(&alive), 1);
    }
}
