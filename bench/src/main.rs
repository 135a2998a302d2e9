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
mod servers;
mod table;
mod tokio_side;
mod workloads;

use args::{Command, Run};
use rows::Row;
use std::path::Path;
use std::process::ExitCode;
use table::{Cell, Line, Table};
use workloads::{Unit, Workload};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == child::FLAG) {
        child::main(&arguments[1..]);
    }
    if arguments.first().is_some_and(|first| first == servers::LOAD_FLAG) {
        servers::load_main(&arguments[1..]);
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
        println!("{:16} {:20} {}", spec.name, spec.unit.to_string(), spec.description);
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
        let title = format!("{workers} worker{}", if workers == 1 { "" } else { "s" });
        for (part, of) in [(run.without_servers(), ""), (run.servers(), "Servers, ")] {
            if part.workloads.is_empty() {
                continue;
            }
            let table = measure(&part, workers, &go);
            kahn_is_complete &= table.lines.iter().all(|line| {
                table.rows.iter().zip(&line.cells).all(|(row, cell)| !row.is_kahn() || cell.missing.is_none())
            });
            println!("\n### {of}{title}\n\n{}", table.to_markdown());
        }
    }
    if kahn_is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn quick(run: &Run) -> &'static str {
    if run.quick { "; quick sizes, which do not measure speed" } else { "" }
}

fn measure(run: &Run, workers: usize, go: &machine::Go) -> Table {
    let lines =
        run.workloads.iter().flat_map(|&workload| measure_workload(run, workload, workers, go)).collect();
    Table { rows: run.rows.clone(), lines, quick: run.quick }
}

/// Runs all rounds of a workload. Returns a line for each of its units.
fn measure_workload(run: &Run, workload: Workload, workers: usize, go: &machine::Go) -> Vec<Line> {
    let spec = workload.spec();
    let cell = |row: &Row| Cell { missing: known_to_be_missing(*row, workload, go), ..Cell::default() };
    let line = |unit: &Unit| Line { workload, unit: *unit, cells: run.rows.iter().map(cell).collect() };
    let mut lines: Vec<Line> = spec.units().iter().map(line).collect();
    let go = go.program.as_deref().unwrap_or(Path::new("go"));
    for round in 1..=run.rounds {
        eprint!("{} with {workers}, round {round} of {}:", spec.name, run.rounds);
        for (i, &row) in run.rows.iter().enumerate() {
            if lines[0].cells[i].missing.is_some() || !row.applies(workload) {
                continue;
            }
            match child::measure(row, spec, run.quick, workers, go) {
                Ok(figures) => {
                    eprint!(" {} {}", row.key(), table::number(figures[0]));
                    lines
                        .iter_mut()
                        .zip(figures)
                        .for_each(|(line, figure)| line.cells[i].figures.push(figure));
                }
                Err(reason) => {
                    eprint!(" {} – ({reason})", row.key());
                    lines.iter_mut().for_each(|line| line.cells[i].missing = Some(reason.clone()));
                }
            }
        }
        eprintln!();
    }
    lines
}

fn known_to_be_missing(row: Row, workload: Workload, go: &machine::Go) -> Option<String> {
    match (row, &go.program) {
        (Row::Go, Err(reason)) => Some(reason.clone()),
        _ => row.cannot(workload).map(String::from),
    }
}
