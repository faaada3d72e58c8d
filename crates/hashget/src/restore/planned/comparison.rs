//! What is in a folder, compared with what a restore would put there.
//!
//! Invariant: nothing is changed, and no symbolic link is followed.

use std::collections::{HashMap, HashSet};

use super::{Action, PlannedStep};
use crate::archive::manifest_path;
use crate::model::{Entry, Kind, RelPath};
use crate::monitor::ProblemKind;
use crate::restore::differences::Difference;
use crate::restore::ledger::State;
use crate::restore::place::{PlaceError, TargetFolder};
use crate::restore::{Overwrite, RestoreError, RestoreOptions, Run};
use crate::wording::one_line;

/// Compares entries with what is there, one after the other.
pub(super) struct Planning<'p, 'r> {
    run: &'p Run<'r>,
    folder: Option<&'p TargetFolder>,
    options: &'p RestoreOptions,
    /// The archived entries are in the folder already, and are not replaced.
    is_restore: bool,
    steps: Vec<PlannedStep>,
    /// What is made or replaced.
    changed: HashSet<RelPath>,
    /// Files with several names that stay, by device and inode, and the first name that was found.
    inodes: HashMap<(u64, u64), RelPath>,
    unchanged: u64,
}

/// What is at a path, compared with what the archive has there.
struct Found {
    is_folder: bool,
    is_other_kind: bool,
    /// What was to be as it was packed, and is not.
    differs: bool,
    inode: (u64, u64),
    has_other_names: bool,
}

impl<'p, 'r> Planning<'p, 'r> {
    /// Nothing was compared yet.
    pub(super) fn new(
        run: &'p Run<'r>,
        folder: Option<&'p TargetFolder>,
        options: &'p RestoreOptions,
        is_restore: bool,
    ) -> Self {
        let (steps, changed, inodes) = (Vec::new(), HashSet::new(), HashMap::new());
        Self { run, folder, options, is_restore, steps, changed, inodes, unchanged: 0 }
    }

    /// What would be done, sorted, and the number of entries that are right.
    pub(super) fn end(mut self) -> (Vec<PlannedStep>, u64) {
        self.steps.sort_unstable();
        (self.steps, self.unchanged)
    }
}

impl Planning<'_, '_> {
    fn add(&mut self, path: &RelPath, action: Action) {
        if matches!(action, Action::Make | Action::Replace) {
            self.changed.insert(path.clone());
        }
        self.steps.push(PlannedStep { path: path.clone(), action });
    }

    fn found(&self, entry: &Entry) -> Result<Option<Found>, RestoreError> {
        let Some(folder) = self.folder else { return Ok(None) };
        // Until the end, the tree's own file of the manifest's name lies elsewhere, and so it does for a `restore`.
        let path = if self.is_restore { self.run.stored(&entry.path) } else { entry.path.clone() };
        let mask = self.options.mode_mask;
        let look = folder.look_at(&path, |look| {
            let differences = look.differences(&entry.kind, &entry.metadata, mask);
            let asked = |one: &Difference| one.is_asked_for(self.options);
            Found {
                is_folder: look.is_folder(),
                is_other_kind: differences.contains(&Difference::Kind),
                differs: differences.iter().any(asked),
                inode: (look.stat.st_dev, look.stat.st_ino),
                has_other_names: look.stat.st_nlink > 1,
            }
        });
        look.or_else(|error| self.run.unless_fatal(error).map(|_| None))
    }

    /// Compares an entry with what is there.
    pub(super) fn look(&mut self, entry: &Entry) -> Result<(), RestoreError> {
        let path = &entry.path;
        let Some(found) = self.found(entry)? else {
            self.add(path, Action::Make);
            return Ok(());
        };
        let is_folder = entry.kind == Kind::Directory;
        if is_folder && found.is_folder {
            match found.differs {
                true => self.add(path, Action::Metadata),
                false => self.unchanged += 1,
            }
            return Ok(());
        }
        let folder = self.folder.expect("something was found in it");
        if is_folder || found.is_folder {
            return self.look_at_obstacle(path, found.is_folder);
        }
        let contents = entry.sha256.map(|sha256| (sha256, entry.extents.as_deref()));
        let same_contents = || match contents {
            Some(contents) => folder.has_contents(path, contents),
            None => Ok(true),
        };
        let is_same = !found.is_other_kind && self.unless_fatal(same_contents())?.unwrap_or(false);
        let is_right = is_same && !found.differs;
        let stays = self.unless_fatal(folder.stays(path, &entry.metadata))?.unwrap_or(false);
        let is_archived = self.is_restore && self.run.is_archived(path);
        let is_twin = is_right
            && found.has_other_names
            && *self.inodes.entry(found.inode).or_insert_with(|| path.clone()) != *path;
        let always = self.options.rule() == Some(Overwrite::Always) && !is_archived;
        match (is_right && !is_twin, stays) {
            (true, _) if !always => self.unchanged += 1,
            (_, true) if !is_archived => self.add(path, Action::Leave),
            _ if is_same && !always && !is_twin => self.add(path, Action::Metadata),
            _ => self.add(path, Action::Replace),
        }
        Ok(())
    }

