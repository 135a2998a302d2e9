//! A first-in, first-out queue from which an item can be removed by its key.
//!
//! Each operation takes logarithmic time. A supervisor may be told of a hundred thousand ends at once, and removes the
//! monitor of each.

use std::collections::BTreeMap;

/// A first-in, first-out queue from which an item can be removed by its key.
pub(crate) struct KeyedQueue<K, T> {
    /// The items, by a number that grows with each push.
    items: BTreeMap<u64, (Option<K>, T)>,
    numbers: BTreeMap<K, u64>,
    last: u64,
}

impl<K: Ord + Copy, T> KeyedQueue<K, T> {
    pub(crate) fn new() -> KeyedQueue<K, T> {
        KeyedQueue { items: BTreeMap::new(), numbers: BTreeMap::new(), last: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Puts an item at the end. No other item in the queue has the same key.
    pub(crate) fn push_back(&mut self, key: Option<K>, item: T) {
        self.last += 1;
        if let Some(key) = key {
            let other = self.numbers.insert(key, self.last);
            debug_assert!(other.is_none(), "a key is in the queue twice");
        }
        self.items.insert(self.last, (key, item));
    }

    /// Removes and returns the first item.
    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let (_, (key, item)) = self.items.pop_first()?;
        if let Some(key) = key {
            self.numbers.remove(&key);
        }
        Some(item)
    }

    /// Removes and returns the item with this key.
    pub(crate) fn remove(&mut self, key: K) -> Option<T> {
        let number = self.numbers.remove(&key)?;
        self.items.remove(&number).map(|(_, item)| item)
    }

    /// Returns all items, in their order.
    pub(crate) fn into_items(self) -> impl Iterator<Item = T> {
        self.items.into_values().map(|(_, item)| item)
    }
}

impl<K: Ord + Copy, T> Default for KeyedQueue<K, T> {
    fn default() -> KeyedQueue<K, T> {
        KeyedQueue::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cmp::Ordering;
    use std::cell::Cell;

    thread_local! {
        static COMPARISONS: Cell<usize> = const { Cell::new(0) };
    }

    /// A key that counts its comparisons.
    #[derive(Clone, Copy)]
    struct Key(u32);

    fn compare(one: Key, other: Key) -> Ordering {
        COMPARISONS.set(COMPARISONS.get() + 1);
        one.0.cmp(&other.0)
    }

    impl Ord for Key {
        fn cmp(&self, other: &Key) -> Ordering {
            compare(*self, *other)
        }
    }

    impl PartialOrd for Key {
        fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    impl PartialEq for Key {
        fn eq(&self, other: &Key) -> bool {
            compare(*self, *other).is_eq()
        }
    }

    impl Eq for Key {}

    #[test]
    fn items_come_in_order_and_removed_items_do_not_come() {
        let mut queue = KeyedQueue::new();
        for n in 0..6 {
            queue.push_back((n != 2).then_some(Key(n)), n);
        }
        assert_eq!((queue.remove(Key(1)), queue.remove(Key(1)), queue.remove(Key(2))), (Some(1), None, None));
        assert_eq!((queue.pop_front(), queue.pop_front()), (Some(0), Some(2)));
        assert_eq!((queue.remove(Key(0)), queue.remove(Key(5))), (None, Some(5)));
        queue.push_back(Some(Key(0)), 7);
        assert_eq!(queue.into_items().collect::<Vec<_>>(), [3, 4, 7]);
    }

    #[test]
    fn burst_costs_a_logarithm_for_each_item() {
        const MANY: u32 = 1 << 14;
        let mut queue = KeyedQueue::new();
        for n in 0..MANY {
            queue.push_back(Some(Key(n)), n);
        }
        // A supervisor that is told of an end takes out the notification, and then removes the monitor, which is no
        // longer in the queue.
        for n in 0..MANY / 2 {
            assert_eq!(queue.pop_front(), Some(n));
            assert_eq!(queue.remove(Key(n)), None);
            assert_eq!(queue.remove(Key(MANY - 1 - n)), Some(MANY - 1 - n));
        }
        let each = COMPARISONS.get() / MANY as usize;
        // A linear scan would take thousands.
        assert!(each < 200, "{each} comparisons for each item");
    }
}
