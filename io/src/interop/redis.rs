//! `ConnectionLike` of the crate `redis`.

use std::io::{self, Read, Write};

use redis::{
    Cmd, ConnectionAddr, ConnectionLike, ErrorKind, IntoConnectionInfo, Parser, RedisConnectionInfo,
    RedisResult, Value, cmd,
};

use crate::net::TcpStream;

/// A connection to Redis for the commands of the crate `redis`. A call that waits parks.
///
/// It implements [`ConnectionLike`], so `redis::Commands`, `redis::cmd`, `redis::pipe` and scripts take it. The stream is
/// anything that reads and writes: a [`TcpStream`], a [`UnixStream`](crate::os::unix::net::UnixStream), a stream of a TLS
/// library over one of them.
///
/// A command may be ended while it waits: by a cancel, by a [`timeout`](kahn_core::time::timeout), by the time-out of the
/// stream. The next reply would be that of this command. So the connection is of no more use: every later call returns an
/// error, and [`is_open`](ConnectionLike::is_open) returns false.
///
/// The commands of a pipeline are all written before the first reply is read, as by the crate's own connection.
///
/// # Subscriptions
///
/// Use a connection for subscriptions alone, [`send_packed_command`](Self::send_packed_command) for `SUBSCRIBE`, and
/// [`recv_response`](Self::recv_response) for the confirmations and the messages. A command that waits for its reply drops
/// the messages that come before it.
///
/// # Examples
///
/// ```no_run
/// use kahn::interop::RedisConnection;
/// use redis::Commands;
///
/// kahn::run(|| {
///     let mut connection = RedisConnection::connect("redis://127.0.0.1/")?;
///     let () = connection.set("greeting", "hello")?;
///     assert_eq!(connection.get::<_, String>("greeting")?, "hello");
///     redis::RedisResult::Ok(())
/// })?;
/// # redis::RedisResult::Ok(())
/// ```
pub struct RedisConnection<S = TcpStream> {
    stream: S,
    parser: Parser,
    db: i64,
    /// An operation is going on, or was ended before its time.
    is_unfinished: bool,
}

impl RedisConnection {
    /// Connects over TCP, with the protocol, the password and the database that `info` names.
    ///
    /// # Parks
    ///
    /// Parks until the connection is established and the server has replied.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidClientConfig`](ErrorKind::InvalidClientConfig) if the address is not that of a TCP connection
    /// without TLS, and the errors of the connection and of the server.
    #[track_caller]
    pub fn connect(info: impl IntoConnectionInfo) -> RedisResult<RedisConnection> {
        let info = info.into_connection_info()?;
        let ConnectionAddr::Tcp(host, port) = info.addr() else {
            let text = "not the address of a TCP connection: use `RedisConnection::handshake` with a stream";
            return Err((ErrorKind::InvalidClientConfig, text).into());
        };
        let stream = TcpStream::connect((host.as_str(), *port))?;
        stream.set_nodelay(info.tcp_settings().nodelay())?;
        RedisConnection::handshake(stream, info.redis_settings())
    }
}

impl<S: Read + Write> RedisConnection<S> {
    /// Makes a connection of a stream, and tells the server the protocol, the password and the database.
    ///
    /// # Parks
    ///
    /// Parks until the server has replied.
    ///
    /// # Errors
    ///
    /// Returns the errors of the stream and of the server.
    #[track_caller]
    pub fn handshake(stream: S, info: &RedisConnectionInfo) -> RedisResult<RedisConnection<S>> {
        let mut connection =
            RedisConnection { stream, parser: Parser::new(), db: info.db(), is_unfinished: false };
        let (user, password) = (info.username(), info.password());
        if info.protocol().supports_resp3() {
            let mut hello = cmd("HELLO");
            hello.arg(3);
            if let Some(password) = password {
                hello.arg("AUTH").arg(user.unwrap_or("default")).arg(password);
            }
            connection.req_command(&hello)?.extract_error()?;
        } else if let Some(password) = password {
            connection.req_command(cmd("AUTH").arg(user).arg(password))?.extract_error()?;
        }
        if info.db() != 0 {
            connection.req_command(cmd("SELECT").arg(info.db()))?.extract_error()?;
        }
        Ok(connection)
    }

