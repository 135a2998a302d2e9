//! Signals of the operating system: which parts of the program are told of one, and what happens if none handles it.
//!
//! One OS thread, `kahn-signals`, waits for all signals that are watched, and tells the watchers in turn. It is started for
//! the first signal and stays. The handlers of `signal-hook` stay installed, too, and call the handlers that the program has
//! set itself. So when no watcher handles a signal any more, the thread performs the signal's default action, if
//! that was its action before it was first watched.
//!
//! `os_threads` sees the handlers. A process that watches signals is never reported as deadlocked.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

pub use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use signal_hook::low_level::{emulate_default_handler, signal_name};

/// Is told of signals, on an OS thread of its own. It must not block.
pub trait Watcher: Send + Sync {
    /// Tells of a signal, by its number.
    fn notify(&self, signal: i32) -> Reaction;

    /// Returns whether the watcher needs to be told no more. Then it is forgotten.
    fn is_gone(&self) -> bool {
        false
    }
}

/// What a watcher has made of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// It handles the signal.
    Handled,
    /// It does not. If no watcher does, the signal has its former action.
    Unhandled,
    /// The signal is to have its default action, whatever other watchers do.
    Default,
}

/// What a signal does in a process that does not watch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Default,
    Ignore,
    /// A handler of the program.
    Handler,
}

struct Watched {
    /// The action before the signal was first watched.
    before: Action,
    watchers: Vec<Arc<dyn Watcher>>,
}

struct State {
    /// `None` before the first watcher.
    handle: Option<Handle>,
    signals: BTreeMap<i32, Watched>,
}

static STATE: Mutex<State> = Mutex::new(State { handle: None, signals: BTreeMap::new() });

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells `watcher` of a signal from now on. Does nothing if it is told of it already.
///
/// # Errors
///
/// Returns an error if the signal cannot be handled, or if there is no thread or descriptor left.
pub fn watch(signal: i32, watcher: &Arc<dyn Watcher>) -> io::Result<()> {
    if signal_hook::consts::FORBIDDEN.contains(&signal) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "this signal cannot be handled"));
    }
    let mut state = state();
    let State { handle, signals } = &mut *state;
    let handle = match handle {
        Some(handle) => handle,
        None => handle.insert(start()?),
    };
    let watched = match signals.entry(signal) {
        std::collections::btree_map::Entry::Occupied(watched) => watched.into_mut(),
        std::collections::btree_map::Entry::Vacant(place) => {
            let before = action(signal)?;
            handle.add_signal(signal)?;
            // A signal that comes here waits for the lock, and then finds the watcher.
            place.insert(Watched { before, watchers: Vec::new() })
        }
    };
    let gone: Vec<_> = watched.watchers.extract_if(.., |watcher| watcher.is_gone()).collect();
    if !watched.watchers.iter().any(|other| Arc::ptr_eq(other, watcher)) {
        watched.watchers.push(Arc::clone(watcher));
    }
    // Their destructors may run code of other parts of kahn.
    drop(state);
    drop(gone);
    Ok(())
}

/// Returns whether the process ignores the signal, or did before it was first watched.
pub fn is_ignored(signal: i32) -> bool {
    let before = state().signals.get(&signal).map(|watched| watched.before);
    before.map_or_else(|| action(signal), Ok).is_ok_and(|action| action == Action::Ignore)
}

/// Returns the name of a signal, such as `SIGINT`.
pub fn name(signal: i32) -> Option<&'static str> {
    signal_name(signal)
}

fn start() -> io::Result<Handle> {
    let mut signals = Signals::new([0_i32; 0])?;
    let handle = signals.handle();
    thread::Builder::new().name("kahn-signals".to_owned()).spawn(move || {
        signals.forever().for_each(dispatch);
    })?;
    Ok(handle)
}

/// Tells all watchers of a signal.
fn dispatch(signal: i32) {
    let (before, watchers) = {
        let state = state();
        let Some(watched) = state.signals.get(&signal) else { return };
        (watched.before, watched.watchers.clone())
    };
    let reactions: Vec<_> = watchers.iter().map(|watcher| watcher.notify(signal)).collect();
    let is_unhandled = !reactions.contains(&Reaction::Handled) && before == Action::Default;
    if reactions.contains(&Reaction::Default) || is_unhandled {
        // The default action mostly ends the process. If it fails, nothing else can be done.
        let _ = emulate_default_handler(signal);
    }
}

/// Returns what a signal does now.
fn action(signal: i32) -> io::Result<Action> {
    let mut action = core::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: the new action is null, so the call only queries, and writes to the place given.
    if unsafe { libc::sigaction(signal, core::ptr::null(), action.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has succeeded, so it has written the action.
    Ok(match unsafe { action.assume_init() }.sa_sigaction {
        libc::SIG_DFL => Action::Default,
        libc::SIG_IGN => Action::Ignore,
        _ => Action::Handler,
    })
}
