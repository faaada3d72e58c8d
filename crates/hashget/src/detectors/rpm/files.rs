//! The digests of a package's files: from rpm's database on this machine, or from the package's header.
//!
//! Invariant: no byte after a package's header is fetched, and the header proves that it is the right
//! package.

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

/// Size of the first request if the header's length is not known.
const FIRST_BYTES: u64 = 32 << 10;
/// Size limit of both headers together.
const MOST_BYTES: u64 = 128 << 20;

/// An installed package.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) tree: Arc<TreeRoot>,
    pub(super) database: Arc<Database>,
    pub(super) package: Installed,
    /// The end of the header in the package, according to the repository.
    pub(super) header_end: Option<u64>,
}

impl Files {
    fn listed(header: &PackageHeader, limits: &Limits) -> Result<Vec<Listed>, FormatError> {
        let files = header.digests(limits)?.into_iter();
        let listed =
            files.map(|FileDigest { path, member, checksum }| Listed { member, path, checksum });
        Ok(listed.collect())
    }

    /// The list in the header at the start of `package`.
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
