//! The example `redis_server`, run as a process, against clients that are broken, slow, many or gone.

#[path = "support/redis.rs"]
mod support;

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

use support::{Raw, Server, encode, wait_until};

const MIB: usize = 1 << 20;

#[test]
fn inline_commands_are_understood() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send("PING\r\nset  k \"a b\\x00\\n\"\n\r\nget k\r\nset q 'it''s'\r\n");
    let replies = ["+PONG\r\n", "+OK\r\n", "$5\r\na b\0\n\r\n"];
    replies.iter().for_each(|reply| assert_eq!(client.reply(), reply.as_bytes()));
    // Something must stand between two words.
    assert_eq!(client.read_to_end(), "-ERR Protocol error: unbalanced quotes in request\r\n");
}

#[test]
fn pipelined_commands_are_answered_in_order() {
    const COMMANDS: usize = 50_000;
    let server = Server::start(&[]);
    let mut client = server.connect();
    let mut writer = client.stream().try_clone().unwrap();
    std::thread::scope(|s| {
        s.spawn(move || {
            for n in 0..COMMANDS {
                writer.write_all(&encode(&[b"ECHO", n.to_string().as_bytes()])).unwrap();
            }
        });
        for n in 0..COMMANDS {
            let text = n.to_string();
            assert_eq!(client.reply(), format!("${}\r\n{text}\r\n", text.len()).as_bytes());
        }
    });
}

#[test]
fn commands_that_come_byte_by_byte_are_understood() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for byte in encode(&[b"SET", b"k", b"v"]).chunks(1).chain(encode(&[b"GET", b"k"]).chunks(1)) {
        client.send(byte);
    }
    assert_eq!(client.reply(), b"+OK\r\n");
    assert_eq!(client.reply(), b"$1\r\nv\r\n");
}

#[test]
fn malformed_commands_get_an_error_and_the_connection_ends() {
    let server = Server::start(&["--frame", "100000"]);
    let long = "a".repeat(70_000);
    let cases = [
        ("*x\r\n", "invalid multibulk length"),
        ("*1048577\r\n", "invalid multibulk length"),
        ("*1\r\nPING\r\n", "expected '$', got 'P'"),
        ("*1\r\n$-1\r\n", "invalid bulk length"),
        ("*1\r\n$100000\r\n", "invalid bulk length"),
        ("*2\r\n$4\r\nECHO\r\n$99990\r\n", "invalid bulk length"),
        ("*1\r\n$4\r\nPINGxx", "expected a line break"),
        ("GET \"k\r\n", "unbalanced quotes in request"),
        (&long, "too big inline request"),
    ];
    for (bytes, error) in cases {
        let mut client = server.connect();
        client.send("PING\r\n");
        // The rest is never read.
        client.send(format!("{bytes}{}", "x".repeat(if bytes == long { 0 } else { 200_000 })));
        assert_eq!(client.read_to_end(), format!("+PONG\r\n-ERR Protocol error: {error}\r\n"), "{bytes:.40}");
    }
    assert_eq!(server.connect().ask(&["PING"]), "+PONG\r\n");
}

#[test]
fn announced_lengths_take_no_memory() {
    const CLIENTS: usize = 50;
    let server = Server::start(&[]);
    server.connect().ask(&["PING"]);
    let before = server.memory();
    let mut clients = (0..CLIENTS).map(|_| server.connect()).collect::<Vec<_>>();
    for client in &mut clients {
        client.send("PING\r\n*1000000\r\n$60000000\r\n");
        assert_eq!(client.reply(), b"+PONG\r\n");
    }
    assert!(server.memory() < before + 16 * MIB, "{before} became {}", server.memory());
}

#[test]
fn large_texts_go_and_come() {
    let server = Server::start(&[]);
    let mut client = server.client("resp2");
    let text = (0..20 * MIB).map(|n| u8::try_from(n % 251).unwrap()).collect::<Vec<_>>();
    let () = redis::cmd("SET").arg("k").arg(&text).query(&mut client).unwrap();
    assert!(redis::cmd("GET").arg("k").query::<Vec<u8>>(&mut client).unwrap() == text);
}

#[test]
fn half_closed_client_gets_all_replies() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send(encode(&[b"INCR", b"count"]).repeat(5000));
    client.stream().shutdown(Shutdown::Write).unwrap();
    let replies = client.read_to_end();
    assert_eq!(replies.lines().count(), 5000);
    assert!(replies.ends_with(":5000\r\n"));
}

