//! There are no green threads: who waits is an OS thread, or a thread of the model.

/// Why a green thread gives its worker the CPU back. There are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspend {
    /// The job waits to be woken.
    Parked,
}

/// The way from a green thread's stack back to its worker's. There are none.
#[derive(Debug)]
pub struct Switch(());

impl Switch {
    /// Never called: who waits is a thread.
    pub fn suspend(&self, _why: Suspend) {
        unreachable!("there are no green threads in this build");
    }
}

/// Items that stand on fibers, which this build does without.
#[macro_export]
#[doc(hidden)]
macro_rules! production {
    ($($item:item)*) => {};
}

/// Items of the builds without fibers: their tests.
macro_rules! without_fibers {
    ($($item:item)*) => { $($item)* };
}
