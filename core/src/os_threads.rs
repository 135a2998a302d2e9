//! Finds out whether any thread of this process may still act by itself.
//!
//! A green thread may wait for an OS thread that kahn does not know: a plain `std::thread` can own an endpoint of a
//! channel, or get one through a channel of std's. So "all green threads are asleep" is a deadlock only if every OS
//! thread of the process is asleep, too, in a way that only another of them can end. On Linux the kernel shows for
//! each thread which system call it is in.
//!
//! | a thread of the process is | then it |
//! |---|---|
//! | in a wait on a futex without a time limit, in memory that no other process shares | acts only if another thread acts first |
//! | in a wait on `epoll` without a time limit, and registered as [`Polling`], while no thread waits for a descriptor there | wakes at an event, looks around, and sleeps again |
//! | in a wait with a time limit, and registered as [`IgnoredThread`] | wakes by itself, looks around, and sleeps again |
//! | in a wait with a time limit, and registered as [`Idle`] | will end, and its thread-locals' destructors may do anything |
//! | anywhere else: it runs, sleeps with a limit, reads, polls | may act at any time |
//!
//! Three kinds of thread are harmless: a thread that examines for a deadlock (`scheduler::deadlock`,
//! `runtime::default`), in its naps; the thread that watches for stuck workers, as long as there is nothing to warn
//! of; and a test harness's first thread. Every other thread of kahn that waits with a limit may act: a worker with a
//! timer, a worker that keeps watch while another runs, a shutdown, the timer thread of async tasks. A worker in a
//! handler of `on_deadlock` is in the last row of the table, or in the first, as any thread of the program. A worker
//! that an ended runtime has given up on sleeps for ever without a limit, or still runs a task.
//!
//! If the program handles signals, a signal may come at any time and wake a thread. Then nothing is ever reported as a
//! deadlock.
//!
//! # Why the report is never wrong
//!
//! One look at many threads is not one moment: a thread seen asleep may be woken by a thread that is seen asleep
//! later. So there are two looks, and each thread that is not harmless must have made no context switch in between.
//! Then all of those were asleep from the end of the first look to the beginning of the second. A thread that stops
//! being harmless counts this as a *departure* before it does anything, and both looks must have seen the same number
//! of departures. So between the looks there was a moment at which all threads were asleep and none was about to act
//! by itself, with one exception: another examiner may also find a deadlock. An examiner that has a handler comes
//! first, because the handler may wake anything. Examiners look, and announce their result, one at a time ([`Turn`]).
//! The announcement is the departure, so the next examiner has to look twice again, and sees the effects of the first.
//! So when an examiner finds two equal looks, nothing has happened since that moment and nothing will, unless the
//! examiner itself acts.
//!
//! On other systems nothing is known, and the result is always that a thread may act.

use std::collections::BTreeMap;
#[cfg(feature = "tracing")]
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// The OS threads of kahn whose waits with a time limit are known.
struct Known {
    threads: BTreeMap<i32, (usize, Role)>,
    /// The threads that poll, with a function that returns whether an event may wake another thread.
    polling: BTreeMap<i32, Box<dyn Fn() -> bool + Send + Sync>>,
    /// The number of departures: how often a thread has stopped being harmless or idle.
    departures: u64,
}

#[derive(Clone)]
enum Role {
    IgnoredThread,
    /// IgnoredThread to an examiner of the same kind, see [`IgnoredThread::with_handler`].
    HasHandler,
    /// IgnoredThread while this returns false.
    #[cfg(feature = "tracing")]
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux is examined"))]
    IgnoredUnless(Arc<dyn Fn() -> bool + Send + Sync>),
    Idle,
}

static KNOWN: Mutex<Known> =
    Mutex::new(Known { threads: BTreeMap::new(), polling: BTreeMap::new(), departures: 0 });

fn known() -> MutexGuard<'static, Known> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread's role, as long as this value lives.
struct Registration(i32);

