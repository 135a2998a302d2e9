//! Files, and which paths lead to one.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use kahn::fs::{self, File};

/// The folder whose files are served.
pub struct Site {
    /// Without symbolic links.
    root: PathBuf,
}

/// What a path leads to.
pub enum Found {
    File {
        file: File,
        len: u64,
        kind: &'static str,
    },
    /// A folder, by a path without a slash at its end. Relative links in its index need the slash.
    Folder,
}

impl Site {
    /// Opens a folder.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such folder.
    pub fn new(root: &Path) -> io::Result<Site> {
        let root = fs::canonicalize(root)?;
        if !fs::metadata(&root)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Site { root })
    }

    /// Returns what the path of a request leads to, or `None` if there is nothing to serve.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn find(&self, path: &str) -> io::Result<Option<Found>> {
        let Some(relative) = relative_path(path) else { return Ok(None) };
        let mut target = self.root.join(relative);
        if path.ends_with('/') {
            target.push("index.html");
        }
        match self.open(&target) {
            Err(error) if is_missing(&error) => Ok(None),
            found => found,
        }
    }

    fn open(&self, target: &Path) -> io::Result<Option<Found>> {
        // A symbolic link may lead to a file elsewhere below the root, and not out of it.
        let target = fs::canonicalize(target)?;
        if !target.starts_with(&self.root) {
            return Ok(None);
        }
        let metadata = fs::metadata(&target)?;
        if metadata.is_dir() {
            return Ok(Some(Found::Folder));
        }
        // To open a pipe would wait for its other side.
        if !metadata.is_file() {
            return Ok(None);
        }
        let file = File::open(&target)?;
        Ok(Some(Found::File { len: file.metadata()?.len(), file, kind: kind(&target) }))
    }
}

fn is_missing(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    matches!(error.kind(), InvalidFilename | NotADirectory | NotFound)
}

/// Returns the file path that the path of a URL stands for. Returns `None` if a name in it is empty, begins with a dot,
/// as `..` does, or has a byte that no name can have.
fn relative_path(path: &str) -> Option<PathBuf> {
    let path = path.strip_prefix('/')?;
    let mut relative = PathBuf::new();
    for name in path.strip_suffix('/').unwrap_or(path).split('/') {
        let name = decode(name)?;
        match name.first() {
            None if path.is_empty() => {}
            None | Some(b'.') => return None,
            Some(_) if name.iter().any(|byte| matches!(byte, b'/' | 0)) => return None,
            Some(_) => relative.push(OsStr::from_bytes(&name)),
        }
    }
    Some(relative)
}

/// Decodes `%41` and the like.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            u8::try_from(16 * digit()? + digit()?).ok()?
        } else {
            byte
        });
    }
    Some(decoded)
}

/// Returns the media type of a file.
fn kind(path: &Path) -> &'static str {
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
    match extension.as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "txt" | "md" | "rs" | "toml" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "wasm" => "application/wasm",
        "pdf" => "application/pdf",
        _ => "application/octet-stream",
    }
}
