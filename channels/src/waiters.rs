//! What a waiter leaves in a channel's queue, and the wake-ups of waiters that were claimed.
//!
//! There are three kinds of waiters. A plain send or receive, of a thread or a task, has room for the message (a
//! [`Packet`]). A select, a `reserve`, and a receiver that waits for an unsent message, ask for a *reservation* (a bare
//! [`WaitSlot`]). A watcher only asks to be told that an operation may be ready (a bare [`WaitSlot`] too, in a queue of
//! its own). The claimer tells packets from bare slots by the slot's `kind`, and leaves the outcome in the slot's
//! `status`.
//!
//! The channel's lock protects slot and packet. They are written with the lock held. The owner reads them after it has
//! been woken; an async task reads them with the lock held. While the node is in a queue, or its waiter is claimed and
//! not yet woken, slot and packet belong to the channel.

use core::cell::{Cell, UnsafeCell};
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use kahn_core::wait::{Node, Wait, Wake};

/// Wake-ups to be performed. They are performed when this is dropped, which happens after unlocking.
pub(crate) struct Wakes {
    first: Option<Wake>,
    more: Vec<Wake>,
}

impl Wakes {
    #[inline]
    pub(crate) fn new() -> Wakes {
        Wakes { first: None, more: Vec::new() }
    }

    #[inline]
    pub(crate) fn add(&mut self, wake: Wake) {
        if self.first.is_none() {
            self.first = Some(wake);
        } else {
            self.more.push(wake);
        }
    }
}

/// What a waiter asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WaitSlotKind {
    /// The message. It is moved into or out of the [`Packet`] whose first field is this wait slot.
    Message,
    /// A reservation, or the notice that the operation may be ready.
    Reservation,
}

/// What became of a waiter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    /// The waiter has not been served: it still waits, or its wait timed out or was cancelled.
    Waiting,
    /// The message has been moved, or the waiter has its reservation.
    Done,
    /// The channel is disconnected or closed. A sender's message is still in its packet.
    Closed,
    /// The receiver now holds an unsent reservation: a sender that holds a reservation will send the message.
    Unsent,
    /// The sender has given its reservation up. The receiver starts again.
    Retry,
}

/// The first part of every payload.
pub(crate) struct WaitSlot {
    kind: WaitSlotKind,
    status: Cell<Status>,
}

impl WaitSlot {
    pub(crate) fn new(kind: WaitSlotKind) -> WaitSlot {
        WaitSlot { kind, status: Cell::new(Status::Waiting) }
    }

    #[inline]
    pub(crate) fn kind(&self) -> WaitSlotKind {
        self.kind
    }

    #[inline]
    pub(crate) fn status(&self) -> Status {
        self.status.get()
    }

    #[inline]
    pub(crate) fn set_status(&self, status: Status) {
        self.status.set(status);
    }

    /// The payload for the waiter's node.
    #[inline]
    pub(crate) fn payload(&self) -> *mut () {
        core::ptr::from_ref(self).cast_mut().cast()
    }
}

/// A wait slot with a slot for a message.
#[repr(C)]
pub(crate) struct Packet<T> {
    wait_slot: WaitSlot,
    slot: UnsafeCell<MaybeUninit<T>>,
}

