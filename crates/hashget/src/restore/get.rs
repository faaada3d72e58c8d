//! One file out of a package, for `hashget get`.
//!
//! Invariant: when it succeeds, exactly the bytes of the digest that was asked for were written.

use std::io::{self, Read, Write};

use super::{RestoreError, Restorer};
use crate::fetch::Wanted;
use crate::formats::{self, FormatError, Input, Visitor, VisitorError};
use crate::model::{Digest, HashingReader, Kind, Member, PackageRecord, RelPath};
use crate::monitor::Monitor;

impl Restorer<'_> {
    /// Writes the file with this digest, a member of `package`, to `output`, and tells its size. When
    /// it fails, what was written is worthless.
    ///
    /// # Errors
    /// [`RestoreError::Fetch`], [`RestoreError::Package`], [`RestoreError::NoSuchFile`],
    /// [`RestoreError::Io`] from `output`, [`RestoreError::Interrupted`].
    pub fn get(
        &self,
        package: &PackageRecord,
        sha256: &Digest,
        output: &mut dyn Write,
        monitor: &dyn Monitor,
    ) -> Result<u64, RestoreError> {
        let wanted = Wanted {
            url: package.url.clone(),
            also: package.also.clone(),
            sha256: Some(package.sha256),
            size: Some(package.size),
        };
        let fetched = self.source.fetch(&wanted, monitor)?;
        let url = crate::fetch::shown(&package.url);
        let mut search = Search { sha256, monitor, found: None };
        let recurse = |_: &RelPath| package.recursive;
        let read = |visitor: &mut dyn Visitor| {
            formats::read_package(Input::File(&fetched.file), &recurse, self.limits, visitor)
        };
        ended(read(&mut search), &url)?;
        let Some(path) = search.found else {
            return Err(RestoreError::NoSuchFile { url, sha256: *sha256 });
        };
        let mut copy = Copy { path, output, monitor, copied: None };
        ended(read(&mut copy), &url)?;
        match copy.copied {
            Some((found, bytes)) if found == *sha256 => Ok(bytes),
            _ => Err(RestoreError::NoSuchFile { url, sha256: *sha256 }),
        }
    }
}

/// The reading was ended because what was looked for has come.
#[derive(Debug, thiserror::Error)]
#[error("it is found")]
struct Found;

fn ended(outcome: Result<&'static str, FormatError>, url: &str) -> Result<(), RestoreError> {
    match outcome {
        Ok(_) => Ok(()),
        Err(FormatError::Visitor(error)) => match error.downcast::<RestoreError>() {
            Ok(error) => Err(*error),
            Err(error) if error.is::<Found>() => Ok(()),
            Err(error) => Err(RestoreError::Package {
                url: url.to_owned(),
                error: FormatError::Visitor(error),
            }),
        },
        Err(error) => Err(RestoreError::Package { url: url.to_owned(), error }),
    }
}

/// Finds the path of a member by its digest.
struct Search<'s> {
    sha256: &'s Digest,
    monitor: &'s dyn Monitor,
    found: Option<RelPath>,
}

impl Visitor for Search<'_> {
    fn visit(&mut self, member: Member, content: &mut dyn Read) -> Result<(), VisitorError> {
        self.monitor.check_interrupted().map_err(RestoreError::from)?;
        if matches!(member.kind, Kind::File { .. }) && Digest::of_reader(content)? == *self.sha256 {
            self.found = Some(member.path);
            return Err(Found.into());
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
        self.monitor.check_interrupted().map_err(RestoreError::from)?;
        if member.path != self.path || !matches!(member.kind, Kind::File { .. }) {
            return Ok(());
        }
        let mut content = HashingReader::new(content);
        let mut buffer = [0; 64 * 1024];
        loop {
            match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    self.output.write_all(&buffer[..count]).map_err(RestoreError::from)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.copied = Some(content.finish());
        Err(Found.into())
    }
}