    /// Sends a command, and waits for no reply.
    ///
    /// # Parks
    ///
    /// Parks while the server reads nothing.
    ///
    /// # Errors
    ///
    /// Returns the error of the stream, or of an earlier call that was not finished.
    #[track_caller]
    pub fn send_packed_command(&mut self, command: &[u8]) -> RedisResult<()> {
        self.start()?;
        self.stream.write_all(command)?;
        self.stream.flush()?;
        self.is_unfinished = false;
        Ok(())
    }

    /// Receives a reply or a message.
    ///
    /// # Parks
    ///
    /// Parks until it has come.
    ///
    /// # Errors
    ///
    /// Returns the error of the stream, of a reply that cannot be parsed, or of an earlier call that was not finished.
    /// The reply to a command that failed is a value.
    #[track_caller]
    pub fn recv_response(&mut self) -> RedisResult<Value> {
        self.start()?;
        let value = self.parser.parse_value(&mut self.stream)?;
        self.is_unfinished = false;
        Ok(value)
    }

    /// Begins an operation. Until it resets the flag, the connection counts as broken.
    fn start(&mut self) -> RedisResult<()> {
        if self.is_unfinished {
            let error = io::Error::new(io::ErrorKind::NotConnected, "an earlier command was not finished");
            return Err(error.into());
        }
        self.is_unfinished = true;
        Ok(())
    }

    /// Sends commands, and receives their replies. Drops the messages that come between them.
    #[track_caller]
    fn exchange(&mut self, commands: &[u8], count: usize) -> RedisResult<Vec<Value>> {
        self.start()?;
        self.stream.write_all(commands)?;
        self.stream.flush()?;
        let mut replies = Vec::new();
        while replies.len() < count {
            let value = self.parser.parse_value(&mut self.stream)?;
            if !matches!(value, Value::Push { .. }) {
                replies.push(value);
            }
        }
        self.is_unfinished = false;
        Ok(replies)
    }
}

impl<S> RedisConnection<S> {
    /// Returns the stream, to set a time-out.
    pub fn stream(&self) -> &S {
        &self.stream
    }
}

impl<S: std::fmt::Debug> std::fmt::Debug for RedisConnection<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisConnection")
            .field("stream", &self.stream)
            .field("db", &self.db)
            .finish_non_exhaustive()
    }
}

impl<S: Read + Write> ConnectionLike for RedisConnection<S> {
    /// # Parks
    ///
    /// Parks until the server has replied.
    #[track_caller]
    fn req_packed_command(&mut self, command: &[u8]) -> RedisResult<Value> {
        Ok(self.exchange(command, 1)?.remove(0))
    }

    /// # Parks
    ///
    /// Parks until the server has replied to all commands.
    #[track_caller]
    fn req_packed_commands(
        &mut self,
        commands: &[u8],
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        let mut replies = self.exchange(commands, offset + count)?;
        let wanted = replies.split_off(offset);
        // The first replies of a transaction say only that its commands were queued.
        for reply in replies {
            reply.extract_error()?;
        }
        Ok(wanted)
    }

    /// # Parks
    ///
    /// Parks until the server has replied, unless the command has no reply.
    #[track_caller]
    fn req_command(&mut self, command: &Cmd) -> RedisResult<Value> {
        let packed = command.get_packed_command();
        if command.is_no_response() {
            self.send_packed_command(&packed)?;
            return Ok(Value::Nil);
        }
        self.req_packed_command(&packed)
    }

    fn get_db(&self) -> i64 {
        self.db
    }

    /// # Parks
    ///
    /// Parks until the server has replied.
    #[track_caller]
    fn check_connection(&mut self) -> bool {
        cmd("PING").query::<String>(self).is_ok()
    }

    fn is_open(&self) -> bool {
        !self.is_unfinished
    }
}
