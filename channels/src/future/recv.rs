//! The future and the stream of receives.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use futures_core::Stream;
use kahn_core::primitives::Arc;
use kahn_core::wait::{Kind, OwnedWaker, TaskTimer, note_pending, poll_operation};

use crate::channel::Chan;
use crate::error::{RecvError, TryRecvError};
use crate::flavors::Taken;
use crate::flavors::timer::Timer;
use crate::future::{Phase, TaskSlot};
use crate::receiver::{Receiver, Source};
use crate::reservation::Reservation;
use crate::waiters::{Packet, Status, Wakes};

impl<T> Receiver<T> {
    /// Receives a message from async code. The future waits like [`recv`](Self::recv), in the same queue.
    ///
    /// Cancel safety: if the future is dropped before it is ready, no message is lost. A message that it was already
    /// handed goes to the next receiver, or back to the front of the channel.
    ///
    /// # Parks
    ///
    /// Never parks the thread. The task waits.
    ///
    /// # Errors
    ///
    /// Returns an error if the channel is empty, and disconnected or closed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{future::Future, pin::pin, task::{Context, Poll, Waker}};
    /// let (tx, rx) = kahn::channel::bounded(1);
    /// let mut received = pin!(rx.recv_async());
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert_eq!(received.as_mut().poll(&mut context), Poll::Pending);
    /// tx.send(7).unwrap();
    /// assert_eq!(received.as_mut().poll(&mut context), Poll::Ready(Ok(7)));
    /// ```
    pub fn recv_async(&self) -> RecvFuture<'_, T> {
        RecvFuture::new(self)
    }

    /// Returns the messages as a stream, for async code. The stream ends when the channel is empty, and disconnected or
    /// closed.
    ///
    /// Cancel safety: as for [`recv_async`](Self::recv_async).
    ///
    /// # Parks
    ///
    /// Never parks the thread. The task waits.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::{pin::pin, task::{Context, Poll, Waker}};
    /// use futures_core::Stream;
    ///
    /// let (tx, rx) = kahn::channel::bounded(1);
    /// let mut messages = pin!(rx.into_stream());
    /// tx.send(7).unwrap();
    /// drop(tx);
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert_eq!(messages.as_mut().poll_next(&mut context), Poll::Ready(Some(7)));
    /// assert_eq!(messages.as_mut().poll_next(&mut context), Poll::Ready(None));
    /// ```
    pub fn into_stream(self) -> RecvStream<T> {
        RecvStream::new(self)
    }
}

impl<T> TaskSlot<T> {
    /// Polls a receive once.
    ///
    /// # Safety
    ///
    /// The slot is pinned. All polls name the same channel.
    unsafe fn poll_recv(&self, chan: &Chan<T>, context: &Context<'_>) -> Poll<Result<T, RecvError>> {
        // The waker is cloned before and dropped after the lock is held, because both run user code. Locals are dropped
        // in reverse order, so it is declared before the lock guard. It may be dropped when the operation is done.
        let mut waker = OwnedWaker::new(context.waker());
        let mut wakes = Wakes::new();
        let mut state = chan.lock();
        let mut unsent = false;
        if self.phase.get() != Phase::Idle {
            match self.packet.wait_slot().status() {
                Status::Waiting => {
                    // SAFETY: the lock of the queue that the slot is in is held.
                    waker = unsafe { self.waiter.set_waker(waker.take()) };
                    drop(state);
                    drop(waker);
                    return Poll::Pending;
                }
                Status::Done => {
                    self.close();
                    state.settle_hand(&mut wakes);
                    // SAFETY: the status `Done` means that a message was put into the packet under the lock. It is
                    // taken once: `close` has set the phase to `Idle`.
                    return Poll::Ready(Ok(unsafe { self.packet.take() }));
                }
                Status::Closed => {
                    self.close();
                    return Poll::Ready(Err(RecvError));
                }
                Status::Unsent => unsent = true,
                Status::Retry => {}
            }
            self.close();
        }
        loop {
            if unsent {
                match state.check_unsent() {
                    Some(Reservation::Reserved) => {
                        let msg = state.take_reserved();
                        state.settle(&mut wakes);
                        return Poll::Ready(Ok(msg));
                    }
                    Some(Reservation::Closed) => return Poll::Ready(Err(RecvError)),
                    Some(Reservation::Fired(_)) | None => {}
                    Some(Reservation::Unsent) => {
                        // SAFETY: the caller guarantees that the slot is pinned. In phase `Idle` it is in no queue.
                        // Dropping the future removes it from the queue before its memory is freed.
                        unsafe {
                            let node = self.open(&mut waker, Phase::Awaiting);
                            state.awaiting.push(node);
                        }
                        return Poll::Pending;
                    }
                }
            }
            match state.recv(&mut wakes) {
                Taken::Message(msg) => return Poll::Ready(Ok(msg)),
                Taken::Nothing(TryRecvError::Disconnected) => return Poll::Ready(Err(RecvError)),
                Taken::Nothing(TryRecvError::Empty) => {
                    // SAFETY: the caller guarantees that the slot is pinned. In phase `Idle` it is in no queue.
                    // Dropping the future removes it from the queue before its memory is freed.
                    unsafe {
                        let node = self.open(&mut waker, Phase::Queued);
                        state.push_receiver(node, &mut wakes);
                    }
                    return Poll::Pending;
                }
                Taken::Unsent => unsent = true,
            }
        }
    }