impl Registration {
    fn new(thread: i32, role: Role) -> Registration {
        known().threads.entry(thread).or_insert((0, role)).0 += 1;
        Registration(thread)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut known = known();
        known.departures += 1;
        if let Some((count, _)) = known.threads.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                known.threads.remove(&self.0);
            }
        }
    }
}

/// While it lives, registers that the calling OS thread wakes no other by itself. It must be dropped before the thread
/// acts.
pub(crate) struct IgnoredThread {
    _registration: Registration,
}

impl IgnoredThread {
    pub(crate) fn new() -> IgnoredThread {
        IgnoredThread { _registration: Registration::new(thread_id(), Role::IgnoredThread) }
    }

    /// The same, for an examiner that calls a handler of the program when it finds a deadlock. The handler may wake
    /// anything. So an examiner that would end its runtime's `run` waits until this one has called its handler. An
    /// examiner that has a handler itself does not wait, or neither would ever call it.
    pub(crate) fn with_handler() -> IgnoredThread {
        IgnoredThread { _registration: Registration::new(thread_id(), Role::HasHandler) }
    }

    /// The same, for times at which `may_act` returns false. Another thread calls `may_act`, with a lock held.
    #[cfg(feature = "tracing")]
    pub(crate) fn unless(may_act: Arc<dyn Fn() -> bool + Send + Sync>) -> IgnoredThread {
        IgnoredThread { _registration: Registration::new(thread_id(), Role::IgnoredUnless(may_act)) }
    }
}

/// While it lives, registers that the calling OS thread polls for events of descriptors. A poll without a limit that
/// finds an event for which no thread waits wakes no other thread.
pub(crate) struct Polling(i32);

impl Polling {
    /// `may_wake` returns whether a thread waits for an event. Another thread calls it, with a lock held.
    pub(crate) fn new(may_wake: impl Fn() -> bool + Send + Sync + 'static) -> Polling {
        let thread = thread_id();
        known().polling.insert(thread, Box::new(may_wake));
        Polling(thread)
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        known().polling.remove(&self.0);
    }
}

/// While it lives, registers that the calling OS thread waits for work, and ends if there is none.
pub(crate) struct Idle {
    _registration: Registration,
}

impl Idle {
    pub(crate) fn new() -> Idle {
        Idle { _registration: Registration::new(thread_id(), Role::Idle) }
    }
}

/// While it lives, registers that the process's first thread belongs to a test harness. That thread waits for its
/// tests with a limit, but only to report that one takes long. If the caller is the first thread, nothing is
/// registered, because its own waits have no such limit.
pub(crate) struct InTest {
    _first: Option<Registration>,
}

impl InTest {
    pub(crate) fn new() -> InTest {
        let first = i32::try_from(std::process::id()).ok();
        let first = first.filter(|&first| first != thread_id());
        InTest { _first: first.map(|first| Registration::new(first, Role::IgnoredThread)) }
    }
}

/// The right to look, and to act on the result. One examiner has it at a time.
pub(crate) struct Turn {
    _guard: MutexGuard<'static, ()>,
}

