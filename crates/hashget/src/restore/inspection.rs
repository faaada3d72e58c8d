//! The proof on the disk: every entry that was placed is looked at again, once everything is in its place.
//!
//! Invariant: whatever the file system says otherwise than the manifest, or does not have, is in [`Findings`]. Contents are
//! not read again: they were digested when they were written.

use std::collections::HashMap;

use super::differences::{Affected, Difference, Differences};
use super::ledger::{Slot, State};
use super::place::{Look, PlaceError, TargetFolder};
use super::{RestoreError, Run};
use crate::archive::manifest_path;
use crate::model::manifest::{EntryTable, ManifestError, Renamed};
use crate::model::{Entry, Kind, RelPath};

/// Entries between two looks at the monitor.
const ENTRIES: u64 = 4096;

/// What was found on the disk.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What is not as it was packed.
    pub(super) differences: Differences,
    /// What is not of the archive.
    pub(super) strays: Affected,
}

/// A device, and an inode on it.
type Inode = (u64, u64);

/// Looks at the folders of the tree, one after the other.
pub(super) struct Inspection<'i, 'r> {
    run: &'i Run<'r>,
    target: &'i TargetFolder,
    state: &'i State<'i>,
    table: &'i EntryTable,
    /// Further names, sorted, and what they name.
    links: &'i [(RelPath, RelPath)],
    /// What was seen: rows of the archive's table, what packages gave, further names.
    seen: [Vec<bool>; 3],
    names: Names<'i>,
    manifest: RelPath,
    looked_at: u64,
    findings: Findings,
    /// What was found in the last folder that is not of the archive.
    strays: Vec<RelPath>,
}

/// Why a folder could not be looked at to its end.
enum Failure {
    Place(PlaceError),
    Restore(RestoreError),
}

impl From<PlaceError> for Failure {
    fn from(error: PlaceError) -> Self {
        Self::Place(error)
    }
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        Self::Restore(error)
    }
}

impl From<ManifestError> for Failure {
    fn from(error: ManifestError) -> Self {
        Self::Restore(error.into())
    }
}

impl<'i, 'r> Inspection<'i, 'r> {
    /// Nothing was looked at yet; `links` are the further names that were made, sorted.
    pub(super) fn new(
        run: &'i Run<'r>,
        target: &'i TargetFolder,
        state: &'i State<'i>,
        links: &'i [(RelPath, RelPath)],
    ) -> Self {
        let (rows, placed) = state.sizes();
        Self {
            run,
            target,
            state,
            table: run.table,
            links,
            seen: [vec![false; rows], vec![false; placed], vec![false; links.len()]],
            names: Names::new(links),
            manifest: manifest_path(),
            looked_at: 0,
            findings: Findings::default(),
            strays: Vec::new(),
        }
    }

    /// Looks at everything in a folder of the tree. Its own metadata may still be set later; that of folders in it may not.
    /// Gives what is in it and not of the archive.
    pub(super) fn look_into(&mut self, folder: &RelPath) -> Result<Vec<RelPath>, RestoreError> {
        let (run, target) = (self.run, self.target);
        run.monitor.check_interrupted()?;
        let stored = run.stored(folder);
        let outcome =
            target.look_into(&stored, |name, look| self.look(folder, &stored, name, look));
        match outcome {
            Ok(()) => {
                if let Some(folder) = self.state.folder(folder) {
                    folder.listed.set(true);
                }
            }
            // Its entries are looked at one by one.
            Err(Failure::Place(error)) => drop(run.unless_fatal(error)?),
            Err(Failure::Restore(error)) => return Err(error),
        }
        Ok(std::mem::take(&mut self.strays))
    }

    /// What is at this path is not of the archive, and stays.
    pub(super) fn add_stray(&mut self, path: &RelPath) {
        self.findings.strays.add(path);
    }

    /// Looks at the top folder itself.
    pub(super) fn look_at_top(&mut self) -> Result<(), RestoreError> {
        let top = RelPath::root();
        let Some(folder) = self.state.folder(&top) else { return Ok(()) };
        folder.seen.set(true);
        let (mask, target) = (self.target.options().mode_mask, self.target);
        // It gets its flags when the manifest is gone.
        let metadata = folder.metadata.without_flags();
        let look = target.look_at(&top, |look| look.differences(&Kind::Directory, &metadata, mask));
        match look {
            Ok(found) => self.add(&top, found.unwrap_or_else(|| vec![Difference::Absent])),
            Err(error) => {
                self.run.unless_fatal(error)?;
                self.add(&top, vec![Difference::Unseen]);
            }
        }
        Ok(())
    }

