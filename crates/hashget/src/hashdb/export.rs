//! The contents of a HashDB as lines of JSON, and the HashPackage files of the Python tool.
//! `docs/hashdb-export.md` is the normative text.
//!
//! Invariant: only one package at a time is in memory. A line that is not a valid package is an error with
//! the line's number, never a package.

use std::io::{self, BufRead, Read as _, Write};

use serde::{Deserialize, Serialize};

use super::{HashDb, HashDbError, PackageId};
use crate::error::ErrorClass;
use crate::limits::Limits;
use crate::model::{Digest, Kind, Member, PackageRecord, Signature};

/// The first line of an export.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: String,
    version: u32,
}

const FORMAT: &str = "hashget-hashdb";
const VERSION: u32 = 1;

/// A package with all of its known members: one line of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedPackage {
    /// The package.
    pub record: PackageRecord,
    /// Its members.
    pub members: Vec<Member>,
}

/// Why an export could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The HashDB failed.
    #[error("{0}")]
    HashDb(#[from] HashDbError),
    /// Not an export, or a damaged one.
    #[error("line {line}: {problem}")]
    Line {
        /// The number of the line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
}

impl ExportError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Io(error) => ErrorClass::of_io(error),
            Self::HashDb(error) => error.class(),
            Self::Line { .. } => ErrorClass::ExportDamaged,
        }
    }
}

/// Writes packages of `hashdb`, with their records as they are when each is written.
///
/// # Errors
/// See [`ExportError`].
pub fn export(
    hashdb: &dyn HashDb,
    packages: &[(PackageId, PackageRecord)],
    output: &mut dyn Write,
) -> Result<(), ExportError> {
    let header = Header { format: FORMAT.to_owned(), version: VERSION };
    write_line(output, &header)?;
    for (id, _) in packages {
        let (record, members) = super::whole(hashdb, *id)?.ok_or(HashDbError::Replaced)?;
        write_line(output, &ExportedPackage { record, members })?;
    }
    Ok(())
}

fn write_line(output: &mut dyn Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *output, line)?;
    output.write_all(b"\n")
}

/// Reads the packages of an export, one after the other.
pub struct ExportReader<R> {
    input: R,
    line: u64,
    limit: u64,
}

impl<R: BufRead> ExportReader<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// It is not an export, or was written by a newer hashget.
    pub fn new(input: R, limits: &Limits) -> Result<Self, ExportError> {
        let mut reader = Self { input, line: 0, limit: limits.manifest_bytes };
        let header: Option<Header> = reader.next_line()?;
        match header {
            Some(header) if header.format == FORMAT && header.version == VERSION => Ok(reader),
            Some(header) if header.format == FORMAT => Err(reader
                .bad(format!("version {} is unknown: a newer hashget wrote it", header.version))),
            _ => Err(reader.bad("it is not an export of a HashDB".to_owned())),
        }
    }

    /// The next package, until there are no more.
    ///
    /// # Errors
    /// See [`ExportError`].
    pub fn next_package(&mut self) -> Result<Option<ExportedPackage>, ExportError> {
        let Some(package) = self.next_line::<ExportedPackage>()? else { return Ok(None) };
        match problem(&package) {
            Some(problem) => Err(self.bad(problem)),
            None => Ok(Some(package)),
        }
    }

    fn next_line<T: for<'de> Deserialize<'de>>(&mut self) -> Result<Option<T>, ExportError> {
        self.line += 1;
        let mut line = Vec::new();
        let limit = self.limit;
        (&mut self.input).take(limit.saturating_add(1)).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        if u64::try_from(line.len()).unwrap_or(u64::MAX) > limit {
            return Err(self.bad(format!("it is longer than the limit of {limit} bytes")));
        }
        let parsed = serde_json::from_slice(&line);
        parsed.map(Some).map_err(|error| self.bad(error.to_string()))
    }

    fn bad(&self, problem: String) -> ExportError {
        ExportError::Line { line: self.line, problem }
    }
}

/// Why a package is not valid, if it is not.
fn problem(package: &ExportedPackage) -> Option<String> {
    let record = &package.record;
    let urls = std::iter::once(&record.url).chain(&record.also);
    if urls.clone().any(|url| !is_public_url(url)) {
        return Some("a URL of it is no public one (http or https, without a name)".to_owned());
    }
    let digested =
        |member: &Member| member.sha256.is_none() || matches!(member.kind, Kind::File { .. });
    (!package.members.iter().all(digested))
        .then(|| "a member that is no file has a digest".to_owned())
}

/// Is this a URL that a package of everybody may have: http or https, with a host, without a name and password?
pub fn is_public_url(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some()
            && url.username().is_empty()
            && url.password().is_none()
    })
}

/// A HashPackage file of the Python tool. It has the digests of files without their names and sizes. That is
/// not enough to restore from, so the package must be indexed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashPackage {
    /// Its URL.
    pub url: String,
    /// The digest of its bytes.
    pub sha256: Digest,
    /// Its size in bytes, if the file has it.
    pub size: Option<u64>,
    /// Its names in ecosystems.
    pub signatures: Vec<Signature>,
    /// The day after which the URL may be gone.
    pub expires: Option<String>,
}

/// The same, as in the file.
#[derive(Deserialize)]
struct RawHashPackage {
    url: String,
    hashes: Vec<String>,
    #[serde(default)]
    signatures: Option<std::collections::BTreeMap<String, String>>,
    #[serde(default)]
    attrs: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    expires: Option<String>,
}

impl HashPackage {
    /// Reads a file of the Python tool.
    ///
    /// # Errors
    /// A message that says what is wrong with the file.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let raw: RawHashPackage =
            serde_json::from_slice(json).map_err(|error| format!("no HashPackage: {error}"))?;
        if !is_public_url(&raw.url) {
            return Err("its URL is no public one (http or https, without a name)".to_owned());
        }
        let sha256 = raw.hashes.iter().find(|hash| hash.starts_with("sha256:"));
        let sha256 = sha256.ok_or("it has no SHA-256 of the package")?;
        let signature = |(kind, value): (String, String)| {
            (kind != "url").then(|| format!("{kind}:{value}").parse().ok()).flatten()
        };
        Ok(Self {
            url: raw.url,
            sha256: sha256
                .parse()
                .map_err(|error: crate::model::ParseDigestError| error.to_string())?,
            size: raw.attrs.get("size").and_then(serde_json::Value::as_u64),
            signatures: raw.signatures.into_iter().flatten().filter_map(signature).collect(),
            expires: raw.expires.filter(|day| day.parse::<jiff::civil::Date>().is_ok()),
        })
    }
}
