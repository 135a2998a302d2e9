//! A broadcast channel keeps each message until its last subscriber has received it, at a cost that does not depend
//! on how many messages are unread.

mod support;

use std::sync::Arc;

use kahn_channels::{TryRecvError, TrySendError, broadcast};
use support::{everywhere, times};

/// Each clone and each drop took as many steps as there were unread messages: billions.
#[test]
fn subscribers_of_many_unread_messages_are_cloned_and_dropped_in_few_steps() {
    everywhere(|_| {
        let many = times(100_000);
        let alive = Arc::new(());
        let (tx, rx) = broadcast(many);
        (0..many).for_each(|_| tx.try_send(alive.clone()).unwrap());
        // One subscriber stands at each message.
        let mut subscribers = std::collections::VecDeque::new();
        for _ in 0..many {
            subscribers.push_back(rx.clone());
            drop(rx.try_recv().unwrap());
        }
        assert_eq!((rx.len(), Arc::strong_count(&alive)), (0, many + 1));
        for dropped in 0..many / 2 {
            // The fastest of them frees nothing, and the slowest frees one message.
            drop((subscribers.pop_back(), subscribers.pop_front()));
            let left = if subscribers.is_empty() { 0 } else { many - dropped - 1 };
            assert_eq!(Arc::strong_count(&alive), left + 1);
        }
        assert_eq!((rx.len(), rx.try_recv()), (0, Err(TryRecvError::Empty)));
    });
}

/// A small generator of pseudo-random numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// A message that is unread by some subscriber is alive, and no other one is.
#[test]
fn message_is_kept_until_the_last_subscriber_that_is_due_it_has_it() {
    const CAPACITY: usize = 5;
    for seed in 0..times(300) {
        let mut random = Random(seed as u64);
        let mut messages: Vec<Arc<usize>> = Vec::new();
        let (tx, rx) = broadcast(CAPACITY);
        // Each subscriber, with the number of its next message.
        let mut subscribers = vec![(rx, 0)];
        for _ in 0..300 {
            let slowest = subscribers.iter().map(|&(_, next)| next).min().unwrap_or(messages.len());
            let which = random.below(subscribers.len().max(1));
            let may_grow = subscribers.len() < 8;
            match (random.below(8), subscribers.get_mut(which)) {
                (0 | 1, subscriber) => {
                    let is_alone = subscriber.is_none();
                    let message = Arc::new(messages.len());
                    match tx.try_send(message.clone()) {
                        Ok(()) => messages.push(message),
                        Err(TrySendError::Full(_)) => assert_eq!(messages.len() - slowest, CAPACITY),
                        Err(TrySendError::Disconnected(_)) => assert!(is_alone),
                    }
                }
                (2, _) if may_grow => subscribers.push((tx.subscribe(), messages.len())),
                (3, Some((rx, next))) if may_grow => {
                    let clone = (rx.clone(), *next);
                    subscribers.push(clone);
                }
                (4, Some(_)) => drop(subscribers.swap_remove(which)),
                (_, Some((rx, next))) => match rx.try_recv() {
                    Ok(message) => {
                        assert_eq!(*message, *next);
                        *next += 1;
                    }
                    Err(_) => assert_eq!(*next, messages.len()),
                },
                (_, None) => {}
            }
            let slowest = subscribers.iter().map(|&(_, next)| next).min().unwrap_or(messages.len());
            for message in &messages {
                assert_eq!(Arc::strong_count(message) == 2, **message >= slowest, "seed {seed}");
            }
            assert!(subscribers.iter().all(|(rx, next)| rx.len() == messages.len() - next), "seed {seed}");
            assert_eq!(tx.subscribers(), subscribers.len(), "seed {seed}");
        }
    }
}
