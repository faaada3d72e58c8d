//! A manifest and an exclude list, for a backup made with another tool.
//!
//! Invariant: the manifest counts everything that is not in the list as archived; everything in the list is
//! given back by a package.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::SystemTime;

use super::eligibility::first_verdicts;
use super::exclude_list::Tool;
use super::verdict::{Reason, Verdict, Verdicts};
use super::{ManifestVersion, PackError, PackOptions, Packer, Planned, Summary, write};
use crate::model::manifest::{AnyManifest, MANIFEST_NAME, ManifestError};
use crate::model::{Kind, RelPath};
use crate::monitor::{Event, Monitor};
use crate::pending_file::PendingFile;
use crate::tree::Entries;

/// A tree that another tool can back up now.
#[derive(Debug)]
pub struct Prepared {
    /// The exclude list for the tool.
    pub exclude_list: Vec<u8>,
    /// What is left out, and what it costs.
    pub summary: Summary,
    /// Entries whose names the tool's syntax cannot express: they stay in its backup.
    pub inexpressible: Vec<RelPath>,
}

impl Packer<'_> {
    /// Writes the manifest into the tree at `tree` (whose folder keeps its time) and makes the exclude list
    /// for `tool`.
    ///
    /// # Errors
    /// As for [`Packer::pack`]; or the tree has a file with the manifest's name that is not a manifest.
    pub fn prepare(
        &self,
        tree: &Path,
        tool: Tool,
        mut options: PackOptions<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Prepared, PackError> {
        check_own_manifest(tree)?;
        let top = std::path::absolute(tree).map_err(|error| output_error(tree, error))?;
        options.exclude_by_default.push(format!("./{MANIFEST_NAME}"));
        options.manifest_version = ManifestVersion::Two;
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
        let exclude_list = lines.filter_map(|path| tool.line(&top, path)).flatten().collect();
        for path in &inexpressible {
            let reason = "the exclude list cannot express its name: it is not left out";
            monitor.event(Event::Skipped { object: &path.to_string(), reason });
        }
        write::with_manifest(&scan, &mut plan, &options, |write| manifest.write(tree, write))?
            .map_err(|error| output_error(tree, error))?;
        Ok(Prepared { exclude_list, summary, inexpressible })
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

/// A manifest of an earlier preparation is replaced, but not a file of the user's.
fn check_own_manifest(tree: &Path) -> Result<(), PackError> {
    let json = match fs_err::read(tree.join(MANIFEST_NAME)) {
        Ok(json) => json,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(output_error(tree, error)),
    };
    let problem = match AnyManifest::parse(&json) {
        Ok(_) => return Ok(()),
        // A file that only a newer hashget can read is a manifest, too.
        Err(error @ (ManifestError::Needs { .. } | ManifestError::Version { .. })) => {
            io::Error::other(error)
        }
        Err(_) => io::Error::other("a file of this name exists, and it is no manifest"),
    };
    Err(output_error(tree, problem))
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
        self.file.commit(&tree.join(MANIFEST_NAME))?;
        self.folder.file().set_modified(self.before)?;
        self.folder.sync_all()
    }
}
