//! One connection: it reads commands, runs them, and writes the replies of all that have come together with one write.
//!
//! The replies are written before more is read, and whenever there are many. So a client that does not read its replies
//! is not read from either, and takes no memory beyond one batch.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use kahn::net::{Shutdown, TcpStream};

use crate::protocol::{Parser, ProtocolError};
use crate::server::Server;
use crate::session::Session;

/// The size of the buffer for commands. It grows for a command that is larger.
const BUFFER: usize = 16 << 10;
/// The replies are written when they are longer than this.
const BATCH: usize = 64 << 10;
/// How long the client may take to read the last reply.
const LINGER: Duration = Duration::from_secs(1);

/// Runs the commands of a client, until the client or the server closes the connection.
pub fn run(stream: TcpStream, server: &Server) {
    let stream = Arc::new(stream);
    // Replies are sent at once.
    let _ = stream.set_nodelay(true);
    let _ = stream.set_write_timeout(Some(server.settings.stalled));
    let Some(client) = server.clients.enter(&stream) else { return };
    let mut session = Session::new(client.id(), Arc::clone(&stream), server);
    let end = kahn::scope(|s| {
        let mut has_writer = false;
        let mut input = Input::new(server.settings.frame);
        let end = loop {
            let mut state = State::Open;
            while state == State::Open && session.replies.bytes.len() < BATCH {
                match input.run_next(&mut session) {
                    Ok(true) if session.is_closing => state = State::Closing,
                    Ok(true) => {}
                    Ok(false) => state = State::Empty,
                    Err(error) => {
                        session.replies.error(&format!("ERR Protocol error: {error}"));
                        state = State::Closing;
                    }
                }
                if !has_writer && let Some(subscriber) = &session.subscriber {
                    has_writer = true;
                    let subscriber = Arc::clone(subscriber);
                    s.spawn(move || subscriber.run_writer());
                }
            }
            if !flush(&mut session) {
                break End::Gone;
            }
            session.refresh_time();
            match state {
                State::Open => {}
                State::Closing => break End::Closed,
                State::Empty => {
                    if !input.read(&stream) {
                        break End::Gone;
                    }
                    session.refresh_time();
                }
            }
        };
        // The writer ends when it has written the rest.
        session.end();
        end
    });
    if matches!(end, End::Closed) {
        linger(&stream);
    }
}

#[derive(PartialEq, Eq)]
enum State {
    /// There may be more commands in the buffer.
    Open,
    /// The rest of the buffer is no complete command.
    Empty,
    /// The connection is closed after the replies.
    Closing,
}

enum End {
    /// The client has closed the connection, or does not read, or the server stops.
    Gone,
    /// The server closes it.
    Closed,
}

/// Sends the replies. Returns false if the client has gone or has read nothing for too long.
fn flush(session: &mut Session<'_>) -> bool {
    const KEPT: usize = 2 * BATCH;
    let replies = &mut session.replies.bytes;
    let is_open = match &session.subscriber {
        Some(subscriber) => subscriber.append(replies),
        None => replies.is_empty() || (&*session.stream).write_all(replies).is_ok(),
    };
    replies.clear();
    replies.shrink_to(KEPT);
    is_open
}

/// Closes the connection so that the client can read the last reply: if bytes of the client were left unread, the
/// operating system would tell it at once that the connection is reset.
fn linger(stream: &TcpStream) {
    if stream.shutdown(Shutdown::Write).is_err() {
        return;
    }
    let mut buffer = [0; 4096];
    let _ = kahn::time::timeout(LINGER, || while matches!((&*stream).read(&mut buffer), Ok(1..)) {});
}

/// The bytes that the client has sent and that no command has used yet.
struct Input {
    parser: Parser,
    buffer: Vec<u8>,
    /// The range of the bytes that are left. It begins with a command.
    start: usize,
    end: usize,
}

impl Input {
    fn new(limit: usize) -> Input {
        Input { parser: Parser::new(limit), buffer: vec![0; BUFFER], start: 0, end: 0 }
    }

    /// Runs the next command. Returns false if none is complete.
    fn run_next(&mut self, session: &mut Session<'_>) -> Result<bool, ProtocolError> {
        let bytes = &self.buffer[self.start..self.end];
        let Some(len) = self.parser.parse(bytes)? else { return Ok(false) };
        let args = self.parser.args(bytes);
        if args.len() > 0 {
            session.run(args);
        }
        self.parser.reset();
        self.start += len;
        Ok(true)
    }

    /// Reads more. Returns false at the end of the stream.
    fn read(&mut self, mut stream: &TcpStream) -> bool {
        self.make_room();
        match stream.read(&mut self.buffer[self.end..]) {
            Ok(0) | Err(_) => false,
            Ok(n) => {
                self.end += n;
                true
            }
        }
    }

    fn make_room(&mut self) {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == 0 && self.buffer.len() > BUFFER {
            // It has held a large command.
            self.buffer = vec![0; BUFFER];
        } else if self.end == self.buffer.len() {
            // The parser refuses a command that is longer than the limit, so the buffer is at most twice as long.
            self.buffer.resize(2 * self.end, 0);
        }
    }
}
