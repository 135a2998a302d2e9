//! Waiting for the first of several channel operations.

pub(crate) mod case;
mod cases;
pub(crate) mod chosen;
mod macros;
pub(crate) mod passes;
pub(crate) mod random;

use core::fmt;
use core::time::Duration;
use std::time::Instant;

use crate::clock;
use crate::error::{ReadyTimeoutError, SelectTimeoutError, TryReadyError, TrySelectError};
use crate::receiver::Receiver;
use crate::select::case::{Grant, Operation};
use crate::select::cases::Cases;
use crate::select::chosen::{Chosen, SelectedOperation};
use crate::select::passes::{Aim, Case, Manner, Patience, wait_for};
use crate::sender::Sender;

/// A set of channel operations, of which one is done: the first that can be. The set is made at run time; where it is
/// known at compile time, [`select!`](crate::select!) is shorter.
///
/// An operation is ready if it would not wait, be it because it would fail. Of several that are ready a random one is
/// chosen, each as likely as the others; [`new_biased`](Self::new_biased) makes a set that prefers the first.
///
/// A chosen operation has to be completed, with the same endpoint, by [`SelectedOperation::send`] or
/// [`SelectedOperation::recv`].
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

// SAFETY: a set holds shared references to endpoints, whose own state is behind a lock or atomic. What a select does with
// them on another thread than the endpoints' is to look, to enter and leave queues, and to count grants. That moves a
// message at most from a waiting sender to the buffer, or from there to a waiting receiver; it runs no code of the message's
// type, and drops none. A message changes hands in `SelectedOperation::recv` and `send`, which take the endpoint again: a
// reference to it on that thread needs a `T: Send`. A `SelectedOperation` itself is neither `Send` nor `Sync`.
unsafe impl Send for Select<'_> {}
// SAFETY: through a shared reference a set is copied and nothing else.
unsafe impl Sync for Select<'_> {}

impl<'a> Select<'a> {
    /// An empty set that chooses at random.
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

    /// An empty set that prefers operations that were added earlier.
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

    /// Adds a send, and answers its index. The message is given when the operation is completed.
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

    /// Adds a receive, and answers its index.
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

    /// Takes an operation out. The indices of the others stay.
    ///
    /// # Panics
    ///
    /// If no operation has this index, be it because it was taken out before.
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
        let place = self.cases.as_ref().iter().position(|case| case.index == index);
        let place = place.unwrap_or_else(|| panic!("no operation with this index; {index} was removed"));
        self.cases.remove(place);
    }

    #[track_caller]
    fn choose(&mut self, patience: Patience) -> Option<SelectedOperation<'a>> {
        let manner = Manner { aim: Aim::Choose, biased: self.biased };
        let (place, grant) = wait_for(self.cases.as_mut(), manner, patience)?;
        Some(SelectedOperation::new(Chosen::new(self.cases.as_ref()[place], grant)))
    }

    #[track_caller]
    fn watch(&mut self, patience: Patience) -> Option<usize> {
        let manner = Manner { aim: Aim::Watch, biased: self.biased };
        let (place, _): (usize, Grant) = wait_for(self.cases.as_mut(), manner, patience)?;
        Some(self.cases.as_ref()[place].index)
    }

    fn assert_not_empty(&self) {
        assert!(!self.cases.as_ref().is_empty(), "no operations have been added to `Select`");
    }

    /// Chooses an operation that is ready now.
    ///
    /// # Parks
    ///
    /// Only as [`Receiver::try_recv`] does, with capacity 0.
    ///
    /// # Errors
    ///
    /// None is ready.
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
        self.choose(Patience::None).ok_or(TrySelectError)
    }

    /// Chooses an operation, and waits until one is ready.
    ///
    /// # Parks
    ///
    /// Until an operation is ready.
    ///
    /// # Panics
    ///
    /// If the set is empty.
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
        self.choose(Patience::Endless).expect("waits until one is chosen")
    }

    /// Chooses an operation, and waits for at most `timeout` until one is ready.
    ///
    /// # Parks
    ///
    /// Until an operation is ready or the time is over.
    ///
    /// # Errors
    ///
    /// The time is over.
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
        self.choose(patience(timeout)).ok_or(SelectTimeoutError)
    }

    /// Chooses an operation, and waits until `deadline` at most until one is ready.
    ///
    /// # Parks
    ///
    /// Until an operation is ready or the time is over.
    ///
    /// # Errors
    ///
    /// The time is over.
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
        self.choose(Patience::Until(deadline)).ok_or(SelectTimeoutError)
    }

    /// The index of an operation that is ready now. Nothing is reserved: another may do it first.
    ///
    /// # Parks
    ///
    /// Never waits.
    ///
    /// # Errors
    ///
    /// None is ready.
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
        self.watch(Patience::None).ok_or(TryReadyError)
    }

    /// Waits until an operation is ready, and answers its index. Nothing is reserved: another may do it first, so try
    /// it and be ready to wait again.
    ///
    /// # Parks
    ///
    /// Until an operation is ready.
    ///
    /// # Panics
    ///
    /// If the set is empty.
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
        self.watch(Patience::Endless).expect("waits until one is ready")
    }

    /// Waits for at most `timeout` until an operation is ready, and answers its index, as [`ready`](Self::ready) does.
    ///
    /// # Parks
    ///
    /// Until an operation is ready or the time is over.
    ///
    /// # Errors
    ///
    /// The time is over.
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
        self.watch(patience(timeout)).ok_or(ReadyTimeoutError)
    }

    /// Waits until `deadline` at most until an operation is ready, and answers its index, as [`ready`](Self::ready)
    /// does.
    ///
    /// # Parks
    ///
    /// Until an operation is ready or the time is over.
    ///
    /// # Errors
    ///
    /// The time is over.
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
        self.watch(Patience::Until(deadline)).ok_or(ReadyTimeoutError)
    }
}

/// How long a time-out lasts: for ever if the clock cannot express its end.
pub(crate) fn patience(timeout: Duration) -> Patience {
    clock::deadline_in(timeout).map_or(Patience::Endless, Patience::Until)
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
