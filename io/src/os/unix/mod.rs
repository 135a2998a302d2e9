//! What only Unix systems have, with the names of [`std::os::unix`].

pub mod fs;
pub mod net;
pub mod process;
