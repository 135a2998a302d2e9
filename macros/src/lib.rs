//! The attributes `#[kahn::main]` and `#[kahn::test]`.
//!
//! An attribute moves the function into the body of a new function of the same name. The new function calls a hidden
//! helper in `kahn::__private` with the settings and the original function. The expansion names the crate `::kahn`, so
//! a user must not rename the dependency in `Cargo.toml`.

#![warn(unreachable_pub)]

mod settings;
mod expand;

use proc_macro::TokenStream;

use crate::expand::Attribute;

/// Runs `fn main` as the main green thread of a new runtime.
///
/// `fn main` may return every type that a `main` may return, `Send` or not. When it returns, the green threads that
/// still run are cancelled.
///
/// The exit code of the process is
///
/// - that of the returned value, if `fn main` returns;
/// - 101, if `fn main` panics;
/// - 2, after a deadlock: all green threads are parked and nothing can wake any of them. A report is printed to
///   standard error; it has a line for each green thread with the operation that it waits in;
/// - 1, if the runtime does not start, for example because `KAHN_WORKERS` is not a number. One line is printed to
///   standard error.
///
/// # Settings
///
/// The arguments of the attribute are settings of the runtime. Each may be given once, and its value may be any
/// expression.
///
/// | argument | method of `kahn::runtime::Builder` |
/// |---|---|
/// | `workers = 4` | `workers` |
/// | `stack_size = 1 << 20` | `stack_size` |
/// | `blocking_threads = 64` | `blocking_threads` |
/// | `name = "shop"` | `name` |
/// | `unsafe(migratory)` | `migratory`; its Safety section has the requirements |
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
    expand::expand(Attribute::Main, settings.into(), item.into()).into()
}

/// Marks a test and runs it as the main green thread of its own runtime.
///
/// It replaces `#[test]`, and it can be combined with attributes such as `#[should_panic]` and `#[ignore]`. It takes
/// the settings of [`macro@main`].
///
/// The test fails if it panics or returns a failure, like any test. It also fails after a deadlock, that is when all
/// green threads are parked and nothing can wake any of them. The panic's message is then a report with a line for each
/// green thread.
///
/// # Examples
///
/// ```
/// #[kahn::test(workers = 1)]
/// fn receiver_gets_the_sent_value() {
///     let (tx, rx) = kahn::channel::bounded(0);
///     kahn::spawn(move || tx.send(42));
///     assert_eq!(rx.recv(), Ok(42));
/// }
/// ```
#[proc_macro_attribute]
pub fn test(settings: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand(Attribute::Test, settings.into(), item.into()).into()
}
