//! A green thread of `spawn_local` can outlive its parent, so it borrows nothing.
#[kahn::main]
fn main() {
    let local = String::new();
    #[cfg(fault)]
    let borrowed = &local; //~ E0597
    #[cfg(not(fault))]
    let borrowed = local.clone();
    kahn::spawn_local(move || borrowed.len());
}
