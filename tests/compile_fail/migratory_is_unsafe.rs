//! Whoever lets green threads change their OS thread vouches for what stands on their stacks.
fn main() {
    #[cfg(fault)]
    let builder = kahn::Runtime::builder().migratory(); //~ E0133
    // SAFETY: no green thread is ever run.
    #[cfg(not(fault))]
    let builder = unsafe { kahn::Runtime::builder().migratory() };
    drop(builder);
}
