//! A full disk: calls return an error, nothing hangs or spins, and calls succeed again when there is room.
//!
//! The disk is a file system in memory of one MiB, which only this process and its children see.

#![cfg(target_os = "linux")]

mod support;

use std::ffi::{CStr, CString};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::ptr::null;

use kahn::fs::{self, File};
use support::{Folder, child, is_child, runtime, stderr, within};

const MIB: usize = 1 << 20;

/// Mounts a file system of one MiB at this folder, in a view of this process alone.
fn mount(folder: &Path) -> io::Result<()> {
    fn check(result: i32) -> io::Result<()> {
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
    let target = CString::new(folder.to_str().unwrap()).unwrap();
    let mount = |target: &CStr, kind: *const libc::c_char, flags, data: *const libc::c_char| {
        // SAFETY: the strings end with a zero, and the other pointers are null or to such a string.
        check(unsafe { libc::mount(c"none".as_ptr(), target.as_ptr(), kind, flags, data.cast()) })
    };
    // SAFETY: it takes no pointer. The process has one thread besides that of the harness, which uses no files.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    mount(c"/", null(), libc::MS_REC | libc::MS_PRIVATE, null())?;
    mount(&target, c"tmpfs".as_ptr(), 0, c"size=1m".as_ptr())
}

#[track_caller]
fn assert_full<T>(result: io::Result<T>) {
    let error = result.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
}

#[test]
fn calls_on_a_full_disk_fail_until_there_is_room() {
    const TEST: &str = "calls_on_a_full_disk_fail_until_there_is_room";
    if !is_child(TEST) {
        let output = child(TEST, TEST);
        assert!(output.status.success(), "{}", stderr(&output));
        return eprint!("{}", stderr(&output));
    }
    let folder = Folder::new();
    // A namespace belongs to a thread, and those that are started later inherit it.
    match mount(&folder.path("")) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return eprintln!("skipped: a file system cannot be mounted here: {error}");
        }
        result => result.unwrap(),
    }
    for workers in [1, 2, 4] {
        within(TEST, || runtime(workers).run(|| use_full_disk(&folder)));
    }
}

fn use_full_disk(folder: &Folder) {
    let (large, other) = (folder.path("large"), folder.path("other"));
    // What fits is written.
    assert_full(fs::write(&large, vec![b'x'; 2 * MIB]));
    let written = fs::metadata(&large).unwrap().len();
    assert!(written > 0 && written <= MIB as u64, "{written}");
    let mut file = File::create(&other).unwrap();
    assert_full(file.write(b"more"));
    assert_full(file.write_all(b"more"));
    assert_full(file.write_all_at(b"more", 0));
    assert_full(fs::copy(&large, folder.path("copy")));
    assert_full(kahn::io::copy(&mut &b"more"[..], &mut file));
    let mut buffered = BufWriter::new(&file);
    buffered.write_all(b"more").unwrap();
    assert_full(buffered.flush());
    // The bytes stay in the buffer until there is room.
    fs::remove_file(&large).unwrap();
    fs::remove_file(folder.path("copy")).unwrap();
    buffered.flush().unwrap();
    drop(buffered);
    assert_eq!(fs::read(&other).unwrap(), b"more");

    // Many at once: what each call has returned is true.
    let lens: Vec<u64> = kahn::scope(|s| {
        let writers: Vec<_> = (0..100)
            .map(|n| {
                s.spawn(move || {
                    let mut file = File::create(folder.path(&n.to_string())).unwrap();
                    let page = [b'x'; 4096];
                    (0..10).map_while(|_| file.write(&page).ok()).map(|n| n as u64).sum()
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let sum = lens.iter().sum::<u64>();
    assert!(sum > MIB as u64 / 2 && sum <= MIB as u64, "{sum} bytes were written");
    for (n, len) in lens.into_iter().enumerate() {
        let path = folder.path(&n.to_string());
        assert_eq!(fs::metadata(&path).unwrap().len(), len);
        fs::remove_file(path).unwrap();
    }
    fs::remove_file(other).unwrap();
}
