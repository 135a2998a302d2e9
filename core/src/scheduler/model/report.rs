//! How a model fails: the report goes to the OS thread that waits for the exploration, and nothing unwinds.
//!
//! A failed execution is not unwound. Its other threads are in the middle of their work, and loom is, too: their destructors
//! would panic, which aborts the process. So the OS thread that explores stops where it is, for ever.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Once, mpsc};

use crate::primitives::explorer::{self, ChoiceKey};
use crate::scheduler::execution::{self, Execution, Green, Sleep};
use crate::wait::Kind;

std::thread_local! {
    /// Where the report goes.
    static OUTBOX: RefCell<Option<mpsc::Sender<Progress>>> = const { RefCell::new(None) };
    /// The message of loom's own panic in this execution.
    static FATAL: RefCell<Option<String>> = const { RefCell::new(None) };
    /// The place of the last panic of the program.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    static IS_EXPLORER: Cell<bool> = const { Cell::new(false) };
}

/// Makes the calling OS thread an explorer, whose failure goes to `outbox`.
pub(crate) fn become_explorer(outbox: mpsc::Sender<Progress>) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let location = info.location().filter(|_| IS_EXPLORER.get());
            if let Some(location) = location {
                if explorer::is_of_explorer(location.file()) {
                    // Reported when it has unwound the thread that it is in.
                    let message = explorer::message_of(info.payload()).to_owned();
                    return FATAL.with_borrow_mut(|fatal| _ = fatal.get_or_insert(message));
                }
                PANIC.set(Some(location.to_string()));
            }
            hook(info);
        }));
    });
    OUTBOX.set(Some(outbox));
    IS_EXPLORER.set(true);
}

/// What an explorer sends.
pub(crate) enum Progress {
    /// All executions have passed. They have come to these choices, with so many alternatives.
    Passed(BTreeMap<ChoiceKey, usize>),
    /// An execution has failed.
    Failed(String),
}

/// Reports a failure, and stops the exploration for ever.
pub(crate) fn fail(text: String) -> ! {
    OUTBOX.with_borrow(|outbox| {
        if let Some(outbox) = outbox {
            let _ = outbox.send(Progress::Failed(text));
        }
    });
    loop {
        std::thread::park();
    }
}

/// Fails if loom has panicked in this execution.
pub(super) fn check(execution: &Execution) {
    if let Some(message) = FATAL.take() {
        fail(format!("{}\n{}", explain(&message), table(execution)));
    }
}

/// Returns what a panic of loom means.
fn explain(message: &str) -> String {
    if message.starts_with("Model exceeded maximum number of branches") {
        return "an execution has more branching points than max_branches (LOOM_MAX_BRANCHES) allows. Either the program \
                waits in a loop that ends only if another green thread takes a step, or it is too long for a model"
            .to_owned();
    }
    format!("loom has stopped the execution: {message}")
}

/// Fails because loom has panicked between the threads' steps, or at the end of an execution.
pub(crate) fn explorer_panicked(payload: &(dyn std::any::Any + Send)) -> ! {
    fail(explain(explorer::message_of(payload)))
}

/// Fails because the model has too many threads.
pub(super) fn too_many_threads(execution: &Execution) -> ! {
    fail(format!(
        "the program spawns more green threads, tasks and actors than {}, the most of one execution \
         (max_threads), with the main green thread and those that have ended\n{}",
        execution.max_threads,
        table(execution)
    ))
}

/// Fails because all green threads wait.
pub(super) fn deadlock(execution: &Execution) -> ! {
    if let Some(message) = FATAL.take() {
        fail(explain(&message));
    }
    let text = match execution.closing.get() {
        false => "deadlock: all green threads wait, and nothing can wake any of them",
        true => {
            "deadlock at the end: the main green thread has returned, the others were cancelled, and these do not end"
        }
    };
    fail(format!("{text}\n{}", table(execution)))
}

