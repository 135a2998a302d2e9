//! The caller of `spawn_migratory` guarantees properties of the values on the stack of the green thread.
fn main() {
    #[cfg(fault)]
    let child = kahn::thread::Builder::new().spawn_migratory(|| 1); //~ E0133
    // SAFETY: the closure does not park.
    #[cfg(not(fault))]
    let child = unsafe { kahn::thread::Builder::new().spawn_migratory(|| 1) };
    drop(child);
}
