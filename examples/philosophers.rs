//! The dining philosophers: first so that they starve, and the runtime says who waits for what; then so that they eat.
//!
//! ```text
//! cargo run --example philosophers
//! cargo run --example philosophers -- 100 1000
//! ```
//!
//! When all green threads are asleep and nothing can ever wake one of them, `kahn::run` ends with a panic whose message is
//! a report: a line for each, with its name, what it waits for, since when, and in which line.

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::Arc;

use kahn::sync::{Barrier, Mutex};
use kahn::thread::Builder;

const USAGE: &str = "\
Lets philosophers dine, first in a way that deadlocks, then in one that does not.

usage: philosophers [PHILOSOPHERS [MEALS]]     (5 of them, 1000 meals for each)
";

const NAMES: [&str; 5] = ["Aspasia", "Hypatia", "Kant", "Laozi", "Socrates"];
const MOST: usize = 100_000;

/// Which fork is taken first.
#[derive(Clone, Copy, PartialEq)]
enum Manners {
    /// Everyone takes the left one, and waits until all have it.
    LeftFirst,
    /// Everyone takes the one with the lower number: nobody can wait in a circle.
    InOrder,
}

/// A fork knows how often it has been used.
type Fork = Mutex<usize>;

fn main() -> ExitCode {
    let mut numbers = Vec::new();
    for arg in std::env::args().skip(1) {
        match arg.parse() {
            Ok(number) if (1..=MOST).contains(&number) && numbers.len() < 2 => numbers.push(number),
            _ if arg == "--help" || arg == "-h" => {
                print!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            _ => {
                eprintln!(
                    "philosophers: {arg:?} is not a number from 1 to {MOST}, or one too many; try --help"
                );
                return ExitCode::from(2);
            }
        }
    }
    let seats = numbers.first().copied().unwrap_or(NAMES.len());
    let meals = numbers.get(1).copied().unwrap_or(1000);
    if seats < 2 {
        eprintln!("philosophers: one philosopher has only one fork, give a number from 2 to {MOST}");
        return ExitCode::from(2);
    }

    println!("Everyone takes the left fork first:\n");
    match deadlock_of(|| dine(seats, meals, Manners::LeftFirst)) {
        Some(report) => println!("{report}"),
        None => {
            eprintln!("philosophers: there should have been a deadlock");
            return ExitCode::FAILURE;
        }
    }

    println!("Everyone takes the fork with the lower number first:\n");
    let uses = kahn::run(|| dine(seats, meals, Manners::InOrder));
    println!("{seats} philosophers have eaten {meals} meals each, the forks were used {uses} times");
    if uses == 2 * seats * meals { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs something that is to deadlock, and answers the report.
fn deadlock_of(f: impl FnOnce() -> usize + Send) -> Option<String> {
    // We print the panic's message ourselves.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let result = panic::catch_unwind(AssertUnwindSafe(|| kahn::run(f)));
    panic::set_hook(hook);
    result.err()?.downcast::<String>().ok().map(|report| *report)
}

/// Lets all eat, and answers how often forks were used.
fn dine(seats: usize, meals: usize, manners: Manners) -> usize {
    let forks: Arc<Vec<Fork>> = Arc::new((0..seats).map(|_| Mutex::new(0)).collect());
    let all_have_one = Arc::new(Barrier::new(seats));
    let philosophers: Vec<_> = (0..seats)
        .map(|seat| {
            let (forks, all_have_one) = (forks.clone(), all_have_one.clone());
            let (left, right) = (seat, (seat + 1) % seats);
            let (first, second) = match manners {
                Manners::LeftFirst => (left, right),
                Manners::InOrder => (left.min(right), left.max(right)),
            };
            let philosopher = Builder::new().name(name(seat)).spawn(move || {
                for _ in 0..meals {
                    let mut first = forks[first].lock().expect("nobody panics with a fork");
                    if manners == Manners::LeftFirst {
                        all_have_one.wait();
                    }
                    let mut second = forks[second].lock().expect("nobody panics with a fork");
                    *first += 1;
                    *second += 1;
                    drop((first, second));
                    kahn::yield_now();
                }
            });
            philosopher.expect("there is memory for a green thread")
        })
        .collect();
    for philosopher in philosophers {
        philosopher.join().expect("nobody panics at table");
    }
    forks.iter().map(|fork| *fork.lock().expect("nobody panics with a fork")).sum()
}

fn name(seat: usize) -> String {
    NAMES.get(seat).map_or_else(|| format!("philosopher {}", seat + 1), |name| (*name).to_owned())
}
