//! Where an archive is written, and with which compression.
//!
//! Invariant: a file that is not regular (a pipe, a tape) is written to, never replaced.

use std::ffi::OsStr;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use hashget::codec::Codec;
use hashget::parity::parity_of;
use hashget::pending_file::behind_links;
use hashget::tree::literally;
use hashget_backup::encryption::ending;
use hashget_backup::store::Address;

use super::tree::Tree;
use crate::exit::UsageError;
use crate::stores::file_in_store;

/// An archive's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ArchiveFormat {
    /// Not compressed
    #[value(name = "tar")]
    Tar,
    /// gzip
    #[value(name = "tar.gz")]
    TarGz,
    /// zstd
    #[value(name = "tar.zst")]
    TarZst,
    /// xz
    #[value(name = "tar.xz")]
    TarXz,
}

/// The file name endings, and the format that each stands for.
const ENDINGS: &[(&str, ArchiveFormat)] = &[
    (".tar", ArchiveFormat::Tar),
    (".tar.gz", ArchiveFormat::TarGz),
    (".tgz", ArchiveFormat::TarGz),
    (".tar.zst", ArchiveFormat::TarZst),
    (".tzst", ArchiveFormat::TarZst),
    (".tar.xz", ArchiveFormat::TarXz),
    (".txz", ArchiveFormat::TarXz),
];

/// What follows such an ending if the archive is encrypted, by age or by a command.
const ENCRYPTED: [&str; 2] = [".age", ".enc"];

/// The name without what follows its ending if the archive is encrypted.
fn without_encryption(name: &[u8]) -> &[u8] {
    ENCRYPTED.iter().find_map(|ending| name.strip_suffix(ending.as_bytes())).unwrap_or(name)
}

/// The name of an archive without its ending; `None` if it does not end like that of one.
pub(crate) fn without_ending(name: &[u8]) -> Option<&[u8]> {
    let name = without_encryption(name);
    let ends = |(ending, _): &&(&str, ArchiveFormat)| {
        let start = name.len().checked_sub(ending.len()).filter(|start| *start > 0);
        start.is_some_and(|start| name[start..].eq_ignore_ascii_case(ending.as_bytes()))
    };
    ENDINGS.iter().find(ends).map(|(ending, _)| &name[..name.len() - ending.len()])
}

impl ArchiveFormat {
    fn of_name(file: &Path) -> Option<Self> {
        let name = file.file_name()?.to_string_lossy().to_ascii_lowercase();
        let name = without_encryption(name.as_bytes());
        let ends = |ending: &str| name.len() > ending.len() && name.ends_with(ending.as_bytes());
        ENDINGS.iter().find(|(ending, _)| ends(ending)).map(|&(_, format)| format)
    }

    /// The compression.
    pub(super) fn codec(self) -> Codec {
        match self {
            Self::Tar => Codec::None,
            Self::TarGz => Codec::Gzip,
            Self::TarZst => Codec::Zstd,
            Self::TarXz => Codec::Xz,
        }
    }

    /// The level, if it is valid for this compression.
    pub(super) fn checked_level(self, level: Option<i32>) -> Result<Option<i32>, UsageError> {
        let (name, range) = match self {
            Self::Tar => ("tar (it does not compress)", 0..=0),
            Self::TarGz => ("tar.gz", 0..=9),
            Self::TarZst => ("tar.zst", 1..=22),
            Self::TarXz => ("tar.xz", 0..=9),
        };
        match level {
            Some(level) if !range.contains(&level) => Err(UsageError(format!(
                "--level {level}: {name} has levels from {} to {}",
                range.start(),
                range.end()
            ))),
            level => Ok(level),
        }
    }
}

/// The kind of output.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Medium {
    /// Nothing: a dry run.
    Nowhere,
    /// A regular file, which appears once it is complete.
    File(PathBuf),
    /// An existing pipe or device.
    Device(PathBuf),
    /// Standard output.
    StandardOutput,
    /// A file of a store.
    InStore(Address, String),
}

/// Where an archive is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Destination {
    /// Its name, as the user wrote it.
    pub(super) name: String,
    /// The kind of output.
    pub(super) target: Medium,
    /// The format; `None` in a dry run.
    pub(super) format: Option<ArchiveFormat>,
    /// To whom it is encrypted; empty if it is not.
    pub(super) recipients: Vec<String>,
}

