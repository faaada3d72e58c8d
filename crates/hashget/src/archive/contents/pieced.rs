//! Files that are made of pieces, each put together once in a file without a name.
//!
//! Invariant: nothing is given of such a file before its digest is right. Members are read from packages that are proven.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;

use super::super::assembly::{Assembly, CopyError, Unfinished, Watch};
use super::super::tree::{ArchiveTree, NodeId};
use super::failure::ContentsError;
use super::framed::ARCHIVE;
use crate::archive::{ArchiveError, ArchiveVisitor, StoredEntry};
use crate::formats::{self, FormatError, Input, Visitor, VisitorError};
use crate::limits::Limits;
use crate::model::manifest::{AnyManifest, Manifest, Package, Pieces};
use crate::model::{Entry, Kind, Member, RelPath};
use crate::monitor::Monitor;

/// The files of an archive that are made of pieces.
#[derive(Default)]
pub(super) struct Pieced {
    pieces: Pieces,
    entries: Vec<Entry>,
    nodes: HashMap<NodeId, usize>,
}

impl Pieced {
    /// Those of a manifest, in its tree.
    pub(super) fn new(manifest: &Manifest, tree: &ArchiveTree) -> Self {
        let entries = manifest.pieced_entries().unwrap_or_default();
        let node = |(index, entry): (usize, &Entry)| Some((tree.find(&entry.path)?, index));
        let nodes = entries.iter().enumerate().filter_map(node).collect();
        Self { pieces: manifest.pieces().cloned().unwrap_or_default(), entries, nodes }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The index of a file, if it is one of them.
    pub(super) fn index(&self, file: NodeId) -> Option<usize> {
        self.nodes.get(&file).copied()
    }

    /// The node of the file with this index, and its size.
    pub(super) fn node(&self, index: usize) -> Option<(NodeId, u64)> {
        let Kind::File { size } = self.entries[index].kind else { return None };
        let node = self.nodes.iter().find(|(_, known)| **known == index);
        node.map(|(node, _)| (*node, size))
    }

    /// Begins the file with this index in an empty one.
    pub(super) fn begin(&self, index: usize, file: &File) -> Result<Making<'_>, ContentsError> {
        if self.pieces.encoding(index).is_some() {
            return Err(ContentsError::Encoded);
        }
        let keep = |error| ContentsError::Keep { error };
        let mut files: Vec<Option<(Entry, File)>> = vec![];
        files.resize_with(self.len(), || None);
        files[index] = Some((self.entries[index].clone(), file.try_clone().map_err(keep)?));
        let assembly = Assembly::new(&self.pieces, files);
        let rest = self.pieces.rest_of(index);
        Ok(Making { entry: &self.entries[index], index, rest, assembly })
    }
}

/// A file that is being put together.
pub(super) struct Making<'p> {
    entry: &'p Entry,
    index: usize,
    rest: Option<u32>,
    assembly: Assembly<'p>,
}

impl Making<'_> {
    /// The packages that it needs something of, by their indices.
    pub(super) fn packages(&self) -> Vec<usize> {
        self.assembly.needed()
    }

    /// Takes what it needs of a package, whose bytes are in `file`.
    pub(super) fn package(
        &self,
        index: usize,
        package: &Package,
        input: Input<'_>,
        (limits, monitor): (&Limits, &dyn Monitor),
    ) -> Result<(), ContentsError> {
        let mut members = Members { making: self, index, monitor };
        let read =
            formats::read_package_as(&package.format, input, &|_| false, limits, &mut members);
        match read {
            Ok(_) => Ok(()),
            Err(FormatError::Visitor(error)) => Err(match error.downcast::<ContentsError>() {
                Ok(error) => *error,
                Err(error) => {
                    let error = FormatError::Visitor(error);
                    ContentsError::Package { package: package.shown_name(), error }
                }
            }),
            Err(error) => Err(ContentsError::Package { package: package.shown_name(), error }),
        }
    }

    /// Everything has come: is it the file?
    pub(super) fn finish(&self, packages: &[Package]) -> Result<(), ContentsError> {
        let other = |place: String, what: String| Err(ContentsError::OtherFile { place, what });
        match self.assembly.finish(self.index) {
            Ok(found) if Some(found) == self.entry.sha256 => Ok(()),
            Ok(found) => {
                let place = "what its pieces come from".to_owned();
                other(place, format!("they give sha256 {found}"))
            }
            Err(Unfinished::Failed(why)) => other(ARCHIVE.to_owned(), why),
            Err(Unfinished::Packages(lacking)) => {
                let names: HashSet<String> =
                    lacking.iter().map(|&index| packages[index].shown_name()).collect();
                let mut names: Vec<String> = names.into_iter().collect();
                names.sort();
                other(names.join(", "), "not all pieces of it".to_owned())
            }
        }
    }
}

/// Reads the rest from the archive.
impl ArchiveVisitor for Making<'_> {
    type Error = ContentsError;

    fn manifest(&mut self, _manifest: AnyManifest) -> Result<ControlFlow<()>, ContentsError> {
        Ok(ControlFlow::Continue(()))
    }

    fn wants(&mut self, _path: &RelPath) -> bool {
        false
    }

    fn wants_between(&mut self, first: &RelPath, next: Option<&RelPath>) -> bool {
        // It lies in the place of its file.
        *first <= self.entry.path && next.is_none_or(|next| self.entry.path < *next)
    }

    fn entry(
        &mut self,
        _entry: StoredEntry,
        _content: &mut dyn Read,
    ) -> Result<ControlFlow<()>, ContentsError> {
        Ok(ControlFlow::Continue(()))
    }

    fn rest(&mut self, number: u32, content: &mut dyn Read) -> Result<(), ContentsError> {
        if self.rest != Some(number) {
            return Ok(());
        }
        self.assembly.put_rest(self.index, content).map_err(|error| match error {
            CopyError::Read(error) => ArchiveError::Read { error }.into(),
            CopyError::Write(error) => ContentsError::Keep { error },
        })
    }
}

/// Takes what is wanted of the members of a package.
struct Members<'m, 'p> {
    making: &'m Making<'p>,
    index: usize,
    monitor: &'m dyn Monitor,
}

impl Visitor for Members<'_, '_> {
    fn visit(&mut self, member: Member, content: &mut dyn Read) -> Result<(), VisitorError> {
        self.monitor.check_interrupted().map_err(ContentsError::from)?;
        let Kind::File { .. } = member.kind else { return Ok(()) };
        let watch = self.making.assembly.watch(self.index, &member.path, content);
        match watch.map_or(Ok(()), Watch::finish) {
            Ok(()) => Ok(()),
            Err(CopyError::Read(error)) => Err(error.into()),
            Err(CopyError::Write(error)) => Err(ContentsError::Keep { error }.into()),
        }
    }
}
