//! The digests of a package's files: in rpm's database on this machine, and in the header of the package.
//!
//! Invariant: of a package no byte after its header is asked for, and that header says that it is the right one.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::super::start::Start;
use super::super::{Declared, FileList, Listed, Parts};
use super::database::Database;
use super::installed::Installed;
use crate::formats::{FileDigest, FormatError, PackageHeader};
use crate::limits::Limits;
use crate::tree::TreeRoot;

/// So much is asked for at first where nothing says how long the header is.
const FIRST_BYTES: u64 = 32 << 10;
/// Size limit of both headers together.
const MOST_BYTES: u64 = 128 << 20;

/// An installed package.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) tree: Arc<TreeRoot>,
    pub(super) database: Arc<Database>,
    pub(super) package: Installed,
    /// Where the header ends in the package, as the repository says.
    pub(super) header_end: Option<u64>,
}

impl Files {
    fn listed(header: &PackageHeader, limits: &Limits) -> Result<Vec<Listed>, FormatError> {
        let files = header.digests(limits)?.into_iter();
        let listed =
            files.map(|FileDigest { path, member, checksum }| Listed { member, path, checksum });
        Ok(listed.collect())
    }

    /// The list in the header of the package that `package` begins with.
    fn in_package(&self, package: &mut Start<'_, '_>, limits: &Limits) -> io::Result<Vec<Listed>> {
        let header = PackageHeader::of_package(package).map_err(io::Error::other)?;
        let (wanted, found) = (&self.package.identity, header.identity());
        if found.as_ref() != Some(wanted) {
            let found = found.map_or("another one".to_owned(), |found| found.shown());
            let problem = format!("it is the package {found}, expected {}", wanted.shown());
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        Self::listed(&header, limits).map_err(io::Error::other)
    }
}

impl FileList for Files {
    fn format(&self) -> &'static str {
        "rpm"
    }

    fn root(&self) -> &Path {
        self.tree.path()
    }

    fn local(&self) -> Result<Option<Vec<Listed>>, String> {
        let bytes = self.database.header(self.package.key)?;
        let header = PackageHeader::of_database(bytes).map_err(|error| error.to_string())?;
        Self::listed(&header, &Limits::default()).map(Some).map_err(|error| error.to_string())
    }

    fn declared(
        &self,
        part: &mut Parts<'_>,
        size: u64,
        limits: &Limits,
    ) -> io::Result<Option<Declared>> {
        let end = size.min(MOST_BYTES);
        let mut start = Start::new(part, end, self.header_end.unwrap_or(FIRST_BYTES).max(1));
        let listed = self.in_package(&mut start, limits);
        Ok(Some(start.finish(listed)?.into()))
    }
}
