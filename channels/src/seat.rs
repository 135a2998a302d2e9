//! What a waiter leaves in a channel's queue: the payload of its node.
//!
//! A waiter either has a slot for a message (a [`Packet`]: a plain send or receive, blocking or async) or asks for the
//! *right* to do the operation next (a bare [`Seat`]: a select, a reservation), or only wants to be told that something
//! may be ready. The claimer finds out which by the seat's kind, and leaves its answer in the seat's status.
//!
//! Seat and slot are written with the channel's lock held, and read by the owner after it has been woken (a task: with
//! the lock held). While the node is linked, or its party claimed and not yet woken, they belong to the channel.

use core::cell::{Cell, UnsafeCell};
use core::mem::MaybeUninit;
use core::ptr::NonNull;

/// How a waiter wants to be served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Want {
    /// The message itself is moved out of, or into, the [`Packet`] that this seat is the head of.
    Message,
    /// The right to do the operation.
    Right,
}

/// What became of a waiter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    /// Nothing yet, or it timed out or was cancelled.
    Waiting,
    /// The message has been moved, or the right granted.
    Done,
    /// The channel was closed or disconnected. A sender's message is still in its packet.
    Closed,
    /// A receiver holds a promise now, of a message which a selected sender is about to send.
    Promised,
    /// What was promised will not come: start again.
    Retry,
}

/// The head of every payload.
pub(crate) struct Seat {
    want: Want,
    status: Cell<Status>,
}

impl Seat {
    pub(crate) fn new(want: Want) -> Seat {
        Seat { want, status: Cell::new(Status::Waiting) }
    }

    #[inline]
    pub(crate) fn want(&self) -> Want {
        self.want
    }

    #[inline]
    pub(crate) fn status(&self) -> Status {
        self.status.get()
    }

    #[inline]
    pub(crate) fn set_status(&self, status: Status) {
        self.status.set(status);
    }

    /// The payload of a node.
    #[inline]
    pub(crate) fn payload(&self) -> *mut () {
        core::ptr::from_ref(self).cast_mut().cast()
    }
}

/// A seat with a slot for a message.
#[repr(C)]
pub(crate) struct Packet<T> {
    seat: Seat,
    slot: UnsafeCell<MaybeUninit<T>>,
}

impl<T> Packet<T> {
    /// A receiver's packet.
    #[inline]
    pub(crate) fn empty() -> Packet<T> {
        Packet { seat: Seat::new(Want::Message), slot: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    /// A sender's packet. Dropping it does not drop the message: whoever finds it still there takes it out.
    #[inline]
    pub(crate) fn full(msg: T) -> Packet<T> {
        Packet { seat: Seat::new(Want::Message), slot: UnsafeCell::new(MaybeUninit::new(msg)) }
    }

    /// The packet's own account of what became of it.
    #[inline]
    pub(crate) fn seat(&self) -> &Seat {
        &self.seat
    }

    /// The payload of a node: a pointer to the whole packet, of which the seat is the first field.
    #[inline]
    pub(crate) fn payload(&self) -> *mut () {
        core::ptr::from_ref(self).cast_mut().cast()
    }

    /// Moves the message out.
    ///
    /// # Safety
    ///
    /// A message is in the slot, the caller alone may touch the slot, and the message is not taken again.
    #[inline]
    pub(crate) unsafe fn take(&self) -> T {
        // SAFETY: by the contract.
        unsafe { (*self.slot.get()).assume_init_read() }
    }

    /// Moves a message in.
    ///
    /// # Safety
    ///
    /// The slot is empty, and the caller alone may touch it.
    #[inline]
    pub(crate) unsafe fn put(&self, msg: T) {
        // SAFETY: by the contract.
        unsafe { (*self.slot.get()).write(msg) };
    }
}

/// The payload of a claimed node, as the claimer sees it.
#[derive(Clone, Copy)]
pub(crate) struct Guest<'a> {
    seat: &'a Seat,
    payload: NonNull<()>,
}

impl<'a> Guest<'a> {
    /// # Safety
    ///
    /// `payload` comes from [`Seat::payload`] or [`Packet::payload`] (of the channel's message type) of a node that was
    /// claimed under the lock that the caller still holds and holds for `'a`, and its party has not been woken.
    #[inline]
    pub(crate) unsafe fn new(payload: *mut ()) -> Guest<'a> {
        // SAFETY: by the contract it points to a seat, alone or as the first field of a packet.
        unsafe { Guest { seat: &*payload.cast::<Seat>(), payload: NonNull::new_unchecked(payload) } }
    }

    /// The packet, if that is what the guest has.
    ///
    /// # Safety
    ///
    /// `T` is the channel's message type.
    #[inline]
    pub(crate) unsafe fn packet<T>(self) -> Option<&'a Packet<T>> {
        match self.seat.want() {
            // SAFETY: a seat that wants a message is the head of a packet, see `Packet`'s constructors.
            Want::Message => Some(unsafe { self.payload.cast::<Packet<T>>().as_ref() }),
            Want::Right => None,
        }
    }

    #[inline]
    pub(crate) fn seat(self) -> &'a Seat {
        self.seat
    }
}
