//! The real ureq on kahn's streams, with the real hyper as its server.

use std::convert::Infallible;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use kahn::Runtime;
use kahn::channel::{Receiver, bounded};
use kahn::interop::{KahnConnector, KahnResolver, KahnTimer, ureq_agent};
use kahn::net::{self, SocketAddr, TcpListener, TcpStream};
use ureq::config::Config;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};
use ureq::{Agent, Error, Timeout};

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn on_workers(test: impl Fn() + Sync) {
    for workers in [1, 2, 4] {
        Runtime::builder().workers(workers).build().unwrap().run(&test);
    }
}

/// Returns the path and the body of a request.
async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let text = [path.as_bytes(), b" ", &body].concat();
    Ok(Response::new(Full::new(text.into())))
}

/// Runs `client` with the address of a server. Returns how many connections there were.
fn with_server(client: impl FnOnce(SocketAddr)) -> u64 {
    let (listener, address) = listener();
    kahn::scope(|s| {
        let server = s.spawn(|| {
            net::serve(&listener, 1000, |stream| {
                let connection =
                    http1::Builder::new().timer(KahnTimer).serve_connection(stream, service_fn(echo));
                let _ = kahn::block_on(connection);
            })
        });
        client(address);
        listener.close();
        server.join().unwrap().unwrap().connections
    })
}

fn get(agent: &Agent, url: &str) -> Result<String, Error> {
    agent.get(url).call()?.body_mut().read_to_string()
}

/// A server that accepts connections, reads and never answers. Sends the connections' ends to the channel.
fn silent() -> (SocketAddr, Receiver<std::io::Result<usize>>) {
    let (listener, address) = listener();
    let (tx, rx) = bounded(16);
    kahn::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, tx) = (stream.unwrap(), tx.clone());
            kahn::spawn(move || {
                tx.send(std::io::copy(&mut stream, &mut std::io::sink()).map(|n| n as usize))
            });
        }
    });
    (address, rx)
}

#[test]
fn requests_of_one_agent_use_one_connection() {
    on_workers(|| {
        let connections = with_server(|address| {
            let agent = ureq_agent(Config::default());
            for n in 0..100 {
                assert_eq!(
                    get(&agent, &format!("http://{address}/item/{n}")).unwrap(),
                    format!("/item/{n} ")
                );
            }
            let mut reply = agent.post(format!("http://{address}/post")).send("text").unwrap();
            assert_eq!(reply.body_mut().read_to_string().unwrap(), "/post text");
        });
        assert_eq!(connections, 1);
    });
}

#[test]
fn many_green_threads_use_one_agent() {
    on_workers(|| {
        with_server(|address| {
            let config =
                Config::builder().max_idle_connections_per_host(100).max_idle_connections(100).build();
            let agent = ureq_agent(config);
            kahn::scope(|s| {
                for n in 0..30 {
                    let agent = &agent;
                    s.spawn(move || {
                        for m in 0..30 {
                            let path = format!("/{n}/{m}");
                            assert_eq!(
                                get(agent, &format!("http://{address}{path}")).unwrap(),
                                format!("{path} ")
                            );
                        }
                    });
                }
            });
        });
    });
}

/// The turns of a green thread that always yields.
static TURNS: AtomicUsize = AtomicUsize::new(0);
/// How often a connection was asked whether it is open.
static ASKED: AtomicUsize = AtomicUsize::new(0);

/// Checks that the transports before it do not yield when they are asked whether they are open.
#[derive(Debug)]
struct Watch;

impl<In: Transport> Connector<In> for Watch {
    type Out = Watched<In>;

    fn connect(&self, _: &ConnectionDetails, chained: Option<In>) -> Result<Option<Watched<In>>, Error> {
        Ok(chained.map(Watched))
    }
}

#[derive(Debug)]
struct Watched<T>(T);

impl<T: Transport> Transport for Watched<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.0.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        ASKED.fetch_add(1, SeqCst);
        let before = TURNS.load(SeqCst);
        // This is more often than the budget of a green thread allows.
        let is_open = (0..1000).all(|_| self.0.is_open());
        assert_eq!(TURNS.load(SeqCst), before);
        is_open
    }
}

/// ureq asks while it holds a mutex of `std`. If that yielded, another green thread could block the worker.
#[test]
fn connection_that_is_asked_whether_it_is_open_does_not_yield() {
    Runtime::builder().workers(1).build().unwrap().run(|| {
        // It runs on the worker of this green thread, whenever this one yields.
        let yielding = kahn::spawn_local(|| {
            loop {
                TURNS.fetch_add(1, SeqCst);
                kahn::yield_now();
            }
        });
        with_server(|address| {
            let agent = Agent::with_parts(Config::default(), KahnConnector.chain(Watch), KahnResolver);
            (0..3).for_each(|_| assert_eq!(get(&agent, &format!("http://{address}/")).unwrap(), "/ "));
        });
        assert!(ASKED.load(SeqCst) >= 3);
        yielding.cancel();
    });
}

