//! A master, its workers, and work that may make more work.
//!
//! The master hands a worker the next piece when that has done with the last. So a worker's mailbox never holds more than
//! one message and the master never parks; the workers may, when they report faster than the master reads, and so they
//! do not get far ahead of it.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use kahn::actor::{Actor, ActorRef, Context, ExitReason, spawn};

use crate::bench::tell;
use crate::outcome::{Outcome, outcome};

/// What a crew does. The workers share it, and change nothing in it.
pub trait Job: Send + Sync + 'static {
    type Work: Send + Sync + 'static;
    type Found: Send + Sync + 'static;
    type Total: Send + 'static;

    /// A worker does a piece of work.
    fn work(&self, work: Self::Work, report: &Report<Self>) -> Result<(), ExitReason>
    where
        Self: Sized;

    /// The master adds what one has found.
    fn add(&self, total: &mut Self::Total, found: Self::Found);
}

/// Has so many workers do the work and all that comes of it.
pub fn work<J: Job>(
    job: Arc<J>,
    workers: usize,
    first: impl IntoIterator<Item = J::Work>,
    total: J::Total,
) -> Result<J::Total, String> {
    let todo = first.into_iter().map(|work| Todo { priority: 0, work }).collect();
    outcome(|done| {
        let master = Master { job, todo, total: Some(total), busy: 0, idle: Vec::new(), done: Some(done) };
        tell(&spawn(master), ToMaster::Start { workers })
    })
}

/// A worker's way to its master.
pub struct Report<J: Job>(ActorRef<ToMaster<J>>);

impl<J: Job> Report<J> {
    /// There is more to do: what has the highest priority is done first.
    pub fn more(&self, priority: u32, work: J::Work) -> Result<(), ExitReason> {
        Ok(self.0.tell(ToMaster::More(Todo { priority, work }))?)
    }

    pub fn found(&self, found: J::Found) -> Result<(), ExitReason> {
        Ok(self.0.tell(ToMaster::Found(found))?)
    }
}

enum ToMaster<J: Job> {
    Start {
        workers: usize,
    },
    More(Todo<J::Work>),
    Found(J::Found),
    /// The worker has done its piece. What it had to report has come before this.
    Idle(ActorRef<J::Work>),
}

struct Master<J: Job> {
    job: Arc<J>,
    todo: BinaryHeap<Todo<J::Work>>,
    total: Option<J::Total>,
    busy: usize,
    idle: Vec<ActorRef<J::Work>>,
    done: Option<Outcome<J::Total>>,
}

impl<J: Job> Actor for Master<J> {
    type Message = ToMaster<J>;

    fn handle(&mut self, message: ToMaster<J>, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        match message {
            ToMaster::Start { workers } => {
                for _ in 0..workers {
                    let worker = Worker { job: self.job.clone(), report: Report(ctx.me()) };
                    let worker = ctx.spawn_linked(worker);
                    self.idle.push(worker);
                }
            }
            ToMaster::More(todo) => self.todo.push(todo),
            ToMaster::Found(found) => {
                let total = self.total.as_mut().expect("it is there until the end");
                self.job.add(total, found);
            }
            ToMaster::Idle(worker) => {
                self.busy -= 1;
                self.idle.push(worker);
            }
        }
        while !self.idle.is_empty()
            && let Some(todo) = self.todo.pop()
            && let Some(worker) = self.idle.pop()
        {
            worker.tell(todo.work)?;
            self.busy += 1;
        }
        if self.busy == 0
            && let (Some(done), Some(total)) = (self.done.take(), self.total.take())
        {
            let _ = done.send(total);
            ctx.stop();
        }
        Ok(())
    }
}

struct Worker<J: Job> {
    job: Arc<J>,
    report: Report<J>,
}

impl<J: Job> Actor for Worker<J> {
    type Message = J::Work;

    fn handle(&mut self, work: J::Work, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.job.work(work, &self.report)?;
        Ok(self.report.0.tell(ToMaster::Idle(ctx.me()))?)
    }
}

/// Ordered by its priority alone.
struct Todo<W> {
    priority: u32,
    work: W,
}

impl<W> Ord for Todo<W> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.priority.cmp(&other.priority)
    }
}

impl<W> PartialOrd for Todo<W> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<W> PartialEq for Todo<W> {
    fn eq(&self, other: &Self) -> bool {
        self.priority == other.priority
    }
}

impl<W> Eq for Todo<W> {}
