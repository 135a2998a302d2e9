//! Sending consumes the sender of a oneshot.
fn main() {
    let (tx, _rx) = kahn::channel::oneshot();
    tx.send(1).unwrap();
    #[cfg(fault)]
    tx.send(2).unwrap(); //~ E0382
}
