//! `kahn::process`. One source text is compiled and run with std's names and with kahn's. The other tests are about
//! parks, cancels and time-outs, about many children, and about what is left of them.

#[path = "../../tests/support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use kahn::process::{Child, Command, Stdio};
use kahn::time::timeout;
use support::{child, is_child, runtime, stderr, until, with_each_size, within};

/// The text. `$root` is the crate.
macro_rules! program {
    ($root:ident) => {
        use $root::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
        use $root::os::unix::process::{CommandExt, ExitStatusExt};
        use $root::process::{
            Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio,
        };

        fn sh(script: &str) -> Command {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        }

        pub fn exit_statuses() -> io::Result<()> {
            let status: ExitStatus = sh("exit 3").status()?;
            assert_eq!((status.success(), status.code(), status.signal()), (false, Some(3), None));
            let mut child: Child = sh("kill -TERM $$").spawn()?;
            assert!(child.id() > 0);
            let status = child.wait()?;
            assert_eq!((status.code(), status.signal()), (None, Some(15)));
            assert_eq!(child.wait()?, status);
            assert_eq!(child.try_wait()?, Some(status));
            let mut child = sh("exec sleep 1000").spawn()?;
            assert_eq!(child.try_wait()?, None);
            child.kill()?;
            assert_eq!(child.wait()?.signal(), Some(9));
            child.kill()?;
            let missing = Command::new("/no/such/program").spawn().unwrap_err();
            assert_eq!(missing.kind(), ErrorKind::NotFound);
            Ok(())
        }

        pub fn streams() -> io::Result<()> {
            let mut child = Command::new("cat")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()?;
            assert!(child.stderr.is_none());
            let mut stdin: ChildStdin = child.stdin.take().unwrap();
            // A pipe can be moved out of the child.
            let mut stdout: ChildStdout = child.stdout.unwrap();
            stdin.write_all(b"to be\n")?;
            stdin.flush()?;
            let mut text = [0; 6];
            stdout.read_exact(&mut text)?;
            assert_eq!(&text, b"to be\n");
            (&stdin).write_all(b"or not")?;
            drop(stdin);
            let mut rest = Vec::new();
            stdout.read_to_end(&mut rest)?;
            assert_eq!(rest, b"or not");
            let mut child = sh("echo oops >&2").stderr(Stdio::piped()).spawn()?;
            let stderr: ChildStderr = child.stderr.take().unwrap();
            assert_eq!(BufReader::new(stderr).lines().next().unwrap()?, "oops");
            assert!(child.wait()?.success());
            let mut child = Command::new("true").stdin(Stdio::piped()).spawn()?;
            let mut stdin = child.stdin.take().unwrap();
            child.wait()?;
            assert_eq!(stdin.write_all(&[0; 100_000]).unwrap_err().kind(), ErrorKind::BrokenPipe);
            Ok(())
        }

        pub fn outputs() -> io::Result<()> {
            let output: Output = sh("echo one; echo two >&2; cat; exit 1").output()?;
            assert_eq!((output.stdout, output.stderr), (b"one\n".to_vec(), b"two\n".to_vec()));
            assert_eq!(output.status.code(), Some(1));
            // More than a pipe holds, on both, one after the other.
            let output = sh("head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero").output()?;
            assert_eq!((output.stdout.len(), output.stderr.len()), (300_000, 300_000));
            let mut command = sh("echo quiet; echo loud >&2");
            let output = command.stderr(Stdio::null()).output()?;
            assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"quiet\n"[..], &b""[..]));
            // The pipes of `output` do not stay.
            command.stderr(Stdio::null());
            let mut child = command.stdout(Stdio::null()).spawn()?;
            assert!(child.stdout.is_none() && child.stdin.is_none());
            child.wait()?;
            // Standard input is closed, so `cat` ends.
            let child = sh("cat; echo done").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
            assert_eq!(child.wait_with_output()?.stdout, b"done\n");
            Ok(())
        }

        pub fn settings() -> io::Result<()> {
            let mut command = sh("echo $0 $ONE $TWO; pwd");
            command.env("ONE", "1").envs([("TWO", "2"), ("THREE", "3")]).env_remove("THREE").current_dir("/");
            assert_eq!(command.get_program(), "sh");
            assert_eq!(command.get_args().count(), 2);
            assert_eq!(command.get_envs().count(), 3);
            assert_eq!(command.get_current_dir(), Some("/".as_ref()));
            assert_eq!(command.output()?.stdout, b"sh 1 2\n/\n");
            assert_eq!(command.arg0("name").arg("zero").output()?.stdout, b"zero 1 2\n/\n");
            let mut clean = Command::new("/usr/bin/env");
            assert_eq!(clean.env_clear().env("A", "b").output()?.stdout, b"A=b\n");
            assert_eq!(format!("{:?}", sh("x")), r#""sh" "-c" "x""#);
            let mut grouped = sh("cut -d' ' -f5 /proc/$$/stat");
            let child = grouped.process_group(0).stdout(Stdio::piped()).spawn()?;
            let id = child.id();
            let group = child.wait_with_output()?.stdout;
            assert_eq!(group, format!("{id}\n").into_bytes());
            let mut refused = sh("exit 0");
            // SAFETY: the closure calls nothing.
            unsafe { refused.pre_exec(|| Err(io::Error::from_raw_os_error(13))) };
            assert_eq!(refused.spawn().unwrap_err().kind(), ErrorKind::PermissionDenied);
            Ok(())
        }

        pub fn pipelines() -> io::Result<()> {
            let mut first =
                sh("sleep 0.01; echo to be; sleep 0.01; echo or not").stdout(Stdio::piped()).spawn()?;
            let mut second =
                Command::new("cat").stdin(first.stdout.take().unwrap()).stdout(Stdio::piped()).spawn()?;
            let third = Command::new("wc").arg("-l").stdin(second.stdout.take().unwrap()).output()?;
            assert_eq!(String::from_utf8(third.stdout).unwrap().trim(), "2");
            assert!(first.wait()?.success() && second.wait()?.success());
            Ok(())
        }

        type Part = fn() -> io::Result<()>;

        pub const PARTS: [Part; 5] = [exit_statuses, streams, outputs, settings, pipelines];
    };
}

