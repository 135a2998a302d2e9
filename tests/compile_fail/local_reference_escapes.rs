//! A green thread's local value is seen inside `with` alone.
kahn::local! { static NAME: String = String::from("x"); }
fn main() {
    #[cfg(fault)]
    let _name: &String = NAME.with(|name| name); //~ lifetime may not live long enough
    #[cfg(not(fault))]
    let _name: String = NAME.with(|name| name.clone());
}
