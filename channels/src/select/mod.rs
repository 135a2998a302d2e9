//! Waiting for the first of several channel operations.

pub(crate) mod case;
mod cases;
pub(crate) mod future_case;
pub(crate) mod selected;
mod macros;
pub(crate) mod engine;
pub(crate) mod shuffle;

use core::fmt;
use core::time::Duration;
use std::time::Instant;

use crate::error::{ReadyTimeoutError, SelectTimeoutError, TryReadyError, TrySelectError};
use crate::receiver::Receiver;
use crate::select::case::Operation;
use crate::select::cases::Cases;
use crate::select::engine::{Case, Goal, SelectMode, Timeout};
use crate::select::selected::{Selected, SelectedOperation};
use crate::sender::Sender;

/// A set of channel operations. One of them is done: the first that can be.
///
/// The set is built at run time. If the operations are known at compile time, [`select!`](crate::select!) is shorter.
///
/// An operation is ready if it would not wait. This includes an operation that would fail. If several are ready, one of
/// them is selected at random, with equal probability. A set made by [`new_biased`](Self::new_biased) prefers the
/// first.
///
/// A selected operation must be completed with [`SelectedOperation::send`] or [`SelectedOperation::recv`], with the
/// same endpoint.
///
/// # Examples
///
/// ```
/// use kahn::channel::{Select, bounded};
///
/// let (tx1, rx1) = bounded(1);
/// let (tx2, rx2) = bounded::<&str>(1);
/// tx1.send(10).unwrap();
///
/// let mut select = Select::new();
/// let first = select.recv(&rx1);
/// let second = select.recv(&rx2);
/// let operation = select.select();
/// match operation.index() {
///     index if index == first => assert_eq!(operation.recv(&rx1), Ok(10)),
///     index if index == second => assert_eq!(operation.recv(&rx2), Ok("ten")),
///     _ => unreachable!(),
/// }
/// # drop(tx2);
/// ```
#[derive(Clone)]
pub struct Select<'a> {
    cases: Cases<'a>,
    next_index: usize,
    biased: bool,
}

// SAFETY: a set holds shared references to endpoints, whose own state is atomic or behind a lock. A select that runs on
// another thread than the endpoints' looks at them, enters and leaves their queues, and counts reservations. This moves
// a message at most from a waiting sender to the buffer, or from the buffer to a waiting receiver. It runs no code of
// the message's type, and drops no message. The select itself sends or receives a message only in
// `SelectedOperation::send` or `recv`, which take the endpoint again; a reference to the endpoint on that thread
// requires `T: Send`. A `SelectedOperation` is neither `Send` nor `Sync`.
unsafe impl Send for Select<'_> {}
// SAFETY: a shared reference to a set only allows copying the set.
unsafe impl Sync for Select<'_> {}

