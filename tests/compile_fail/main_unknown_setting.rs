//! The error is at the setting, and there is no second error.
#[cfg_attr(not(fault), kahn::main(workers = 1))]
#[cfg_attr(fault, kahn::main(workers = 1, threads = 2))] //~ there is no setting `threads`
fn main() {
    kahn::yield_now();
}