/// Takes the turn, unless another examiner has it.
pub(crate) fn turn() -> Option<Turn> {
    static TURN: Mutex<()> = Mutex::new(());
    match TURN.try_lock() {
        Ok(guard) => Some(Turn { _guard: guard }),
        Err(TryLockError::Poisoned(poisoned)) => Some(Turn { _guard: poisoned.into_inner() }),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// All OS threads of the process at about one moment, all asleep.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ThreadSnapshot {
    /// The threads, and the number of context switches of each so far.
    threads: BTreeMap<i32, u64>,
    departures: u64,
}

/// The result of a look.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "there is nothing to see"))]
pub(crate) enum Look {
    /// A thread may act by itself.
    Moving,
    /// All are asleep, but some are idle and will end.
    Ending,
    /// All are asleep.
    Still(ThreadSnapshot),
}

#[cfg(target_os = "linux")]
fn thread_id() -> i32 {
    // SAFETY: `gettid` takes no arguments and cannot fail.
    unsafe { libc::gettid() }
}

#[cfg(not(target_os = "linux"))]
fn thread_id() -> i32 {
    0
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn look(_: &Turn, _has_handler: bool) -> Look {
    Look::Moving
}

/// Looks at every OS thread but the caller. `has_handler` is set if the caller is an examiner with a handler.
#[cfg(target_os = "linux")]
pub(crate) fn look(_: &Turn, has_handler: bool) -> Look {
    look_at_all(has_handler).unwrap_or(Look::Moving)
}

/// Returns `None` if a thread may act, or if `/proc` does not show enough.
#[cfg(target_os = "linux")]
fn look_at_all(has_handler: bool) -> Option<Look> {
    let me = thread_id();
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    if handles_signals(&status)? {
        return None;
    }
    let mut snapshot_threads = ThreadSnapshot { threads: BTreeMap::new(), departures: known().departures };
    let mut ending = false;
    let mut seen = 0;
    for entry in std::fs::read_dir("/proc/self/task").ok()? {
        let entry = entry.ok()?;
        seen += 1;
        let thread: i32 = entry.file_name().to_str()?.parse().ok()?;
        if thread == me {
            continue;
        }
        let path = entry.path();
        match sleep_of(&std::fs::read_to_string(path.join("syscall")).ok()?) {
            Sleep::Endless => {}
            Sleep::Limited => match known().threads.get(&thread)?.1.clone() {
                Role::IgnoredThread => continue,
                Role::HasHandler if has_handler => continue,
                Role::HasHandler => return None,
                #[cfg(feature = "tracing")]
                Role::IgnoredUnless(may_act) if may_act() => return None,
                #[cfg(feature = "tracing")]
                Role::IgnoredUnless(_) => continue,
                Role::Idle => ending = true,
            },
            // A join waits like this, too, in memory of this process.
            Sleep::Shareable(address)
                if !is_shared(&std::fs::read_to_string("/proc/self/maps").ok()?, address) => {}
            // A thread that begins to wait for a descriptor between two looks is awake at some moment in between.
            Sleep::Polling if known().polling.get(&thread).is_some_and(|may_wake| !may_wake()) => {}
            Sleep::Polling | Sleep::Shareable(_) | Sleep::None => return None,
        }
        snapshot_threads
            .threads
            .insert(thread, switches(&std::fs::read_to_string(path.join("status")).ok()?)?);
    }
    // A directory that changes while it is read may hide an entry. A thread that has ended meanwhile was not asleep.
    let count =
        |status: &str| status.lines().find_map(|line| line.strip_prefix("Threads:"))?.trim().parse().ok();
    let after = std::fs::read_to_string("/proc/self/status").ok()?;
    if count(&status) != Some(seen) || count(&after) != Some(seen) {
        return None;
    }
    Some(if ending { Look::Ending } else { Look::Still(snapshot_threads) })
}

#[cfg(target_os = "linux")]
#[derive(Debug, PartialEq, Eq)]
enum Sleep {
    /// Waits on a futex until another thread wakes it.
    Endless,
    /// The same, and the waking thread may be another process's, if the memory at this address is shared.
    Shareable(u64),
    /// Waits on a futex until another thread wakes it, or until a deadline.
    Limited,
    /// Waits on `epoll` without a deadline.
    Polling,
    /// Runs, or waits for something that may come from outside.
    None,
}

/// Parses a line of `/proc/self/task/N/syscall`: the call's number and arguments in hexadecimal, or `running`.
#[cfg(target_os = "linux")]
fn sleep_of(syscall: &str) -> Sleep {
    const COMMAND: u64 = 0x7f;
    const PRIVATE: u64 = libc::FUTEX_PRIVATE_FLAG as u64;
    let mut words = syscall.split_ascii_whitespace();
    let number = words.next().and_then(|word| word.parse::<i64>().ok());
    let arguments: Vec<u64> = words
        .take(4)
        .filter_map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok())
        .collect();
    let [address, operation, _, limit] = arguments[..] else { return Sleep::None };
    // The limit is an `int`, and −1 stands for none.
    if number == Some(libc::SYS_epoll_pwait) && limit as u32 == u32::MAX {
        return Sleep::Polling;
    }
    if number != Some(libc::SYS_futex) {
        return Sleep::None;
    }
    let command = i32::try_from(operation & COMMAND).unwrap_or(-1);
    match command {
        libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET if limit != 0 => Sleep::Limited,
        libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET if operation & PRIVATE != 0 => Sleep::Endless,
        libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET => Sleep::Shareable(address),
        _ => Sleep::None,
    }
}

/// Parses `/proc/self/status`. Returns whether there is a handler for a signal that may come from outside.
#[cfg(target_os = "linux")]
fn handles_signals(status: &str) -> Option<bool> {
    // Signals for faults of the thread itself, and the two that the C library keeps for its own use.
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

/// Parses `/proc/self/maps`. Returns whether another process may share the memory at `address`. True if it is not
/// mapped.
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

/// Parses `/proc/self/task/N/status`. Returns how many context switches the thread has made.
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
    fn futex_wait_without_limit_is_endless() {
        let line = "202 0x7f698e07d000 0x80 0x2 0x0 0x0 0xffffffff 0x7ffd34fb9ff8 0x7f698e1f92ad";
        let line = line.replacen("202", &libc::SYS_futex.to_string(), 1);
        assert_eq!(sleep_of(&line), Sleep::Endless);
        assert_eq!(sleep_of(&line.replacen("0x2 0x0", "0x2 0x7ffd34", 1)), Sleep::Limited);
        assert_eq!(sleep_of(&line.replacen("0x80", "0x109", 1)), Sleep::Shareable(0x7f69_8e07_d000));
        // FUTEX_WAKE
        assert_eq!(sleep_of(&line.replacen("0x80", "0x81", 1)), Sleep::None);
    }

    #[test]
    fn epoll_wait_without_limit_is_polling() {
        let line = "281 0xc 0x7f63140013f0 0x80 0xffffffffffffffff 0x0 0x0 0x7f6323bfbdf0 0x55c88410b9de";
        let line = line.replacen("281", &libc::SYS_epoll_pwait.to_string(), 1);
        assert_eq!(sleep_of(&line), Sleep::Polling);
        assert_eq!(sleep_of(&line.replacen("0xffffffffffffffff", "0xffffffff", 1)), Sleep::Polling);
        assert_eq!(sleep_of(&line.replacen("0xffffffffffffffff", "0x5", 1)), Sleep::None);
    }

    #[test]
    fn handlers_for_external_signals_and_for_faults_are_distinguished() {
        let status = |caught: u64| format!("SigIgn:\t0000000000001000\nSigCgt:\t{caught:016x}\n");
        assert_eq!(handles_signals(&status(0x0000_0001_8000_0440)), Some(false));
        assert_eq!(handles_signals(&status(1 << (libc::SIGINT - 1))), Some(true));
        assert_eq!(handles_signals("nothing"), None);
    }

    #[test]
    fn shared_memory_is_recognized_by_its_mapping() {
        let maps = "7f00000000-7f00002000 rw-p 00000000 00:00 0\n7f00002000-7f00003000 rw-s 00000000 00:01 5 /dev/zero\n";
        assert!(!is_shared(maps, 0x7f_0000_1fff));
        assert!(is_shared(maps, 0x7f_0000_2000));
        assert!(is_shared(maps, 0x7f_0000_3000));
    }

    #[test]
    fn any_other_state_is_not_a_sleep() {
        assert_eq!(sleep_of("running"), Sleep::None);
        assert_eq!(sleep_of("0 0x3 0x7f 0x2 0x0 0x0 0x0 0x7f 0x7f"), Sleep::None);
        assert_eq!(sleep_of("-1 0x7f 0x7f"), Sleep::None);
        assert_eq!(sleep_of(""), Sleep::None);
    }
}
