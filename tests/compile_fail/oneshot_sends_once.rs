//! A oneshot's sender is gone after its message.
fn main() {
    let (tx, _rx) = kahn::channel::oneshot();
    tx.send(1).unwrap();
    #[cfg(fault)]
    tx.send(2).unwrap(); //~ E0382
}
