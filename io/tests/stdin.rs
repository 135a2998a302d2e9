//! `kahn::io::stdin`, in processes of their own, and `kahn::io::copy`.

#[path = "../../tests/support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use kahn::io::stdin;
use kahn::time::timeout;
use support::{child_command, is_child, runtime, with_each_size};

/// A child of this test, and the lines that it prints to standard error.
struct Peer {
    child: std::process::Child,
    input: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
}

impl Peer {
    fn start(mut command: Command, input: impl Into<Stdio>) -> Peer {
        let command = command.stdin(input).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (line, lines) = mpsc::channel();
        let errors = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || errors.lines().try_for_each(|text| line.send(text.unwrap())));
        Peer { input: child.stdin.take(), child, lines }
    }

    fn write(&mut self, text: &str) {
        self.input.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[track_caller]
    fn expect(&self, line: &str) {
        assert_eq!(self.lines.recv_timeout(Duration::from_secs(120)).as_deref(), Ok(line));
    }

    #[track_caller]
    fn expect_end(mut self) {
        drop(self.input.take());
        let rest: Vec<_> = self.lines.iter().collect();
        assert!(self.child.wait().unwrap().success(), "{rest:?}");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Prints all lines.
fn print_lines() {
    for line in stdin().lines() {
        eprintln!("line {}", line.unwrap());
    }
    eprintln!("end");
}

/// Returns whether standard input is in non-blocking mode.
fn is_nonblocking() -> bool {
    // SAFETY: the call only reads the flags of a descriptor that is open.
    unsafe { libc::fcntl(0, libc::F_GETFL) & libc::O_NONBLOCK != 0 }
}

#[test]
fn lines_of_a_pipe_park_and_leave_its_mode() {
    const NAME: &str = "lines_of_a_pipe_park_and_leave_its_mode";
    if is_child("one worker") {
        return runtime(1).run(|| {
            let reads = kahn::spawn(print_lines);
            // The only worker is free while the other green thread waits.
            kahn::sleep(Duration::from_millis(20));
            eprintln!("mode {}", is_nonblocking());
            reads.join().unwrap();
        });
    }
    let mut peer = Peer::start(child_command(NAME, "one worker"), Stdio::piped());
    peer.expect("mode false");
    for line in ["to be", "", "or not"] {
        peer.write(&format!("{line}\n"));
        peer.expect(&format!("line {line}"));
    }
    peer.write("last");
    drop(peer.input.take());
    peer.expect("line last");
    peer.expect("end");
    peer.expect_end();
}

#[test]
fn os_thread_reads_lines() {
    if is_child("plain") {
        return print_lines();
    }
    let mut peer = Peer::start(child_command("os_thread_reads_lines", "plain"), Stdio::piped());
    peer.write("one\ntwo\n");
    peer.expect("line one");
    peer.expect("line two");
    drop(peer.input.take());
    peer.expect("end");
    peer.expect_end();
}

#[test]
fn timeouts_and_cancels_lose_no_input() {
    const NAME: &str = "timeouts_and_cancels_lose_no_input";
    if is_child("impatient") {
        return runtime(2).run(|| {
            let mut line = String::new();
            let short = Duration::from_millis(10);
            // Until the first half of the line is in the buffer, which no call has returned.
            while timeout(short, || stdin().read_line(&mut line)).is_err() {
                assert_eq!(line, "");
                eprintln!("late");
            }
            eprintln!("{}", line.trim_end());
            let reads = kahn::spawn(|| stdin().read_line(&mut String::new()));
            let exact = kahn::spawn(|| stdin().read_exact(&mut [0; 1000]));
            kahn::sleep(short);
            reads.cancel();
            exact.cancel();
            assert!(reads.join().unwrap_err().is_cancelled());
            assert!(exact.join().unwrap_err().is_cancelled());
            eprintln!("cancelled");
            let mut rest = String::new();
            while timeout(short, || stdin().read_to_string(&mut rest)).is_err() {
                assert_eq!(rest, "");
                eprintln!("late");
            }
            eprintln!("{rest}");
        });
    }
    let mut peer = Peer::start(child_command(NAME, "impatient"), Stdio::piped());
    let next = |peer: &Peer| {
        loop {
            let line = peer.lines.recv_timeout(Duration::from_secs(120)).unwrap();
            if line != "late" {
                return line;
            }
        }
    };
    peer.expect("late");
    peer.write("to ");
    (0..3).for_each(|_| peer.expect("late"));
    peer.write("be\nor");
    assert_eq!(next(&peer), "to be");
    assert_eq!(next(&peer), "cancelled");
    peer.write(" not");
    peer.expect("late");
    drop(peer.input.take());
    assert_eq!(next(&peer), "or not");
    peer.expect_end();
}

#[test]
fn file_null_and_closed_input_are_read_to_their_ends() {
    const NAME: &str = "file_null_and_closed_input_are_read_to_their_ends";
    if is_child("all") {
        return with_each_size(|| {
            let mut all = Vec::new();
            stdin().read_to_end(&mut all).unwrap();
            eprintln!("{} bytes", all.len());
        });
    }
    let path = std::env::temp_dir().join(format!("kahn-stdin-{}", std::process::id()));
    std::fs::write(&path, vec![b'x'; 100_000]).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    let peer = Peer::start(child_command(NAME, "all"), file);
    peer.expect("100000 bytes");
    (0..3).for_each(|_| peer.expect("0 bytes"));
    peer.expect_end();

    let peer = Peer::start(child_command(NAME, "all"), Stdio::null());
    (0..4).for_each(|_| peer.expect("0 bytes"));
    peer.expect_end();

    let program = child_command(NAME, "all");
    let mut closed = Command::new("sh");
    closed.args(["-c", r#"exec "$0" "$@" <&-"#]).arg(program.get_program()).args(program.get_args());
    closed.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let peer = Peer::start(closed, Stdio::null());
    (0..4).for_each(|_| peer.expect("0 bytes"));
    peer.expect_end();
}

/// Both sides of a new terminal, the program's second.
fn terminal() -> (OwnedFd, OwnedFd) {
    let (mut ours, mut theirs) = (0, 0);
    let null = std::ptr::null_mut();
    // SAFETY: the two numbers are written to, and all else is null, as the function allows.
    let result = unsafe { libc::openpty(&mut ours, &mut theirs, null, null.cast(), null.cast()) };
    assert_eq!(result, 0);
    // SAFETY: both descriptors are new, and this is their owner.
    unsafe { (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) }
}

#[test]
fn lines_of_a_terminal_park_and_leave_its_mode() {
    const NAME: &str = "lines_of_a_terminal_park_and_leave_its_mode";
    if is_child("terminal") {
        return runtime(1).run(|| {
            eprintln!("terminal {}", stdin().is_terminal());
            let reads = kahn::spawn(print_lines);
            kahn::sleep(Duration::from_millis(20));
            eprintln!("free {}", is_nonblocking());
            reads.join().unwrap();
        });
    }
    let (ours, theirs) = terminal();
    let peer = Peer::start(child_command(NAME, "terminal"), theirs);
    peer.expect("terminal true");
    peer.expect("free false");
    let mut keys = std::fs::File::from(ours);
    keys.write_all(b"to be\n").unwrap();
    peer.expect("line to be");
    keys.write_all(b"or not\n\x04").unwrap();
    peer.expect("line or not");
    peer.expect("end");
    peer.expect_end();
    assert!(keys.as_raw_fd() >= 0);
}

#[test]
fn invalid_text_is_an_error_and_the_next_line_is_read() {
    const NAME: &str = "invalid_text_is_an_error_and_the_next_line_is_read";
    if is_child("text") {
        return runtime(1).run(|| {
            let mut lines = stdin().lock().lines();
            eprintln!("{:?}", lines.next().unwrap().unwrap_err().kind());
            eprintln!("{}", lines.next().unwrap().unwrap());
            drop(lines);
            let mut two = [0; 2];
            stdin().lock().read_exact(&mut two).unwrap();
            eprintln!("{two:?}");
            let mut part = Vec::new();
            assert_eq!(stdin().lock().read_until(b';', &mut part).unwrap(), 2);
            assert_eq!(stdin().read(&mut [0; 9]).unwrap(), 1);
            assert_eq!(stdin().read(&mut []).unwrap(), 0);
            assert_eq!(stdin().read_exact(&mut two).unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
            eprintln!("{part:?}");
        });
    }
    let mut peer = Peer::start(child_command(NAME, "text"), Stdio::piped());
    peer.input.as_mut().unwrap().write_all(b"\xff\ngood\nabc;d").unwrap();
    drop(peer.input.take());
    peer.expect("InvalidData");
    peer.expect("good");
    peer.expect("[97, 98]");
    peer.expect("[99, 59]");
    peer.expect_end();
}

#[test]
fn copy_parks_between_pipes_and_files() {
    with_each_size(|| {
        let path = std::env::temp_dir().join(format!("kahn-copy-{}", std::process::id()));
        std::fs::write(&path, vec![7; 300_000]).unwrap();
        let mut cat =
            kahn::process::Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut into, mut from) = (cat.stdin.take().unwrap(), cat.stdout.take().unwrap());
        let feeds = {
            let mut file = kahn::fs::File::open(&path).unwrap();
            kahn::spawn(move || kahn::io::copy(&mut file, &mut into).unwrap())
        };
        let mut copied = Vec::new();
        assert_eq!(kahn::io::copy(&mut from, &mut copied).unwrap(), 300_000);
        assert_eq!(feeds.join().unwrap(), 300_000);
        assert!(copied.iter().all(|byte| *byte == 7) && cat.wait().unwrap().success());
        let error = kahn::io::copy(&mut &[0][..], &mut &mut [][..]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WriteZero);
        std::fs::remove_file(path).unwrap();
    });
}