/// Fails if a green thread has panicked, and no thread has joined it.
pub(super) fn check_panics(execution: &Execution) {
    let panics = execution.panics.borrow();
    if let Some((_, text)) = panics.first() {
        fail(format!("a panic that no thread has joined: {text}"));
    }
}

/// Fails because the main green thread has panicked.
pub(crate) fn main_panicked(payload: &(dyn std::any::Any + Send)) -> ! {
    let message = explorer::message_of(payload);
    let place = PANIC.take().map_or_else(String::new, |place| format!(", at {place}"));
    let table = execution::here().map(|execution| table(&execution)).unwrap_or_default();
    fail(format!("the main green thread panicked{place}: {message}\n{table}"))
}

/// Notes the panic of the running green thread, until a thread joins it.
pub(crate) fn note_panic(payload: &(dyn std::any::Any + Send)) {
    if let Some((execution, green)) = execution::here().zip(execution::running()) {
        let place = PANIC.take().map_or_else(String::new, |place| format!(", at {place}"));
        let text = format!("{}{place}: {}", called(&green), explorer::message_of(payload));
        execution.panics.borrow_mut().push((core::ptr::from_ref(payload).addr(), text));
    }
}

/// Forgets the panic with this payload: a thread has joined it.
pub(crate) fn forget_panic(payload: &(dyn std::any::Any + Send)) {
    if let Some(execution) = execution::here() {
        let address = core::ptr::from_ref(payload).addr();
        execution.panics.borrow_mut().retain(|(noted, _)| *noted != address);
    }
}

/// Returns a name of a green thread: its own, or its place in the tree of spawns.
fn called(green: &Green) -> String {
    // SAFETY: a task that has not ended is alive.
    let name = green.task.get().and_then(|task| unsafe { task.as_ref() }.name().map(str::to_owned));
    name.unwrap_or_else(|| {
        let thread = green.thread.borrow();
        thread.as_ref().map_or_else(|| "-".to_owned(), |thread| format!("<{}>", thread.place))
    })
}

/// Returns a line for each green thread that has not ended, with what it waits for.
fn table(execution: &Execution) -> String {
    let greens = execution.greens.borrow();
    let named: Vec<_> = greens.iter().filter_map(|green| Some((green.task.get()?, called(green)))).collect();
    let mut resources = BTreeMap::new();
    let mut text = format!("{:<20} {:<14} {:<20} at", "green thread", "waits for", "which");
    for green in greens.iter() {
        let Some(task) = green.task.get() else { continue };
        // SAFETY: the task has not ended, so it is alive. All green threads are stopped here for ever.
        let reason = unsafe { task.as_ref().as_waiter().reason() };
        let (waits, which, at) = match (green.asleep.get(), reason) {
            (Sleep::Awake, _) => ("-".to_owned(), String::new(), "(can run)".to_owned()),
            // SAFETY: as above.
            (Sleep::Idle, _) if unsafe { task.as_ref() }.is_process() => {
                ("message".to_owned(), String::new(), "(an actor)".to_owned())
            }
            (_, Some(reason)) => {
                let joined = named.iter().find(|(task, _)| task.as_ptr().addr() == reason.resource);
                let count = resources.len() + 1;
                let which = match joined {
                    Some((_, name)) if reason.kind != Kind::Park => name.clone(),
                    _ if reason.resource == 0 || reason.kind == Kind::Park => String::new(),
                    _ => format!("#{}", resources.entry(reason.resource).or_insert(count)),
                };
                (reason.kind.to_string(), which, reason.location.to_string())
            }
            (_, None) => ("-".to_owned(), String::new(), String::new()),
        };
        let _ = write!(text, "\n{:<20} {waits:<14} {which:<20} {at}", called(green));
    }
    text
}

/// Clears what an execution has left.
pub(crate) fn begin_execution() {
    FATAL.set(None);
    PANIC.set(None);
}
