//! The prime sieve as a chain of green threads. Each of them filters the multiples of one prime out of a stream of
//! numbers.
//!
//! Shows `kahn::spawn`, bounded channels, and shutdown by dropping a receiver.
//!
//! ```text
//! cargo run --release --example sieve -- 1000
//! cargo run --release --example sieve -- --check 200
//! ```
//!
//! A generator sends 2, 3, 4, … into a chain of filters, one for every prime found so far. Bounded channels connect
//! them. The first number that leaves the end of the chain is the next prime, and `primes` appends a filter for it.
//! When `primes` has enough of them, it drops the last receiver. The last filter's send then fails and the filter
//! returns, which drops the receiver before it, and so on up to the generator.
//!
//! Exit code: 0; 1 if `--check` found other primes; 2 for a bad argument.

use std::process::ExitCode;
use std::time::Instant;

use kahn::channel::{Receiver, bounded};
use kahn::spawn;

const USAGE: &str = "\
Finds the first N primes (1000 if not given) with a chain of N green threads.

usage: sieve [--check] [N]

  --check   compare with the sieve of Eratosthenes on an array

Exit code: 0; 1 if the comparison failed; 2 for a bad argument.
";

/// More primes than this would take days.
const MAX: usize = 1_000_000;
/// How many numbers may wait in front of a filter.
const CAPACITY: usize = 64;

#[kahn::main]
fn main() -> ExitCode {
    let (mut check, mut count) = (false, 1000);
    for arg in std::env::args().skip(1) {
        match (arg.as_str(), arg.parse()) {
            ("--help" | "-h", _) => {
                print!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            ("--check", _) => check = true,
            (_, Ok(number)) if (1..=MAX).contains(&number) => count = number,
            _ => {
                eprintln!("sieve: {arg:?} is not a number from 1 to {MAX}, try --help");
                return ExitCode::from(2);
            }
        }
    }

    let start = Instant::now();
    let primes = primes(count);
    let seconds = start.elapsed().as_secs_f64();

    let shown: Vec<String> = primes.iter().take(15).map(u64::to_string).collect();
    println!("{}{}", shown.join(" "), if count > shown.len() { " …" } else { "" });
    let last = primes[count - 1];
    println!("prime number {count} is {last}");
    let messages = messages(last, &primes);
    println!(
        "{} green threads, {messages} messages, {seconds:.3} s, {:.0} ns a message",
        count + 1,
        seconds * 1e9 / messages as f64
    );
    if check {
        if primes != eratosthenes(last) {
            eprintln!("sieve: the sieve of Eratosthenes finds other primes up to {last}");
            return ExitCode::FAILURE;
        }
        println!("the sieve of Eratosthenes finds the same primes");
    }
    ExitCode::SUCCESS
}

fn primes(count: usize) -> Vec<u64> {
    let mut numbers = count_up();
    let mut primes = Vec::new();
    while primes.len() < count {
        let prime = numbers.recv().expect("the generator does not stop");
        primes.push(prime);
        numbers = without_multiples(prime, numbers);
    }
    primes
}

fn count_up() -> Receiver<u64> {
    let (tx, rx) = bounded(CAPACITY);
    spawn(move || (2..).try_for_each(|number| tx.send(number)));
    rx
}

fn without_multiples(prime: u64, numbers: Receiver<u64>) -> Receiver<u64> {
    let (tx, rx) = bounded(CAPACITY);
    spawn(move || {
        let mut others = numbers.iter().filter(|number| !number.is_multiple_of(prime));
        others.try_for_each(|number| tx.send(number))
    });
    rx
}

/// Returns how many messages it takes to find the primes up to `last`. A number travels to the filter of its smallest
/// divisor, one message for each filter on the way.
fn messages(last: u64, primes: &[u64]) -> usize {
    let hops = |number: u64| {
        primes.iter().position(|&prime| number.is_multiple_of(prime)).map_or(0, |filters| filters + 1)
    };
    (2..=last).map(hops).sum()
}

fn eratosthenes(last: u64) -> Vec<u64> {
    let mut is_prime = vec![true; usize::try_from(last).expect("the primes up to `last` fit in memory") + 1];
    let mut primes = Vec::new();
    for number in 2..is_prime.len() {
        if is_prime[number] {
            primes.push(number as u64);
            is_prime.iter_mut().skip(number * number).step_by(number).for_each(|multiple| *multiple = false);
        }
    }
    primes
}
