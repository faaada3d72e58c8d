//! The settings of the server: a TOML file in which every setting is optional; `docs/server.md` describes them.
//!
//! Invariant: settings that were read are valid. An error names the file, the line and the key.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use crate::scope::Scope;

/// All settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What requests without a token may do.
    #[serde(deserialize_with = "for_anybody")]
    pub anonymous: BTreeSet<Scope>,
    /// The addresses of reverse proxies, which say whose requests they pass on.
    pub proxies: BTreeSet<IpAddr>,
    /// Bounds on what clients may do.
    pub limits: Limits,
    /// How submissions are fetched.
    pub submissions: Submissions,
    /// What the Python tool is told.
    pub python: Python,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            anonymous: BTreeSet::from([Scope::Read]),
            proxies: BTreeSet::new(),
            limits: Limits::default(),
            submissions: Submissions::default(),
            python: Python::default(),
        }
    }
}

/// Bounds on what clients may do.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Of each token, and of each address that sends none.
    pub requests_per_second: NonZeroU32,
    /// Requests that may come at once after a pause.
    pub burst: NonZeroU32,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Bytes of a package that is put into the pool.
    pub upload_bytes: u64,
    /// Connections at once; further ones wait.
    pub connections: NonZeroU32,
    /// Connections of one address at once (of an IPv6 network /64), unless it is a proxy's; further ones are closed.
    pub connections_per_address: NonZeroU32,
    /// Seconds until the head of a request has arrived.
    pub head_seconds: NonZeroU32,
    /// Seconds for which a client may send or take nothing.
    pub stall_seconds: NonZeroU32,
    /// Seconds until a request is answered.
    pub request_seconds: NonZeroU32,
    /// Seconds until an upload has arrived.
    pub upload_seconds: NonZeroU32,
    /// Submissions that may wait to be fetched.
    pub waiting_submissions: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Self {
            requests_per_second: number(100),
            burst: number(400),
            body_bytes: 8 << 20,
            upload_bytes: 8 << 30,
            connections: number(16_384),
            connections_per_address: number(1_024),
            head_seconds: number(10),
            stall_seconds: number(20),
            request_seconds: number(60),
            upload_seconds: number(3_600),
            waiting_submissions: 100_000,
        }
    }
}

/// How submissions are fetched.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Submissions {
    /// Hours after which a URL is fetched for the second time.
    pub again_after_hours: u32,
    /// Tries of a fetch that fails; at least 1.
    pub tries: NonZeroU32,
    /// Fetches at once.
    pub workers: NonZeroU32,
    /// Bytes of a package whose size is not known in advance.
    pub package_bytes: u64,
    /// Hosts that may be asked although their addresses are private.
    pub public_hosts: BTreeSet<String>,
}

impl Default for Submissions {
    fn default() -> Self {
        let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Self {
            again_after_hours: 72,
            tries: number(5),
            workers: number(2),
            package_bytes: 8 << 30,
            public_hosts: BTreeSet::new(),
        }
    }
}

/// What the Python tool is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Python {
    /// What the server calls itself.
    pub name: String,
    /// A message for everybody who connects.
    pub motd: String,
    /// Regular expressions of the URLs that it is to submit.
    pub accept_urls: Vec<String>,
}

impl Default for Python {
    fn default() -> Self {
        let name = "hashget-server".to_owned();
        Self { name, motd: String::new(), accept_urls: Vec::new() }
    }
}

/// Nobody becomes an administrator by sending no token.
fn for_anybody<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<Scope>, D::Error> {
    let scopes = BTreeSet::<Scope>::deserialize(deserializer)?;
    if scopes.contains(&Scope::Admin) {
        let problem = "\"admin\" is not for anybody: give a token with this scope";
        return Err(serde::de::Error::custom(problem));
    }
    Ok(scopes)
}

/// A settings file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It cannot be read.
    #[error("cannot read {}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// It says something that is not valid.
    #[error("{}: {problem}", file.display())]
    Invalid {
        /// The file.
        file: PathBuf,
        /// The line, the key, and what is wrong.
        problem: String,
    },
}

impl Settings {
    /// May requests without a token do what `scope` allows?
    pub(crate) fn anybody_may(&self, scope: Scope) -> bool {
        self.anonymous.iter().any(|allowed| *allowed >= scope)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn read(file: &Path) -> Result<Self, SettingsError> {
        let text = fs_err::read_to_string(file)
            .map_err(|error| SettingsError::Io { file: file.to_owned(), error })?;
        toml::from_str(&text).map_err(|error| SettingsError::Invalid {
            file: file.to_owned(),
            problem: error.to_string(),
        })
    }
}