    /// Polls a receive from a timer once.
    ///
    /// # Safety
    ///
    /// The slot is pinned. All polls name the same timer.
    unsafe fn poll_timer(
        &self,
        timer: &Timer<T>,
        task_timer: &TaskTimer,
        context: &Context<'_>,
    ) -> Poll<Result<T, RecvError>> {
        // The waker is cloned before and dropped after the lock is held, because both run user code. Locals are dropped
        // in reverse order, so it is declared before the lock guard. It may be dropped when the operation is done.
        let mut waker = OwnedWaker::new(context.waker());
        let mut state = timer.lock();
        let fired = state.fire();
        // SAFETY: the waiter lives as long as `self`.
        let is_claimed = unsafe { self.waiter().as_ref() }.outcome().is_some();
        if self.phase.get() == Phase::Queued && (fired.is_some() || is_claimed) {
            self.close();
            // SAFETY: the node was put into this queue, whose lock is held. If it was claimed, it is in no queue.
            unsafe { state.waiters.remove(self.node()) };
        }
        if let Some(when) = fired {
            drop(state);
            task_timer.unset();
            return Poll::Ready(Ok(timer.message(when)));
        }
        if self.phase.get() == Phase::Queued {
            // SAFETY: the lock of the queue that the slot is in is held.
            waker = unsafe { self.waiter.set_waker(waker.take()) };
        } else {
            // SAFETY: the caller guarantees that the slot is pinned. In phase `Idle` it is in no queue. Dropping the
            // future removes it from the queue before its memory is freed.
            unsafe {
                let node = self.open(&mut waker, Phase::Queued);
                state.waiters.push(node);
            }
        }
        let next = state.next;
        drop(state);
        drop(waker);
        match next {
            Some(when) => task_timer.set(when, context.waker()),
            None => task_timer.unset(),
        }
        Poll::Pending
    }

    /// Ends the wait of a receiver that is dropped, whatever it waits for.
    fn leave_source(&self, source: &Source<T>) {
        match source {
            Source::Chan(chan) => self.leave_as_receiver(chan),
            Source::Timer(timer) if self.phase.get() == Phase::Queued => {
                let mut state = timer.lock();
                self.close();
                // SAFETY: the node was put into this queue, whose lock is held. If it was claimed, it is in no queue.
                unsafe { state.waiters.remove(self.node()) };
                drop(state);
            }
            Source::Timer(_) | Source::Never => {}
        }
    }

    /// Ends the wait of a receiver that is dropped. A message that it was handed goes back to the channel, and
    /// a reservation is given up.
    fn leave_as_receiver(&self, chan: &Chan<T>) {
        let phase = self.phase.get();
        if phase == Phase::Idle {
            return;
        }
        let mut wakes = Wakes::new();
        let mut state = chan.lock();
        self.close();
        match (phase, self.packet.wait_slot().status()) {
            (_, Status::Done) => {
                // SAFETY: the status `Done` means that a message was put into the packet under the lock. It is taken
                // once: `close` has set the phase to `Idle`.
                let msg = unsafe { self.packet.take() };
                state.put_back(msg, &mut wakes);
            }
            (Phase::Awaiting, Status::Waiting) => {
                // SAFETY: the node was put into this queue, and is valid. The lock is held.
                unsafe { state.awaiting.remove(self.node()) };
                state.release_unsent(&mut wakes);
            }
            (_, Status::Unsent) => state.release_unsent(&mut wakes),
            (_, Status::Waiting) => {
                // SAFETY: the node was put into this queue, and is valid. The lock is held.
                unsafe { state.receivers.remove(self.node()) };
            }
            (_, Status::Closed | Status::Retry) => {}
        }
        drop(state);
    }
}

