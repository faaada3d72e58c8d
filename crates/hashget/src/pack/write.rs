//! Writes the archive: the manifest, then every archived entry in order.
//!
//! Invariant: what the manifest says about an archived file matches the tar. A file that changed after the
//! scan is stored in its current state, and a corrected manifest at the end replaces the first one.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use super::attributes;
use super::open_file::{Listeners, OpenFile};
use super::options::regenerable;
use super::plan::Plan;
use super::restorer;
use super::tar_writer::{TarOutput, TarWriter, Upcoming};
use super::verdict::Verdict;
use super::{PackError, PackOptions};
use crate::model::manifest::{
    DERIVED, Derived, ENCODED, EntryColumns, Feature, MANIFEST_NAME, Manifest, ManifestV1, Needs,
    OWN_NAMES, PIECES, Pieces, RESTORER, RESTORER_NAME, Renamed, TOOLS, TreeSummary, own_name_of,
};
use crate::model::{Entry, Kind, Metadata, RelPath, total_bytes};
use crate::monitor::{Monitor, ProblemKind, Running};
use crate::tree::{Entries, InspectedFile, Scan, Stamp, inspect_open_file};

/// Writes one archive.
pub(super) struct Writer<'a> {
    pub(super) scan: &'a mut Scan,
    pub(super) plan: &'a mut Plan,
    pub(super) options: &'a PackOptions<'a>,
    pub(super) monitor: &'a dyn Monitor,
    pub(super) progress: &'a Running<'a>,
    /// Did a file change after the first manifest was written?
    pub(super) outdated: bool,
    /// Number of files that changed while they were read.
    pub(super) changed: u64,
    /// Files that could not be archived, by index.
    pub(super) gone: HashSet<usize>,
    /// The further names of files, by the index of the first name.
    pub(super) names: HashMap<usize, Vec<usize>>,
}

/// Writes the manifest of a plan into the tar.
fn put_manifest<W: TarOutput>(
    tar: &mut TarWriter<W>,
    scan: &Scan,
    plan: &mut Plan,
    options: &PackOptions,
) -> Result<(), PackError> {
    with_manifest(scan, plan, options, |write| put_manifest_text(tar, write))?
}

/// Writes a text to a writer.
pub(super) type WriteText<'a> = &'a dyn Fn(&mut dyn Write) -> io::Result<()>;

