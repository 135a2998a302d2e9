//! The document that is edited, and the event loop that edits it.

use std::time::Duration;

use kahn::channel::{Receiver, Sender, select, tick};

use crate::disk::{Save, SaveError};
use crate::keyboard::Keystroke;

/// How often `save_at_exit` tries to save the text.
const MAX_TRIES_AT_EXIT: usize = 3;

pub struct Document {
    text: String,
    keystrokes: usize,
    /// Keystrokes that were accepted while a write was in progress.
    keystrokes_during_write: usize,
    /// The number of keystrokes that are in the file.
    saved_keystrokes: usize,
    is_saving: bool,
    saves: usize,
    failures: usize,
    /// The longest time from when a key was pressed to when the document had its character.
    max_latency: Duration,
    save_tx: Sender<Save>,
    results: Receiver<Result<usize, SaveError>>,
}

impl Document {
    pub fn new(save_tx: Sender<Save>, results: Receiver<Result<usize, SaveError>>) -> Document {
        Document {
            text: String::new(),
            keystrokes: 0,
            keystrokes_during_write: 0,
            saved_keystrokes: 0,
            is_saving: false,
            saves: 0,
            failures: 0,
            max_latency: Duration::ZERO,
            save_tx,
            results,
        }
    }

    /// The event loop. Returns when the keyboard has closed its channel.
    pub fn edit(&mut self, keys: &Receiver<Keystroke>, autosave_interval: Duration) {
        let ticker = tick(autosave_interval);
        let results = self.results.clone();
        loop {
            select! {
                recv(keys) -> keystroke => match keystroke {
                    Ok(keystroke) => self.press(keystroke),
                    Err(_) => return,
                },
                recv(results) -> result => self.finish_save(result.expect("the saver outlives the document")),
                recv(ticker) -> _ => self.start_save(),
            }
        }
    }

    fn press(&mut self, Keystroke { key, pressed_at }: Keystroke) {
        match key {
            '\u{8}' | '\u{7f}' => drop(self.text.pop()),
            key => self.text.push(key),
        }
        self.keystrokes += 1;
        self.keystrokes_during_write += usize::from(self.is_saving);
        self.max_latency = self.max_latency.max(pressed_at.elapsed());
    }

    /// Sends a snapshot to the saver, unless a write is in progress or the file is up to date. The send does not park:
    /// with no write in progress, the channel is empty.
    fn start_save(&mut self) {
        if !self.is_saving && !self.is_saved() {
            let save = Save { text: self.text.clone(), keystrokes: self.keystrokes };
            self.save_tx.send(save).expect("the saver outlives the document");
            self.is_saving = true;
        }
    }

    fn finish_save(&mut self, result: Result<usize, SaveError>) {
        self.is_saving = false;
        match result {
            Ok(keystrokes) => {
                self.saves += 1;
                self.saved_keystrokes = keystrokes;
            }
            Err(SaveError { keystrokes, error }) => {
                self.failures += 1;
                let unsaved = keystrokes - self.saved_keystrokes;
                eprintln!(
                    "editor: saving failed: {error}; {unsaved} keystrokes are only in memory, will retry"
                );
            }
        }
    }

    /// Waits for the write in progress, then saves the remaining changes. Returns whether the file is up to date.
    pub fn save_at_exit(&mut self) -> bool {
        self.wait_for_save();
        for _ in 0..MAX_TRIES_AT_EXIT {
            self.start_save();
            self.wait_for_save();
        }
        self.is_saved()
    }

    fn wait_for_save(&mut self) {
        if self.is_saving {
            let result = self.results.recv().expect("the saver outlives the document");
            self.finish_save(result);
        }
    }

    /// Whether the file has all of the text. An empty text counts as saved only after a write.
    fn is_saved(&self) -> bool {
        self.saves > 0 && self.saved_keystrokes == self.keystrokes
    }

    pub fn summary(&self) -> String {
        format!(
            "{} keystrokes, {} of them during a write; {} characters\n\
             {} saves, {} failed; the longest wait of a keystroke was {} µs",
            self.keystrokes,
            self.keystrokes_during_write,
            self.text.chars().count(),
            self.saves,
            self.failures,
            self.max_latency.as_micros()
        )
    }

    /// Closes the channel to the saver, which ends it, and returns the text.
    pub fn into_text(self) -> String {
        self.text
    }
}
