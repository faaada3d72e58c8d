//! What a request asks of a server.
//!
//! Invariant: what is sent can be sent again from its start, for another try.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use ureq::http::Response;
use ureq::{Agent, Body, RequestBuilder, SendBody};

/// What is done with what a URL names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// It is read.
    Get,
    /// Something is begun there.
    Post,
    /// It is made.
    Put,
    /// It is removed.
    Delete,
}

/// What is sent with a request.
#[derive(Debug, Clone)]
pub(super) enum Sent {
    Nothing,
    Bytes(Vec<u8>),
    /// A whole file, of so many bytes.
    File(Arc<File>, u64),
}

/// A request: what is done, and what is sent for it.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) sent: Sent,
}

impl Method {
    /// As HTTP has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

impl From<Method> for Request {
    fn from(method: Method) -> Self {
        Self { method, sent: Sent::Nothing }
    }
}

impl Request {
    /// Sends a request, and waits for the head of its answer.
    pub(super) fn ask(
        self,
        agent: &Agent,
        url: &str,
        headers: &[(&'static str, String)],
    ) -> Result<Response<Body>, ureq::Error> {
        let request = match self.method {
            Method::Get => return with(agent.get(url), headers).call(),
            Method::Delete => return with(agent.delete(url), headers).call(),
            Method::Post => with(agent.post(url), headers),
            Method::Put => with(agent.put(url), headers),
        };
        match self.sent {
            Sent::Nothing => request.send_empty(),
            Sent::Bytes(bytes) => request.send(&bytes[..]),
            Sent::File(file, bytes) => {
                let request = request.header("content-length", bytes);
                request.send(SendBody::from_owned_reader(FromStart { file, position: 0 }))
            }
        }
    }
}

/// Reads a file from its start, whatever its cursor.
struct FromStart {
    file: Arc<File>,
    position: u64,
}

impl Read for FromStart {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read_at(buffer, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

/// The request with these headers.
fn with<B>(request: RequestBuilder<B>, headers: &[(&'static str, String)]) -> RequestBuilder<B> {
    headers.iter().fold(request, |request, (name, value)| request.header(*name, value))
}
