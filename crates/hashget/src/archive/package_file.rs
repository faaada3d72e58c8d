//! One file out of a package, found by its digest.
//!
//! Invariant: when it succeeds, exactly the bytes of the digest that was asked for were written.

use std::io::{self, Read, Write};

use crate::error::ErrorClass;
use crate::fetch::{FetchError, Source, shown};
use crate::formats::{self, FormatError, Input, Visitor, VisitorError};
use crate::limits::Limits;
use crate::model::{Digest, HashingReader, Kind, Member, PackageRecord, RelPath};
use crate::monitor::{Interrupted, Monitor};
use crate::places::wanted;

/// Takes single files out of packages.
pub struct PackageFiles<'a> {
    /// Where packages come from.
    pub source: &'a dyn Source,
    /// Bounds on foreign input.
    pub limits: &'a Limits,
}

/// Why a file could not be taken out of its package.
#[derive(Debug, thiserror::Error)]
pub enum PackageFileError {
    /// The package could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The package could not be read.
    #[error("cannot read the package {url}")]
    Package {
        /// Its URL, safe for a terminal.
        url: String,
        /// What is wrong with it.
        #[source]
        error: FormatError,
    },
    /// No member of the package has the digest that was asked for.
    #[error("{url} has no file sha256:{sha256}: index it again")]
    NoSuchFile {
        /// The package's URL, safe for a terminal.
        url: String,
        /// What was asked for.
        sha256: Digest,
    },
    /// Writing the file failed.
    #[error(transparent)]
    Write(io::Error),
    /// The monitor asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl PackageFileError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Fetch(error) => error.class(),
            Self::Package { error: FormatError::Io(error), .. } | Self::Write(error) => {
                ErrorClass::of_io(error)
            }
            Self::Package { .. } | Self::NoSuchFile { .. } => ErrorClass::HashDbOutdated,
            Self::Interrupted(interrupted) => interrupted.class(),
        }
    }
}

impl PackageFiles<'_> {
    /// Writes the file with this digest, a member of `package`, to `output`, and returns its size. When
    /// it fails, what was written is worthless.
    ///
    /// # Errors
    /// See [`PackageFileError`].
    pub fn copy(
        &self,
        package: &PackageRecord,
        sha256: &Digest,
        output: &mut dyn Write,
        monitor: &dyn Monitor,
    ) -> Result<u64, PackageFileError> {
        let fetched = self.source.fetch(&wanted(package), monitor)?;
        let url = shown(&package.url);
        let mut search = Search { sha256, monitor, path: None };
        let recurse = |_: &RelPath| package.recursive;
        let read = |visitor: &mut dyn Visitor| {
            let input = Input::File(&fetched.file);
            formats::read_package_as(&package.format, input, &recurse, self.limits, visitor)
        };
        ended(read(&mut search), &url)?;
        let Some(path) = search.path else {
            return Err(PackageFileError::NoSuchFile { url, sha256: *sha256 });
        };
        let mut copy = Copy { path, output, monitor, copied: None };
        ended(read(&mut copy), &url)?;
        match copy.copied {
            Some((found, bytes)) if found == *sha256 => Ok(bytes),
            _ => Err(PackageFileError::NoSuchFile { url, sha256: *sha256 }),
        }
    }
}

/// The reading was ended because what was looked for has come.
#[derive(Debug, thiserror::Error)]
#[error("it is found")]
struct MemberFound;

fn ended(outcome: Result<&'static str, FormatError>, url: &str) -> Result<(), PackageFileError> {
    match outcome {
        Ok(_) => Ok(()),
        Err(FormatError::Visitor(error)) => match error.downcast::<PackageFileError>() {
            Ok(error) => Err(*error),
            Err(error) if error.is::<MemberFound>() => Ok(()),
            Err(error) => Err(PackageFileError::Package {
                url: url.to_owned(),
                error: FormatError::Visitor(error),
            }),
        },
        Err(error) => Err(PackageFileError::Package { url: url.to_owned(), error }),
    }
}

/// Finds the path of a member by its digest.
struct Search<'s> {
    sha256: &'s Digest,
    monitor: &'s dyn Monitor,
    path: Option<RelPath>,
}

impl Visitor for Search<'_> {
    fn visit(&mut self, member: Member, content: &mut dyn Read) -> Result<(), VisitorError> {
        self.monitor.check_interrupted().map_err(PackageFileError::from)?;
        if matches!(member.kind, Kind::File { .. }) && Digest::of_reader(content)? == *self.sha256 {
            self.path = Some(member.path);
            return Err(MemberFound.into());
        }
        Ok(())
    }
}

/// Writes the contents of the member at `path`.
struct Copy<'c> {
    path: RelPath,
    output: &'c mut dyn Write,
    monitor: &'c dyn Monitor,
    copied: Option<(Digest, u64)>,
}

impl Visitor for Copy<'_> {
    fn visit(&mut self, member: Member, content: &mut dyn Read) -> Result<(), VisitorError> {
        self.monitor.check_interrupted().map_err(PackageFileError::from)?;
        if member.path != self.path || !matches!(member.kind, Kind::File { .. }) {
            return Ok(());
        }
        let mut content = HashingReader::new(content);
        let mut buffer = [0; 64 * 1024];
        loop {
            match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    self.output.write_all(&buffer[..count]).map_err(PackageFileError::Write)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.copied = Some(content.finish());
        Err(MemberFound.into())
    }
}
