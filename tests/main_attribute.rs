//! `#[kahn::main]`: how a program ends.
//!
//! This test is such a program. Started by `cargo test`, it starts itself again with the name of a scenario, and
//! checks how that process ends.

use std::error::Error;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

const SCENARIO: &str = "KAHN_TEST_SCENARIO";

struct Expected {
    scenario: &'static str,
    variables: &'static [(&'static str, &'static str)],
    code: i32,
    /// All of these are on standard error.
    says: &'static [&'static str],
}

const ALL: &[Expected] = &[
    Expected { scenario: "returns", variables: &[], code: 0, says: &[] },
    Expected { scenario: "chooses its exit code", variables: &[], code: 7, says: &[] },
    Expected { scenario: "fails", variables: &[], code: 1, says: &["Error: ", "no number"] },
    Expected {
        scenario: "panics",
        variables: &[],
        code: 101,
        says: &["panicked at", "tests/main_attribute.rs", "on purpose"],
    },
    Expected {
        scenario: "deadlocks",
        variables: &[],
        code: 2,
        says: &[
            "all green threads are asleep",
            "main",
            "receive",
            "holder",
            "park",
            "tests/main_attribute.rs",
        ],
    },
    Expected { scenario: "leaves others running", variables: &[], code: 0, says: &["dropped"] },
    Expected {
        scenario: "returns",
        variables: &[("KAHN_WORKERS", "many")],
        code: 1,
        says: &["kahn does not start: KAHN_WORKERS=\"many\": give a number from 1 to 4096"],
    },
];

fn play(scenario: &str) -> Result<ExitCode, Box<dyn Error>> {
    match scenario {
        "returns" => {}
        "chooses its exit code" => return Ok(ExitCode::from(7)),
        "fails" => return Err("no number".into()),
        "panics" => panic!("on purpose"),
        "deadlocks" => {
            let (tx, rx) = kahn::channel::bounded::<i32>(0);
            let _child = kahn::thread::Builder::new().name("holder".into()).spawn(move || {
                kahn::thread::park();
                tx.send(1)
            })?;
            let _ = rx.recv();
        }
        "leaves others running" => {
            struct Tells;
            impl Drop for Tells {
                fn drop(&mut self) {
                    eprintln!("dropped");
                }
            }
            let tells = Tells;
            kahn::spawn(move || {
                let _tells = tells;
                kahn::sleep(Duration::MAX);
            });
            kahn::yield_now();
        }
        other => return Err(format!("no scenario {other}").into()),
    }
    Ok(ExitCode::SUCCESS)
}

fn check(expected: &Expected) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command
        .env_remove("KAHN_WORKERS")
        .env(SCENARIO, expected.scenario)
        .envs(expected.variables.iter().copied());
    let output = kahn::blocking(|| command.output()).map_err(|error| error.to_string())?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.code() != Some(expected.code) {
        return Err(format!("ended with {}, not {}; it said:\n{stderr}", output.status, expected.code));
    }
    match expected.says.iter().find(|part| !stderr.contains(**part)) {
        None => Ok(()),
        Some(part) => Err(format!("does not say {part:?}, but:\n{stderr}")),
    }
}

#[kahn::main(workers = 2)]
fn main() -> Result<ExitCode, Box<dyn Error>> {
    if let Ok(scenario) = std::env::var(SCENARIO) {
        return play(&scenario);
    }
    let start = Instant::now();
    let mut failed = 0;
    for expected in ALL {
        match check(expected) {
            Ok(()) => println!("test a program that {} ... ok", expected.scenario),
            Err(why) => {
                failed += 1;
                println!("test a program that {} ... FAILED: {why}", expected.scenario);
            }
        }
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out; finished in {:.2}s\n",
        ALL.len() - failed,
        start.elapsed().as_secs_f64()
    );
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
