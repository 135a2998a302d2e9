//! Which request gets which response; the counter.
//!
//! `respond` is async only to read the body of a request. All else is blocking code.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, LOCATION};
use hyper::{Method, Request, Response, StatusCode};
use kahn::actor::{self, Actor, ActorRef, Context, ExitReason, Reply};
use kahn::time::timeout_async;

use crate::body::Body;
use crate::files::{Found, Site};

/// The size of the body of a request.
const BODY_BYTES: usize = 64 << 10;

const JSON: &str = "application/json";

/// What the server offers.
pub struct Service {
    site: Site,
    counter: ActorRef<Count>,
}

/// The counter. An actor handles one message at a time, so its state needs no lock.
#[derive(Default)]
struct Counter(u64);

enum Count {
    /// Adds a number, and returns the sum.
    Add(u64, Reply<u64>),
}

impl Actor for Counter {
    type Message = Count;

    fn handle(&mut self, message: Count, _: &mut Context<Self>) -> Result<(), ExitReason> {
        let Count::Add(amount, reply) = message;
        self.0 = self.0.wrapping_add(amount);
        // The client may have gone.
        let _ = reply.send(self.0);
        Ok(())
    }
}

impl Service {
    /// Makes a service for the files below a folder.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such folder.
    pub fn new(folder: &Path) -> std::io::Result<Service> {
        Ok(Service { site: Site::new(folder)?, counter: actor::spawn(Counter::default()) })
    }

    /// Handles a request.
    pub async fn respond(&self, request: Request<Incoming>, limit: Duration) -> Response<Body> {
        let allowed = match request.uri().path() {
            "/api/counter" => "GET, HEAD, POST",
            _ => "GET, HEAD",
        };
        let is_allowed = allowed.split(", ").any(|method| method == request.method().as_str());
        if !is_allowed {
            return with_header(text(StatusCode::METHOD_NOT_ALLOWED, "no such method\n"), ALLOW, allowed);
        }
        match request.uri().path() {
            "/api/time" => json(&format!("{{\"unix_ms\":{}}}\n", unix_ms())),
            "/api/counter" if request.method() == Method::POST => match read_number(request, limit).await {
                Ok(amount) => self.count(amount),
                Err(refusal) => refusal,
            },
            "/api/counter" => self.count(0),
            path => self.file(path),
        }
    }

    /// Asks the actor. The green thread parks until it has the reply.
    fn count(&self, amount: u64) -> Response<Body> {
        match self.counter.ask(|reply| Count::Add(amount, reply)) {
            Ok(sum) => json(&format!("{{\"count\":{sum}}}\n")),
            Err(error) => text(StatusCode::SERVICE_UNAVAILABLE, &format!("{error}\n")),
        }
    }

    /// Opens a file. The green thread parks meanwhile, and the worker goes on.
    fn file(&self, path: &str) -> Response<Body> {
        match self.site.find(path) {
            Ok(Some(Found::File { file, len, kind })) => {
                with_header(Response::new(Body::File { file, left: len }), CONTENT_TYPE, kind)
            }
            Ok(Some(Found::Folder)) => {
                let moved = text(StatusCode::MOVED_PERMANENTLY, "it is a folder\n");
                with_header(moved, LOCATION, &format!("{path}/"))
            }
            Ok(None) => text(StatusCode::NOT_FOUND, "not found\n"),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                text(StatusCode::FORBIDDEN, "not allowed\n")
            }
            Err(error) => {
                eprintln!("{path}: {error}");
                text(StatusCode::INTERNAL_SERVER_ERROR, "the file cannot be read\n")
            }
        }
    }
}

/// Reads the number in the body of a request. Returns the response if there is none.
async fn read_number(request: Request<Incoming>, limit: Duration) -> Result<u64, Response<Body>> {
    let body = Limited::new(request.into_body(), BODY_BYTES).collect();
    let body = match timeout_async(limit, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(last(text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n")));
        }
        Ok(Err(_)) => return Err(last(text(StatusCode::BAD_REQUEST, "the body is not complete\n"))),
        Err(_) => return Err(last(text(StatusCode::REQUEST_TIMEOUT, "the body has come too late\n"))),
    };
    let number = str::from_utf8(&body).ok().and_then(|text| text.trim().parse().ok());
    number.ok_or_else(|| text(StatusCode::BAD_REQUEST, "the body is not a number\n"))
}

fn unix_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis())
}

fn json(text: &str) -> Response<Body> {
    with_header(Response::new(Body::Text(Bytes::copy_from_slice(text.as_bytes()))), CONTENT_TYPE, JSON)
}

fn text(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::Text(Bytes::copy_from_slice(text.as_bytes())));
    *response.status_mut() = status;
    with_header(response, CONTENT_TYPE, "text/plain; charset=utf-8")
}

/// Lets hyper close the connection after the response, because the rest of the request is not read.
fn last(response: Response<Body>) -> Response<Body> {
    with_header(response, CONNECTION, "close")
}

fn with_header(mut response: Response<Body>, name: HeaderName, value: &str) -> Response<Body> {
    if let Ok(value) = value.parse() {
        response.headers_mut().insert(name, value);
    }
    response
}
