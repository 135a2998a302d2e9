//! What an operation holds from the moment at which it is chosen until its message moves.
//!
//! A select chooses an operation before its message exists (a send) or before the type of the message is known (a
//! receive). `Sender::reserve` chooses a send whose message is made later. Both take a reservation, under the channel's
//! lock. A reservation is counted in the channel's state; it is not bound to a particular message.
//!
//! | side | taken by | used by | given up by |
//! |---|---|---|---|
//! | send | `reserve_send` | `send_reserved` | `release_send` |
//! | receive | `reserve_recv` | `take_reserved` | `release_recv` |
//! | receive, unsent | `reserve_recv`, `recv`, or by a sender that reserves | `check_unsent` turns it into another | `release_unsent` |
//! | timer | `fire` | nothing to do | `put_back` |
//!
//! Each of these is a step on the channel's state (`flavors`), and a method of the channel that locks it (`channel`).

use std::time::Instant;

/// A reservation. It has no destructor: its holder uses it, or gives it up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Reservation {
    /// Of a send: a place in the channel, or with capacity 0 a receiver that waits for the message. Of a receive: a
    /// message in the channel.
    Reserved,
    /// Of a receive with capacity 0: the message of a sender that holds a reservation, and has yet to send. The sender
    /// may give its reservation up. This never reaches the code that completes an operation.
    Unsent,
    /// Nothing, because the channel is closed. The operation is ready, and fails.
    Closed,
    /// The message of a timer.
    Fired(Instant),
}
