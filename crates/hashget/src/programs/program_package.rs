//! The packages that a tool consists of, unpacked into a private folder.
//!
//! Invariant: nothing is written outside the folder, whatever a package has in it: a member goes only into folders that were made here.

use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use url::Url;

use super::ProgramError;
use crate::fetch::is_below;
use crate::formats::{self, FormatError, Input, Paragraphs, Visitor, VisitorError};
use crate::keeping;
use crate::limits::Limits;
use crate::model::{Keeping, Kind, Member, RelPath};

/// The format of packages that tools come from.
const FORMAT: &str = "deb";
const CONTROL: &[u8] = b"control/control";
const DATA: &[u8] = b"data/";
/// Bytes of a control file.
const MOST_CONTROL_BYTES: u64 = 1 << 20;
/// Packages of one program.
pub(crate) const MOST_PACKAGES: usize = 100;
/// Bytes of the files of one program.
const MOST_UNPACKED_BYTES: u64 = 4 << 30;

/// Packages, unpacked one over the other.
pub(crate) struct Unpacked {
    folder: TempDir,
}

impl Unpacked {
    /// The folder.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// What a package says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct UnpackedPackage {
    /// Its name.
    pub(crate) name: String,
    /// What it depends on: of each list, one.
    pub(crate) depends: Vec<Vec<String>>,
}

/// The kind of the signature that a package with this name has, and how its value begins.
pub(crate) fn signature(name: &str) -> (&'static str, String) {
    (FORMAT, format!("{name}_"))
}

/// Is a package with this value of that signature for this machine?
pub(crate) fn is_for_this_machine(value: &str) -> bool {
    let architecture = value.rsplit('_').next().unwrap_or_default();
    let own = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    architecture == own || architecture == "all"
}

/// Is this the URL of a package in an archive that keeps what it publishes, or in one of `archives`? It says where the package is said to
/// be, and nothing of whose its bytes are.
pub(crate) fn is_of_archive(url: &str, archives: &[String]) -> bool {
    let is_secure = || Url::parse(url).is_ok_and(|url| url.scheme() == "https");
    let is_kept = keeping::of_url(url) == Keeping::Permanent && is_secure();
    is_kept || archives.iter().any(|archive| archive.ends_with('/') && is_below(url, archive))
}

/// What a package says of itself, without unpacking it.
///
/// # Errors
/// It is no Debian package, or damaged.
pub(crate) fn described(package: &File, limits: &Limits) -> Result<UnpackedPackage, ProgramError> {
    let mut control = Unpacking::new(None);
    read(package, limits, &mut control)?;
    control.described()
}

/// Unpacks packages, in this order, into a new folder that the tool may read. Their proven bytes are in the files.
///
/// # Errors
/// One is no Debian package, or damaged; or the folder cannot be written.
pub(crate) fn unpack(
    packages: &[File],
    limits: &Limits,
) -> Result<(Unpacked, Vec<UnpackedPackage>), ProgramError> {
    let folder = tempfile::Builder::new().prefix("hashget-tool-").tempdir()?;
    let mut described = Vec::with_capacity(packages.len());
    let mut room = MOST_UNPACKED_BYTES;
    for package in packages {
        let mut unpacking = Unpacking { room, ..Unpacking::new(Some(folder.path())) };
        read(package, limits, &mut unpacking)?;
        described.push(unpacking.described()?);
        room = unpacking.room;
    }
    Ok((Unpacked { folder }, described))
}

fn read(package: &File, limits: &Limits, visitor: &mut Unpacking) -> Result<(), ProgramError> {
    let nothing = |_: &RelPath| false;
    match formats::read_package_as(FORMAT, Input::File(package), &nothing, limits, visitor) {
        Ok(found) if found == FORMAT => Ok(()),
        Ok(_) => Err(ProgramError::NoPackage),
        Err(FormatError::Visitor(error)) => match error.downcast::<ProgramError>() {
            Ok(error) => Err(*error),
            Err(error) => Err(ProgramError::Package(error.to_string())),
        },
        Err(error) => Err(ProgramError::Package(crate::wording::one_line(&error))),
    }
}

struct Unpacking {
    /// Where it goes; `None`: nowhere.
    folder: Option<PathBuf>,
    /// The folders that were made.
    made: BTreeSet<RelPath>,
    control: Vec<u8>,
    /// Bytes that may still be written.
    room: u64,
}

impl Unpacking {
    fn new(folder: Option<&Path>) -> Self {
        let (folder, made, control) = (folder.map(Path::to_path_buf), BTreeSet::new(), Vec::new());
        Self { folder, made, control, room: 0 }
    }

    fn described(&self) -> Result<UnpackedPackage, ProgramError> {
        let paragraph = Paragraphs::new(&self.control[..]).next()?;
        let paragraph = paragraph.ok_or(ProgramError::NoPackage)?;
        let name = paragraph.get("Package").ok_or(ProgramError::NoPackage)?.to_owned();
        let fields =
            ["Pre-Depends", "Depends"].into_iter().filter_map(|field| paragraph.get(field));
        let depends = fields.flat_map(|field| field.split(',')).map(alternatives).collect();
        Ok(UnpackedPackage { name, depends })
    }

