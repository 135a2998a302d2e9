//! A server's process, its CPU time and its memory.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long the memory of a server must not have changed.
const STEADY: Duration = Duration::from_millis(300);
/// How long it may take until then.
const LIMIT: Duration = Duration::from_secs(10);

/// The process of a server. Dropping it ends the process.
pub struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// Starts a server, and waits until it listens.
    pub fn start(mut command: Command) -> Result<Server, String> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().map_err(|error| format!("cannot be started: {error}"))?;
        let mut line = String::new();
        let out = child.stdout.take().expect("the output is a pipe");
        // A failed read leaves the line empty.
        let _ = BufReader::new(out).read_line(&mut line);
        let mut server = Server { child, port: 0 };
        server.port = line.trim().parse().map_err(|_| "did not print its port".to_string())?;
        Ok(server)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the CPU time that the process has used, in user mode and in the kernel.
    pub fn cpu(&self) -> Result<Duration, String> {
        let stat = self.read("stat")?;
        // The name of the program, in parentheses, may contain spaces.
        let (_, after) = stat.rsplit_once(") ").ok_or("no CPU time in /proc")?;
        let mut ticks = after.split(' ').skip(11).map_while(|field| field.parse::<u64>().ok());
        match (ticks.next(), ticks.next()) {
            // Linux counts in hundredths of a second there.
            (Some(user), Some(system)) => Ok(Duration::from_millis(10 * (user + system))),
            _ => Err("no CPU time in /proc".to_string()),
        }
    }

    /// Returns the resident bytes of the process and of its page tables.
    pub fn resident(&self) -> Result<u64, String> {
        crate::answers::resident_in(&self.read("status")?).ok_or("no memory in /proc".to_string())
    }

    /// Returns the same, as soon as it has not changed for a while.
    pub fn settled(&self) -> Result<u64, String> {
        let limit = Instant::now() + LIMIT;
        let mut last = self.resident()?;
        loop {
            thread::sleep(STEADY);
            let now = self.resident()?;
            if now == last || Instant::now() > limit {
                return Ok(now);
            }
            last = now;
        }
    }

    fn read(&self, file: &str) -> Result<String, String> {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))
            .map_err(|error| format!("the server has ended, or there is no /proc: {error}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the process has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ends this process when its standard input ends, which is when the parent has ended.
pub fn end_with_input() {
    thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
}
