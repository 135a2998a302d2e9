//! Programs that must not compile.
//!
//! Each program in `tests/compile_fail` is compiled twice. With `--cfg fault` the compiler must report the error
//! that stands behind `//~`, at that line. Without it the program must compile, so the fault is the only reason.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

struct Compiler {
    program: PathBuf,
    /// Where cargo has put this test's dependencies.
    libraries: PathBuf,
    kahn: PathBuf,
    out: PathBuf,
}

impl Compiler {
    fn new() -> Compiler {
        let libraries = std::env::current_exe().unwrap().parent().unwrap().to_owned();
        let is_kahn = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("libkahn-") && name.ends_with(".rlib")
        };
        // Builds with other settings may be there, too: the newest is what this test was linked with, or as good.
        let kahn = fs::read_dir(&libraries)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(is_kahn)
            .max_by_key(|path| fs::metadata(path).unwrap().modified().unwrap())
            .expect("cargo has built kahn for this test");
        let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compile_fail");
        fs::create_dir_all(&out).unwrap();
        let program = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()).into();
        Compiler { program, libraries, kahn, out }
    }

    /// The compiler's errors, a line each, as `file:line:column: error[code]: text`.
    fn errors(&self, source: &Path, fault: bool) -> Vec<String> {
        let mut command = Command::new(&self.program);
        command.args([
            "--edition",
            "2024",
            "--crate-type",
            "bin",
            "--emit",
            "metadata",
            "--error-format",
            "short",
        ]);
        if is_test(source) {
            command.arg("--test");
        }
        command.args(["--check-cfg", "cfg(fault)"]);
        if fault {
            command.args(["--cfg", "fault"]);
        }
        command.arg("--out-dir").arg(&self.out);
        command.arg("-L").arg(format!("dependency={}", self.libraries.display()));
        command.arg("--extern").arg(format!("kahn={}", self.kahn.display()));
        let output = command.arg(source).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        let errors: Vec<_> =
            text.lines().filter(|line| line.contains(": error")).map(str::to_owned).collect();
        assert_eq!(output.status.success(), errors.is_empty(), "{}: {text}", source.display());
        errors
    }
}

/// Those over which `#[kahn::test]` stands.
fn is_test(source: &Path) -> bool {
    source.file_name().unwrap().to_string_lossy().starts_with("test_")
}

/// What is wrong with a program, as a test of ours: nothing, if it is refused for its fault alone.
fn verdict(compiler: &Compiler, source: &Path) -> Result<(), String> {
    let text = fs::read_to_string(source).unwrap();
    let (line, expected) = text
        .lines()
        .enumerate()
        .find_map(|(i, line)| line.split_once("//~").map(|(_, expected)| (i + 1, expected.trim())))
        .ok_or("has no //~")?;
    let without = compiler.errors(source, false);
    if !without.is_empty() {
        return Err(format!("does not compile without its fault:\n{}", without.join("\n")));
    }
    let with = compiler.errors(source, true);
    let at_line = format!(":{line}:");
    if with.is_empty() {
        return Err("compiles".to_owned());
    }
    if !with.iter().all(|error| error.contains(&at_line) && error.contains(expected)) {
        return Err(format!(
            "should be refused at line {line} for `{expected}` alone, but:\n{}",
            with.join("\n")
        ));
    }
    Ok(())
}

#[test]
fn programs_fail_to_compile_for_the_documented_reason() {
    let compiler = Compiler::new();
    let mut sources: Vec<_> =
        fs::read_dir("tests/compile_fail").unwrap().map(|entry| entry.unwrap().path()).collect();
    sources.sort();
    assert!(sources.len() > 20);
    let failed: Vec<_> = sources
        .iter()
        .filter_map(|source| {
            verdict(&compiler, source).err().map(|why| format!("{}: {why}", source.display()))
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}