/// Polls a receive from any source once.
///
/// # Safety
///
/// The slot is pinned. All polls name the same receiver.
unsafe fn poll_source<T>(
    slot: &TaskSlot<T>,
    task_timer: &TaskTimer,
    source: &Source<T>,
    context: &Context<'_>,
) -> Poll<Result<T, RecvError>> {
    ready!(poll_operation(context));
    let resource = match source {
        Source::Chan(chan) => chan.address(),
        Source::Timer(timer) => Arc::as_ptr(timer).cast(),
        Source::Never => core::ptr::null(),
    };
    let received = match source {
        // SAFETY: the caller guarantees that the slot is pinned and that all polls name the same channel.
        Source::Chan(chan) => unsafe { slot.poll_recv(chan, context) },
        // SAFETY: the caller guarantees that the slot is pinned and that all polls name the same timer.
        Source::Timer(timer) => unsafe { slot.poll_timer(timer, task_timer, context) },
        Source::Never => Poll::Pending,
    };
    if received.is_pending() {
        note_pending(Kind::Recv, resource);
    }
    received
}

/// The future of a receive. Made by [`Receiver::recv_async`].
///
/// # Examples
///
/// See [`Receiver::recv_async`](crate::Receiver::recv_async).
#[must_use = "futures do nothing unless polled"]
pub struct RecvFuture<'a, T> {
    receiver: &'a Receiver<T>,
    slot: TaskSlot<T>,
    task_timer: TaskTimer,
}

// SAFETY: other threads touch only the slot and the waker, and only under the channel's lock. The message may
// move to another thread, which `T: Send` allows. Only the future itself touches the task timer.
unsafe impl<T: Send> Send for RecvFuture<'_, T> {}

impl<'a, T> RecvFuture<'a, T> {
    pub(crate) fn new(receiver: &'a Receiver<T>) -> RecvFuture<'a, T> {
        RecvFuture { receiver, slot: TaskSlot::new(Packet::empty()), task_timer: TaskTimer::new() }
    }
}

impl<T> Future for RecvFuture<'_, T> {
    type Output = Result<T, RecvError>;

    /// If the future is polled again after it was ready, it receives the next message.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.into_ref().get_ref();
        // SAFETY: the future is pinned, and its receiver is always the same.
        unsafe { poll_source(&this.slot, &this.task_timer, &this.receiver.source, context) }
    }
}

impl<T> Drop for RecvFuture<'_, T> {
    fn drop(&mut self) {
        self.slot.leave_source(&self.receiver.source);
    }
}

impl<T> fmt::Debug for RecvFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("RecvFuture { .. }")
    }
}

/// A stream of messages. Made by [`Receiver::into_stream`].
///
/// # Examples
///
/// See [`Receiver::into_stream`](crate::Receiver::into_stream).
#[must_use = "streams do nothing unless polled"]
pub struct RecvStream<T> {
    receiver: Receiver<T>,
    slot: TaskSlot<T>,
    task_timer: TaskTimer,
}

// SAFETY: other threads touch only the slot and the waker, and only under the channel's lock. The message may
// move to another thread, which `T: Send` allows. Only the stream itself touches the task timer.
unsafe impl<T: Send> Send for RecvStream<T> {}

impl<T> RecvStream<T> {
    pub(crate) fn new(receiver: Receiver<T>) -> RecvStream<T> {
        RecvStream { receiver, slot: TaskSlot::new(Packet::empty()), task_timer: TaskTimer::new() }
    }
}

impl<T> Stream for RecvStream<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let this = self.into_ref().get_ref();
        // SAFETY: the stream is pinned, and its receiver is always the same.
        unsafe { poll_source(&this.slot, &this.task_timer, &this.receiver.source, context) }.map(Result::ok)
    }
}

impl<T> Drop for RecvStream<T> {
    fn drop(&mut self) {
        self.slot.leave_source(&self.receiver.source);
    }
}

impl<T> fmt::Debug for RecvStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("RecvStream { .. }")
    }
}
