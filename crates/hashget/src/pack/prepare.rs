//! A manifest and an exclude list, for a backup made with another tool.
//!
//! Invariant: the manifest counts everything that is not in the list as archived; everything in the list is
//! given back by a package.

use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

use super::eligibility::first_verdicts;
use super::exclude_list::Tool;
use super::verdict::{Reason, Verdict, Verdicts};
use super::{ManifestVersion, PackError, PackOptions, Packer, Planned, Summary, write};
use crate::model::manifest::{AnyManifest, MANIFEST_NAME, ManifestError};
use crate::model::{Kind, RelPath, path_of};
use crate::monitor::{Event, Monitor};
use crate::pending_file::{PendingFile, behind_links};
use crate::tree::Entries;

/// Why a manifest is not replaced.
const UNFINISHED: &str = "it came with a backup, and the folder does not have all that it says: run `hashget restore` \
                          there first, or remove the file if nothing is missing";

/// The mode of an exclude list, less the process's umask.
const LIST_MODE: u32 = 0o666;

/// A tree that another tool can back up now.
#[derive(Debug)]
pub struct Prepared {
    /// What is left out, and what it costs.
    pub summary: Summary,
    /// Entries whose names the tool's syntax cannot express: they stay in its backup.
    pub inexpressible: Vec<RelPath>,
}

/// What the exclude list is written to.
enum ListFile {
    /// A file, which gets its name, the second, when all is done.
    Pending(PendingFile, PathBuf),
    /// A pipe or a device.
    Open(fs_err::File),
}

impl ListFile {
    fn create(list: &Path) -> io::Result<Self> {
        if list.metadata().is_ok_and(|found| !found.is_file()) {
            return Ok(Self::Open(fs_err::OpenOptions::new().write(true).open(list)?));
        }
        // A link to a list stays one.
        let path = behind_links(list);
        Ok(Self::Pending(PendingFile::replacing(&path, LIST_MODE)?, path))
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        match self {
            Self::Pending(file, _) => {
                file.write_all(text)?;
                file.file().sync_all()
            }
            Self::Open(file) => file.write_all(text),
        }
    }

    fn commit(self) -> io::Result<()> {
        match self {
            Self::Pending(file, path) => file.commit(&path),
            Self::Open(_) => Ok(()),
        }
    }
}

impl Packer<'_> {
    /// Writes the manifest into the tree at `tree` (whose folder keeps its time), and the exclude list for `tool` to
    /// `list`.
    ///
    /// # Errors
    /// As for [`Packer::pack`]; or the tree has a file with the manifest's name that is not a manifest, or the manifest of
    /// a restore that is not complete. If the list cannot be written, no manifest is.
    pub fn prepare(
        &self,
        tree: &Path,
        list: &Path,
        tool: Tool,
        mut options: PackOptions<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Prepared, PackError> {
        check_own_manifest(tree)?;
        let list_error = |error| PackError::Output { path: list.to_path_buf(), error };
        let mut list_file = ListFile::create(list).map_err(list_error)?;
        let top = std::path::absolute(tree).map_err(|error| output_error(tree, error))?;
        options.exclude_by_default.push(format!("./{MANIFEST_NAME}"));
        options.manifest_version = ManifestVersion::Two;
        // The other tool keeps whole files.
        options.pieces = false;
        let manifest = NewManifest::open(tree).map_err(|error| output_error(tree, error))?;
        let scan = self.scan(tree, manifest.identity(), &options, monitor)?;
        let mut first = first_verdicts(&scan, &options)?;
        let inexpressible = inexpressible(&scan.entries, tool, &top, &mut first);
        let mut summary = Summary::default();
        let Planned { mut plan, .. } =
            self.plan_in_any_case(&scan, &first, &options, &mut summary, monitor)?;
        summary.count(&scan.entries, &plan);
        summary.report_not_worth(monitor);
        let lines = left_out(&scan.entries, &plan.verdicts);
        let text: Vec<u8> = lines.filter_map(|path| tool.line(&top, path)).flatten().collect();
        // It has to fit: without the list, nothing uses the manifest.
        list_file.write(&text).map_err(list_error)?;
        for path in &inexpressible {
            let reason = "the exclude list cannot express its name: it is not left out";
            monitor.event(Event::Skipped { object: &path.to_string(), reason });
        }
        write::with_manifest(&scan, &mut plan, &options, |write| manifest.write(tree, write))?
            .map_err(|error| output_error(tree, error))?;
        list_file.commit().map_err(list_error)?;
        Ok(Prepared { summary, inexpressible })
    }
}

