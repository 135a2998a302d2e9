//! Attributes of kahn.
