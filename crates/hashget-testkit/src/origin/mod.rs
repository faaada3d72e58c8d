//! A scripted HTTP/1.1 server on a loopback port, with faults on demand.
//!
//! Invariant: every request is in the log before its response can be seen. Nothing keeps running after the [`Origin`] is
//! dropped.

mod answer;
mod fault;

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

pub use fault::Fault;

use crate::listener::{Listener, Stopping, lock};

/// A request and its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `HEAD`, ...
    pub method: String,
    /// The path with its query, as sent.
    pub path: String,
    /// The `Range` header.
    pub range: Option<String>,
    /// The `If-Range` header.
    pub if_range: Option<String>,
    /// The `Accept` header.
    pub accept: Option<String>,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The response status; 0 if the connection was dropped or left hanging.
    pub status: u16,
    /// Number of bytes of the body that were sent.
    pub bytes: u64,
}

/// The content and faults of one path.
#[derive(Default, Clone)]
struct Page {
    content: Option<Arc<Vec<u8>>>,
    script: VecDeque<Fault>,
    always: Vec<Fault>,
}

#[derive(Default)]
struct State {
    stopping: Arc<Stopping>,
    pages: Mutex<BTreeMap<String, Page>>,
    log: Mutex<Vec<Request>>,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

/// The server. Stops when dropped.
pub struct Origin {
    state: Arc<State>,
    listener: Listener,
}

impl Origin {
    /// Starts a server on a free port of 127.0.0.1.
    pub fn start() -> Self {
        let state = Arc::new(State::default());
        let listener = Listener::start(&state, &state.stopping, connection);
        Self { state, listener }
    }

    /// The URL of `path`, which begins with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listener.address())
    }

    /// Serves `content` at `path` from now on. Replaces earlier content; faults stay.
    pub fn serve(&self, path: &str, content: impl Into<Vec<u8>>) {
        let content = Some(Arc::new(content.into()));
        lock(&self.state.pages).entry(path.to_owned()).or_default().content = content;
    }

    /// Applies these faults to the next requests of `path`, one each, in order.
    pub fn script(&self, path: &str, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.state.pages).entry(path.to_owned()).or_default().script.extend(faults);
    }

    /// Applies this fault to every request of `path`, in addition to the scripted ones.
    pub fn always(&self, path: &str, fault: Fault) {
        lock(&self.state.pages).entry(path.to_owned()).or_default().always.push(fault);
    }

    /// Removes all faults of `path`.
    pub fn heal(&self, path: &str) {
        if let Some(page) = lock(&self.state.pages).get_mut(path) {
            page.script.clear();
            page.always.clear();
        }
    }

    /// Every request so far, in order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.state.log).clone()
    }

    /// The requests of one path so far.
    pub fn requests_of(&self, path: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.path == path).collect()
    }

    /// The highest number of concurrent requests.
    pub fn most_at_once(&self) -> usize {
        self.state.most_at_once.load(Ordering::SeqCst)
    }
}

/// Answers the requests of one connection until either side closes it.
fn connection(stream: &TcpStream, state: &State) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    // Not the first letter of a method; for example, a client that speaks TLS.
    if reader.fill_buf()?.first().is_some_and(|byte| !byte.is_ascii_uppercase()) {
        let mut out = stream;
        out.write_all(b"HTTP/1.1 400 Scripted\r\nContent-Length: 0\r\n\r\n")?;
        return stream.shutdown(Shutdown::Both);
    }
    while let Some((request, keep_alive)) = read_request(&mut reader)? {
        let count = state.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        state.most_at_once.fetch_max(count, Ordering::SeqCst);
        let faults = faults_of(state, &request.path);
        let open = answer::answer(stream, state, request, &faults);
        state.at_once.fetch_sub(1, Ordering::SeqCst);
        if !open? || !keep_alive {
            break;
        }
    }
    stream.shutdown(Shutdown::Both)
}

/// The path without its query.
fn page_of(path: &str) -> &str {
    path.split('?').next().unwrap_or(path)
}

/// The faults of the next request of a path. Removes the scripted one from its list.
fn faults_of(state: &State, path: &str) -> Vec<Fault> {
    let mut pages = lock(&state.pages);
    let Some(page) = pages.get_mut(page_of(path)) else { return Vec::new() };
    let scripted = page.script.pop_front();
    page.always.iter().cloned().chain(scripted).collect()
}

/// Reads the head of a request, and whether the connection is kept. `None` if the client closed it.
fn read_request(reader: &mut BufReader<TcpStream>) -> io::Result<Option<(Request, bool)>> {
    // More than our clients send.
    let mut reader = reader.take(64 * 1024);
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let path = words.next().unwrap_or_default().to_owned();
    let (mut range, mut if_range, mut accept, mut authorization) = (None, None, None, None);
    let mut keep_alive = true;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        let Some((name, value)) = header.split_once(':') else { continue };
        let value = value.trim().to_owned();
        match name.to_ascii_lowercase().as_str() {
            "range" => range = Some(value),
            "if-range" => if_range = Some(value),
            "accept" => accept = Some(value),
            "authorization" => authorization = Some(value),
            "connection" => keep_alive = !value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    let (status, bytes) = (0, 0);
    let request = Request { method, path, range, if_range, accept, authorization, status, bytes };
    Ok(Some((request, keep_alive)))
}
