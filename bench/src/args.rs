//! The command line of `kahn-bench`.

use crate::rows::{self, Row};
use crate::workloads::{self, Workload};

pub const USAGE: &str = "\
kahn-bench [WORKLOAD…] [--peers LIST] [--rounds N] [--workers N] [--one] [--quick] [--list]

  WORKLOAD…     the workloads to run (all)
  --peers LIST  comma-separated rows to run (all): kahn (its four rows), kahn-safe, kahn-migratory, kahn-local, kahn-task, tokio,
                may, go, kameo, ractor, actix
  --rounds N    the number of rounds; the table has their median (5)
  --workers N   worker threads of every peer (2)
  --one         print a second table with one worker
  --quick       a twentieth of the sizes and one round, as a test that everything runs
  --list        list the workloads

Exit code: 0; 1 if a figure of kahn is missing; 2 for a bad argument.";

#[derive(Debug, PartialEq)]
pub enum Command {
    Run(Run),
    List,
    Help,
}

#[derive(Debug, PartialEq)]
pub struct Run {
    pub workloads: Vec<Workload>,
    pub rows: Vec<Row>,
    pub rounds: usize,
    /// The numbers of workers. There is a table for each.
    pub workers: Vec<usize>,
    pub quick: bool,
}

impl Run {
    /// Returns the part of the run that is about servers.
    pub fn servers(&self) -> Run {
        self.part(Workload::is_of_servers)
    }

    /// Returns the rest of the run.
    pub fn without_servers(&self) -> Run {
        self.part(|workload| !workload.is_of_servers())
    }

    fn part(&self, is_in_part: impl Fn(Workload) -> bool) -> Run {
        let workloads: Vec<_> =
            self.workloads.iter().copied().filter(|workload| is_in_part(*workload)).collect();
        let applies = |row: &Row| workloads.iter().any(|workload| row.applies(*workload));
        let rows = self.rows.iter().copied().filter(applies).collect();
        Run { workloads, rows, workers: self.workers.clone(), ..*self }
    }
}

/// Parses the arguments.
///
/// # Errors
///
/// One line that names the wrong argument and says what is expected.
pub fn parse(args: impl Iterator<Item = String>) -> Result<Command, String> {
    let mut args = args.into_iter();
    let (mut chosen, mut rows, mut rounds, mut workers) = (Vec::new(), Vec::new(), None, 2);
    let (mut one, mut quick) = (false, false);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--list" => return Ok(Command::List),
            "--help" | "-h" => return Ok(Command::Help),
            "--quick" => quick = true,
            "--one" => one = true,
            "--rounds" => rounds = Some(count(&arg, &value()?)?),
            "--workers" => workers = count(&arg, &value()?)?,
            "--peers" => rows.extend(peers(&value()?)?),
            option if option.starts_with('-') => {
                return Err(format!("unknown option {option}; --help lists them"));
            }
            name => chosen
                .push(Workload::named(name).ok_or(format!("unknown workload {name}; --list lists them"))?),
        }
    }
    let named = |workload: &Workload| chosen.is_empty() || chosen.contains(workload);
    let workloads: Vec<_> = workloads::ALL.iter().map(|spec| spec.workload).filter(named).collect();
    let listed = |row: &Row| rows.is_empty() || rows.contains(row);
    let useful = |row: &Row| workloads.iter().any(|workload| row.applies(*workload));
    Ok(Command::Run(Run {
        rows: rows::ALL.iter().map(|(row, ..)| *row).filter(|row| listed(row) && useful(row)).collect(),
        workloads,
        rounds: rounds.unwrap_or(if quick { 1 } else { 5 }),
        workers: if one && workers != 1 { vec![workers, 1] } else { vec![workers] },
        quick,
    }))
}

fn count(option: &str, value: &str) -> Result<usize, String> {
    match value.parse() {
        Ok(n @ 1..=1024) => Ok(n),
        _ => Err(format!("{option} takes a number from 1 to 1024, not {value}")),
    }
}

fn peers(list: &str) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for name in list.split(',') {
        let named = Row::named(name);
        if named.is_empty() {
            return Err(format!(
                "unknown peer {name}; the peers are kahn, tokio, may, go, kameo, ractor and actix"
            ));
        }
        rows.extend(named);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kahn_side::Mode;

    fn run(line: &str) -> Result<Run, String> {
        match parse(line.split_whitespace().map(String::from))? {
            Command::Run(run) => Ok(run),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn no_arguments_select_all_workloads_and_rows() {
        let run = run("").unwrap();
        assert_eq!((run.workloads.len(), run.rows.len()), (workloads::ALL.len(), rows::ALL.len()));
        assert_eq!((run.rounds, run.workers, run.quick), (5, vec![2], false));
    }

    #[test]
    fn named_workloads_and_rows_run_once_in_the_order_of_the_table() {
        let run = run("yield spawn yield --peers go,kahn-local,tokio --one --quick").unwrap();
        assert_eq!(run.workloads, [Workload::Spawn, Workload::Yield]);
        assert_eq!(run.rows, [Row::Kahn(Mode::Local), Row::Tokio, Row::Go]);
        assert_eq!((run.rounds, run.workers, run.quick), (1, vec![2, 1], true));
    }

    #[test]
    fn rows_without_any_of_the_workloads_are_omitted() {
        let keys = |line| run(line).unwrap().rows.into_iter().map(Row::key).collect::<Vec<_>>();
        assert_eq!(keys("tell idle_actors"), ["kahn-safe", "kahn-migratory", "kameo", "ractor", "actix"]);
        assert_eq!(keys("pool --peers kahn,kameo,may"), ["kahn-safe", "kahn-migratory", "may"]);
    }

    #[test]
    fn error_names_the_wrong_argument() {
        for wrong in ["nothing", "--rounds 0", "--rounds many", "--workers", "--peers erlang", "--fast"] {
            let error = run(wrong).unwrap_err();
            let word = wrong.split_whitespace().last().unwrap();
            assert!(error.contains(word) && !error.contains('\n'), "{error}");
        }
    }
}
