//! What is written down of each request, for whoever looks for the cause of something: one line, by the `log` crate.
//!
//! Invariant: a line has no login, no query of a URL and no header: these may be secrets.

use std::time::Instant;

/// The target of these lines.
pub const REQUESTS: &str = "hashget::requests";

/// A request that is under way. Its line is written when it is dropped, by whoever waits for it.
#[derive(Debug)]
pub struct RequestLog {
    what: String,
    began: Instant,
    status: Option<u16>,
    length: Option<u64>,
    bytes: u64,
    ended: Option<String>,
}

impl RequestLog {
    /// A request of this method is sent to this URL.
    pub fn begin(method: &str, url: &str) -> Self {
        let shown = super::shown(url);
        let what = match shown.split_once(['?', '#']) {
            Some((path, _)) => format!("{method} {path}?..."),
            None => format!("{method} {shown}"),
        };
        Self { what, began: Instant::now(), status: None, length: None, bytes: 0, ended: None }
    }

    /// The head of the answer has come, with this status; its body has so many bytes, if that is known.
    pub fn answered(&mut self, status: u16, length: Option<u64>) {
        (self.status, self.length) = (Some(status), length);
    }

    /// So many bytes of its body have come.
    pub fn came(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// All of it has come.
    pub fn ended(&mut self) {
        self.ended = Some(String::new());
    }

    /// It failed.
    pub fn failed(&mut self, problem: &str) {
        self.ended = Some(format!(": {}", crate::model::escaped(problem.as_bytes())));
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        let Self { what, bytes, .. } = self;
        let milliseconds = self.began.elapsed().as_millis();
        let status = self.status.map_or("no answer".to_owned(), |status| status.to_string());
        let end = match (&self.ended, self.status, *bytes) {
            (Some(end), ..) => end,
            (None, Some(_), bytes) if bytes == 0 || self.length == Some(bytes) => "",
            (None, Some(_), _) => ": the rest was not read",
            (None, None, _) => ": given up",
        };
        log::debug!(target: REQUESTS, "{what}: {status}, {bytes} bytes, {milliseconds} ms{end}");
    }
}