/// Makes the manifest of a plan and passes it to `work`, which writes it piece by piece: in memory, it would
/// take more space than the tree itself.
pub(super) fn with_manifest<R>(
    scan: &Scan,
    plan: &mut Plan,
    options: &PackOptions,
    work: impl FnOnce(WriteText<'_>) -> R,
) -> Result<R, PackError> {
    let entries = &scan.entries;
    let earliest = plan.packages.iter().filter_map(|package| package.expires.clone()).min();
    let file_size = |entry: &Entry| match entry.kind {
        Kind::File { size } => Some(size),
        _ => None,
    };
    let archived = plan.verdicts.archived();
    let manifest = Manifest {
        format: Manifest::FORMAT.to_owned(),
        version: 2,
        needs: needs(plan, options),
        tool: concat!("hashget ", env!("CARGO_PKG_VERSION")).to_owned(),
        expires: options.expires.clone().or(earliest),
        tree: TreeSummary {
            sha256: entries.tree_digest(),
            entries: entries.len() as u64,
            files: (0..entries.len()).filter(|&index| is_file(entries.file(index))).count() as u64,
            bytes: total_bytes(entries.iter().filter_map(file_size)),
        },
        packages: std::mem::take(&mut plan.packages),
        archived: EntryColumns::new(entries, &archived, options.hashes.archived())
            .with_pieces(plan.pieces.as_ref()),
        links: plan.links(entries),
        renamed: renamed(entries),
        pieces: plan.pieces.clone(),
        regenerable: regenerable(&options.profile, scan),
    };
    let done = work(&|output| manifest.write_json(output));
    plan.packages = manifest.packages;
    Ok(done)
}

/// The features that the manifest of a plan uses.
fn needs(plan: &Plan, options: &PackOptions) -> Needs {
    let has_derived = plan.packages.iter().any(|package| !package.derived.is_empty());
    let has_pieces = plan.pieces.is_some();
    let has_runs = plan.packages.iter().flat_map(|package| &package.derived).any(Derived::is_run);
    let has_encoded = plan.pieces.as_ref().is_some_and(Pieces::has_encoded);
    let used = [
        (RESTORER, options.with_restorer),
        (DERIVED, has_derived),
        (PIECES, has_pieces),
        (TOOLS, has_runs),
        (ENCODED, has_encoded),
    ];
    let used: Vec<Feature> =
        used.into_iter().filter_map(|(feature, is)| is.then_some(feature)).collect();
    used.iter().collect()
}

/// Writes the manifest that `write` produces, twice: first only to get its length.
fn put_manifest_text<W: TarOutput>(
    tar: &mut TarWriter<W>,
    write: WriteText<'_>,
) -> Result<(), PackError> {
    let mut length = Counter(0);
    write(&mut length).map_err(PackError::Write)?;
    let metadata = Metadata { mode: 0o644, ..Metadata::default() };
    put_text(tar, MANIFEST_NAME, metadata, length.0, write)
}

/// Writes a file of `size` bytes that is no entry of the tree.
fn put_text<W: TarOutput>(
    tar: &mut TarWriter<W>,
    name: &str,
    metadata: Metadata,
    size: u64,
    write: WriteText<'_>,
) -> Result<(), PackError> {
    let (path, kind) = (RelPath::new(name)?, Kind::File { size });
    let entry = Entry { path, kind, metadata, sha256: None, extents: None };
    tar.written_entry(name.as_bytes(), &entry, write).map_err(PackError::Write)
}

/// Counts what is written.
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0 += buffer.len() as u64;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_file(entry: &Entry) -> bool {
    matches!(entry.kind, Kind::File { .. })
}

/// The tree's own entries with names that an archive has for itself, and where they are stored instead.
fn renamed(entries: &Entries) -> Vec<Renamed> {
    let own = OWN_NAMES.into_iter().filter_map(|name| RelPath::new(name).ok());
    own.filter(|name| entries.position(name).is_some())
        .map(|name| Renamed { stored: stored_name(entries, &name), name })
        .collect()
}

/// An unused name for the tree's own entry `name`.
fn stored_name(entries: &Entries, name: &RelPath) -> RelPath {
    (0_u64..)
        .map(|number| format!("{name}.stored{number}"))
        .filter_map(|name| RelPath::new(name).ok())
        .find(|name| entries.position(name).is_none())
        .expect("a tree has fewer names than there are numbers")
}

impl Writer<'_> {
    /// Writes everything to `output` and returns it, complete but not flushed.
    pub(super) fn write<W: TarOutput>(
        &mut self,
        output: W,
        version_one: Option<&ManifestV1>,
    ) -> Result<W, PackError> {
        let mut tar = TarWriter::new(output);
        match version_one {
            Some(manifest) => {
                let json = manifest.to_json();
                put_manifest_text(&mut tar, &|output| output.write_all(&json))?;
            }
            None => put_manifest(&mut tar, self.scan, self.plan, self.options)?,
        }
        if self.options.with_restorer && version_one.is_none() {
            let (text, metadata) = (restorer::TEXT, restorer::metadata());
            let size = text.len() as u64;
            put_text(&mut tar, RESTORER_NAME, metadata, size, &|output| output.write_all(text))?;
        }
        let stored = self.stored();
        self.gather_names();
        let renamed = renamed(&self.scan.entries);
        let stored: Vec<usize> = (0..stored.len()).filter(|&index| stored[index]).collect();
        let mut rest = &*stored;
        while let Some(&index) = rest.first() {
            self.monitor.check_interrupted()?;
            let reused = self.reuse(&mut tar, rest, &renamed)?;
            if reused == 0 {
                self.put(&mut tar, index, &renamed)?;
            }
            rest = &rest[reused.max(1)..];
        }
        // A manifest of version 1 does not describe the archived files.
        if version_one.is_none() && (self.outdated || !self.gone.is_empty()) {
            self.drop_gone();
            put_manifest(&mut tar, self.scan, self.plan, self.options)?;
        }
        tar.finish().map_err(PackError::Write)
    }

    /// Which entries the tar contains: the archived ones, the folders above them, and further names of
    /// archived files.
    fn stored(&self) -> Vec<bool> {
        let (entries, verdicts) = (&self.scan.entries, &self.plan.verdicts);
        let mut stored = verdicts.archived();
        let mut last_folder = None;
        for index in (0..entries.len()).filter(|&index| verdicts.is_archived(index)) {
            let mut folder = entries[index].path.parent();
            // Most entries are in the same folder as the one before.
            if folder == last_folder {
                continue;
            }
            last_folder.clone_from(&folder);
            while let Some(path) = folder {
                match entries.position(&path) {
                    Some(above) if !stored[above] => stored[above] = true,
                    _ => break,
                }
                folder = path.parent();
            }
        }
        for (index, verdict) in verdicts.iter().enumerate() {
            match verdict {
                Verdict::Link { to } => stored[index] |= verdicts.is_archived(to),
                Verdict::Given { .. } | Verdict::Archived(_) => {}
            }
        }
        stored
    }

    fn gather_names(&mut self) {
        let entries = &self.scan.entries;
        for index in 0..entries.len() {
            let first = entries.first_name(index);
            if first != index {
                self.names.entry(first).or_default().push(index);
            }
        }
    }

    /// Separates from the archived file `first` those further names that no longer refer to the file `now`.
    /// They are archived as one file of their own, so that their contents are not lost.
    pub(super) fn part_names(&mut self, first: usize, now: Option<&Stamp>) {
        let Some(names) = self.names.remove(&first) else { return };
        let parted: Vec<usize> =
            names.into_iter().filter(|&name| !self.is_name_of(name, first, now)).collect();
        let Some((&head, further)) = parted.split_first() else { return };
        let (entries, verdicts) = (&mut self.scan.entries, &mut self.plan.verdicts);
        entries.replace(head, Entry { kind: Kind::File { size: 0 }, ..entries[head].clone() });
        verdicts.set(head, verdicts.get(first));
        for &name in further {
            entries.make_link(name, head);
            verdicts.set(name, Verdict::Link { to: head });
        }
        self.names.insert(head, further.to_vec());
        self.outdated = true;
    }

    /// Does `name` refer to the file `now`, like `first`?
    fn is_name_of(&self, name: usize, first: usize, now: Option<&Stamp>) -> bool {
        let path = &self.scan.entries[name].path;
        let opened = self.scan.root.open_file(path);
        match opened.and_then(|file| Ok(inspect_open_file(&file)?.stamp)) {
            Ok(stamp) => {
                now.is_some_and(|now| (now.device, now.inode) == (stamp.device, stamp.inode))
            }
            Err(error) => {
                // A name that has vanished is reported when it is written.
                if error.kind() != io::ErrorKind::NotFound {
                    let first = &self.scan.entries[first].path;
                    let problem = format!(
                        "archived as a file of its own, not as a further name of {first}: {error}"
                    );
                    self.monitor.problem(ProblemKind::Incomplete, path, problem);
                }
                false
            }
        }
    }

    fn put<W: TarOutput>(
        &mut self,
        tar: &mut TarWriter<W>,
        index: usize,
        renamed: &[Renamed],
    ) -> Result<(), PackError> {
        let entries = &self.scan.entries;
        if is_file(&entries[index]) {
            let name = name_in_tar(&entries[index].path, renamed);
            return match self.put_rest(tar, index)? {
                true => Ok(()),
                false => self.put_file(tar, index, &name),
            };
        }
        if let Some(Upcoming { name, entry }) = self.as_scanned(index, renamed) {
            tar.entry(&name, &entry, &mut io::empty()).map_err(PackError::Write)?;
        }
        Ok(())
    }

    /// An entry as it was when the tree was scanned; `None` for a further name of a file that is not in the archive.
    fn as_scanned(&self, index: usize, renamed: &[Renamed]) -> Option<Upcoming> {
        let entries = &self.scan.entries;
        if self.plan.is_pieced(&entries[index].path) {
            return None;
        }
        let name = name_in_tar(&entries[index].path, renamed);
        let mut entry = entries[index].clone();
        let first = entries.first_name(index);
        if first != index {
            if self.gone.contains(&first) {
                return None;
            }
            entry.metadata = entries[first].metadata.clone();
            let target = name_in_tar(&entries[first].path, renamed);
            entry.kind = Kind::HardLink { target: RelPath::new(target).ok()? };
            entry.extents = None;
        }
        Some(Upcoming { name, entry })
    }

    /// Copies the first entries of `stored` from an earlier archive that has them as they were when the tree was scanned; how
    /// many that are.
    fn reuse<W: TarOutput>(
        &mut self,
        tar: &mut TarWriter<W>,
        stored: &[usize],
        renamed: &[Renamed],
    ) -> Result<usize, PackError> {
        let mut next = stored.iter().map(|&index| self.as_scanned(index, renamed));
        let reused = tar.reuse(&mut next).map_err(PackError::Write)?.unwrap_or_default();
        for &index in &stored[..reused.entries] {
            if let Kind::File { size } = self.scan.entries[index].kind {
                self.progress.advance(size, 1);
            }
        }
        Ok(reused.entries)
    }

    fn put_file<W: TarOutput>(
        &mut self,
        tar: &mut TarWriter<W>,
        index: usize,
        name: &[u8],
    ) -> Result<(), PackError> {
        let path = self.scan.entries[index].path.clone();
        let scanned = &self.scan.entries[index];
        let size = if let Kind::File { size } = scanned.kind { size } else { 0 };
        let (inspected, file) = match OpenFile::open(&self.scan.root, &path, size) {
            Ok(opened) => opened,
            Err(error) => {
                self.part_names(index, None);
                let problem =
                    format!("cannot be read any more, and is not in the archive: {error}");
                self.monitor.problem(ProblemKind::Incomplete, &path, problem);
                self.gone.insert(index);
                return Ok(());
            }
        };
        let InspectedFile { mut metadata, problem, .. } = inspected;
        let dropped = attributes::drop_too_large(attributes::names_of(scanned), &mut metadata);
        if dropped && scanned.metadata.xattrs != metadata.xattrs {
            attributes::report(&path, self.monitor);
        }
        // Otherwise the scan has reported it.
        if let Some(problem) = problem.filter(|_| scanned.metadata.xattrs != metadata.xattrs) {
            let problem = format!("archived without some of its attributes: {problem}");
            self.monitor.problem(ProblemKind::Incomplete, &path, problem);
        }
        self.part_names(index, Some(file.stamp()));
        let mut now = Entry {
            path: path.clone(),
            kind: Kind::File { size: file.size() },
            metadata,
            sha256: None,
            extents: file.extents().map(<[_]>::to_vec),
        };
        let (sha256, doubt) =
            file.store(tar, name, &now, Listeners(self.progress, self.monitor))?;
        now.sha256 = Some(sha256);
        if let Some(doubt) = doubt {
            let problem = format!("{doubt}; the archive has it as it was read");
            self.monitor.problem(ProblemKind::Incomplete, &path, problem);
            self.changed += 1;
        }
        self.progress.advance(0, 1);
        if self.scan.entries[index] != now {
            self.scan.entries.replace(index, now);
            self.outdated = true;
        }
        Ok(())
    }

    /// Removes the files that could not be archived from the plan, with their further names.
    fn drop_gone(&mut self) {
        let (entries, gone) = (&self.scan.entries, &self.gone);
        for path in gone.iter().map(|&index| entries[index].path.clone()) {
            self.plan.forget_pieces(&path);
        }
        let remains = |index: usize| !gone.contains(&entries.first_name(index));
        let remaining: Vec<bool> = (0..entries.len()).map(remains).collect();
        self.plan.verdicts.retain(|index| remaining[index]);
        self.scan.entries.retain(|index| remaining[index]);
    }
}

/// The path of an entry in the tar: its own, unless it is at or below a name that archives have for themselves.
fn name_in_tar(path: &RelPath, renamed: &[Renamed]) -> Vec<u8> {
    if path.is_root() {
        return b".".to_vec();
    }
    let stored = own_name_of(path.as_bytes()).and_then(|(own, rest)| {
        let renamed = renamed.iter().find(|one| one.name.as_bytes() == own.as_bytes())?;
        Some([renamed.stored.as_bytes(), rest].concat())
    });
    stored.unwrap_or_else(|| path.as_bytes().to_vec())
}