mod with_std {
    program!(std);
}

mod with_kahn {
    program!(kahn);
}

#[test]
fn std_passes() {
    with_std::PARTS.iter().for_each(|part| part().unwrap());
}

#[test]
fn kahn_on_os_thread_passes() {
    within("processes on an OS thread", || with_kahn::PARTS.iter().for_each(|part| part().unwrap()));
}

#[test]
fn kahn_on_green_threads_passes() {
    with_each_size(|| with_kahn::PARTS.iter().for_each(|part| part().unwrap()));
}

/// A child that lives until its standard input is closed.
fn cat() -> Child {
    Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// The state of a process, or `None` if it has no entry in the process table any more.
fn state(process: u32) -> Option<char> {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    status.rsplit_once(") ")?.1.chars().next()
}

#[test]
fn waits_park_and_one_worker_serves_many_children() {
    within("many children on one worker", || {
        runtime(1).run(|| {
            let ended = AtomicUsize::new(0);
            kahn::scope(|s| {
                for n in 0..100_u8 {
                    let ended = &ended;
                    s.spawn(move || {
                        let mut child = cat();
                        let mut stdin = child.stdin.take().unwrap();
                        stdin.write_all(&[n; 1000]).unwrap();
                        drop(stdin);
                        let mut echo = Vec::new();
                        child.stdout.take().unwrap().read_to_end(&mut echo).unwrap();
                        assert_eq!(echo, [n; 1000]);
                        assert!(child.wait().unwrap().success());
                        assert_eq!(state(child.id()), None, "a child that was waited for is a zombie");
                        ended.fetch_add(1, SeqCst);
                    });
                }
            });
            assert_eq!(ended.load(SeqCst), 100);
        });
    });
}

#[test]
fn cancelled_wait_leaves_the_child_which_can_be_waited_for_again() {
    with_each_size(|| {
        let child = kahn::sync::Mutex::new(cat());
        let stdin = child.lock().unwrap().stdin.take();
        kahn::scope(|s| {
            let waits = s.spawn(|| {
                let mut child = child.lock().unwrap_or_else(|error| error.into_inner());
                child.wait()
            });
            until("the wait has begun", || child.try_lock().is_err());
            waits.cancel();
            assert!(waits.join().unwrap_err().is_cancelled());
        });
        let mut child = child.into_inner().unwrap_or_else(|error| error.into_inner());
        assert!(timeout(Duration::from_millis(5), || child.wait()).is_err());
        assert_eq!(child.try_wait().unwrap(), None);
        drop(stdin);
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn timeout_ends_a_wait_on_an_os_thread() {
    let mut child = cat();
    let _stdin = child.stdin.take();
    assert!(timeout(Duration::from_millis(5), || child.wait()).is_err());
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
}

#[test]
fn cancel_ends_reads_and_writes_of_pipes() {
    with_each_size(|| {
        let mut child =
            Command::new("sleep").arg("1000").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        static BEGUN: AtomicUsize = AtomicUsize::new(0);
        let before = BEGUN.load(SeqCst);
        let reads = kahn::spawn(move || {
            BEGUN.fetch_add(1, SeqCst);
            stdout.read(&mut [0; 10])
        });
        let writes = kahn::spawn(move || {
            BEGUN.fetch_add(1, SeqCst);
            stdin.write_all(&[0; 1 << 20])
        });
        until("both have begun", || BEGUN.load(SeqCst) == before + 2);
        reads.cancel();
        writes.cancel();
        assert!(reads.join().unwrap_err().is_cancelled());
        assert!(writes.join().unwrap_err().is_cancelled());
        child.kill().unwrap();
        child.wait().unwrap();
    });
}

#[test]
fn dropped_child_goes_on() {
    runtime(2).run(|| {
        let mut child = cat();
        let (stdin, id) = (child.stdin.take(), child.id());
        drop(child);
        assert!(matches!(state(id), Some('S' | 'R' | 'D')), "{:?}", state(id));
        drop(stdin);
        until("the child has ended", || matches!(state(id), Some('Z')));
        // SAFETY: the child has no owner any more, and its entry is there, so the number is its own.
        assert_eq!(unsafe { libc::waitpid(id as i32, std::ptr::null_mut(), 0) }, id as i32);
    });
}

#[test]
fn kill_on_drop_kills_and_leaves_no_zombie() {
    with_each_size(|| {
        let mut ids = Vec::new();
        for _ in 0..20 {
            let child = Command::new("sleep").arg("1000").kill_on_drop(true).spawn().unwrap();
            ids.push(child.id());
        }
        until("all children are gone", || ids.iter().all(|&id| state(id).is_none()));
        let mut child = Command::new("true").kill_on_drop(true).spawn().unwrap();
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn timeout_around_a_status_kills_on_drop() {
    runtime(1).run(|| {
        let mark = format!("1000.{}", std::process::id());
        let ended = timeout(Duration::from_millis(20), || {
            Command::new("sleep").arg(&mark).kill_on_drop(true).status()
        });
        assert!(ended.is_err());
        let runs = || {
            std::fs::read_dir("/proc").unwrap().any(|entry| {
                let path = entry.unwrap().path().join("cmdline");
                std::fs::read(path)
                    .is_ok_and(|line| line.windows(mark.len()).any(|part| part == mark.as_bytes()))
            })
        };
        until("the child is gone", || !runs());
    });
}

#[test]
fn child_of_another_child_gets_its_pipe_in_blocking_mode() {
    runtime(1).run(|| {
        let mut first = cat();
        let pipe = first.stdout.take().unwrap();
        let fd: std::os::fd::OwnedFd = pipe.into();
        // SAFETY: the call only reads the flags of a descriptor that is open.
        let flags = unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&fd), libc::F_GETFL) };
        assert_eq!(flags & libc::O_NONBLOCK, 0);
        first.wait().unwrap();
    });
}

/// The number of descriptors of this process.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// In a process of its own, as other tests have descriptors, too.
#[test]
fn no_descriptor_is_left() {
    if is_child("counts") {
        runtime(2).run(|| {
            let some = || {
                with_kahn::PARTS.iter().for_each(|part| part().unwrap());
                let mut child = cat();
                let _ = timeout(Duration::from_millis(1), || child.wait());
                child.kill().unwrap();
                child.wait().unwrap();
            };
            // The first round makes the pollers of the workers.
            (0..3).for_each(|_| some());
            let before = descriptors();
            (0..10).for_each(|_| some());
            assert_eq!(descriptors(), before);
        });
        return;
    }
    let output = child("no_descriptor_is_left", "counts");
    assert!(output.status.success(), "{}", stderr(&output));
}
