//! A green thread of a scope may run until the scope ends, so its borrows must be older than the scope.
fn main() {
    #[cfg(not(fault))]
    let local = String::new();
    kahn::scope(|s| {
        #[cfg(fault)]
        let local = String::new();
        let borrowed = &local; //~ E0597
        s.spawn(move || borrowed.len());
    });
}
