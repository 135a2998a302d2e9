//! Channels in async code: futures that wait in the same queues as threads.
//!
//! A future can be dropped at any moment, also after it has been claimed and before it is polled. Therefore both sides
//! touch its packet only with the channel's lock held. Dropping the future takes the lock, leaves the queue, and
//! returns to the channel what the future was handed and has not passed on. A future is pinned before it enters a
//! queue, so it does not move afterwards.

mod recv;
mod send;

use core::cell::{Cell, OnceCell};
use core::ptr::NonNull;

use kahn_core::wait::{Node, OwnedWaker, TaskWaiter, Waiter};

use crate::waiters::{Packet, Status};

pub use recv::{RecvFuture, RecvStream};
pub use send::SendFuture;

/// Where a future waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// In no queue.
    Idle,
    /// In the queue of senders or of receivers, or claimed there.
    Queued,
    /// A receiver that holds an unsent reservation: in the queue `awaiting`, or claimed there.
    Awaiting,
}

/// A task's waiter: its waiter, its packet, and its node in one queue.
struct TaskSlot<T> {
    waiter: TaskWaiter,
    packet: Packet<T>,
    /// Made at the first wait. The future is pinned then, so the address is final.
    node: OnceCell<Node>,
    phase: Cell<Phase>,
}

impl<T> TaskSlot<T> {
    fn new(packet: Packet<T>) -> TaskSlot<T> {
        TaskSlot { waiter: TaskWaiter::new(), packet, node: OnceCell::new(), phase: Cell::new(Phase::Idle) }
    }

    fn waiter(&self) -> NonNull<Waiter> {
        TaskWaiter::waiter(NonNull::from(&self.waiter))
    }

    /// Opens a wait, and returns the node, which the caller puts into a queue. Exchanges the waker for the previous
    /// one, which the caller drops after unlocking.
    ///
    /// # Safety
    ///
    /// The slot is pinned and in no queue. The caller holds the channel's lock.
    unsafe fn open(&self, waker: &mut OwnedWaker, phase: Phase) -> NonNull<Node> {
        // SAFETY: the slot is in no queue, so no other thread touches the waker.
        *waker = unsafe { self.waiter.set_waker(waker.take()) };
        let node = self.node.get_or_init(|| Node::new(self.waiter(), 0, self.packet.payload()));
        self.packet.wait_slot().set_status(Status::Waiting);
        // SAFETY: the waiter lives as long as `self`.
        unsafe { self.waiter().as_ref() }.prepare(false);
        self.phase.set(phase);
        NonNull::from(node)
    }

    /// Closes the wait. The caller holds the channel's lock. The node is in no queue afterwards: the caller removes it
    /// under the same lock if it is still in one.
    fn close(&self) {
        // SAFETY: the waiter lives as long as `self`.
        unsafe { self.waiter().as_ref() }.finish();
        self.phase.set(Phase::Idle);
    }

    fn node(&self) -> NonNull<Node> {
        NonNull::from(self.node.get().expect("made when the wait was opened"))
    }
}