impl<'a> Select<'a> {
    /// Makes an empty set that chooses at random.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::{Select, TrySelectError};
    ///
    /// assert_eq!(Select::new().try_select().map(|_| ()), Err(TrySelectError));
    /// ```
    pub fn new() -> Select<'a> {
        Select { cases: Cases::new(), next_index: 0, biased: false }
    }

    /// Makes an empty set that prefers the operations that were added earlier.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::{Select, bounded};
    ///
    /// let (tx1, rx1) = bounded(1);
    /// let (tx2, rx2) = bounded(1);
    /// tx1.send(1).unwrap();
    /// tx2.send(2).unwrap();
    /// let mut select = Select::new_biased();
    /// select.recv(&rx1);
    /// select.recv(&rx2);
    /// let operation = select.select();
    /// assert_eq!(operation.index(), 0);
    /// assert_eq!(operation.recv(&rx1), Ok(1));
    /// ```
    pub fn new_biased() -> Select<'a> {
        Select { biased: true, ..Select::new() }
    }

    fn add(&mut self, operation: &'a dyn Operation) -> usize {
        let index = self.next_index;
        self.cases.push(Case { operation, index });
        self.next_index += 1;
        index
    }

    /// Adds a send, and returns its index. The message is passed when the operation is completed.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::{Select, bounded};
    ///
    /// let (tx, rx) = bounded(1);
    /// let mut select = Select::new();
    /// assert_eq!(select.send(&tx), 0);
    /// select.select().send(&tx, 5).unwrap();
    /// assert_eq!(rx.recv(), Ok(5));
    /// ```
    pub fn send<T>(&mut self, sender: &'a Sender<T>) -> usize {
        self.add(sender)
    }

    /// Adds a receive, and returns its index.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::{Select, bounded};
    ///
    /// let (tx, rx) = bounded(1);
    /// tx.send(5).unwrap();
    /// let mut select = Select::new();
    /// assert_eq!(select.recv(&rx), 0);
    /// assert_eq!(select.select().recv(&rx), Ok(5));
    /// ```
    pub fn recv<T>(&mut self, receiver: &'a Receiver<T>) -> usize {
        self.add(receiver)
    }

    /// Removes an operation. The indices of the others do not change.
    ///
    /// This takes time logarithmic in the number of operations, averaged over the removals.
    ///
    /// # Panics
    ///
    /// Panics if the set has no operation with this index, for instance because it was removed before.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::{Select, bounded};
    ///
    /// let (_tx1, rx1) = bounded::<i32>(1);
    /// let (tx2, rx2) = bounded(1);
    /// tx2.send(2).unwrap();
    /// let mut select = Select::new();
    /// let first = select.recv(&rx1);
    /// let second = select.recv(&rx2);
    /// select.remove(first);
    /// let operation = select.select();
    /// assert_eq!(operation.index(), second);
    /// assert_eq!(operation.recv(&rx2), Ok(2));
    /// ```
    pub fn remove(&mut self, index: usize) {
        assert!(index < self.next_index, "index out of bounds; {index} >= {}", self.next_index);
        assert!(self.cases.remove(index), "no operation with this index; {index} was removed");
    }

    #[track_caller]
    fn choose(&mut self, timeout: Timeout) -> Option<SelectedOperation<'a>> {
        let mode = SelectMode { goal: Goal::Select, biased: self.biased };
        let (case, reservation) = self.cases.wait_for(mode, timeout)?;
        Some(SelectedOperation::new(Selected::new(case, reservation)))
    }

    #[track_caller]
    fn watch(&mut self, timeout: Timeout) -> Option<usize> {
        let mode = SelectMode { goal: Goal::Ready, biased: self.biased };
        let (case, _) = self.cases.wait_for(mode, timeout)?;
        Some(case.index)
    }

    fn assert_not_empty(&self) {
        assert!(!self.cases.is_empty(), "no operations have been added to `Select`");
    }

    /// Chooses an operation that is ready now.
    ///
    /// # Parks
    ///
    /// Parks only with capacity 0, as [`Receiver::try_recv`] does.
    ///
    /// # Errors
    ///
    /// Returns an error if no operation is ready.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::{Select, TrySelectError, bounded};
    ///
    /// let (_tx, rx) = bounded::<i32>(1);
    /// let mut select = Select::new();
    /// select.recv(&rx);
    /// assert_eq!(select.try_select().map(|_| ()), Err(TrySelectError));
    /// ```
    #[track_caller]
    pub fn try_select(&mut self) -> Result<SelectedOperation<'a>, TrySelectError> {
        self.choose(Timeout::Now).ok_or(TrySelectError)
    }

    /// Waits until an operation is ready, and chooses it.
    ///
    /// # Parks
    ///
    /// Parks until an operation is ready.
    ///
    /// # Panics
    ///
    /// Panics if the set is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::{Select, bounded};
    ///
    /// let (tx, rx) = bounded(1);
    /// std::thread::spawn(move || tx.send(5).unwrap());
    /// let mut select = Select::new();
    /// select.recv(&rx);
    /// assert_eq!(select.select().recv(&rx), Ok(5));
    /// ```
    #[track_caller]
    pub fn select(&mut self) -> SelectedOperation<'a> {
        self.assert_not_empty();
        self.choose(Timeout::Never).expect("waits until one is selected")
    }

    /// Waits for at most `timeout` until an operation is ready, and chooses it.
    ///
    /// # Parks
    ///
    /// Parks until an operation is ready or the timeout has elapsed.
    ///
    /// # Errors
    ///
    /// Returns an error if the timeout has elapsed.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::{Select, SelectTimeoutError, bounded};
    /// use std::time::Duration;
    ///
    /// let (_tx, rx) = bounded::<i32>(1);
    /// let mut select = Select::new();
    /// select.recv(&rx);
    /// let selected = select.select_timeout(Duration::from_millis(5));
    /// assert_eq!(selected.map(|_| ()), Err(SelectTimeoutError));
    /// ```
    #[track_caller]
    pub fn select_timeout(&mut self, timeout: Duration) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.choose(Timeout::after(timeout)).ok_or(SelectTimeoutError)
    }

    /// Waits until an operation is ready, at most until `deadline`, and chooses it.
    ///
    /// # Parks
    ///
    /// Parks until an operation is ready or the deadline has passed.
    ///
    /// # Errors
    ///
    /// Returns an error if the deadline has passed.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::{Select, bounded};
    ///
    /// let (_tx, rx) = bounded::<i32>(1);
    /// let mut select = Select::new();
    /// select.recv(&rx);
    /// assert!(select.select_deadline(std::time::Instant::now()).is_err());
    /// ```
    #[track_caller]
    pub fn select_deadline(
        &mut self,
        deadline: Instant,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.choose(Timeout::At(deadline)).ok_or(SelectTimeoutError)
    }

    /// Returns the index of an operation that is ready now. It reserves nothing: another thread may do the operation
    /// first.
    ///
    /// # Parks
    ///
    /// Never waits.
    ///
    /// # Errors
    ///
    /// Returns an error if no operation is ready.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::{Select, bounded};
    ///
    /// let (tx, rx) = bounded(1);
    /// let mut select = Select::new();
    /// let index = select.recv(&rx);
    /// assert!(select.try_ready().is_err());
    /// tx.send(1).unwrap();
    /// assert_eq!(select.try_ready(), Ok(index));
    /// assert_eq!(rx.try_recv(), Ok(1));
    /// ```
    #[track_caller]
    pub fn try_ready(&mut self) -> Result<usize, TryReadyError> {
        self.watch(Timeout::Now).ok_or(TryReadyError)
    }

    /// Waits until an operation is ready, and returns its index.
    ///
    /// It reserves nothing: another thread may do the operation first. The caller tries the operation, and waits again
    /// if the attempt fails.
    ///
    /// # Parks
    ///
    /// Parks until an operation is ready.
    ///
    /// # Panics
    ///
    /// Panics if the set is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::{Select, bounded};
    ///
    /// let (tx, rx) = bounded(1);
    /// std::thread::spawn(move || tx.send(5).unwrap());
    /// let mut select = Select::new();
    /// let index = select.recv(&rx);
    /// assert_eq!(select.ready(), index);
    /// assert_eq!(rx.try_recv(), Ok(5));
    /// ```
    #[track_caller]
    pub fn ready(&mut self) -> usize {
        self.assert_not_empty();
        self.watch(Timeout::Never).expect("waits until one is ready")
    }

    /// Waits for at most `timeout` until an operation is ready, and returns its index, like [`ready`](Self::ready).
    ///
    /// # Parks
    ///
    /// Parks until an operation is ready or the timeout has elapsed.
    ///
    /// # Errors
    ///
    /// Returns an error if the timeout has elapsed.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::{Select, bounded};
    ///
    /// let (_tx, rx) = bounded::<i32>(1);
    /// let mut select = Select::new();
    /// select.recv(&rx);
    /// assert!(select.ready_timeout(std::time::Duration::from_millis(5)).is_err());
    /// ```
    #[track_caller]
    pub fn ready_timeout(&mut self, timeout: Duration) -> Result<usize, ReadyTimeoutError> {
        self.watch(Timeout::after(timeout)).ok_or(ReadyTimeoutError)
    }

    /// Waits until an operation is ready, at most until `deadline`, and returns its index, like [`ready`](Self::ready).
    ///
    /// # Parks
    ///
    /// Parks until an operation is ready or the deadline has passed.
    ///
    /// # Errors
    ///
    /// Returns an error if the deadline has passed.
    ///
    /// # Examples
    ///
    /// ```
    /// use kahn::channel::{Select, bounded};
    ///
    /// let (_tx, rx) = bounded::<i32>(1);
    /// let mut select = Select::new();
    /// select.recv(&rx);
    /// assert!(select.ready_deadline(std::time::Instant::now()).is_err());
    /// ```
    #[track_caller]
    pub fn ready_deadline(&mut self, deadline: Instant) -> Result<usize, ReadyTimeoutError> {
        self.watch(Timeout::At(deadline)).ok_or(ReadyTimeoutError)
    }
}

impl Default for Select<'_> {
    fn default() -> Self {
        Select::new()
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Select { .. }")
    }
}
