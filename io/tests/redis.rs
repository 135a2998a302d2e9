//! The commands of the real crate `redis` on kahn's streams, with servers that send given replies.
//! `tests/redis_server.rs` has those with a server that keeps data.

use std::io::{Read, Write};
use std::time::Duration;

use kahn::Runtime;
use kahn::channel::bounded;
use kahn::interop::RedisConnection;
use kahn::net::{SocketAddr, TcpListener, TcpStream};
use kahn::os::unix::net::UnixStream;
use kahn::thread::JoinHandle;
use redis::{Commands, ConnectionLike, IntoConnectionInfo, Msg, RedisConnectionInfo, RedisResult, Value};

fn on_workers(test: impl Fn() + Sync) {
    for workers in [1, 2, 4] {
        Runtime::builder().workers(workers).build().unwrap().run(&test);
    }
}

fn info() -> RedisConnectionInfo {
    "redis://localhost".into_connection_info().unwrap().redis_settings().clone()
}

fn resp2() -> RedisConnectionInfo {
    info().set_protocol(redis::ProtocolVersion::RESP2)
}

/// Returns a connection, and the other end of its stream.
fn pair() -> (RedisConnection<UnixStream>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (RedisConnection::handshake(ours, &resp2()).unwrap(), theirs)
}

/// Reads exactly what is expected.
fn expect(mut stream: impl Read, commands: &[&[&str]]) {
    for command in commands {
        let args = command.iter().map(|arg| format!("${}\r\n{arg}\r\n", arg.len())).collect::<String>();
        let expected = format!("*{}\r\n{args}", command.len());
        let mut bytes = vec![0; expected.len()];
        stream.read_exact(&mut bytes).unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes), expected);
    }
}

/// Starts a server for one connection, which expects commands and then replies.
fn serve(exchanges: Vec<(Vec<Vec<&'static str>>, &'static str)>) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = kahn::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        for (commands, reply) in exchanges {
            for command in commands {
                expect(&stream, &[&command]);
            }
            stream.write_all(reply.as_bytes()).unwrap();
        }
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    });
    (address, server)
}

#[test]
fn connect_sends_the_password_and_the_database() {
    on_workers(|| {
        let (address, server) = serve(vec![
            (vec![vec!["AUTH", "me", "secret"]], "+OK\r\n"),
            (vec![vec!["SELECT", "3"]], "+OK\r\n"),
            (vec![vec!["GET", "k"]], "$1\r\nv\r\n"),
        ]);
        let url = format!("redis://me:secret@{address}/3?protocol=resp2");
        let mut connection = RedisConnection::connect(url).unwrap();
        assert_eq!(connection.get_db(), 3);
        assert_eq!(connection.get::<_, String>("k").unwrap(), "v");
        drop(connection);
        server.join().unwrap();

        let (address, server) = serve(vec![
            (vec![vec!["HELLO", "3", "AUTH", "default", "secret"]], "%1\r\n$5\r\nproto\r\n:3\r\n"),
            (vec![vec!["GET", "k"]], "_\r\n"),
        ]);
        let url = format!("redis://:secret@{address}/?protocol=resp3");
        let mut connection = RedisConnection::connect(url).unwrap();
        assert_eq!(connection.get::<_, Option<String>>("k").unwrap(), None);
        drop(connection);
        server.join().unwrap();
    });
}

#[test]
fn connect_returns_the_error_of_the_server() {
    on_workers(|| {
        let refusal = "-WRONGPASS invalid username-password pair\r\n";
        let (address, server) = serve(vec![(vec![vec!["AUTH", "wrong"]], refusal)]);
        let error =
            RedisConnection::connect(format!("redis://:wrong@{address}/?protocol=resp2")).unwrap_err();
        assert_eq!(error.code(), Some("WRONGPASS"));
        server.join().unwrap();
    });
}

#[test]
fn connect_refuses_other_addresses() {
    let error = RedisConnection::connect("unix:///no/such/socket").unwrap_err();
    assert_eq!(error.kind(), redis::ErrorKind::InvalidClientConfig);
}

#[test]
fn pipeline_gets_a_reply_for_each_command() {
    on_workers(|| {
        let (mut connection, mut server) = pair();
        let client = kahn::spawn(move || {
            let (a, b): (String, i64) =
                redis::pipe().get("a").set("x", 1).ignore().incr("b", 1).query(&mut connection).unwrap();
            assert_eq!((a.as_str(), b), ("text", 7));
            connection
        });
        expect(&server, &[&["GET", "a"], &["SET", "x", "1"], &["INCRBY", "b", "1"]]);
        server.write_all(b"$4\r\ntext\r\n+OK\r\n:7\r\n").unwrap();
        assert!(client.join().unwrap().is_open());
    });
}

