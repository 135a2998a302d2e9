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
