//! Tests that stack overflows are reported, and that other faults reach the previous handler.
//!
//! Method: every scenario ends a process, so each runs in a child of the test (see `in_child`). The test checks how
//! the child died and what it wrote. Guards are touched directly: for the handler this does not differ from a frame
//! that reached them.

use std::{hint, os::unix::process::ExitStatusExt, process::Output, thread};

use super::*;
use crate::fiber::{
    stack::{Slot, allocate, discard, tests::in_child},
    stack_guard::{self, GuardMethod, force_method},
};

/// Asserts that the process died of `signal` and wrote each of `parts`.
#[track_caller]
fn assert_died(output: Option<Output>, signal: c_int, parts: &[&str]) {
    let Some(output) = output else { panic!("the deed should have ended the process") };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(signal), "{:?}: {stderr}", output.status);
    for part in parts {
        assert!(stderr.contains(part), "{part:?} is missing in: {stderr}");
    }
}

fn one_slot(bytes: usize) -> Slot {
    let mut slots = Vec::new();
    allocate(SizeClass::for_size(bytes).unwrap(), 1, &mut slots).unwrap();
    slots[0]
}

/// Touches the highest byte of the guard, as a stack that grew too far does.
fn touch_guard(slot: Slot) {
    // SAFETY: this is no valid access: the byte faults, which the test is for. The byte above belongs to the slot.
    unsafe {
        slot.limit().write_volatile(1);
        slot.limit().wrapping_sub(1).write_volatile(1);
    }
}

/// Faults at an address that is in no slot.
fn touch_page_zero() {
    // SAFETY: this is no valid access: it faults, which the test is for.
    unsafe { hint::black_box(std::ptr::without_provenance_mut::<u8>(8)).write_volatile(1) };
}

fn set_handler(signal: c_int, handler: usize, flags: c_int) {
    // SAFETY: zeros are a valid `sigaction`.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: the handlers in this file have the signatures that their flags ask for, and only exit.
    assert_eq!(unsafe { libc::sigaction(signal, &action, ptr::null_mut()) }, 0);
}

extern "C" fn exit_7_with_info(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passed a valid `siginfo_t`.
    let addr = unsafe { (*info).si_addr() };
    let as_expected = signal == libc::SIGSEGV && addr.addr() == 8 && !context.is_null();
    // SAFETY: `_exit` takes no pointer, and is allowed in a handler.
    unsafe { libc::_exit(if as_expected { 7 } else { 1 }) };
}

extern "C" fn exit_8(signal: c_int) {
    // SAFETY: `_exit` takes no pointer, and is allowed in a handler.
    unsafe { libc::_exit(if signal == libc::SIGSEGV { 8 } else { 1 }) };
}

#[test]
fn overflow_names_the_green_thread_and_the_remedy() {
    let output = in_child(module_path!(), "overflow_names_the_green_thread_and_the_remedy", || {
        install();
        install();
        set_describe(|put| {
            put(b"green thread '");
            put(&[b'x'; 300]);
            put(b"' (id 7)");
        });
        touch_guard(one_slot(64 * 1024));
    });
    let who =
        format!("\ngreen thread '{}' (id 7) has overflowed its stack of 64 KiB\nremedy: ", "x".repeat(300));
    assert_died(
        output,
        libc::SIGABRT,
        &[&who, "thread::Builder::new().stack_size(bytes), or raise the default, "],
    );
}

#[test]
fn overflow_without_a_name_is_reported_too() {
    let output = in_child(module_path!(), "overflow_without_a_name_is_reported_too", || {
        install();
        touch_guard(one_slot(1 << 20));
    });
    assert_died(output, libc::SIGABRT, &["\na green thread has overflowed its stack of 1 MiB\n"]);
}

#[test]
fn overflow_into_an_mprotect_guard_is_reported() {
    let output = in_child(module_path!(), "overflow_into_an_mprotect_guard_is_reported", || {
        install();
        force_method(GuardMethod::Mprotect);
        let slot = one_slot(256 * 1024);
        assert_eq!(stack_guard::method(), GuardMethod::Mprotect);
        touch_guard(slot);
    });
    assert_died(output, libc::SIGABRT, &["a green thread has overflowed its stack of 256 KiB"]);
}

#[test]
fn overflow_into_a_single_guard_is_reported() {
    let output = in_child(module_path!(), "overflow_into_a_single_guard_is_reported", || {
        install();
        force_method(GuardMethod::Madvise);
        touch_guard(one_slot(256 * 1024));
    });
    assert_died(output, libc::SIGABRT, &["a green thread has overflowed its stack of 256 KiB"]);
}

