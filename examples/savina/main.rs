//! The thirty benchmarks of the Savina suite for actors (Imam and Sarkar, 2014), written for kahn's actors. The program
//! runs a benchmark, checks its result, and prints how long it took.
//!
//! Shows `Actor`, `ActorRef::{tell, ask}`, links, mailbox sizes, and many protocols between actors. `ping_pong.rs` is
//! the simplest one; `bench.rs`, `results.rs`, `gather.rs` and `pool.rs` have what several benchmarks share.
//!
//! ```text
//! cargo run --release --example savina -- all
//! cargo run --release --example savina -- banking
//! ```
//!
//! Mailboxes are bounded, and a `tell` parks while the mailbox is full. Each file therefore begins with the reason why
//! its actors cannot deadlock.
//!
//! Exit code: 0; 1 if a result was wrong; 2 for a bad argument.

mod bench;
mod gather;
mod pool;
mod results;

mod a_star;
mod banking;
mod big;
mod bitonic_sort;
mod chameneos;
mod cigarette_smokers;
mod concurrent_dictionary;
mod concurrent_sorted_list;
mod counting;
mod facility_location;
mod fibonacci;
mod filter_bank;
mod fork_join_create;
mod fork_join_throughput;
mod logistic_map;
mod matrix_product;
mod n_queens;
mod philosophers;
mod pi;
mod ping_pong;
mod producer_consumer;
mod quicksort;
mod radix_sort;
mod shortest_paths;
mod sieve;
mod sleeping_barber;
mod sor;
mod thread_ring;
mod trapezoid;
mod uct;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::bench::{Bench, Size};

const USAGE: &str = "\
Runs benchmarks of actors, checks their results, and prints how long each takes.

usage: savina [--small] NAME...|all
       savina --list                 (lists the names with a description)

  --small   runs the benchmarks with small sizes, as a quick test

Exit code: 0; 1 if a result was wrong; 2 for a bad argument.
";

/// In the order of the suite.
const ALL: &[Bench] = &[
    ping_pong::BENCH,
    counting::BENCH,
    fork_join_create::BENCH,
    fork_join_throughput::BENCH,
    thread_ring::BENCH,
    chameneos::BENCH,
    big::BENCH,
    concurrent_dictionary::BENCH,
    concurrent_sorted_list::BENCH,
    producer_consumer::BENCH,
    philosophers::BENCH,
    sleeping_barber::BENCH,
    cigarette_smokers::BENCH,
    logistic_map::BENCH,
    banking::BENCH,
    radix_sort::BENCH,
    bitonic_sort::BENCH,
    filter_bank::BENCH,
    sieve::BENCH,
    uct::BENCH,
    facility_location::BENCH,
    trapezoid::BENCH,
    pi::BENCH,
    matrix_product::BENCH,
    quicksort::BENCH,
    fibonacci::BENCH,
    n_queens::BENCH,
    a_star::BENCH,
    shortest_paths::BENCH,
    sor::BENCH,
];

enum Command {
    Help,
    List,
    Run(Size, Vec<&'static Bench>),
}

#[kahn::main]
fn main() -> ExitCode {
    match parse(std::env::args().skip(1)) {
        Ok(Command::Help) => print!("{USAGE}"),
        Ok(Command::List) => {
            for bench in ALL {
                print(&format_args!("{:24} {}", bench.name, bench.about));
            }
        }
        Ok(Command::Run(size, benches)) => return run(size, &benches),
        Err(message) => {
            eprintln!("savina: {message}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn parse(args: impl Iterator<Item = String>) -> Result<Command, String> {
    let mut size = Size::Default;
    let mut chosen = Vec::new();
    for arg in args {
        match arg.as_str() {
            "--help" | "-h" => return Ok(Command::Help),
            "--list" => return Ok(Command::List),
            "--small" => size = Size::Small,
            "all" => chosen.extend(ALL),
            name => match ALL.iter().find(|bench| bench.name == name) {
                Some(bench) => chosen.push(bench),
                None if name.starts_with('-') => return Err(format!("{name}: no such option, try --help")),
                None => return Err(format!("{name}: no such benchmark, give {}", names())),
            },
        }
    }
    if chosen.is_empty() {
        Err(format!("no benchmark is named, give {}", names()))
    } else {
        Ok(Command::Run(size, chosen))
    }
}

fn names() -> String {
    let names: Vec<_> = ALL.iter().map(|bench| bench.name).collect();
    format!("all, or one of {}", names.join(", "))
}

/// Prints a line. Ignores a closed pipe, as in `savina all | head`.
fn print(line: &dyn Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn run(size: Size, benches: &[&Bench]) -> ExitCode {
    let mut failed = 0;
    let mut total = Duration::ZERO;
    for bench in benches {
        let start = Instant::now();
        let result = (bench.run)(size);
        let time = start.elapsed();
        total += time;
        let ms = time.as_secs_f64() * 1e3;
        match result {
            Ok(summary) => print(&format_args!("{:24} {ms:10.1} ms  {summary}", bench.name)),
            Err(error) => {
                failed += 1;
                print(&format_args!("{:24} {ms:10.1} ms  WRONG: {error}", bench.name));
            }
        }
    }
    if benches.len() > 1 {
        let (all, ms) = ("total", total.as_secs_f64() * 1e3);
        print(&format_args!("{all:24} {ms:10.1} ms  {} benchmarks", benches.len()));
    }
    if failed == 0 {
        return ExitCode::SUCCESS;
    }
    eprintln!("savina: {failed} of {} benchmarks had a wrong result", benches.len());
    ExitCode::FAILURE
}
