//! The dining philosophers: first with a deadlock, which the runtime detects and reports; then without one.
//!
//! Shows deadlock detection, `kahn::sync::{Mutex, Barrier}`, and named green threads.
//!
//! ```text
//! cargo run --example philosophers
//! cargo run --example philosophers -- 100 1000
//! ```
//!
//! A deadlock means that all green threads are parked and that nothing can wake any of them. `kahn::run` then panics,
//! and the panic's message is a report. It has a line for each green thread: its name, the operation that it waits in,
//! for how long, and the line of source.
//!
//! Exit code: 0 if the first dinner deadlocked and the second did not, 1 if not; 2 for a bad argument.

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::Arc;

use kahn::sync::{Barrier, Mutex};
use kahn::thread::Builder;

const USAGE: &str = "\
Lets philosophers dine twice: with an order of forks that deadlocks, and with one that does not.

usage: philosophers [PHILOSOPHERS [MEALS]]     (5 philosophers, 1000 meals each)

Exit code: 0 if the first dinner deadlocked and the second did not, 1 if not; 2 for a bad argument.
";

const NAMES: [&str; 5] = ["Aspasia", "Hypatia", "Kant", "Laozi", "Socrates"];
const MAX: usize = 100_000;

/// Which of its two forks a philosopher takes first.
#[derive(Clone, Copy, PartialEq)]
enum ForkOrder {
    /// The left fork. Every philosopher then waits until all of them hold one, which makes the deadlock certain.
    LeftFirst,
    /// The fork with the lower number. All philosophers lock in the same order, so no cycle of waits can form.
    LowestFirst,
}

/// Counts how often the fork has been used.
type Fork = Mutex<usize>;

fn main() -> ExitCode {
    let mut numbers = Vec::new();
    for arg in std::env::args().skip(1) {
        match arg.parse() {
            Ok(number) if (1..=MAX).contains(&number) && numbers.len() < 2 => numbers.push(number),
            _ if arg == "--help" || arg == "-h" => {
                print!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            _ => {
                eprintln!(
                    "philosophers: {arg:?} is not a number from 1 to {MAX}, or is one argument too many; try --help"
                );
                return ExitCode::from(2);
            }
        }
    }
    let seats = numbers.first().copied().unwrap_or(NAMES.len());
    let meals = numbers.get(1).copied().unwrap_or(1000);
    if seats < 2 {
        eprintln!("philosophers: one philosopher has only one fork, give a number from 2 to {MAX}");
        return ExitCode::from(2);
    }

    println!("Every philosopher takes the left fork first:\n");
    match deadlock_report(|| dine(seats, meals, ForkOrder::LeftFirst)) {
        Some(report) => println!("{report}"),
        None => {
            eprintln!("philosophers: the first dinner did not deadlock");
            return ExitCode::FAILURE;
        }
    }

    println!("Every philosopher takes the fork with the lower number first:\n");
    let uses = kahn::run(|| dine(seats, meals, ForkOrder::LowestFirst));
    println!("{seats} philosophers have eaten {meals} meals each, the forks were used {uses} times");
    if uses == 2 * seats * meals { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs `f` in a new runtime and returns the report of its deadlock, or `None` if it returned.
fn deadlock_report(f: impl FnOnce() -> usize + Send) -> Option<String> {
    // `main` prints the message, so the panic hook must not.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let result = panic::catch_unwind(AssertUnwindSafe(|| kahn::run(f)));
    panic::set_hook(hook);
    result.err()?.downcast::<String>().ok().map(|report| *report)
}

/// Lets every philosopher eat `meals` times and returns how often forks were used.
fn dine(seats: usize, meals: usize, order: ForkOrder) -> usize {
    let forks: Arc<Vec<Fork>> = Arc::new((0..seats).map(|_| Mutex::new(0)).collect());
    let all_hold_one = Arc::new(Barrier::new(seats));
    let philosophers: Vec<_> = (0..seats)
        .map(|seat| {
            let (forks, all_hold_one) = (forks.clone(), all_hold_one.clone());
            let (left, right) = (seat, (seat + 1) % seats);
            let (first, second) = match order {
                ForkOrder::LeftFirst => (left, right),
                ForkOrder::LowestFirst => (left.min(right), left.max(right)),
            };
            let philosopher = Builder::new().name(name(seat)).spawn(move || {
                for _ in 0..meals {
                    let mut first = forks[first].lock().expect("no philosopher panics with a fork");
                    if order == ForkOrder::LeftFirst {
                        all_hold_one.wait();
                    }
                    let mut second = forks[second].lock().expect("no philosopher panics with a fork");
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
        philosopher.join().expect("a philosopher does not panic");
    }
    forks.iter().map(|fork| *fork.lock().expect("no philosopher panics with a fork")).sum()
}

fn name(seat: usize) -> String {
    NAMES.get(seat).map_or_else(|| format!("philosopher {}", seat + 1), |name| (*name).to_owned())
}
