//! A master with a pool of workers, for tasks that may create further tasks.
//!
//! The master sends a worker a task only when the worker is idle. A worker's mailbox therefore holds at most one
//! message, and the master never parks. Workers park when they report faster than the master handles their reports,
//! which keeps them from getting far ahead of it. The master waits for no actor, so there is no cycle of waits.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use kahn::actor::{Actor, ActorRef, Context, ExitReason, spawn};

use crate::bench::tell;
use crate::results::{ResultSender, wait_for_result};

/// The code and the shared data of a pool.
pub trait Job: Send + Sync + 'static {
    type Task: Send + Sync + 'static;
    type Partial: Send + Sync + 'static;
    type Total: Send + 'static;

    /// Executes a task. Called by a worker.
    fn execute(&self, task: Self::Task, report: &Report<Self>) -> Result<(), ExitReason>
    where
        Self: Sized;

    /// Adds a partial result to the total. Called by the master.
    fn add(&self, total: &mut Self::Total, partial: Self::Partial);
}

/// Executes the tasks `first` and all tasks that they create, on `workers` workers. Returns `total` with all partial
/// results added.
pub fn run<J: Job>(
    job: Arc<J>,
    workers: usize,
    first: impl IntoIterator<Item = J::Task>,
    total: J::Total,
) -> Result<J::Total, String> {
    let queue = first.into_iter().map(|task| Queued { priority: 0, task }).collect();
    wait_for_result(|done| {
        let master = Master { job, queue, total: Some(total), busy: 0, idle: Vec::new(), done: Some(done) };
        tell(&spawn(master), ToMaster::Start { workers })
    })
}

/// Sends a worker's tasks and partial results to its master.
pub struct Report<J: Job>(ActorRef<ToMaster<J>>);

impl<J: Job> Report<J> {
    /// Queues a task. The master starts tasks with a higher priority first.
    pub fn add_task(&self, priority: u32, task: J::Task) -> Result<(), ExitReason> {
        Ok(self.0.tell(ToMaster::Task(Queued { priority, task }))?)
    }

    pub fn add_result(&self, partial: J::Partial) -> Result<(), ExitReason> {
        Ok(self.0.tell(ToMaster::Partial(partial))?)
    }
}

enum ToMaster<J: Job> {
    Start {
        workers: usize,
    },
    Task(Queued<J::Task>),
    Partial(J::Partial),
    /// The worker has finished its task. Messages of one sender arrive in order, so its reports have come before this.
    Idle(ActorRef<J::Task>),
}

struct Master<J: Job> {
    job: Arc<J>,
    queue: BinaryHeap<Queued<J::Task>>,
    total: Option<J::Total>,
    /// The number of workers that execute a task.
    busy: usize,
    idle: Vec<ActorRef<J::Task>>,
    done: Option<ResultSender<J::Total>>,
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
            ToMaster::Task(queued) => self.queue.push(queued),
            ToMaster::Partial(partial) => {
                let total = self.total.as_mut().expect("the total is taken when all workers are idle");
                self.job.add(total, partial);
            }
            ToMaster::Idle(worker) => {
                self.busy -= 1;
                self.idle.push(worker);
            }
        }
        while !self.idle.is_empty()
            && let Some(queued) = self.queue.pop()
            && let Some(worker) = self.idle.pop()
        {
            worker.tell(queued.task)?;
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
    type Message = J::Task;

    fn handle(&mut self, task: J::Task, ctx: &mut Context<Self>) -> Result<(), ExitReason> {
        self.job.execute(task, &self.report)?;
        Ok(self.report.0.tell(ToMaster::Idle(ctx.me()))?)
    }
}

/// A task in the master's queue, ordered by its priority alone.
struct Queued<T> {
    priority: u32,
    task: T,
}

impl<T> Ord for Queued<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.priority.cmp(&other.priority)
    }
}

impl<T> PartialOrd for Queued<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Queued<T> {
    fn eq(&self, other: &Self) -> bool {
        self.priority == other.priority
    }
}

impl<T> Eq for Queued<T> {}
