//! A chat with rooms and users. A user that reads slowly misses lines and does not slow the others down.
//!
//! Shows actors, `ask` and `tell`, monitors, and a mailbox that drops its oldest messages when it is full.
//!
//! ```text
//! cargo run --example chat -- examples/data/chat.txt
//! cargo run --example chat                 # type `ann /join tea`, `ann hello`, and end with Ctrl-D
//! ```
//!
//! The lobby, every room, every user and every screen are actors. An actor waits only for actors below it, so no cycle
//! of waits can form:
//!
//! ```text
//! user ──asks──> lobby       for a room, or for a user's screen    there is one lobby
//!  └───asks──> room          enter, leave, say                     monitors its users, and notices when one fails
//!               └──tells──> screen     a line to show              drops its oldest line rather than wait
//! ```
//!
//! No actor is told to stop. At the end of the script, `play` drops its references to the users, and `chat` its
//! reference to the lobby. An actor without references handles the messages that it has and then ends. The screens
//! therefore show the remaining lines before the program ends.
//!
//! Start with `user.rs` and `room.rs`. Exit code: 0, or 2 for a bad argument or a line of the script that is wrong.

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
Lets the users of a script chat, and prints the lines that each of them sees.

usage: chat [--inbox N] [SCRIPT]      (standard input if SCRIPT is missing or -)

A line of the script is the name of a user and the text that the user types: words for the room, or a command.

  NAME WORDS           says WORDS in the room
  NAME /join ROOM      enters a room, and leaves the one before
  NAME /leave          leaves the room
  NAME /who            lists the users in the room
  NAME /msg NAME WORDS sends WORDS to one user
  NAME /quit           leaves the chat
  NAME /slow MS        the user needs this long to read each line from now on
  NAME /wait MS        the script waits
  NAME /crash          the user's actor panics

Empty lines and lines that begin with # are skipped.

  --inbox N            how many unread lines a user may have before the oldest are dropped (64)

Exit code: 0; 2 for a bad argument, or for a line of the script that is wrong.
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
                    return Err(format!("{path}: only one SCRIPT is possible"));
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

/// Executes the script line by line. A line is done when its text is in the inboxes of all users in the room. Stops
/// early when `is_over` returns true.
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
            // The user has quit or panicked. `join` returns after the exit notice has been sent to the room, so the
            // room handles it before the messages of the next line.
            user.join();
            users.remove(&name);
        }
    }
    Ok(())
}
