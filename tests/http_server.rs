//! The example `http_server`, run as a process, against clients that are correct, slow, broken or gone.

#[path = "support/http.rs"]
mod http;

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use http::{LARGE, Server, assert_status, body, output_of, read_response, read_to_end, server_end};

#[test]
fn serves_files_with_their_types() {
    let server = Server::start(&[]);
    let text = server.request("GET", "/a.txt");
    assert_status(&text, 200);
    assert!(text.contains("\r\ncontent-type: text/plain; charset=utf-8\r\n"), "{text}");
    assert!(text.contains("\r\ncontent-length: 6\r\n"), "{text}");
    assert_eq!(body(&text), "a text");
    let page = server.request("GET", "/a%20b.html?query");
    assert!(page.contains("\r\ncontent-type: text/html; charset=utf-8\r\n"), "{page}");
    assert_eq!(body(&page), "a page");
    assert_eq!(body(&server.request("GET", "/inner.txt")), "a text");
    let head = server.request("HEAD", "/a.txt");
    assert!(head.contains("\r\ncontent-length: 6\r\n") && body(&head).is_empty(), "{head}");
    let folder = server.request("GET", "/sub");
    assert_status(&folder, 301);
    assert!(folder.contains("\r\nlocation: /sub/\r\n"), "{folder}");
    assert_eq!(body(&server.request("GET", "/sub/")), "an index");
    assert_status(&server.request("GET", "/"), 404);
    assert_status(&server.request("GET", "/none"), 404);
    assert_status(&server.request("GET", "/a.txt/b"), 404);
    let post = server.request("DELETE", "/a.txt");
    assert_status(&post, 405);
    assert!(post.contains("\r\nallow: GET, HEAD\r\n"), "{post}");
}

#[test]
fn serves_no_file_outside_of_the_folder() {
    let server = Server::start(&[]);
    let outside = [
        "/../secret.txt",
        "/sub/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/sub/%2e%2e%2f%2e%2e%2fsecret.txt",
        "/link.txt",
        "/.hidden",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/a.txt%00",
        "/%",
        "/%zz",
        "*",
    ];
    for path in outside {
        let response = server.request("GET", path);
        assert_status(&response, 404);
        assert_eq!(body(&response), "not found\n");
    }
}

