//! The web crawler of the Tour of Go, over a folder of HTML files. It fetches pages in parallel and each page once.
//!
//! Shows `kahn::scope`, whose green threads borrow from their caller; a `Semaphore` that bounds how many of them work
//! at a time; and `kahn::blocking` for file operations.
//!
//! ```text
//! cargo run --example crawler -- examples/data/site
//! cargo run --release --example crawler -- --depth 3 --delay 20 /usr/share/doc/some-manual/index.html
//! ```
//!
//! The crawl goes level by level: all pages at one distance from the start are fetched before the pages that they link
//! to. A page's depth is therefore its smallest distance, whatever the order in which fetches finish. Every page of a
//! level has its own green thread.
//!
//! Exit code: 0 if the crawl finished, even if it found broken links; 2 for a bad argument.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use kahn::sync::Semaphore;
use kahn::{blocking, scope, sleep};

const USAGE: &str = "\
Follows the links between HTML files in parallel and fetches each page once.

usage: crawler [--depth N] [--in-flight N] [--delay MS] START

START is a page, or a folder that contains index.html. Links that lead out of this folder are not followed.

  --depth N       follow links up to this distance from the start (4)
  --in-flight N   how many pages are fetched at a time (64)
  --delay MS      wait before each fetch, like a network would (0)

Exit code: 0 if the crawl finished, 2 for a bad argument.
";

struct Options {
    start: PathBuf,
    depth: usize,
    in_flight: usize,
    delay: Duration,
}

#[kahn::main]
fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("crawler: {message}");
            return ExitCode::from(2);
        }
    };
    crawl(&options);
    ExitCode::SUCCESS
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options { start: PathBuf::new(), depth: 4, in_flight: 64, delay: Duration::ZERO };
    while let Some(arg) = args.next() {
        let mut number = |min: usize| {
            let value = args.next().unwrap_or_default();
            let number = value.parse().ok().filter(|&number| (min..=1_000_000).contains(&number));
            number.ok_or_else(|| format!("{arg} needs a number from {min} to 1000000, not {value:?}"))
        };
        match arg.as_str() {
            "--help" | "-h" => return Ok(None),
            "--depth" => options.depth = number(0)?,
            "--in-flight" => options.in_flight = number(1)?,
            "--delay" => options.delay = Duration::from_millis(number(0)? as u64),
            flag if flag.starts_with('-') => return Err(format!("{flag}: no such option, try --help")),
            path if options.start.as_os_str().is_empty() => options.start = path.into(),
            path => return Err(format!("{path}: only one START is possible")),
        }
    }
    if options.start.as_os_str().is_empty() {
        return Err("START is missing, try --help".to_owned());
    }
    if options.start.is_dir() {
        options.start.push("index.html");
    }
    fs::File::open(&options.start).map_err(|error| format!("{}: {error}", options.start.display()))?;
    Ok(Some(options))
}

/// Crawls level by level and prints a line for each page.
fn crawl(options: &Options) {
    let start = Instant::now();
    let root = options.start.parent().unwrap_or(Path::new(""));
    let in_flight = Semaphore::new(options.in_flight);
    let mut seen = HashSet::from([options.start.clone()]);
    let mut level = BTreeSet::from([options.start.clone()]);
    let (mut found, mut missing) = (0, 0);
    for depth in 0..=options.depth {
        let pages = scope(|s| {
            let fetches: Vec<_> = level
                .iter()
                .map(|path| {
                    s.spawn(|| {
                        let _permit = in_flight.acquire();
                        sleep(options.delay);
                        blocking(|| fetch(path))
                    })
                })
                .collect();
            fetches
                .into_iter()
                .map(|fetch| fetch.join().expect("fetching does not panic"))
                .collect::<Vec<_>>()
        });
        let mut next = BTreeSet::new();
        for (path, page) in level.iter().zip(pages) {
            let shown = path.strip_prefix(root).unwrap_or(path).display();
            match page {
                Ok(page) => {
                    found += 1;
                    println!("{depth}  {shown}  {:?}, {} links", page.title, page.links.len());
                    let links = page.links.iter().filter_map(|link| resolve(path, link));
                    next.extend(links.filter(|link| link.starts_with(root) && seen.insert(link.clone())));
                }
                Err(error) => {
                    missing += 1;
                    println!("{depth}  {shown}  {error}");
                }
            }
        }
        level = next;
    }
    println!(
        "{found} pages, {missing} not found, {} further than {} links away, {:.3} s",
        level.len(),
        options.depth,
        start.elapsed().as_secs_f64()
    );
}

struct Page {
    title: String,
    links: Vec<String>,
}

fn fetch(path: &Path) -> io::Result<Page> {
    let bytes = fs::read(path)?;
    let html = String::from_utf8_lossy(&bytes);
    let title = html.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
    let title = title.map_or("", |(title, _)| title.trim()).to_owned();
    Ok(Page { title, links: html.split("href=").skip(1).filter_map(quoted).map(str::to_owned).collect() })
}

/// Returns the text between the quotes that `text` begins with.
fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    text[1..].split_once(quote).map(|(inside, _)| inside)
}

/// Returns the file that a link leads to, if that is an HTML file on this machine.
fn resolve(page: &Path, link: &str) -> Option<PathBuf> {
    let link = link.split(['#', '?']).next().filter(|link| !link.is_empty())?;
    let has_scheme = link.split('/').next().is_some_and(|first| first.contains(':'));
    if has_scheme || link.starts_with('/') {
        return None;
    }
    let mut path = page.parent()?.to_owned();
    for component in Path::new(&percent_decoded(link)?).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => drop(path.pop()),
            _ => {}
        }
    }
    if link.ends_with('/') {
        path.push("index.html");
    }
    path.extension().is_some_and(|extension| extension == "html" || extension == "htm").then_some(path)
}

/// Decodes `a%20b` to `a b`. Returns `None` if the result is not UTF-8.
fn percent_decoded(link: &str) -> Option<String> {
    let mut parts = link.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}
