//! Every example, run as a program on a small input. The tests check its output, and its message for a missing file
//! or a bad argument.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Nothing here takes more than a few seconds; a hang is to fail, not to hang the tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// The examples are built beside the tests (`target/debug/deps/examples-…`, `target/debug/examples/…`) by `cargo
/// test`, but not by `cargo test --test examples`: then they are what the last `cargo build --examples` made.
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
fn examples_print_help() {
    let all = [
        "wordcount",
        "player",
        "editor",
        "master_worker",
        "models",
        "sieve",
        "philosophers",
        "crawler",
        "chat",
        "bank",
        "savina",
        "supervisor_tour",
        "proxy",
        "http_server",
        "redis_server",
    ];
    for name in all {
        let output = run(name, &["--help"]);
        assert!(printed(&output).contains(&format!("usage: {name}")), "{name}");
        assert!(output.stderr.is_empty(), "{name}");
    }
}

#[test]
fn examples_refuse_bad_arguments() {
    assert_refused("wordcount", &["no-such-file"], "no-such-file: No such file");
    assert_refused("wordcount", &["--top", "few"], "few");
    assert_refused("wordcount", &["--workers", "0"], "0");
    assert_refused("wordcount", &["--bogus"], "--bogus");
    assert_refused("http_server", &["--port", "many"], "many");
    assert_refused("http_server", &["--bogus"], "--bogus");
    assert_refused("http_server", &["no-such-folder"], "no-such-folder: No such file");
    assert_refused("http_server", &["--port", "0", "Cargo.toml"], "Cargo.toml: not a directory");
    assert_refused("redis_server", &["--port", "many"], "many");
    assert_refused("redis_server", &["--bogus"], "--bogus");
    assert_refused("redis_server", &["--frame", "1"], "--frame");
    assert_refused("player", &[], "FILE.gz is missing");
    assert_refused("player", &["no-such-file.gz"], "no-such-file.gz: No such file");
    assert_refused("player", &["--block", "0", "Cargo.toml"], "--block");
    assert_refused("editor", &[], "OUTPUT is missing");
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
    assert_refused("bank", &["--accounts", "1"], "--accounts needs a number from 2");
    assert_refused("bank", &["--seed", "-1"], "--seed");
    assert_refused("bank", &["--panic-every"], "--panic-every");
    assert_refused("bank", &["now"], "now: no such option");
    assert_refused("chat", &["no-such-file"], "no-such-file: No such file");
    assert_refused("chat", &["src"], "src: is a folder");
    assert_refused("chat", &["--inbox", "0"], "--inbox");
    assert_refused("chat", &["Cargo.toml"], "line 1: words or a command are missing after [workspace]");
    assert_refused("crawler", &[], "START is missing");
    assert_refused("crawler", &["no-such-folder"], "no-such-folder: No such file");
    assert_refused("crawler", &["--depth", "deep", "examples/data/site"], "deep");
    assert_refused("savina", &[], "ping-pong, counting");
    assert_refused("savina", &["ping"], "ping: no such benchmark, give all, or one of ping-pong, counting");
    assert_refused("savina", &["--large", "all"], "--large");
    assert_refused("proxy", &["127.0.0.1:0"], "TARGET is missing");
    assert_refused("proxy", &["127.0.0.1:0", "127.0.0.1:1", "--limit", "0"], "--limit needs a number from 1");
    assert_refused("proxy", &["127.0.0.1:0", "127.0.0.1:1", "--bogus"], "--bogus: no such option");
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
        assert!(printed.contains("the sequential count agrees"), "{printed}");
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

/// It would wait for a writer that may never come. In a folder it is passed over, and an open pipe is read.
#[cfg(unix)]
#[test]
fn wordcount_refuses_a_named_pipe() {
    let folder = Folder::new();
    let file = folder.write("file", "some words");
    let (pipe, link) = (folder.path("pipe"), folder.path("link"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::os::unix::fs::symlink(&pipe, &link).unwrap();
    assert_refused("wordcount", &[&pipe], "pipe: is a named pipe");
    assert_refused("wordcount", &["--check", &file, &link], "link: is a named pipe");
    assert!(printed(&run("wordcount", &["--check", &folder.path("")])).contains("2 words, "));
    assert!(printed(&run_with_input("wordcount", &["/dev/stdin"], "three more words")).contains("3 words, "));
}

#[cfg(unix)]
#[test]
fn wordcount_prints_its_counts_after_ctrl_c() {
    let folder = Folder::new();
    let file = folder.write("file", "some words ".repeat(1000));
    let mut program = example("wordcount");
    let mut child = program.args([&file, "/dev/stdin"]).stdin(Stdio::piped()).spawn().unwrap();
    // Something to count, and then silence: the reader hangs in its read.
    let mut writer = child.stdin.take().unwrap();
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
fn player_names_the_broken_file() {
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
    assert!(said.lines().all(|line| line.contains("saving failed: injected disk failure")), "{said}");
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
fn master_worker_returns_results_in_order_and_replaces_panicked_workers() {
    let output = run("master_worker", &["--workers", "3", "examples/data/numbers.txt"]);
    let lines: Vec<&str> = printed(&output).lines().collect();
    assert_eq!(lines.len(), 12);
    assert_eq!(lines[0], "     1  600851475143 = 71 · 839 · 1471 · 6857");
    assert_eq!(
        lines[2],
        "     3  lost: the green thread panicked: \"not a number\": invalid digit found in string"
    );
    assert_eq!(lines[8], "     9  1 = 1");
    assert_eq!(lines[11], "8 lines factored, 3 lost; 3 workers, 3 replaced after a panic");
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
    assert!(printed.contains("the sieve of Eratosthenes finds the same primes"), "{printed}");
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
fn supervisor_tour_prints_events_in_order() {
    let output = run("supervisor_tour", &[]);
    let text = printed(&output);
    // Without the times, which come first.
    let events = |scene: &str| -> Vec<String> {
        let of_scene = text.lines().skip_while(|line| !line.starts_with(&format!("{scene}: "))).skip(1);
        let event = |line: &str| {
            line.split_once(" ms  ").map(|(_, event)| event.split_whitespace().collect::<Vec<_>>().join(" "))
        };
        of_scene.map_while(event).collect()
    };
    assert_eq!(
        events("rest-for-one"),
        [
            "service store has started",
            "service cache has started",
            "service server has started",
            &events("rest-for-one")[3],
            "service server was stopped: shut down",
            "service cache is started again",
            "service cache has started",
            "service server has started",
            "service server was stopped: shut down",
            "service cache was stopped: shut down",
            "service store was stopped: shut down",
        ]
    );
    assert!(
        events("rest-for-one")[3]
            .starts_with("service cache has ended: panicked at examples/supervisor_tour.rs:")
    );
    assert!(text.contains("the new baker has done 1 piece of work"), "{text}");
    assert!(text.contains("parser has ended: failed: invalid digit found in string"), "{text}");
    for (entry, times) in
        [("client did not start: panicked", 3), ("loser fails too often", 1), ("lower has started", 2)]
    {
        assert_eq!(text.matches(entry).count(), times, "{entry}: {text}");
    }
    assert_eq!(
        events("shutdown")[4..],
        [
            "program thread was stopped: shut down",
            "program doomed was stopped: killed",
            "program slow did not stop as it should: killed",
            "program quick was stopped: shut down",
            "program has ended: shut down",
        ]
    );
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn supervisor_tour_lists_its_scenes_for_an_unknown_one() {
    let output = run("supervisor_tour", &["one-for-two"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no scene \"one-for-two\"; there are one-for-one, one-for-all"), "{said}");
    assert_eq!(said.lines().count(), 1);
}

/// What one user of the chat has seen, line by line, and the summary's line.
fn screen_of<'a>(printed: &'a str, name: &str) -> (Vec<&'a str>, &'a str) {
    let lines = printed.lines().filter_map(|line| line.trim_start().strip_prefix(name));
    let (shown, rest): (Vec<_>, Vec<_>) = lines.partition(|line| line.starts_with(" | "));
    assert_eq!(rest.len(), 1, "{printed}");
    (shown.iter().map(|line| &line[3..]).collect(), rest[0].trim_start())
}

#[test]
fn chat_shows_messages_to_all_in_order() {
    let output = run("chat", &["examples/data/chat.txt"]);
    let printed = printed(&output);
    let (bob, _) = screen_of(printed, "bob");
    assert_eq!(
        bob,
        [
            "[tea] bob comes in",
            "[tea] ann: hello, is anybody here?",
            "[tea] bob: I am, but I read slowly",
            "[tea] cleo comes in",
            "[tea] ann: one",
            "[tea] ann: two",
            "[tea] ann: three",
            "ann to you: are you still at \"one\"?",
            "[tea] cleo: bye",
            "[tea] cleo leaves",
            "[tea] ann leaves",
            "[tea] cleo comes in",
        ]
    );
    let (ann, _) = screen_of(printed, "ann");
    assert_eq!(ann[4..7], ["[tea] cleo comes in", "here: ann, bob, cleo", "[tea] ann: one"]);
    assert_eq!(
        ann[8..],
        ["[tea] ann: three", "dora is not here", "[tea] cleo: bye", "[tea] cleo leaves", "[tea] ann leaves"]
    );
    let (cleo, summary) = screen_of(printed, "cleo");
    assert!(summary.starts_with("saw 13 lines, missed 0, "), "{printed}");
    let [gone, last] = cleo[11..] else { panic!("{printed}") };
    assert!(gone.starts_with("[tea] bob is gone: panicked at examples/chat/user.rs:"), "{printed}");
    assert!(gone.ends_with(": the connection broke"), "{printed}");
    assert_eq!(last, "[tea] cleo: so it goes");
    let (dora, _) = screen_of(printed, "dora");
    assert_eq!(dora, ["you are in no room: /join one"]);
}

#[test]
fn chat_does_not_wait_for_a_slow_reader() {
    const LINES: usize = 2_000;
    let said: String = (0..LINES).map(|number| format!("ann line {number}\n")).collect();
    let script = format!("ann /join tea\nbob /join tea\nbob /slow 5\n{said}");
    // On one worker every runnable actor gets a turn before 64 lines are said. So only the slow user falls behind: Bob,
    // who would need ten seconds for all lines.
    let mut child = example("chat").env("KAHN_WORKERS", "1").stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = output_of(child);
    let printed = printed(&output);
    let (ann, summary) = screen_of(printed, "ann");
    assert!(summary.starts_with(&format!("saw {} lines, missed 0, ", LINES + 2)), "{summary}");
    for (number, line) in ann[2..].iter().enumerate() {
        assert_eq!(*line, format!("[tea] ann: line {number}"));
    }
    let (bob, summary) = screen_of(printed, "bob");
    let notices = bob.iter().filter(|line| line.ends_with(" lines missed)"));
    let missed: usize =
        notices.map(|line| line[1..].split(' ').next().unwrap().parse::<usize>().unwrap()).sum();
    let seen: Vec<_> = bob.iter().filter(|line| line.starts_with("[tea]")).collect();
    assert!(missed > 0, "{summary}");
    assert_eq!(seen.len() + missed, LINES + 1, "{summary}");
    assert!(summary.starts_with(&format!("saw {} lines, missed {missed}, ", seen.len())), "{summary}");
    assert_eq!(**seen.last().unwrap(), format!("[tea] ann: line {}", LINES - 1));
}

#[test]
fn chat_names_the_wrong_line_of_the_script() {
    for (script, said) in [
        ("ann\n", "line 1: words or a command are missing after ann"),
        ("ann /join tea\n\n# no\nann /jion tea\n", "line 4: /jion: no such command"),
        ("/join tea\n", "line 1: the name of a user is missing before"),
        ("ann /slow down\n", "line 1: /slow needs a number"),
        ("ann /msg bob\n", "line 1: /msg needs a name and words"),
        ("ann /quit now\n", "line 1: /quit takes no argument"),
    ] {
        let output = run_with_input("chat", &[], script);
        assert_eq!(output.status.code(), Some(2), "{script:?}");
        assert!(text(&output.stderr).starts_with(&format!("chat: {said}")), "{}", text(&output.stderr));
        assert_eq!(text(&output.stderr).lines().count(), 1);
    }
}

/// The number that stands before `what`.
#[track_caller]
fn number_of(printed: &str, what: &str) -> u64 {
    let before = printed.split_once(&format!(" {what}")).map(|(before, _)| before);
    let number = before.and_then(|before| before.split_whitespace().next_back());
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {what} in {printed}"))
}

#[test]
fn bank_conserves_the_money_whatever_panics() {
    // Five steps of each transfer, of which one in twenty panics, or every one.
    for (args, planned) in [
        ("--transfers 3000 --panic-every 20", 600..=900),
        ("--transfers 3000 --panic-every 20 --seed 2", 600..=900),
        ("--transfers 3000 --panic-every 20 --accounts 2", 600..=900),
        ("--transfers 300 --panic-every 1 --tellers 1000", 1500..=1500),
        ("--transfers 300 --panic-every 0", 0..=0),
    ] {
        let output = run("bank", &args.split(' ').collect::<Vec<_>>());
        let printed = printed(&output);
        assert!(
            printed.ends_with("the money is conserved, and every account has the expected balance\n"),
            "{printed}"
        );
        assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
        let panics = number_of(printed, "panics");
        assert!(planned.contains(&panics), "{printed}");
        assert!(number_of(printed, "restarts") >= panics, "{printed}");
        // Two accounts that pay only each other.
        assert!(!args.ends_with("--accounts 2") || number_of(printed, "deadlocks") > 0, "{printed}");
    }
}

#[test]
fn bank_repeats_a_run() {
    let panics = |seed| {
        let output = run("bank", &["--transfers", "2000", "--panic-every", "10", "--seed", seed]);
        number_of(printed(&output), "panics")
    };
    assert_eq!(panics("3"), panics("3"));
    assert_ne!(panics("3"), panics("4"));
}

#[test]
fn bank_detects_money_that_was_not_deposited() {
    let output = run("bank", &["--forgetful", "--transfers", "2000"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).starts_with("bank: the money is not conserved: +"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn savina_computes_expected_results() {
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

/// Starts the proxy in front of `target`, and returns it with its address.
fn proxy(target: std::net::SocketAddr, args: &[&str]) -> (Child, String) {
    let mut command = example("proxy");
    command.args(["127.0.0.1:0", &target.to_string()]).args(args).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    // Unbuffered, so that the rest of the output stays in the pipe.
    let stdout = child.stdout.as_mut().unwrap();
    let mut byte = [0];
    while !line.ends_with('\n') {
        stdout.read_exact(&mut byte).unwrap();
        line.push(char::from(byte[0]));
    }
    let address = line.trim_end().strip_prefix("listening on ").expect("the proxy prints its address");
    (child, address.to_owned())
}

#[test]
fn proxy_passes_bytes_on_in_both_directions_with_half_close() {
    use std::net::{Shutdown, TcpListener, TcpStream};
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut child, address) = proxy(target.local_addr().unwrap(), &["--limit", "2"]);
    let server = thread::spawn(move || {
        for _ in 0..3 {
            let (mut stream, _) = target.accept().unwrap();
            thread::spawn(move || {
                // Replies only after it has read the end of the request.
                let mut request = String::new();
                stream.read_to_string(&mut request).unwrap();
                stream.write_all(request.to_uppercase().as_bytes()).unwrap();
            });
        }
    });
    // The third one is served after one of the others has ended.
    let clients: Vec<_> = (0..3).map(|_| TcpStream::connect(&address).unwrap()).collect();
    for mut client in clients {
        client.write_all(b"to be ").unwrap();
        client.write_all(b"or not").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut reply = String::new();
        client.read_to_string(&mut reply).unwrap();
        assert_eq!(reply, "TO BE OR NOT");
    }
    server.join().unwrap();
    drop(child.stdin.take());
    let output = output_of(child);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches("passed on 12 bytes there, 12 bytes back").count(), 3, "{text}");
    assert!(text.ends_with("served 3 connections\n"), "{text}");
}

#[test]
fn proxy_goes_on_after_a_target_that_refuses() {
    use std::net::{TcpListener, TcpStream};
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let refusing = target.local_addr().unwrap();
    drop(target);
    let (mut child, address) = proxy(refusing, &[]);
    for _ in 0..2 {
        let mut client = TcpStream::connect(&address).unwrap();
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
    }
    drop(child.stdin.take());
    let output = output_of(child);
    assert!(output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.matches("a connection has failed: Connection refused").count(), 2, "{text}");
}
