//! The command line of `wordcount`.

use std::ffi::OsString;
use std::fs::Metadata;
use std::path::{Path, PathBuf};

pub const USAGE: &str = "\
Counts the words in files on all cores.

usage: wordcount [--binary] [--check] [--top N] [--workers N] [PATH…]

A PATH is a file, or a folder whose files are all counted; the default is the current folder. Binary files (a zero byte
in the first 8 KiB) are skipped. So are symbolic links and special files inside a folder. To count text from a pipe, name
/dev/stdin.

  --binary     count binary files, too
  --check      count a second time in one thread, without a runtime, and compare
  --top N      how many words to print (20)
  --workers N  how many worker threads (one for each CPU)

A word is a run of ASCII letters, ASCII digits and bytes from 0x80 up, in lower case. Text is not decoded: invalid UTF-8
is counted like valid text, and printed with U+FFFD in its place. Every 128 bytes of a longer run count as a word.

Exit code: 0; 1 if a file could not be read or the check failed; 2 for a bad argument; 130 after Ctrl-C, which prints the
words counted so far.
";

#[derive(Debug)]
pub struct Options {
    pub paths: Vec<PathBuf>,
    pub binary: bool,
    pub check: bool,
    pub top: usize,
    pub workers: usize,
}

impl Options {
    /// Parses the arguments. Returns `None` for `--help`.
    pub fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Option<Options>, String> {
        let mut options = Options {
            paths: Vec::new(),
            binary: false,
            check: false,
            top: 20,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
        };
        while let Some(arg) = args.next() {
            match arg.to_str() {
                Some("--help" | "-h") => return Ok(None),
                Some("--binary") => options.binary = true,
                Some("--check") => options.check = true,
                Some("--top") => options.top = number("--top", args.next())?,
                Some("--workers") => options.workers = number("--workers", args.next())?,
                Some("--") => options.paths.extend(args.by_ref().map(PathBuf::from)),
                Some(flag) if flag.starts_with('-') => {
                    return Err(format!("{flag}: no such option, try --help"));
                }
                _ => options.paths.push(arg.into()),
            }
        }
        if options.paths.is_empty() {
            options.paths.push(".".into());
        }
        for path in &options.paths {
            let metadata = std::fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
            if is_named_pipe(path, &metadata) {
                return Err(format!("{}: is a named pipe, which may never have a writer", path.display()));
            }
        }
        Ok(Some(options))
    }
}

/// Whether the path is a pipe in a folder. Opening such a pipe waits for a writer, possibly for ever. A pipe that is
/// already open (`/dev/stdin`, a shell's `<(…)`) has no path of its own, and is read like a file.
fn is_named_pipe(path: &Path, metadata: &Metadata) -> bool {
    #[cfg(unix)]
    return std::os::unix::fs::FileTypeExt::is_fifo(&metadata.file_type()) && path.canonicalize().is_ok();
    #[cfg(not(unix))]
    return false;
}

fn number(name: &str, value: Option<OsString>) -> Result<usize, String> {
    let value = value.ok_or_else(|| format!("{name} needs a number"))?;
    let parsed = value.to_str().and_then(|text| text.parse().ok()).filter(|&number| number > 0);
    parsed.ok_or_else(|| format!("{name} needs a number from 1 up, not {value:?}"))
}
