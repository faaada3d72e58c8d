//! What each thread of a walk does: it inspects the names in a folder, and hashes files.
//!
//! Invariant: files are hashed before further folders are opened; a file that is left to other threads is
//! hashed by exactly one of them.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use super::Absence;
use super::file_systems::{FileSystems, Mounted};
use super::hashing::{FileHasher, Hashed};
use super::inspect::{inspect, is_nodump};
use super::measure::Measure;
use super::order::Part;
use super::scan_cache::{Known, Line};
use super::tasks::Task;
use super::walk::{Batch, Finding, Folder, Identity, Item, OpenFolder, Walker, entry};
use crate::model::{Amount, Kind, RelPath, add_bytes};
use crate::monitor::ProblemKind;
use crate::parallel::OnPanic;

/// A thread hashes this many files, or files of this many bytes, before it looks for other work.
const BATCH_FILES: usize = 64;
const BATCH_BYTES: u64 = 4 << 20;

/// One thread of a walk, and its results.
pub(super) struct Work<'a> {
    walker: &'a Walker<'a>,
    hasher: FileHasher<'a>,
    pub(super) parts: Vec<Part>,
    /// The folders that are walked: index of the entry, number.
    pub(super) folders: Vec<(usize, u32)>,
    pub(super) several_names: Vec<(usize, Identity)>,
    pub(super) lines: Vec<Line>,
    pub(super) findings: Vec<(RelPath, Finding)>,
    /// What programs make again, by the numbers of patterns.
    pub(super) regenerable: BTreeMap<usize, Amount>,
}

impl<'a> Work<'a> {
    pub(super) fn new(walker: &'a Walker<'a>) -> Self {
        Self {
            walker,
            hasher: FileHasher::new(walker.progress),
            parts: Vec::new(),
            folders: Vec::new(),
            several_names: Vec::new(),
            lines: Vec::new(),
            findings: Vec::new(),
            regenerable: BTreeMap::new(),
        }
    }

    /// Works until there are no tasks left, or the monitor interrupts. One thread starts with the top folder.
    pub(super) fn run(mut self, top: Option<(Arc<OpenFolder>, Vec<CString>)>) -> Self {
        let tasks = &self.walker.tasks;
        // This thread's task would never be done, and the others would wait for it.
        let _stop = OnPanic(|| tasks.stop());
        if let Some((folder, names)) = top {
            self.look(&folder, 0, &names);
            tasks.done();
        }
        while let Some(task) = tasks.next() {
            if self.walker.monitor.interrupted() {
                tasks.stop();
            } else {
                match task {
                    Task::Folder(folder) => self.folder(folder),
                    Task::Batch(batch) => self.hash(batch),
                }
            }
            tasks.done();
        }
        self
    }

    fn folder(&mut self, folder: Folder) {
        let Folder { path, device, number } = folder;
        match self.walker.open(path.clone(), Some(device)) {
            Ok((open, names)) => self.look(&Arc::new(open), number, &names),
            Err(error) => {
                let is_there = self.walker.root.has(&path);
                self.problem(path, &error, is_there);
            }
        }
    }

    /// Inspects all names in a folder. Files to be hashed become tasks.
    fn look(&mut self, folder: &Arc<OpenFolder>, number: u32, names: &[CString]) {
        if let Some(absence) = folder.contents_are {
            self.left_out(folder.path.clone(), absence);
        }
        let batch = |part| Batch {
            folder: Arc::clone(folder),
            number: (number, part),
            found: Vec::new(),
            files: 0,
            bytes: 0,
        };
        let mut current = batch(0);
        current.found.reserve_exact(names.len());
        let mut vanished = Vec::new();
        for name in names {
            if let Some(item) = self.item(folder, name, &mut vanished) {
                if item.entry.sha256.is_none()
                    && let Kind::File { size } = item.entry.kind
                {
                    current.files += 1;
                    add_bytes(&mut current.bytes, size);
                }
                current.found.push(item);
            }
            if current.files == BATCH_FILES || current.bytes >= BATCH_BYTES {
                let next = batch(current.number.1 + 1);
                self.pass_on(std::mem::replace(&mut current, next));
            }
        }
        self.pass_on(current);
        self.report_vanished(folder, vanished);
    }

    /// Names that were listed and then not found: those that are still listed are files that cannot be read.
    fn report_vanished(&mut self, folder: &OpenFolder, vanished: Vec<CString>) {
        if vanished.is_empty() {
            return;
        }
        let is_above = self.walker.options.selected.is_above(&folder.path);
        let listed = if is_above { vanished.clone() } else { folder.names().unwrap_or_default() };
        for name in vanished {
            let Ok(path) = folder.path.join(name.to_bytes()) else { continue };
            let is_listed = listed.binary_search(&name).is_ok();
            self.problem(path, &Errno::NOENT.into(), is_listed);
        }
    }

