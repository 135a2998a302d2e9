//! The public names of kahn, each used in its shape. If this file does not compile, a public name has changed.

use std::io;
use std::time::{Duration, Instant};

use kahn::channel::{
    Receiver, RecvError, RecvTimeoutError, Select, SendError, SendTimeoutError, Sender, TryRecvError,
    TrySendError,
};
use kahn::thread::{JoinError, JoinHandle, Thread};

/// A starred name is the same item at the root and in `thread`.
#[test]
fn root_names_exist_in_root_and_module() {
    kahn::run(|| {
        assert_eq!(kahn::spawn(|| 1).join().unwrap() + kahn::thread::spawn(|| 1).join().unwrap(), 2);
        assert_eq!(
            kahn::spawn_local(|| 1).join().unwrap() + kahn::thread::spawn_local(|| 1).join().unwrap(),
            2
        );
        assert_eq!(kahn::scope(|s| s.spawn(|| 1).join().unwrap()), 1);
        assert_eq!(kahn::thread::scope(|s| s.spawn_local(|| 1).join().unwrap()), 1);
        assert_eq!(kahn::blocking(|| 1) + kahn::thread::blocking(|| 1), 2);
        assert_eq!(kahn::block_on(async { 1 }) + kahn::thread::block_on(async { 1 }), 2);
        kahn::sleep(Duration::ZERO);
        kahn::thread::sleep(Duration::ZERO);
        kahn::yield_now();
        kahn::thread::yield_now();
        let ended = || kahn::channel::bounded::<()>(1).1;
        let _server: JoinHandle<()> = kahn::serve(ended(), |()| ());
        let _other: JoinHandle<()> = kahn::thread::serve(ended(), |()| ());
    });
}

#[test]
fn runtimes() -> io::Result<()> {
    let builder: kahn::runtime::Builder = kahn::Runtime::builder()
        .workers(2)
        .stack_size(64 * 1024)
        .blocking_threads(4)
        .name("face")
        .on_deadlock(|_report| ());
    // SAFETY: its green threads only add numbers.
    let runtime: kahn::Runtime = unsafe { builder.migratory() }.build()?;
    let borrowed = [1, 2, 3];
    assert_eq!(runtime.run(|| borrowed.iter().sum::<i32>()), 6);
    let handle: JoinHandle<i32> = runtime.spawn(|| 7);
    assert_eq!(handle.join().unwrap(), 7);
    let ended: Result<(), kahn::runtime::ShutdownError> = runtime.shutdown(Duration::from_secs(10));
    assert!(ended.is_ok());
    Ok(())
}

#[test]
fn green_threads() -> io::Result<()> {
    kahn::thread::local! { static LOCAL: u32 = 5; }
    let builder = kahn::thread::Builder::new().name("named".to_owned()).stack_size(64 * 1024);
    let handle: JoinHandle<u32> = builder.spawn(|| LOCAL.with(|local| *local))?;
    let thread: &Thread = handle.thread();
    assert_eq!(thread.name(), Some("named"));
    let _id: kahn::thread::ThreadId = thread.id();
    thread.unpark();
    handle.cancel();
    let _ = handle.is_finished();
    let _: Result<u32, JoinError> = handle.join();
    // SAFETY: it does nothing.
    let handle = unsafe { kahn::thread::Builder::new().spawn_migratory(|| -> () { panic!("on purpose") }) }?;
    let error = handle.join().unwrap_err();
    assert!(error.is_panic() && !error.is_cancelled());
    assert_eq!(error.into_panic().downcast_ref(), Some(&"on purpose"));
    let _: Option<&str> = kahn::thread::current().name();
    kahn::thread::park_timeout(Duration::ZERO);
    kahn::thread::sleep_until(Instant::now());
    assert!(!kahn::thread::is_green());
    Ok(())
}

#[test]
fn tasks() -> io::Result<()> {
    let task: kahn::task::JoinHandle<u8> = kahn::task::spawn(async { 1 });
    assert_eq!(kahn::block_on(task).unwrap(), 1);
    let builder = kahn::task::Builder::new().name("named".to_owned()).stack_size(64 * 1024);
    let task: JoinHandle<u8> = builder.clone().spawn(async { 2 })?;
    let result: Result<u8, kahn::task::JoinError> = task.join();
    assert_eq!(result.unwrap(), 2);
    kahn::run(|| {
        let local = kahn::task::spawn_local(async { kahn::task::yield_now().await });
        local.join().unwrap();
        builder.spawn_local(async {}).unwrap().join().unwrap();
        let _yields: kahn::task::YieldNow = kahn::task::yield_now();
    });
    Ok(())
}

