//! Whether anything in this process can still happen by itself.
//!
//! A green thread may wait for an OS thread that we know nothing of: a plain `std::thread` can own an endpoint of a
//! channel, or get one through a channel of std's. So "all green threads are asleep" is a deadlock only if every OS
//! thread of the process is asleep, too, in a way that only another of them can end. On Linux the kernel tells, thread
//! by thread, which system call it is in: a wait on a futex without a time limit is such a sleep; a sleep, a read, a
//! poll, or being on a CPU is not. Nor is a wait on a futex in memory that another process may share. And if the program
//! handles signals, one may come at any time and wake someone: then nothing is ever a deadlock.
//!
//! One look at many threads is not one moment: a thread seen asleep may be woken by one that is seen asleep later. So
//! there are two looks, and each thread must have made no context switch in between. Then there was a moment, after the
//! first look and before the second, at which all were asleep at once; and what is asleep all at once stays so.
//!
//! Elsewhere nothing is known, and the answer is always that something might happen.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// OS threads of ours that are in a wait with a time limit, but will do nothing when it is over.
static HARMLESS: Mutex<BTreeMap<i32, usize>> = Mutex::new(BTreeMap::new());

/// Says, while it lives, that the calling OS thread wakes nobody by itself.
pub(crate) struct Harmless(i32);

impl Harmless {
    pub(crate) fn new() -> Harmless {
        Harmless::of(thread_id())
    }

    fn of(thread: i32) -> Harmless {
        *HARMLESS.lock().unwrap_or_else(PoisonError::into_inner).entry(thread).or_default() += 1;
        Harmless(thread)
    }
}

impl Drop for Harmless {
    fn drop(&mut self) {
        let mut harmless = HARMLESS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = harmless.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                harmless.remove(&self.0);
            }
        }
    }
}

/// Says, while it lives, that the process's first thread is a test harness's: it waits for its tests with a limit, but
/// only to say that one takes long. If it is the caller itself, it has no limit.
pub(crate) struct InTest {
    _first: Option<Harmless>,
}

impl InTest {
    pub(crate) fn new() -> InTest {
        let first = i32::try_from(std::process::id()).ok();
        InTest { _first: first.filter(|&first| first != thread_id()).map(Harmless::of) }
    }
}

/// All OS threads of the process at about one moment, all asleep.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stillness {
    /// Thread and its context switches so far.
    threads: BTreeMap<i32, u64>,
}

#[cfg(target_os = "linux")]
fn thread_id() -> i32 {
    // SAFETY: no arguments, no failure.
    unsafe { libc::gettid() }
}

#[cfg(not(target_os = "linux"))]
fn thread_id() -> i32 {
    0
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn look() -> Option<Stillness> {
    None
}

/// Looks at every OS thread. `None` if one of them is not asleep for good.
#[cfg(target_os = "linux")]
pub(crate) fn look() -> Option<Stillness> {
    let me = thread_id();
    if handles_signals(&std::fs::read_to_string("/proc/self/status").ok()?)? {
        return None;
    }
    let mut stillness = Stillness { threads: BTreeMap::new() };
    for entry in std::fs::read_dir("/proc/self/task").ok()? {
        let entry = entry.ok()?;
        let thread: i32 = entry.file_name().to_str()?.parse().ok()?;
        if thread == me {
            continue;
        }
        let path = entry.path();
        let harmless = HARMLESS.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&thread);
        match sleep_of(&std::fs::read_to_string(path.join("syscall")).ok()?) {
            Sleep::Endless => {}
            Sleep::Limited if harmless => continue,
            // A join is one of these, too, in memory of our own.
            Sleep::Shareable(address)
                if !is_shared(&std::fs::read_to_string("/proc/self/maps").ok()?, address) => {}
            Sleep::Shareable(_) | Sleep::Limited | Sleep::None => return None,
        }
        stillness.threads.insert(thread, switches(&std::fs::read_to_string(path.join("status")).ok()?)?);
    }
    Some(stillness)
}

#[cfg(target_os = "linux")]
#[derive(Debug, PartialEq, Eq)]
enum Sleep {
    /// Waits on a futex until another thread wakes it.
    Endless,
    /// The same, and the thread may be another process's, if the memory at this address is shared.
    Shareable(u64),
    /// Waits on a futex until another thread wakes it, or until some moment.
    Limited,
    /// Runs, or waits for something that may come from outside.
    None,
}

