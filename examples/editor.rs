//! An editor's engine: keystrokes go on being taken while autosave writes to a slow disk, and a disk that fails costs no
//! text.
//!
//! ```text
//! cargo run --example editor -- /tmp/saved.txt < README.md
//! cargo run --example editor -- --fail-every 2 --disk-ms 50 --key-ms 1 /tmp/saved.txt examples/data/typed.txt
//! ```
//!
//! The editor is one loop over a `select!`: the next keystroke, the news of the last save, the autosave's ticker. A save is
//! a copy of the text, handed to a saver that writes it on the blocking pool; while one is under way there is no other, and
//! a text that could not be saved is saved again, in the state it has by then.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use kahn::channel::{Receiver, Sender, bounded, select, tick};
use kahn::{blocking, sleep, spawn};

const USAGE: &str = "\
Takes keystrokes (from INPUT, or standard input) and saves the text to OUTPUT as it grows.

usage: editor [--fail-every N] [--disk-ms MS] [--key-ms MS] [--autosave-ms MS] OUTPUT [INPUT]

Every character is a keystroke; a backspace (or delete) takes back the one before.

  --fail-every N     every Nth write fails (never)
  --disk-ms MS       how long a write takes at least (0)
  --key-ms MS        the time between two keystrokes (0)
  --autosave-ms MS   the time between two saves (20)

Exit code: 0 if the text was saved, 1 if not, which prints it instead; 2 for a bad argument.
";

/// How often the last save is tried.
const LAST_TRIES: usize = 3;

struct Options {
    output: PathBuf,
    input: Option<File>,
    fail_every: Option<usize>,
    disk: Duration,
    key: Duration,
    autosave: Duration,
}

#[kahn::main]
fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("editor: {message}");
            return ExitCode::from(2);
        }
    };
    edit(options)
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut fail_every = None;
    let [mut disk_ms, mut key_ms, mut autosave_ms] = [0, 0, 20];
    let mut paths = Vec::new();
    while let Some(arg) = args.next() {
        let mut number = |least: u64| {
            let value = args.next().unwrap_or_default();
            let number = value.parse().ok().filter(|number| (least..=60_000).contains(number));
            number.ok_or_else(|| format!("{arg} needs a number from {least} to 60000, not {value:?}"))
        };
        match arg.as_str() {
            "--help" | "-h" => return Ok(None),
            "--fail-every" => fail_every = Some(number(1)? as usize),
            "--disk-ms" => disk_ms = number(0)?,
            "--key-ms" => key_ms = number(0)?,
            "--autosave-ms" => autosave_ms = number(1)?,
            flag if flag.starts_with("--") => return Err(format!("{flag}: no such option, try --help")),
            path => paths.push(PathBuf::from(path)),
        }
    }
    let mut paths = paths.into_iter();
    let output = paths.next().ok_or("where to save? try --help")?;
    let input =
        paths.next().map(|path| File::open(&path).map_err(|error| format!("{}: {error}", path.display())));
    if let Some(path) = paths.next() {
        return Err(format!("{}: one output and one input are enough", path.display()));
    }
    let [disk, key, autosave] = [disk_ms, key_ms, autosave_ms].map(Duration::from_millis);
    Ok(Some(Options { output, input: input.transpose()?, fail_every, disk, key, autosave }))
}

/// A text to save, and the keystrokes that made it.
struct Save {
    text: String,
    version: usize,
}

type Saved = Result<usize, (usize, io::Error)>;