    /// There are all folders above what lies at `path`; false if something else is in the way.
    fn make_folders(&mut self, root: &Path, path: &RelPath) -> io::Result<bool> {
        let Some(parent) = path.parent().filter(|parent| !parent.is_root()) else {
            return Ok(true);
        };
        if self.made.contains(&parent) {
            return Ok(true);
        }
        if !self.make_folders(root, &parent)? {
            return Ok(false);
        }
        let at = place(root, &parent);
        match std::fs::create_dir(&at) {
            // Whoever runs the tool may look into it, whatever the mask of modes is.
            Ok(()) => fs_err::set_permissions(&at, Permissions::from_mode(0o755))?,
            // Of a package before this one: it may be a link, which is not followed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !fs_err::symlink_metadata(&at)?.is_dir() {
                    return Ok(false);
                }
            }
            Err(error) => return Err(error),
        }
        self.made.insert(parent);
        Ok(true)
    }

    fn put(
        &mut self,
        root: &Path,
        member: &Member,
        content: &mut dyn Read,
    ) -> Result<(), ProgramError> {
        let Some(rest) = member.path.as_bytes().strip_prefix(DATA) else { return Ok(()) };
        let Ok(path) = RelPath::new(rest) else { return Ok(()) };
        if !self.make_folders(root, &path)? {
            return Ok(());
        }
        let at = place(root, &path);
        let is_free = || match fs_err::symlink_metadata(&at) {
            Ok(found) if found.is_dir() => Ok(false),
            Ok(_) => fs_err::remove_file(&at).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        };
        match &member.kind {
            Kind::File { .. } if is_free()? => {
                let mut file = fs_err::File::create_new(&at)?;
                let written = io::copy(&mut content.take(self.room + 1), &mut file)?;
                let left = self.room.checked_sub(written);
                self.room = left.ok_or(ProgramError::UnpacksMuch(MOST_UNPACKED_BYTES))?;
                let executable = member.metadata.mode.is_some_and(|mode| mode & 0o111 != 0);
                let mode = if executable { 0o755 } else { 0o644 };
                Ok(fs_err::set_permissions(&at, Permissions::from_mode(mode))?)
            }
            Kind::Symlink { target } if is_free()? => {
                Ok(symlink(std::ffi::OsStr::from_bytes(target), &at)?)
            }
            Kind::HardLink { target } => self.put_link(root, target, &at),
            // Folders come with what is in them, and no program of the table has anything else.
            _ => Ok(()),
        }
    }
}

impl Unpacking {
    /// A further name of a file that was put there; nothing if the target is something else.
    fn put_link(&mut self, root: &Path, target: &RelPath, at: &Path) -> Result<(), ProgramError> {
        let rest = target.as_bytes().strip_prefix(DATA);
        let Some(target) = rest.and_then(|rest| RelPath::new(rest).ok()) else { return Ok(()) };
        let from = place(root, &target);
        let kind = |path: &Path| fs_err::symlink_metadata(path).map(|found| found.file_type()).ok();
        let is_file = from != at && kind(&from).is_some_and(|kind| kind.is_file());
        if !is_file || !self.make_folders(root, &target)? {
            return Ok(());
        }
        match kind(at) {
            Some(kind) if kind.is_dir() => return Ok(()),
            // Something of another package.
            Some(_) => fs_err::remove_file(at)?,
            None => {}
        }
        fs_err::hard_link(&from, at)?;
        Ok(())
    }
}

impl Visitor for Unpacking {
    fn visit(&mut self, member: Member, content: &mut dyn Read) -> Result<(), VisitorError> {
        if member.path.as_bytes() == CONTROL {
            content.take(MOST_CONTROL_BYTES).read_to_end(&mut self.control)?;
            return Ok(());
        }
        match self.folder.clone() {
            Some(root) => Ok(self.put(&root, &member, content)?),
            None => Ok(()),
        }
    }
}

/// Where a path lies below a folder.
pub(super) fn place(root: &Path, path: &RelPath) -> PathBuf {
    root.join(std::ffi::OsStr::from_bytes(path.as_bytes()))
}

/// The names in one item of a list of dependencies, such as `a (>= 1) | b:any`.
fn alternatives(item: &str) -> Vec<String> {
    let name = |one: &str| one.split(['(', '[', '<', ':']).next().unwrap_or("").trim().to_owned();
    item.split('|').map(name).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_has_names_without_versions() {
        assert_eq!(alternatives(" a (>= 1) | b:any [amd64]"), ["a", "b"]);
        assert_eq!(alternatives(""), [""; 0]);
    }

    #[test]
    fn tools_come_from_archives_that_keep_what_they_publish() {
        let configured = ["https://archive.example/debian/".to_owned(), "https://open".to_owned()];
        for (url, expected) in [
            ("https://snapshot.debian.org/file/00", true),
            ("https://archive.example/debian/pool/a.deb", true),
            ("https://archive.example/other/a.deb", false),
            ("https://open.example/a.deb", false),
            ("https://archive.example/debian/../other/a.deb", false),
            ("https://archive.example/debian/%2e%2e/other/a.deb", false),
            ("https://archive.example/debian/..\\other/a.deb", false),
            ("https://archive.example.evil/debian/a.deb", false),
            ("https://archive.example/debian/x/../a.deb", true),
            ("http://archive.example/debian/a.deb", false),
            ("http://snapshot.debian.org/file/00", false),
            ("file://snapshot.debian.org/file/00", false),
            ("no URL", false),
        ] {
            assert_eq!(is_of_archive(url, &configured), expected, "{url}");
        }
    }
}
