//! `kahn::signal`. Each test is a program of its own, which gets signals from this process or from itself.

#[path = "../../tests/support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use kahn::actor::{Supervisor, System};
use kahn::channel::{never, select};
use kahn::signal::{Signal, ctrl_c, listen};
use kahn_core::signals::{Reaction, Watcher, watch};
use support::{child_command, is_child, runtime, until, with_each_size};

/// A program, which prints lines to standard error.
struct Program {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStderr>>,
}

impl Program {
    fn start(test: &str) -> Program {
        Program::run(child_command(test, "program"))
    }

    fn run(mut command: Command) -> Program {
        // A shell starts background programs with this signal ignored, and the default action is tested.
        //
        // SAFETY: between `fork` and `exec` the closure makes one system call, which is async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGINT, libc::SIG_DFL);
                Ok(())
            });
        }
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Program { child, lines }
    }

    #[track_caller]
    fn expect(&mut self, line: &str) {
        let next = self.lines.next().map(Result::unwrap);
        if next.as_deref() != Some(line) {
            let rest: Vec<_> = self.lines.by_ref().map(Result::unwrap).collect();
            panic!("expected {line:?}, got {next:?} and then {rest:#?}");
        }
    }

    fn signal(&self, signal: Signal) {
        send(self.child.id(), signal);
    }

    fn end(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

fn send(process: u32, signal: Signal) {
    // SAFETY: the process is this one, or a child that was not waited for.
    assert_eq!(unsafe { libc::kill(process as i32, signal.as_raw()) }, 0);
}

/// Sends a signal to this process.
fn raise(signal: Signal) {
    send(std::process::id(), signal);
}

/// Waits until all parts of the program have been told of the signals before: they are told of one signal after the
/// other.
fn settle() {
    let probe = listen(&[Signal::USER_DEFINED1]).unwrap();
    raise(Signal::USER_DEFINED1);
    probe.recv().unwrap();
}

#[test]
fn every_listener_gets_its_signals() {
    if is_child("program") {
        return with_each_size(|| {
            let both = listen(&[Signal::INTERRUPT, Signal::TERMINATE]).unwrap();
            let one = ctrl_c().unwrap();
            let waits = {
                let one = one.clone();
                kahn::spawn(move || one.recv())
            };
            raise(Signal::INTERRUPT);
            assert_eq!((both.recv(), waits.join().unwrap()), (Ok(Signal::INTERRUPT), Ok(Signal::INTERRUPT)));
            raise(Signal::TERMINATE);
            select! {
                recv(both) -> signal => assert_eq!(signal, Ok(Signal::TERMINATE)),
                recv(one) -> _ => panic!("not listened to"),
            }
            raise(Signal::INTERRUPT);
            assert_eq!(kahn::block_on(one.recv_async()), Ok(Signal::INTERRUPT));
            let on_os_thread = std::thread::spawn(move || both.recv());
            assert_eq!(on_os_thread.join().unwrap(), Ok(Signal::INTERRUPT));
        });
    }
    assert!(Program::start("every_listener_gets_its_signals").end().success());
}

#[test]
fn late_receiver_gets_each_pending_signal_once() {
    if is_child("program") {
        return runtime(2).run(|| {
            let signals = listen(&[Signal::USER_DEFINED1, Signal::USER_DEFINED2, Signal::HANGUP]).unwrap();
            for _ in 0..10 {
                // More than the channel has places, before and after another signal.
                (0..100).for_each(|_| raise(Signal::USER_DEFINED1));
                raise(Signal::HANGUP);
                until("both have come", || signals.len() == 2);
                (0..100).for_each(|_| raise(Signal::USER_DEFINED1));
                raise(Signal::USER_DEFINED2);
                until("all have come", || signals.len() == 3);
                let mut got: Vec<_> = signals.try_iter().collect();
                got.sort();
                let mut all = [Signal::USER_DEFINED1, Signal::USER_DEFINED2, Signal::HANGUP];
                all.sort();
                assert_eq!(got, all);
                // A signal that comes after the receipt is received again. One of the hundred may come later still.
                for _ in 0..2 {
                    raise(Signal::HANGUP);
                    assert!(signals.iter().any(|signal| signal == Signal::HANGUP));
                }
            }
        });
    }
    assert!(Program::start("late_receiver_gets_each_pending_signal_once").end().success());
}

#[test]
fn dropping_the_last_receiver_restores_the_default_action() {
    if is_child("program") {
        return runtime(1).run(|| {
            let (first, second) = (ctrl_c().unwrap(), ctrl_c().unwrap());
            drop(first);
            raise(Signal::INTERRUPT);
            eprintln!("{:?}", second.recv().unwrap());
            drop(second);
            eprintln!("dropped");
            kahn::thread::park();
        });
    }
    let mut program = Program::start("dropping_the_last_receiver_restores_the_default_action");
    program.expect("SIGINT");
    program.expect("dropped");
    program.signal(Signal::INTERRUPT);
    assert_eq!(program.end().signal(), Some(Signal::INTERRUPT.as_raw()));
}

#[test]
fn signal_that_was_ignored_is_ignored_again() {
    if is_child("program") {
        return runtime(1).run(|| {
            let hangups = listen(&[Signal::HANGUP]).unwrap();
            raise(Signal::HANGUP);
            assert_eq!(hangups.recv(), Ok(Signal::HANGUP));
            drop(hangups);
            raise(Signal::HANGUP);
            settle();
        });
    }
    let program = child_command("signal_that_was_ignored_is_ignored_again", "program");
    let mut ignoring = Command::new("sh");
    ignoring
        .args(["-c", r#"trap "" HUP; exec "$0" "$@""#])
        .arg(program.get_program())
        .args(program.get_args());
    ignoring.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert!(Program::run(ignoring).end().success());
}

#[test]
fn signals_that_cannot_be_handled_are_errors() {
    if is_child("program") {
        for signals in [&[][..], &[Signal::from_raw(libc::SIGKILL)], &[Signal::from_raw(1000)]] {
            let error = listen(signals).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{signals:?}");
        }
        assert_eq!(format!("{:?} {:?}", Signal::CHILD, Signal::from_raw(1000)), "SIGCHLD signal 1000");
        return;
    }
    assert!(Program::start("signals_that_cannot_be_handled_are_errors").end().success());
}

#[test]
fn program_that_waits_for_a_signal_alone_is_not_deadlocked() {
    if is_child("program") {
        return runtime(2).run(|| {
            let terminates = listen(&[Signal::TERMINATE]).unwrap();
            eprintln!("waits");
            assert_eq!(terminates.recv(), Ok(Signal::TERMINATE));
            drop(never::<()>());
        });
    }
    let mut program = Program::start("program_that_waits_for_a_signal_alone_is_not_deadlocked");
    program.expect("waits");
    // A deadlock is reported after some milliseconds.
    std::thread::sleep(Duration::from_millis(300));
    program.signal(Signal::TERMINATE);
    assert!(program.end().success());
}

#[test]
fn system_and_listener_share_a_signal() {
    if is_child("program") {
        return runtime(2).run(|| {
            let interrupts = ctrl_c().unwrap();
            // No system exists, and the listener handles the signal.
            System::start(Supervisor::default()).unwrap().stop();
            raise(Signal::INTERRUPT);
            assert_eq!(interrupts.recv(), Ok(Signal::INTERRUPT));
            settle();
            // Both are told.
            let system = System::start(Supervisor::default()).unwrap();
            raise(Signal::INTERRUPT);
            assert_eq!(interrupts.recv(), Ok(Signal::INTERRUPT));
            assert!(system.wait().is_orderly());
            // Without the listener, the system handles it.
            drop(interrupts);
            let system = System::start(Supervisor::default()).unwrap();
            raise(Signal::INTERRUPT);
            assert!(system.wait().is_orderly());
            eprintln!("neither");
            kahn::thread::park();
        });
    }
    let mut program = Program::start("system_and_listener_share_a_signal");
    program.expect("neither");
    program.signal(Signal::INTERRUPT);
    assert_eq!(program.end().signal(), Some(Signal::INTERRUPT.as_raw()));
}

struct Gone;

impl Watcher for Gone {
    fn notify(&self, _: i32) -> Reaction {
        Reaction::Unhandled
    }

    fn is_gone(&self) -> bool {
        true
    }
}

#[test]
fn dropped_receivers_leave_nothing_behind() {
    if is_child("program") {
        let first: Arc<dyn Watcher> = Arc::new(Gone);
        watch(Signal::USER_DEFINED2.as_raw(), &first).unwrap();
        assert_eq!(Arc::strong_count(&first), 2);
        let _next = listen(&[Signal::USER_DEFINED2]).unwrap();
        assert_eq!(Arc::strong_count(&first), 1);
        return;
    }
    assert!(Program::start("dropped_receivers_leave_nothing_behind").end().success());
}
