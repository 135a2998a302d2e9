//! `#[kahn::test]` beside `#[test]` would make two tests.
#[kahn::test]
#[cfg_attr(fault, test)] //~ replaces `#[test]`
fn once() {}
fn main() {}
