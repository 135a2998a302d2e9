//! Files and folders under Unix, with the names and the meaning of [`std::os::unix::fs`].
//!
//! The traits are those of `std`. The types of [`kahn::fs`](crate::fs) implement them.

use std::io;
use std::path::Path;

use kahn_core::blocking;

pub use std::os::unix::fs::{
    DirBuilderExt, DirEntryExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt,
};

/// Creates a symbolic link at `link` that refers to `original`. See [`std::os::unix::fs::symlink`].
#[track_caller]
pub fn symlink<P: AsRef<Path>, Q: AsRef<Path>>(original: P, link: Q) -> io::Result<()> {
    let (original, link) = (original.as_ref(), link.as_ref());
    blocking(|| std::os::unix::fs::symlink(original, link))
}

/// Changes the owner and the group of a file. Follows links. See [`std::os::unix::fs::chown`].
#[track_caller]
pub fn chown<P: AsRef<Path>>(path: P, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    let path = path.as_ref();
    blocking(|| std::os::unix::fs::chown(path, uid, gid))
}

/// Changes the owner and the group of a file. Does not follow links. See [`std::os::unix::fs::lchown`].
#[track_caller]
pub fn lchown<P: AsRef<Path>>(path: P, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    let path = path.as_ref();
    blocking(|| std::os::unix::fs::lchown(path, uid, gid))
}
