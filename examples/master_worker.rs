//! One master, many workers: the answers come in order, and a worker that panics is replaced.
//!
//! ```text
//! cargo run --release --example master_worker -- examples/data/numbers.txt
//! seq 1000000000000 1000000000100 | cargo run --release --example master_worker
//! ```
//!
//! Each line is a number to factor. A line that is none makes its worker panic, as a fault in real work would: its keeper
//! sees that in the `join`, answers for the lost line, and starts another worker. A window of permits bounds how far the
//! workers can be ahead of the first answer that is missing.

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
Factors the numbers in a file, one a line, with many workers.

usage: master_worker [--workers N] [FILE]      (standard input if there is none, or -)

Lines that are no numbers make a worker panic; it is replaced. Exit code 0 also then.
";

const WORKERS_MOST: usize = 10_000;

/// How many lines may be on their way for each worker.
const WINDOW: usize = 4;

struct Job {
    line: usize,
    text: String,
}

struct Answer {
    line: usize,
    text: String,
    /// Its worker has panicked.
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
                let number = value.parse().ok().filter(|number| (1..=WORKERS_MOST).contains(number));
                workers = number.ok_or_else(|| {
                    format!("--workers: {value:?} is not a number from 1 to {WORKERS_MOST}")
                })?;
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

/// Starts all, and prints the answers in the order of the lines.
fn master(workers: usize, input: Input) -> io::Result<()> {
    let (job_tx, jobs) = bounded(workers);
    let (answer_tx, answers) = bounded(workers);
    let window = Arc::new(Semaphore::new(workers * WINDOW));
    let keepers: Vec<_> = (0..workers)
        .map(|_| {
            let (jobs, answers) = (jobs.clone(), answer_tx.clone());
            spawn(move || keep_a_worker(&jobs, &answers))
        })
        .collect();
    drop((jobs, answer_tx));
    let reader = {
        let window = window.clone();
        spawn(move || read_jobs(input, &job_tx, &window))
    };

    let mut out = io::BufWriter::new(io::stdout());
    let mut early = BTreeMap::new();
    let (mut next, mut lost) = (0, 0);
    for answer in answers {
        early.insert(answer.line, answer);
        while let Some(answer) = early.remove(&next) {
            writeln!(out, "{:>6}  {}", next + 1, answer.text)?;
            lost += usize::from(answer.is_lost);
            next += 1;
            window.add_permits(1);
        }
        if early.is_empty() {
            out.flush()?;
        }
    }
    let mut replaced = 0;
    for keeper in keepers {
        replaced += keeper.join().expect("a keeper does not panic");
    }
    writeln!(out, "{} answers, {lost} lost, by {workers} workers, {replaced} of them replaced", next - lost)?;
    out.flush()?;
    reader.join().expect("reading does not panic")
}

/// Reads lines, as long as there are permits.
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

/// Has a worker work, and another if it panics. Answers how many have.
fn keep_a_worker(jobs: &Receiver<Job>, answers: &Sender<Answer>) -> usize {
    let mut panics = 0;
    loop {
        // The line that the worker is at.
        let desk = Arc::new(Mutex::new(None));
        let worker = {
            let (jobs, answers, desk) = (jobs.clone(), answers.clone(), desk.clone());
            spawn(move || work(&jobs, &answers, &desk))
        };
        let Err(error) = worker.join() else { return panics };
        panics += 1;
        let line = desk.lock().ok().and_then(|desk| *desk);
        if let Some(line) = line {
            let lost = Answer { line, text: format!("lost: {error}"), is_lost: true };
            if answers.send(lost).is_err() {
                return panics;
            }
        }
    }
}

fn work(jobs: &Receiver<Job>, answers: &Sender<Answer>, desk: &Mutex<Option<usize>>) {
    for Job { line, text } in jobs {
        *desk.lock().expect("nobody panics at the desk") = Some(line);
        let number: u64 = text.trim().parse().unwrap_or_else(|error| panic!("{:?}: {error}", text.trim()));
        let answer = Answer { line, text: factored(number), is_lost: false };
        if answers.send(answer).is_err() {
            return;
        }
    }
}

fn factored(number: u64) -> String {
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
