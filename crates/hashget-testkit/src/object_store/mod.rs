//! An object store that speaks as much of S3 as backups need, on a loopback port, with faults on demand. Written after
//! Amazon's documentation of the API.
//!
//! Invariant: an object is there as a whole or not at all. Nothing keeps running after the [`ObjectStore`] is dropped.

mod answer;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};

use percent_encoding::percent_decode_str;

use crate::listener::{Listener, Stopping, lock};

/// The only bucket.
pub const BUCKET: &str = "night";

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The head of an object.
    Head,
    /// An object's bytes.
    Get,
    /// An object by one request.
    Put,
    /// An upload begins.
    Begin,
    /// A part of an upload.
    Part,
    /// An upload becomes an object.
    Complete,
    /// An upload is given up.
    Abort,
    /// An object is removed.
    Remove,
    /// The objects.
    List,
    /// The uploads.
    Uploads,
    /// The parts of an upload.
    Parts,
}

/// What goes wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection is closed before so many bytes of the body are read; nothing is done.
    CloseAt(usize),
    /// It is done, but the connection is closed before the answer.
    CloseAfter,
    /// Nothing is done, and this is the answer: a status and the code of the error.
    Error(u16, &'static str),
    /// Nothing is done, and the error is in an answer of status 200.
    ErrorInside(&'static str),
    /// It is done with a byte that is another one, of which the store knows nothing.
    Corrupt,
    /// It is done, and at once another sender's object of these bytes takes its place: that of a hashget, which declares its
    /// digest, or of another tool.
    Overtaken {
        /// Its bytes.
        bytes: &'static [u8],
        /// Does it declare its digest?
        is_declared: bool,
    },
    /// Nothing is answered until the store stops.
    Hang,
}

/// An object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Object {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The checksum that is told of it.
    checksum: String,
    /// The headers that it was made with.
    headers: BTreeMap<String, String>,
}

/// An upload in parts.
#[derive(Debug, Clone, Default)]
struct Upload {
    key: String,
    initiated: String,
    /// Bytes and checksum by number.
    parts: BTreeMap<u32, (Vec<u8>, String)>,
    headers: BTreeMap<String, String>,
}

/// A request.
struct Request {
    method: String,
    key: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

#[derive(Default)]
struct State {
    stopping: Arc<Stopping>,
    /// Held by the request that is being answered.
    turn: Mutex<()>,
    objects: Mutex<BTreeMap<String, Object>>,
    uploads: Mutex<BTreeMap<String, Upload>>,
    faults: Mutex<Vec<(Action, Fault)>>,
    log: Mutex<Vec<Action>>,
    /// What the store cannot or will not do.
    lacks: Mutex<BTreeSet<Lack>>,
    /// The key that is accepted.
    access: Mutex<String>,
}

/// What a store may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// It answers 501 to conditions.
    Conditions,
    /// It tells no checksums.
    Checksums,
    /// It lets nobody read or list.
    Reading,
}

/// The store. Stops when dropped.
pub struct ObjectStore {
    state: Arc<State>,
    listener: Listener,
}

impl ObjectStore {
    /// Starts a store on a free port of 127.0.0.1, whose access key is `key`.
    pub fn start() -> Self {
        let state = Arc::new(State::default());
        "key".clone_into(&mut lock(&state.access));
        let listener = Listener::start(&state, &state.stopping, connection);
        Self { state, listener }
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.listener.address())
    }

    /// The next request for this is answered so; several are used in order.
    pub fn fault(&self, action: Action, fault: Fault) {
        lock(&self.state.faults).push((action, fault));
    }

    /// It lacks this from now on.
    pub fn lack(&self, lack: Lack) {
        lock(&self.state.lacks).insert(lack);
    }

    /// Only this access key is accepted from now on.
    pub fn accept_only(&self, key: &str) {
        key.clone_into(&mut lock(&self.state.access));
    }

    /// What was asked for, in order.
    pub fn log(&self) -> Vec<Action> {
        lock(&self.state.log).clone()
    }

    /// The objects by their keys.
    pub fn objects(&self) -> BTreeMap<String, Object> {
        lock(&self.state.objects).clone()
    }

    /// Makes an object.
    pub fn put(&self, key: &str, bytes: &[u8]) {
        let object = Object { bytes: bytes.to_vec(), ..Object::default() };
        lock(&self.state.objects).insert(key.to_owned(), object);
    }

    /// How many uploads are not complete.
    pub fn uploads(&self) -> usize {
        lock(&self.state.uploads).len()
    }

    /// All uploads began at this time, such as `2026-11-01T00:00:00.000Z`.
    pub fn date_uploads(&self, time: &str) {
        for upload in lock(&self.state.uploads).values_mut() {
            time.clone_into(&mut upload.initiated);
        }
    }
}

impl Object {
    /// A header that it was made with.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// Answers the requests of one connection until either side closes it.
fn connection(stream: &TcpStream, state: &State) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some((mut request, length)) = read_head(&mut reader)? {
        let action = answer::action(&request);
        let fault = take_fault(state, action);
        if let Some(Fault::CloseAt(count)) = fault {
            lock(&state.log).push(action);
            io::copy(&mut (&mut reader).take(count.min(length) as u64), &mut io::sink())?;
            break;
        }
        request.body = vec![0; length];
        reader.read_exact(&mut request.body)?;
        lock(&state.log).push(action);
        if fault == Some(Fault::Hang) {
            while !state.stopping.has_begun() {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            break;
        }
        let answer = {
            // One request after another: a condition holds until what it allows is done.
            let _turn = lock(&state.turn);
            answer::answer(state, action, &request, fault.as_ref())
        };
        if fault == Some(Fault::CloseAfter) {
            break;
        }
        send(stream, &request, &answer)?;
    }
    stream.shutdown(Shutdown::Both)
}

fn take_fault(state: &State, action: Action) -> Option<Fault> {
    let mut faults = lock(&state.faults);
    let position = faults.iter().position(|(of, _)| *of == action)?;
    Some(faults.remove(position).1)
}

fn send(mut stream: &TcpStream, request: &Request, answer: &answer::Answer) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", answer.status);
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !answer.headers.iter().any(|(name, _)| name == "content-length") {
        head += &format!("content-length: {}\r\n", answer.body.len());
    }
    stream.write_all((head + "\r\n").as_bytes())?;
    if request.method != "HEAD" {
        stream.write_all(&answer.body)?;
    }
    Ok(())
}

/// Reads the head of a request: the request without its body, and the body's length. `None` if the client closed it.
fn read_head(reader: &mut BufReader<TcpStream>) -> io::Result<Option<(Request, usize)>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let path = words.next().unwrap_or_default();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let query = pairs.map(|(name, value)| (decoded(name), decoded(value))).collect();
    let key = decoded(path.trim_start_matches('/'));
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':') {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let length = headers.get("content-length").and_then(|length: &String| length.parse().ok());
    Ok(Some((Request { method, key, query, headers, body: Vec::new() }, length.unwrap_or(0))))
}
