//! Compares three threading models on the same producers and consumers: 1:1 (OS threads), N:1 (green threads on one
//! worker) and M:N (green threads on all workers). Prints the time, memory and context switches of each.
//!
//! Shows that kahn's channels also work on OS threads, and how to build a runtime with a number of workers.
//!
//! ```text
//! cargo run --release --example models
//! cargo run --release --example models -- 5000 1000
//! ```
//!
//! All models run the same function, `exchange`, with the same channels. They differ only in the `spawn` that they pass
//! to it. The program starts itself once for each model, so that a model does not inherit the memory of another one.
//!
//! Exit code: 0; 1 if a model failed, for example because the system has no more OS threads; 2 for a bad argument.

use std::fs;
use std::io;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use kahn::channel::bounded;

const USAGE: &str = "\
Compares OS threads, green threads on one worker, and green threads on all workers.

usage: models [PAIRS [MESSAGES]]     (1000 pairs of a producer and a consumer, 200 messages each)

Exit code: 0; 1 if a model failed; 2 for a bad argument.
";

const MODELS: [(&str, &str); 3] =
    [("1:1", "OS threads"), ("N:1", "green threads, one worker"), ("M:N", "green threads, all workers")];
/// The internal option that makes a process measure one model.
const ONLY: &str = "--only";
const CAPACITY: usize = 16;
const MAX: usize = 10_000_000;

#[derive(Clone, Copy)]
struct Work {
    pairs: usize,
    messages: usize,
}

fn main() -> ExitCode {
    match start(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, message)) => {
            eprintln!("models: {message}");
            ExitCode::from(code)
        }
    }
}

fn start(args: &[String]) -> Result<(), (u8, String)> {
    let (model, numbers) = match args {
        [help] if help == "--help" || help == "-h" => {
            print!("{USAGE}");
            return Ok(());
        }
        [only, model, numbers @ ..] if only == ONLY => (Some(model), numbers),
        numbers => (None, numbers),
    };
    let work = parse(numbers).map_err(|message| (2, message))?;
    let result = match model {
        Some(model) => measure(model, work).map(|cost| println!("{cost}")),
        None => compare(work),
    };
    result.map_err(|message| (1, message))
}

fn parse(numbers: &[String]) -> Result<Work, String> {
    let mut work = Work { pairs: 1000, messages: 200 };
    if let Some(extra) = numbers.get(2) {
        return Err(format!("{extra}: too many numbers, try --help"));
    }
    for (text, number) in numbers.iter().zip([&mut work.pairs, &mut work.messages]) {
        let parsed = text.parse().ok().filter(|number| (1..=MAX).contains(number));
        *number = parsed.ok_or_else(|| format!("{text:?} is not a number from 1 to {MAX}, try --help"))?;
    }
    Ok(work)
}

/// Starts this program once for each model and prints a table.
fn compare(work: Work) -> Result<(), String> {
    let Work { pairs, messages } = work;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{pairs} producers, {pairs} consumers, {messages} messages each, {cpus} CPUs\n");
    println!(
        "model  tasks                        OS threads     time  per message    memory  per task  switches"
    );
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut failed = 0;
    for (model, what) in MODELS {
        let mut command = Command::new(&program);
        if model == "N:1" {
            // The variable would override `workers(1)`.
            command.env_remove("KAHN_WORKERS");
        }
        command.args([ONLY, model, &pairs.to_string(), &messages.to_string()]);
        let output = command.output().map_err(|error| error.to_string())?;
        if output.status.success() {
            print!("{model:5}  {what:27} {}", String::from_utf8_lossy(&output.stdout));
        } else {
            failed += 1;
            let reason = String::from_utf8_lossy(&output.stderr);
            let reason = reason
                .lines()
                .find(|line| !line.is_empty() && !line.starts_with("thread '"))
                .unwrap_or("failed without a message");
            println!("{model:5}  {what:27}  {}", reason.trim_start_matches("models: "));
        }
    }
    println!(
        "\nmemory: growth of the process's resident memory; switches: the kernel's context switches of OS threads"
    );
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of {} models failed", MODELS.len())) }
}

/// Runs one model and returns its columns of the table.
fn measure(model: &str, work: Work) -> Result<String, String> {
    let before = Resources::of_this_process();
    let workers =
        if model == "N:1" { 1 } else { std::thread::available_parallelism().map_or(1, usize::from) };
    let (time, after) = match model {
        "1:1" => exchange(work, |task| std::thread::Builder::new().spawn(task).map(drop)),
        "N:1" | "M:N" => {
            let runtime = kahn::Runtime::builder().workers(workers).build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            runtime.run(|| exchange(work, |task| kahn::thread::Builder::new().spawn(task).map(drop)))
        }
        _ => return Err(format!("{model}: no such model")),
    }
    .map_err(|error| error.to_string())?;

    let tasks = 2 * work.pairs;
    let memory = after.memory.saturating_sub(before.memory);
    Ok(format!(
        "{:11} {:6.0} ms {:9.0} ns {:6.1} MB {:6.1} KB {:9}",
        after.threads,
        time.as_secs_f64() * 1e3,
        time.as_secs_f64() * 1e9 / (work.pairs * work.messages) as f64,
        memory as f64 / 1e6,
        memory as f64 / 1e3 / tasks as f64,
        after.switches.saturating_sub(before.switches),
    ))
}

type Task = Box<dyn FnOnce() + Send>;

/// Lets every producer send its messages to its consumer. Returns the time, and the resources of the process while all
/// tasks were still alive.
fn exchange(work: Work, spawn: impl Fn(Task) -> io::Result<()>) -> io::Result<(Duration, Resources)> {
    let start = Instant::now();
    let (sum_tx, sums) = bounded(work.pairs);
    // No message is ever sent on it. The tasks wait in `recv` until `gate_tx` is dropped.
    let (gate_tx, gate) = bounded::<()>(0);
    for _ in 0..work.pairs {
        let (tx, rx) = bounded(CAPACITY);
        let (sum_tx, gate_rx) = (sum_tx.clone(), gate.clone());
        spawn(Box::new(move || {
            let sum: usize = rx.iter().sum();
            let _ = sum_tx.send(sum);
            let _ = gate_rx.recv();
        }))?;
        let gate_rx = gate.clone();
        spawn(Box::new(move || {
            let _ = (1..=work.messages).try_for_each(|message| tx.send(message));
            drop(tx);
            let _ = gate_rx.recv();
        }))?;
    }
    let expected = work.messages * (work.messages + 1) / 2;
    for sum in sums.iter().take(work.pairs) {
        assert_eq!(sum, expected, "messages were lost");
    }
    let time = start.elapsed();
    let resources = Resources::of_this_process();
    drop(gate_tx);
    Ok((time, resources))
}

/// What this process uses, as Linux reports it in `/proc`. All zero on other systems.
#[derive(Clone, Copy, Default)]
struct Resources {
    memory: usize,
    threads: usize,
    switches: usize,
}

impl Resources {
    fn of_this_process() -> Resources {
        let mut resources = Resources::default();
        let kilobytes = field(&fs::read_to_string("/proc/self/status").unwrap_or_default(), "VmRSS:");
        resources.memory = 1024 * kilobytes;
        for thread in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
            resources.threads += 1;
            resources.switches += field(&status, "voluntary_ctxt_switches:");
            resources.switches += field(&status, "nonvoluntary_ctxt_switches:");
        }
        resources
    }
}

/// Returns the number of a field of `/proc/…/status`, or 0.
fn field(status: &str, name: &str) -> usize {
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|value| value.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0)
}
