//! As for `spawn`.
#[cfg(not(fault))]
use std::sync::Arc as Shared;
#[cfg(fault)]
use std::rc::Rc as Shared;

fn main() -> std::io::Result<()> {
    let shared = Shared::new(1);
    let runtime = kahn::Runtime::builder().build()?;
    runtime.spawn(move || *shared); //~ E0277
    Ok(())
}