/// Sends commands with large replies, and reads none, until the server reads no more.
fn fill(mut client: Raw) -> Raw {
    // After this the server has accepted the connection.
    assert_eq!(client.ask(&["PING"]), "+PONG\r\n");
    client.stream().set_nonblocking(true).unwrap();
    let commands = encode(&[b"GET", b"large"]).repeat(1000);
    let mut refused = 0;
    // The server may make room in between.
    while refused < 1000 {
        match client.stream().write(&commands) {
            Ok(_) => refused = 0,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                refused += 1;
                std::thread::yield_now();
            }
            // The server has closed the connection.
            Err(_) => break,
        }
    }
    client.stream().set_nonblocking(false).unwrap();
    client
}

#[test]
fn client_that_does_not_read_takes_no_memory_and_holds_up_no_other() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    assert_eq!(client.ask(&["SET", "large", &"x".repeat(MIB)]), "+OK\r\n");
    let before = server.memory();
    let _slow = (0..4).map(|_| fill(server.connect())).collect::<Vec<_>>();
    assert_eq!(client.ask(&["STRLEN", "large"]), format!(":{MIB}\r\n"));
    assert!(server.memory() < before + 64 * MIB, "{before} became {}", server.memory());
}

#[test]
fn client_that_does_not_read_is_disconnected_in_the_end() {
    let server = Server::start(&["--stalled", "50"]);
    let mut client = server.connect();
    assert_eq!(client.ask(&["SET", "large", &"x".repeat(MIB)]), "+OK\r\n");
    let _slow = fill(server.connect());
    wait_until(|| client.ask(&["INFO", "clients"]), |info| info.contains("connected_clients:1\r\n"));
}

#[test]
fn subscriber_that_does_not_read_is_disconnected() {
    let server = Server::start(&["--outbox", "1000000"]);
    let mut subscriber = server.connect();
    let mut reader = server.connect();
    subscriber.ask(&["SUBSCRIBE", "news"]);
    reader.ask(&["SUBSCRIBE", "news"]);
    let before = server.memory();
    let mut publisher = server.connect();
    let text = "x".repeat(100_000);
    let mut sent = 0;
    // One of the two reads.
    while publisher.ask(&["PUBLISH", "news", &text]) != ":1\r\n" {
        sent += 1;
        assert!(String::from_utf8(reader.reply()).unwrap().ends_with(&format!("{text}\r\n")));
    }
    assert!(sent >= 10, "{sent}");
    assert!(server.memory() < before + 32 * MIB, "{before} became {}", server.memory());
    // It is told by the end of the stream.
    subscriber.read_to_end();
    reader.reply();
    assert_eq!(reader.ask(&["PING"]), "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
}

#[test]
fn subscriber_gets_all_messages_in_order_while_it_runs_commands() {
    const MESSAGES: usize = 5000;
    let server = Server::start(&[]);
    let mut subscriber = server.connect();
    subscriber.ask(&["HELLO", "3"]);
    subscriber.ask(&["SUBSCRIBE", "news"]);
    std::thread::scope(|s| {
        s.spawn(|| {
            let mut publisher = server.connect();
            for n in 0..MESSAGES {
                publisher.call(&["PUBLISH", "news", &n.to_string()]);
            }
            (0..MESSAGES).for_each(|_| assert_eq!(publisher.reply(), b":1\r\n"));
        });
        let mut writer = subscriber.stream().try_clone().unwrap();
        s.spawn(move || {
            for n in 0..MESSAGES {
                writer.write_all(&encode(&[b"ECHO", n.to_string().as_bytes()])).unwrap();
            }
        });
        let (mut messages, mut replies) = (0, 0);
        while messages < MESSAGES || replies < MESSAGES {
            let reply = String::from_utf8(subscriber.reply()).unwrap();
            if reply.starts_with('>') {
                assert_eq!(reply, format!(">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n{}", bulk(messages)));
                messages += 1;
            } else {
                assert_eq!(reply, bulk(replies));
                replies += 1;
            }
        }
    });
}

#[test]
fn subscriber_with_large_replies_is_not_disconnected() {
    const ROUNDS: usize = 50;
    let server = Server::start(&["--outbox", "1000000"]);
    let mut client = server.connect();
    // One large reply fits in the outbox, but not behind a small one.
    let texts = ["x".repeat(100_000), "y".repeat(950_000)];
    client.ask(&["MSET", "small", &texts[0], "large", &texts[1]]);
    client.ask(&["HELLO", "3"]);
    client.ask(&["SUBSCRIBE", "news"]);
    for _ in 0..ROUNDS {
        client.call(&["GET", "small"]);
        client.call(&["GET", "large"]);
    }
    for text in texts.iter().cycle().take(2 * ROUNDS) {
        assert!(client.reply() == format!("${}\r\n{text}\r\n", text.len()).as_bytes());
    }
}

#[test]
fn shutdown_cancels_a_subscriber_that_does_not_read() {
    let mut server = Server::start(&["--grace", "50"]);
    let mut client = server.connect();
    assert_eq!(client.ask(&["SET", "large", &"x".repeat(MIB)]), "+OK\r\n");
    client.ask(&["HELLO", "3"]);
    client.ask(&["SUBSCRIBE", "news"]);
    let mut slow = fill(client);
    server.stop();
    assert_eq!(server.line(), "stopping\n");
    assert_eq!(server.wait(), "served 1 connections; 1 were cancelled\n");
    let _ = slow.stream().read(&mut [0; 8]);
}

fn bulk(n: usize) -> String {
    let text = n.to_string();
    format!("${}\r\n{text}\r\n", text.len())
}

#[test]
fn subscriptions_end_with_their_connection() {
    let server = Server::start(&[]);
    let mut publisher = server.connect();
    for _ in 0..20 {
        let mut subscriber = server.connect();
        subscriber.ask(&["SUBSCRIBE", "news"]);
        subscriber.ask(&["PSUBSCRIBE", "n*"]);
        assert_eq!(publisher.ask(&["PUBLISH", "news", "text"]), ":2\r\n");
        drop(subscriber);
        wait_until(|| publisher.ask(&["PUBLISH", "news", "text"]), |reply| reply == ":0\r\n");
    }
    wait_until(|| publisher.ask(&["INFO", "clients"]), |info| info.contains("connected_clients:1\r\n"));
}

#[test]
fn connections_beyond_the_limit_wait() {
    let server = Server::start(&["--connections", "2"]);
    let (mut first, mut second, mut third) = (server.connect(), server.connect(), server.connect());
    assert_eq!(first.ask(&["PING"]), "+PONG\r\n");
    assert_eq!(second.ask(&["PING"]), "+PONG\r\n");
    third.call(&["PING"]);
    assert!(second.ask(&["INFO", "clients"]).contains("connected_clients:2\r\n"));
    drop(first);
    assert_eq!(third.reply(), b"+PONG\r\n");
}

#[test]
fn quit_ends_the_connection_after_the_replies_before_it() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send("PING\r\nQUIT\r\nPING\r\n");
    assert_eq!(client.read_to_end(), "+PONG\r\n+OK\r\n");
}

