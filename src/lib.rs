//! kahn
