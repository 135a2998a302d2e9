//! Splits text into words and counts them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A longer run of word bytes is split into words of this length. So the memory for one word is bounded, even in a file
/// without blanks.
pub const WORD_MAX: usize = 128;

/// How often each word was seen.
pub type Counts = HashMap<Box<[u8]>, u64, BuildHasherDefault<WordHasher>>;

/// Whether a byte belongs to a word.
const IN_WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = byte >= 0x80 || (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    table
};

fn is_in_word(byte: u8) -> bool {
    IN_WORD[usize::from(byte)]
}

/// Counts the words of `text`, each in the shard that its hash selects, and returns their number. Converts `text` to
/// lower case.
pub fn count_words(text: &mut [u8], shards: &mut [Counts]) -> u64 {
    text.make_ascii_lowercase();
    let mut words = 0;
    text.split(|&byte| !is_in_word(byte)).flat_map(|run| run.chunks(WORD_MAX)).for_each(|word| {
        words += 1;
        let counts = &mut shards[shard_of(word, shards.len())];
        match counts.get_mut(word) {
            Some(count) => *count += 1,
            None => drop(counts.insert(word.into(), 1)),
        }
    });
    words
}

fn shard_of(word: &[u8], shards: usize) -> usize {
    let mut hasher = WordHasher::default();
    hasher.write(word);
    // The hash map uses the low bits and the highest bits, so the shard must depend on others.
    (hasher.finish() >> 32) as u32 as usize % shards
}

/// Returns the last position in `text` at which it can be cut without cutting a word, if more text follows. It is less
/// than [`WORD_MAX`] bytes before the end.
pub fn last_word_boundary(text: &[u8]) -> usize {
    let run = text.iter().rposition(|&byte| !is_in_word(byte)).map_or(0, |last| last + 1);
    run + (text.len() - run) / WORD_MAX * WORD_MAX
}

/// A fast hash for short strings in the style of wyhash: it multiplies and folds eight bytes at a time.
#[derive(Default)]
pub struct WordHasher(u64);

impl WordHasher {
    fn fold(&mut self, word: u64) {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let product = u128::from(self.0 ^ word ^ ODD) * u128::from(ODD.rotate_left(32) | 1);
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}

impl Hasher for WordHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.fold(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            self.fold(rest.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)));
        }
    }

    fn write_usize(&mut self, length: usize) {
        self.fold(length as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
