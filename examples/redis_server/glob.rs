//! Patterns: `*`, `?`, `[a-z]`, `[^a]`, and `\` before a character that stands for itself.

/// Returns whether a text matches a pattern.
///
/// Only the last `*` is tried again, so the time is at most the product of the two lengths.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on if the rest does not match: behind the last `*`, with one byte more for it.
    let mut retry = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        if t == text.len() && p == pattern.len() {
            return true;
        }
        let len = if t < text.len() { match_one(&pattern[p..], text[t]) } else { None };
        match (len, &mut retry) {
            (Some(len), _) => (p, t) = (p + len, t + 1),
            (None, Some((after, from))) if *from < text.len() => {
                *from += 1;
                (p, t) = (*after, *from);
            }
            _ => return false,
        }
    }
}

/// Returns the length of the pattern's first element if it matches a byte.
fn match_one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern.first()? {
        b'?' => Some(1),
        b'[' => {
            let (is_in, len) = class(&pattern[1..], byte);
            is_in.then_some(1 + len)
        }
        b'\\' if pattern.len() > 1 => (pattern[1] == byte).then_some(2),
        other => (other == byte).then_some(1),
    }
}

/// Returns whether a byte is in a class, and the length of the class with its closing bracket. A class that is not
/// closed ends with the pattern.
fn class(pattern: &[u8], byte: u8) -> (bool, usize) {
    let is_negated = pattern.first() == Some(&b'^');
    let mut at = usize::from(is_negated);
    let mut is_in = false;
    loop {
        match pattern[at..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', low, ..] => {
                is_in |= low == byte;
                at += 2;
            }
            [low, b'-', high, ..] => {
                is_in |= (low.min(high)..=low.max(high)).contains(&byte);
                at += 3;
            }
            [low, ..] => {
                is_in |= low == byte;
                at += 1;
            }
        }
    }
    (is_in != is_negated, at)
}
