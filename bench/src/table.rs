//! Computes medians and ratios and formats them as Markdown.

use crate::kahn_side::Mode;
use crate::rows::Row;
use crate::workloads::{Spec, Workload};
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

/// The results for one number of workers. A line has a workload and a cell for each row.
pub struct Table {
    pub rows: Vec<Row>,
    pub lines: Vec<(Workload, Vec<Cell>)>,
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
        columns.extend(compared.iter().map(|row| format!("best peer / {}", row.label())));
        let mut text = line(&columns);
        text += &format!("|---|---|{}\n", "--:|".repeat(columns.len() - 2));
        for (workload, cells) in &self.lines {
            let spec = workload.spec();
            let mut columns = vec![spec.name.to_string(), spec.unit.to_string()];
            columns.extend(self.rows.iter().zip(cells).map(|(row, cell)| match cell.median() {
                Some(figure) => number(figure),
                None if row.applies(*workload) => "–".to_string(),
                None => String::new(),
            }));
            columns.extend(compared.iter().map(|row| self.ratio(cells, *row).map_or("–".into(), times)));
            text += &line(&columns);
        }
        text + &self.notes()
    }

    /// Returns the best peer's figure divided by the figure of `row`. Above 1, `row` is faster or smaller.
    fn ratio(&self, cells: &[Cell], row: Row) -> Option<f64> {
        let figures = || self.rows.iter().zip(cells);
        let ours = figures().find(|(other, _)| **other == row)?.1.median()?;
        let peers = figures().filter(|(row, _)| !row.is_kahn()).filter_map(|(_, cell)| cell.median());
        Some(peers.min_by(f64::total_cmp)? / ours)
    }

    /// Returns a line for each row and reason for which figures are missing, and for each row with a smaller size.
    fn notes(&self) -> String {
        let mut notes: Vec<(Row, String, Vec<&str>)> = Vec::new();
        for (workload, cells) in &self.lines {
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

    #[test]
    fn table_has_ratios_and_notes() {
        let table = Table {
            rows: vec![Row::Kahn(Mode::Safe), Row::Kahn(Mode::Local), Row::Tokio, Row::May],
            lines: vec![
                (Workload::Yield, vec![cell(&[10.0]), cell(&[5.0]), cell(&[100.0]), cell(&[20.0])]),
                (
                    Workload::Spawn,
                    vec![
                        cell(&[100.0]),
                        cell(&[]),
                        cell(&[656.0]),
                        Cell { figures: vec![], missing: Some("too many".into()) },
                    ],
                ),
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
