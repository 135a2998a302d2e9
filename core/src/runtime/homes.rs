//! The kinds of homes.

/// What the green threads of a runtime are bound to after they have parked for the first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Homes {
    /// A thread identity that a few green threads share, and that moves between the workers. A green thread sees the same
    /// thread-locals all its life, as on an OS thread, and yet runs on whichever worker is free.
    Travelling,
    /// The OS thread of a worker. A green thread that has parked stays on its worker.
    #[default]
    KernelThreads,
}
