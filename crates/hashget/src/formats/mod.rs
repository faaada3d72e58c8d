//! Package readers: one file for each format, behind one trait. Formats are recognised by content, never by
//! name.
//!
//! Invariant: a reader sees only bytes and [`Limits`] (no network, no path to write to, no database), and
//! passes each member to the visitor in the package's own order, contents at most once.

mod apk;
mod ar;
mod compressed;
mod conda;
mod content;
mod cpio;
mod deb;
mod file_type;
mod gem;
mod iso9660;
mod package;
mod rpm;
mod seven_zip;
pub mod tar;
mod zip;

use std::fs::File;
use std::io::{self, Read, Seek};
use std::sync::atomic::AtomicU64;

pub(crate) use cpio::end_of_plain_archives;
pub(crate) use deb::{Paragraph, Paragraphs};
pub use deb::{control_end, control_members, own_name};
pub use package::{read_package, read_package_as};
pub(crate) use rpm::{FileDigest, FileNotes, PackageHeader, RpmIdentity};

use crate::error::ErrorClass;
use crate::limits::Limits;
use crate::model::{Member, RelPath, Signature};

/// All formats, in the order in which they are tried: a gem and an apk are also tars, a conda package is also a zip, and a
/// .deb is also an ar archive. A compressed tar or cpio archive is also a compressed file.
pub const FORMATS: &[&dyn Format] = &[
    &deb::Deb,
    &rpm::Rpm,
    &seven_zip::SevenZip,
    &apk::Apk,
    &gem::Gem,
    &tar::Tar,
    &conda::Conda,
    &zip::Zip,
    &iso9660::Iso9660,
    &ar::Ar,
    &cpio::Cpio,
    &compressed::Compressed,
];

/// The version of the rules by which packages are read: it rises whenever some package would get another list of members
/// than before, so that statements of different versions are never compared (`docs/format-index.md`). What the HashDB knows at evidence `signed` was
/// read by this version: whoever raises it removes such records in a migration.
pub const RULES: u32 = 1;

/// The format name of a package that is not an archive: the file itself is the package.
pub const FILE: &str = "file";

/// Separates a package's path from the path of a member in it, for packages within packages.
pub const PATH_SEPARATOR: &str = "!/";

/// The format of a package that begins with `head` (up to [`HEAD_BYTES`], fewer if it is shorter).
/// `None`: the file itself is the package.
pub fn recognise(head: &[u8]) -> Option<&'static dyn Format> {
    FORMATS.iter().copied().find(|format| format.recognises(head))
}

/// The format of a package that begins with `head`, and is in `file` as a whole: also if only its end shows it, whatever the
/// head.
///
/// # Errors
/// The file cannot be read.
fn recognise_file(head: &[u8], file: &File) -> io::Result<Option<&'static dyn Format>> {
    if let Some(format) = recognise(head) {
        return Ok(Some(format));
    }
    for format in FORMATS.iter().copied() {
        if format.recognises_end(file)? {
            return Ok(Some(format));
        }
    }
    Ok(None)
}

/// May a member that begins with `head` be a package that only its end shows? (Of the others the end is not looked at: they
/// would all have to be copied to the disk.)
fn may_end_as_package(head: &[u8]) -> bool {
    FORMATS.iter().any(|format| format.may_end(head))
}

/// The format with this name; `None` for [`FILE`] and names that no format has.
pub fn by_name(name: &str) -> Option<&'static dyn Format> {
    FORMATS.iter().copied().find(|format| format.name() == name)
}

/// Does `name` end like that of a package? The case is ignored.
pub fn is_package_name(name: &[u8]) -> bool {
    FORMATS.iter().flat_map(|format| format.endings()).any(|ending| {
        let start = name.len().checked_sub(ending.len()).filter(|start| *start > 0);
        start.is_some_and(|start| name[start..].eq_ignore_ascii_case(ending.as_bytes()))
    })
}

