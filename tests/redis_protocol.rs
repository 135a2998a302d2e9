//! The parsers of the example `redis_server`: no bytes make them panic, it does not matter how the bytes are split, and
//! the memory that they take is bounded by the number of bytes. The last test counts allocations, so the file has an
//! allocator of its own.

#[path = "../examples/redis_server/glob.rs"]
mod glob;
#[path = "../examples/redis_server/protocol.rs"]
mod protocol;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use proptest::collection::vec;
use proptest::prelude::*;
use protocol::{Parser, ProtocolError};

const LIMIT: usize = 1 << 16;

thread_local! {
    /// The bytes that the thread has allocated and not freed, and their maximum since the last call of [`peak`] began.
    static ALLOCATED: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

struct Counting;

fn count(change: isize) {
    let (now, peak) = ALLOCATED.get();
    ALLOCATED.set((now + change, peak.max(now + change)));
}

// SAFETY: the system's allocator does the work. The counter has no destructor and a constant for its initial value, so a
// use of it allocates nothing and cannot fail.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller promises what `System::alloc` needs, a layout that is not empty.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller promises that `alloc` of this allocator has returned `at` for `layout`, and that is
        // `System::alloc`.
        unsafe { System.dealloc(at, layout) };
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns the maximum that the thread has allocated while `f` ran, beyond what it had allocated before.
fn peak(f: impl FnOnce()) -> isize {
    let (before, _) = ALLOCATED.get();
    ALLOCATED.set((before, before));
    f();
    ALLOCATED.get().1 - before
}

type Parsed = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

/// Parses pieces of a stream as a connection does. Returns the commands, and the error that ended them.
fn parse(pieces: &[&[u8]]) -> Parsed {
    let mut parser = Parser::new(LIMIT);
    let mut buffer = Vec::new();
    let mut commands = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match parser.parse(&buffer) {
                Ok(Some(len)) => {
                    let args = parser.args(&buffer);
                    assert_eq!(args.from(0).len(), args.len());
                    assert!((0..args.len()).all(|index| args.get(index) == Some(&args[index])));
                    commands.push(args.from(0).map(<[u8]>::to_vec).collect());
                    parser.reset();
                    buffer.drain(..len);
                }
                Ok(None) => break,
                Err(error) => return (commands, Some(error)),
            }
        }
    }
    (commands, None)
}

fn split<'a>(bytes: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places = places.iter().map(|place| place % (bytes.len() + 1)).collect::<Vec<_>>();
    places.push(bytes.len());
    places.sort_unstable();
    let mut start = 0;
    places.iter().map(|place| &bytes[std::mem::replace(&mut start, *place)..*place]).collect()
}

fn encode(command: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
    for arg in command {
        bytes.extend(format!("${}\r\n", arg.len()).bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Bytes that are often nearly commands.
fn nearly_commands() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"*1\r\n".to_vec()),
        Just(b"*2\r\n".to_vec()),
        Just(b"*-1\r\n".to_vec()),
        Just(b"*\r\n".to_vec()),
        Just(b"$1\r\na\r\n".to_vec()),
        Just(b"$0\r\n\r\n".to_vec()),
        Just(b"$-1\r\n".to_vec()),
        Just(b"$99999999999999999999\r\n".to_vec()),
        Just(b"*1048576\r\n".to_vec()),
        Just(b"$60000\r\n".to_vec()),
        Just(b"PING ".to_vec()),
        Just(b"\"a\\x41\\".to_vec()),
        Just(b"'b' ".to_vec()),
        vec(any::<u8>(), 0..4),
    ];
    vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn any_bytes_in_any_pieces_parse_as_in_one_piece(
        bytes in prop_oneof![nearly_commands(), vec(any::<u8>(), 0..300)],
        places in vec(any::<usize>(), 0..8),
    ) {
        prop_assert_eq!(parse(&split(&bytes, &places)), parse(&[&bytes]));
    }

    #[test]
    fn bytes_that_come_one_by_one_parse_as_in_one_piece(bytes in nearly_commands()) {
        prop_assert_eq!(parse(&bytes.chunks(1).collect::<Vec<_>>()), parse(&[&bytes]));
    }

    #[test]
    fn parser_takes_memory_for_the_bytes_that_have_come(
        bytes in prop_oneof![
            nearly_commands(),
            vec(any::<u8>(), 0..300),
            // As many arguments as possible.
            (0_usize..500).prop_map(|n| [b"*1048576\r\n".to_vec(), b"$0\r\n\r\n".repeat(n)].concat()),
            (0_usize..500).prop_map(|n| [b"a ".repeat(n), b"\n".to_vec()].concat()),
        ],
    ) {
        // An argument has at least two bytes, and takes a range of 16 bytes, and its own bytes if it is inline. While a
        // vector grows, it takes three times its length.
        const FOR_EACH: usize = 3 * (16 / 2 + 1);
        const AT_FIRST: usize = 128;
        let mut start = 0;
        let taken = peak(|| {
            let mut parser = Parser::new(LIMIT);
            while let Ok(Some(len)) = parser.parse(&bytes[start..]) {
                start += len;
                parser.reset();
            }
        });
        let most = AT_FIRST + FOR_EACH * bytes.len();
        prop_assert!(taken.cast_unsigned() <= most, "{taken} for {} bytes", bytes.len());
    }

    #[test]
    fn encoded_commands_parse_to_themselves(
        commands in vec(vec(vec(any::<u8>(), 0..30), 1..5), 0..6),
        places in vec(any::<usize>(), 0..8),
    ) {
        let bytes = commands.iter().flat_map(|command| encode(command)).collect::<Vec<_>>();
        prop_assert_eq!(parse(&split(&bytes, &places)), (commands, None));
    }

    #[test]
    fn quoted_words_parse_to_themselves(words in vec(vec(any::<u8>(), 0..10), 1..5)) {
        let quoted = words.iter().map(|word| {
            let escaped = word.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
            format!("\"{escaped}\"")
        });
        let line = quoted.collect::<Vec<_>>().join(" ") + "\r\n";
        prop_assert_eq!(parse(&[line.as_bytes()]), (vec![words], None));
    }

    #[test]
    fn patterns_match_as_by_their_definition(pattern in "[ab*?\\[\\]^\\\\-]{0,8}", text in "[ab]{0,8}") {
        prop_assert_eq!(
            glob::matches(pattern.as_bytes(), text.as_bytes()),
            matches_by_definition(pattern.as_bytes(), text.as_bytes()),
            "{} {}", pattern, text
        );
    }
}

