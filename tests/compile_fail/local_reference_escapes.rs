//! A reference to a green thread's local value does not leave `with`.
kahn::thread::local! { static NAME: String = String::from("x"); }
fn main() {
    #[cfg(fault)]
    let _name: &String = NAME.with(|name| name); //~ lifetime may not live long enough
    #[cfg(not(fault))]
    let _name: String = NAME.with(|name| name.clone());
}
