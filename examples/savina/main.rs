//! The thirty benchmarks of the Savina suite (Imam and Sarkar, 2014), written for these actors: each does with messages
//! what it is about, checks its answer, and is timed.
//!
//! ```text
//! cargo run --release --example savina -- all
//! cargo run --release --example savina -- banking
//! ```
//!
//! Mailboxes are bounded, so each file begins with why its actors never wait for each other in a circle.

mod bench;
mod crew;
mod gather;
mod outcome;

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
Runs benchmarks of actors, checks what they compute, and prints how long each takes.

usage: savina [--small] NAME...|all
       savina --list                 (the names, and what they are about)

--small   a moment's work, to see that all is well
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

enum Order {
    Explain,
    List,
    Run(Size, Vec<&'static Bench>),
}

#[kahn::main]
fn main() -> ExitCode {
    match parse(std::env::args().skip(1)) {
        Ok(Order::Explain) => print!("{USAGE}"),
        Ok(Order::List) => {
            for bench in ALL {
                print(&format_args!("{:24} {}", bench.name, bench.about));
            }
        }
        Ok(Order::Run(size, benches)) => return run(size, &benches),
        Err(message) => {
            eprintln!("savina: {message}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn parse(args: impl Iterator<Item = String>) -> Result<Order, String> {
    let mut size = Size::Default;
    let mut chosen = Vec::new();
    for arg in args {
        match arg.as_str() {
            "--help" | "-h" => return Ok(Order::Explain),
            "--list" => return Ok(Order::List),
            "--small" => size = Size::Small,
            "all" => chosen.extend(ALL),
            name => match ALL.iter().find(|bench| bench.name == name) {
                Some(bench) => chosen.push(bench),
                None if name.starts_with('-') => return Err(format!("{name}: no such option, try --help")),
                None => return Err(format!("{name}: no such benchmark, give {}", names())),
            },
        }
    }
    if chosen.is_empty() { Err(format!("say which: {}", names())) } else { Ok(Order::Run(size, chosen)) }
}

fn names() -> String {
    let names: Vec<_> = ALL.iter().map(|bench| bench.name).collect();
    format!("all, or one of {}", names.join(", "))
}

/// Prints a line. Nobody may read on, as in `savina all | head`.
fn print(line: &dyn Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn run(size: Size, benches: &[&Bench]) -> ExitCode {
    let mut failed = 0;
    let mut total = Duration::ZERO;
    for bench in benches {
        let start = Instant::now();
        let outcome = (bench.run)(size);
        let time = start.elapsed();
        total += time;
        let ms = time.as_secs_f64() * 1e3;
        match outcome {
            Ok(computed) => print(&format_args!("{:24} {ms:10.1} ms  {computed}", bench.name)),
            Err(wrong) => {
                failed += 1;
                print(&format_args!("{:24} {ms:10.1} ms  WRONG: {wrong}", bench.name));
            }
        }
    }
    if benches.len() > 1 {
        let (all, ms) = ("all of these", total.as_secs_f64() * 1e3);
        print(&format_args!("{all:24} {ms:10.1} ms  {} benchmarks", benches.len()));
    }
    if failed == 0 {
        return ExitCode::SUCCESS;
    }
    eprintln!("savina: {failed} of {} benchmarks gave a wrong answer", benches.len());
    ExitCode::FAILURE
}