    /// Looks for what was not found in the folders; gives everything that was found.
    pub(super) fn end(mut self) -> Result<Findings, RestoreError> {
        for row in 0..self.seen[0].len() {
            if !self.seen[0][row] && self.state.is_in_place(row) {
                let entry = self.table.entry(row)?;
                self.look_for(&entry.path, &entry, None)?;
            }
        }
        for number in 0..self.seen[1].len() {
            if !self.seen[1][number] {
                let entry = self.state.placed(number);
                self.look_for(&entry.path, &entry, None)?;
            }
        }
        let links = self.links;
        for (number, (path, to)) in links.iter().enumerate() {
            if !self.seen[2][number]
                && let Some(entry) = self.entry(to)?
            {
                self.look_for(path, &entry, Some(to))?;
            }
        }
        let state = self.state;
        for (path, folder) in state.folders().filter(|(_, folder)| !folder.seen.get()) {
            let (kind, metadata) = (Kind::Directory, folder.metadata.clone());
            let entry = Entry { path: path.clone(), kind, metadata, sha256: None, extents: None };
            self.look_for(path, &entry, None)?;
        }
        Ok(self.findings)
    }

    /// Looks at `name` in the folder `folder` of the tree, which lies at `stored`.
    fn look(
        &mut self,
        folder: &RelPath,
        stored: &RelPath,
        name: &[u8],
        look: &Look<'_>,
    ) -> Result<(), Failure> {
        self.looked_at += 1;
        if self.looked_at.is_multiple_of(ENTRIES) {
            self.run.monitor.check_interrupted().map_err(RestoreError::from)?;
        }
        let join = |folder: &RelPath| folder.join(name).expect("the system has no other names");
        let there = join(stored);
        if there == self.manifest || self.target.is_temporary(name) {
            return Ok(());
        }
        let other = self.run.renamed.iter().find(|Renamed { stored, .. }| *stored == there);
        let path = other.map_or_else(|| join(folder), |renamed| renamed.name.clone());
        if self.state.is_left(&path) {
            return Ok(());
        }
        match self.expected(&path)? {
            Some((entry, first)) => {
                self.compare(&path, &entry, first, look);
            }
            None => self.strays.push(there),
        }
        Ok(())
    }

    /// The entry that is to be at `path`, and the name that it was placed under; it is marked as seen. `None` if there is
    /// to be nothing, or if it was seen before.
    fn expected(
        &mut self,
        path: &RelPath,
    ) -> Result<Option<(Entry, Option<&'i RelPath>)>, ManifestError> {
        let mut mark =
            |list: usize, number: usize| !std::mem::replace(&mut self.seen[list][number], true);
        Ok(match self.state.slot(path) {
            Some(Slot::Row(row)) => match mark(0, row) {
                true => Some((self.table.entry(row)?, None)),
                false => None,
            },
            Some(Slot::Placed(number)) => {
                mark(1, number).then(|| (self.state.placed(number), None))
            }
            Some(Slot::Folder) => self.state.folder(path).and_then(|folder| {
                let (kind, metadata) = (Kind::Directory, folder.metadata.clone());
                let path = path.clone();
                let entry = Entry { path, kind, metadata, sha256: None, extents: None };
                (!folder.seen.replace(true)).then_some((entry, None))
            }),
            None => match self.links.binary_search_by(|(link, _)| link.cmp(path)) {
                Ok(number) if mark(2, number) => {
                    let to = &self.links[number].1;
                    self.entry(to)?.map(|entry| (entry, Some(to)))
                }
                _ => None,
            },
        })
    }

    /// The entry that was placed at `path`, which is no folder.
    fn entry(&self, path: &RelPath) -> Result<Option<Entry>, ManifestError> {
        Ok(match self.state.slot(path) {
            Some(Slot::Row(row)) => Some(self.table.entry(row)?),
            Some(Slot::Placed(number)) => Some(self.state.placed(number)),
            Some(Slot::Folder) | None => None,
        })
    }

