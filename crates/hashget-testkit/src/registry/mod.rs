//! A registry of container images on a loopback port, as far as pools use it, with faults on demand. Written after the
//! distribution specification of the Open Container Initiative, and the description of its tokens.
//!
//! Invariant: a blob or a manifest is there as a whole and has its digest, unless a test damages it. Nothing keeps running
//! after the [`Registry`] is dropped.

mod answer;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};

use crate::listener::{Listener, Stopping, lock};

/// What a registry may do in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manner {
    /// It wants a token for everything, which it gives to anybody for reading.
    Tokens,
    /// It gives tokens for writing to whoever has the login `user`, `s3cret` alone.
    Logins,
    /// It removes nothing.
    KeepsAll,
    /// Blobs are at another place of the server, to which it redirects.
    Redirects,
    /// It answers 503.
    Down,
    /// Uploads lose a byte on their way.
    LosesBytes,
}

/// A request, and the status of its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, ...
    pub method: String,
    /// The path with its query, as sent.
    pub path: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The status.
    pub status: u16,
}

#[derive(Default)]
struct State {
    stopping: Arc<Stopping>,
    address: Mutex<String>,
    manners: Mutex<BTreeSet<Manner>>,
    /// By digest, `sha256:HEX`.
    blobs: Mutex<BTreeMap<String, Vec<u8>>>,
    manifests: Mutex<BTreeMap<String, Vec<u8>>>,
    /// The digest of a manifest, by tag.
    tags: Mutex<BTreeMap<String, String>>,
    log: Mutex<Vec<Request>>,
}

/// The registry. Stops when dropped.
pub struct Registry {
    state: Arc<State>,
    listener: Listener,
}

impl Registry {
    /// Starts a registry on a free port of 127.0.0.1.
    pub fn start() -> Self {
        let state = Arc::new(State::default());
        let listener = Listener::start(&state, &state.stopping, connection);
        *lock(&state.address) = listener.address().to_string();
        Self { state, listener }
    }

    /// The address of a repository, without TLS.
    pub fn repository(&self, name: &str) -> String {
        format!("oci+http://{}/{name}", self.listener.address())
    }

    /// It does so from now on.
    pub fn do_so(&self, manner: Manner) {
        lock(&self.state.manners).insert(manner);
    }

    /// It does so no more.
    pub fn stop_so(&self, manner: Manner) {
        lock(&self.state.manners).remove(&manner);
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.state.log).clone()
    }

    /// The digests of all blobs, `sha256:HEX`.
    pub fn blobs(&self) -> Vec<String> {
        lock(&self.state.blobs).keys().cloned().collect()
    }

    /// The tags.
    pub fn tags(&self) -> Vec<String> {
        lock(&self.state.tags).keys().cloned().collect()
    }

    /// Gives a manifest that is none of ours a tag.
    pub fn tag(&self, name: &str, manifest: &str) {
        answer::keep_manifest(&self.state, name, manifest.as_bytes());
    }

    /// Changes a byte of the blob with this SHA-256, in hexadecimal digits.
    pub fn damage(&self, sha256: &str) {
        if let Some(blob) = lock(&self.state.blobs).get_mut(&format!("sha256:{sha256}"))
            && let Some(byte) = blob.last_mut()
        {
            *byte ^= 1;
        }
    }
}

/// Answers the requests of one connection until either side closes it.
fn connection(stream: &TcpStream, state: &State) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some((mut request, length)) = read_head(&mut reader)? {
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let answer = answer::answer(state, &request, body);
        request.status = answer.status;
        let is_head = request.method == "HEAD";
        lock(&state.log).push(request);
        let mut head = format!("HTTP/1.1 {} Scripted\r\n", answer.status);
        for (name, value) in &answer.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("Content-Length: {}\r\n\r\n", answer.body.len());
        let mut out = stream;
        out.write_all(head.as_bytes())?;
        if !is_head {
            out.write_all(&answer.body)?;
        }
    }
    stream.shutdown(Shutdown::Both)
}

/// Reads the head of a request: the request, and the length of its body. `None` if the client closed the connection.
fn read_head(reader: &mut BufReader<TcpStream>) -> io::Result<Option<(Request, usize)>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (mut authorization, mut length) = (None, 0);
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        let Some((name, value)) = header.split_once(':') else { continue };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => authorization = Some(value.trim().to_owned()),
            "content-length" => length = value.trim().parse().unwrap_or(0),
            _ => {}
        }
    }
    Ok(Some((Request { method, path, authorization, status: 0 }, length)))
}
