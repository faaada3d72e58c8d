//! The contents of an archive's files, read at any place and by several threads at once.
//!
//! Invariant: what is given was checked: by the checksum of its frame, or by the digest of the package. A package is fetched and
//! unpacked once for all that read from it, and so is an archive without frames. What is kept of them is bounded.

mod failure;
mod framed;
mod holes;
mod packages;
mod pieced;
mod shared;
mod unpacked;

use std::collections::VecDeque;
use std::io::{self, Read};
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::{Arc, Mutex};

pub use failure::ContentsError;

use self::failure::Told;
use self::framed::{ARCHIVE, Framed, other_size};
use self::packages::{Unpacking, WantedFiles};
use self::pieced::Pieced;
use self::shared::Shared;
use self::unpacked::{CopyError, Found, Unpacked};
use super::tree::{ArchiveTree, Node, NodeId};
use super::{ArchiveError, ArchiveVisitor, Holder, StoredEntry, read_archive};
use crate::error::ErrorClass;
use crate::fetch::{Source, Wanted, shown};
use crate::formats::Input;
use crate::limits::Limits;
use crate::model::manifest::{AnyManifest, Package, PackageV1, Renamed};
use crate::model::{Kind, escaped};
use crate::monitor::Monitor;
use crate::storage::{FromStart, SharedSource};
use crate::wording::one_line;

/// What reading contents depends on.
#[derive(Clone, Copy)]
pub struct ContentsAccess<'a> {
    /// Where packages come from.
    pub source: &'a dyn Source,
    /// The folder for what is unpacked; nothing there ever has a name.
    pub folder: &'a Path,
    /// What is unpacked is kept up to so many bytes; what was read longest ago goes first. What was read last is always kept.
    pub kept_bytes: u64,
    /// Bounds on foreign input.
    pub limits: &'a Limits,
    /// What cannot be read is reported here, once for each file and failure.
    pub monitor: &'a dyn Monitor,
}

/// The contents of an archive's files.
pub struct Contents<'a> {
    access: ContentsAccess<'a>,
    tree: Arc<ArchiveTree>,
    /// What messages call the archive, safe for a terminal.
    name: String,
    archive: Box<dyn SharedSource + 'a>,
    framed: Option<Framed>,
    packages: Packages,
    pieced: Pieced,
    renamed: Vec<Renamed>,
    /// One for each package, one for each file that is made of pieces, and one for an archive without frames.
    stores: Vec<Shared<Unpacked>>,
    /// Which of them are there, and their bytes; that which was read last comes last.
    kept: Mutex<VecDeque<(usize, u64)>>,
    told: Told,
}

/// The packages of a manifest.
enum Packages {
    V1(Vec<PackageV1>, WantedFiles),
    V2(Vec<Package>),
}

impl<'a> Contents<'a> {
    /// The contents of the files of `tree`, which is that of `archive` and this manifest.
    pub(super) fn new(
        archive: Box<dyn SharedSource + 'a>,
        name: &str,
        manifest: AnyManifest,
        tree: Arc<ArchiveTree>,
        access: ContentsAccess<'a>,
    ) -> Self {
        let pieced = match &manifest {
            AnyManifest::V2(manifest) => Pieced::new(manifest, &tree),
            AnyManifest::V1(_) => Pieced::default(),
        };
        let (packages, renamed) = match manifest {
            AnyManifest::V1(manifest) => {
                let wanted = WantedFiles::new(&manifest.files, &tree);
                (Packages::V1(manifest.packages, wanted), Vec::new())
            }
            AnyManifest::V2(manifest) => (Packages::V2(manifest.packages), manifest.renamed),
        };
        let framed = Framed::open(&*archive, &renamed, access.limits);
        let count = match &packages {
            Packages::V1(packages, _) => packages.len(),
            Packages::V2(packages) => packages.len(),
        };
        let stores = (0..=count + pieced.len()).map(|_| Shared::default()).collect();
        let (name, kept, told) = (escaped(name.as_bytes()), Mutex::default(), Told::default());
        Self { access, tree, name, archive, framed, packages, pieced, renamed, stores, kept, told }
    }

    /// The tree whose contents these are.
    pub fn tree(&self) -> &Arc<ArchiveTree> {
        &self.tree
    }

    /// Up to `count` bytes of a regular file from position `first` on, if they can be given without waiting for anything
    /// but the disk; fewer if the file ends earlier.
    pub fn at_hand(&self, file: NodeId, first: u64, count: usize) -> Option<Vec<u8>> {
        let (node, part) = self.part(file, first, count)?;
        match (node.holder, &self.framed) {
            _ if part.is_empty() => Some(Vec::new()),
            _ if self.pieced_store(file).is_some() => {
                self.kept(self.pieced_store(file)?, file, &part)
            }
            (Holder::Archive, Some(framed)) => framed.at_hand(file, &part),
            (Holder::Archive, None) => self.kept(self.stores.len() - 1, file, &part),
            (Holder::Package(index), _) => self.kept(index, file, &part),
            (Holder::SomePackage, _) => {
                (0..self.stores.len() - 1).find_map(|index| self.kept(index, file, &part))
            }
        }
    }

