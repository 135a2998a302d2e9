//! The error says what to do instead, and there is no second error.
#[cfg(fault)]
#[kahn::main]
async fn main() { //~ remove the `async`
    std::future::ready(()).await;
}
#[cfg(not(fault))]
#[kahn::main]
fn main() {
    kahn::block_on(std::future::ready(()));
}