/// Decides that entries whose names the tool's syntax cannot express are archived, and returns their paths. A file is
/// left out under all its names or under none.
fn inexpressible(
    entries: &Entries,
    tool: Tool,
    top: &Path,
    verdicts: &mut Verdicts,
) -> Vec<RelPath> {
    let mut paths = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        if entry.kind != Kind::Directory && tool.line(top, &entry.path).is_none() {
            paths.push(entry.path.clone());
            let archived = Verdict::Archived(Reason::Inexpressible);
            verdicts.set(entries.first_name(index), archived);
        }
    }
    paths
}

/// What the archive would not contain, without folders, and without further names of archived files.
fn left_out<'a>(entries: &'a Entries, verdicts: &'a Verdicts) -> impl Iterator<Item = &'a RelPath> {
    let is_left_out = |verdict| match verdict {
        Verdict::Given { .. } => true,
        Verdict::Link { to } => verdicts.is_given(to),
        Verdict::Archived(_) => false,
    };
    entries
        .iter()
        .zip(verdicts.iter())
        .filter(move |(entry, verdict)| entry.kind != Kind::Directory && is_left_out(*verdict))
        .map(|(entry, _)| &entry.path)
}

fn output_error(tree: &Path, error: io::Error) -> PackError {
    PackError::Output { path: tree.join(MANIFEST_NAME), error }
}

/// A manifest of an earlier preparation is replaced, but not a file of the user's, and not the only thing that says what a
/// restore has still to bring.
fn check_own_manifest(tree: &Path) -> Result<(), PackError> {
    let failed = |error| output_error(tree, error);
    let file = match fs_err::File::open(tree.join(MANIFEST_NAME)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let problem = match AnyManifest::read(file.file(), u64::MAX) {
        Ok(_) if is_in_its_place(file.file()).map_err(failed)? => return Ok(()),
        Ok(manifest) if is_complete(tree, &manifest) => return Ok(()),
        Ok(_) => io::Error::other(UNFINISHED),
        // A file that only a newer hashget can read is a manifest, too.
        Err(error @ (ManifestError::Needs { .. } | ManifestError::Version { .. })) => {
            io::Error::other(error)
        }
        Err(_) => io::Error::other("a file of this name exists, and it is no manifest"),
    };
    Err(failed(problem))
}

/// Was this manifest written by a preparation of this very folder? Its time is then the time of its last change, to the
/// nanosecond: see [`NewManifest::write`]. No program that gives a copy the time of the original can set the latter.
fn is_in_its_place(manifest: &std::fs::File) -> io::Result<bool> {
    let stat = rustix::fs::fstat(manifest)?;
    Ok((stat.st_mtime, stat.st_mtime_nsec) == (stat.st_ctime, stat.st_ctime_nsec))
}

/// Has the folder, into which a manifest came with a backup, as many entries as it says, and all that the backup itself
/// held?
fn is_complete(tree: &Path, manifest: &AnyManifest) -> bool {
    let exists = |path: &RelPath| path.below(tree).symlink_metadata().is_ok();
    match manifest {
        AnyManifest::V1(manifest) => manifest.files.iter().all(|file| exists(&file.file)),
        AnyManifest::V2(manifest) => {
            // The manifest itself lies in the folder, besides what it says.
            count_entries(tree).is_ok_and(|found| found == manifest.tree.entries.saturating_add(1))
                && manifest.archived.paths().all(|path| exists(&path_of(path)))
        }
    }
}

/// How many entries there are at and below a folder.
fn count_entries(folder: &Path) -> io::Result<u64> {
    let mut found = 1;
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(&folder)? {
            let entry = entry?;
            found += 1;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// The manifest that is being written into the tree, whose top folder keeps its time.
struct NewManifest {
    folder: fs_err::File,
    before: SystemTime,
    file: PendingFile,
}

impl NewManifest {
    /// Opens it, before the tree is read: a folder that cannot be written to is reported at once.
    fn open(tree: &Path) -> io::Result<Self> {
        let folder = fs_err::File::open(tree)?;
        let before = folder.metadata()?.modified()?;
        let file = PendingFile::create(&tree.join(MANIFEST_NAME), 0o600)?;
        // A file with a temporary name has changed it.
        folder.file().set_modified(before)?;
        Ok(Self { folder, before, file })
    }

    /// Device and inode: it is not part of the tree.
    fn identity(&self) -> Vec<(u64, u64)> {
        let found = self.file.file().metadata();
        found.map(|found| (found.dev(), found.ino())).into_iter().collect()
    }

    fn write(mut self, tree: &Path, write: write::WriteText<'_>) -> io::Result<()> {
        write(&mut self.file)?;
        let path = tree.join(MANIFEST_NAME);
        self.file.commit(&path)?;
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        };
        let manifest = fs_err::File::open(&path)?;
        rustix::fs::futimens(manifest.file(), &times)?;
        manifest.sync_all()?;
        self.folder.file().set_modified(self.before)?;
        self.folder.sync_all()
    }
}
