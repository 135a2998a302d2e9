//! The attributes `#[kahn::main]` and `#[kahn::test]`.
//!
//! They are thin: a function's body moves into a function of the same name inside it, and what stands around it calls
//! the hidden helpers of `kahn::__private` with the settings. They name the crate `::kahn`, so it must not be renamed in
//! the user's `Cargo.toml`.

mod settings;
mod expand;

use proc_macro::TokenStream;

use crate::expand::Over;

/// Runs `fn main` as the main green thread of a new runtime.
///
/// It may return whatever a `main` may return, `Send` or not. When it has returned, the green threads that still run are
/// cancelled. A panic in it ends the process as usual, with exit code 101. When all green threads are asleep and nothing
/// can wake any of them, the report of who waits for what is printed to standard error, and the exit code is 2. A runtime
/// that does not start (an absurd setting, a `KAHN_WORKERS` that is no number) is one line on standard error and exit
/// code 1.
///
/// # Settings
///
/// As arguments, each at most once, with any expression as its value:
///
/// | argument | of `kahn::runtime::Builder` |
/// |---|---|
/// | `workers = 4` | `workers` |
/// | `stack_size = 1 << 20` | `stack_size` |
/// | `blocking_threads = 64` | `blocking_threads` |
/// | `name = "shop"` | `name` |
/// | `unsafe(migratory)` | `migratory`, whose Safety section says what you vouch for |
///
/// # Examples
///
/// ```
/// #[kahn::main(workers = 2)]
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let (tx, rx) = kahn::channel::bounded(1);
///     kahn::spawn(move || tx.send("42"));
///     assert_eq!(rx.recv()?.parse::<i32>()?, 42);
///     Ok(())
/// }
/// ```
#[proc_macro_attribute]
pub fn main(settings: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand(Over::Main, settings.into(), item.into()).into()
}

/// Makes a test whose body is the main green thread of a runtime of its own.
///
/// Takes the settings of [`macro@main`], stands instead of `#[test]`, and beside `#[should_panic]`, `#[ignore]` and the
/// like. The test fails as usual by a panic, or by what it returns; and if all green threads are asleep and nothing can
/// wake any of them, with the report of who waits for what as the panic's message.
///
/// # Examples
///
/// ```
/// #[kahn::test(workers = 1)]
/// fn the_answer_arrives() {
///     let (tx, rx) = kahn::channel::bounded(0);
///     kahn::spawn(move || tx.send(42));
///     assert_eq!(rx.recv(), Ok(42));
/// }
/// ```
#[proc_macro_attribute]
pub fn test(settings: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand(Over::Test, settings.into(), item.into()).into()
}
