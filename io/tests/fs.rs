//! `kahn::fs`. One source text is compiled and run with std's names and with kahn's: on a green thread and on an OS
//! thread, its results are the same. The other tests are about what is kahn's own: parks, cancels, time-outs, load.

#[path = "../../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use support::{runtime, until, with_each_size, within};

/// A folder that is removed when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("kahn-fs-{}-{}", std::process::id(), NEXT.fetch_add(1, SeqCst));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// The text. `$root` is the crate.
macro_rules! program {
    ($root:ident) => {
        use std::path::Path;

        use $root::fs::{
            self, DirBuilder, DirEntry, File, FileTimes, FileType, Metadata, OpenOptions, ReadDir,
        };
        use $root::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
        use $root::os::unix::fs::{
            DirBuilderExt, DirEntryExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink,
        };

        pub fn whole_files(folder: &Path) -> io::Result<()> {
            let (one, two) = (folder.join("one"), folder.join("two"));
            fs::write(&one, "to be\n")?;
            assert_eq!(fs::read(&one)?, b"to be\n");
            assert_eq!(fs::read_to_string(&one)?, "to be\n");
            assert_eq!(fs::copy(&one, &two)?, 6);
            assert_eq!(fs::read(&two)?, b"to be\n");
            fs::rename(&two, folder.join("three"))?;
            assert!(!fs::exists(&two)? && fs::exists(folder.join("three"))?);
            fs::hard_link(&one, &two)?;
            assert_eq!(fs::metadata(&two)?.nlink(), 2);
            fs::remove_file(&one)?;
            assert_eq!(fs::metadata(&one).unwrap_err().kind(), ErrorKind::NotFound);
            let link = folder.join("link");
            symlink(&two, &link)?;
            assert_eq!(fs::read_link(&link)?, two);
            assert!(fs::symlink_metadata(&link)?.is_symlink() && fs::metadata(&link)?.is_file());
            assert_eq!(fs::canonicalize(&link)?, fs::canonicalize(&two)?);
            let mut rights = fs::metadata(&two)?.permissions();
            rights.set_mode(0o400);
            fs::set_permissions(&two, rights)?;
            assert_eq!(fs::metadata(&two)?.permissions().mode() & 0o777, 0o400);
            Ok(())
        }

        pub fn open_files(folder: &Path) -> io::Result<()> {
            let path = folder.join("file");
            let mut file = File::create(&path)?;
            file.write_all(b"to be or not")?;
            write!(file, " {} be", "to")?;
            file.flush()?;
            file.sync_data()?;
            file.sync_all()?;
            let metadata: Metadata = file.metadata()?;
            assert_eq!(metadata.len(), 18);
            drop(file);
            assert_eq!(File::create_new(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);

            let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
            assert_eq!(file.seek(SeekFrom::End(-5))?, 13);
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            assert_eq!(text, "to be");
            file.rewind()?;
            let mut start = [0; 2];
            file.read_exact(&mut start)?;
            assert_eq!((&start, file.stream_position()?), (b"to", 2));
            let mut at = [0; 2];
            file.read_exact_at(&mut at, 6)?;
            assert_eq!((&at, file.stream_position()?), (b"or", 2));
            assert_eq!(file.read_at(&mut at, 100)?, 0);
            assert_eq!(file.read_exact_at(&mut at, 17).unwrap_err().kind(), ErrorKind::UnexpectedEof);
            assert_eq!(file.read_at(&mut at, u64::MAX).unwrap_err().kind(), ErrorKind::InvalidInput);
            assert_eq!((file.write_at(b"TO", 0)?, file.stream_position()?), (2, 2));
            file.write_all_at(b"BE", 3)?;
            let mut other = file.try_clone()?;
            other.seek(SeekFrom::Start(3))?;
            assert_eq!(file.stream_position()?, 3);
            file.set_len(8)?;
            let mut bytes = Vec::new();
            (&file).read_to_end(&mut bytes)?;
            assert_eq!(bytes, b"BE or");
            assert_eq!((&file).read(&mut start)?, 0);
            file.set_modified(std::time::UNIX_EPOCH)?;
            file.set_times(FileTimes::new().set_accessed(std::time::UNIX_EPOCH))?;
            assert_eq!((file.metadata()?.mtime(), file.metadata()?.atime()), (0, 0));
            let mut rights = file.metadata()?.permissions();
            rights.set_readonly(true);
            file.set_permissions(rights)?;
            assert!(file.metadata()?.permissions().readonly());
            assert!(format!("{file:?}").starts_with("File"));
            Ok(())
        }

        pub fn options(folder: &Path) -> io::Result<()> {
            let path = folder.join("options");
            assert_eq!(File::open(&path).unwrap_err().kind(), ErrorKind::NotFound);
            assert_eq!(OpenOptions::new().open(&path).unwrap_err().kind(), ErrorKind::InvalidInput);
            let file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&path)?;
            assert_eq!(file.metadata()?.permissions().mode() & 0o777, 0o640);
            (&file).write_all(b"one")?;
            assert!((&file).read(&mut [0]).is_err());
            File::options().append(true).open(&path)?.write_all(b"two")?;
            assert_eq!(fs::read_to_string(&path)?, "onetwo");
            OpenOptions::new().write(true).truncate(true).create(true).open(&path)?;
            assert_eq!(fs::read_to_string(&path)?, "");
            Ok(())
        }

        pub fn buffered(folder: &Path) -> io::Result<()> {
            let path = folder.join("lines");
            let mut writer = BufWriter::new(File::create(&path)?);
            for n in 0..10_000 {
                writeln!(writer, "line {n}")?;
            }
            writer.into_inner().map_err(|error| error.into_error())?.sync_all()?;
            let mut lines = BufReader::new(File::open(&path)?).lines();
            for n in 0..10_000 {
                assert_eq!(lines.next().unwrap()?, format!("line {n}"));
            }
            assert!(lines.next().is_none());
            Ok(())
        }

        pub fn folders(folder: &Path) -> io::Result<()> {
            let deep = folder.join("a/b/c");
            assert_eq!(fs::create_dir(&deep).unwrap_err().kind(), ErrorKind::NotFound);
            fs::create_dir_all(&deep)?;
            DirBuilder::new().recursive(true).mode(0o700).create(deep.join("d/e"))?;
            assert_eq!(fs::metadata(deep.join("d/e"))?.mode() & 0o777, 0o700);
            fs::create_dir(folder.join("many"))?;
            for n in 0..200 {
                fs::write(folder.join(format!("many/{n}")), [0; 3])?;
            }
            let entries: ReadDir = fs::read_dir(folder.join("many"))?;
            let mut names = Vec::new();
            for entry in entries {
                let entry: DirEntry = entry?;
                let kind: FileType = entry.file_type()?;
                assert!(kind.is_file() && entry.metadata()?.len() == 3 && entry.ino() > 0);
                assert_eq!(entry.path().file_name().unwrap(), entry.file_name());
                names.push(entry.file_name().into_string().unwrap().parse::<u32>().unwrap());
            }
            names.sort_unstable();
            assert!(names.into_iter().eq(0..200));
            assert_eq!(fs::read_dir(deep.join("d/e"))?.count(), 0);
            assert!(fs::read_dir(folder.join("nothing")).is_err());
            assert!(fs::remove_dir(folder.join("a")).is_err());
            fs::remove_dir(deep.join("d/e"))?;
            fs::remove_dir_all(folder.join("a"))?;
            assert!(!fs::exists(folder.join("a"))?);
            Ok(())
        }

        pub fn errors(_: &Path) -> io::Result<()> {
            let mut full = OpenOptions::new().write(true).open("/dev/full")?;
            assert_eq!(full.write_all(b"lost").unwrap_err().kind(), ErrorKind::StorageFull);
            let mut writer = BufWriter::new(full);
            writer.write_all(b"lost")?;
            assert_eq!(writer.flush().unwrap_err().kind(), ErrorKind::StorageFull);
            drop(writer.into_parts());
            assert_eq!(fs::read_to_string("/").unwrap_err().kind(), ErrorKind::IsADirectory);
            assert_eq!(File::open("/")?.read(&mut [0]).unwrap_err().kind(), ErrorKind::IsADirectory);
            assert_eq!(fs::read("nul\0").unwrap_err().kind(), ErrorKind::InvalidInput);
            Ok(())
        }

        type Part = fn(&Path) -> io::Result<()>;

        pub const PARTS: [Part; 6] = [whole_files, open_files, options, buffered, folders, errors];
    };
}

