//! Requests to a registry of the Open Container Initiative (<https://github.com/opencontainers/distribution-spec>), with the
//! token that it asks for.
//!
//! Invariant: a token goes to the registry that asked for it, and to nobody to whom it redirects. A login goes to its own host
//! alone.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::super::http::{Exchange, Trouble};
use super::super::method::{Method, Request};
use super::super::{Clock, FetchError, HttpOrigin, PoolError, wait};
use super::challenge::Challenge;
use crate::model::escaped;
use crate::monitor::{Interrupted, Monitor};

/// Requests for one answer, besides one for a token.
const TRIES: u32 = 3;

/// The pause before the second one; it doubles.
const PAUSE: Duration = Duration::from_millis(500);

/// Bytes of an answer that is no package.
const ANSWER_BYTES: usize = 4 << 20;

/// Request headers.
pub(super) type Headers = Vec<(&'static str, String)>;

/// A registry, and a repository of it.
pub(super) struct Registry {
    /// What it is called in messages.
    pub(super) shown: String,
    /// Where it answers: `https://HOST`.
    pub(super) host: String,
    pub(super) repository: String,
    /// Requests without any login, and with that of the configuration.
    pub(super) anonymous: HttpOrigin,
    pub(super) with_login: HttpOrigin,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) access: Mutex<Access>,
}

/// How the registry lets us in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Access {
    /// Without anything.
    #[default]
    Open,
    /// With this token.
    Token(String),
    /// With the login itself.
    Login,
}

impl Registry {
    /// The URL of something in the repository.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}/v2/{}/{path}", self.host, self.repository)
    }

    /// The answer to a request, whatever its status, unless another try or a token would change it.
    pub(super) fn ask(
        &self,
        request: &Request,
        url: &str,
        headers: &Headers,
        monitor: &dyn Monitor,
    ) -> Result<Exchange, PoolError> {
        let (mut tries, mut has_asked) = (0, false);
        loop {
            tries += 1;
            let access = self.access.lock().expect("nothing panics while it looks").clone();
            let mut headers = headers.clone();
            let origin = match &access {
                Access::Login => &self.with_login,
                Access::Open => &self.anonymous,
                Access::Token(token) => {
                    headers.push(("authorization", format!("Bearer {token}")));
                    &self.anonymous
                }
            };
            match origin.exchange(request.clone(), url, headers, monitor) {
                Ok(exchange) if exchange.head.status == 401 && !has_asked => {
                    has_asked = true;
                    let access = self.wanted(request.method, &exchange, monitor)?;
                    *self.access.lock().expect("nothing panics while it looks") = access;
                    continue;
                }
                Ok(exchange) => {
                    let may_pass = matches!(exchange.head.status, 408 | 425 | 429 | 500..=599);
                    if !may_pass || exchange.given_up.is_some() || tries >= TRIES {
                        return Ok(exchange);
                    }
                }
                Err(FetchError::Interrupted(interrupted)) => return Err(interrupted.into()),
                Err(FetchError::Transient { given_up: None, .. }) if tries < TRIES => {}
                Err(error) => return Err(self.unreachable(&error)),
            }
            wait(&*self.clock, PAUSE * 2_u32.pow(tries - 1), monitor)?;
        }
    }

    /// What the registry wants, by its answer 401.
    fn wanted(
        &self,
        method: Method,
        exchange: &Exchange,
        monitor: &dyn Monitor,
    ) -> Result<Access, PoolError> {
        let actions = match method {
            Method::Get => "pull",
            Method::Post | Method::Put => "pull,push",
            Method::Delete => "pull,push,delete",
        };
        let scope = format!("repository:{}:{actions}", self.repository);
        let header = exchange.head.header("www-authenticate").unwrap_or_default();
        match Challenge::parse(header, &scope) {
            Some(Challenge::Login) => Ok(Access::Login),
            Some(Challenge::Token(url)) => self.token(&url, monitor).map(Access::Token),
            None => Err(self.refused("it wants a login of a kind that is not known".to_owned())),
        }
    }

    fn token(&self, url: &str, monitor: &dyn Monitor) -> Result<String, PoolError> {
        let headers = vec![("accept", "application/json".to_owned())];
        let asked = self.with_login.exchange(Method::Get, url, headers, monitor);
        let mut exchange = match asked {
            Ok(exchange) => exchange,
            Err(FetchError::Interrupted(interrupted)) => return Err(interrupted.into()),
            Err(error) => return Err(self.unreachable(&error)),
        };
        if exchange.head.status != 200 {
            let status = exchange.head.status;
            let problem = format!("no token came ({status}): give a login in ~/.netrc or [host]");
            return Err(self.refused(problem));
        }
        let answer = self.json(&mut exchange, monitor)?.0;
        let found = ["token", "access_token"].iter().find_map(|name| answer.get(name)?.as_str());
        let is_token = |token: &&str| token.bytes().all(|byte| byte.is_ascii_graphic());
        let token = found.filter(|token| !token.is_empty()).filter(is_token);
        token.map(str::to_owned).ok_or_else(|| self.refused("its token is none".to_owned()))
    }

    /// The body of an answer in JSON, and as it came.
    pub(super) fn json(
        &self,
        exchange: &mut Exchange,
        monitor: &dyn Monitor,
    ) -> Result<(Value, Vec<u8>), PoolError> {
        let mut body = Vec::new();
        while let Some(bytes) = exchange.next(monitor).map_err(|trouble| self.broken(trouble))? {
            body.extend(bytes);
            if body.len() > ANSWER_BYTES {
                return Err(self.refused("its answer does not end".to_owned()));
            }
        }
        let parsed = serde_json::from_slice(&body);
        let json = parsed.map_err(|_| self.refused("its answer is no JSON".to_owned()))?;
        Ok((json, body))
    }

    /// The error of a request that got no answer.
    fn unreachable(&self, error: &FetchError) -> PoolError {
        let pool = self.shown.clone();
        match error {
            FetchError::Unreachable { problem, .. }
            | FetchError::Transient { problem, .. }
            | FetchError::NotAsked { problem, .. } => {
                PoolError::Unreachable { pool, problem: problem.clone() }
            }
            error => PoolError::Refused { pool, problem: error.to_string() },
        }
    }

    /// The error of an answer that broke off.
    pub(super) fn broken(&self, trouble: Trouble) -> PoolError {
        let pool = self.shown.clone();
        match trouble {
            Trouble::Interrupted => Interrupted.into(),
            Trouble::Passing(problem)
            | Trouble::Silent(problem)
            | Trouble::Lasting(problem)
            | Trouble::Refused(problem) => PoolError::Unreachable { pool, problem },
        }
    }

    /// The error of an answer that is not what was hoped for.
    pub(super) fn refused(&self, problem: String) -> PoolError {
        PoolError::Refused { pool: self.shown.clone(), problem: escaped(problem.as_bytes()) }
    }

    /// The same, of its status and of what it says of `what`.
    pub(super) fn answers(&self, status: u16, what: &str) -> PoolError {
        match status {
            401 | 403 => self.refused(format!(
                "{what}: it answers {status}: give a login in ~/.netrc or [host] that may do this"
            )),
            408 | 425 | 429 | 500..=599 => {
                let problem = format!("{what}: it answers {status}");
                PoolError::Unreachable { pool: self.shown.clone(), problem }
            }
            status => self.refused(format!("{what}: it answers {status}")),
        }
    }

    /// The error of a file of this machine.
    pub(super) fn disk(&self, error: io::Error) -> PoolError {
        PoolError::Disk { pool: self.shown.clone(), error }
    }
}
