//! Every example is run as a program, on a small input, and what it prints is checked; so is what it says to a missing file
//! and a bad argument.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Nothing here takes more than a few seconds; a hang is to fail, not to hang the tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// The examples are built beside the tests (`target/debug/deps/examples-…`, `target/debug/examples/…`) by `cargo test`, but
/// not by `cargo test --test examples`: then they are what the last `cargo build --examples` made.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    assert!(program.exists(), "{} is not built: run `cargo build --examples` first", program.display());
    let mut command = Command::new(program);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits for the end of a program, for as long as our patience lasts.
fn output_of(mut child: Child) -> Output {
    fn drain(from: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            from.map(|mut from| from.read_to_end(&mut bytes));
            bytes
        })
    }
    let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it hangs, and has said {:?}", String::from_utf8_lossy(&stdout.join().unwrap()));
        }
        thread::sleep(Duration::from_millis(2));
    };
    Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

fn run(name: &str, args: &[&str]) -> Output {
    output_of(example(name).args(args).spawn().unwrap())
}

fn run_with_input(name: &str, args: &[&str], input: &str) -> Output {
    let mut child = example(name).args(args).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    output_of(child)
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// What it printed, if all went well.
#[track_caller]
fn printed(output: &Output) -> &str {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    text(&output.stdout)
}

/// It ends with 2, and one line on standard error that mentions what is wrong.
#[track_caller]
fn assert_refused(name: &str, args: &[&str], mentions: &str) {
    let output = run(name, args);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{name} {args:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{name} {args:?}: {said}");
    assert!(said.starts_with(&format!("{name}: ")) && said.contains(mentions), "{name} {args:?}: {said}");
    assert!(output.stdout.is_empty(), "{name} {args:?}");
}

/// A folder that is gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("kahn-examples-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).into_os_string().into_string().unwrap()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        self.path(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn all_explain_themselves() {
    let all = [
        "wordcount",
        "player",
        "editor",
        "master_worker",
        "models",
        "sieve",
        "philosophers",
        "crawler",
        "savina",
    ];
    for name in all {
        let output = run(name, &["--help"]);
        assert!(printed(&output).contains(&format!("usage: {name}")), "{name}");
        assert!(output.stderr.is_empty(), "{name}");
    }
}

#[test]
fn all_refuse_what_they_cannot_do() {
    assert_refused("wordcount", &["no-such-file"], "no-such-file: No such file");
    assert_refused("wordcount", &["--top", "few"], "few");
    assert_refused("wordcount", &["--workers", "0"], "0");
    assert_refused("wordcount", &["--bogus"], "--bogus");
    assert_refused("player", &[], "what to play");
    assert_refused("player", &["no-such-file.gz"], "no-such-file.gz: No such file");
    assert_refused("player", &["--block", "0", "Cargo.toml"], "--block");
    assert_refused("editor", &[], "where to save");
    assert_refused("editor", &["saved", "no-such-file"], "no-such-file: No such file");
    assert_refused("editor", &["--fail-every", "0", "saved"], "--fail-every");
    assert_refused("master_worker", &["no-such-file"], "no-such-file: No such file");
    assert_refused("master_worker", &["src"], "src: is a folder");
    assert_refused("master_worker", &["--workers", "none"], "none");
    assert_refused("models", &["many"], "many");
    assert_refused("models", &["1", "1", "1"], "too many");
    assert_refused("sieve", &["0"], "\"0\"");
    assert_refused("sieve", &["-5"], "-5");
    assert_refused("philosophers", &["1"], "only one fork");
    assert_refused("philosophers", &["five"], "five");
    assert_refused("crawler", &[], "where to start");
    assert_refused("crawler", &["no-such-folder"], "no-such-folder: No such file");
    assert_refused("crawler", &["--depth", "deep", "examples/data/site"], "deep");
    assert_refused("savina", &[], "ping-pong, counting");
    assert_refused("savina", &["ping"], "ping: no such benchmark, give all, or one of ping-pong, counting");
    assert_refused("savina", &["--large", "all"], "--large");
}

#[test]
fn wordcount_agrees_with_a_sequential_count_of_a_difficult_tree() {
    let tree = Folder::new();
    tree.write("empty", "");
    tree.write("small/a.txt", "The cat, the dog; THE END\n");
    tree.write("small/invalid.txt", b"caf\xe9 the \xff\xfe caf\xe9");
    tree.write("binary", b"\x7fELF\0the the the");
    tree.write("one-word", vec![b'x'; 700_000]);
    // Longer than a chunk, so that words and runs of every length meet its borders.
    let large: String = (0..200_000).map(|number| format!("{:x} ", number * 7919 % 4001)).collect();
    tree.write("large/large.txt", large);
    for number in 0..300 {
        tree.write(&format!("many/{number}"), format!("file {number} of many"));
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&tree.0, tree.0.join("small/loop")).unwrap();
        std::os::unix::fs::symlink("nowhere", tree.0.join("small/dangling")).unwrap();
    }
    let root = tree.path("");
    for args in [&["--check", &root] as &[&str], &["--check", "--binary", "--workers", "4", &root]] {
        let output = run("wordcount", args);
        let printed = printed(&output);
        assert!(printed.contains("the same one by one"), "{printed}");
        assert!(!printed.contains(" in 0 files"), "{printed}");
    }
}

