//! The command line.

use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

pub const USAGE: &str = "\
Plays compressed sound (gzip; 16 bits, one channel, 8000 samples a second), as a level meter.

usage: player [--fast] [--disk-ms MS] [--block BYTES] FILE.gz…
       player --make FILE.gz [SECONDS]

  --fast         as fast as it can be decompressed, not in its own time
  --disk-ms MS   wait so long for each block that is read, as for a slow disk (0)
  --block BYTES  how much is read at a time (4096)
  --make         write a melody to play (of 3 seconds)

Exit code: 0, 1 if a file could not be played, 2 for a bad argument.
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
            return Err("what to play? try --help".to_owned());
        }
        for path in &options.paths {
            File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(Command::Play(options))
    }
}

fn number(name: &str, value: Option<OsString>, least: usize) -> Result<usize, String> {
    const MOST: usize = 10_000_000;
    let value = value.unwrap_or_default();
    let number = value.to_str().and_then(|text| text.parse().ok());
    let number = number.filter(|number| (least..=MOST).contains(number));
    number.ok_or_else(|| format!("{name} needs a number from {least} to {MOST}, not {value:?}"))
}
