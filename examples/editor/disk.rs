//! The saver: writes snapshots of the text on the blocking pool.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kahn::blocking;
use kahn::channel::{Receiver, Sender};

/// The file, and how the simulated disk under it behaves.
pub struct Disk {
    pub output: PathBuf,
    /// Every write with a multiple of this number fails.
    pub fail_every: Option<usize>,
    pub write_time: Duration,
}

/// A snapshot of the text.
pub struct Save {
    pub text: String,
    /// The number of keystrokes that made the text.
    pub keystrokes: usize,
}

pub struct SaveError {
    /// The number of keystrokes of the snapshot.
    pub keystrokes: usize,
    pub error: io::Error,
}

/// Writes every snapshot and sends the result: the number of keystrokes that are in the file now, or the error.
pub fn save_all(disk: &Disk, saves: &Receiver<Save>, results: &Sender<Result<usize, SaveError>>) {
    for (number, Save { text, keystrokes }) in (1_usize..).zip(saves) {
        let fails = disk.fail_every.is_some_and(|every| number.is_multiple_of(every));
        let written = blocking(|| {
            std::thread::sleep(disk.write_time);
            if fails { Err(io::Error::other("injected disk failure")) } else { replace(&disk.output, &text) }
        });
        let result = written.map(|()| keystrokes).map_err(|error| SaveError { keystrokes, error });
        if results.send(result).is_err() {
            return;
        }
    }
}

/// Writes a new file and renames it over the old one, so that the path always names a complete text.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, text)?;
    fs::rename(&new, path)
}
