//! Two green threads of a scope do not share a mutable borrow.
fn main() {
    let mut count = 0;
    kahn::scope(|s| {
        s.spawn(|| count += 1);
        #[cfg(fault)]
        s.spawn(|| count += 1); //~ E0499
    });
    assert!(count > 0);
}
