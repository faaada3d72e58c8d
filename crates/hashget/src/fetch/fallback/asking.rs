//! One request to Software Heritage, and its answer.
//!
//! Invariant: a request is repeated only a few times, and only if that may help; every answer is heard for what it says about
//! the limits.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::super::http::{Exchange, Trouble};
use super::super::method::Method;
use super::super::page::is_page;
use super::super::{Clock, FetchError, HttpOrigin, wait};
use super::rate::{Rate, Scope};
use super::reason;
use super::software_heritage::NAME;
use crate::monitor::{Interrupted, Monitor};

/// Requests for one answer.
const TRIES: u32 = 3;

/// The pause before the second one; it doubles.
const PAUSE: Duration = Duration::from_millis(500);

/// Bytes of an answer in JSON.
const JSON_BYTES: u64 = 64 * 1024;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// The monitor asked to stop.
    Interrupted(Interrupted),
    /// The service's limit is reached, and is not lifted soon enough.
    Limit,
    /// This machine cannot keep what came.
    Disk(io::Error),
    /// Something else, in words.
    Trouble(String),
}

impl From<Interrupted> for NoAnswer {
    fn from(interrupted: Interrupted) -> Self {
        Self::Interrupted(interrupted)
    }
}

/// Where requests go.
pub(super) struct Asking {
    /// Without a slash at its end.
    pub(super) base: String,
    pub(super) origin: HttpOrigin,
    pub(super) rate: Rate,
    pub(super) clock: Arc<dyn Clock>,
}

impl Asking {
    /// The answer to a request for `path`; `None` if nothing is there.
    pub(super) fn ask(
        &self,
        (scope, method): (Scope, Method),
        path: &str,
        accept: &'static str,
        monitor: &dyn Monitor,
    ) -> Result<Option<Exchange>, NoAnswer> {
        let url = format!("{}{path}", self.base);
        let mut tries = 0;
        loop {
            if self.rate.enter(scope, NAME, monitor)?.is_err() {
                return Err(NoAnswer::Limit);
            }
            tries += 1;
            let headers = vec![("accept", accept.to_owned())];
            match self.origin.exchange(method, &url, headers, monitor) {
                Ok(exchange) => {
                    let head = &exchange.head;
                    self.rate.heard(scope, head.status, |name| head.header(name));
                    match head.status {
                        200..=299 => return Ok(Some(exchange)),
                        404 => return Ok(None),
                        429 if tries < TRIES => continue,
                        429 => {
                            self.rate.end();
                            return Err(NoAnswer::Limit);
                        }
                        408 | 425 | 500..=599 if exchange.given_up.is_none() && tries < TRIES => {}
                        status => return Err(NoAnswer::Trouble(format!("it answers {status}"))),
                    }
                }
                Err(FetchError::Interrupted(interrupted)) => return Err(interrupted.into()),
                Err(FetchError::Transient { given_up: None, .. }) if tries < TRIES => {}
                Err(error) => return Err(NoAnswer::Trouble(reason(&error))),
            }
            wait(&*self.clock, PAUSE * 2_u32.pow(tries - 1), monitor)?;
        }
    }

    /// The answer in JSON.
    pub(super) fn json(
        &self,
        (scope, method): (Scope, Method),
        path: &str,
        monitor: &dyn Monitor,
    ) -> Result<Option<Value>, NoAnswer> {
        let Some(mut exchange) = self.ask((scope, method), path, "application/json", monitor)?
        else {
            return Ok(None);
        };
        let mut text = Vec::new();
        received(&mut exchange, JSON_BYTES, &mut text, monitor)?;
        let other = |what: &str| NoAnswer::Trouble(format!("{what} came in place of its answer"));
        if is_page(&text) {
            return Err(other("a page"));
        }
        serde_json::from_slice(&text).map(Some).map_err(|_| other("something else than JSON"))
    }

    /// The bytes at `path`, in a file without a name. No more than `most` are read.
    pub(super) fn bytes(
        &self,
        scope: Scope,
        path: &str,
        most: u64,
        monitor: &dyn Monitor,
    ) -> Result<Option<File>, NoAnswer> {
        let asked = self.ask((scope, Method::Get), path, "application/octet-stream", monitor)?;
        let Some(mut exchange) = asked else { return Ok(None) };
        let mut file = tempfile::tempfile().map_err(NoAnswer::Disk)?;
        received(&mut exchange, most, &mut file, monitor)?;
        Ok(Some(file))
    }
}

/// Writes the body of an answer.
fn received(
    exchange: &mut Exchange,
    most: u64,
    to: &mut dyn io::Write,
    monitor: &dyn Monitor,
) -> Result<(), NoAnswer> {
    let mut came = 0;
    loop {
        let bytes = match exchange.next(monitor) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return to.flush().map_err(NoAnswer::Disk),
            Err(Trouble::Interrupted) => return Err(Interrupted.into()),
            Err(
                Trouble::Passing(problem)
                | Trouble::Silent(problem)
                | Trouble::Lasting(problem)
                | Trouble::Refused(problem),
            ) => return Err(NoAnswer::Trouble(problem)),
        };
        came += bytes.len() as u64;
        if came > most {
            return Err(NoAnswer::Trouble(format!("its answer has more than {most} bytes")));
        }
        to.write_all(&bytes).map_err(NoAnswer::Disk)?;
    }
}