#[test]
fn bodies_larger_than_the_buffers_arrive_whole() {
    on_workers(|| {
        with_server(|address| {
            let body = "x".repeat(3 << 20);
            let agent = ureq_agent(Config::default());
            let mut reply = agent.post(format!("http://{address}/")).send(&body).unwrap();
            assert!(reply.body_mut().read_to_string().unwrap() == format!("/ {body}"));
        });
    });
}

#[test]
fn plain_os_thread_uses_an_agent() {
    let (address, server) = {
        let (tx, rx) = std::sync::mpsc::channel();
        let server = std::thread::spawn(move || {
            kahn::run(|| {
                with_server(|address| {
                    let (stop, stopped) = bounded::<()>(0);
                    tx.send((address, stop)).unwrap();
                    assert!(stopped.recv().is_err());
                })
            })
        });
        (rx.recv().unwrap(), server)
    };
    let (address, stop) = address;
    let agent = ureq_agent(Config::default());
    assert_eq!(get(&agent, &format!("http://{address}/a")).unwrap(), "/a ");
    assert_eq!(get(&agent, &format!("http://localhost:{}/b", address.port())).unwrap(), "/b ");
    drop((stop, agent));
    assert_eq!(server.join().unwrap(), 2);
}

#[test]
fn name_is_looked_up() {
    on_workers(|| {
        with_server(|address| {
            for config in
                [Config::default(), Config::builder().timeout_resolve(Some(Duration::from_secs(60))).build()]
            {
                let agent = ureq_agent(config);
                let url = format!("http://localhost:{}/named", address.port());
                assert_eq!(get(&agent, &url).unwrap(), "/named ");
            }
        });
    });
}

#[test]
fn time_outs_are_those_of_ureq() {
    on_workers(|| {
        let (address, ends) = silent();
        let limit = Some(Duration::from_millis(20));
        let url = format!("http://{address}/");
        let timed_out = |config: Config, reason: Timeout| {
            let agent = ureq_agent(config);
            let error = match reason {
                // Larger than the buffers of the connection.
                Timeout::SendBody => agent.post(&url).send(&vec![0; 64 << 20][..]).unwrap_err(),
                _ => agent.get(&url).call().unwrap_err(),
            };
            assert!(matches!(error, Error::Timeout(actual) if actual == reason), "{error:?}, not {reason:?}");
        };
        timed_out(Config::builder().timeout_global(limit).build(), Timeout::Global);
        timed_out(Config::builder().timeout_recv_response(limit).build(), Timeout::RecvResponse);
        timed_out(Config::builder().timeout_per_read(limit).build(), Timeout::PerRead);
        // The connections have been closed.
        (0..3).for_each(|_| drop(ends.recv().unwrap()));
        let (listener, address) = listener();
        let url = format!("http://{address}/");
        let agent = ureq_agent(Config::builder().timeout_send_body(limit).build());
        let error = agent.post(&url).send(&vec![0; 64 << 20][..]).unwrap_err();
        assert!(matches!(error, Error::Timeout(Timeout::SendBody)), "{error:?}");
        drop(listener);
    });
}

#[test]
fn cancel_ends_a_call_and_closes_its_connection() {
    on_workers(|| {
        let (address, ends) = silent();
        let (tx, rx) = bounded(1);
        let call = kahn::spawn(move || {
            tx.send(()).unwrap();
            ureq_agent(Config::default()).get(format!("http://{address}/")).call().map(drop)
        });
        rx.recv().unwrap();
        call.cancel();
        assert!(call.join().unwrap_err().is_cancelled());
        // A cancel may come before the connection.
        let _ = TcpStream::connect(address).unwrap();
        ends.recv().unwrap().unwrap();
    });
}

#[test]
fn shutdown_of_the_agent_ends_calls_that_wait() {
    on_workers(|| {
        let (listener, address) = listener();
        let agent = ureq_agent(Config::default());
        let call = kahn::spawn({
            let agent = agent.clone();
            move || agent.get(format!("http://{address}/")).call().map(drop)
        });
        let (stream, _) = listener.accept().unwrap();
        // The request has come, so the call waits for the response.
        BufReader::new(&stream).read_line(&mut String::new()).unwrap();
        agent.clone().shutdown();
        let error = call.join().unwrap().unwrap_err();
        assert!(matches!(&error, Error::Io(error) if error.kind() == ErrorKind::NotConnected), "{error:?}");
        assert!(get(&agent, &format!("http://{address}/")).is_err());
    });
}

