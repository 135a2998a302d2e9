//! The benchmarks of the Savina suite on actors.

mod a_star;
mod bench;
mod bitonic_sort;
mod crew;
mod facility_location;
mod fibonacci;
mod filter_bank;
mod matrix_product;
mod n_queens;
mod outcome;
mod pi;
mod quicksort;
mod radix_sort;
mod shortest_paths;
mod sieve;
mod sor;
mod trapezoid;
mod uct;

use std::process::ExitCode;
use std::time::Instant;

use crate::bench::{Bench, Size};

const ALL: &[Bench] = &[
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

#[kahn::main]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let size = if args.iter().any(|arg| arg == "--small") { Size::Small } else { Size::Default };
    let mut code = ExitCode::SUCCESS;
    for bench in ALL.iter().filter(|bench| args.iter().any(|arg| arg == bench.name || arg == "all")) {
        let start = Instant::now();
        let result = (bench.run)(size);
        let ms = start.elapsed().as_secs_f64() * 1e3;
        match result {
            Ok(answer) => println!("{:18} {ms:9.1} ms  {answer}", bench.name),
            Err(error) => {
                println!("{:18} {ms:9.1} ms  FAILED: {error}", bench.name);
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
