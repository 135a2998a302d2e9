//! The future of a send.

use core::cell::Cell;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use kahn_core::primitives::Arc;
use kahn_core::wait::{Kind, OwnedWaker, note_pending, poll_operation};

use crate::channel::Chan;
use crate::error::{SendError, TrySendError};
use crate::future::{Phase, TaskSlot};
use crate::sender::Sender;
use crate::waiters::{Packet, Status, Wakes};

impl<T> Sender<T> {
    /// Sends a message from async code. The future waits for a place like [`send`](Self::send), in the same queue.
    ///
    /// Cancel safety: if the future is dropped before it is ready, the message is not sent, and is dropped.
    ///
    /// # Parks
    ///
    /// Never parks the thread. The task waits.
    ///
    /// # Errors
    ///
    /// Returns the message if the channel is disconnected or closed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{pin::pin, task::{Context, Poll, Waker}};
    /// let (tx, rx) = kahn::channel::bounded(1);
    /// let mut sent = pin!(tx.send_async(7));
    /// let poll = sent.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    /// # use std::future::Future;
    /// assert_eq!(poll, Poll::Ready(Ok(())));
    /// assert_eq!(rx.recv(), Ok(7));
    /// ```
    pub fn send_async(&self, msg: T) -> SendFuture<'_, T> {
        SendFuture::new(&self.chan, msg)
    }
}

/// The future of a send. Made by [`Sender::send_async`](crate::Sender::send_async).
///
/// # Examples
///
/// See [`Sender::send_async`](crate::Sender::send_async).
#[must_use = "futures do nothing unless polled"]
pub struct SendFuture<'a, T> {
    chan: &'a Arc<Chan<T>>,
    slot: TaskSlot<T>,
    /// Whether the message is in the packet. In phase `Queued` this field may be stale, and the status decides.
    has_message: Cell<bool>,
}

// SAFETY: other threads touch only the slot and the waker, and only under the channel's lock. The message may
// move to another thread, which `T: Send` allows.
unsafe impl<T: Send> Send for SendFuture<'_, T> {}

impl<'a, T> SendFuture<'a, T> {
    pub(crate) fn new(chan: &'a Arc<Chan<T>>, msg: T) -> SendFuture<'a, T> {
        SendFuture { chan, slot: TaskSlot::new(Packet::full(msg)), has_message: Cell::new(true) }
    }

    /// Takes the message out of the packet.
    ///
    /// # Safety
    ///
    /// The message is in the packet. The slot is in no queue.
    unsafe fn take(&self) -> T {
        self.has_message.set(false);
        // SAFETY: the caller guarantees that the message is there and that no other thread touches it. `has_message` is
        // now false, so it is not taken again.
        unsafe { self.slot.packet.take() }
    }
}

impl<T> Future for SendFuture<'_, T> {
    type Output = Result<(), SendError<T>>;

    /// # Panics
    ///
    /// Panics if the future is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(poll_operation(context));
        let this = self.into_ref().get_ref();
        let sent = this.poll_send(context);
        if sent.is_pending() {
            note_pending(Kind::Send, this.chan.address());
        }
        sent
    }
}

impl<T> SendFuture<'_, T> {
    fn poll_send(&self, context: &Context<'_>) -> Poll<Result<(), SendError<T>>> {
        let slot = &self.slot;
        // The waker is cloned before and dropped after the lock is held, because both run user code. Locals are dropped
        // in reverse order, so it is declared before the lock guard. It may be dropped when the operation is done.
        let mut waker = OwnedWaker::new(context.waker());
        let mut wakes = Wakes::new();
        let mut state = self.chan.lock();
        if slot.phase.get() == Phase::Queued {
            match slot.packet.wait_slot().status() {
                Status::Waiting => {
                    // SAFETY: the lock of the queue that the slot is in is held.
                    waker = unsafe { slot.waiter.set_waker(waker.take()) };
                    drop(state);
                    drop(waker);
                    return Poll::Pending;
                }
                Status::Done => {
                    slot.close();
                    self.has_message.set(false);
                    return Poll::Ready(Ok(()));
                }
                _ => {
                    slot.close();
                    // SAFETY: the channel was closed, so no receiver has taken the message. The waiter was claimed, so
                    // it is in no queue.
                    return Poll::Ready(Err(SendError(unsafe { self.take() })));
                }
            }
        }
        if !self.has_message.get() {
            drop(state);
            panic!("`SendFuture` polled after it was ready");
        }
        // SAFETY: `has_message` is set. The phase is `Idle`, so the slot is in no queue.
        match state.send(unsafe { self.take() }, &mut wakes) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(TrySendError::Disconnected(msg)) => Poll::Ready(Err(SendError(msg))),
            Err(TrySendError::Full(msg)) => {
                // SAFETY: the slot is empty, because the message was taken above. The future is pinned. In phase `Idle`
                // it is in no queue. Dropping the future removes it from the queue before its memory is freed.
                unsafe {
                    slot.packet.put(msg);
                    self.has_message.set(true);
                    let node = slot.open(&mut waker, Phase::Queued);
                    state.push_sender(node, &mut wakes);
                }
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for SendFuture<'_, T> {
    fn drop(&mut self) {
        if self.slot.phase.get() == Phase::Queued {
            let mut state = self.chan.lock();
            self.slot.close();
            // SAFETY: the node was put into this queue, and is valid. If it was claimed, it is in no queue.
            unsafe { state.senders.remove(self.slot.node()) };
            drop(state);
            self.has_message.set(self.slot.packet.wait_slot().status() != Status::Done);
        }
        if self.has_message.get() {
            // SAFETY: the message is in the packet, and the slot is in no queue.
            drop(unsafe { self.take() });
        }
    }
}

impl<T> fmt::Debug for SendFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("SendFuture { .. }")
    }
}
