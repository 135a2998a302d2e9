//! The example `http_server` as a process, with the folder that it serves.
#![allow(dead_code, reason = "each test file uses a part")]

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Nothing here takes more than a few seconds. A hang fails the test.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A large file, which the buffers of a connection do not hold.
pub const LARGE: usize = 32 << 20;

/// A folder that is removed at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("kahn-http-{}-{number}", std::process::id()));
        fs::create_dir_all(path.join("site/sub")).unwrap();
        let folder = Folder(path);
        folder.write("secret.txt", "secret");
        folder.write("site/a.txt", "a text");
        folder.write("site/a b.html", "a page");
        folder.write("site/.hidden", "hidden");
        folder.write("site/sub/index.html", "an index");
        symlink(folder.0.join("secret.txt"), folder.0.join("site/link.txt")).unwrap();
        symlink(folder.0.join("site/a.txt"), folder.0.join("site/inner.txt")).unwrap();
        folder
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    /// Makes a file of [`LARGE`] zeros.
    pub fn add_large(&self) {
        fs::File::create(self.0.join("site/large.bin")).unwrap().set_len(LARGE as u64).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server. It is killed at the end.
pub struct Server {
    child: Child,
    output: BufReader<ChildStdout>,
    pub address: SocketAddr,
    pub folder: Folder,
}

impl Server {
    pub fn start(options: &[&str]) -> Server {
        let folder = Folder::new();
        raise_limit_of_files();
        let test = std::env::current_exe().unwrap();
        let program = test.parent().and_then(Path::parent).unwrap().join("examples/http_server");
        assert!(program.exists(), "{} is not built: run `cargo build --examples` first", program.display());
        let mut command = Command::new(program);
        command.args(["--port", "0"]).args(options).arg(folder.0.join("site"));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let address = line.trim().split_once("://").unwrap_or_else(|| panic!("{line:?}")).1;
        Server { child, output, address: address.parse().unwrap(), folder }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends requests on a connection of their own, and returns all that comes back.
    pub fn exchange(&self, requests: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(requests.as_bytes()).unwrap();
        read_to_end(&mut stream)
    }

    /// Sends one request, and returns its response.
    pub fn request(&self, method: &str, path: &str) -> String {
        self.exchange(&format!("{method} {path} HTTP/1.1\r\nhost: kahn\r\nconnection: close\r\n\r\n"))
    }

    pub fn signal(&self) {
        let pid = i32::try_from(self.child.id()).unwrap();
        // SAFETY: `kill` only sends a signal. The child has not been waited for, so its number is still its own.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
    }

    /// Waits for the line that says that the server stops.
    pub fn wait_for_stopping(&mut self) {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert_eq!(line, "stopping\n");
    }

    /// Waits for the end of the server, and returns its last line.
    pub fn wait(mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{line}");
        line
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets this process and its children open as many files as the system allows.
pub fn raise_limit_of_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a pointer to a valid `rlimit`.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = limit.rlim_max.min(1 << 16);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
}

/// Reads until the server closes the connection. A reset counts as a close.
pub fn read_to_end(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => panic!("{error}"),
        _ => String::from_utf8(bytes).unwrap(),
    }
}

/// Reads one response with a `content-length`, and leaves the connection open.
pub fn read_response(reader: &mut impl BufRead) -> String {
    let mut text = String::new();
    let mut len = 0;
    loop {
        let start = text.len();
        assert!(reader.read_line(&mut text).unwrap() > 0, "the connection ends in the head: {text:?}");
        let line = &text[start..];
        if let Some(value) = line.strip_prefix("content-length: ") {
            len = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body).unwrap();
    text + str::from_utf8(&body).unwrap()
}

#[track_caller]
pub fn assert_status(response: &str, status: u16) {
    assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
}

pub fn body(response: &str) -> &str {
    response.split_once("\r\n\r\n").unwrap().1
}

/// Waits for the end of a server that was told to stop, and returns its last line.
pub fn server_end(mut server: Server) -> String {
    server.wait_for_stopping();
    server.wait()
}

/// Runs a tool that may not be installed.
pub fn output_of(tool: &str, args: &[&str]) -> Option<String> {
    match Command::new(tool).args(args).output() {
        Ok(output) => {
            assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            eprintln!("skipped: {tool} is not installed");
            None
        }
        Err(error) => panic!("{tool}: {error}"),
    }
}
