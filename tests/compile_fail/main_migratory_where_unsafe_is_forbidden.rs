//! `unsafe(migratory)` is unsafe code, for those who forbid that.
#![cfg_attr(fault, forbid(unsafe_code))]
#[kahn::main(unsafe(migratory))] //~ usage of an `unsafe` block
fn main() {}