#[test]
fn wordcount_prints_the_words_seen_most() {
    let tree = Folder::new();
    let file = tree.write("a", "b a c A b, a? 1,5 naïve\u{2003}x\n");
    let output = run("wordcount", &["--top", "2", &file]);
    let printed = printed(&output);
    let words: Vec<Vec<&str>> = printed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[..3], [vec!["3", "a"], vec!["2", "b"], vec![]]);
    assert!(printed.contains("in 1 files") && printed.contains("green threads on"), "{printed}");
}

#[cfg(unix)]
#[test]
fn wordcount_prints_what_it_has_after_ctrl_c() {
    let folder = Folder::new();
    let pipe = folder.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let file = folder.write("file", "some words ".repeat(1000));
    let child = example("wordcount").args([&file, &pipe]).spawn().unwrap();
    // Something to count, and then silence: the reader hangs in its read.
    let mut writer = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    writer.write_all("pipe ".repeat(100_000).as_bytes()).unwrap();
    thread::sleep(Duration::from_millis(300));
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let output = output_of(child);
    assert_eq!(output.status.code(), Some(130));
    assert!(text(&output.stdout).contains(" words, "), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("interrupted"));
}

#[test]
fn player_plays_every_byte() {
    let folder = Folder::new();
    let song = folder.path("song.gz");
    printed(&run("player", &["--make", &song, "1"]));
    // A gzip file ends with the checksum of what was compressed, and its length.
    let bytes = fs::read(&song).unwrap();
    let checksum = u32::from_le_bytes(*bytes[..bytes.len() - 4].last_chunk().unwrap());
    let expected = format!("50 frames, 0 underruns, 16000 bytes with checksum {checksum:08x}");
    for args in [&["--fast", &song] as &[&str], &["--fast", "--block", "1", &song]] {
        let output = run("player", args);
        assert!(printed(&output).contains(&expected), "{}", printed(&output));
    }
    // In its own time it takes a second, and on a busy machine a tick may come before its frame.
    let start = Instant::now();
    let output = run("player", &[&song]);
    assert!(start.elapsed() >= Duration::from_millis(950), "{:?}", start.elapsed());
    assert!(printed(&output).contains(&format!("checksum {checksum:08x}")), "{}", printed(&output));
    // Two songs in one file are played as one.
    let both = folder.write("both.gz", [&bytes[..], &bytes[..]].concat());
    assert!(printed(&run("player", &["--fast", &both])).contains("100 frames"));
}

#[test]
fn player_counts_underruns_when_the_disk_is_slow() {
    let folder = Folder::new();
    let song = folder.path("song.gz");
    printed(&run("player", &["--make", &song, "1"]));
    let output = run("player", &["--disk-ms", "100", "--block", "4000", &song]);
    let printed = printed(&output);
    assert!(printed.contains("16000 bytes") && !printed.contains(" 0 underruns"), "{printed}");
}

#[test]
fn player_says_which_file_is_broken() {
    let folder = Folder::new();
    let song = folder.path("song.gz");
    printed(&run("player", &["--make", &song, "1"]));
    let cut = folder.write("cut.gz", &fs::read(&song).unwrap()[..1000]);
    let output = run("player", &["--fast", "Cargo.toml", &cut, &song]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("Cargo.toml: invalid gzip header") && said.contains("2 of 3"), "{said}");
    assert!(text(&output.stdout).contains("50 frames"));
}

#[test]
fn editor_loses_no_text_when_the_disk_fails() {
    let folder = Folder::new();
    let saved = folder.path("saved");
    let args =
        ["--fail-every", "2", "--disk-ms", "5", "--autosave-ms", "1", &saved, "examples/data/typed.txt"];
    let output = run("editor", &args);
    let (printed, said) = (printed(&output), text(&output.stderr));
    assert!(printed.contains("2392 keystrokes"), "{printed}");
    assert!(said.lines().all(|line| line.contains("saving failed: the disk is on strike")), "{said}");
    let typed = fs::read_to_string("examples/data/typed.txt").unwrap();
    assert_eq!(fs::read_to_string(saved).unwrap(), typed.replace("m\u{8}", ""));
}

#[test]
fn editor_goes_on_typing_during_a_write() {
    let folder = Folder::new();
    let saved = folder.path("saved");
    let input = "text ".repeat(20);
    let output =
        run_with_input("editor", &["--disk-ms", "30", "--key-ms", "1", "--autosave-ms", "5", &saved], &input);
    let printed = printed(&output);
    assert!(
        printed.contains("100 keystrokes") && !printed.contains(", 0 of them during a write"),
        "{printed}"
    );
    assert_eq!(fs::read_to_string(saved).unwrap(), input);
}

