//! The real hyper, as server and as client, on kahn's streams, timers and tasks.

use std::convert::Infallible;
use std::future::Future;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use kahn::interop::{KahnExecutor, KahnLocalExecutor, KahnTimer};
use kahn::net::{TcpListener, TcpStream};
use kahn::{Runtime, task};

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (ours, listener.accept().unwrap().0)
}

fn on_workers(test: impl Fn() + Sync) {
    for workers in [1, 2, 4] {
        Runtime::builder().workers(workers).build().unwrap().run(&test);
    }
}

/// Returns the path and the body of a request, in capital letters.
async fn shout(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let text = format!("{path} {}", String::from_utf8_lossy(&body)).to_uppercase();
    // Blocking code in a task: the task parks.
    kahn::sleep(Duration::from_micros(1));
    Ok(Response::new(Full::new(text.into())))
}

fn serve<S: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static>(
    stream: S,
) -> task::JoinHandle<hyper::Result<()>> {
    task::spawn(server::Builder::new().timer(KahnTimer).serve_connection(stream, service_fn(shout)))
}

type Client = client::SendRequest<Full<Bytes>>;

async fn connect<S: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static>(stream: S) -> Client {
    let (client, connection) = client::handshake(stream).await.unwrap();
    task::spawn(connection);
    client
}

async fn post(client: &mut Client, path: &str, body: Bytes) -> Bytes {
    client.ready().await.unwrap();
    let request = Request::builder().method(Method::POST).uri(path).header("host", "kahn");
    let response = client.send_request(request.body(Full::new(body)).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    response.into_body().collect().await.unwrap().to_bytes()
}

#[test]
fn client_and_server_exchange_many_requests_on_one_connection() {
    on_workers(|| {
        let (ours, theirs) = pair();
        let server = serve(theirs);
        let client = task::spawn(async move {
            let mut client = connect(ours).await;
            for n in 0..200 {
                let reply = post(&mut client, &format!("/item/{n}"), format!("text {n}").into()).await;
                assert_eq!(reply, format!("/ITEM/{n} TEXT {n}"));
            }
        });
        client.join().unwrap();
        server.join().unwrap().unwrap();
    });
}

#[test]
fn client_and_server_talk_over_a_unix_socket() {
    on_workers(|| {
        let (ours, theirs) = kahn::os::unix::net::UnixStream::pair().unwrap();
        let server = serve(theirs);
        let mut client = kahn::block_on(connect(ours));
        assert_eq!(kahn::block_on(post(&mut client, "/u", "x".into())), "/U X");
        drop(client);
        server.join().unwrap().unwrap();
    });
}

#[test]
fn green_thread_calls_the_client() {
    on_workers(|| {
        let (ours, theirs) = pair();
        let server = serve(theirs);
        let mut client = kahn::block_on(connect(ours));
        assert_eq!(kahn::block_on(post(&mut client, "/a", "b".into())), "/A B");
        drop(client);
        server.join().unwrap().unwrap();
    });
}

#[test]
fn bodies_larger_than_the_buffers_arrive_whole() {
    on_workers(|| {
        let (ours, theirs) = pair();
        let server = serve(theirs);
        let client = task::spawn(async move {
            let mut client = connect(ours).await;
            let reply = post(&mut client, "/", vec![b'x'; 3 << 20].into()).await;
            assert_eq!(reply.len(), 2 + (3 << 20));
            assert!(reply[2..].iter().all(|byte| *byte == b'X'));
        });
        client.join().unwrap();
        server.join().unwrap().unwrap();
    });
}

#[test]
fn header_time_out_ends_a_connection_that_sends_half_a_head() {
    on_workers(|| {
        let (mut ours, theirs) = pair();
        // All is sent before the server looks at the time.
        ours.write_all(b"GET /one HTTP/1.1\r\nhost: kahn\r\n\r\nGET /two HTTP/1.1\r\nho").unwrap();
        let start = Instant::now();
        let mut builder = server::Builder::new();
        builder.timer(KahnTimer).header_read_timeout(Duration::from_millis(20));
        let server = task::spawn(builder.serve_connection(theirs, service_fn(shout)));
        assert!(server.join().unwrap().unwrap_err().is_timeout());
        assert!(start.elapsed() >= Duration::from_millis(20));
        let mut reply = String::new();
        ours.read_to_string(&mut reply).unwrap();
        assert!(reply.ends_with("/ONE "), "{reply}");
    });
}

#[test]
fn graceful_shutdown_finishes_the_request_in_flight() {
    on_workers(|| {
        let (mut ours, theirs) = pair();
        let (begun, has_begun) = kahn::channel::bounded(1);
        let (go_on, waits) = kahn::channel::bounded::<()>(1);
        let service = service_fn(move |_: Request<Incoming>| {
            let (begun, waits) = (begun.clone(), waits.clone());
            async move {
                begun.send_async(()).await.unwrap();
                waits.recv_async().await.unwrap();
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"done"))))
            }
        });
        let (stop, stopped) = kahn::channel::bounded::<()>(1);
        let server = task::spawn(async move {
            let connection = server::Builder::new().timer(KahnTimer).serve_connection(theirs, service);
            let mut connection = std::pin::pin!(connection);
            let mut stopping = std::pin::pin!(stopped.recv_async());
            let mut is_stopping = false;
            std::future::poll_fn(|context| {
                if !is_stopping && stopping.as_mut().poll(context).is_ready() {
                    is_stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                connection.as_mut().poll(context)
            })
            .await
        });
        ours.write_all(b"GET / HTTP/1.1\r\nhost: kahn\r\n\r\n").unwrap();
        has_begun.recv().unwrap();
        stop.send(()).unwrap();
        go_on.send(()).unwrap();
        let mut reply = String::new();
        // The server closes the connection, although the client would keep it.
        ours.read_to_string(&mut reply).unwrap();
        assert!(reply.ends_with("\r\n\r\ndone"), "{reply}");
        server.join().unwrap().unwrap();
    });
}

#[test]
fn cancelled_connection_is_closed() {
    on_workers(|| {
        let (mut ours, theirs) = pair();
        let server = serve(theirs);
        kahn::yield_now();
        server.cancel();
        assert!(server.join().unwrap_err().is_cancelled());
        assert_eq!(ours.read(&mut [0; 8]).unwrap(), 0);
    });
}

#[test]
fn executors_run_futures_as_tasks() {
    use hyper::rt::Executor;
    on_workers(|| {
        let (tx, rx) = kahn::channel::bounded(2);
        let local = tx.clone();
        KahnExecutor.execute(async move { tx.send_async(1).await.unwrap() });
        KahnLocalExecutor.execute(async move {
            let two = std::rc::Rc::new(2);
            kahn::task::yield_now().await;
            local.send_async(*two).await.unwrap();
        });
        assert_eq!(rx.iter().sum::<i32>(), 3);
    });
}

#[test]
fn timer_sleeps_until_its_last_deadline() {
    use hyper::rt::Timer;
    on_workers(|| {
        let start = Instant::now();
        let mut sleep = KahnTimer.sleep(Duration::from_secs(3600));
        let slept = task::spawn(async move {
            // The timer is set, and then set anew.
            assert!(kahn::time::timeout_async(Duration::from_millis(1), sleep.as_mut()).await.is_err());
            KahnTimer.reset(&mut sleep, start + Duration::from_millis(5));
            sleep.await;
        });
        slept.join().unwrap();
        assert!(start.elapsed() >= Duration::from_millis(5));
    });
}
