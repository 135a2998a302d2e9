//! A permit borrows its sender.
fn main() {
    let (tx, _rx) = kahn::channel::bounded(1);
    let permit = tx.reserve().unwrap();
    #[cfg(fault)]
    drop(tx); //~ E0505
    permit.send(1);
}
