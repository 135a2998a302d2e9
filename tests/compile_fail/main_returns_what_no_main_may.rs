//! The error is at the return type.
#[cfg(fault)]
#[kahn::main]
fn main() -> u32 { //~ E0277
    0
}
#[cfg(not(fault))]
#[kahn::main]
fn main() -> Result<(), u32> {
    Ok(())
}
