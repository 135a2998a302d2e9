//! The exploration of a model: all choices within their bound, and for each of them all orders.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use crate::handle::JoinHandle;
use crate::model::Builder;
use crate::primitives::explorer::{self, ChoiceKey, Exploration};
use crate::primitives::now;
use crate::scheduler::report::{self, Progress};
use crate::scheduler::{Scheduler, execution, green};
use crate::task::{SpawnOptions, allocate};

/// A set of choices that are not the default ones.
type Made = BTreeMap<ChoiceKey, usize>;

/// Executes the choices of a report again, and no others.
const CHOICES: &str = "KAHN_MODEL_CHOICES";
const CHOICES_MAX: &str = "KAHN_MODEL_CHOICES_MAX";

pub(super) fn defaults() -> Builder {
    let loom = Exploration::from_environment();
    let set = |name| std::env::var_os(name).is_some();
    Builder {
        max_threads: explorer::THREADS_MAX,
        max_branches: if set("LOOM_MAX_BRANCHES") { loom.max_branches } else { 20_000 },
        max_permutations: loom.max_permutations,
        max_duration: loom.max_duration,
        preemption_bound: loom.preemption_bound.or(Some(2)),
        choice_bound: Some(std::env::var(CHOICES_MAX).ok().map_or(2, |text| {
            text.parse().unwrap_or_else(|_| panic!("{CHOICES_MAX}={text}: give a number"))
        })),
        checkpoint_file: loom.checkpoint_file,
        checkpoint_interval: loom.checkpoint_interval,
        location: loom.location,
        log: loom.log,
    }
}

#[track_caller]
pub(super) fn check<F>(settings: &Builder, program: F)
where
    F: Fn() + Send + Sync + 'static,
{
    assert!(!execution::is_here(), "kahn::model: the caller is in a model");
    assert!(
        (1..=explorer::THREADS_MAX).contains(&settings.max_threads),
        "kahn::model: max_threads is from 1 to {}",
        explorer::THREADS_MAX
    );
    let program = Arc::new(program);
    let fixed = std::env::var(CHOICES).ok().map(|text| parse(&text));
    let mut known = BTreeSet::from([fixed.clone().unwrap_or_default()]);
    let mut queue = VecDeque::from([fixed.clone().unwrap_or_default()]);
    while let Some(made) = queue.pop_front() {
        let executions = Arc::new(AtomicUsize::new(0));
        let (seen, failure) = explore(settings, &made, &program, &executions);
        if let Some(text) = failure {
            let executions = executions.load(Ordering::Relaxed);
            panic!("{}", describe(&text, executions, &made, settings));
        }
        if fixed.is_some() || settings.choice_bound.is_some_and(|bound| made.len() >= bound) {
            continue;
        }
        for (key, alternatives) in seen {
            for alternative in (1..alternatives).filter(|_| !made.contains_key(&key)) {
                let mut more = made.clone();
                more.insert(key.clone(), alternative);
                if known.insert(more.clone()) {
                    queue.push_back(more);
                }
            }
        }
    }
}

/// Explores all orders of executions that make these choices. Returns which choices they have come to, and the failure.
fn explore<F>(
    settings: &Builder,
    made: &Made,
    program: &Arc<F>,
    executions: &Arc<AtomicUsize>,
) -> (BTreeMap<ChoiceKey, usize>, Option<String>)
where
    F: Fn() + Send + Sync + 'static,
{
    let exploration = Exploration {
        max_branches: settings.max_branches,
        max_permutations: settings.max_permutations,
        max_duration: settings.max_duration,
        preemption_bound: settings.preemption_bound,
        checkpoint_file: settings.checkpoint_file.clone(),
        checkpoint_interval: settings.checkpoint_interval,
        location: settings.location,
        log: settings.log,
    };
    let (outbox, inbox) = mpsc::channel();
    let (passed, program, executions) = (outbox.clone(), Arc::clone(program), Arc::clone(executions));
    let (made, max_threads) = (made.clone(), settings.max_threads);
    let (most, longest, start) = (settings.max_permutations, settings.max_duration, now());
    let is_limited = move |executions: usize, start: Instant| {
        most.is_some_and(|most| executions >= most)
            || longest.is_some_and(|longest| start.elapsed() >= longest)
    };
    let explorer = std::thread::Builder::new().name("kahn-model".to_owned()).spawn(move || {
        report::become_explorer(outbox);
        explorer::set_choices(made);
        let explored = catch_unwind(AssertUnwindSafe(|| {
            let executions = Arc::clone(&executions);
            exploration.run(move || {
                executions.fetch_add(1, Ordering::Relaxed);
                let program = Arc::clone(&program);
                execute(max_threads, move || program());
            });
        }));
        if let Err(payload) = explored {
            report::explorer_panicked(&*payload);
        }
        if is_limited(executions.load(Ordering::Relaxed), start) {
            eprintln!("kahn::model: max_permutations or max_duration has ended the exploration before it was complete");
        }
        let _ = passed.send(Progress::Passed(explorer::take_seen_choices()));
    });
    let explorer = explorer.expect("an OS thread for a model");
    match inbox.recv().expect("the explorer reports before it ends") {
        Progress::Passed(seen) => {
            let _ = explorer.join();
            (seen, None)
        }
        // The explorer has stopped where the failure was. It never ends.
        Progress::Failed(text) => (BTreeMap::new(), Some(text)),
    }
}

/// Runs the program once.
fn execute(max_threads: usize, program: impl Fn() + Send + 'static) {
    report::begin_execution();
    explorer::start_clock();
    explorer::on_main_stack(move || {
        // SAFETY: the closure is `Send` and `'static`.
        let task =
            unsafe { allocate::<Scheduler, _, _>(program, Some("main".into()), SpawnOptions::default()) };
        let handle = JoinHandle::<()>::new(task);
        // SAFETY: the task has been made just now, and has not been run.
        unsafe { green::run_main(task, max_threads) };
        if let Err(payload) = handle.into_output() {
            report::main_panicked(&*payload);
        }
        green::close();
    });
    explorer::stop_clock();
}

/// Returns the text of a failure, with how to repeat it.
fn describe(text: &str, executions: usize, made: &Made, settings: &Builder) -> String {
    let choices = if made.is_empty() { "none".to_owned() } else { print(made) };
    let has_file = settings.checkpoint_file.is_some();
    let interval = if has_file { 1 } else { executions };
    format!(
        "kahn::model: {text}\n\n\
         This was execution {executions}, with choices: {choices}.\n\
         To repeat it alone, run this test twice with these variables. The first run stores the execution when it comes to \
         it, and the second begins with it:\n  \
         {CHOICES}='{}' LOOM_CHECKPOINT_FILE=model.json LOOM_CHECKPOINT_INTERVAL={interval}\n\
         LOOM_LOG=trace and LOOM_LOCATION=1 then show each step.",
        print(made)
    )
}

fn print(made: &Made) -> String {
    let choices = made.iter().map(|((place, number), chosen)| format!("{place}#{number}={chosen}"));
    choices.collect::<Vec<_>>().join(",")
}

fn parse(text: &str) -> Made {
    let choice = |text: &str| {
        let (key, chosen) = text.split_once('=')?;
        let (place, number) = key.split_once('#')?;
        Some(((place.parse().ok()?, number.parse().ok()?), chosen.parse().ok()?))
    };
    text.split(',')
        .filter(|text| !text.is_empty())
        .map(|text| choice(text).unwrap_or_else(|| panic!("{CHOICES}: {text} is not a choice")))
        .collect()
}
