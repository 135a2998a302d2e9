//! The keyboard: turns bytes into keystrokes.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use kahn::channel::Sender;
use kahn::{blocking, sleep};

pub struct Keystroke {
    pub key: char,
    pub pressed_at: Instant,
}

/// Sends each character of the input as a keystroke, with a pause before each. Returns when the input ends or the
/// editor has dropped its receiver.
///
/// # Errors
///
/// The input cannot be read or is not UTF-8.
pub fn type_all(mut input: impl Read + Send, interval: Duration, keys: &Sender<Keystroke>) -> io::Result<()> {
    let mut bytes = vec![0; 4096];
    let mut start = 0;
    loop {
        let count = blocking(|| input.read(&mut bytes[start..]))?;
        let end = start + count;
        // The buffer may end inside a character. Its first bytes stay in the buffer for the next round.
        let valid = match str::from_utf8(&bytes[..end]) {
            Ok(_) => end,
            Err(error) if error.error_len().is_none() && count > 0 => error.valid_up_to(),
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        };
        for key in str::from_utf8(&bytes[..valid]).expect("`valid` ends the valid part").chars() {
            if !interval.is_zero() {
                sleep(interval);
            }
            if keys.send(Keystroke { key, pressed_at: Instant::now() }).is_err() {
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
