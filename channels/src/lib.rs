//! Channels of kahn.
