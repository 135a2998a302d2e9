//! The screen actor, whose user reads at some speed. Its mailbox is the user's inbox. The mailbox is bounded and drops
//! the oldest lines, so a sender never waits.

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

/// An event of a screen, for the printer.
pub enum Shown {
    Line(Name, Arc<str>),
    End(Report),
}

pub struct Report {
    name: Name,
    lines: u64,
    missed: u64,
    /// The longest time from when a line was said to when it was shown.
    max_delay: Duration,
}

pub struct Screen {
    pace_ms: Arc<AtomicU64>,
    shown: Sender<Shown>,
    /// `stopped` takes it.
    report: Option<Report>,
}

impl Screen {
    /// Returns a screen, and the number of milliseconds that its user needs to read a line, which may change.
    pub fn new(name: Name, shown: Sender<Shown>) -> (Screen, Arc<AtomicU64>) {
        let pace_ms = Arc::new(AtomicU64::new(0));
        let report = Report { name, lines: 0, missed: 0, max_delay: Duration::ZERO };
        (Screen { pace_ms: pace_ms.clone(), shown, report: Some(report) }, pace_ms)
    }
}

impl Actor for Screen {
    type Message = Line;

    fn handle(&mut self, line: Line, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        let report = self.report.as_mut().expect("a stopped screen handles no line");
        // The mailbox drops its oldest lines, so the missed lines come before this one.
        let missed = ctx.me().dropped();
        if missed > report.missed {
            let notice = format!("({} lines missed)", missed - report.missed);
            self.shown.send(Shown::Line(report.name.clone(), notice.into()))?;
            report.missed = missed;
        }
        // Relaxed: no other memory depends on the value.
        let pace_ms = self.pace_ms.load(Ordering::Relaxed);
        if pace_ms > 0 {
            sleep(Duration::from_millis(pace_ms));
        }
        self.shown.send(Shown::Line(report.name.clone(), line.text))?;
        report.lines += 1;
        report.max_delay = report.max_delay.max(line.said.elapsed());
        Ok(())
    }

    fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) {
        if let Some(report) = self.report.take() {
            // The send fails if the printer has ended. The report is then dropped.
            let _ = self.shown.send(Shown::End(report));
        }
    }
}

/// Prints lines as they are shown, and a summary of each screen when all of them have ended.
pub fn print_all(shown: &Receiver<Shown>) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout());
    let mut reports = Vec::new();
    for event in shown {
        match event {
            Shown::Line(name, text) => writeln!(out, "{name:>8} | {text}")?,
            Shown::End(report) => reports.push(report),
        }
        if shown.is_empty() {
            out.flush()?;
        }
    }
    reports.sort_by(|one, other| one.name.cmp(&other.name));
    for Report { name, lines, missed, max_delay } in reports {
        let max_ms = max_delay.as_secs_f64() * 1000.0;
        writeln!(out, "{name:>8}   saw {lines} lines, missed {missed}, longest delay {max_ms:.1} ms")?;
    }
    out.flush()
}
