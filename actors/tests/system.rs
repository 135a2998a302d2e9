//! A program that is a system, and the signals that end it. Each scenario starts this test again as a process of
//! its own.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use kahn_actors::{Actor, ChildSpec, Context, ExitReason, Shutdown, Supervisor, System};

/// Says what happens to it.
struct Part(&'static str, Stubborn);

#[derive(Clone, Copy, PartialEq)]
enum Stubborn {
    No,
    /// It does not stop when it is asked to.
    Parks,
    /// Nor when it is killed.
    Blocks,
}

impl Actor for Part {
    type Message = ();

    fn handle(&mut self, (): (), _: &mut Context<Self>) -> Result<(), ExitReason> {
        Ok(())
    }

    fn stopped(&mut self, _: &ExitReason, _: &mut Context<Self>) {
        println!("{} stops", self.0);
        match self.1 {
            Stubborn::No => {}
            Stubborn::Parks => kahn_core::sleep(Duration::MAX),
            Stubborn::Blocks => loop {
                std::thread::sleep(Duration::from_secs(1000));
            },
        }
    }
}

fn tree(stubborn: Stubborn) -> Supervisor {
    let spec =
        |name, stubborn| ChildSpec::new(name, move || Part(name, stubborn)).shutdown(Shutdown::Infinity);
    Supervisor::default()
        .child(spec("first", Stubborn::No))
        .child(spec("second", stubborn))
        .child(spec("third", Stubborn::No))
}

const SCENARIO: &str = "KAHN_TEST_SYSTEM";

/// The program, if this is one.
#[test]
fn program() {
    let Ok(scenario) = std::env::var(SCENARIO) else { return };
    let stubborn = match scenario.as_str() {
        "parks" => Stubborn::Parks,
        "blocks" => Stubborn::Blocks,
        _ => Stubborn::No,
    };
    kahn_core::run(|| {
        let system = System::start(tree(stubborn)).unwrap();
        if scenario == "dropped" {
            system.stop();
            println!("ready");
            kahn_core::sleep(Duration::from_secs(1000));
            return;
        }
        if scenario == "again" {
            system.stop();
            let other = System::start(tree(stubborn)).unwrap();
            println!("ready");
            println!("ended: {}", other.wait());
            return;
        }
        println!("ready");
        println!("ended: {}", system.wait());
    });
}

struct Program {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Program {
    /// Started, and ready.
    fn start(scenario: &str, trap: &str) -> Program {
        let test = std::env::current_exe().unwrap();
        let mut command = Command::new("sh");
        // A shell cannot reset what is ignored from the start, as SIGHUP is below `nohup`.
        // SAFETY: between fork and exec, `signal` is async-signal-safe and touches nothing of the parent.
        unsafe {
            command.pre_exec(|| {
                for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
                    libc::signal(signal, libc::SIG_DFL);
                }
                Ok(())
            });
        }
        let mut process = command
            .args(["-c", &format!("{trap} exec \"$0\" --exact program --nocapture"), test.to_str().unwrap()])
            .env(SCENARIO, scenario)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let mut program = Program { process, output };
        program.read_until("ready");
        program
    }

    fn read_until(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "it ended without having said {text:?}");
        }
    }

    fn signal(&self, signal: libc::c_int) {
        // SAFETY: a signal to a child that has not been waited for, so the number is its own.
        assert_eq!(unsafe { libc::kill(self.process.id() as i32, signal) }, 0);
    }

    /// What else it said, and the signal that ended it.
    fn end(&mut self) -> (Vec<String>, Option<i32>) {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        let said =
            rest.lines().filter(|line| line.contains("stops") || line.contains("ended")).map(String::from);
        (said.collect(), self.process.wait().unwrap().signal())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
    }
}

#[test]
fn each_signal_stops_the_tree_in_order() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let mut program = Program::start("plain", "");
        program.signal(signal);
        assert_eq!(
            program.end(),
            (
                ["third stops", "second stops", "first stops", "ended: shut down"].map(String::from).into(),
                None
            )
        );
    }
}

#[test]
fn second_signal_kills_what_does_not_stop() {
    let mut program = Program::start("parks", "");
    program.signal(libc::SIGINT);
    program.read_until("second stops");
    program.signal(libc::SIGINT);
    // The others are not asked any more.
    assert_eq!(program.end(), (vec!["ended: shut down".to_owned()], None));
}

#[test]
fn third_signal_ends_the_process() {
    let mut program = Program::start("blocks", "");
    program.signal(libc::SIGINT);
    program.read_until("second stops");
    program.signal(libc::SIGTERM);
    // It may be that two signals become one, if the second comes before the first has been looked at.
    let mut times = 0;
    while program.process.try_wait().unwrap().is_none() {
        program.signal(libc::SIGTERM);
        times += 1;
        assert!(times < 10_000, "it does not end");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(program.process.wait().unwrap().signal(), Some(libc::SIGTERM));
}

#[test]
fn signal_has_its_default_effect_without_a_system() {
    let mut program = Program::start("dropped", "");
    program.signal(libc::SIGINT);
    assert_eq!(program.end().1, Some(libc::SIGINT));
}

#[test]
fn each_of_two_systems_in_turn_handles_signals() {
    let mut program = Program::start("again", "");
    program.signal(libc::SIGINT);
    assert_eq!(program.end().0.last().unwrap(), "ended: shut down");
}

#[test]
fn signal_that_is_ignored_from_the_start_stays_ignored() {
    let mut program = Program::start("plain", "trap '' HUP INT;");
    program.signal(libc::SIGHUP);
    program.signal(libc::SIGINT);
    std::thread::sleep(Duration::from_millis(20));
    program.signal(libc::SIGTERM);
    let (said, signal) = program.end();
    assert_eq!((said.len(), signal), (4, None), "the first that counts stops in order: {said:?}");
}
