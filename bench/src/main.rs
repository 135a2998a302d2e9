//! Measures kahn and its peers on the same workloads, in turns, each measurement in its own process. `README.md`
//! describes the workloads and how each peer runs them. `--help` lists the arguments.

mod actor_peers;
mod answers;
mod args;
mod child;
mod kahn_side;
mod machine;
mod may_side;
mod rows;
mod table;
mod tokio_side;
mod workloads;

use args::{Command, Run};
use rows::Row;
use std::path::Path;
use std::process::ExitCode;
use table::{Cell, Table};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == child::FLAG) {
        child::main(&arguments[1..]);
    }
    match args::parse(arguments.into_iter()) {
        Ok(Command::Help) => println!("{}", args::USAGE),
        Ok(Command::List) => list(),
        Ok(Command::Run(run)) => return compare(&run),
        Err(error) => {
            eprintln!("kahn-bench: {error}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn list() {
    for spec in workloads::ALL {
        println!("{:11} {:16} {}", spec.name, spec.unit.to_string(), spec.description);
    }
}

/// Measures and prints the tables. Returns a failure if a figure of kahn is missing, which is a bug of kahn. A missing
/// figure of a peer is no failure.
fn compare(run: &Run) -> ExitCode {
    let go = if run.rows.contains(&Row::Go) {
        machine::build_go()
    } else {
        machine::Go { program: Err("not selected".into()), version: "no Go".into() }
    };
    println!("{}; median of {} rounds{}", machine::describe(&go), run.rounds, quick(run));
    let mut kahn_is_complete = true;
    for &workers in &run.workers {
        let table = measure(run, workers, &go);
        kahn_is_complete &= table.lines.iter().all(|(_, cells)| {
            table.rows.iter().zip(cells).all(|(row, cell)| !row.is_kahn() || cell.missing.is_none())
        });
        println!("\n### {workers} worker{}\n\n{}", if workers == 1 { "" } else { "s" }, table.to_markdown());
    }
    if kahn_is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn quick(run: &Run) -> &'static str {
    if run.quick { "; quick sizes, which do not measure speed" } else { "" }
}

fn measure(run: &Run, workers: usize, go: &machine::Go) -> Table {
    let mut lines = Vec::new();
    for &workload in &run.workloads {
        let mut cells: Vec<Cell> = run
            .rows
            .iter()
            .map(|row| Cell { missing: known_to_be_missing(*row, workload, go), ..Cell::default() })
            .collect();
        for round in 1..=run.rounds {
            eprint!("{} with {workers}, round {round} of {}:", workload.spec().name, run.rounds);
            for (&row, cell) in run.rows.iter().zip(&mut cells) {
                if cell.missing.is_some() || !row.applies(workload) {
                    continue;
                }
                let go = go.program.as_deref().unwrap_or(Path::new("go"));
                match child::measure(row, workload.spec(), run.quick, workers, go) {
                    Ok(figure) => {
                        eprint!(" {} {}", row.key(), table::number(figure));
                        cell.figures.push(figure);
                    }
                    Err(reason) => {
                        eprint!(" {} – ({reason})", row.key());
                        cell.missing = Some(reason);
                    }
                }
            }
            eprintln!();
        }
        lines.push((workload, cells));
    }
    Table { rows: run.rows.clone(), lines, quick: run.quick }
}

fn known_to_be_missing(row: Row, workload: workloads::Workload, go: &machine::Go) -> Option<String> {
    match (row, &go.program) {
        (Row::Go, Err(reason)) => Some(reason.clone()),
        _ => row.cannot(workload).map(String::from),
    }
}
