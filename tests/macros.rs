//! `#[kahn::test]`: every setting, every kind of result, and the attributes of the function.

use std::error::Error;
use std::rc::Rc;

#[kahn::test]
fn test_runs_in_a_green_thread() {
    assert!(kahn::thread::is_green());
    assert_eq!(kahn::spawn(|| 6 * 7).join().unwrap(), 42);
}

#[kahn::test()]
fn settings_may_be_empty() {
    assert!(kahn::thread::is_green());
}

const BYTES: usize = 4 << 20;

#[kahn::test(workers = 2, stack_size = BYTES, blocking_threads = 1 + 1, name = "shop",)]
fn every_setting_accepts_expressions() {
    let name = kahn::blocking(|| std::thread::current().name().map(str::to_owned));
    assert!(name.is_some_and(|name| name.starts_with("shop")));
    // More than the default stack would hold.
    let big = std::hint::black_box([1_u8; 600 * 1024]);
    kahn::yield_now();
    assert!(big.iter().all(|byte| *byte == 1));
}

#[kahn::test(
    workers = 2,
    // SAFETY: what stands on the stacks while they park are numbers and handles, which are `Send`.
    unsafe(migratory)
)]
fn migratory_setting_is_accepted() {
    let children: Vec<_> = (0..100).map(|n| kahn::spawn(move || (kahn::yield_now(), n).1)).collect();
    assert_eq!(children.into_iter().map(|child| child.join().unwrap()).sum::<i32>(), 4950);
}

#[kahn::test(workers = if cfg!(debug_assertions) { 1 } else { 2 })]
fn setting_may_have_several_tokens() {}

#[kahn::test]
fn result_need_not_be_send() -> Result<(), Box<dyn Error>> {
    assert_eq!("42".parse::<i32>()?, 42);
    Ok(())
}

#[derive(Debug)]
struct Failure(#[expect(dead_code, reason = "shown by Debug")] Rc<str>);

#[kahn::test]
fn error_need_not_be_send() -> Result<(), Failure> {
    let _kept = Rc::new(1);
    kahn::yield_now();
    if std::env::args().len() == 0 { Err(Failure("no arguments".into())) } else { Ok(()) }
}

#[kahn::test]
fn exit_code_is_a_result() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}

#[kahn::test]
#[expect(clippy::unused_unit, reason = "this is what it is about")]
fn unit_result_may_be_explicit() -> () {}

#[kahn::test]
#[should_panic(expected = "exactly this")]
fn panic_keeps_its_message() {
    kahn::yield_now();
    panic!("exactly this");
}

#[should_panic(expected = "all green threads are asleep")]
#[kahn::test]
fn deadlock_is_a_panic_with_the_report() {
    kahn::thread::park();
}

#[kahn::test(workers = 0)]
#[should_panic(expected = "a runtime has from 1 to 4096 workers")]
fn zero_workers_is_a_panic() {}

#[kahn::test(stack_size = 1)]
#[should_panic(expected = "kahn does not start: ")]
fn impossible_stack_is_a_panic() {}

#[kahn::test]
#[ignore = "must be left out"]
fn ignore_attribute_is_kept() {
    unreachable!("it is ignored");
}

/// The attribute's other neighbours stay, too.
#[kahn::test]
#[cfg(any())]
fn cfg_attribute_is_kept() {
    this_does_not_compile
}

mod inner {
    /// Visible from outside, and callable: it is a function still.
    #[kahn::test]
    #[expect(unused_variables, reason = "that this lint is silent shows that the attribute is kept")]
    pub(crate) fn visible() {
        let unused = 1;
    }
}

#[test]
fn attributed_function_can_be_called() {
    inner::visible();
}
