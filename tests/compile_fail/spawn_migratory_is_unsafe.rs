//! Whoever lets a green thread change its OS thread vouches for what stands on its stack.
fn main() {
    #[cfg(fault)]
    let child = kahn::thread::Builder::new().spawn_migratory(|| 1); //~ E0133
    // SAFETY: the closure does not park.
    #[cfg(not(fault))]
    let child = unsafe { kahn::thread::Builder::new().spawn_migratory(|| 1) };
    drop(child);
}
