//! A manifest and a list of files to leave out, for a backup that another tool makes.
//!
//! Invariant: what is not in the list, the manifest counts as archived; what is, some package gives back.

use std::collections::HashSet;
use std::path::Path;

use super::exclude_list::Tool;
use super::{
    ManifestVersion, Output, PackError, PackOptions, Packer, Planned, Summary, eligible, plan,
    write,
};
use crate::model::manifest::{AnyManifest, MANIFEST_NAME, ManifestError};
use crate::model::{Kind, RelPath};
use crate::monitor::{Event, Monitor};
use crate::pending_file::PendingFile;
use crate::tree::Scan;

/// A tree that another tool may back up now.
#[derive(Debug)]
pub struct Prepared {
    /// The list for the tool.
    pub exclude_list: Vec<u8>,
    /// What is left out, and what it costs.
    pub summary: Summary,
    /// Entries that the tool cannot be told to leave out: they are in its backup.
    pub inexpressible: Vec<RelPath>,
}

impl Packer<'_> {
    /// Writes the manifest into the tree at `tree` (its folder keeps its time) and makes the list of what
    /// `tool` shall leave out.
    ///
    /// # Errors
    /// As of [`Packer::pack`]; and when the tree has a file of the manifest's name that is none.
    pub fn prepare(
        &self,
        tree: &Path,
        tool: Tool,
        mut options: PackOptions<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Prepared, PackError> {
        check_own_manifest(tree)?;
        let top = std::path::absolute(tree).map_err(|error| output_error(tree, error))?;
        options.exclude.push(format!("./{MANIFEST_NAME}"));
        options.manifest_version = ManifestVersion::Two;
        let scan = self.scan(tree, &Output::Nothing, &options, monitor)?;
        let mut may = eligible(&scan, &options)?;
        // A file is left out under all its names or under none.
        let mut inexpressible = Vec::new();
        for (index, entry) in scan.entries.iter().enumerate() {
            if entry.kind == Kind::Directory || tool.line(&top, &entry.path).is_some() {
                continue;
            }
            inexpressible.push(entry.path.clone());
            may[index] = false;
            if let Kind::HardLink { target } = &entry.kind
                && let Ok(first) = scan.entries.binary_search_by(|one| one.path.cmp(target))
            {
                may[first] = false;
            }
        }
        let mut summary = Summary::default();
        let Planned { mut plan, held, .. } =
            self.plan(&scan, may, &options, &mut summary, monitor)?;
        summary.count(&scan, &plan, &held);
        let lines = left_out(&scan, &plan).into_iter();
        let exclude_list = lines.filter_map(|path| tool.line(&top, path)).flatten().collect();
        for path in &inexpressible {
            let reason = "the list cannot say its name: it is not left out";
            monitor.event(Event::Skipped { object: &path.to_string(), reason });
        }
        write::with_manifest(&scan, &mut plan, &options, |write| write_manifest(tree, write))?
            .map_err(|error| output_error(tree, error))?;
        Ok(Prepared { exclude_list, summary, inexpressible })
    }
}

/// What the archive would not hold: no folders, and no further names of archived files.
fn left_out<'a>(scan: &'a Scan, plan: &plan::Plan) -> Vec<&'a RelPath> {
    let entries = &scan.entries;
    let archived = |path: &RelPath| {
        entries.binary_search_by(|one| one.path.cmp(path)).is_ok_and(|at| plan.archived[at])
    };
    let kept: HashSet<&RelPath> =
        plan.links.iter().filter(|link| archived(&link.to)).map(|link| &link.path).collect();
    let out = entries.iter().zip(&plan.archived).filter(|(entry, archived)| {
        !**archived && entry.kind != Kind::Directory && !kept.contains(&entry.path)
    });
    out.map(|(entry, _)| &entry.path).collect()
}

fn output_error(tree: &Path, error: std::io::Error) -> PackError {
    PackError::Output { path: tree.join(MANIFEST_NAME), error }
}

/// A manifest of an earlier preparation is replaced; a file of the user's is not.
fn check_own_manifest(tree: &Path) -> Result<(), PackError> {
    let json = match fs_err::read(tree.join(MANIFEST_NAME)) {
        Ok(json) => json,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(output_error(tree, error)),
    };
    let problem = match AnyManifest::parse(&json) {
        Ok(_) => return Ok(()),
        // What only a newer hashget reads is a manifest, too.
        Err(error @ (ManifestError::Needs { .. } | ManifestError::Version { .. })) => {
            std::io::Error::other(error)
        }
        Err(_) => std::io::Error::other("a file of this name is there, and it is no manifest"),
    };
    Err(output_error(tree, problem))
}

fn write_manifest(tree: &Path, write: write::WriteText<'_>) -> std::io::Result<()> {
    let folder = fs_err::File::open(tree)?;
    let before = folder.metadata()?.modified()?;
    let path = tree.join(MANIFEST_NAME);
    let mut file = PendingFile::create(&path, 0o600)?;
    write(&mut file)?;
    file.commit(&path)?;
    folder.file().set_modified(before)?;
    folder.sync_all()
}
