//! Writes the archive: the manifest, then every archived entry in order.
//!
//! Invariant: what the manifest says of an archived file is what the tar holds. A file that changed since
//! the scan is stored as it is now, and a corrected manifest at the end replaces the first one.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use super::open_file::{Listeners, OpenFile};
use super::plan::Plan;
use super::tar_writer::TarWriter;
use super::{PackError, PackOptions};
use crate::model::manifest::{
    EntryColumns, MANIFEST_NAME, Manifest, ManifestV1, Needs, Renamed, TreeSummary,
};
use crate::model::{Entry, Kind, Metadata, RelPath};
use crate::monitor::{Monitor, ProblemKind, Running};
use crate::tree::{Scan, Stamp, inspect_open_file, tree_digest};

/// Writes one archive.
pub(super) struct Writer<'a> {
    pub(super) scan: &'a mut Scan,
    pub(super) plan: &'a mut Plan,
    pub(super) options: &'a PackOptions<'a>,
    pub(super) monitor: &'a dyn Monitor,
    pub(super) progress: &'a Running<'a>,
    /// Did a file change since the first manifest?
    pub(super) outdated: bool,
    /// How many files would not hold still.
    pub(super) changed: u64,
    /// Files that could not be archived after all.
    pub(super) gone: HashSet<RelPath>,
    /// The further names of archived files, by the first name.
    pub(super) names: HashMap<RelPath, Vec<usize>>,
}

/// Writes the manifest of a plan into the tar.
fn put_manifest<W: Write>(
    tar: &mut TarWriter<W>,
    scan: &Scan,
    plan: &mut Plan,
    options: &PackOptions,
) -> Result<(), PackError> {
    with_manifest(scan, plan, options, |write| put_text(tar, write))?
}

/// Writes what it is given somewhere.
pub(super) type WriteText<'a> = &'a dyn Fn(&mut dyn Write) -> io::Result<()>;

/// Makes the manifest of a plan, for `work` to write. It is written as it is made: for a large tree it takes
/// more memory than all that it says.
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
    let own_manifest = RelPath::new(MANIFEST_NAME)?;
    let renamed = (scan.get(&own_manifest).is_some())
        .then(|| Renamed { stored: stored_name(entries), name: own_manifest });
    let manifest = Manifest {
        format: Manifest::FORMAT.to_owned(),
        version: 2,
        needs: Needs::default(),
        tool: concat!("hashget ", env!("CARGO_PKG_VERSION")).to_owned(),
        expires: options.expires.clone().or(earliest),
        tree: TreeSummary {
            sha256: tree_digest(entries),
            entries: entries.len() as u64,
            files: entries.iter().filter(|entry| is_file(entries, entry)).count() as u64,
            bytes: entries.iter().filter_map(file_size).sum(),
        },
        packages: std::mem::take(&mut plan.packages),
        archived: EntryColumns::new(entries, &plan.archived, options.hashes.archived()),
        links: std::mem::take(&mut plan.links),
        renamed: renamed.into_iter().collect(),
    };
    let done = work(&|output| manifest.write_json(output));
    (plan.packages, plan.links) = (manifest.packages, manifest.links);
    Ok(done)
}