    /// The same, however long it takes. A failure is reported to the monitor.
    ///
    /// # Errors
    /// The contents cannot be had; the monitor was told why.
    pub fn read(&self, file: NodeId, first: u64, count: usize) -> Result<Vec<u8>, Unreadable> {
        self.read_any(file, first, count).map_err(|error| {
            let message = one_line(&*error);
            if error.class() != ErrorClass::Interrupted && self.told.is_news(file, &message) {
                let object = format!("{} in {}", self.tree.path(file), self.name);
                self.access.monitor.problem(error.class().problem_kind(), object, message);
            }
            Unreadable
        })
    }

    fn read_any(
        &self,
        file: NodeId,
        first: u64,
        count: usize,
    ) -> Result<Vec<u8>, Arc<ContentsError>> {
        let failed = |error: ContentsError| Arc::new(error);
        let missing = |place: String| failed(ContentsError::Missing { place });
        let Some((node, part)) = self.part(file, first, count) else {
            return Err(missing(ARCHIVE.to_owned()));
        };
        if part.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(store) = self.pieced_store(file) {
            let found = self.read_store(store, file, &part)?;
            return found.ok_or_else(|| missing(ARCHIVE.to_owned()));
        }
        match (node.holder, &self.framed) {
            (Holder::Archive, Some(framed)) => {
                let archive = self.archive.random().ok_or_else(|| failed(in_order_only()))?;
                framed.read(archive, &self.tree, file, &part).map_err(failed)
            }
            (Holder::Archive, None) => {
                let found = self.read_store(self.stores.len() - 1, file, &part)?;
                found.ok_or_else(|| missing(ARCHIVE.to_owned()))
            }
            (Holder::Package(index), _) => {
                let found = self.read_store(index, file, &part)?;
                found.ok_or_else(|| missing(self.package_name(index)))
            }
            (Holder::SomePackage, _) => {
                let mut failure = None;
                for index in 0..self.stores.len() - 1 {
                    match self.read_store(index, file, &part) {
                        Ok(Some(bytes)) => return Ok(bytes),
                        Ok(None) => {}
                        Err(error) => failure = failure.or(Some(error)),
                    }
                }
                Err(failure.unwrap_or_else(|| missing("no package of the manifest".to_owned())))
            }
        }
    }

    /// The file, and which of its bytes these are; `None` if it is no regular file.
    fn part(&self, file: NodeId, first: u64, count: usize) -> Option<(Node, Range<u64>)> {
        let node = self.tree.node(file)?;
        let Kind::File { size } = node.kind else { return None };
        let first = first.min(size);
        let end = first.saturating_add(count as u64).min(size);
        Some((node, first..end))
    }

    fn package_name(&self, index: usize) -> String {
        match &self.packages {
            Packages::V1(packages, _) => shown(&packages[index].url),
            Packages::V2(packages) => packages[index].shown_name(),
        }
    }

    /// The store of a file that is made of pieces: they are behind those of the packages.
    fn pieced_store(&self, file: NodeId) -> Option<usize> {
        let first = self.stores.len() - 1 - self.pieced.len();
        self.pieced.index(file).map(|index| first + index)
    }

    /// A part of a file from a store that is there.
    fn kept(&self, index: usize, file: NodeId, part: &Range<u64>) -> Option<Vec<u8>> {
        let unpacked = self.stores[index].at_hand()?;
        self.touch(index, unpacked.bytes());
        match unpacked.find(file) {
            Found::At(start) => unpacked.read(file, start, part).ok(),
            Found::Wrong(_) | Found::Nothing => None,
        }
    }

    /// A part of a file from a store, which is made if it is not there; `None` if the file is not in it.
    fn read_store(
        &self,
        index: usize,
        file: NodeId,
        part: &Range<u64>,
    ) -> Result<Option<Vec<u8>>, Arc<ContentsError>> {
        let unpacked = self.stores[index].get(|| self.unpack(index))?;
        self.touch(index, unpacked.bytes());
        match unpacked.find(file) {
            Found::At(start) => {
                let read = unpacked.read(file, start, part);
                read.map(Some).map_err(|error| Arc::new(ContentsError::Keep { error }))
            }
            Found::Wrong(what) => {
                let place = match index + 1 == self.stores.len() {
                    true => ARCHIVE.to_owned(),
                    false => self.package_name(index),
                };
                Err(Arc::new(ContentsError::OtherFile { place, what: what.to_owned() }))
            }
            Found::Nothing => Ok(None),
        }
    }

