//! Computes medians and ratios and formats them as Markdown.

use crate::kahn_side::Mode;
use crate::rows::Row;
use crate::workloads::{Spec, Unit, Workload};
use std::fmt::Write;

/// The figures of one row for one workload.
#[derive(Default)]
pub struct Cell {
    /// A figure for every round.
    pub figures: Vec<f64>,
    /// The reason why figures are missing. After it no further rounds are run.
    pub missing: Option<String>,
}

impl Cell {
    /// Returns `None` if a round is missing, because a median of fewer rounds is not comparable.
    pub fn median(&self) -> Option<f64> {
        if self.figures.is_empty() || self.missing.is_some() {
            return None;
        }
        let mut sorted = self.figures.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        Some(if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 })
    }
}

/// The figures of one unit of a workload, a cell for each row.
pub struct Line {
    pub workload: Workload,
    pub unit: Unit,
    pub cells: Vec<Cell>,
}

/// The results for one number of workers.
pub struct Table {
    pub rows: Vec<Row>,
    pub lines: Vec<Line>,
    pub quick: bool,
}

impl Table {
    pub fn to_markdown(&self) -> String {
        let compared: Vec<Row> = [Row::Kahn(Mode::Safe), Row::Kahn(Mode::Migratory)]
            .into_iter()
            .filter(|row| self.rows.contains(row) && self.rows.iter().any(|row| !row.is_kahn()))
            .collect();
        let mut columns = vec!["workload".to_string(), "unit".to_string()];
        columns.extend(self.rows.iter().map(|row| row.label().to_string()));
        // Of some figures of servers, more is better. Their ratios are the other way round.
        let of_servers = self.lines.iter().any(|line| line.workload.is_of_servers());
        let ratio = |row: &Row| {
            format!("{} {}", if of_servers { "advantage of" } else { "best peer /" }, row.label())
        };
        columns.extend(compared.iter().map(ratio));
        let mut text = line(&columns);
        text += &format!("|---|---|{}\n", "--:|".repeat(columns.len() - 2));
        for Line { workload, unit, cells } in &self.lines {
            let mut columns = vec![workload.spec().name.to_string(), unit.to_string()];
            columns.extend(self.rows.iter().zip(cells).map(|(row, cell)| match cell.median() {
                Some(figure) => number(figure),
                None if row.applies(*workload) => "–".to_string(),
                None => String::new(),
            }));
            let ratio = |row: &Row| self.ratio(*unit, cells, *row).map_or("–".into(), times);
            columns.extend(compared.iter().map(ratio));
            text += &line(&columns);
        }
        text + &self.notes()
    }

    /// Returns the best peer's figure divided by the figure of `row`, or the reverse if more is better. Above 1, `row` is
    /// faster or smaller.
    fn ratio(&self, unit: Unit, cells: &[Cell], row: Row) -> Option<f64> {
        let figures = || self.rows.iter().zip(cells);
        let ours = figures().find(|(other, _)| **other == row)?.1.median()?;
        let peers = figures().filter(|(row, _)| !row.is_kahn()).filter_map(|(_, cell)| cell.median());
        if unit.more_is_better() {
            Some(ours / peers.max_by(f64::total_cmp)?)
        } else {
            Some(peers.min_by(f64::total_cmp)? / ours)
        }
    }

    /// Returns a line for each row and reason for which figures are missing, and for each row with a smaller size.
    fn notes(&self) -> String {
        let mut notes: Vec<(Row, String, Vec<&str>)> = Vec::new();
        for Line { workload, cells, .. } in
            self.lines.iter().filter(|line| line.unit == line.workload.spec().unit)
        {
            let spec = workload.spec();
            for (row, cell) in self.rows.iter().zip(cells) {
                let Some(note) = cell.missing.clone().or_else(|| self.smaller(*row, spec)) else { continue };
                match notes.iter_mut().find(|(other, text, _)| other == row && *text == note) {
                    Some((_, _, names)) => names.push(spec.name),
                    None => notes.push((*row, note, vec![spec.name])),
                }
            }
        }
        notes.sort_by_key(|(row, ..)| self.rows.iter().position(|other| other == row));
        let mut text = String::new();
        for (i, (row, note, names)) in notes.iter().enumerate() {
            let gap = if i == 0 { "\n" } else { "" };
            writeln!(text, "{gap}- {}, {}: {note}", row.label(), names.join(", "))
                .expect("writing to a String does not fail");
        }
        text
    }

