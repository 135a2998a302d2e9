//! The body of a response.

use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use kahn::fs::File;

/// How much of a file is read at a time.
const CHUNK: u64 = 64 << 10;

/// The body of a response: a text, or the contents of a file.
pub enum Body {
    Text(Bytes),
    File { file: File, left: u64 },
}

impl Body {
    fn left(&self) -> u64 {
        match self {
            Body::Text(text) => text.len() as u64,
            Body::File { left, .. } => *left,
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.is_end_stream() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(
            match &mut *self {
                Body::Text(text) => Ok(std::mem::take(text)),
                // Blocking code in a future: the green thread parks while the file is read.
                Body::File { file, left } => read_chunk(file, left),
            }
            .map(Frame::data),
        ))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}

fn read_chunk(file: &mut File, left: &mut u64) -> io::Result<Bytes> {
    let mut chunk = vec![0; usize::try_from((*left).min(CHUNK)).expect("a chunk is small")];
    let n = file.read(&mut chunk)?;
    if n == 0 {
        // The file has been cut since its length was sent. The connection is closed, so the client notices.
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    chunk.truncate(n);
    *left -= n as u64;
    Ok(chunk.into())
}