#[test]
fn counter_adds_what_many_clients_post() {
    let server = Server::start(&[]);
    std::thread::scope(|s| {
        for _ in 0..8 {
            s.spawn(|| {
                let mut reader = BufReader::new(server.connect());
                for _ in 0..50 {
                    let request = b"POST /api/counter HTTP/1.1\r\nhost: kahn\r\ncontent-length: 1\r\n\r\n2";
                    reader.get_mut().write_all(request).unwrap();
                    assert_status(&read_response(&mut reader), 200);
                }
            });
        }
    });
    assert_eq!(body(&server.request("GET", "/api/counter")), "{\"count\":800}\n");
    assert!(body(&server.request("GET", "/api/time")).starts_with("{\"unix_ms\":1"));
    let bad = "POST /api/counter HTTP/1.1\r\nhost: kahn\r\nconnection: close\r\ncontent-length: 3\r\n\r\nsix";
    assert_status(&server.exchange(bad), 400);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start(&[]);
    let mut stream = server.connect();
    let paths = ["/a.txt", "/sub/", "/none", "/api/counter"].repeat(25);
    let requests =
        paths.iter().map(|path| format!("GET {path} HTTP/1.1\r\nhost: kahn\r\n\r\n")).collect::<String>();
    stream.write_all(requests.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    for path in paths {
        let expected = match path {
            "/a.txt" => "a text",
            "/sub/" => "an index",
            "/none" => "not found\n",
            _ => "{\"count\":0}\n",
        };
        assert_eq!(body(&read_response(&mut reader)), expected);
    }
}

#[test]
fn garbage_and_large_heads_are_refused() {
    let server = Server::start(&[]);
    assert_status(&server.exchange("this is no HTTP\r\n\r\n"), 400);
    assert_eq!(server.exchange("\0\u{1}\u{7f}\r\n\r\n").lines().next(), Some("HTTP/1.1 400 Bad Request"));
    let large = format!("GET / HTTP/1.1\r\nhost: kahn\r\nx: {}\r\n\r\n", "x".repeat(64 << 10));
    let mut stream = server.connect();
    // The server may close before it has read all.
    let _ = stream.write_all(large.as_bytes());
    let mut status = [0; 12];
    match stream.read_exact(&mut status) {
        Ok(()) => assert_eq!(&status, b"HTTP/1.1 431"),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
    let many = (0..100).map(|n| format!("x{n}: y\r\n")).collect::<String>();
    assert_status(&server.exchange(&format!("GET / HTTP/1.1\r\nhost: kahn\r\n{many}\r\n")), 431);
    assert_status(&server.request("GET", "/a.txt"), 200);
}

#[test]
fn client_that_sends_its_head_slowly_is_disconnected() {
    let server = Server::start(&["--idle", "200"]);
    let mut stream = server.connect();
    // A byte at a time keeps no connection open. The head would take half a minute.
    for byte in format!("GET /a.txt HTTP/1.1\r\nx: {}", "x".repeat(600)).bytes() {
        if stream.write_all(&[byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
        stream.set_nonblocking(true).unwrap();
        let read = stream.read(&mut [0; 256]);
        stream.set_nonblocking(false).unwrap();
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            _ => return,
        }
    }
    panic!("the server still waits for the head");
}

#[test]
fn idle_connection_is_closed() {
    let server = Server::start(&["--idle", "100"]);
    assert!(!read_to_end(&mut server.connect()).contains("200"));
}

#[test]
fn client_that_sends_its_body_slowly_or_too_much_is_refused() {
    let server = Server::start(&["--body", "100"]);
    let late = server.exchange("POST /api/counter HTTP/1.1\r\nhost: kahn\r\ncontent-length: 2\r\n\r\n4");
    assert_status(&late, 408);
    let server = Server::start(&[]);
    let mut stream = server.connect();
    stream.write_all(b"POST /api/counter HTTP/1.1\r\nhost: kahn\r\ncontent-length: 1000000\r\n\r\n").unwrap();
    // The server has seen the length before it has read the body.
    let _ = stream.write_all(&[b'1'; 70_000]);
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");
}

#[test]
fn client_that_closes_its_writing_side_gets_the_response() {
    let server = Server::start(&[]);
    server.folder.add_large();
    let mut stream = server.connect();
    stream.write_all(b"GET /large.bin HTTP/1.1\r\nhost: kahn\r\n\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let response = read_to_end(&mut stream);
    assert_status(&response, 200);
    assert_eq!(body(&response).len(), LARGE);
}

#[test]
fn client_that_never_reads_is_disconnected() {
    // There is one place. So the second client waits until the first has lost it.
    let server = Server::start(&["--connections", "1", "--stalled", "200"]);
    server.folder.add_large();
    let mut stalled = server.connect();
    stalled.write_all(b"GET /large.bin HTTP/1.1\r\nhost: kahn\r\n\r\n").unwrap();
    assert_status(&server.request("GET", "/a.txt"), 200);
    assert!(read_to_end(&mut stalled).len() < LARGE);
}

#[test]
fn clients_that_vanish_harm_no_other() {
    let server = Server::start(&["--connections", "4"]);
    server.folder.add_large();
    for n in 0..100 {
        let mut stream = server.connect();
        let request: &[u8] = match n % 4 {
            0 => b"",
            1 => b"GET /a.t",
            2 => b"GET /large.bin HTTP/1.1\r\nhost: kahn\r\n\r\n",
            _ => b"POST /api/counter HTTP/1.1\r\nhost: kahn\r\ncontent-length: 9\r\n\r\n1",
        };
        stream.write_all(request).unwrap();
    }
    assert_eq!(body(&server.request("GET", "/a.txt")), "a text");
}

#[test]
fn thousand_connections_are_served_at_once() {
    let server = Server::start(&[]);
    let mut readers = (0..1000).map(|_| BufReader::new(server.connect())).collect::<Vec<_>>();
    for _ in 0..2 {
        for reader in &mut readers {
            reader.get_mut().write_all(b"GET /a.txt HTTP/1.1\r\nhost: kahn\r\n\r\n").unwrap();
        }
        for reader in &mut readers {
            assert_eq!(body(&read_response(reader)), "a text");
        }
    }
    server.signal();
    // All are idle, so all are closed.
    for reader in &mut readers {
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0);
    }
    assert_eq!(server_end(server), "served 1000 connections; 0 were cancelled\n");
}

/// A client that has sent the head of a request, and whose body the server waits for.
fn request_in_flight(server: &Server) -> BufReader<TcpStream> {
    let mut stream = server.connect();
    let head =
        b"POST /api/counter HTTP/1.1\r\nhost: kahn\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    stream.write_all(head).unwrap();
    let mut reader = BufReader::new(stream);
    assert_status(&read_response(&mut reader), 100);
    reader
}

#[test]
fn shutdown_answers_a_thousand_requests_that_have_begun() {
    let mut server = Server::start(&["--grace", "60000"]);
    let mut clients = (0..1000).map(|_| request_in_flight(&server)).collect::<Vec<_>>();
    // A connection that has not been accepted when the listener is closed is reset. This one has been.
    let mut idle = BufReader::new(server.connect());
    idle.get_mut().write_all(b"GET /a.txt HTTP/1.1\r\nhost: kahn\r\n\r\n").unwrap();
    assert_eq!(body(&read_response(&mut idle)), "a text");
    server.signal();
    server.wait_for_stopping();
    assert_eq!(idle.read(&mut [0; 8]).unwrap(), 0);
    // The listener is closed before the idle connection, or a moment after.
    while TcpStream::connect(server.address).is_ok() {
        std::thread::yield_now();
    }
    for client in &mut clients {
        client.get_mut().write_all(b"41").unwrap();
    }
    let mut counts = Vec::new();
    for client in &mut clients {
        let response = read_response(client);
        assert_status(&response, 200);
        assert!(response.contains("\r\nconnection: close\r\n"), "{response}");
        let count = body(&response).strip_prefix("{\"count\":").and_then(|text| text.strip_suffix("}\n"));
        counts.push(count.and_then(|count| count.parse::<u32>().ok()).unwrap());
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
    }
    // Each request was counted once.
    counts.sort_unstable();
    assert!(counts.into_iter().eq((1..=1000).map(|n| 41 * n)));
    let served = server.wait();
    assert!(served.ends_with(" connections; 0 were cancelled\n"), "{served}");
}

#[test]
fn shutdown_cancels_the_requests_that_take_too_long() {
    let server = Server::start(&["--grace", "100"]);
    let mut client = request_in_flight(&server);
    server.signal();
    assert_eq!(server_end(server), "served 1 connections; 1 were cancelled\n");
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn curl_gets_and_posts() {
    let server = Server::start(&[]);
    let url = |path: &str| format!("http://{}{path}", server.address);
    if let Some(text) = output_of("curl", &["-sS", "--path-as-is", "-L", &url("/sub")]) {
        assert_eq!(text, "an index");
        assert_eq!(
            output_of("curl", &["-sS", "-d", "40", &url("/api/counter")]).unwrap(),
            "{\"count\":40}\n"
        );
    }
}

#[test]
fn wrk_sees_no_error() {
    let server = Server::start(&[]);
    let url = format!("http://{}/a.txt", server.address);
    if let Some(text) = output_of("wrk", &["-t1", "-c64", "-d1s", "--timeout", "30s", &url]) {
        assert!(text.contains("Requests/sec"), "{text}");
        assert!(!text.contains("Socket errors") && !text.contains("Non-2xx"), "{text}");
    }
}
