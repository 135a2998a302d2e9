//! What only some operating systems have, with the names of [`std::os`].

pub mod unix;