#[test]
fn shutdown_closes_idle_connections_and_ends_the_server() {
    let mut server = Server::start(&[]);
    let mut idle = server.connect();
    assert_eq!(idle.ask(&["PING"]), "+PONG\r\n");
    let mut subscriber = server.connect();
    subscriber.ask(&["SUBSCRIBE", "news"]);
    let mut half = server.connect();
    half.send("PING\r\n*2\r\n$4\r\nECHO\r\n$100\r\nhalf");
    assert_eq!(half.reply(), b"+PONG\r\n");
    server.stop();
    assert_eq!(server.line(), "stopping\n");
    assert!(idle.is_at_end() && subscriber.is_at_end() && half.is_at_end());
    let address = server.address;
    assert_eq!(server.wait(), "served 3 connections; 0 were cancelled\n");
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn shutdown_runs_the_commands_that_have_arrived() {
    const COMMANDS: usize = 2000;
    let mut server = Server::start(&[]);
    let mut client = server.connect();
    // The buffers of the connection hold them all.
    client.send(encode(&[b"INCR", b"count"]).repeat(COMMANDS));
    client.reply();
    server.stop();
    let replies = client.read_to_end();
    assert_eq!(server.line(), "stopping\n");
    assert_eq!(server.wait(), "served 1 connections; 0 were cancelled\n");
    assert_eq!(replies.lines().count() + 1, COMMANDS);
}

#[test]
fn shutdown_cancels_a_client_that_does_not_read() {
    let mut server = Server::start(&["--grace", "50"]);
    let mut client = server.connect();
    assert_eq!(client.ask(&["SET", "large", &"x".repeat(MIB)]), "+OK\r\n");
    let mut slow = fill(client);
    server.stop();
    assert_eq!(server.line(), "stopping\n");
    assert_eq!(server.wait(), "served 1 connections; 1 were cancelled\n");
    let _ = slow.stream().read(&mut [0; 8]);
}