mod with_std {
    program!(std);
}

mod with_kahn {
    program!(kahn);
}

#[test]
fn std_passes() {
    for part in with_std::PARTS {
        part(&Folder::new().0).unwrap();
    }
}

#[test]
fn kahn_on_os_thread_passes() {
    for part in with_kahn::PARTS {
        part(&Folder::new().0).unwrap();
    }
}

#[test]
fn kahn_on_green_threads_passes() {
    with_each_size(|| {
        for part in with_kahn::PARTS {
            part(&Folder::new().0).unwrap();
        }
    });
}

#[test]
fn thousands_of_green_threads_read_files_at_once() {
    let folder = Folder::new();
    for n in 0..100 {
        std::fs::write(folder.file(&n.to_string()), format!("{n}").repeat(1000)).unwrap();
    }
    with_each_size(|| {
        kahn::scope(|s| {
            for n in 0..3000 {
                let path = folder.file(&(n % 100).to_string());
                s.spawn(move || {
                    assert_eq!(kahn::fs::read_to_string(path).unwrap(), format!("{}", n % 100).repeat(1000));
                });
            }
        });
    });
}

/// A FIFO: opening one end waits for the other.
fn fifo(folder: &Folder) -> PathBuf {
    let path = folder.file("fifo");
    let status = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(status.success());
    path
}

