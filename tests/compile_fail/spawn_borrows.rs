//! A green thread of `spawn` can outlive its parent, so it borrows nothing.
fn main() {
    let local = String::new();
    #[cfg(fault)]
    let borrowed = &local; //~ E0597
    #[cfg(not(fault))]
    let borrowed = local.clone();
    kahn::spawn(move || borrowed.len());
}
