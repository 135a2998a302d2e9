//! Replies, in RESP2 or RESP3.

/// Collects replies.
#[derive(Debug, Default)]
pub struct Replies {
    pub bytes: Vec<u8>,
    /// The client has asked for RESP3 with `HELLO 3`.
    pub is_resp3: bool,
}

impl Replies {
    pub fn ok(&mut self) {
        self.bytes.extend_from_slice(b"+OK\r\n");
    }

    pub fn status(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    pub fn error(&mut self, text: &str) {
        self.line(b'-', text.as_bytes());
    }

    pub fn integer(&mut self, number: i64) {
        self.bytes.push(b':');
        push_number(&mut self.bytes, number);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Appends a length or a count as an integer.
    pub fn count(&mut self, count: usize) {
        self.integer(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub fn bulk(&mut self, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        self.head(b'$', text.len());
        self.bytes.extend_from_slice(text);
        self.bytes.extend_from_slice(b"\r\n");
    }

    pub fn null(&mut self) {
        self.bytes.extend_from_slice(if self.is_resp3 { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// Appends the null that stands for an array.
    pub fn null_array(&mut self) {
        self.bytes.extend_from_slice(if self.is_resp3 { b"_\r\n" } else { b"*-1\r\n" });
    }

    pub fn bulk_or_null(&mut self, text: Option<impl AsRef<[u8]>>) {
        match text {
            Some(text) => self.bulk(text),
            None => self.null(),
        }
    }

    /// Appends a text for people to read.
    pub fn verbatim(&mut self, text: &str) {
        if self.is_resp3 {
            const FORMAT: &str = "txt:";
            self.head(b'=', FORMAT.len() + text.len());
            self.bytes.extend_from_slice(FORMAT.as_bytes());
            self.bytes.extend_from_slice(text.as_bytes());
            self.bytes.extend_from_slice(b"\r\n");
        } else {
            self.bulk(text);
        }
    }

    /// Begins an array of `len` replies.
    pub fn array(&mut self, len: usize) {
        self.head(b'*', len);
    }

    /// Begins a map of `len` keys, each of which is followed by its value.
    pub fn map(&mut self, len: usize) {
        if self.is_resp3 { self.head(b'%', len) } else { self.head(b'*', 2 * len) }
    }

    pub fn set(&mut self, len: usize) {
        self.head(if self.is_resp3 { b'~' } else { b'*' }, len);
    }

    /// Begins a message that is not the reply to a command.
    pub fn push(&mut self, len: usize) {
        self.head(if self.is_resp3 { b'>' } else { b'*' }, len);
    }

    fn head(&mut self, kind: u8, len: usize) {
        self.bytes.push(kind);
        push_number(&mut self.bytes, i64::try_from(len).unwrap_or(i64::MAX));
        self.bytes.extend_from_slice(b"\r\n");
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.bytes.push(kind);
        // A line break would end the reply.
        self.bytes.extend(text.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
        self.bytes.extend_from_slice(b"\r\n");
    }
}

/// Appends a number in decimal digits.
pub fn push_number(bytes: &mut Vec<u8>, number: i64) {
    // The longest number is i64::MIN.
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    bytes.extend_from_slice(&digits[at..]);
}
