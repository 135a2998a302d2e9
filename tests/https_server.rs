//! The example `http_server` with `--tls`, against clients that are correct, slow, broken or gone. The clients are rustls
//! on kahn's streams, in blocking code on green threads. The certificate and its key, in `data`, are for these tests alone.

#[path = "support/http.rs"]
mod http;

use std::io::{BufReader, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use http::{LARGE, PATIENCE, Server, assert_status, body, output_of, read_response, read_to_end, server_end};
use kahn::net::TcpStream;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls_cert.pem");
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls_key.pem");

type TlsStream = StreamOwned<ClientConnection, TcpStream>;

fn start(options: &[&str]) -> Server {
    Server::start(&[&["--tls", CERTIFICATE, KEY], options].concat())
}

fn connect_plain(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn session() -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(CERTIFICATE).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap()
}

fn connect(server: &Server) -> TlsStream {
    StreamOwned::new(session(), connect_plain(server))
}

/// The first bytes that a client sends.
fn client_hello() -> Vec<u8> {
    let mut bytes = Vec::new();
    session().write_tls(&mut bytes).unwrap();
    bytes
}

fn get(stream: &mut impl Write, path: &str) {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).unwrap();
}

fn text(server: &Server) -> String {
    let mut stream = connect(server);
    get(&mut stream, "/a.txt");
    body(&read_response(&mut BufReader::new(stream))).to_owned()
}

#[test]
fn many_clients_are_served_at_once() {
    kahn::run(|| {
        let server = start(&[]);
        kahn::scope(|s| {
            for _ in 0..50 {
                s.spawn(|| {
                    let mut reader = BufReader::new(connect(&server));
                    for _ in 0..10 {
                        let post =
                            b"POST /api/counter HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\n2";
                        reader.get_mut().write_all(post).unwrap();
                        assert_status(&read_response(&mut reader), 200);
                        get(reader.get_mut(), "/a.txt");
                        assert_eq!(body(&read_response(&mut reader)), "a text");
                    }
                });
            }
        });
        let mut reader = BufReader::new(connect(&server));
        get(reader.get_mut(), "/api/counter");
        assert_eq!(body(&read_response(&mut reader)), "{\"count\":1000}\n");
    });
}

/// The client says that it sends no more, and the response is longer than all buffers.
#[test]
fn client_that_closes_its_writing_side_gets_the_response() {
    kahn::run(|| {
        let server = start(&[]);
        server.folder.add_large();
        let mut stream = connect(&server);
        get(&mut stream, "/large.bin");
        stream.conn.send_close_notify();
        let response = read_to_end(&mut stream);
        assert_status(&response, 200);
        assert_eq!(body(&response).len(), LARGE);
    });
}

#[test]
fn client_without_tls_is_refused() {
    kahn::run(|| {
        let server = start(&[]);
        for garbage in [&b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"[..], &[0; 100], &[0xff; 100]] {
            let mut stream = connect_plain(&server);
            stream.write_all(garbage).unwrap();
            let mut reply = Vec::new();
            let _ = stream.read_to_end(&mut reply);
            // A fatal alert, if anything.
            assert!(reply.is_empty() || (reply[0], reply[5]) == (21, 2), "{reply:?}");
        }
        assert_eq!(text(&server), "a text");
    });
}

#[test]
fn client_whose_handshake_is_slow_is_disconnected() {
    kahn::run(|| {
        let server = start(&["--idle", "200"]);
        let hello = client_hello();
        for sent in [&[][..], &hello[..10], &hello] {
            let mut stream = connect_plain(&server);
            stream.write_all(sent).unwrap();
            // The server's part of the handshake, and then the end.
            let _ = stream.read_to_end(&mut Vec::new());
        }
        // A byte at a time keeps no connection open: this would take ten seconds.
        let mut stream = connect_plain(&server);
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let ended = hello[..200].iter().any(|byte| {
            let read = stream.write_all(&[*byte]).and_then(|()| stream.read(&mut [0; 256]));
            read.is_ok() || read.is_err_and(|error| error.kind() != ErrorKind::WouldBlock)
        });
        assert!(ended, "the server still waits for the handshake");
    });
}

#[test]
fn client_that_sends_its_body_slowly_is_refused() {
    kahn::run(|| {
        let server = start(&["--body", "100"]);
        let mut reader = BufReader::new(connect(&server));
        let post = b"POST /api/counter HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n4";
        reader.get_mut().write_all(post).unwrap();
        assert_status(&read_response(&mut reader), 408);
    });
}

#[test]
fn client_that_never_reads_is_disconnected() {
    kahn::run(|| {
        // There is one place. So the second client waits until the first has lost it.
        let server = start(&["--connections", "1", "--stalled", "200"]);
        server.folder.add_large();
        let mut stalled = connect(&server);
        get(&mut stalled, "/large.bin");
        stalled.flush().unwrap();
        assert_eq!(text(&server), "a text");
        let mut received = Vec::new();
        assert!(stalled.read_to_end(&mut received).is_err(), "the stream was cut");
        assert!(received.len() < LARGE);
    });
}

#[test]
fn clients_that_vanish_harm_no_other() {
    kahn::run(|| {
        let server = start(&["--connections", "4"]);
        server.folder.add_large();
        let hello = client_hello();
        for n in 0..60 {
            match n % 3 {
                0 => connect_plain(&server).write_all(&hello[..n]).unwrap(),
                1 => connect_plain(&server).write_all(&hello).unwrap(),
                _ => {
                    let mut stream = connect(&server);
                    get(&mut stream, "/large.bin");
                    stream.read_exact(&mut [0; 100]).unwrap();
                }
            }
        }
        assert_eq!(text(&server), "a text");
    });
}

#[test]
fn shutdown_answers_what_has_begun_and_ends_the_streams() {
    kahn::run(|| {
        let server = start(&["--grace", "60000"]);
        let mut idle = BufReader::new(connect(&server));
        get(idle.get_mut(), "/a.txt");
        read_response(&mut idle);
        let mut busy = BufReader::new(connect(&server));
        let head =
            b"POST /api/counter HTTP/1.1\r\nhost: kahn\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n";
        busy.get_mut().write_all(head).unwrap();
        assert_status(&read_response(&mut busy), 100);
        server.signal();
        // Without a notice of the end, this would be an error.
        assert_eq!(idle.read(&mut [0]).unwrap(), 0);
        busy.get_mut().write_all(b"4").unwrap();
        assert_status(&read_response(&mut busy), 200);
        assert_eq!(busy.read(&mut [0]).unwrap(), 0);
        assert_eq!(server_end(server), "served 2 connections; 0 were cancelled\n");
    });
}

#[test]
fn curl_accepts_the_certificate() {
    let server = start(&[]);
    let url = format!("https://localhost:{}/a.txt", server.address.port());
    if let Some(text) = output_of("curl", &["-sS", "-4", "--cacert", CERTIFICATE, &url]) {
        assert_eq!(text, "a text");
    }
}