impl Destination {
    /// That of a dry run.
    pub(super) fn nowhere() -> Self {
        Self { name: String::new(), target: Medium::Nowhere, format: None, recipients: Vec::new() }
    }

    /// The same, encrypted to these recipients if there are any.
    ///
    /// # Errors
    /// The name says something else.
    pub(super) fn encrypted_to(self, recipients: &[String]) -> Result<Self, UsageError> {
        let is_named = matches!(self.target, Medium::File(_) | Medium::InStore(..));
        let name = &self.name;
        let has = without_encryption(name.as_bytes());
        let (expected, found) = (ending(recipients), &name[has.len()..]);
        if is_named && expected.is_empty() && !found.is_empty() {
            let wrong = format!(
                "{name} ends with {found}, as an encrypted archive: give its recipients with --recipient"
            );
            return Err(UsageError(wrong));
        }
        if is_named && expected != found {
            let wrong = format!(
                "an archive that is encrypted to this --recipient ends with {expected}: call it {}{expected}",
                &name[..has.len()]
            );
            return Err(UsageError(wrong));
        }
        Ok(Self { recipients: recipients.to_vec(), ..self })
    }

    /// The file of this name or address, or standard output for `-`.
    pub(super) fn new(file: &Path, format: Option<ArchiveFormat>) -> Result<Self, UsageError> {
        let recipients = Vec::new();
        let name = file.display().to_string();
        if file == Path::new("-") {
            let format = format.ok_or_else(|| {
                UsageError("for standard output, say the compression: --format tar.zst".to_owned())
            })?;
            if std::io::stdout().is_terminal() {
                return Err(UsageError(
                    "will not write an archive to a terminal: redirect standard output, or give -f FILE"
                        .to_owned(),
                ));
            }
            let (target, format) = (Medium::StandardOutput, Some(format));
            return Ok(Self { name, target, format, recipients });
        }
        let format = format.or_else(|| ArchiveFormat::of_name(file)).ok_or_else(|| {
            let endings: Vec<&str> = ENDINGS.iter().map(|(ending, _)| *ending).collect();
            let endings = endings.join(" ");
            UsageError(format!(
                "the ending of {name} does not say the compression: use one of {endings}, or --format"
            ))
        })?;
        if let Some((address, file)) = file_in_store(file)? {
            let (target, format) = (Medium::InStore(address, file), Some(format));
            return Ok(Self { name, target, format, recipients });
        }
        // If it is a link, its target is replaced, not the link.
        let target = match fs_err::metadata(file) {
            Ok(found) if found.is_dir() => {
                return Err(UsageError(format!("{name} is a folder: expected a file to write to")));
            }
            Ok(found) if found.is_file() => Medium::File(behind_links(file)),
            Ok(_) => Medium::Device(file.to_path_buf()),
            // Nothing is there yet, at the end of a link perhaps. Whatever else is wrong shows when it is opened.
            Err(_) => Medium::File(behind_links(file)),
        };
        Ok(Self { name, target, format: Some(format), recipients })
    }

    /// The folder in which the archive appears, if it is one of this machine.
    pub(super) fn folder(&self) -> Option<&Path> {
        let Medium::File(file) = &self.target else { return None };
        let folder = file.parent()?;
        Some(if folder == Path::new("") { Path::new(".") } else { folder })
    }

    /// Can there be parity beside the archive?
    ///
    /// # Errors
    /// No: it is not written to a file.
    pub(super) fn expect_room_beside(&self) -> Result<(), UsageError> {
        if !self.recipients.is_empty() {
            let wrong = "--parity is for an archive that is not encrypted: `par2 create` makes it for the encrypted one";
            return Err(UsageError(wrong.to_owned()));
        }
        match self.target {
            Medium::File(_) | Medium::Nowhere => Ok(()),
            Medium::Device(_) | Medium::StandardOutput | Medium::InStore(..) => Err(UsageError(
                "--parity writes a file beside the archive: give the name of a file with -f"
                    .to_owned(),
            )),
        }
    }

