//! Another worker may poll the task after an `.await`, so what it holds must be `Send`.
#[cfg(not(fault))]
use std::sync::Arc as Shared;
#[cfg(fault)]
use std::rc::Rc as Shared;

fn main() {
    let task = async {
        let shared = Shared::new(1);
        kahn::task::yield_now().await;
        *shared
    };
    let _ = kahn::task::spawn(task).join(); //~ future cannot be sent between threads safely
}
