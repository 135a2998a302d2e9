//! Two attributes would make two tests.
#[kahn::test]
#[cfg_attr(fault, test)] //~ stands instead
fn once() {}
fn main() {}
