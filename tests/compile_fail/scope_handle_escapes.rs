//! The handle of a scope's green thread does not leave the scope.
fn main() {
    let local = String::from("x");
    let mut kept = None;
    kahn::scope(|s| {
        let handle = s.spawn(|| local.len());
        #[cfg(fault)]
        let _ = kept.insert(handle); //~ borrowed data escapes
        #[cfg(not(fault))]
        let _ = kept.insert(handle.join().unwrap());
    });
}