fn edit(options: Options) -> ExitCode {
    let Options { output, input, fail_every, disk, key, autosave } = options;
    let (key_tx, keys) = bounded(16);
    let keyboard = spawn(move || match input {
        Some(file) => type_all(BufReader::new(file), key, &key_tx),
        None => type_all(io::stdin(), key, &key_tx),
    });
    let (save_tx, saves) = bounded(1);
    let (news_tx, news) = bounded(1);
    let saver = {
        let output = output.clone();
        spawn(move || save_all(&output, fail_every, disk, &saves, &news_tx))
    };

    let mut editor = Editor::new(save_tx, news);
    editor.take(&keys, autosave);
    let typed = keyboard.join().expect("the keyboard does not panic");
    let is_saved = editor.save_the_rest();
    let Editor { text, keystrokes, meanwhile, saves, failures, longest, save_tx, .. } = editor;
    drop(save_tx);
    saver.join().expect("the saver does not panic");

    println!(
        "{keystrokes} keystrokes, {meanwhile} of them during a write; {} characters",
        text.chars().count()
    );
    println!(
        "{saves} saves, {failures} failed; the longest wait of a keystroke was {} µs",
        longest.as_micros()
    );
    if !is_saved {
        eprintln!("editor: {} could not be written, this is the text:", output.display());
        print!("{text}");
        return ExitCode::FAILURE;
    }
    println!("saved to {}", output.display());
    match typed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("editor: the keyboard is broken: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Editor {
    text: String,
    keystrokes: usize,
    /// Keystrokes taken while a save was under way.
    meanwhile: usize,
    /// The keystrokes that are on the disk.
    saved: usize,
    is_saving: bool,
    saves: usize,
    failures: usize,
    longest: Duration,
    save_tx: Sender<Save>,
    news: Receiver<Saved>,
}

impl Editor {
    fn new(save_tx: Sender<Save>, news: Receiver<Saved>) -> Editor {
        Editor {
            text: String::new(),
            keystrokes: 0,
            meanwhile: 0,
            saved: 0,
            is_saving: false,
            saves: 0,
            failures: 0,
            longest: Duration::ZERO,
            save_tx,
            news,
        }
    }

    /// Takes keystrokes until there are no more.
    fn take(&mut self, keys: &Receiver<(char, Instant)>, autosave: Duration) {
        let ticker = tick(autosave);
        let news = self.news.clone();
        loop {
            select! {
                recv(keys) -> key => match key {
                    Ok((key, struck)) => self.press(key, struck),
                    Err(_) => return,
                },
                recv(news) -> news => self.hear(news.expect("the saver outlives the editor")),
                recv(ticker) -> _ => self.save(),
            }
        }
    }

    fn press(&mut self, key: char, struck: Instant) {
        match key {
            '\u{8}' | '\u{7f}' => drop(self.text.pop()),
            key => self.text.push(key),
        }
        self.keystrokes += 1;
        self.meanwhile += usize::from(self.is_saving);
        self.longest = self.longest.max(struck.elapsed());
    }

    /// Starts a save, if there is something to save and none under way.
    fn save(&mut self) {
        if !self.is_saving && !self.is_saved() {
            let save = Save { text: self.text.clone(), version: self.keystrokes };
            self.save_tx.send(save).expect("the saver outlives the editor");
            self.is_saving = true;
        }
    }

    fn hear(&mut self, news: Saved) {
        self.is_saving = false;
        match news {
            Ok(version) => {
                self.saves += 1;
                self.saved = version;
            }
            Err((version, error)) => {
                self.failures += 1;
                let unsaved = version - self.saved;
                eprintln!(
                    "editor: saving failed: {error}; {unsaved} keystrokes are only in memory, trying again"
                );
            }
        }
    }

    /// Saves what has not been saved. Answers whether that went well.
    fn save_the_rest(&mut self) -> bool {
        // One may be under way.
        for _ in 0..=LAST_TRIES {
            if self.is_saving {
                let news = self.news.recv().expect("the saver outlives the editor");
                self.hear(news);
            }
            if self.is_saved() {
                return true;
            }
            self.save();
        }
        let news = self.news.recv().expect("the saver outlives the editor");
        self.hear(news);
        self.is_saved()
    }

    /// Whether all of the text is on the disk; an empty one, too, has to be written.
    fn is_saved(&self) -> bool {
        self.saves > 0 && self.saved == self.keystrokes
    }
}

/// Hands on each character of the input, and when it was struck.
fn type_all(mut input: impl Read + Send, pause: Duration, keys: &Sender<(char, Instant)>) -> io::Result<()> {
    let mut bytes = vec![0; 4096];
    let mut start = 0;
    loop {
        let count = blocking(|| input.read(&mut bytes[start..]))?;
        let end = start + count;
        // The last character may not be complete.
        let valid = match str::from_utf8(&bytes[..end]) {
            Ok(_) => end,
            Err(error) if error.error_len().is_none() && count > 0 => error.valid_up_to(),
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        };
        for key in str::from_utf8(&bytes[..valid]).expect("checked").chars() {
            if !pause.is_zero() {
                sleep(pause);
            }
            if keys.send((key, Instant::now())).is_err() {
                return Ok(());
            }
        }
        if count == 0 {
            return Ok(());
        }
        bytes.copy_within(valid..end, 0);
        start = end - valid;
    }
}

/// Writes every text that comes, and tells how it went.
fn save_all(
    output: &Path,
    fail_every: Option<usize>,
    disk: Duration,
    saves: &Receiver<Save>,
    news: &Sender<Saved>,
) {
    for (write, Save { text, version }) in (1_usize..).zip(saves) {
        let fails = fail_every.is_some_and(|every| write.is_multiple_of(every));
        let written = blocking(|| {
            std::thread::sleep(disk);
            if fails { Err(io::Error::other("the disk is on strike")) } else { replace(output, &text) }
        });
        let saved = written.map(|()| version).map_err(|error| (version, error));
        if news.send(saved).is_err() {
            return;
        }
    }
}

/// Writes a new file and puts it in the old one's place, so that there is a whole text at any time.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, text)?;
    fs::rename(&new, path)
}