#[test]
fn call_parks_and_its_worker_runs_others() {
    use std::io::{Read, Write};
    let folder = Folder::new();
    let path = fifo(&folder);
    within("a reader and a writer on one worker", || {
        runtime(1).run(|| {
            let reader = {
                let path = path.clone();
                kahn::spawn(move || {
                    let mut text = String::new();
                    kahn::fs::File::open(path).unwrap().read_to_string(&mut text).unwrap();
                    text
                })
            };
            kahn::fs::File::options().write(true).open(&path).unwrap().write_all(b"hello").unwrap();
            assert_eq!(reader.join().unwrap(), "hello");
        });
    });
}

#[test]
fn read_without_a_hand_over_waits_for_a_pipe_in_the_pool() {
    use std::io::{Read, Write};
    let folder = Folder::new();
    let path = fifo(&folder);
    within("a read that finds nothing at first", || {
        runtime(1).run(|| {
            let opened = {
                let path = path.clone();
                kahn::spawn(move || kahn::fs::File::open(path).unwrap())
            };
            let mut writer = kahn::fs::File::options().write(true).open(&path).unwrap();
            let mut reader = opened.join().unwrap();
            let read = kahn::spawn(move || {
                let mut buffer = [0; 5];
                reader.read_exact(&mut buffer).unwrap();
                assert_eq!(reader.read(&mut [0]).unwrap(), 0);
                buffer
            });
            for byte in b"hello" {
                kahn::yield_now();
                writer.write_all(&[*byte]).unwrap();
            }
            drop(writer);
            assert_eq!(&read.join().unwrap(), b"hello");
        });
    });
}

#[test]
fn call_that_has_begun_ends_before_its_cancel() {
    let folder = Folder::new();
    let path = fifo(&folder);
    within("a cancel during an open", || {
        runtime(2).run(|| {
            let opened = AtomicUsize::new(0);
            kahn::scope(|s| {
                let opening = s.spawn(|| {
                    let file = kahn::fs::File::open(&path).unwrap();
                    opened.fetch_add(1, SeqCst);
                    drop(file);
                    kahn::thread::park();
                    opened.fetch_add(1, SeqCst);
                });
                // The open ends only with the one here, so the cancel comes before or during it.
                opening.cancel();
                let _other = kahn::fs::File::options().read(true).write(true).open(&path).unwrap();
                assert!(opening.join().unwrap_err().is_cancelled());
                assert!(opened.load(SeqCst) <= 1);
            });
        });
    });
}