/// Writes a manifest that `write` writes, duplicate_paths: first to know its length.
fn put_text<W: Write>(tar: &mut TarWriter<W>, write: WriteText<'_>) -> Result<(), PackError> {
    let mut length = Counter(0);
    write(&mut length).map_err(PackError::Write)?;
    let entry = Entry {
        path: RelPath::new(MANIFEST_NAME)?,
        kind: Kind::File { size: length.0 },
        metadata: Metadata { mode: 0o644, ..Metadata::default() },
        sha256: None,
        extents: None,
    };
    tar.written_entry(MANIFEST_NAME.as_bytes(), &entry, write).map_err(PackError::Write)
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

fn is_file(entries: &[Entry], entry: &Entry) -> bool {
    match &entry.kind {
        Kind::File { .. } => true,
        Kind::HardLink { target } => crate::tree::find(entries, target)
            .is_some_and(|first| matches!(first.kind, Kind::File { .. })),
        _ => false,
    }
}

/// A free name for the tree's own file of the manifest's name.
fn stored_name(entries: &[Entry]) -> RelPath {
    (0_u64..)
        .map(|number| format!("{MANIFEST_NAME}.stored{number}"))
        .filter_map(|name| RelPath::new(name).ok())
        .find(|name| crate::tree::find(entries, name).is_none())
        .expect("a tree has fewer names than there are numbers")
}

impl Writer<'_> {
    /// Writes everything to `output` and gives it back, complete but not flushed.
    pub(super) fn write<W: Write>(
        &mut self,
        output: W,
        version_one: Option<&ManifestV1>,
    ) -> Result<W, PackError> {
        let mut tar = TarWriter::new(output);
        match version_one {
            Some(manifest) => {
                let json = manifest.to_json();
                put_text(&mut tar, &|output| output.write_all(&json))?;
            }
            None => put_manifest(&mut tar, self.scan, self.plan, self.options)?,
        }
        let stored = self.stored();
        self.gather_names();
        let renamed = stored_name(&self.scan.entries);
        for index in (0..stored.len()).filter(|&index| stored[index]) {
            self.monitor.check_interrupted()?;
            self.put(&mut tar, index, &renamed)?;
        }
        // A manifest of version 1 says nothing of what the tar holds.
        if version_one.is_none() && (self.outdated || !self.gone.is_empty()) {
            self.drop_gone();
            put_manifest(&mut tar, self.scan, self.plan, self.options)?;
        }
        tar.finish().map_err(PackError::Write)
    }

    /// Which entries the tar holds: the archived ones, the folders above them, and further names of
    /// archived files.
    fn stored(&self) -> Vec<bool> {
        let entries = &self.scan.entries;
        let position = |path: &RelPath| entries.binary_search_by(|one| one.path.cmp(path)).ok();
        let mut stored = self.plan.archived.clone();
        let mut last_folder = None;
        for index in (0..entries.len()).filter(|&index| self.plan.archived[index]) {
            let mut folder = entries[index].path.parent();
            // Most entries lie beside the one before.
            if folder == last_folder {
                continue;
            }
            last_folder.clone_from(&folder);
            while let Some(path) = folder {
                match position(&path) {
                    Some(above) if !stored[above] => stored[above] = true,
                    _ => break,
                }
                folder = path.parent();
            }
        }
        for link in &self.plan.links {
            if let (Some(name), Some(to)) = (position(&link.path), position(&link.to))
                && self.plan.archived[to]
            {
                stored[name] = true;
            }
        }
        stored
    }

    fn gather_names(&mut self) {
        for (index, entry) in self.scan.entries.iter().enumerate() {
            if let Kind::HardLink { target } = &entry.kind {
                self.names.entry(target.clone()).or_default().push(index);
            }
        }
    }

    /// Parts from the archived file `first` those further names that are not names of `now` any more:
    /// they are archived as a file of their own, each, so that nothing of theirs is lost.
    fn part_names(&mut self, first: &RelPath, now: Option<&Stamp>) {
        let Some(names) = self.names.remove(first) else { return };
        let is_same = |&name: &usize| {
            let path = &self.scan.entries[name].path;
            let opened = self.scan.root.open_file(path);
            let stamp = opened.and_then(|file| Ok(inspect_open_file(&file)?.1));
            let same = |stamp: Stamp| {
                now.is_some_and(|now| (now.device, now.inode) == (stamp.device, stamp.inode))
            };
            match stamp {
                Ok(stamp) => same(stamp),
                Err(error) => {
                    // One that has vanished is told when it is written.
                    if error.kind() != io::ErrorKind::NotFound {
                        let problem = format!(
                            "archived as a file of its own, not as a further name of {first}: {error}"
                        );
                        self.monitor.problem(ProblemKind::Incomplete, path, problem);
                    }
                    false
                }
            }
        };
        let parted: Vec<usize> = names.into_iter().filter(|name| !is_same(name)).collect();
        let Some((&head, further)) = parted.split_first() else { return };
        let to = self.scan.entries[head].path.clone();
        self.scan.entries[head].kind = Kind::File { size: 0 };
        self.plan.archived[head] = true;
        self.plan.links.retain(|link| link.path != to);
        for &name in further {
            let entry = &mut self.scan.entries[name];
            entry.kind = Kind::HardLink { target: to.clone() };
            for link in self.plan.links.iter_mut().filter(|link| link.path == entry.path) {
                link.to = to.clone();
            }
        }
        self.names.insert(to, further.to_vec());
        self.outdated = true;
    }

    fn put<W: Write>(
        &mut self,
        tar: &mut TarWriter<W>,
        index: usize,
        renamed: &RelPath,
    ) -> Result<(), PackError> {
        let name = name_in_tar(&self.scan.entries[index].path, renamed);
        if let Kind::File { .. } = self.scan.entries[index].kind {
            return self.put_file(tar, index, &name);
        }
        let mut entry = self.scan.entries[index].clone();
        if let Kind::HardLink { target } = &entry.kind {
            let first = crate::tree::find(&self.scan.entries, target);
            let Some(first) = first.filter(|_| !self.gone.contains(target)) else { return Ok(()) };
            entry.metadata = first.metadata.clone();
            let target = RelPath::new(name_in_tar(target, renamed))?;
            entry.kind = Kind::HardLink { target };
            entry.extents = None;
        }
        tar.entry(&name, &entry, &mut io::empty()).map_err(PackError::Write)?;
        Ok(())
    }

    fn put_file<W: Write>(
        &mut self,
        tar: &mut TarWriter<W>,
        index: usize,
        name: &[u8],
    ) -> Result<(), PackError> {
        let path = self.scan.entries[index].path.clone();
        let (metadata, file) = match OpenFile::open(&self.scan.root, &path) {
            Ok(opened) => opened,
            Err(error) => {
                self.part_names(&path, None);
                let problem =
                    format!("cannot be read any more, and is not in the archive: {error}");
                self.monitor.problem(ProblemKind::Incomplete, &path, problem);
                self.gone.insert(path);
                return Ok(());
            }
        };
        self.part_names(&path, Some(file.stamp()));
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
            self.scan.entries[index] = now;
            self.outdated = true;
        }
        Ok(())
    }

    /// Takes the files that could not be archived after all out of the plan, with their further names.
    fn drop_gone(&mut self) {
        let gone = &self.gone;
        let remains = |entry: &Entry| {
            let linked = matches!(&entry.kind, Kind::HardLink { target } if gone.contains(target));
            !linked && !gone.contains(&entry.path)
        };
        let remaining: Vec<bool> = self.scan.entries.iter().map(remains).collect();
        let mut each = remaining.iter();
        self.plan.archived.retain(|_| *each.next().expect("one for each entry"));
        let mut each = remaining.iter();
        self.scan.entries.retain(|_| *each.next().expect("one for each entry"));
        self.plan.links.retain(|link| !gone.contains(&link.to));
    }
}

/// The path of an entry in the tar: its own, unless it is the tree's own `.hashget-restore.json` or
/// lies below it.
fn name_in_tar(path: &RelPath, renamed: &RelPath) -> Vec<u8> {
    if path.is_root() {
        return b".".to_vec();
    }
    match path.as_bytes().strip_prefix(MANIFEST_NAME.as_bytes()) {
        Some(rest) if rest.is_empty() || rest[0] == b'/' => [renamed.as_bytes(), rest].concat(),
        _ => path.as_bytes().to_vec(),
    }
}