impl<T> Packet<T> {
    /// A receiver's packet.
    #[inline]
    pub(crate) fn empty() -> Packet<T> {
        Packet {
            wait_slot: WaitSlot::new(WaitSlotKind::Message),
            slot: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// A sender's packet. Dropping the packet does not drop the message. If the message is still there after the wait,
    /// the owner takes it out.
    #[inline]
    pub(crate) fn full(msg: T) -> Packet<T> {
        Packet {
            wait_slot: WaitSlot::new(WaitSlotKind::Message),
            slot: UnsafeCell::new(MaybeUninit::new(msg)),
        }
    }

    /// The first field, which holds the outcome.
    #[inline]
    pub(crate) fn wait_slot(&self) -> &WaitSlot {
        &self.wait_slot
    }

    /// The payload for the waiter's node: a pointer to the whole packet. The wait slot is its first field.
    #[inline]
    pub(crate) fn payload(&self) -> *mut () {
        core::ptr::from_ref(self).cast_mut().cast()
    }

    /// Moves the message out.
    ///
    /// # Safety
    ///
    /// The slot holds a message. No other thread touches the slot during the call. The message is not taken again.
    #[inline]
    pub(crate) unsafe fn take(&self) -> T {
        // SAFETY: the caller guarantees that the slot holds a message, that the access is exclusive, and that the
        // message is read once.
        unsafe { (*self.slot.get()).assume_init_read() }
    }

    /// Moves a message in.
    ///
    /// # Safety
    ///
    /// The slot is empty. No other thread touches the slot during the call.
    #[inline]
    pub(crate) unsafe fn put(&self, msg: T) {
        // SAFETY: the caller guarantees that the slot is empty and that the access is exclusive.
        unsafe { (*self.slot.get()).write(msg) };
    }
}

/// The payload of a claimed node, as the claimer sees it.
#[derive(Clone, Copy)]
pub(crate) struct WaitSlotRef<'a> {
    wait_slot: &'a WaitSlot,
    payload: NonNull<()>,
}

impl<'a> WaitSlotRef<'a> {
    /// # Safety
    ///
    /// `payload` comes from [`WaitSlot::payload`], or from [`Packet::payload`] of a packet of the channel's message
    /// type. Its node was claimed under the channel's lock, which the caller still holds and holds for `'a`. The waiter
    /// has not been woken.
    #[inline]
    pub(crate) unsafe fn new(payload: *mut ()) -> WaitSlotRef<'a> {
        // SAFETY: the caller guarantees that `payload` points to a live wait slot, which is alone or the first field of
        // a packet.
        unsafe {
            WaitSlotRef { wait_slot: &*payload.cast::<WaitSlot>(), payload: NonNull::new_unchecked(payload) }
        }
    }

    /// The packet, if the payload is one.
    ///
    /// # Safety
    ///
    /// `T` is the channel's message type.
    #[inline]
    pub(crate) unsafe fn packet<T>(self) -> Option<&'a Packet<T>> {
        match self.wait_slot.kind() {
            // SAFETY: only the constructors of `Packet` make a wait slot with `WaitSlotKind::Message`, so this wait
            // slot is the first field of a packet. The caller guarantees its message type, and `payload` points to the
            // whole packet.
            WaitSlotKind::Message => Some(unsafe { self.payload.cast::<Packet<T>>().as_ref() }),
            WaitSlotKind::Reservation => None,
        }
    }

    #[inline]
    pub(crate) fn wait_slot(self) -> &'a WaitSlot {
        self.wait_slot
    }
}

/// What a waiting thread keeps in its frame: its open wait, its node, and the packet that the node points to.
pub(crate) struct ThreadSlot<T> {
    /// In a cell, because `finish` drops it through a shared reference.
    wait: UnsafeCell<Wait>,
    pub(crate) packet: Packet<T>,
    node: Node,
}

impl<T> ThreadSlot<T> {
    /// Writes the caller's `wait` into `slot`, with a node for `packet`.
    #[inline(always)]
    pub(crate) fn write(
        slot: &mut MaybeUninit<ThreadSlot<T>>,
        wait: Wait,
        packet: Packet<T>,
    ) -> &ThreadSlot<T> {
        let waiter = wait.waiter();
        let at = slot.as_mut_ptr();
        // SAFETY: the writes go to the uninitialised slot that the caller lends exclusively. They go field by field,
        // because the node points to the packet at its final address. All fields are written before the reference is
        // made.
        unsafe {
            (&raw mut (*at).wait).write(UnsafeCell::new(wait));
            (&raw mut (*at).packet).write(packet);
            (&raw mut (*at).node).write(Node::new(waiter, 0, (*at).packet.payload()));
            &*at
        }
    }

    #[inline(always)]
    pub(crate) fn wait(&self) -> &Wait {
        // SAFETY: only `finish` changes the wait, and after it the slot is not used.
        unsafe { &*self.wait.get() }
    }

    #[inline(always)]
    pub(crate) fn node(&self) -> NonNull<Node> {
        NonNull::from(&self.node)
    }

    /// Drops the wait.
    ///
    /// # Safety
    ///
    /// The node is in no queue. The message has been taken, or there never was one. The slot is not used afterwards.
    #[inline(always)]
    pub(crate) unsafe fn finish(&self) {
        // SAFETY: the caller guarantees that the slot is not used afterwards, so the wait is dropped once. Packet and
        // node have nothing to drop.
        unsafe { core::ptr::drop_in_place(self.wait.get()) };
    }
}
