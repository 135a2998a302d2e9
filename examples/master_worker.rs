//! One master and many workers. The master prints the results in the order of the input, and a supervisor per worker
//! replaces a worker that panicked.
//!
//! Shows a channel with many receivers as a work queue, `join` returning the panic of a green thread, and a `Semaphore`
//! as a bound on work in flight. (`supervisor_tour` shows kahn's own supervisors, which are for actors.)
//!
//! ```text
//! cargo run --release --example master_worker -- examples/data/numbers.txt
//! seq 1000000000000 1000000000100 | cargo run --release --example master_worker
//! ```
//!
//! Each line is a number to factor. A line that is not a number makes its worker panic, like a bug in real work would.
//! The worker's supervisor sees the panic in `join`, reports the line as lost, and starts another worker.
//!
//! Results arrive out of order, and the master keeps those that are early. To bound their number, the reader takes a
//! permit for each line, and the master gives it back when it has printed the line's result.
//!
//! Exit code: 0, even if lines were lost; 1 if the input cannot be read; 2 for a bad argument.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use kahn::channel::{Receiver, Sender, bounded};
use kahn::sync::{Mutex, Semaphore};
use kahn::{blocking, spawn};

const USAGE: &str = "\
Factors the numbers in a file, one number per line, with many workers.

usage: master_worker [--workers N] [FILE]      (standard input if FILE is missing or -)

  --workers N   how many workers there are (8)

A line that is not a number makes its worker panic, and the worker is replaced.

Exit code: 0, even if workers panicked; 1 if the input cannot be read; 2 for a bad argument.
";

const MAX_WORKERS: usize = 10_000;

/// How many lines may be in flight for each worker.
const LINES_PER_WORKER: usize = 4;

struct Job {
    line: usize,
    text: String,
}

struct Factored {
    line: usize,
    text: String,
    /// Whether the worker panicked. `text` is then the reason.
    is_lost: bool,
}

#[kahn::main]
fn main() -> ExitCode {
    let (workers, input) = match parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("master_worker: {message}");
            return ExitCode::from(2);
        }
    };
    match master(workers, input) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("master_worker: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

type Input = Box<dyn BufRead + Send>;

fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<(usize, Input)>, String> {
    let mut workers = 8;
    let mut file = None;
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" | "-h" => return Ok(None),
            "--workers" => {
                let value = args.next().unwrap_or_default();
                let number = value.parse().ok().filter(|number| (1..=MAX_WORKERS).contains(number));
                workers = number
                    .ok_or_else(|| format!("--workers: {value:?} is not a number from 1 to {MAX_WORKERS}"))?;
            }
            "-" => file = None,
            flag if flag.starts_with('-') => return Err(format!("{flag}: no such option, try --help")),
            path => file = Some(PathBuf::from(path)),
        }
    }
    let input: Input = match file {
        Some(path) if path.is_dir() => return Err(format!("{}: is a folder", path.display())),
        Some(path) => {
            let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            Box::new(BufReader::new(file))
        }
        None => Box::new(BufReader::new(io::stdin())),
    };
    Ok(Some((workers, input)))
}

/// Starts the reader and the workers, and prints the results in the order of the lines.
fn master(workers: usize, input: Input) -> io::Result<()> {
    let (job_tx, jobs) = bounded(workers);
    let (result_tx, results) = bounded(workers);
    let window = Arc::new(Semaphore::new(workers * LINES_PER_WORKER));
    let supervisors: Vec<_> = (0..workers)
        .map(|_| {
            let (jobs, results) = (jobs.clone(), result_tx.clone());
            spawn(move || supervise_worker(&jobs, &results))
        })
        .collect();
    drop((jobs, result_tx));
    let reader = {
        let window = window.clone();
        spawn(move || read_jobs(input, &job_tx, &window))
    };

    let mut out = io::BufWriter::new(io::stdout());
    let mut early = BTreeMap::new();
    let (mut next, mut lost) = (0, 0);
    for result in results {
        early.insert(result.line, result);
        while let Some(result) = early.remove(&next) {
            writeln!(out, "{:>6}  {}", next + 1, result.text)?;
            lost += usize::from(result.is_lost);
            next += 1;
            window.add_permits(1);
        }
        if early.is_empty() {
            out.flush()?;
        }
    }
    let mut replaced = 0;
    for supervisor in supervisors {
        replaced += supervisor.join().expect("a supervisor does not panic");
    }
    writeln!(
        out,
        "{} lines factored, {lost} lost; {workers} workers, {replaced} replaced after a panic",
        next - lost
    )?;
    out.flush()?;
    reader.join().expect("the reader does not panic")
}

/// Sends each line of the input as a job, after it has taken a permit for it.
fn read_jobs(mut input: Input, jobs: &Sender<Job>, window: &Semaphore) -> io::Result<()> {
    for line in 0.. {
        window.acquire().forget();
        let mut text = String::new();
        if blocking(|| input.read_line(&mut text))? == 0 || jobs.send(Job { line, text }).is_err() {
            break;
        }
    }
    Ok(())
}

/// Runs a worker, and a new one after each panic. Returns how many panicked.
fn supervise_worker(jobs: &Receiver<Job>, results: &Sender<Factored>) -> usize {
    let mut panics = 0;
    loop {
        let current_line = Arc::new(Mutex::new(None));
        let worker = {
            let (jobs, results, current_line) = (jobs.clone(), results.clone(), current_line.clone());
            spawn(move || work(&jobs, &results, &current_line))
        };
        let Err(error) = worker.join() else { return panics };
        panics += 1;
        let line = current_line.lock().ok().and_then(|line| *line);
        if let Some(line) = line {
            let lost = Factored { line, text: format!("lost: {error}"), is_lost: true };
            if results.send(lost).is_err() {
                return panics;
            }
        }
    }
}

fn work(jobs: &Receiver<Job>, results: &Sender<Factored>, current_line: &Mutex<Option<usize>>) {
    for Job { line, text } in jobs {
        *current_line.lock().expect("no thread panics while it holds this lock") = Some(line);
        let number: u64 = text.trim().parse().unwrap_or_else(|error| panic!("{:?}: {error}", text.trim()));
        let result = Factored { line, text: factors(number), is_lost: false };
        if results.send(result).is_err() {
            return;
        }
    }
}

fn factors(number: u64) -> String {
    let mut factors = Vec::new();
    let mut rest = number;
    let mut divisor = 2;
    while rest > 1 && divisor <= rest / divisor {
        while rest.is_multiple_of(divisor) {
            factors.push(divisor.to_string());
            rest /= divisor;
        }
        divisor += if divisor == 2 { 1 } else { 2 };
    }
    if rest > 1 || factors.is_empty() {
        factors.push(rest.to_string());
    }
    format!("{number} = {}", factors.join(" · "))
}
