//! A task may outlive the function that spawns it.
fn main() {
    let local = String::from("borrowed");
    #[cfg(not(fault))]
    let task = async move { local.len() };
    #[cfg(fault)]
    let task = async { local.len() }; //~ E0373
    let _ = kahn::task::spawn(task).join();
}
