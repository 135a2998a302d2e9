//! The state of a connection while it runs commands: its replies, its protocol, its subscriptions.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use kahn::net::TcpStream;

use crate::commands::{self, Command};
use crate::protocol::Args;
use crate::pubsub::{Subscriber, Topic};
use crate::reply::Replies;
use crate::server::Server;
use crate::store::{Bytes, WrongType, unix_ms};

/// The text of an error reply.
#[derive(Debug)]
pub struct Failure(pub Cow<'static, str>);

impl From<&'static str> for Failure {
    fn from(text: &'static str) -> Failure {
        Failure(text.into())
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Failure {
        Failure(text.into())
    }
}

impl From<WrongType> for Failure {
    fn from(_: WrongType) -> Failure {
        Failure("WRONGTYPE Operation against a key holding the wrong kind of value".into())
    }
}

pub const SYNTAX: &str = "ERR syntax error";
pub const NO_INTEGER: &str = "ERR value is not an integer or out of range";

/// What a command returns.
pub type Outcome = Result<(), Failure>;

/// A connection that runs commands.
pub struct Session<'a> {
    pub id: u64,
    pub server: &'a Server,
    pub stream: Arc<TcpStream>,
    pub replies: Replies,
    /// The time of the commands that have come together, in milliseconds since 1970.
    pub now: u64,
    pub name: Vec<u8>,
    /// Set by `QUIT`.
    pub is_closing: bool,
    pub subscriber: Option<Arc<Subscriber>>,
    pub channels: HashSet<Bytes>,
    pub patterns: HashSet<Bytes>,
}

impl<'a> Session<'a> {
    pub fn new(id: u64, stream: Arc<TcpStream>, server: &'a Server) -> Session<'a> {
        Session {
            id,
            server,
            stream,
            replies: Replies::default(),
            now: unix_ms(),
            name: Vec::new(),
            is_closing: false,
            subscriber: None,
            channels: HashSet::new(),
            patterns: HashSet::new(),
        }
    }

    pub fn refresh_time(&mut self) {
        self.now = unix_ms();
    }

    /// Runs a command, and appends its reply.
    pub fn run(&mut self, args: Args<'_>) {
        let start = self.replies.bytes.len();
        if let Err(Failure(text)) = self.try_run(args) {
            self.replies.bytes.truncate(start);
            self.replies.error(&text);
        }
    }

    fn try_run(&mut self, args: Args<'_>) -> Outcome {
        let Some(command) = commands::find(&args[0]) else { return Err(unknown(args)) };
        let arity = i64::try_from(args.len()).unwrap_or(i64::MAX);
        if command.arity != arity && (command.arity > 0 || arity < -command.arity) {
            return Err(wrong_arity(&command.name.to_ascii_lowercase()));
        }
        if self.subscriptions() > 0 && !self.replies.is_resp3 {
            self.check_while_subscribed(command)?;
        }
        (command.run)(self, args)
    }

    /// A client of RESP2 cannot tell a reply from a message.
    fn check_while_subscribed(&self, command: &Command) -> Outcome {
        const ALLOWED: [&str; 6] = ["SUBSCRIBE", "UNSUBSCRIBE", "PSUBSCRIBE", "PUNSUBSCRIBE", "PING", "QUIT"];
        if ALLOWED.contains(&command.name) {
            return Ok(());
        }
        Err(format!(
            "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
             context",
            command.name.to_ascii_lowercase()
        )
        .into())
    }

    /// Returns the number of the connection's subscriptions.
    pub fn subscriptions(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    pub fn topics(&mut self, topic: Topic) -> &mut HashSet<Bytes> {
        match topic {
            Topic::Channel => &mut self.channels,
            Topic::Pattern => &mut self.patterns,
        }
    }

    /// Ends the subscriptions, and lets the writer end.
    pub fn end(&mut self) {
        let Some(subscriber) = &self.subscriber else { return };
        for channel in self.channels.drain() {
            self.server.pubsub.unsubscribe(Topic::Channel, &channel, subscriber);
        }
        for pattern in self.patterns.drain() {
            self.server.pubsub.unsubscribe(Topic::Pattern, &pattern, subscriber);
        }
        subscriber.finish();
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

pub fn wrong_arity(name: &str) -> Failure {
    format!("ERR wrong number of arguments for '{name}' command").into()
}

/// Returns the error for an unknown command, with the beginning of the command.
fn unknown(args: Args<'_>) -> Failure {
    const SHOWN: usize = 128;
    let shown = |text: &[u8]| String::from_utf8_lossy(&text[..text.len().min(SHOWN)]).into_owned();
    let mut list = String::new();
    for arg in args.from(1) {
        if list.len() >= SHOWN {
            break;
        }
        let room = (SHOWN - list.len()).min(arg.len());
        list += &format!("'{}' ", String::from_utf8_lossy(&arg[..room]));
    }
    format!("ERR unknown command '{}', with args beginning with: {list}", shown(&args[0])).into()
}