/// The bytes of a package.
pub enum Input<'a> {
    /// A regular file, read from its start whatever its cursor; formats that need to seek can do so.
    File(&'a File),
    /// Like `File`; the number of bytes read is stored in the counter.
    Watched(&'a File, &'a AtomicU64),
    /// Bytes that can be read only once, such as a member of another package.
    Stream(&'a mut dyn Read),
}

/// Receives the members of a package, one after the other.
pub trait Visitor {
    /// Receives the next member. For a regular file `content` returns its bytes (holes as zeros); for
    /// anything else it is empty. The reader skips what is left unread.
    ///
    /// # Errors
    /// Any error stops the reading and is returned by [`Format::read`] as [`FormatError::Visitor`].
    fn visit(&mut self, member: Member, content: &mut dyn Read) -> Result<(), VisitorError>;

    /// Reports a member that cannot be represented, for example because its name leads out of the package or
    /// it is encrypted. It is not visited. `raw` is its name as stored, after the path of the package that
    /// contains it; `reason` is safe for a terminal.
    fn bad_member(&mut self, raw: &[u8], reason: &str) {
        let _ = (raw, reason);
    }

    /// Reports that the member at `path` is a package whose members could not all be read. Those that could
    /// have been visited, as has the member itself.
    fn nested_problem(&mut self, path: &RelPath, error: &FormatError) {
        let _ = (path, error);
    }
}

/// Why a visitor stopped the reading.
pub type VisitorError = Box<dyn std::error::Error + Send + Sync>;

/// A package format.
pub trait Format: Sync {
    /// Its name in the HashDB and in manifests: `deb`, `tar`, `zip`, ...
    fn name(&self) -> &'static str;

    /// File name endings of such packages, in lower case, each with its dot. A name proves nothing: it only
    /// shows which files may be packages, and that a page of HTML is not what was requested.
    fn endings(&self) -> &'static [&'static str];

    /// Are these the first bytes of a package of this format? They are up to [`HEAD_BYTES`] of it, fewer if
    /// it is shorter. Compressed tars are recognised inside the compression.
    fn recognises(&self, head: &[u8]) -> bool;

    /// May a package of this format that is within another one begin with these other bytes, so that its end has to be looked
    /// at?
    fn may_end(&self, head: &[u8]) -> bool {
        let _ = head;
        false
    }

    /// Does the end of `file` show that it is of this format?
    ///
    /// # Errors
    /// It cannot be read.
    fn recognises_end(&self, file: &File) -> io::Result<bool> {
        let _ = file;
        Ok(false)
    }

    /// Is a package of this format also opened if it is a member of another one?
    fn is_opened_within(&self) -> bool {
        true
    }

    /// Does [`Format::read`] also visit what is in the member at `path`? Then it is not read again as a
    /// package within the package.
    fn opens(&self, path: &RelPath) -> bool {
        let _ = path;
        false
    }

    /// The name of a package as stored in it: a signature whose kind is the format's name. Reads no more of
    /// the package than necessary. `None` if packages of this format do not contain their name.
    ///
    /// # Errors
    /// The package is damaged or of another format, or its name cannot form a signature.
    fn own_name(
        &self,
        input: Input<'_>,
        limits: &Limits,
    ) -> Result<Option<Signature>, FormatError> {
        let _ = (input, limits);
        Ok(None)
    }

    /// The reader for single members of a remote package, if packages of this format have a directory.
    fn readable_in_parts(&self) -> Option<&dyn PartReader> {
        None
    }

    /// Does the older Python tool find the member at `path` when it unpacks a package of a manifest of
    /// version 1?
    fn is_found_by_version_one(&self, path: &RelPath) -> bool {
        let _ = path;
        true
    }

    /// Reads all members in order. Paths are normalised; the top folder (`./`) is not a member.
    ///
    /// # Errors
    /// [`FormatError`] says what is wrong with the package. Members visited before the error remain valid.
    fn read(
        &self,
        input: Input<'_>,
        limits: &Limits,
        visitor: &mut dyn Visitor,
    ) -> Result<(), FormatError>;
}

/// Bytes that can be read at any position.
pub trait RandomAccess: Read + Seek {}

impl<R: Read + Seek + ?Sized> RandomAccess for R {}

/// Reads single members of a package; of the others only their entries in the package's directory.
pub trait PartReader {
    /// Reads the `wanted` members, in order.
    ///
    /// # Errors
    /// As those of [`Format::read`].
    fn read_members(
        &self,
        package: &mut dyn RandomAccess,
        wanted: &dyn Fn(&RelPath) -> bool,
        limits: &Limits,
        visitor: &mut dyn Visitor,
    ) -> Result<(), FormatError>;
}

/// Number of first bytes of a package passed to [`Format::recognises`].
///
/// A bzip2 block can only be decompressed as a whole, and has up to 900,000 bytes.
pub const HEAD_BYTES: usize = 1 << 20;

/// What is wrong with a package.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The bytes violate the format's rules or end too early.
    #[error("damaged {format}: {problem}")]
    Damaged {
        /// The format's name.
        format: &'static str,
        /// What was found, and what was expected.
        problem: String,
    },
    /// A limit was exceeded: the package is hostile, or larger than the user allows.
    #[error("{what} is more than the limit of {limit}")]
    Limit {
        /// What exceeds the limit.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// The package is a variant of the format that is not supported.
    #[error("unsupported {format}: {problem}")]
    Unsupported {
        /// The format's name.
        format: &'static str,
        /// The variant.
        problem: String,
    },
    /// The package's bytes could not be read.
    #[error("cannot read the package")]
    Io(#[source] io::Error),
    /// The visitor stopped.
    #[error(transparent)]
    Visitor(VisitorError),
}

impl FormatError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Damaged { .. } => ErrorClass::DamagedPackage,
            Self::Limit { .. } => ErrorClass::LimitExceeded,
            Self::Unsupported { .. } => ErrorClass::UnsupportedPackage,
            Self::Io(error) => ErrorClass::of_io(error),
            // A visitor stops because of the data that it received, or because it was asked to.
            Self::Visitor(error) => ErrorClass::of_visitor(&**error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_endings_are_as_the_trait_says() {
        let names: BTreeSet<&str> = FORMATS.iter().map(|format| format.name()).collect();
        assert_eq!(names.len(), FORMATS.len(), "each name once");
        for format in FORMATS {
            assert!(by_name(format.name()).is_some_and(|found| found.name() == format.name()));
            assert!(!format.endings().is_empty(), "{}", format.name());
            for ending in format.endings() {
                let is_plain = ending.starts_with('.') && *ending == ending.to_ascii_lowercase();
                assert!(is_plain && ending.len() > 1, "{}: {ending}", format.name());
            }
        }
        assert!(by_name(FILE).is_none());
    }

    #[test]
    fn packages_are_told_by_their_names() {
        for name in ["a.rpm", "a.apk", "a.conda", "a.7z", "a.DEB", "a.tar.zst", "a.tbz2", "a.war"] {
            assert!(is_package_name(name.as_bytes()), "{name}");
        }
        for name in ["", ".deb", "a", "a.html", "a.rpm.asc", "a.tar.gz.sig", "deb"] {
            assert!(!is_package_name(name.as_bytes()), "{name}");
        }
    }
}
