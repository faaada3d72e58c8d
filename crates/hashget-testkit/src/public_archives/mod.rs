//! Software Heritage and the Wayback Machine on one loopback port, as far as restoring uses them, with limits and faults on
//! demand. Written after the documentation of their interfaces: the API of Software Heritage, version 1 (`content`, `extid`,
//! `vault`), and the CDX server and the replay of the Wayback Machine.
//!
//! Invariant: every request is in the log before its answer can be seen. Nothing keeps running after the [`PublicArchives`] are
//! dropped.

mod answer;

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use crate::listener::{Listener, Stopping, lock};

/// What goes wrong with requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 429, without a word about when it ends.
    TooMany,
    /// 429, and `Retry-After` with so many seconds.
    RetryAfter(u64),
    /// A redirect to a page where people log in.
    LoginPage,
    /// A page for people, with status 200.
    Page,
    /// JSON of another shape.
    OtherJson,
    /// Other bytes in place of a content.
    OtherBytes,
    /// The connection is closed before the answer.
    Close,
    /// Nothing is answered until the server stops.
    Hang,
    /// 503.
    Down,
}

/// What the vault does with a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vault {
    /// It is there after it was looked for so often.
    DoneAfter(u32),
    /// It cannot be put together.
    Failed,
}

/// A request, and the status of its answer; 0 if none came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET` or `POST`.
    pub method: String,
    /// The path with its query, as sent.
    pub path: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The status.
    pub status: u16,
}

/// A directory and its vault.
#[derive(Debug, Clone)]
struct Directory {
    tarball: Vec<u8>,
    vault: Vault,
    /// How often it was asked for; none before it was begun.
    asked: Option<u32>,
}

/// A copy: its time and its bytes.
type Snapshot = (String, Vec<u8>);

#[derive(Default)]
struct State {
    stopping: Arc<Stopping>,
    contents: Mutex<BTreeMap<String, Vec<u8>>>,
    /// The directory of a tarball's digest.
    tarballs: Mutex<BTreeMap<String, String>>,
    directories: Mutex<BTreeMap<String, Directory>>,
    /// Copies by URL, each with its time.
    copies: Mutex<BTreeMap<String, Vec<Snapshot>>>,
    /// Faults of paths that begin so.
    faults: Mutex<Vec<(String, Fault)>>,
    /// Requests of the API that are answered still, and the seconds until there are more again.
    left: Mutex<Option<(u64, u64)>>,
    log: Mutex<Vec<Request>>,
}

/// Both services. They stop when dropped.
pub struct PublicArchives {
    state: Arc<State>,
    listener: Listener,
}

impl PublicArchives {
    /// Starts them on a free port of 127.0.0.1. They have nothing yet.
    pub fn start() -> Self {
        let state = Arc::new(State::default());
        let listener = Listener::start(&state, &state.stopping, connection);
        Self { state, listener }
    }

    /// The base address of both.
    pub fn base(&self) -> String {
        format!("http://{}", self.listener.address())
    }

    /// Software Heritage has a file with these bytes.
    pub fn has_content(&self, bytes: &[u8]) {
        let sha256 = hex::encode(Sha256::digest(bytes));
        lock(&self.state.contents).insert(sha256, bytes.to_vec());
    }

    /// Software Heritage has loaded the package with these bytes as a directory, which its vault gives as `tarball`
    /// (`.tar.gz`). Returns the directory's identifier.
    pub fn has_directory(&self, package: &[u8], tarball: &[u8], vault: Vault) -> String {
        let directory = format!("swh:1:dir:{}", hex::encode(Sha1::digest(package)));
        let sha256 = hex::encode(Sha256::digest(package));
        lock(&self.state.tarballs).insert(sha256, directory.clone());
        let made = Directory { tarball: tarball.to_vec(), vault, asked: None };
        lock(&self.state.directories).insert(directory.clone(), made);
        directory
    }

    /// The Wayback Machine has a copy of `url` of this time, `YYYYMMDDhhmmss`.
    pub fn has_copy(&self, url: &str, time: &str, bytes: &[u8]) {
        let copy = (time.to_owned(), bytes.to_vec());
        lock(&self.state.copies).entry(url.to_owned()).or_default().push(copy);
    }

    /// Every request for a path that begins so has this fault from now on.
    pub fn fault(&self, path: &str, fault: Fault) {
        lock(&self.state.faults).push((path.to_owned(), fault));
    }

    /// There are no faults from now on.
    pub fn heal(&self) {
        lock(&self.state.faults).clear();
    }

    /// Software Heritage answers so many more requests, and so many again after this number of seconds.
    pub fn limit(&self, requests: u64, seconds: u64) {
        *lock(&self.state.left) = Some((requests, seconds));
    }

    /// Every request so far, in order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.state.log).clone()
    }

    /// The paths of the requests so far that begin so.
    pub fn requests_below(&self, path: &str) -> usize {
        self.requests().iter().filter(|request| request.path.starts_with(path)).count()
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Answers the requests of one connection until either side closes it.
fn connection(stream: &TcpStream, state: &State) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(mut request) = read_request(&mut reader)? {
        let fault = {
            let faults = lock(&state.faults);
            let found = faults.iter().find(|(path, _)| request.path.starts_with(path));
            found.map(|(_, fault)| *fault)
        };
        if matches!(fault, Some(Fault::Hang | Fault::Close)) {
            lock(&state.log).push(request);
            while fault == Some(Fault::Hang) && !state.stopping.has_begun() {
                std::thread::sleep(Duration::from_millis(10));
            }
            break;
        }
        let answer = answer::answer(state, &request, fault);
        request.status = answer.status;
        lock(&state.log).push(request);
        let mut head = format!("HTTP/1.1 {} Scripted\r\n", answer.status);
        for (name, value) in &answer.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("Content-Length: {}\r\n\r\n", answer.body.len());
        let mut out = stream;
        out.write_all(head.as_bytes())?;
        out.write_all(&answer.body)?;
    }
    stream.shutdown(Shutdown::Both)
}

/// Reads a request; its body, which none needs, must be empty. `None` if the client closed the connection.
fn read_request(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let method = words.next().unwrap_or_default();
    let path = words.next().unwrap_or_default();
    let mut authorization = None;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("authorization")
        {
            authorization = Some(value.trim().to_owned());
        }
    }
    Ok(Some(Request { method, path, authorization, status: 0 }))
}
