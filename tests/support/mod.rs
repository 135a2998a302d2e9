//! Shared helpers of the root package's tests: runtimes of several sizes, a watch against hangs, counted drops,
//! child processes.
//!
//! Tests wait for conditions, not for time. [`within`] ends the process if a test hangs, and prints the test's
//! name.
#![allow(dead_code, reason = "each test file uses a part")]

use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use kahn::Runtime;

/// Longer than anything here takes, even with all cores busy with something else.
const HANGS: Duration = Duration::from_secs(120);

/// Numbers of workers to run a scenario with: alone, a pair, an odd number, more than cores.
pub const WORKERS: [usize; 4] = [1, 2, 3, 8];

/// A runtime with so many workers.
pub fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

/// Runs a scenario as the main green thread of runtimes of each size.
#[track_caller]
pub fn with_each_size(scenario: impl Fn() + Sync) {
    for workers in WORKERS {
        within(&format!("{workers} workers"), || runtime(workers).run(&scenario));
    }
}

/// `full` rounds, times `KAHN_TEST_ROUNDS` (1 if it is not set), which a hunt for rare races sets high.
pub fn rounds(full: usize) -> usize {
    let factor =
        std::env::var("KAHN_TEST_ROUNDS").map_or(1.0, |text| text.parse().expect("KAHN_TEST_ROUNDS=number"));
    ((full as f64 * factor) as usize).max(1)
}

/// Runs `f`, which is to end. If it does not, says which hangs, and aborts: what hangs cannot be joined.
#[track_caller]
pub fn within<T>(what: &str, f: impl FnOnce() -> T) -> T {
    let place = std::panic::Location::caller();
    let limit = std::env::var("KAHN_TEST_PATIENCE")
        .map_or(HANGS.mul_f64(rounds(100) as f64 / 100.0).max(HANGS), |seconds| {
            Duration::from_secs(seconds.parse().expect("KAHN_TEST_PATIENCE=seconds"))
        });
    let (ended, is_ended) = mpsc::channel::<()>();
    let what = what.to_owned();
    let watch = std::thread::spawn(move || {
        if is_ended.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
            // Past the harness, which keeps what a test prints, and would keep it for ever.
            let _ = writeln!(std::io::stderr(), "HANGS: {what}, at {place}");
            std::process::abort();
        }
    });
    let value = f();
    drop(ended);
    watch.join().unwrap();
    value
}

/// Waits until a condition holds that another thread brings about. Lets others run meanwhile.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < HANGS, "waited in vain: {what}");
        if kahn::thread::is_green() {
            kahn::yield_now();
        } else {
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

/// Counts how many of its [`Counted`] values were made and dropped.
#[derive(Clone, Default)]
pub struct Counter(Arc<Counts>);

#[derive(Default)]
struct Counts {
    made: AtomicUsize,
    dropped: AtomicUsize,
}

/// A value whose drop is counted. Dropped twice, it panics.
pub struct Counted {
    counts: Arc<Counts>,
    alive: bool,
}

impl Counter {
    pub fn new() -> Counter {
        Counter::default()
    }

    pub fn make(&self) -> Counted {
        self.0.made.fetch_add(1, SeqCst);
        Counted { counts: self.0.clone(), alive: true }
    }

    pub fn made(&self) -> usize {
        self.0.made.load(SeqCst)
    }

    pub fn dropped(&self) -> usize {
        self.0.dropped.load(SeqCst)
    }

    pub fn alive(&self) -> usize {
        self.made() - self.dropped()
    }

    /// Fails unless all that was made is gone.
    #[track_caller]
    pub fn assert_all_gone(&self) {
        assert_eq!(self.made(), self.dropped(), "made, and dropped");
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        assert!(std::mem::take(&mut self.alive), "dropped twice");
        self.counts.dropped.fetch_add(1, SeqCst);
    }
}

/// Runs the closure when dropped.
pub struct OnDrop<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A small random number generator (xorshift), so that a run can be repeated from its seed.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        // Seeds that are near each other start far apart, and none at zero.
        Random(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Spends a random short while: between nothing and some microseconds.
pub fn dawdle(random: &mut Random) {
    for _ in 0..random.below(300) {
        std::hint::spin_loop();
    }
    if random.below(4) == 0 {
        kahn::yield_now();
    }
}

/// Keeps the cores busy while it lives.
pub struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    pub fn new(threads: usize) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..threads)
            .map(|_| {
                let stop = stop.clone();
                std::thread::spawn(move || while !stop.load(SeqCst) {})
            })
            .collect();
        Load { stop, threads }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

const CHILD: &str = "KAHN_TEST_CHILD";

/// Whether this process is the child that [`child`] made to run `part` of a test.
pub fn is_child(part: &str) -> bool {
    std::env::var(CHILD).is_ok_and(|value| value == part)
}

/// The command that runs the test named `test` of this binary again, with [`is_child`] true for `part`.
pub fn child_command(test: &str, part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--include-ignored", "--test-threads=1"]).env(CHILD, part);
    command
}

/// Runs the test named `test` of this binary again, as a child with [`is_child`] true for `part`.
pub fn child(test: &str, part: &str) -> Output {
    output_of(child_command(test, part))
}

/// Runs a command to its end. One that hangs is killed, and the test fails with what it has printed.
#[track_caller]
pub fn output_of(mut command: Command) -> Output {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = child.id();
    fn drain(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            pipe.read_to_end(&mut text).unwrap();
            text
        })
    }
    let (stdout, stderr) = (drain(child.stdout.take().unwrap()), drain(child.stderr.take().unwrap()));
    let (ended, is_ended) = mpsc::channel::<()>();
    let killer = std::thread::spawn(move || {
        let hangs = is_ended.recv_timeout(HANGS) == Err(mpsc::RecvTimeoutError::Timeout);
        if hangs {
            // SAFETY: the child has not been waited for, so the number is still its own.
            unsafe { libc::kill(id as i32, libc::SIGKILL) };
        }
        hangs
    });
    let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
    drop(ended);
    let hangs = killer.join().unwrap();
    let output = Output { status: child.wait().unwrap(), stdout, stderr };
    assert!(!hangs, "hangs: {command:?}\n{}", self::stderr(&output));
    output
}

/// What a process has printed to standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
