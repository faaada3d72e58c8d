//! Unpacking what a package gives: once, into a file without a name.
//!
//! Invariant: nothing of a package is unpacked before its digest is proven, and a file whose own digest is known and is another one
//! is never given. The plan is that of restoring.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek as _};

use super::super::package_plan::{Destination, PackagePlan};
use super::super::tree::{ArchiveTree, NodeId};
use super::failure::ContentsError;
use super::unpacked::{CopyError, Unpacked};
use crate::archive::Holder;
use crate::derived;
use crate::fetch::shown;
use crate::formats::{self, FILE, FormatError, Input, PATH_SEPARATOR, Visitor, VisitorError};
use crate::limits::Limits;
use crate::model::manifest::{FileV1, Package, PackageV1};
use crate::model::{Digest, Kind, Member, RelPath};
use crate::monitor::{Monitor, Step, Total};

/// What it takes to unpack a package.
pub(super) struct Unpacking<'u> {
    pub(super) tree: &'u ArchiveTree,
    pub(super) limits: &'u Limits,
    pub(super) monitor: &'u dyn Monitor,
    /// Where it goes.
    pub(super) unpacked: Unpacked,
}

impl Unpacking<'_> {
    /// Unpacks what the package with this index, whose bytes are in `file`, gives.
    pub(super) fn package(
        self,
        index: usize,
        package: &Package,
        file: &File,
    ) -> Result<Unpacked, ContentsError> {
        let (limits, monitor) = (self.limits, self.monitor);
        let plan = PackagePlan::new(package)?;
        let (itself, inner) = (plan.itself(), plan.inner_packages().clone());
        let needs_members = plan.needs_members();
        let name = package.shown_name();
        let mut members = Members { unpacking: self, index, plan };
        let size = file.metadata().map_or(package.size, |found| found.len());
        let copied = members.copy(itself, size, &mut whole(file, &name)?);
        copied.map_err(|error| read_error(error, &name))?;
        if needs_members {
            let recurse = |path: &RelPath| {
                inner.contains(&[path.as_bytes(), PATH_SEPARATOR.as_bytes()].concat())
            };
            read(file, &name, monitor, |input| {
                derived::read_package(package, input, &recurse, limits, &mut members)
            })?;
        }
        finish(members.unpacking.unpacked)
    }

    /// Unpacks the files of `wanted` that are in a package of version 1.
    pub(super) fn package_v1(
        self,
        package: &PackageV1,
        wanted: &WantedFiles,
        file: &File,
    ) -> Result<Unpacked, ContentsError> {
        let (limits, monitor) = (self.limits, self.monitor);
        let name = shown(&package.url);
        let mut members = MembersV1 { unpacking: self, wanted };
        let size = file.metadata().map_or(0, |found| found.len());
        // The package itself may be one of the files.
        let copied = members.copy(size, &mut whole(file, &name)?);
        copied.map_err(|error| read_error(error, &name))?;
        read(file, &name, monitor, |input| {
            formats::read_package_as(FILE, input, &|_| true, limits, &mut members)
        })?;
        finish(members.unpacking.unpacked)
    }
}

/// Reads all members of a package, by `read`.
fn read(
    file: &File,
    package: &str,
    monitor: &dyn Monitor,
    read: impl FnOnce(Input<'_>) -> Result<&'static str, FormatError>,
) -> Result<(), ContentsError> {
    let total = Total::bytes(file.metadata().map_or(0, |found| found.len()));
    let progress = monitor.begin(Step::Read, package, total);
    let input = Input::Watched(file, progress.position());
    match read(input) {
        Ok(_) => Ok(()),
        Err(FormatError::Visitor(error)) => Err(match error.downcast::<ContentsError>() {
            Ok(error) => *error,
            Err(error) => package_error(FormatError::Visitor(error), package),
        }),
        Err(error) => Err(package_error(error, package)),
    }
}

fn finish(unpacked: Unpacked) -> Result<Unpacked, ContentsError> {
    unpacked.finish().map_err(|error| ContentsError::Keep { error })
}

/// The bytes of a package, from its start.
fn whole<'f>(mut file: &'f File, package: &str) -> Result<&'f File, ContentsError> {
    let rewound = file.rewind();
    rewound.map_err(|error| package_error(FormatError::Io(error), package))?;
    Ok(file)
}

fn package_error(error: FormatError, package: &str) -> ContentsError {
    ContentsError::Package { package: package.to_owned(), error }
}

/// What copying a package's own bytes failed with.
fn read_error(error: CopyError, package: &str) -> ContentsError {
    match error {
        CopyError::Read(error) => package_error(FormatError::Io(error), package),
        CopyError::Write(error) => ContentsError::Keep { error },
    }
}

