//! Describes the machine and the versions of the measured programs.

use std::path::PathBuf;
use std::process::Command;

/// Cargo's lock file at the time of the build.
const LOCK: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock"));

/// The Go program, or the reason why it could not be built.
pub struct Go {
    pub program: Result<PathBuf, String>,
    pub version: String,
}

/// Builds `go/` into the folder of this program, if `go` is on the path.
pub fn build_go() -> Go {
    let version = match Command::new("go").args(["env", "GOVERSION"]).output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_string(),
        _ => return Go { program: Err("there is no `go` on the path".into()), version: "no Go".into() },
    };
    let program = std::env::current_exe().map(|me| me.with_file_name("kahn-bench-go"));
    let program = program.map_err(|error| error.to_string()).and_then(|program| {
        let built = Command::new("go")
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/go"))
            .env("GOTOOLCHAIN", "local")
            .args(["build", "-o"])
            .args([program.as_os_str(), ".".as_ref()])
            .output();
        match built {
            Ok(output) if output.status.success() => Ok(program),
            Ok(output) => {
                let stderr = String::from_utf8_lossy(&output.stderr);
                Err(format!("`go build` failed: {}", stderr.lines().last().unwrap_or("no message")))
            }
            Err(error) => Err(format!("`go build` cannot be started: {error}")),
        }
    });
    Go { program, version }
}

/// Returns one line with the processor, the number of cores, the kernel, and the versions of all peers.
pub fn describe(go: &Go) -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown processor", |(_, model)| model.trim());
    let cores = std::thread::available_parallelism().map_or(0, |n| n.get());
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let crates: Vec<_> = ["kahn", "tokio", "async-channel", "may", "kameo", "ractor", "actix"]
        .map(|name| format!("{name} {}", locked(LOCK, name).unwrap_or("unknown")))
        .into();
    format!("{model}, {cores} cores, Linux {}; {}, {}", kernel.trim(), crates.join(", "), go.version)
}

fn locked<'lock>(lock: &'lock str, name: &str) -> Option<&'lock str> {
    let (_, after) = lock.split_once(&format!("name = \"{name}\"\n"))?;
    after.lines().next()?.strip_prefix("version = \"")?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_come_from_the_lock_file() {
        let lock = "[[package]]\nname = \"may\"\nversion = \"0.3.51\"\n";
        assert_eq!(super::locked(lock, "may"), Some("0.3.51"));
        assert_eq!(super::locked(lock, "ma"), None);
        assert!(super::locked(super::LOCK, "tokio").is_some());
    }
}
