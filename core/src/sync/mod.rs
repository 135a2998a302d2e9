//! Locks that park green threads and block OS threads, with the names and the meaning of `std::sync`.