/// What copying a member failed with: the reader of the package knows its own errors again.
fn member_error(error: CopyError) -> VisitorError {
    match error {
        CopyError::Read(error) => error.into(),
        CopyError::Write(error) => ContentsError::Keep { error }.into(),
    }
}

/// Takes the members of a package that the tree has.
struct Members<'u, 'm> {
    unpacking: Unpacking<'u>,
    index: usize,
    plan: PackagePlan<'m>,
}

impl Members<'_, '_> {
    /// Unpacks contents of `size` bytes for all files among the destinations that have them from this package.
    fn copy(
        &mut self,
        destinations: Vec<Destination>,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), CopyError> {
        let Unpacking { tree, unpacked, .. } = &mut self.unpacking;
        let mut files: Vec<(NodeId, Option<Digest>)> = Vec::new();
        for Destination { path, kind, sha256, .. } in destinations {
            let Some(file) = tree.find(&path).filter(|_| matches!(kind, Kind::File { .. })) else {
                continue;
            };
            match tree.node(file).map(|node| (node.kind, node.holder)) {
                Some((Kind::File { size: of_tree }, Holder::Package(by))) if by == self.index => {
                    if of_tree == size {
                        files.push((file, sha256));
                    } else {
                        unpacked.is_wrong(file, format!("it has {size} bytes, expected {of_tree}"));
                    }
                }
                _ => {}
            }
        }
        if files.is_empty() {
            return Ok(());
        }
        let (found, bytes) = unpacked.add(content, size)?;
        let is_right = |expected: &Option<Digest>| {
            bytes == size && expected.is_none_or(|expected| expected == found)
        };
        let (right, wrong): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|(_, expected)| is_right(expected));
        unpacked.keep(right.into_iter().map(|(file, _)| file), size, None);
        for (file, expected) in wrong {
            let what = match expected {
                Some(expected) if bytes == size => format!("expected {expected}, found {found}"),
                _ => format!("it has {bytes} bytes, expected {size}"),
            };
            unpacked.is_wrong(file, what);
        }
        Ok(())
    }
}

impl Visitor for Members<'_, '_> {
    fn visit(&mut self, member: Member, content: &mut dyn Read) -> Result<(), VisitorError> {
        self.unpacking.monitor.check_interrupted().map_err(ContentsError::from)?;
        let destinations = self.plan.next(&member);
        match member.kind {
            Kind::File { size } => self.copy(destinations, size, content).map_err(member_error),
            _ => Ok(()),
        }
    }

    fn bad_member(&mut self, raw: &[u8], reason: &str) {
        if !self.plan.cannot_be_made(raw, reason) {
            return;
        }
        for (path, why) in self.plan.missing(None) {
            if let Some(file) = self.unpacking.tree.find(&path) {
                self.unpacking.unpacked.is_wrong(file, why);
            }
        }
    }
}

/// Files of an archive of version 1 that packages give, by size and digest.
#[derive(Debug, Default)]
pub(super) struct WantedFiles(HashMap<u64, HashMap<Digest, Vec<NodeId>>>);

impl WantedFiles {
    /// Those of a manifest that packages give in the tree.
    pub(super) fn new(files: &[FileV1], tree: &ArchiveTree) -> Self {
        let mut wanted = Self::default();
        for file in files {
            let Some(node) = tree.find(&file.file) else { continue };
            if tree.node(node).is_some_and(|node| node.holder == Holder::SomePackage) {
                let of_size = wanted.0.entry(file.size).or_default();
                of_size.entry(file.sha256).or_default().push(node);
            }
        }
        wanted
    }
}

/// Takes the members of a package of version 1 that have a digest of the manifest.
struct MembersV1<'u> {
    unpacking: Unpacking<'u>,
    wanted: &'u WantedFiles,
}

impl MembersV1<'_> {
    fn copy(&mut self, size: u64, content: &mut dyn Read) -> Result<(), CopyError> {
        let Some(of_size) = self.wanted.0.get(&size) else { return Ok(()) };
        let unpacked = &mut self.unpacking.unpacked;
        let (found, bytes) = unpacked.add(content, size)?;
        let files = of_size.get(&found).filter(|_| bytes == size);
        unpacked.keep(files.into_iter().flatten().copied(), size, None);
        Ok(())
    }
}

impl Visitor for MembersV1<'_> {
    fn visit(&mut self, member: Member, content: &mut dyn Read) -> Result<(), VisitorError> {
        self.unpacking.monitor.check_interrupted().map_err(ContentsError::from)?;
        match member.kind {
            Kind::File { size } => self.copy(size, content).map_err(member_error),
            _ => Ok(()),
        }
    }
}