/// A pattern that begins with `*` matches what its rest matches somewhere. This takes exponential time.
fn matches_by_definition(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', rest @ ..] => (0..=text.len()).any(|start| matches_by_definition(rest, &text[start..])),
        [b'?', rest @ ..] => !text.is_empty() && matches_by_definition(rest, &text[1..]),
        [b'[', rest @ ..] => {
            let Some((byte, text)) = text.split_first() else { return false };
            let (is_negated, mut rest) = match rest {
                [b'^', rest @ ..] => (true, rest),
                rest => (false, rest),
            };
            let mut is_in = false;
            loop {
                rest = match rest {
                    [] => break,
                    [b']', rest @ ..] => {
                        return is_in != is_negated && matches_by_definition(rest, text);
                    }
                    [b'\\', one, rest @ ..] => {
                        is_in |= one == byte;
                        rest
                    }
                    [low, b'-', high, rest @ ..] => {
                        is_in |= low.min(high) <= byte && byte <= low.max(high);
                        rest
                    }
                    [one, rest @ ..] => {
                        is_in |= one == byte;
                        rest
                    }
                };
            }
            is_in != is_negated && text.is_empty()
        }
        [b'\\', one, rest @ ..] => text.first() == Some(one) && matches_by_definition(rest, &text[1..]),
        [one, rest @ ..] => text.first() == Some(one) && matches_by_definition(rest, &text[1..]),
    }
}

#[test]
fn errors_are_found_as_early_as_possible() {
    let cases: [(&[u8], ProtocolError); 12] = [
        (b"*x", ProtocolError::ArgumentCount),
        (b"*1 ", ProtocolError::ArgumentCount),
        (b"*1048577\r\n", ProtocolError::ArgumentCount),
        (b"*99999999999999999999", ProtocolError::ArgumentCount),
        (b"*1\r\nP", ProtocolError::NoBulk(b'P')),
        (b"*1\r\n$-1\r\n", ProtocolError::BulkLength),
        (b"*1\r\n$65537\r\n", ProtocolError::BulkLength),
        (b"*1\r\n$x", ProtocolError::BulkLength),
        (b"*1\r\n$1\r\nabc", ProtocolError::NoLineBreak),
        (b"*1\rx", ProtocolError::NoLineBreak),
        (b"a \"b\n", ProtocolError::Quotes),
        (b"a \"b\"c\n", ProtocolError::Quotes),
    ];
    for (bytes, error) in cases {
        assert_eq!(parse(&[bytes]), (vec![], Some(error)), "{:?}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(parse(&[&vec![b'a'; LIMIT + 1]]), (vec![], Some(ProtocolError::LongInline)));
    assert_eq!(parse(&[b"\r\n\n*0\r\n*-1\r\n"]), (vec![vec![]; 4], None));
}

#[test]
fn pattern_of_many_stars_takes_no_exponential_time() {
    let pattern = "a*".repeat(500) + "b";
    assert!(!glob::matches(pattern.as_bytes(), "a".repeat(5000).as_bytes()));
}
