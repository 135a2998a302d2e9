//! The caller of `migratory` guarantees properties of the values on the stacks of all green threads.
fn main() {
    #[cfg(fault)]
    let builder = kahn::Runtime::builder().migratory(); //~ E0133
    // SAFETY: no green thread is ever run.
    #[cfg(not(fault))]
    let builder = unsafe { kahn::Runtime::builder().migratory() };
    drop(builder);
}
