//! Whether anything in this process can still happen by itself.
//!
//! A green thread may wait for an OS thread that we know nothing of: a plain `std::thread` can own an endpoint of a
//! channel, or get one through a channel of std's. So "all green threads are asleep" is a deadlock only if every OS
//! thread of the process is asleep, too, in a way that only another of them can end. On Linux the kernel tells, thread
//! by thread, which system call it is in: a wait on a futex without a time limit is such a sleep; a sleep, a read, a
//! poll, or being on a CPU is not.
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
        let thread = thread_id();
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

/// All OS threads of the process at about one moment, all asleep.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stillness {
    /// Thread and its context switches so far.
    threads: BTreeMap<i32, u64>,
    /// The process's first thread waits with a time limit.
    pub(crate) main_has_limit: bool,
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
    let process = i32::try_from(std::process::id()).ok()?;
    let mut stillness = Stillness { threads: BTreeMap::new(), main_has_limit: false };
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
            // A test harness's first thread waits for its tests with a limit, to say that one takes long. It is taken
            // for asleep if it stays so (see `deadlock`).
            Sleep::Limited if thread == process => stillness.main_has_limit = true,
            Sleep::Limited | Sleep::None => return None,
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
    /// The same, or until some moment.
    Limited,
    /// Runs, or waits for something that may come from outside.
    None,
}

/// Reads a line of `/proc/self/task/N/syscall`: the call's number and arguments in hexadecimal, or `running`.
#[cfg(target_os = "linux")]
fn sleep_of(syscall: &str) -> Sleep {
    const COMMAND: u64 = 0x7f;
    let mut words = syscall.split_ascii_whitespace();
    let number = words.next().and_then(|word| word.parse::<i64>().ok());
    if number != Some(libc::SYS_futex) {
        return Sleep::None;
    }
    let arguments: Vec<u64> = words
        .take(4)
        .filter_map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok())
        .collect();
    let [_, operation, _, limit] = arguments[..] else { return Sleep::None };
    let command = i32::try_from(operation & COMMAND).unwrap_or(-1);
    match command {
        libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET if limit == 0 => Sleep::Endless,
        libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET => Sleep::Limited,
        _ => Sleep::None,
    }
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
        // FUTEX_WAKE
        assert_eq!(sleep_of(&line.replacen("0x80", "0x81", 1)), Sleep::None);
    }

    #[test]
    fn anything_else_is_no_sleep() {
        assert_eq!(sleep_of("running"), Sleep::None);
        assert_eq!(sleep_of("0 0x3 0x7f 0x2 0x0 0x0 0x0 0x7f 0x7f"), Sleep::None);
        assert_eq!(sleep_of("-1 0x7f 0x7f"), Sleep::None);
        assert_eq!(sleep_of(""), Sleep::None);
    }
}
