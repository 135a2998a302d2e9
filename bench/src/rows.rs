//! The rows of a measurement: the peers, and four ways of running kahn. Each is a column of the printed table.

use crate::actor_peers::{self, Peer};
use crate::kahn_side::{self, Mode};
use crate::servers;
use crate::workloads::{ActorWork, ServerWork, Spec, Workload};
use crate::{may_side, tokio_side};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    Kahn(Mode),
    Tokio,
    May,
    Go,
    Actors(Peer),
}

/// All rows in the order of the table, with the name on the command line and the name in the table.
pub const ALL: [(Row, &str, &str); 10] = [
    (Row::Kahn(Mode::Safe), "kahn-safe", "kahn"),
    (Row::Kahn(Mode::Migratory), "kahn-migratory", "kahn migratory"),
    (Row::Kahn(Mode::Local), "kahn-local", "kahn local"),
    (Row::Kahn(Mode::Task), "kahn-task", "kahn task"),
    (Row::Tokio, "tokio", "tokio"),
    (Row::May, "may", "may"),
    (Row::Go, "go", "Go"),
    (Row::Actors(Peer::Kameo), "kameo", "kameo"),
    (Row::Actors(Peer::Ractor), "ractor", "ractor"),
    (Row::Actors(Peer::Actix), "actix", "actix"),
];

impl Row {
    /// Returns the rows that a name in `--peers` stands for. `kahn` stands for its four rows.
    pub fn named(name: &str) -> Vec<Row> {
        ALL.iter()
            .filter(|(row, key, _)| *key == name || (name == "kahn" && row.is_kahn()))
            .map(|(row, ..)| *row)
            .collect()
    }

    pub fn key(self) -> &'static str {
        self.entry().1
    }

    pub fn label(self) -> &'static str {
        self.entry().2
    }

    fn entry(self) -> &'static (Row, &'static str, &'static str) {
        ALL.iter().find(|(row, ..)| *row == self).expect("every row is in ALL")
    }

    pub fn is_kahn(self) -> bool {
        matches!(self, Row::Kahn(_))
    }

    /// Whether the row has a figure for this workload. `spawn_local` does not apply to every workload, some peers have
    /// no actors, and others have only actors.
    pub fn applies(self, workload: Workload) -> bool {
        if let Workload::Server(work) = workload {
            return self.serves(work);
        }
        let of_actors = matches!(workload, Workload::Actor(_));
        match self {
            Row::Kahn(Mode::Local) => kahn_side::has_local(workload),
            Row::Kahn(Mode::Task) => kahn_side::has_task(workload),
            Row::Kahn(_) => true,
            Row::Tokio | Row::May | Row::Go => !of_actors,
            Row::Actors(_) => of_actors,
        }
    }

    fn serves(self, work: ServerWork) -> bool {
        match self {
            Row::Kahn(Mode::Safe | Mode::Task) | Row::Tokio | Row::Go => true,
            Row::May => work != ServerWork::Http,
            Row::Kahn(_) | Row::Actors(_) => false,
        }
    }

    /// Returns why this row cannot run the workload, if it cannot.
    pub fn cannot(self, workload: Workload) -> Option<&'static str> {
        if self == Row::May { may_side::cannot(workload) } else { None }
    }

    /// Returns the size with which this row runs the workload.
    pub fn size(self, spec: &Spec, quick: bool) -> u64 {
        let size = if quick { spec.quick } else { spec.size };
        match (self, spec.workload) {
            (Row::May, Workload::Idle) => size.min(may_side::MOST_TASKS),
            (Row::Actors(_), Workload::Actor(ActorWork::Idle)) => size.min(actor_peers::MOST_ACTORS),
            _ => size,
        }
    }

    /// Runs the workload in this process and returns the total in nanoseconds or bytes. A server does not return.
    ///
    /// # Panics
    ///
    /// Panics if the row is Go, which is a separate program; if the workload does not [apply](Self::applies); and if
    /// the workload has a wrong result.
    pub fn run(self, workload: Workload, size: u64, workers: usize) -> f64 {
        if let Workload::Server(work) = workload {
            servers::serve(self, work, workers);
        }
        match self {
            Row::Kahn(mode) => kahn_side::run(mode, workload, size, workers),
            Row::Tokio => tokio_side::run(workload, size, workers),
            Row::May => may_side::run(workload, size, workers),
            Row::Go => panic!("Go is a separate program"),
            Row::Actors(peer) => match workload {
                Workload::Actor(work) => actor_peers::run(peer, work, size, workers),
                _ => panic!("{peer:?} runs only the workloads of actors"),
            },
        }
    }
}
