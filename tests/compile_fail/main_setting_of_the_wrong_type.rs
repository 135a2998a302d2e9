//! The error is at the value.
#[cfg(fault)]
#[kahn::main(
    name = "shop",
    workers = "four", //~ E0308
)]
fn main() {}
#[cfg(not(fault))]
#[kahn::main(name = "shop", workers = 4)]
fn main() {}