    fn pass_on(&mut self, batch: Batch) {
        if batch.files == 0 {
            self.keep(batch);
        } else if let Err(batch) = self.walker.tasks.offer(batch) {
            self.hash(batch);
        }
    }

    /// Inspects one name.
    fn item(
        &mut self,
        folder: &Arc<OpenFolder>,
        name: &CStr,
        vanished: &mut Vec<CString>,
    ) -> Option<Item> {
        let path = match folder.path.join(name.to_bytes()) {
            Ok(path) => path,
            Err(error) => {
                let problem = format!("has a name that is not kept: {error}");
                let finding = Finding::Problem(ProblemKind::Incomplete, problem);
                self.findings.push((folder.path.clone(), finding));
                return None;
            }
        };
        let options = self.walker.options;
        if options.supplied.iter().any(|supplied| supplied.path == path) {
            return None;
        }
        let top = self.walker.root.path();
        let is_excluded = options.exclude.matches(top, &path);
        // What a profile excludes is told with its reason, also if another pattern excludes it.
        if let Some(pattern) = options.regenerable.first_match(top, &path) {
            self.regenerable(folder, name, path, pattern);
            return None;
        }
        if is_excluded {
            self.excluded(path, Absence::Excluded);
            return None;
        }
        match self.inspected(folder, name, path.clone()) {
            Ok(item) => item,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                vanished.push(name.to_owned());
                None
            }
            Err(error) => {
                self.problem(path, &error, true);
                None
            }
        }
    }

    fn inspected(
        &mut self,
        folder: &Arc<OpenFolder>,
        name: &CStr,
        path: RelPath,
    ) -> io::Result<Option<Item>> {
        let mut inspected = inspect(folder.fd.as_fd(), name)?;
        let stamp = inspected.stamp;
        let identity = (stamp.device, stamp.inode);
        if self.walker.options.skip_files.contains(&identity) {
            return Ok(None);
        }
        if inspected.kind != Kind::Directory && self.walker.options.selected.is_above(&path) {
            return Err(Errno::NOTDIR.into());
        }
        if self.walker.options.respect_nodump && is_nodump(folder.fd.as_fd(), name) {
            self.left_out(path, Absence::NoDump);
            return Ok(None);
        }
        let mut walked_on = None;
        match inspected.kind {
            Kind::Socket => {
                self.findings.push((path, Finding::Absent(Absence::Socket)));
                return Ok(None);
            }
            Kind::File { size } if self.walker.is_too_large(size) => {
                self.left_out(path, Absence::TooLarge);
                return Ok(None);
            }
            Kind::Directory if self.may_be_entered(&path, stamp.device) => {
                walked_on = Some(stamp.device);
            }
            _ => {}
        }
        let is_file = matches!(inspected.kind, Kind::File { .. });
        // Only a file has a digest: what was remembered of something else is nothing of a file, whatever its number and times.
        let is_of_kind = |known: &Known| is_file == (known.sha256 != Known::BARE.sha256);
        let known = self.walker.cache.and_then(|cache| cache.get(&stamp)).filter(is_of_kind);
        // The attributes of a file that will be hashed are read when it is open; of what has not changed, most are known to
        // have none.
        if (known.is_some() || !is_file) && !known.is_some_and(|known| known.bare) {
            let problem = folder.attributes(name).add_to(&mut inspected.metadata);
            if !is_file && problem.is_none() && inspected.metadata.xattrs.is_empty() {
                let line = self.walker.cache.and_then(|cache| cache.line(&stamp, Known::BARE));
                self.lines.extend(line);
            }
            self.attributes_problem(&path, problem);
        }
        let several = inspected.several_names && inspected.kind != Kind::Directory;
        let mut entry = entry(path, inspected);
        entry.sha256 = known.filter(|_| is_file).map(|known| known.sha256);
        Ok(Some(Item { entry, identity: several.then_some(identity), walked_on }))
    }

    /// Counts what programs make again.
    fn regenerable(&mut self, folder: &OpenFolder, name: &CStr, path: RelPath, pattern: usize) {
        let options = self.walker.options;
        if !options.for_explaining {
            let Walker { root, met, monitor, .. } = self.walker;
            let interrupted = &|| monitor.interrupted();
            let measure = Measure { root, pattern, met, interrupted };
            let Amount { files, bytes } = measure.of(&folder.fd, name, &path);
            self.regenerable.entry(pattern).or_default().add(files, bytes);
        }
        self.excluded(path, Absence::Regenerable(pattern));
    }

    /// A pattern matches: a path that was given is told of.
    fn excluded(&mut self, path: RelPath, absence: Absence) {
        let selected = &self.walker.options.selected;
        if selected.contains(&path) || selected.is_above(&path) {
            let excluded = "was to be packed, and a pattern excludes it".to_owned();
            self.findings.push((path, Finding::Problem(ProblemKind::Note, excluded)));
        } else {
            self.left_out(path, absence);
        }
    }

    fn attributes_problem(&mut self, path: &RelPath, problem: Option<String>) {
        self.findings.extend(problem.map(|problem| (path.clone(), Finding::Attributes(problem))));
    }

    fn may_be_entered(&mut self, path: &RelPath, device: u64) -> bool {
        let (entered, selected) = (self.walker.options.file_systems, &self.walker.options.selected);
        if entered == FileSystems::All || selected.is_above(path) || self.walker.is_entered(device)
        {
            return true;
        }
        let mounted = Mounted::at(self.walker.root, path, device);
        let may = mounted.is_entered(entered);
        if may {
            self.walker.enter(device);
        } else {
            let finding = match mounted.problem(entered) {
                Some((kind, what)) => Finding::Mounted { kind, what },
                None => Finding::Absent(Absence::OtherFileSystem),
            };
            self.findings.push((path.clone(), finding));
        }
        may
    }

    /// Remembers what the user does not want in the tree, if anybody wants to know.
    fn left_out(&mut self, path: RelPath, absence: Absence) {
        if self.walker.options.for_explaining {
            self.findings.push((path, Finding::Absent(absence)));
        }
    }

    /// Hashes the files of a batch that need it.
    fn hash(&mut self, mut batch: Batch) {
        let folder = Arc::clone(&batch.folder);
        batch.found.retain_mut(|item| {
            let waits = item.entry.sha256.is_none() && matches!(item.entry.kind, Kind::File { .. });
            if !waits {
                return true;
            }
            if self.walker.monitor.interrupted() {
                self.walker.tasks.stop();
                return true;
            }
            match self.hash_item(&folder, item) {
                Ok(()) => true,
                Err(error) => {
                    let is_there = self.walker.root.has(&item.entry.path);
                    self.problem(item.entry.path.clone(), &error, is_there);
                    false
                }
            }
        });
        self.keep(batch);
    }

    fn hash_item(&mut self, folder: &OpenFolder, item: &mut Item) -> io::Result<()> {
        let entry = &mut item.entry;
        let hashed = self.hasher.hash(&folder.fd, entry.path.file_name())?;
        let Hashed { sha256, held, metadata, problem } = hashed;
        if item.identity.is_some() {
            // The name may refer to another file by now, which has other names.
            item.identity = Some((held.stamp.device, held.stamp.inode));
        }
        // A file with holes is cheap to read again, and its digest alone does not say where they are.
        let is_complete = held.steady && problem.is_none() && held.size == held.stamp.size;
        if let (Some(cache), true, None) = (self.walker.cache, is_complete, &held.extents) {
            let known = Known { sha256, bare: metadata.xattrs.is_empty() };
            self.lines.extend(cache.line(&held.stamp, known));
        }
        entry.kind = Kind::File { size: held.size };
        entry.metadata = metadata;
        entry.sha256 = Some(sha256);
        entry.extents = held.extents;
        self.attributes_problem(&item.entry.path, problem);
        Ok(())
    }

    /// Adds a complete batch to the entries. Only now its folders become tasks, so that nothing is found below a folder
    /// that is not an entry itself.
    fn keep(&mut self, batch: Batch) {
        let mut entries = self.walker.entries();
        let (start, count) = (entries.len(), batch.found.len());
        let (folder, number) = batch.number;
        self.parts.push(Part { folder, number, start, count });
        for (item, index) in batch.found.into_iter().zip(start..) {
            self.several_names.extend(item.identity.map(|identity| (index, identity)));
            if let Some(device) = item.walked_on {
                let number = self.walker.folders.fetch_add(1, Ordering::Relaxed);
                self.folders.push((index, number));
                self.walker.tasks.add(Folder { path: item.entry.path.clone(), device, number });
            }
            entries.push(item.entry);
        }
    }

    /// Reports what cannot be read. What is not there any more never belonged to the tree.
    fn problem(&mut self, path: RelPath, error: &io::Error, is_there: bool) {
        let vanished = error.kind() == io::ErrorKind::NotFound && !is_there;
        let kind = if vanished { ProblemKind::Note } else { ProblemKind::Incomplete };
        self.findings.push((path, Finding::Problem(kind, format!("cannot be read: {error}"))));
    }
}