#[test]
fn channels() {
    let (tx, rx): (Sender<u8>, Receiver<u8>) = kahn::channel::bounded(1);
    assert_eq!(tx.send(1), Ok::<(), SendError<u8>>(()));
    assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
    assert_eq!(tx.send_timeout(2, Duration::ZERO), Err(SendTimeoutError::Timeout(2)));
    assert_eq!(tx.send_deadline(2, Instant::now()), Err(SendTimeoutError::Timeout(2)));
    assert_eq!((tx.len(), tx.capacity(), tx.is_empty(), tx.is_full()), (1, Some(1), false, true));
    assert_eq!(rx.recv(), Ok::<u8, RecvError>(1));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(rx.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
    assert_eq!(rx.recv_deadline(Instant::now()), Err(RecvTimeoutError::Timeout));
    assert_eq!((rx.len(), rx.capacity(), rx.is_empty(), rx.is_full()), (0, Some(1), true, false));
    assert!(tx.same_channel(&tx.clone()) && rx.same_channel(&rx.clone()));
    tx.reserve().unwrap().send(3).unwrap();
    assert_eq!(rx.iter().next(), Some(3));
    assert_eq!(rx.try_iter().next(), None);
    tx.send(4).unwrap();
    let mut got = Vec::new();
    assert_eq!(rx.recv_many(&mut got, 10), Ok(1));
    assert_eq!(kahn::block_on(tx.send_async(5)), Ok(()));
    assert_eq!(kahn::block_on(rx.recv_async()), Ok(5));
    let _stream = rx.clone().into_stream();
    tx.close();
    rx.close();
    assert_eq!(rx.into_iter().next(), None);
    let _timers: [Receiver<Instant>; 4] = [
        kahn::channel::after(Duration::MAX),
        kahn::channel::at(Instant::now()),
        kahn::channel::tick(Duration::from_secs(1)),
        kahn::channel::never(),
    ];
}

#[test]
fn other_channels() {
    use kahn::channel::{broadcast, oneshot, watch};
    let (tx, rx): (oneshot::Sender<u8>, oneshot::Receiver<u8>) = oneshot();
    tx.send(1).unwrap();
    assert_eq!(rx.recv(), Ok(1));
    let (tx, first): (broadcast::Sender<u8>, broadcast::Receiver<u8>) = broadcast(2);
    let second = tx.subscribe();
    tx.send(2).unwrap();
    assert_eq!((first.recv(), second.recv()), (Ok(2), Ok(2)));
    let (tx, rx): (watch::Sender<u8>, watch::Receiver<u8>) = watch(3);
    assert_eq!(rx.get(), 3);
    tx.send(4).unwrap();
    assert_eq!(rx.get(), 4);
}

#[test]
fn select() {
    let (tx, rx) = kahn::channel::bounded(1);
    kahn::channel::select! {
        send(tx, 1) -> sent => sent.unwrap(),
        recv(rx) -> _ => unreachable!(),
    }
    let got = kahn::channel::select! { recv(rx) -> got => got, default => unreachable!() };
    assert_eq!(got, Ok(1));
    kahn::channel::select_biased! { recv(rx) -> _ => unreachable!(), default(Duration::ZERO) => () }
}

#[test]
fn select_over_a_list() {
    let (tx, rx) = kahn::channel::bounded(1);
    let mut select = Select::new();
    let sending = select.send(&tx);
    let receiving = select.recv(&rx);
    let chosen: kahn::channel::SelectedOperation<'_> = select.select();
    assert_eq!(chosen.index(), sending);
    chosen.send(&tx, 1).unwrap();
    select.remove(sending);
    assert_eq!(select.try_select().unwrap().recv(&rx), Ok(1));
    let _ = receiving;
    assert!(select.select_timeout(Duration::ZERO).is_err());
    assert!(select.select_deadline(Instant::now()).is_err());
    assert!(select.try_ready().is_err());
    assert!(select.ready_timeout(Duration::ZERO).is_err());
    assert!(select.ready_deadline(Instant::now()).is_err());
    tx.send(2).unwrap();
    assert_eq!(select.ready(), receiving);
    let mut biased = Select::new_biased();
    biased.recv(&rx);
    assert_eq!(biased.select().recv(&rx), Ok(2));
}

#[test]
fn locks_and_time() {
    use kahn::sync::{Barrier, Condvar, LazyLock, Mutex, Once, OnceLock, RwLock, Semaphore, WaitGroup};
    static LAZY: LazyLock<u8> = LazyLock::new(|| 1);
    assert_eq!(*LAZY, 1);
    assert_eq!(*Mutex::new(1).lock().unwrap() + *RwLock::new(1).read().unwrap(), 2);
    Condvar::new().notify_all();
    Barrier::new(1).wait();
    Once::new().call_once(|| ());
    OnceLock::new().get_or_init(|| 1);
    assert_eq!(Semaphore::new(1).available_permits(), 1);
    WaitGroup::new().wait();
    let semaphore = kahn::sync::Arc::new(Semaphore::new(2));
    let owned: kahn::sync::OwnedPermit = semaphore.clone().acquire_owned();
    assert!(kahn::sync::Arc::ptr_eq(owned.semaphore(), &semaphore));
    assert!(semaphore.clone().try_acquire_owned().is_some());
    kahn::block_on(async {
        drop(semaphore.acquire_async().await);
        drop(semaphore.acquire_many_async(1).await);
        drop(semaphore.clone().acquire_owned_async().await);
        WaitGroup::new().wait_async().await;
    });

    let _: Instant = kahn::time::now();
    kahn::time::sleep(kahn::time::Duration::ZERO);
    kahn::time::sleep_until(kahn::time::Instant::now());
    kahn::time::interval(Duration::from_secs(1)).tick();
    let elapsed: Result<(), kahn::time::Elapsed> =
        kahn::time::timeout(Duration::from_millis(1), || kahn::sleep(Duration::MAX));
    assert!(elapsed.is_err());
    let _sleep: kahn::time::SleepFuture = kahn::time::sleep_async(Duration::ZERO);
    let _sleep: kahn::time::SleepFuture = kahn::time::sleep_until_async(Instant::now());
    kahn::block_on(async {
        let bounded: kahn::time::TimeoutFuture<_> = kahn::time::timeout_async(Duration::MAX, async { 1 });
        assert_eq!(bounded.await, Ok(1));
        kahn::time::interval(Duration::from_secs(1)).tick_async().await;
    });
}

#[test]
fn sockets() -> io::Result<()> {
    use kahn::net::{Incoming, Served, Server, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
    use kahn::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
    let listener: TcpListener = TcpListener::bind("127.0.0.1:0")?;
    let address: SocketAddr = listener.local_addr()?;
    let stream: TcpStream = TcpStream::connect(address)?;
    let _accepted: (TcpStream, SocketAddr) = listener.accept()?;
    let _stream: TcpStream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
    let mut incoming: Incoming<'_> = listener.incoming();
    let _accepted: TcpStream = incoming.next().expect("it never ends")?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.try_clone()?.shutdown(Shutdown::Both)?;
    stream.close();
    listener.close();
    let served: Served = kahn::net::serve(&listener, 1, drop)?;
    assert_eq!((served.connections, served.panicked, served.cancelled), (0, 0, 0));
    let server: Server<&TcpListener> = Server::new(&listener, 1).grace(Duration::ZERO);
    assert_eq!(server.run(drop)?, served);
    fn serves<L: kahn::net::Listener>(_: &L) {}
    serves(&listener);
    let literal = "127.0.0.1:80".to_socket_addrs()?.next();
    assert!(literal.is_some_and(|address| address.ip().is_loopback()));

    let socket: kahn::net::UdpSocket = kahn::net::UdpSocket::bind("127.0.0.1:0")?;
    socket.send_to(b"x", socket.local_addr()?)?;
    assert_eq!(socket.recv_from(&mut [0; 2])?.0, 1);

    let (ours, theirs): (UnixStream, UnixStream) = UnixStream::pair()?;
    let _peer: kahn::os::unix::net::SocketAddr = ours.peer_addr()?;
    theirs.close();
    let (_ours, _theirs): (UnixDatagram, UnixDatagram) = UnixDatagram::pair()?;
    assert!(UnixListener::bind("/nothing/there").is_err());
    Ok(())
}

#[test]
fn sources_and_streams() -> io::Result<()> {
    use kahn::io::{BufRead, BufReader, Closer, Interest, Read, Source, Stdin, Write};
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair()?;
    let source: Source<std::os::unix::net::UnixStream> = Source::new(ours)?;
    let closer: Closer = source.closer();
    theirs.write_all(b"a line\n")?;
    source.readable()?;
    source.ready(Interest::Writable, Some(Instant::now()))?;
    kahn::block_on(async {
        source.readable_async().await?;
        source.writable_async().await
    })?;
    assert_eq!(source.read_with(|mut stream| stream.read(&mut [0]))?, 1);
    assert_eq!(source.write_with(|mut stream| stream.write(b"x"))?, 1);
    assert_eq!(source.try_io(|mut stream| stream.read(&mut [0]))?, 1);
    let read = source.io(Interest::Readable, None, |mut stream| stream.read(&mut [0]));
    assert_eq!(read?, 1);
    assert_eq!(source.read_stream(2, None, |mut stream| stream.read(&mut [0; 2]))?, 2);
    closer.close();
    assert!(source.is_closed() && !closer.is_gone());
    let _ours = source.into_inner();
    assert!(closer.is_gone());

    assert_eq!(kahn::io::copy(&mut &b"bytes"[..], &mut kahn::io::sink())?, 5);
    let mut line = String::new();
    BufReader::new(&b"one\ntwo\n"[..]).read_line(&mut line)?;
    assert_eq!(line, "one\n");
    let input: Stdin = kahn::io::stdin();
    let _lock: kahn::io::StdinLock<'static> = input.lock();
    Ok(())
}

#[test]
fn files() -> io::Result<()> {
    use kahn::fs::{DirBuilder, DirEntry, File, OpenOptions, ReadDir};
    use kahn::io::{Read, Seek, SeekFrom, Write};
    use kahn::os::unix::fs::FileExt;
    let folder = std::env::temp_dir().join(format!("kahn-names-{}", std::process::id()));
    DirBuilder::new().recursive(true).create(&folder)?;
    let path = folder.join("file");
    let mut file: File = File::create(&path)?;
    file.write_all(b"content")?;
    file.sync_all()?;
    let mut file: File = OpenOptions::new().read(true).open(&path)?;
    file.seek(SeekFrom::Start(3))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    assert_eq!(text, "tent");
    file.read_exact_at(&mut [0; 7], 0)?;
    let metadata: kahn::fs::Metadata = kahn::fs::metadata(&path)?;
    assert_eq!(metadata.len(), 7);
    let mut entries: ReadDir = kahn::fs::read_dir(&folder)?;
    let entry: DirEntry = entries.next().expect("the file is there")?;
    assert!(entry.file_type()?.is_file() && entries.next().is_none());
    assert_eq!(kahn::fs::read(&path)?, b"content");
    assert_eq!(kahn::fs::read_to_string(&path)?, "content");
    kahn::fs::write(&path, "other")?;
    kahn::fs::copy(&path, folder.join("copy"))?;
    kahn::fs::rename(&path, folder.join("name"))?;
    kahn::os::unix::fs::symlink("name", folder.join("link"))?;
    assert!(kahn::fs::exists(folder.join("link"))?);
    kahn::fs::remove_file(folder.join("link"))?;
    kahn::fs::remove_dir_all(&folder)
}

#[test]
fn processes_and_signals() -> io::Result<()> {
    use kahn::os::unix::process::CommandExt;
    use kahn::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio};
    use kahn::signal::Signal;
    let mut command: Command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).process_group(0);
    let mut child: Child = command.spawn()?;
    let input: ChildStdin = child.stdin.take().expect("it is a pipe");
    let _output: &ChildStdout = child.stdout.as_ref().expect("it is a pipe");
    assert!(child.id() > 0);
    let _ended: Option<ExitStatus> = child.try_wait()?;
    drop(input);
    let output: Output = child.wait_with_output()?;
    assert!(output.status.success() && Command::new("true").status()?.success());

    let signals: Receiver<Signal> = kahn::signal::listen(&[Signal::USER_DEFINED1])?;
    assert!(signals.is_empty() && kahn::signal::ctrl_c()?.is_empty());
    Ok(())
}