    /// The globs that exclude the archive and its parity from itself, if it lies in the tree.
    ///
    /// # Errors
    /// The archive is itself to be packed, or its path cannot be excluded.
    pub(super) fn exclusion(&self, tree: &Tree) -> Result<Vec<String>, UsageError> {
        let Medium::File(file) = &self.target else {
            return Ok(Vec::new());
        };
        let folder = match file.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let (Ok(top), Ok(folder)) =
            (fs_err::canonicalize(&tree.folder), fs_err::canonicalize(folder))
        else {
            return Ok(Vec::new());
        };
        let Ok(below) = folder.strip_prefix(&top) else {
            return Ok(Vec::new());
        };
        let inside = below.join(file.file_name().unwrap_or(OsStr::new("")));
        if tree.has_selected(&inside) {
            let name = &self.name;
            let wrong =
                format!("{name} is the archive itself: give it another name, or do not pack it");
            return Err(UsageError(wrong));
        }
        match inside.to_str() {
            Some(path) => {
                let glob = format!("./{}", literally(path));
                Ok(vec![parity_of(Path::new(&glob)).display().to_string(), glob])
            }
            None => Err(UsageError(format!(
                "{} lies in the folder that is packed, and its path is not UTF-8: \
                 put the archive elsewhere",
                self.name
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use hashget::model::RelPath;
    use hashget::tree::Globs;

    use super::*;

    #[test]
    fn the_ending_says_the_compression() {
        for (name, expected) in [
            ("a.tar", Some(ArchiveFormat::Tar)),
            ("a.tar.gz", Some(ArchiveFormat::TarGz)),
            ("A.TGZ", Some(ArchiveFormat::TarGz)),
            ("/x/a.tar.zst", Some(ArchiveFormat::TarZst)),
            ("a.txz", Some(ArchiveFormat::TarXz)),
            ("a.zip", None),
            ("a.tar.zst.age", Some(ArchiveFormat::TarZst)),
            ("s3://night/a.tar.xz", Some(ArchiveFormat::TarXz)),
            ("tar", None),
            (".tar", None),
            ("a.age", None),
        ] {
            assert_eq!(ArchiveFormat::of_name(Path::new(name)), expected, "{name}");
        }
        let error = Destination::new(Path::new("a.zip"), None).unwrap_err().to_string();
        assert!(error.contains(".tar.zst") && error.contains("--format"), "{error}");
    }

    #[test]
    fn levels_have_ranges() {
        assert_eq!(ArchiveFormat::TarZst.checked_level(Some(19)).unwrap(), Some(19));
        assert_eq!(ArchiveFormat::TarGz.checked_level(None).unwrap(), None);
        assert!(ArchiveFormat::TarGz.checked_level(Some(10)).is_err());
        assert!(ArchiveFormat::Tar.checked_level(Some(1)).is_err());
    }

    #[test]
    fn what_is_no_file_is_written_to_and_never_replaced() {
        let format = Some(ArchiveFormat::Tar);
        let null = Destination::new(Path::new("/dev/null"), format).unwrap();
        assert_eq!(null.target, Medium::Device("/dev/null".into()));
        assert!(Destination::new(Path::new("/dev"), format).is_err());
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a.tar"), folder.path().join("link.tar"));
        fs_err::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let resolved = fs_err::canonicalize(&file).unwrap();
        assert_eq!(Destination::new(&link, None).unwrap().target, Medium::File(resolved));
        fs_err::remove_file(&file).unwrap();
        assert_eq!(Destination::new(&link, None).unwrap().target, Medium::File(file));
    }

    #[test]
    fn an_archive_in_the_tree_is_kept_out_of_itself() {
        let tree = tempfile::tempdir().unwrap();
        let whole = Tree::of_paths(&[tree.path().to_path_buf()]).unwrap();
        fs_err::create_dir(tree.path().join("sub[1]")).unwrap();
        let inside = Destination::new(&tree.path().join("sub[1]/a*.tar"), None).unwrap();
        let globs = Globs::new(&inside.exclusion(&whole).unwrap()).unwrap();
        let excludes = |path: &str| globs.matches(tree.path(), &RelPath::try_from(path).unwrap());
        assert!(excludes("sub[1]/a*.tar") && excludes("sub[1]/a*.tar.par2"));
        assert!(!excludes("sub[1]/ab.tar") && !excludes("x/sub[1]/a*.tar"));
        let elsewhere = tempfile::tempdir().unwrap();
        let outside = Destination::new(&elsewhere.path().join("a.tar"), None).unwrap();
        assert!(outside.exclusion(&whole).unwrap().is_empty());
    }
}