    /// A folder is in the place of something else, or something else in the place of a folder.
    fn look_at_obstacle(&mut self, path: &RelPath, is_folder: bool) -> Result<(), RestoreError> {
        let folder = self.folder.expect("something was found in it");
        if self.options.delete {
            let removable = if is_folder { folder.is_removable(path) } else { Ok(()) };
            match removable {
                Ok(()) => {
                    self.add(path, Action::Remove);
                    self.add(path, Action::Make);
                }
                Err(error) => self.block(path, error)?,
            }
        } else if self.options.rule().is_some() || (is_folder && !folder.is_empty(path)) {
            let why = match is_folder {
                true => "a folder is in the place of what is no folder",
                false => "something that is no folder is in the place of this folder",
            };
            self.block(path, PlaceError::Blocked(why.to_owned()))?;
        } else {
            self.add(path, Action::Replace);
        }
        Ok(())
    }

    fn block(&mut self, path: &RelPath, error: PlaceError) -> Result<(), RestoreError> {
        let why = one_line(&self.run.unless_fatal(error)?);
        self.run.monitor.problem(ProblemKind::Incomplete, path, why);
        self.add(path, Action::Block);
        Ok(())
    }

    fn unless_fatal<T>(&self, result: Result<T, PlaceError>) -> Result<Option<T>, RestoreError> {
        result.map(Some).or_else(|error| self.run.unless_fatal(error).map(|_| None))
    }
}

impl Planning<'_, '_> {
    /// `path` is to be a further name of what is at `to`.
    pub(super) fn look_at_link(
        &mut self,
        path: &RelPath,
        to: &RelPath,
    ) -> Result<(), RestoreError> {
        let inode = |path: &RelPath| match self.folder {
            Some(folder) => {
                folder.look_at(path, |look| (look.is_folder(), look.stat.st_dev, look.stat.st_ino))
            }
            None => Ok(None),
        };
        let (found, file) = (self.unless_fatal(inode(path))?, self.unless_fatal(inode(to))?);
        let Some(Some(found)) = found else {
            self.add(path, Action::Make);
            return Ok(());
        };
        if found.0 {
            return self.look_at_obstacle(path, true);
        }
        let folder = self.folder.expect("something was found in it");
        if file == Some(Some(found)) && !self.changed.contains(to) {
            self.unchanged += 1;
        } else if self.unless_fatal(folder.link_stays(path, to))?.unwrap_or(false) {
            self.add(path, Action::Leave);
        } else {
            self.add(path, Action::Replace);
        }
        Ok(())
    }

    /// What is in the tree's folders and not of the tree goes.
    pub(super) fn find_strays(
        &mut self,
        state: &State<'_>,
        links: &[(RelPath, RelPath)],
    ) -> Result<(), RestoreError> {
        let Some(target) = self.folder else { return Ok(()) };
        let (run, manifest) = (self.run, manifest_path());
        let is_link = |path: &RelPath| links.binary_search_by(|(link, _)| link.cmp(path)).is_ok();
        let mut strays = Vec::new();
        for (folder, _) in state.folders() {
            let looked = target.look_into(folder, |name, look| {
                let path = folder.join(name).expect("the system has no other names");
                let is_ours = state.knows(&path) || is_link(&path) || path == manifest;
                if !is_ours && run.may_remove(folder, &path) {
                    strays.push((path, look.is_folder()));
                }
                Ok::<(), PlaceError>(())
            });
            // There is no such folder yet.
            self.unless_fatal(looked)?;
        }
        for (path, is_folder) in strays {
            match if is_folder { target.is_removable(&path) } else { Ok(()) } {
                Ok(()) => self.add(&path, Action::Remove),
                Err(error) => self.block(&path, error)?,
            }
        }
        Ok(())
    }
}