    fn smaller(&self, row: Row, spec: &Spec) -> Option<String> {
        let size = row.size(spec, self.quick);
        let full = if self.quick { spec.quick } else { spec.size };
        (size < full).then(|| format!("at a size of {}", number(size as f64)))
    }
}

fn line(columns: &[String]) -> String {
    format!("| {} |\n", columns.join(" | "))
}

/// Formats a figure with one decimal below 100, and with thousands separators above.
pub fn number(figure: f64) -> String {
    if figure < 99.95 {
        return format!("{figure:.1}");
    }
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn times(ratio: f64) -> String {
    format!("{ratio:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::ServerWork;

    fn cell(figures: &[f64]) -> Cell {
        Cell { figures: figures.to_vec(), missing: None }
    }

    #[test]
    fn median_requires_all_rounds() {
        assert_eq!(cell(&[3.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(cell(&[4.0, 1.0]).median(), Some(2.5));
        assert_eq!(cell(&[]).median(), None);
        assert_eq!(Cell { figures: vec![1.0], missing: Some("died".into()) }.median(), None);
    }

    #[test]
    fn numbers_have_one_decimal_or_separators() {
        assert_eq!([9.04, 99.96, 1234.5, 1e6].map(number), ["9.0", "100", "1,234", "1,000,000"]);
    }

    fn of(workload: Workload, cells: Vec<Cell>) -> Line {
        Line { workload, unit: workload.spec().unit, cells }
    }

    #[test]
    fn advantage_is_above_one_where_kahn_has_more_requests_and_less_time() {
        let lines = |unit, ours, peers| Line {
            workload: Workload::Server(ServerWork::Http),
            unit,
            cells: vec![cell(&[ours]), cell(&[peers])],
        };
        let table = Table {
            rows: vec![Row::Kahn(Mode::Safe), Row::Tokio],
            lines: vec![
                lines(Unit::RequestsPerSecond, 30_000.0, 20_000.0),
                lines(Unit::Percentile99, 50.0, 75.0),
            ],
            quick: false,
        };
        let expected = "\
| workload | unit | kahn | tokio | advantage of kahn |
|---|---|--:|--:|--:|
| http | requests/s | 30,000 | 20,000 | 1.50 |
| http | µs, 99th percentile | 50.0 | 75.0 | 1.50 |
";
        assert_eq!(table.to_markdown(), expected);
    }

    #[test]
    fn table_has_ratios_and_notes() {
        let missing = Cell { figures: vec![], missing: Some("too many".into()) };
        let table = Table {
            rows: vec![Row::Kahn(Mode::Safe), Row::Kahn(Mode::Local), Row::Tokio, Row::May],
            lines: vec![
                of(Workload::Yield, vec![cell(&[10.0]), cell(&[5.0]), cell(&[100.0]), cell(&[20.0])]),
                of(Workload::Spawn, vec![cell(&[100.0]), cell(&[]), cell(&[656.0]), missing]),
            ],
            quick: false,
        };
        let expected = "\
| workload | unit | kahn | kahn local | tokio | may | best peer / kahn |
|---|---|--:|--:|--:|--:|--:|
| yield | ns a yield | 10.0 | 5.0 | 100 | 20.0 | 2.00 |
| spawn | ns a task | 100 |  | 656 | – | 6.56 |

- may, spawn: too many
";
        assert_eq!(table.to_markdown(), expected);
    }
}
