//! `unsafe(migratory)` counts as unsafe code under `forbid(unsafe_code)`.
#![cfg_attr(fault, forbid(unsafe_code))]
#[kahn::main(unsafe(migratory))] //~ usage of an `unsafe` block
fn main() {}