#[test]
fn connection_that_the_server_has_closed_is_not_used_again() {
    on_workers(|| {
        let (listener, address) = listener();
        let (close, closing) = bounded::<()>(0);
        let server = kahn::spawn(move || {
            for _ in 0..2 {
                let (stream, _) = listener.accept().unwrap();
                let mut lines = BufReader::new(&stream).lines();
                while !lines.next().unwrap().unwrap().is_empty() {}
                (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
                closing.recv().unwrap();
                drop(lines);
                drop(stream);
                closing.recv().unwrap();
            }
        });
        let agent = ureq_agent(Config::default());
        let url = format!("http://{address}/");
        assert_eq!(get(&agent, &url).unwrap(), "ok");
        // The second time, the connection has been closed.
        (0..2).for_each(|_| close.send(()).unwrap());
        assert_eq!(get(&agent, &url).unwrap(), "ok");
        (0..2).for_each(|_| close.send(()).unwrap());
        server.join().unwrap();
    });
}

/// Returns an address at which nothing listens, and then that of the server.
#[derive(Debug)]
struct TwoAddresses(SocketAddr);

impl Resolver for TwoAddresses {
    fn resolve(&self, _: &hyper::Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut addresses = self.empty();
        addresses.push(closed);
        addresses.push(self.0);
        Ok(addresses)
    }
}

#[test]
fn next_address_is_tried_if_one_refuses() {
    on_workers(|| {
        with_server(|address| {
            for timeout in [None, Some(Duration::from_secs(60))] {
                let config = Config::builder().timeout_connect(timeout).build();
                let agent = Agent::with_parts(config, KahnConnector, TwoAddresses(address));
                assert_eq!(get(&agent, "http://example.org/").unwrap(), "/ ");
            }
        });
    });
}

#[test]
fn refused_connection_is_an_error() {
    on_workers(|| {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = get(&ureq_agent(Config::default()), &format!("http://{closed}/")).unwrap_err();
        assert!(
            matches!(&error, Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused),
            "{error:?}"
        );
        let error = get(&ureq_agent(Config::default()), "gopher://localhost/").unwrap_err();
        assert!(matches!(error, Error::BadUri(_)), "{error:?}");
    });
}

#[test]
fn proxy_is_used_if_its_connector_is_in_the_chain() {
    on_workers(|| {
        with_server(|address| {
            let (listener, proxy) = listener();
            let tunnels = AtomicUsize::new(0);
            kahn::scope(|s| {
                s.spawn(|| {
                    net::serve(&listener, 10, |stream| {
                        let mut lines = BufReader::new(&stream).lines();
                        let first = lines.next().unwrap().unwrap();
                        while !lines.next().unwrap().unwrap().is_empty() {}
                        let target = first.split(' ').nth(1).unwrap();
                        tunnels.fetch_add(1, SeqCst);
                        (&stream).write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                        let server = TcpStream::connect(target).unwrap();
                        kahn::scope(|s| {
                            s.spawn(|| {
                                let _ = std::io::copy(&mut &server, &mut &stream);
                                let _ = stream.shutdown(net::Shutdown::Write);
                            });
                            let _ = std::io::copy(&mut &stream, &mut &server);
                            let _ = server.shutdown(net::Shutdown::Write);
                        });
                    })
                    .unwrap();
                });
                let proxy = ureq::Proxy::new(&format!("http://{proxy}")).unwrap();
                let config = Config::builder().proxy(Some(proxy)).build();
                let url = format!("http://{address}/through");
                assert_eq!(get(&ureq_agent(config.clone()), &url).unwrap(), "/through ");
                assert_eq!(tunnels.load(SeqCst), 1);
                let alone = Agent::with_parts(config, KahnConnector, KahnResolver);
                let error = get(&alone, &url).unwrap_err();
                assert!(error.to_string().contains("proxy"), "{error}");
                listener.close();
            });
        });
    });
}

#[test]
fn response_that_ends_too_early_is_an_error() {
    on_workers(|| {
        let (listener, address) = listener();
        let server = kahn::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort").unwrap();
            stream.shutdown(net::Shutdown::Write).unwrap();
            std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
        });
        let mut reply = ureq_agent(Config::default()).get(format!("http://{address}/")).call().unwrap();
        let mut text = String::new();
        assert!(reply.body_mut().as_reader().read_to_string(&mut text).is_err(), "{text}");
        drop(reply);
        server.join().unwrap();
    });
}
