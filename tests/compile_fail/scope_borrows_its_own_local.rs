//! A scope's green thread may go on until the scope ends, and so what it borrows must be older than the scope.
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