#[test]
fn timeout_during_a_call_takes_effect_at_the_next_park() {
    let folder = Folder::new();
    let path = fifo(&folder);
    within("a time-out during an open", || {
        runtime(2).run(|| {
            let stage = AtomicUsize::new(0);
            kahn::scope(|s| {
                let opens = s.spawn(|| {
                    let result = kahn::time::timeout(Duration::from_millis(10), || {
                        stage.store(1, SeqCst);
                        let _file = kahn::fs::File::open(&path).unwrap();
                        stage.store(2, SeqCst);
                        kahn::thread::park();
                        stage.store(3, SeqCst);
                    });
                    assert!(result.is_err());
                });
                until("the time-out encloses the open", || stage.load(SeqCst) == 1);
                kahn::sleep(Duration::from_millis(20));
                let _other = kahn::fs::File::options().read(true).write(true).open(&path).unwrap();
                opens.join().unwrap();
            });
            assert!(stage.load(SeqCst) <= 2);
        });
    });
}

#[test]
fn call_after_a_cancel_does_nothing() {
    let folder = Folder::new();
    let path = folder.file("never");
    runtime(1).run(|| {
        let (go, gate) = kahn::channel::bounded::<()>(1);
        let writes = {
            let path = path.clone();
            kahn::spawn(move || {
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| gate.recv()));
                kahn::fs::write(path, "written")
            })
        };
        kahn::yield_now();
        writes.cancel();
        assert!(writes.join().unwrap_err().is_cancelled());
        drop(go);
    });
    assert!(!path.exists());
}

#[test]
fn reads_from_the_page_cache_let_others_run() {
    use std::os::unix::fs::FileExt;
    let folder = Folder::new();
    std::fs::write(folder.file("cached"), [1; 100]).unwrap();
    within("a loop of reads on one worker", || {
        runtime(1).run(|| {
            let (reads, stop) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let file = kahn::fs::File::open(folder.file("cached")).unwrap();
            kahn::scope(|s| {
                s.spawn(|| {
                    while stop.load(SeqCst) == 0 {
                        file.read_exact_at(&mut [0; 10], 50).unwrap();
                        reads.fetch_add(1, SeqCst);
                    }
                });
                until("the loop has begun", || reads.load(SeqCst) > 0);
                stop.store(1, SeqCst);
            });
        });
    });
}

#[test]
fn full_file_system_is_an_error() {
    use std::io::Write;
    runtime(2).run(|| {
        kahn::scope(|s| {
            for _ in 0..50 {
                s.spawn(|| {
                    let mut file = kahn::fs::File::options().write(true).open("/dev/full").unwrap();
                    let error = file.write_all(&[0; 100]).unwrap_err();
                    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
                });
            }
        });
    });
}

/// The number of open descriptors of this process that refer to files in `folder`.
fn descriptors_of(folder: &Folder) -> usize {
    let links = std::fs::read_dir("/proc/self/fd").unwrap();
    links
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| target.starts_with(&folder.0))
        .count()
}

#[test]
fn no_descriptor_is_left() {
    let folder = Folder::new();
    with_each_size(|| {
        for part in with_kahn::PARTS {
            let folder = Folder::new();
            part(&folder.0).unwrap();
            assert_eq!(descriptors_of(&folder), 0);
        }
        let files: Vec<_> = (0..100).map(|n| folder.file(&n.to_string())).collect();
        let opened = files.iter().map(|path| {
            kahn::spawn({
                let path = path.clone();
                move || {
                    let file = kahn::fs::File::create(path).unwrap();
                    kahn::thread::park();
                    drop(file);
                }
            })
        });
        let opened: Vec<_> = opened.collect();
        until("all files are open", || descriptors_of(&folder) == 100);
        opened.iter().for_each(|thread| thread.cancel());
        opened.into_iter().for_each(|thread| drop(thread.join()));
        assert_eq!(descriptors_of(&folder), 0);
    });
}