#[test]
fn transaction_returns_its_results_or_the_error_of_a_command() {
    on_workers(|| {
        let (mut connection, mut server) = pair();
        let client = kahn::spawn(move || {
            let mut pipe = redis::pipe();
            pipe.atomic().get("a").get("b");
            let values: (i64, i64) = pipe.query(&mut connection).unwrap();
            assert_eq!(values, (1, 2));
            let error = pipe.query::<(i64, i64)>(&mut connection).unwrap_err();
            assert_eq!(error.code(), Some("NOPERM"));
            // The replies after the error have been read.
            assert_eq!(connection.get::<_, i64>("c").unwrap(), 3);
        });
        let transaction: &[&[&str]] = &[&["MULTI"], &["GET", "a"], &["GET", "b"], &["EXEC"]];
        expect(&server, transaction);
        server.write_all(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n:2\r\n").unwrap();
        expect(&server, transaction);
        server.write_all(b"+OK\r\n-NOPERM no\r\n+QUEUED\r\n-EXECABORT discarded\r\n").unwrap();
        expect(&server, &[&["GET", "c"]]);
        server.write_all(b":3\r\n").unwrap();
        client.join().unwrap();
    });
}

#[test]
fn error_of_a_command_leaves_the_connection_open() {
    on_workers(|| {
        let (mut connection, mut server) = pair();
        server.write_all(b"-WRONGTYPE no\r\n:1\r\n").unwrap();
        assert_eq!(connection.get::<_, i64>("a").unwrap_err().code(), Some("WRONGTYPE"));
        assert!(connection.is_open());
        assert_eq!(connection.get::<_, i64>("a").unwrap(), 1);
    });
}

#[test]
fn reply_in_pieces_is_read_while_others_run() {
    on_workers(|| {
        let (mut connection, mut server) = pair();
        let writer = kahn::spawn(move || {
            for byte in b"*2\r\n$3\r\none\r\n$3\r\ntwo\r\n".chunks(1) {
                server.write_all(byte).unwrap();
                kahn::yield_now();
            }
            server
        });
        assert_eq!(connection.lrange::<_, Vec<String>>("l", 0, -1).unwrap(), ["one", "two"]);
        writer.join().unwrap();
    });
}

#[test]
fn messages_before_a_reply_are_dropped_and_others_are_received() {
    on_workers(|| {
        let (mut connection, mut server) = pair();
        let message = ">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\n1\r\n";
        server.write_all(format!("{message}:5\r\n{message}").as_bytes()).unwrap();
        assert_eq!(connection.get::<_, i64>("k").unwrap(), 5);
        let message = Msg::from_owned_value(connection.recv_response().unwrap()).unwrap();
        assert_eq!((message.get_channel_name(), message.get_payload::<i64>().unwrap()), ("news", 1));
    });
}

#[test]
fn command_without_reply_does_not_wait() {
    on_workers(|| {
        let (mut connection, server) = pair();
        let () = redis::cmd("CLIENT")
            .arg("REPLY")
            .arg("OFF")
            .set_no_response(true)
            .query(&mut connection)
            .unwrap();
        expect(&server, &[&["CLIENT", "REPLY", "OFF"]]);
    });
}

/// Otherwise the next command would get the reply to this one.
#[test]
fn command_that_was_ended_makes_the_connection_useless() {
    fn check(connection: &mut RedisConnection<UnixStream>, mut server: &UnixStream) {
        server.write_all(b"$5\r\nstale\r\n").unwrap();
        assert!(!connection.is_open());
        let error = connection.get::<_, String>("other").unwrap_err();
        assert!(error.to_string().contains("not finished"), "{error}");
        assert!(!connection.check_connection());
    }
    on_workers(|| {
        // By an enclosing time-out.
        let (mut connection, server) = pair();
        let get = || connection.get::<_, String>("k");
        assert!(kahn::time::timeout(Duration::from_millis(1), get).is_err());
        check(&mut connection, &server);
        // By the time-out of the stream.
        let (mut connection, server) = pair();
        connection.stream().set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        assert!(connection.get::<_, String>("k").unwrap_err().is_timeout());
        check(&mut connection, &server);
        // By a cancel.
        let (mut connection, server) = pair();
        let (tx, rx) = bounded(1);
        let client = kahn::spawn(move || {
            let unwind = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                drop(connection.get::<_, String>("k"));
            }));
            assert!(unwind.is_err());
            // The thread is cancelled, so it must not park.
            tx.try_send(connection).unwrap();
        });
        expect(&server, &[&["GET", "k"]]);
        client.cancel();
        let _ = client.join();
        check(&mut rx.recv().unwrap(), &server);
    });
}

#[test]
fn end_of_the_stream_and_broken_replies_are_errors() {
    on_workers(|| {
        let (mut connection, mut server) = pair();
        server.write_all(b"$10\r\nshort").unwrap();
        drop(server);
        let result: RedisResult<Value> = redis::cmd("GET").arg("k").query(&mut connection);
        assert!(result.is_err());
        assert!(!connection.is_open());
        let (mut connection, mut server) = pair();
        server.write_all(b"?what\r\n").unwrap();
        let error = connection.get::<_, String>("k").unwrap_err();
        assert_eq!(error.kind(), redis::ErrorKind::Parse);
        assert!(!connection.is_open());
    });
}

#[test]
fn plain_os_thread_uses_a_connection() {
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut connection = RedisConnection::handshake(UnixStream::from(ours), &resp2()).unwrap();
    theirs.write_all(b":1\r\n").unwrap();
    assert_eq!(connection.get::<_, i64>("k").unwrap(), 1);
    assert!(format!("{connection:?}").contains("UnixStream"));
    assert!(RedisConnection::connect("redis://127.0.0.1:1/").is_err());
    let _: Option<RedisConnection<TcpStream>> = None;
}