#[test]
fn editor_prints_a_text_that_it_cannot_save() {
    let output = run_with_input("editor", &["no-such-folder/saved"], "precious");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).ends_with("precious"));
    assert!(text(&output.stderr).contains("no-such-folder/saved could not be written"));
}

#[test]
fn master_worker_answers_in_order_and_replaces_who_panics() {
    let output = run("master_worker", &["--workers", "3", "examples/data/numbers.txt"]);
    let lines: Vec<&str> = printed(&output).lines().collect();
    assert_eq!(lines.len(), 12);
    assert_eq!(lines[0], "     1  600851475143 = 71 · 839 · 1471 · 6857");
    assert_eq!(
        lines[2],
        "     3  lost: the green thread panicked: \"not a number\": invalid digit found in string"
    );
    assert_eq!(lines[8], "     9  1 = 1");
    assert_eq!(lines[11], "8 answers, 3 lost, by 3 workers, 3 of them replaced");
}

#[test]
fn master_worker_takes_more_lines_than_fit_in_its_window() {
    let input: String = (2..5000).map(|number| format!("{number}\n")).collect();
    let output = run_with_input("master_worker", &[], &input);
    let lines: Vec<&str> = printed(&output).lines().collect();
    assert_eq!(lines.len(), 4999);
    for (index, line) in lines[..4998].iter().enumerate() {
        assert!(line.starts_with(&format!("{:>6}  {} = ", index + 1, index + 2)), "{line}");
    }
}

#[test]
fn models_compares_all_three() {
    let output = run("models", &["20", "50"]);
    let printed = printed(&output);
    for model in ["1:1 ", "N:1 ", "M:N "] {
        let line = printed.lines().find(|line| line.starts_with(model));
        assert!(line.is_some_and(|line| line.contains(" ms ")), "{printed}");
    }
}

#[test]
fn sieve_finds_the_primes() {
    let output = run("sieve", &["--check", "300"]);
    let printed = printed(&output);
    assert!(printed.starts_with("2 3 5 7 11 13 "), "{printed}");
    assert!(printed.contains("prime number 300 is 1987\n"), "{printed}");
    assert!(printed.contains("the sieve of Eratosthenes has the same"), "{printed}");
}

#[test]
fn philosophers_deadlock_and_then_eat() {
    let output = run("philosophers", &["5", "50"]);
    let printed = printed(&output);
    let (first, second) = printed.split_once("lower number first").unwrap();
    assert!(first.contains("all green threads are asleep: deadlock"), "{printed}");
    for name in ["Aspasia", "Hypatia", "Kant", "Laozi", "Socrates"] {
        let line = first.lines().find(|line| line.contains(name)).unwrap();
        assert!(line.contains("lock") && line.contains("examples/philosophers.rs:"), "{line}");
    }
    assert!(
        second.contains("5 philosophers have eaten 50 meals each, the forks were used 500 times"),
        "{printed}"
    );
    assert!(output.stderr.is_empty());
}

#[test]
fn crawler_fetches_every_page_once_at_its_least_depth() {
    let output = run("crawler", &["--in-flight", "2", "examples/data/site"]);
    let lines: Vec<&str> = printed(&output).lines().collect();
    assert_eq!(
        lines[..6],
        [
            "0  index.html  \"A small site\", 5 links",
            "1  about.html  \"About\", 3 links",
            "1  guide/index.html  \"Guide\", 3 links",
            "2  guide/chapter 1.html  \"Chapter 1\", 3 links",
            "2  lost.html  No such file or directory (os error 2)",
            "3  guide/chapter 2.html  \"Chapter 2\", 2 links",
        ]
    );
    assert!(lines[6].starts_with("5 pages, 1 not found, 0 further than 4 links away"), "{}", lines[6]);
}

#[test]
fn crawler_stops_at_its_depth() {
    let output = run("crawler", &["--depth", "1", "examples/data/site/index.html"]);
    let last = BufReader::new(&output.stdout[..]).lines().last().unwrap().unwrap();
    assert!(last.starts_with("3 pages, 0 not found, 2 further than 1 links away"), "{last}");
}

#[test]
fn savina_computes_what_it_should() {
    let list = run("savina", &["--list"]);
    let names: Vec<_> = printed(&list).lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(names.len(), 30, "{names:?}");
    // With one worker nothing happens at the same time, with four more than there may be processors.
    for workers in ["1", "4"] {
        let mut program = example("savina");
        let output =
            output_of(program.env("KAHN_WORKERS", workers).args(["--small", "all"]).spawn().unwrap());
        let printed = printed(&output);
        for (line, name) in printed.lines().zip(&names) {
            assert!(line.starts_with(&format!("{name} ")) && line.contains(" ms "), "{printed}");
            assert!(!line.contains("WRONG"), "{printed}");
        }
        assert_eq!(printed.lines().count(), names.len() + 1, "{printed}");
    }
}
