//! The command line of `player`.

use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

pub const USAGE: &str = "\
Plays compressed sound (gzip; 16 bits, one channel, 8000 samples per second) and shows it as a level meter.

usage: player [--fast] [--disk-ms MS] [--block BYTES] FILE.gz…
       player --make FILE.gz [SECONDS]

  --fast         play as fast as the file can be decompressed, not in real time
  --disk-ms MS   wait this long for each block, to simulate a slow disk (0)
  --block BYTES  the size of a block that is read at a time (4096)
  --make         write a melody of SECONDS (3) to FILE.gz

Exit code: 0; 1 if a file could not be played; 2 for a bad argument.
";

pub enum Command {
    Help,
    Make { path: PathBuf, seconds: usize },
    Play(Options),
}

pub struct Options {
    pub paths: Vec<PathBuf>,
    pub is_fast: bool,
    pub disk: Duration,
    pub block: usize,
}

impl Command {
    pub fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Command, String> {
        let mut options = Options { paths: Vec::new(), is_fast: false, disk: Duration::ZERO, block: 4096 };
        while let Some(arg) = args.next() {
            match arg.to_str() {
                Some("--help" | "-h") => return Ok(Command::Help),
                Some("--make") => {
                    let path = args.next().ok_or("--make needs a file")?.into();
                    let seconds = args.next().map_or(Ok(3), |value| number("SECONDS", Some(value), 1))?;
                    return Ok(Command::Make { path, seconds });
                }
                Some("--fast") => options.is_fast = true,
                Some("--disk-ms") => {
                    options.disk = Duration::from_millis(number("--disk-ms", args.next(), 0)? as u64);
                }
                Some("--block") => options.block = number("--block", args.next(), 1)?,
                Some(flag) if flag.starts_with('-') => {
                    return Err(format!("{flag}: no such option, try --help"));
                }
                _ => options.paths.push(arg.into()),
            }
        }
        if options.paths.is_empty() {
            return Err("FILE.gz is missing, try --help".to_owned());
        }
        for path in &options.paths {
            File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(Command::Play(options))
    }
}

fn number(name: &str, value: Option<OsString>, min: usize) -> Result<usize, String> {
    const MAX: usize = 10_000_000;
    let value = value.unwrap_or_default();
    let number = value.to_str().and_then(|text| text.parse().ok());
    let number = number.filter(|number| (min..=MAX).contains(number));
    number.ok_or_else(|| format!("{name} needs a number from {min} to {MAX}, not {value:?}"))
}
