//! A screen, which its user reads at some speed. Its mailbox is the user's inbox: a bounded one that drops the oldest
//! lines, so that who writes to it never waits.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kahn::actor::{Actor, Context, ExitReason};
use kahn::channel::{Receiver, Sender};
use kahn::sleep;

use crate::script::Name;

#[derive(Clone)]
pub struct Line {
    text: Arc<str>,
    said: Instant,
}

impl Line {
    pub fn now(text: String) -> Line {
        Line { text: text.into(), said: Instant::now() }
    }
}

/// What has happened on a screen.
pub enum Shown {
    Line(Name, Arc<str>),
    End(Report),
}

pub struct Report {
    name: Name,
    lines: u64,
    missed: u64,
    /// The longest time from when a line was said to when it was shown.
    latest: Duration,
}

pub struct Screen {
    pace_ms: Arc<AtomicU64>,
    shown: Sender<Shown>,
    /// Until the end.
    report: Option<Report>,
}

impl Screen {
    /// The screen, and how many milliseconds its reader takes for a line, which may change.
    pub fn new(name: Name, shown: Sender<Shown>) -> (Screen, Arc<AtomicU64>) {
        let pace_ms = Arc::new(AtomicU64::new(0));
        let report = Report { name, lines: 0, missed: 0, latest: Duration::ZERO };
        (Screen { pace_ms: pace_ms.clone(), shown, report: Some(report) }, pace_ms)
    }
}

impl Actor for Screen {
    type Message = Line;

    fn handle(&mut self, line: Line, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        let report = self.report.as_mut().expect("no line comes after the end");
        // The lines that were dropped came before those that were not.
        let missed = ctx.me().dropped();
        if missed > report.missed {
            let notice = format!("({} lines missed)", missed - report.missed);
            self.shown.send(Shown::Line(report.name.clone(), notice.into()))?;
            report.missed = missed;
        }
        // Relaxed: nothing else goes with it.
        let pace_ms = self.pace_ms.load(Ordering::Relaxed);
        if pace_ms > 0 {
            sleep(Duration::from_millis(pace_ms));
        }
        self.shown.send(Shown::Line(report.name.clone(), line.text))?;
        report.lines += 1;
        report.latest = report.latest.max(line.said.elapsed());
        Ok(())
    }

    fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) {
        if let Some(report) = self.report.take() {
            // Nobody prints any more if this fails.
            let _ = self.shown.send(Shown::End(report));
        }
    }
}

/// Prints lines as they are shown, and at the end what became of each screen.
pub fn print_all(shown: &Receiver<Shown>) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout());
    let mut reports = Vec::new();
    for shown_now in shown {
        match shown_now {
            Shown::Line(name, text) => writeln!(out, "{name:>8} | {text}")?,
            Shown::End(report) => reports.push(report),
        }
        if shown.is_empty() {
            out.flush()?;
        }
    }
    reports.sort_by(|one, other| one.name.cmp(&other.name));
    for Report { name, lines, missed, latest } in reports {
        let latest_ms = latest.as_secs_f64() * 1000.0;
        writeln!(out, "{name:>8}   saw {lines} lines, missed {missed}, the latest {latest_ms:.1} ms late")?;
    }
    out.flush()
}