#[test]
fn discarded_slot_still_has_its_guard() {
    let output = in_child(module_path!(), "discarded_slot_still_has_its_guard", || {
        install();
        let slot = one_slot(256 * 1024);
        // SAFETY: the slot was just allocated and nothing is on it.
        unsafe { discard(&[slot]) };
        touch_guard(slot);
    });
    assert_died(output, libc::SIGABRT, &["a green thread has overflowed its stack of 256 KiB"]);
}

#[test]
fn on_a_foreign_thread_the_alternate_stack_is_ours() {
    extern "C" fn body(_: *mut c_void) -> *mut c_void {
        let _alt_stack = thread_setup();
        touch_guard(one_slot(256 * 1024));
        ptr::null_mut()
    }
    let output = in_child(module_path!(), "on_a_foreign_thread_the_alternate_stack_is_ours", || {
        install();
        let mut id = MaybeUninit::uninit();
        // SAFETY: `body` has the signature asked for, and the id is written before it is read.
        unsafe {
            assert_eq!(libc::pthread_create(id.as_mut_ptr(), ptr::null(), body, ptr::null_mut()), 0);
            libc::pthread_join(id.assume_init(), ptr::null_mut());
        }
    });
    assert_died(output, libc::SIGABRT, &["a green thread has overflowed its stack of 256 KiB"]);
}

#[test]
fn os_thread_still_gets_the_message_of_std() {
    #[expect(unconditional_recursion, reason = "it is to overflow")]
    fn deeper(n: u64) -> u64 {
        let frame = hint::black_box([n; 64]);
        deeper(n + 1) + hint::black_box(frame)[(n % 64) as usize]
    }
    let output = in_child(module_path!(), "os_thread_still_gets_the_message_of_std", || {
        install();
        let os_thread = thread::Builder::new().name("deep".into());
        let _ = os_thread.spawn(|| hint::black_box(deeper(0))).unwrap().join();
    });
    assert_died(output, libc::SIGABRT, &["thread 'deep'", "has overflowed its stack", "stack overflow"]);
}

#[test]
fn another_fault_reaches_the_previous_handler() {
    let output = in_child(module_path!(), "another_fault_reaches_the_previous_handler", || {
        let handler = exit_7_with_info as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
        set_handler(libc::SIGSEGV, handler as usize, libc::SA_SIGINFO);
        install();
        touch_page_zero();
    });
    assert_eq!(output.unwrap().status.code(), Some(7));
}

#[test]
fn another_fault_reaches_a_previous_handler_of_the_plain_kind() {
    let output =
        in_child(module_path!(), "another_fault_reaches_a_previous_handler_of_the_plain_kind", || {
            set_handler(libc::SIGSEGV, exit_8 as extern "C" fn(c_int) as usize, 0);
            install();
            touch_page_zero();
        });
    assert_eq!(output.unwrap().status.code(), Some(8));
}

#[test]
fn another_fault_without_a_previous_handler_kills() {
    let output = in_child(module_path!(), "another_fault_without_a_previous_handler_kills", || {
        set_handler(libc::SIGSEGV, libc::SIG_DFL, 0);
        install();
        touch_page_zero();
    });
    assert_died(output, libc::SIGSEGV, &[]);
}

#[test]
fn ignored_fault_kills_and_ignored_sent_signal_does_not() {
    let output = in_child(module_path!(), "ignored_fault_kills_and_ignored_sent_signal_does_not", || {
        set_handler(libc::SIGSEGV, libc::SIG_IGN, 0);
        install();
        // SAFETY: `raise` takes no pointer.
        unsafe { libc::raise(libc::SIGSEGV) };
        eprintln!("still here");
        touch_page_zero();
    });
    assert_died(output, libc::SIGSEGV, &["still here"]);
}

#[test]
fn sent_signal_without_a_previous_handler_kills() {
    let output = in_child(module_path!(), "sent_signal_without_a_previous_handler_kills", || {
        set_handler(libc::SIGBUS, libc::SIG_DFL, 0);
        install();
        // SAFETY: `raise` takes no pointer.
        unsafe { libc::raise(libc::SIGBUS) };
        thread::sleep(std::time::Duration::from_secs(5));
    });
    assert_died(output, libc::SIGBUS, &[]);
}
