//! A selected operation, and how it is completed.

use core::fmt;
use core::mem::ManuallyDrop;

use crate::error::{RecvError, SendError};
use crate::receiver::{Receiver, Source};
use crate::reservation::Reservation;
use crate::select::case::{Identity, Operation};
use crate::select::engine::Case;
use crate::select::future_case::FutureCase;
use crate::sender::Sender;

/// A selected operation with its reservation.
///
/// It has no destructor, so that the arms of the macros may move or drop what the operands borrow. While code runs that
/// may panic, the operation is [held](Self::hold).
#[must_use]
pub struct Selected<'a> {
    case: Case<'a>,
    reservation: Reservation,
}

impl<'a> Selected<'a> {
    pub(crate) fn new(case: Case<'a>, reservation: Reservation) -> Selected<'a> {
        Selected { case, reservation }
    }

    /// Returns the index of the operation.
    #[inline]
    pub fn index(&self) -> usize {
        self.case.index
    }

    fn is(&self, identity: Identity) -> bool {
        self.case.operation.identity() == identity
    }

    /// Turns this into a guard that gives up the reservation if it is dropped before the operation is completed.
    #[inline]
    pub fn hold(self) -> Held<'a> {
        Held(self)
    }

    /// Completes a receive.
    #[inline]
    pub fn recv<T>(self, receiver: &Receiver<T>) -> Result<T, RecvError> {
        match (&receiver.source, self.reservation) {
            (Source::Chan(chan), Reservation::Reserved) => Ok(chan.take_reserved()),
            (Source::Timer(timer), Reservation::Fired(when)) => Ok(timer.message(when)),
            _ => Err(RecvError),
        }
    }

    /// Returns the output of a future.
    #[inline]
    pub fn wait<F: Future>(self, case: &FutureCase<'_, F>) -> F::Output {
        case.take_output().expect("a future is selected when it has its output")
    }

    /// Completes a send.
    #[inline]
    fn send<T>(self, sender: &Sender<T>, msg: T) -> Result<(), SendError<T>> {
        match self.reservation {
            Reservation::Reserved => sender.chan.send_reserved(msg).map_err(SendError),
            _ => Err(SendError(msg)),
        }
    }
}

/// A selected operation that gives up its reservation when it is dropped.
pub struct Held<'a>(Selected<'a>);

impl<'a> Held<'a> {
    fn release(self) -> Selected<'a> {
        let this = ManuallyDrop::new(self);
        Selected { case: this.0.case, reservation: this.0.reservation }
    }

    /// Completes a send.
    #[inline]
    pub fn send<T>(self, sender: &Sender<T>, msg: T) -> Result<(), SendError<T>> {
        self.release().send(sender, msg)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.case.operation.give_up(self.0.reservation);
    }
}

/// An operation that [`Select`](crate::Select) has selected. It must be completed with the endpoint that was added to
/// the set.
///
/// # Panics
///
/// Panics if it is dropped without having been completed, unless the thread is already panicking. The operation is not
/// done then: a message stays in the channel, and with capacity 0 the partner waits for another.
///
/// # Examples
///
/// ```
/// use kahn::channel::{Select, bounded};
///
/// let (tx, rx) = bounded(1);
/// tx.send(5).unwrap();
/// let mut select = Select::new();
/// let index = select.recv(&rx);
/// let selected = select.select();
/// assert_eq!(selected.index(), index);
/// assert_eq!(selected.recv(&rx), Ok(5));
/// ```
#[must_use = "a selected operation has to be completed"]
pub struct SelectedOperation<'a>(ManuallyDrop<Held<'a>>);

impl<'a> SelectedOperation<'a> {
    pub(crate) fn new(selected: Selected<'a>) -> SelectedOperation<'a> {
        SelectedOperation(ManuallyDrop::new(selected.hold()))
    }

    /// Returns the index that was returned when the operation was added.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::{Select, bounded};
    ///
    /// let (tx, rx) = bounded(1);
    /// let mut select = Select::new();
    /// let index = select.send(&tx);
    /// let selected = select.select();
    /// assert_eq!(selected.index(), index);
    /// selected.send(&tx, 5).unwrap();
    /// # drop(rx);
    /// ```
    pub fn index(&self) -> usize {
        self.0.0.index()
    }

    /// Takes the operation out, without running the destructor.
    fn complete(self) -> Selected<'a> {
        let this = ManuallyDrop::new(self);
        Selected { case: this.0.0.case, reservation: this.0.0.reservation }
    }

    /// Completes a send.
    ///
    /// # Parks
    ///
    /// Never waits.
    ///
    /// # Errors
    ///
    /// Returns the message if the channel is disconnected or closed.
    ///
    /// # Panics
    ///
    /// Panics if the selected operation is not a send into this channel.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::{Select, bounded};
    ///
    /// let (tx, rx) = bounded(1);
    /// let mut select = Select::new();
    /// select.send(&tx);
    /// select.select().send(&tx, 5).unwrap();
    /// assert_eq!(rx.recv(), Ok(5));
    /// ```
    #[track_caller]
    pub fn send<T>(self, sender: &Sender<T>, msg: T) -> Result<(), SendError<T>> {
        assert!(self.0.0.is(sender.identity()), "passed a sender that wasn't selected");
        self.complete().send(sender, msg)
    }

    /// Completes a receive.
    ///
    /// # Parks
    ///
    /// Never waits.
    ///
    /// # Errors
    ///
    /// Returns an error if the channel is empty, and disconnected or closed.
    ///
    /// # Panics
    ///
    /// Panics if the selected operation is not a receive from this channel.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::{Select, bounded};
    ///
    /// let (tx, rx) = bounded(1);
    /// tx.send(5).unwrap();
    /// let mut select = Select::new();
    /// select.recv(&rx);
    /// assert_eq!(select.select().recv(&rx), Ok(5));
    /// ```
    #[track_caller]
    pub fn recv<T>(self, receiver: &Receiver<T>) -> Result<T, RecvError> {
        assert!(self.0.0.is(receiver.identity()), "passed a receiver that wasn't selected");
        self.complete().recv(receiver)
    }
}

impl Drop for SelectedOperation<'_> {
    fn drop(&mut self) {
        // SAFETY: this is the only place that drops the field. `complete` prevents this destructor from running.
        unsafe { ManuallyDrop::drop(&mut self.0) };
        assert!(std::thread::panicking(), "dropped `SelectedOperation` without completing the operation");
    }
}

impl fmt::Debug for SelectedOperation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("SelectedOperation { .. }")
    }
}
