//! Stack overflows: the process reports the name of the green thread, the size of its stack and the remedy, and
//! aborts. Other faults reach the handler that was installed before.
//!
//! Method: a test starts itself again as a child, which dies. The parent checks how it died and what it printed.

#![cfg(unix)]

mod support;

use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use support::{child, is_child, runtime, stderr};

#[expect(unconditional_recursion, reason = "to overflow is the purpose")]
fn deeper(n: u64) -> u64 {
    let frame = black_box([n; 64]);
    deeper(n + 1) + black_box(frame)[(n % 64) as usize]
}

/// One frame larger than the whole stack: the probes of its prologue must not step over the guard.
#[inline(never)]
fn one_huge_frame(n: u64) -> u64 {
    let frame = black_box([n as u8; 8 << 20]);
    u64::from(black_box(&frame)[(n % 64) as usize])
}

/// Runs `doom` in a child, and answers what it printed before it was killed by `signal`.
#[track_caller]
fn last_words(test: &str, signal: i32, doom: impl FnOnce()) -> String {
    if is_child(test) {
        doom();
        panic!("it should be dead");
    }
    let output = child(test, test);
    assert_eq!(output.status.signal(), Some(signal), "{:?}: {}", output.status, stderr(&output));
    stderr(&output)
}

fn overflow_in_a_green_thread(body: fn(u64) -> u64, parks: bool) {
    runtime(2).run(move || {
        let deep = kahn::thread::Builder::new().name("deep".into()).stack_size(64 * 1024);
        let handle = deep.spawn(move || {
            if parks {
                kahn::sleep(std::time::Duration::from_millis(1));
            }
            black_box(body(1))
        });
        let _ = handle.unwrap().join();
    });
}

#[track_caller]
fn check(test: &str, body: fn(u64) -> u64, parks: bool) {
    let words = last_words(test, libc::SIGABRT, || overflow_in_a_green_thread(body, parks));
    assert!(words.contains("green thread 'deep'"), "{words}");
    assert!(words.contains("has overflowed its stack of 64 KiB"), "{words}");
    assert!(words.contains(".stack_size(bytes)"), "{words}");
}

#[test]
fn recursion_is_reported_with_the_name_and_the_remedy() {
    check("recursion_is_reported_with_the_name_and_the_remedy", deeper, false);
}

#[test]
fn frame_larger_than_the_stack_is_reported() {
    check("frame_larger_than_the_stack_is_reported", one_huge_frame, false);
}

#[test]
fn overflow_after_a_park_is_reported() {
    check("overflow_after_a_park_is_reported", deeper, true);
}

#[test]
fn overflow_of_the_main_green_thread_names_the_default_size() {
    let test = "overflow_of_the_main_green_thread_names_the_default_size";
    let words = last_words(test, libc::SIGABRT, || _ = kahn::run(|| black_box(deeper(1))));
    assert!(words.contains("green thread 'main'"), "{words}");
    assert!(words.contains("has overflowed its stack of 256 KiB"), "{words}");
}

#[test]
fn std_reports_the_overflow_of_an_os_thread() {
    let test = "std_reports_the_overflow_of_an_os_thread";
    let words = last_words(test, libc::SIGABRT, || {
        runtime(2).run(|| ());
        let thread = std::thread::Builder::new().name("plain".into()).spawn(|| black_box(deeper(1)));
        let _ = thread.unwrap().join();
    });
    assert!(words.contains("thread 'plain'") && words.contains("has overflowed its stack"), "{words}");
    assert!(!words.contains("green thread"), "{words}");
}

/// Also while a runtime runs, and on the thread of the blocking pool.
#[test]
fn std_reports_the_overflow_of_a_blocking_call() {
    let test = "std_reports_the_overflow_of_a_blocking_call";
    let words = last_words(test, libc::SIGABRT, || {
        runtime(2).run(|| kahn::blocking(|| black_box(deeper(1))));
    });
    assert!(words.contains("has overflowed its stack"), "{words}");
    assert!(!words.contains("green thread"), "{words}");
}

fn null_dereference() {
    // SAFETY: none; it is to fault.
    unsafe { black_box(std::ptr::null_mut::<u8>()).write_volatile(1) };
}

/// A fault that has no handler kills the process, as it would without kahn.
#[test]
fn null_dereference_kills_the_process() {
    let test = "null_dereference_kills_the_process";
    let words =
        last_words(test, libc::SIGSEGV, || runtime(2).run(|| kahn::spawn(null_dereference).join().unwrap()));
    assert!(!words.contains("overflowed"), "{words}");
}

static CAUGHT: AtomicUsize = AtomicUsize::new(0);

/// An embedder's handler: says which address it was, and leaves.
extern "C" fn embedders_handler(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    CAUGHT.fetch_add(1, SeqCst);
    // SAFETY: the kernel passes a valid record; the calls are allowed in a handler.
    unsafe {
        let text: &[u8] = if (*info).si_addr().is_null() { b"mine: null\n" } else { b"mine: other\n" };
        libc::write(2, text.as_ptr().cast(), text.len());
        libc::_exit(77);
    }
}

#[test]
fn null_dereference_reaches_the_previous_handler() {
    let test = "null_dereference_reaches_the_previous_handler";
    if is_child(test) {
        // SAFETY: a handler of the right type, installed before any runtime.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = embedders_handler as extern "C" fn(_, _, _) as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            assert_eq!(libc::sigaction(libc::SIGSEGV, &action, std::ptr::null_mut()), 0);
        }
        runtime(2).run(|| kahn::spawn(null_dereference).join().unwrap());
        unreachable!();
    }
    let output = child(test, test);
    assert_eq!(output.status.code(), Some(77), "{:?}: {}", output.status, stderr(&output));
    assert!(stderr(&output).contains("mine: null"), "{}", stderr(&output));
}

/// Several overflow at once: one message, one death.
#[test]
fn concurrent_overflows_are_reported() {
    let test = "concurrent_overflows_are_reported";
    let words = last_words(test, libc::SIGABRT, || {
        runtime(4).run(|| {
            let handles: Vec<_> = (0..8).map(|_| kahn::spawn(|| black_box(deeper(1)))).collect();
            handles.into_iter().for_each(|handle| drop(handle.join()));
        });
    });
    assert!(words.contains("has overflowed its stack of 256 KiB"), "{words}");
}
