//! What the tests of the example `redis_server` share: the server as a process, raw connections, Redis itself.
#![allow(dead_code, reason = "each test file uses a part")]

use std::fmt::Debug;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Nothing here takes more than a few seconds. A hang fails the test.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A server. It is killed at the end.
pub struct Server {
    pub child: Child,
    output: Option<BufReader<ChildStdout>>,
    pub address: SocketAddr,
}

impl Server {
    /// Starts the example.
    pub fn start(options: &[&str]) -> Server {
        let test = std::env::current_exe().unwrap();
        let program = test.parent().and_then(Path::parent).unwrap().join("examples/redis_server");
        assert!(program.exists(), "{} is not built: run `cargo build --examples` first", program.display());
        let mut command = Command::new(program);
        command.args(["--port", "0"]).args(options).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line:?}"));
        Server { child, output: Some(output), address: address.parse().unwrap() }
    }

    /// Starts Redis itself, or says that the test is skipped.
    pub fn start_redis() -> Option<Server> {
        // Redis takes no port 0. Another process may take the free port before Redis does, so there are some attempts.
        for _ in 0..20 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let mut command = Command::new("redis-server");
            command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
            command.args(["--save", "", "--appendonly", "no", "--dir", "/tmp"]);
            let mut child = match command.stdin(Stdio::null()).stdout(Stdio::null()).spawn() {
                Ok(child) => child,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    eprintln!("skipped: redis-server is not installed");
                    return None;
                }
                Err(error) => panic!("redis-server: {error}"),
            };
            while child.try_wait().unwrap().is_none() {
                if TcpStream::connect(address).is_ok() {
                    return Some(Server { child, output: None, address });
                }
                std::thread::yield_now();
            }
        }
        panic!("redis-server does not start");
    }

    pub fn connect(&self) -> Raw {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Raw { reader: BufReader::new(stream) }
    }

    /// Connects with the crate `redis`, in RESP2 or RESP3.
    pub fn client(&self, protocol: &str) -> redis::Connection {
        let client = redis::Client::open(format!("redis://{}/?protocol={protocol}", self.address)).unwrap();
        let connection = client.get_connection().unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection.set_write_timeout(Some(PATIENCE)).unwrap();
        connection
    }

    /// Sends the signal that ends the server.
    pub fn stop(&self) {
        let pid = i32::try_from(self.child.id()).unwrap();
        // SAFETY: `kill` only sends a signal. The child has not been waited for, so its number is still its own.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
    }

    /// Reads a line of the server's output.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.as_mut().expect("the example is run").read_line(&mut line).unwrap();
        line
    }

    /// Waits for the end of the server, and returns its last line.
    pub fn wait(mut self) -> String {
        let line = self.line();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{line}");
        line
    }

    /// Returns the memory of the server in bytes.
    pub fn memory(&self) -> usize {
        let text = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).unwrap();
        text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection on which a test writes bytes.
pub struct Raw {
    pub reader: BufReader<TcpStream>,
}

impl Raw {
    pub fn stream(&mut self) -> &mut TcpStream {
        self.reader.get_mut()
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream().write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a command.
    pub fn call(&mut self, args: &[&str]) {
        let args = args.iter().map(|arg| arg.as_bytes()).collect::<Vec<_>>();
        self.send(encode(&args));
    }

    /// Sends a command, and returns its reply.
    pub fn ask(&mut self, args: &[&str]) -> String {
        self.call(args);
        String::from_utf8_lossy(&self.reply()).into_owned()
    }

    fn read_line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line).unwrap();
        assert!(line.ends_with(b"\r\n"), "the connection ends within {:?}", String::from_utf8_lossy(&line));
        line
    }

    /// Reads the bytes of a reply, in either protocol.
    pub fn reply(&mut self) -> Vec<u8> {
        let mut bytes = self.read_line();
        let number =
            |bytes: &[u8]| str::from_utf8(&bytes[1..bytes.len() - 2]).unwrap().parse::<i64>().unwrap();
        let replies = match bytes[0] {
            b'$' | b'=' => {
                if let Ok(len) = usize::try_from(number(&bytes)) {
                    let start = bytes.len();
                    bytes.resize(start + len + 2, 0);
                    self.reader.read_exact(&mut bytes[start..]).unwrap();
                }
                0
            }
            b'*' | b'~' | b'>' => number(&bytes),
            b'%' => 2 * number(&bytes),
            _ => 0,
        };
        for _ in 0..replies {
            bytes.extend(self.reply());
        }
        bytes
    }

    /// Reads until the server closes the connection. A reset counts as a close.
    pub fn read_to_end(&mut self) -> String {
        let mut bytes = Vec::new();
        match self.reader.read_to_end(&mut bytes) {
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => panic!("{error}"),
            _ => String::from_utf8(bytes).unwrap(),
        }
    }

    /// Returns whether the server has closed the connection and nothing is left to read.
    pub fn is_at_end(&mut self) -> bool {
        match self.reader.read(&mut [0]) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => true,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Encodes a command.
pub fn encode(args: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend(format!("${}\r\n", arg.len()).bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Waits until a condition holds.
#[track_caller]
pub fn wait_until<T: Debug>(mut look: impl FnMut() -> T, is_enough: impl Fn(&T) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = look();
        if is_enough(&seen) {
            return;
        }
        assert!(Instant::now() < deadline, "still {seen:?}");
        std::thread::yield_now();
    }
}