/// Reads a line of `/proc/self/task/N/syscall`: the call's number and arguments in hexadecimal, or `running`.
#[cfg(target_os = "linux")]
fn sleep_of(syscall: &str) -> Sleep {
    const COMMAND: u64 = 0x7f;
    const PRIVATE: u64 = libc::FUTEX_PRIVATE_FLAG as u64;
    let mut words = syscall.split_ascii_whitespace();
    let number = words.next().and_then(|word| word.parse::<i64>().ok());
    if number != Some(libc::SYS_futex) {
        return Sleep::None;
    }
    let arguments: Vec<u64> = words
        .take(4)
        .filter_map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok())
        .collect();
    let [address, operation, _, limit] = arguments[..] else { return Sleep::None };
    let command = i32::try_from(operation & COMMAND).unwrap_or(-1);
    match command {
        libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET if limit != 0 => Sleep::Limited,
        libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET if operation & PRIVATE != 0 => Sleep::Endless,
        libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET => Sleep::Shareable(address),
        _ => Sleep::None,
    }
}

/// Reads `/proc/self/status`: whether there is a handler for a signal that may come from outside.
#[cfg(target_os = "linux")]
fn handles_signals(status: &str) -> Option<bool> {
    // Faults of the thread itself, and the two that the C library keeps for its own use.
    const INNER: [i32; 9] = [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGILL,
        libc::SIGFPE,
        libc::SIGTRAP,
        libc::SIGABRT,
        libc::SIGSYS,
        32,
        33,
    ];
    let inner = INNER.iter().fold(0, |mask, signal| mask | 1_u64 << (signal - 1));
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
    Some(u64::from_str_radix(caught.trim(), 16).ok()? & !inner != 0)
}

/// Reads `/proc/self/maps`: whether the memory at `address` may be another process's, too. True if it is not there.
#[cfg(target_os = "linux")]
fn is_shared(maps: &str, address: u64) -> bool {
    let private = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let ends = u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?;
        ends.contains(&address).then(|| words.next().is_some_and(|rights| rights.ends_with('p')))
    };
    !maps.lines().find_map(private).unwrap_or(false)
}

/// Reads how often a thread was switched from `/proc/self/task/N/status`.
#[cfg(target_os = "linux")]
fn switches(status: &str) -> Option<u64> {
    let counts: Vec<u64> = status
        .lines()
        .filter(|line| line.contains("ctxt_switches"))
        .filter_map(|line| line.split_ascii_whitespace().last()?.parse().ok())
        .collect();
    (counts.len() == 2).then(|| counts.iter().sum())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_futex_wait_without_limit_is_endless() {
        let line = "202 0x7f698e07d000 0x80 0x2 0x0 0x0 0xffffffff 0x7ffd34fb9ff8 0x7f698e1f92ad";
        let line = line.replacen("202", &libc::SYS_futex.to_string(), 1);
        assert_eq!(sleep_of(&line), Sleep::Endless);
        assert_eq!(sleep_of(&line.replacen("0x2 0x0", "0x2 0x7ffd34", 1)), Sleep::Limited);
        assert_eq!(sleep_of(&line.replacen("0x80", "0x109", 1)), Sleep::Shareable(0x7f69_8e07_d000));
        // FUTEX_WAKE
        assert_eq!(sleep_of(&line.replacen("0x80", "0x81", 1)), Sleep::None);
    }

    #[test]
    fn a_handler_for_a_signal_from_outside_is_told_from_one_for_faults() {
        let status = |caught: u64| format!("SigIgn:\t0000000000001000\nSigCgt:\t{caught:016x}\n");
        assert_eq!(handles_signals(&status(0x0000_0001_8000_0440)), Some(false));
        assert_eq!(handles_signals(&status(1 << (libc::SIGINT - 1))), Some(true));
        assert_eq!(handles_signals("nothing"), None);
    }

    #[test]
    fn shared_memory_is_told_by_its_mapping() {
        let maps = "7f00000000-7f00002000 rw-p 00000000 00:00 0\n7f00002000-7f00003000 rw-s 00000000 00:01 5 /dev/zero\n";
        assert!(!is_shared(maps, 0x7f_0000_1fff));
        assert!(is_shared(maps, 0x7f_0000_2000));
        assert!(is_shared(maps, 0x7f_0000_3000));
    }

    #[test]
    fn anything_else_is_no_sleep() {
        assert_eq!(sleep_of("running"), Sleep::None);
        assert_eq!(sleep_of("0 0x3 0x7f 0x2 0x0 0x0 0x0 0x7f 0x7f"), Sleep::None);
        assert_eq!(sleep_of("-1 0x7f 0x7f"), Sleep::None);
        assert_eq!(sleep_of(""), Sleep::None);
    }
}