    /// Compares what is on the disk with the entry that is to be at `path`. `first` is the name that it was placed under,
    /// if that is another one.
    fn compare(&mut self, path: &RelPath, entry: &Entry, first: Option<&RelPath>, look: &Look<'_>) {
        let mask = self.target.options().mode_mask;
        let mut found = look.differences(&entry.kind, &entry.metadata, mask);
        let inode = (look.stat.st_dev, look.stat.st_ino);
        let is_alone = look.stat.st_nlink <= 1;
        if entry.kind != Kind::Directory
            && !self.names.is_right(first.unwrap_or(&entry.path), inode, is_alone)
        {
            found.push(Difference::HardLink);
        }
        if entry.metadata.mode & !mask & 0o7777 != 0 && !matches!(entry.kind, Kind::Symlink { .. })
        {
            found.push(Difference::Masked);
        }
        self.add(path, found);
    }

    /// Looks for an entry that was found in no folder.
    fn look_for(
        &mut self,
        path: &RelPath,
        entry: &Entry,
        first: Option<&RelPath>,
    ) -> Result<(), RestoreError> {
        let above = path.parent().unwrap_or_default();
        let absent = match entry.kind {
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } => Difference::Device,
            _ => Difference::Absent,
        };
        let is_listed = self.state.folder(&above).is_some_and(|folder| folder.listed.get());
        let (run, target) = (self.run, self.target);
        let outcome = target.look_at(&run.stored(path), |look| {
            // Not every file system tells names apart: this one is not in the list.
            match is_listed {
                true => self.add(path, vec![Difference::SharedName]),
                false => self.compare(path, entry, first, look),
            }
        });
        match outcome {
            Ok(Some(())) => {}
            Ok(None) => self.add(path, vec![absent]),
            Err(error) => {
                run.unless_fatal(error)?;
                self.add(path, vec![Difference::Unseen]);
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &RelPath, found: Vec<Difference>) {
        for difference in found {
            self.findings.differences.add(difference, path);
        }
    }
}

/// Which names are names of one file.
struct Names<'i> {
    /// Numbers of the files that have further names, by the name that they were placed under.
    files: HashMap<&'i RelPath, u32>,
    /// The inode of each file that has several names, by its number.
    inodes: Vec<Option<Inode>>,
    numbers: HashMap<Inode, u32>,
}

impl<'i> Names<'i> {
    fn new(links: &'i [(RelPath, RelPath)]) -> Self {
        let mut files = HashMap::new();
        for (_, to) in links {
            let next = narrow(files.len());
            files.entry(to).or_insert(next);
        }
        let inodes = vec![None; files.len()];
        Self { files, inodes, numbers: HashMap::new() }
    }

    /// Is `inode`, of something that was placed as `first`, the inode of all its names, and of no other entry?
    fn is_right(&mut self, first: &RelPath, inode: Inode, is_alone: bool) -> bool {
        let file = match self.files.get(first) {
            Some(&file) => file,
            None if is_alone => return true,
            None => {
                self.inodes.push(None);
                narrow(self.inodes.len() - 1)
            }
        };
        let owner = *self.numbers.entry(inode).or_insert(file);
        let known =
            *self.inodes[usize::try_from(file).expect("it is an index")].get_or_insert(inode);
        owner == file && known == inode
    }
}

fn narrow(index: usize) -> u32 {
    u32::try_from(index).expect("fewer than 2^32 entries")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::try_from(text).unwrap()
    }

    #[test]
    fn names_of_one_file_share_an_inode_and_no_others_do() {
        let links = [(path("b"), path("a")), (path("c"), path("a")), (path("y"), path("x"))];
        let mut names = Names::new(&links);
        // a, b and c are one file, and so are x and y.
        for (first, inode, right) in [
            ("a", (1, 7), true),
            ("a", (1, 7), true),
            ("x", (2, 7), true),
            ("x", (2, 7), true),
            ("alone", (1, 8), true),
            // The third name of the first file is another file.
            ("a", (1, 9), false),
            // Something else is a name of the first file, or of one that is alone.
            ("other", (1, 7), false),
            ("another", (1, 8), false),
        ] {
            assert_eq!(names.is_right(&path(first), inode, false), right, "{first}");
        }
        assert!(
            names.is_right(&path("no link"), (1, 7), true),
            "a file with one name is not counted"
        );
    }
}
