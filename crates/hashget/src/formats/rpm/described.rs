//! The header of a package, without reading the package itself.
//!
//! Invariant: only regular files contained in the package are listed, each with a digest of the length that
//! its algorithm has.

use std::io::Read;

use super::files::{self, FileDigest, FileNotes};
use super::header::RpmHeader;
use super::{FormatError, read_headers};
use crate::limits::Limits;
use crate::model::escaped;

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const BUILD_TIME: u32 = 1006;
const VENDOR: u32 = 1011;
const ARCHITECTURE: u32 = 1022;
const SOURCE: u32 = 1044;

/// The header of an rpm package.
pub(crate) struct PackageHeader(RpmHeader);

impl PackageHeader {
    /// Parses a header as stored in rpm's database.
    ///
    /// # Errors
    /// [`FormatError::Damaged`] and [`FormatError::Limit`].
    pub(crate) fn of_database(bytes: Vec<u8>) -> Result<Self, FormatError> {
        RpmHeader::parse(bytes).map(Self)
    }

    /// Reads the header of the package at the start of `package`; no byte after the header is read.
    ///
    /// # Errors
    /// See [`FormatError`].
    pub(crate) fn of_package(package: &mut dyn Read) -> Result<Self, FormatError> {
        read_headers(package).map(Self)
    }

    /// The parts of `NAME-EPOCH:VERSION-RELEASE.ARCHITECTURE`. `None` if one is missing: the database stores
    /// keys as packages without architecture.
    pub(crate) fn identity(&self) -> Option<RpmIdentity> {
        Some(RpmIdentity {
            name: self.text(NAME)?,
            epoch: self.number(EPOCH),
            version: self.text(VERSION)?,
            release: self.text(RELEASE)?,
            architecture: self.text(ARCHITECTURE)?,
            built: self.number(BUILD_TIME),
        })
    }

    /// The file name of the source package that it was built from.
    pub(crate) fn source(&self) -> Option<String> {
        self.text(SOURCE)
    }

    /// The vendor; empty if absent.
    pub(crate) fn vendor(&self) -> String {
        self.text(VENDOR).unwrap_or_default()
    }

    /// Its files with their digests. Files without a digest, or with one of an unknown algorithm, are
    /// omitted.
    ///
    /// # Errors
    /// [`FormatError::Damaged`] and [`FormatError::Limit`].
    pub(crate) fn digests(&self, limits: &Limits) -> Result<Vec<FileDigest>, FormatError> {
        files::digests(&self.0, limits)
    }

    /// What rpm's database says of its files besides what the package has.
    ///
    /// # Errors
    /// [`FormatError::Damaged`] and [`FormatError::Limit`].
    pub(crate) fn notes(&self, limits: &Limits) -> Result<FileNotes, FormatError> {
        files::notes(&self.0, limits)
    }

    fn text(&self, tag: u32) -> Option<String> {
        let text = self.0.text(tag).filter(|text| !text.is_empty())?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    fn number(&self, tag: u32) -> u64 {
        self.0.numbers(tag).and_then(|numbers| numbers.get(0)).unwrap_or(0)
    }
}

/// Identifies a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RpmIdentity {
    pub(crate) name: String,
    /// 0 if it has none.
    pub(crate) epoch: u64,
    pub(crate) version: String,
    pub(crate) release: String,
    pub(crate) architecture: String,
    /// When it was built, in seconds since 1970.
    pub(crate) built: u64,
}

impl RpmIdentity {
    /// The name of its file, without `.rpm`; it does not contain the epoch.
    pub(crate) fn file_stem(&self) -> String {
        let Self { name, version, release, architecture, .. } = self;
        format!("{name}-{version}-{release}.{architecture}")
    }

    /// The name as rpm writes it, safe for a terminal.
    pub(crate) fn shown(&self) -> String {
        let Self { name, epoch, version, release, architecture, .. } = self;
        escaped(format!("{name}-{epoch}:{version}-{release}.{architecture}").as_bytes())
    }
}
