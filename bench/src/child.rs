//! Runs each measurement in its own process. Peers share no heap, no signal handler and no page table, and a peer that
//! crashes does not affect the others.

use crate::rows::Row;
use crate::servers;
use crate::workloads::{Spec, Workload};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The first argument of a child process of this program.
pub const FLAG: &str = "--child";

/// How long one round of one workload may take.
const LIMIT: Duration = Duration::from_secs(120);

/// The interval at which the parent polls a running child. It is long because the parent takes CPU time from the child.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Runs one round in a child process and returns its figures, one for each unit of the workload.
///
/// # Errors
///
/// The reason why there are no figures, in one line.
pub fn measure(row: Row, spec: &Spec, quick: bool, workers: usize, go: &Path) -> Result<Vec<f64>, String> {
    let size = row.size(spec, quick);
    let command = command(row, spec.name, size, workers, go)?;
    if let Workload::Server(work) = spec.workload {
        let totals = servers::measure(command, work, size, quick)?;
        return Ok(spec.units().iter().zip(totals).map(|(unit, total)| unit.figure(total, size)).collect());
    }
    let out = output(command)?;
    match out.split_whitespace().last().and_then(|word| word.parse().ok()) {
        Some(total) => Ok(vec![spec.unit.figure(total, size)]),
        None => Err("printed no total".to_string()),
    }
}

/// Returns the command that runs a row in a process of its own.
fn command(row: Row, workload: &str, size: u64, workers: usize, go: &Path) -> Result<Command, String> {
    let mut command;
    if row == Row::Go {
        command = Command::new(go);
        command.args([workload, "1", &size.to_string()]).env("GOMAXPROCS", workers.to_string());
    } else {
        command = me()?;
        command.args([FLAG, row.key(), workload, &size.to_string(), &workers.to_string()]);
    }
    command.env_remove("KAHN_WORKERS").env("RUST_BACKTRACE", "0");
    Ok(command)
}

/// Returns the command of this program.
pub fn me() -> Result<Command, String> {
    let me =
        std::env::current_exe().map_err(|error| format!("the path of this program is unknown: {error}"))?;
    Ok(Command::new(me))
}

/// Runs a command and returns its standard output.
///
/// # Errors
///
/// The reason, in one line, if it cannot be started, takes too long, or fails.
pub fn output(mut command: Command) -> Result<String, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("cannot be started: {error}"))?;
    let out = collect(child.stdout.take());
    let err = collect(child.stderr.take());
    let Some(status) = wait(&mut child) else {
        return Err(format!("did not finish within {} s", LIMIT.as_secs()));
    };
    let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
    if status.success() { Ok(out) } else { Err(reason(status, &err)) }
}

/// Main function of a child process. Runs the workload, prints its total, and exits without shutting the runtime down,
/// because the shutdown is not measured.
pub fn main(args: &[String]) -> ! {
    let [row, workload, size, workers] = args else { panic!("{FLAG} takes four arguments, not {args:?}") };
    let row = Row::named(row)[0];
    let workload = Workload::named(workload).expect("a workload");
    let (size, workers) = (size.parse().expect("a size"), workers.parse().expect("a number of workers"));
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // A panic in any task ends the process. Some runtimes would continue without the task and never finish.
        report(panic);
        std::process::exit(101);
    }));
    println!("{}", row.run(workload, size, workers));
    std::process::exit(0);
}

/// Waits for the child and kills it at the limit. Returns `None` if it was killed.
fn wait(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) => std::thread::sleep(POLL_INTERVAL),
            Err(_) => break,
        }
    }
    // Both fail only if the child has ended meanwhile.
    let _ = child.kill();
    let _ = child.wait();
    None
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut pipe) = pipe {
            // If the read fails, the text before the failure is returned.
            let _ = pipe.read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// Returns the exit status with the most useful line of standard error: Go's panic message, or the last line that is
/// not the hint to `RUST_BACKTRACE`.
fn reason(status: ExitStatus, stderr: &str) -> String {
    let lines =
        || stderr.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("note:"));
    let line = lines()
        .find(|line| line.starts_with("panic:") || line.starts_with("fatal error:"))
        .or_else(|| lines().next_back())
        .unwrap_or("nothing on standard error");
    let line: String = line.chars().take(160).collect();
    format!("{status}: {line}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn reason_contains_the_panic_message() {
        let rust = "thread 'main' panicked at src/a.rs:1:2:\nwrong sum\nnote: run with `RUST_BACKTRACE=1`\n";
        assert_eq!(reason(ExitStatus::from_raw(101 << 8), rust), "exit status: 101: wrong sum");
        let go = "panic: wrong sum\n\ngoroutine 1 [running]:\nmain.main()\n";
        assert!(reason(ExitStatus::from_raw(2 << 8), go).ends_with(": panic: wrong sum"));
        assert!(reason(ExitStatus::from_raw(9), "").contains("signal: 9"));
    }
}
