//! The script: parses lines into commands of users.

use std::sync::Arc;
use std::time::Duration;

/// The name of a user or of a room.
pub type Name = Arc<str>;

pub enum Command {
    Join(Name),
    Leave,
    Say(String),
    Message(Name, String),
    Who,
    Slow(Duration),
    Wait(Duration),
    Crash,
    Quit,
}

/// Parses a line into a user's name and command. Returns `None` if the line is empty or a comment.
pub fn parse(line: &str) -> Result<Option<(Name, Command)>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (name, typed) = first_word(line);
    if name.starts_with('/') {
        return Err(format!("the name of a user is missing before {line:?}"));
    }
    if typed.is_empty() {
        return Err(format!("words or a command are missing after {name}"));
    }
    Ok(Some((name.into(), command(typed)?)))
}

fn command(typed: &str) -> Result<Command, String> {
    if !typed.starts_with('/') {
        return Ok(Command::Say(typed.to_owned()));
    }
    let (verb, rest) = first_word(typed);
    let (word, more) = first_word(rest);
    Ok(match (verb, word, more) {
        ("/leave", "", _) => Command::Leave,
        ("/who", "", _) => Command::Who,
        ("/crash", "", _) => Command::Crash,
        ("/quit", "", _) => Command::Quit,
        ("/leave" | "/who" | "/crash" | "/quit", ..) => return Err(format!("{verb} takes no argument")),
        ("/join", room, "") if !room.is_empty() => Command::Join(room.into()),
        ("/join", ..) => return Err("/join needs the name of one room".to_owned()),
        ("/msg", to, text) if !text.is_empty() => Command::Message(to.into(), text.to_owned()),
        ("/msg", ..) => return Err("/msg needs a name and words".to_owned()),
        ("/slow", ..) => Command::Slow(time(verb, rest)?),
        ("/wait", ..) => Command::Wait(time(verb, rest)?),
        _ => return Err(format!("{verb}: no such command, try --help")),
    })
}

fn time(verb: &str, word: &str) -> Result<Duration, String> {
    let ms = word.parse().ok().filter(|ms| (0..=60_000).contains(ms));
    ms.map(Duration::from_millis)
        .ok_or_else(|| format!("{verb} needs a number of milliseconds from 0 to 60000, not {word:?}"))
}

fn first_word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}
