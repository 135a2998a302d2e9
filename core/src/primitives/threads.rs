//! A build without green threads: each waiter is an OS thread, or a thread of the model.

/// Why a green thread returns the CPU to its worker. There are no green threads in this build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspend {
    /// The task waits to be woken.
    Parked,
}

/// The switch from a green thread's stack back to its worker's stack. It does not exist in this build.
#[derive(Clone, Copy, Debug)]
pub struct Switch(());

impl Switch {
    /// No switch.
    pub const NONE: Switch = Switch(());

    /// Returns true: there are no switches in this build.
    pub fn is_none(self) -> bool {
        true
    }

    /// Never called, because each waiter is a thread.
    ///
    /// # Safety
    ///
    /// There is a switch.
    pub unsafe fn suspend(self, _why: Suspend) {
        unreachable!("there are no green threads in this build");
    }
}
