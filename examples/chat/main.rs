//! A chat: rooms, users, and screens that are read at any speed; a slow reader misses lines, and slows nobody.
//!
//! ```text
//! cargo run --example chat -- examples/data/chat.txt
//! cargo run --example chat                 # type `ann /join tea`, `ann hello`, and end with Ctrl-D
//! ```
//!
//! Everything is an actor, and each waits only for those below it, so no wait closes a circle:
//!
//! ```text
//! user ──asks──> lobby       which room, whose screen?          one for all
//!  └───asks──> room          enter, leave, say                  monitors its users: one that breaks is noticed
//!               └──tells──> screen     a line to show           drops its oldest lines rather than wait
//! ```
//!
//! Nothing is told to end: when the script is over, the users are let go of, then the lobby, and who has no references left
//! ends when it has handled what it has. So the screens show what is left to show, and then the program is over.

mod lobby;
mod room;
mod roster;
mod screen;
mod script;
mod user;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::ExitCode;

use kahn::actor::{self, ActorRef};
use kahn::channel::bounded;
use kahn::{blocking, sleep, spawn};

use lobby::Lobby;
use script::Command;

const USAGE: &str = "\
Lets the users of a script chat, and prints what each of them sees.

usage: chat [--inbox N] [SCRIPT]      (standard input if there is none, or -)

A line of the script is a name and what that user types: words for the room, or a command:

  NAME /join ROOM      NAME /leave      NAME /who      NAME /msg NAME WORDS      NAME /quit
  NAME /slow MS        takes so long for each line from now on
  NAME /wait MS        the script waits
  NAME /crash          the user's connection panics

Empty lines, and those that begin with #, are skipped.

  --inbox N            how many lines a reader may be behind before the oldest are dropped (64)
";

type Input = Box<dyn BufRead + Send>;

#[kahn::main]
fn main() -> ExitCode {
    let chatted = match parse(std::env::args().skip(1)) {
        Ok(Some((inbox, input))) => chat(inbox, input),
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(message) => Err(message),
    };
    match chatted {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("chat: {message}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<(usize, Input)>, String> {
    let mut inbox = 64;
    let mut script = None;
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" | "-h" => return Ok(None),
            "--inbox" => {
                let value = args.next().unwrap_or_default();
                let number = value.parse().ok().filter(|number| (1..=1_000_000).contains(number));
                inbox = number
                    .ok_or_else(|| format!("--inbox needs a number from 1 to 1000000, not {value:?}"))?;
            }
            flag if flag.starts_with('-') && flag != "-" => {
                return Err(format!("{flag}: no such option, try --help"));
            }
            path => {
                if script.replace(path.to_owned()).is_some() {
                    return Err(format!("{path}: there can be only one script"));
                }
            }
        }
    }
    let input: Input = match script.as_deref() {
        None | Some("-") => Box::new(BufReader::new(io::stdin())),
        Some(path) if Path::new(path).is_dir() => return Err(format!("{path}: is a folder")),
        Some(path) => Box::new(BufReader::new(File::open(path).map_err(|error| format!("{path}: {error}"))?)),
    };
    Ok(Some((inbox, input)))
}

fn chat(inbox: usize, input: Input) -> Result<(), String> {
    let (shown_tx, shown) = bounded(64);
    let printer = spawn(move || screen::print_all(&shown));
    let lobby = actor::Builder::new().name("lobby").spawn(Lobby::new(inbox, shown_tx));
    let played = play(input, &lobby, || printer.is_finished());
    drop(lobby);
    match printer.join().expect("the printer does not panic") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.to_string()),
        _ => played,
    }
}

/// Has each user do what the script says, one line after the other: a line is done when it is in everybody's inbox.
fn play(
    mut input: Input,
    lobby: &ActorRef<lobby::Message>,
    is_over: impl Fn() -> bool,
) -> Result<(), String> {
    let mut users = HashMap::new();
    for number in 1.. {
        let mut text = String::new();
        let in_line = |error: String| format!("line {number}: {error}");
        let length = blocking(|| input.read_line(&mut text)).map_err(|error| in_line(error.to_string()))?;
        if length == 0 || is_over() {
            break;
        }
        let Some((name, command)) = script::parse(&text).map_err(in_line)? else { continue };
        if let Command::Wait(time) = command {
            sleep(time);
            continue;
        }
        let user = match users.get(&name) {
            Some(user) => user,
            None => {
                let user = lobby.ask(|reply| lobby::Message::Login(name.clone(), reply));
                users.entry(name.clone()).or_insert(user.map_err(|error| in_line(error.to_string()))?)
            }
        };
        if user.ask(|reply| (command, reply)) != Ok(true) {
            // It has quit, or panicked. Once joined, the room has been told, too, and hears that before what comes next.
            user.join();
            users.remove(&name);
        }
    }
    Ok(())
}