    /// Notes that a store was read, and lets go of others if together they have become too large.
    fn touch(&self, index: usize, bytes: u64) {
        let mut kept = self.kept.lock().expect("no holder of this lock panics");
        kept.retain(|(known, _)| *known != index);
        kept.push_back((index, bytes));
        let mut all = kept.iter().fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        while all > self.access.kept_bytes && kept.len() > 1 {
            let Some((oldest, bytes)) = kept.pop_front() else { break };
            self.stores[oldest].forget();
            all -= bytes;
        }
    }

    /// Fetches and unpacks a package, or unpacks the archive.
    fn unpack(&self, index: usize) -> Result<Unpacked, ContentsError> {
        let ContentsAccess { source, folder, limits, monitor, .. } = self.access;
        let new = || Unpacked::in_folder(folder).map_err(|error| ContentsError::Keep { error });
        let unpacking = |unpacked| Unpacking { tree: &self.tree, limits, monitor, unpacked };
        match &self.packages {
            _ if index + 1 == self.stores.len() => self.unpack_archive(new()?),
            Packages::V2(packages) if index >= packages.len() => {
                self.put_together(index - packages.len(), packages)
            }
            Packages::V1(packages, wanted) => {
                let fetched = source.fetch(&Wanted::from(&packages[index]), monitor)?;
                unpacking(new()?).package_v1(&packages[index], wanted, &fetched.file)
            }
            Packages::V2(packages) => {
                let fetched = source.fetch(&Wanted::from(&packages[index]), monitor)?;
                unpacking(new()?).package(index, &packages[index], &fetched.file)
            }
        }
    }

    /// Puts the file with this index together that is made of pieces.
    fn put_together(&self, index: usize, packages: &[Package]) -> Result<Unpacked, ContentsError> {
        let ContentsAccess { source, folder, limits, monitor, .. } = self.access;
        let file = tempfile::tempfile_in(folder).map_err(|error| ContentsError::Keep { error })?;
        let mut making = self.pieced.begin(index, &file)?;
        let mut archive = FromStart::of(&*self.archive).ok_or_else(in_order_only)?;
        read_archive(&mut archive, &self.name, limits, &mut making, monitor)?;
        for number in making.packages() {
            let package = &packages[number];
            let fetched = source.fetch(&Wanted::from(package), monitor)?;
            making.package(number, package, Input::File(&fetched.file), (limits, monitor))?;
        }
        making.finish(packages)?;
        let (node, size) = self
            .pieced
            .node(index)
            .ok_or_else(|| ContentsError::Missing { place: ARCHIVE.to_owned() })?;
        Ok(Unpacked::whole(file, node, size))
    }

    /// Unpacks all files that the archive has, in one pass.
    fn unpack_archive(&self, unpacked: Unpacked) -> Result<Unpacked, ContentsError> {
        let mut archive = FromStart::of(&*self.archive).ok_or_else(in_order_only)?;
        let ContentsAccess { limits, monitor, .. } = self.access;
        let mut files = StoredFiles { tree: &self.tree, renamed: &self.renamed, unpacked };
        read_archive(&mut archive, &self.name, limits, &mut files, monitor)?;
        files.unpacked.finish().map_err(|error| ContentsError::Keep { error })
    }
}

/// The archive is a stream.
fn in_order_only() -> ContentsError {
    let error = io::Error::new(io::ErrorKind::NotSeekable, "it can only be read in order");
    ContentsError::Archive(ArchiveError::Read { error })
}

/// The contents could not be read; the monitor was told why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

/// Takes the files of an archive.
struct StoredFiles<'s> {
    tree: &'s ArchiveTree,
    renamed: &'s [Renamed],
    unpacked: Unpacked,
}

impl ArchiveVisitor for StoredFiles<'_> {
    type Error = ContentsError;

    fn manifest(&mut self, _manifest: AnyManifest) -> Result<ControlFlow<()>, ContentsError> {
        Ok(ControlFlow::Continue(()))
    }

    fn entry(
        &mut self,
        entry: StoredEntry,
        content: &mut dyn Read,
    ) -> Result<ControlFlow<()>, ContentsError> {
        let proceed = Ok(ControlFlow::Continue(()));
        let path = framed::path_in_tree(entry.path.as_bytes(), self.renamed);
        let Some(file) = path.and_then(|path| self.tree.find(&path)) else { return proceed };
        let node = self.tree.node(file).filter(|node| node.holder == Holder::Archive);
        let (Some(node), Kind::File { size }) = (node, &entry.kind) else { return proceed };
        if node.kind != entry.kind {
            self.unpacked.is_wrong(file, other_size(*size).to_string());
            return proceed;
        }
        match self.unpacked.add(content, *size) {
            Ok((_, bytes)) => self.unpacked.keep([file], bytes, entry.extents),
            Err(CopyError::Read(error)) => return Err(ArchiveError::Read { error }.into()),
            Err(CopyError::Write(error)) => return Err(ContentsError::Keep { error }),
        }
        proceed
    }
}
