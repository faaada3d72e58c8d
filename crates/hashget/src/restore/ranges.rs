//! Reading a package by ranges: of a large package with a directory (a zip) of which little is wanted, only that is fetched.
//!
//! Invariant: nothing of the package is believed. A file is placed only if it has the digest that the
//! manifest has of it; whatever is not as expected ends this, and the whole package is fetched.

use std::collections::{HashSet, VecDeque};
use std::io::{self, Read, Seek, SeekFrom};

use super::RestoreError;
use super::destinations::{Trouble, Watched};
use super::package::Restoring;
use super::target::Content;
use crate::fetch::{Reach, Wanted, Web};
use crate::formats::{self, FormatError, PartReader, Visitor, VisitorError};
use crate::model::{Kind, Member, RelPath};
use crate::monitor::{Monitor, Running, Step, Total};

/// Smaller packages come whole in less time than single questions take.
const LEAST_BYTES: u64 = 8 << 20;
/// The wanted files have at most this part of the package's bytes ...
const SHARE: u64 = 4;
/// ... and there are at most this many of them, since each may need a request of its own.
const MOST_FILES: usize = 64;

impl Restoring<'_, '_> {
    /// Restores the files that the package gives from ranges of it, if that is worth while and every file
    /// can be proven. False if something is left to be done.
    pub(super) fn restore_by_ranges(&mut self, wanted: &Wanted) -> Result<bool, RestoreError> {
        let run = self.run;
        if !self.are_ranges_enough() || run.source.is_at_hand(wanted, run.monitor) {
            return Ok(false);
        }
        let progress = run.monitor.begin(Step::Read, self.name.clone(), Total::UNKNOWN);
        let outcome = self.read_ranges(&progress);
        drop(progress);
        run.monitor.check_interrupted()?;
        if let Err(FormatError::Visitor(error)) = outcome
            && let Ok(error) = error.downcast::<RestoreError>()
        {
            return Err(*error);
        }
        // Any other error is reported if the whole package has it, too.
        let complete = self.plan.keep_done();
        if complete {
            run.ledger.package_used();
        }
        Ok(complete)
    }

    fn are_ranges_enough(&self) -> bool {
        let Some(files) = self.plan.only_these() else { return false };
        let mut bytes = 0_u64;
        for file in &files {
            let Kind::File { size } = file.kind else { return false };
            let stays = || self.run.target.stays(&file.path, &file.metadata).unwrap_or(true);
            if file.sha256.is_none() || self.run.is_archived(&file.path) || stays() {
                return false;
            }
            bytes = bytes.saturating_add(size);
        }
        self.package.derived.is_empty()
            && !self.is_in_pieces()
            && self.part_reader().is_some()
            && self.package.size >= LEAST_BYTES
            && bytes < self.package.size / SHARE
            && (1..=MOST_FILES).contains(&files.len())
            && self.plan.itself().is_empty()
            && self.plan.inner_packages().is_empty()
    }

    /// Reads the package in parts, if its format can be read so.
    fn part_reader(&self) -> Option<&'static dyn PartReader> {
        formats::by_name(&self.package.format)?.readable_in_parts()
    }

    fn read_ranges(&mut self, progress: &Running<'_>) -> Result<(), FormatError> {
        let Some(reader) = self.part_reader() else { return Ok(()) };
        let (web, monitor) = (self.run.web, self.run.monitor);
        let mut package = Stretches::open(web, &self.package.url, self.package.size, monitor)?;
        let names: HashSet<RelPath> = self.plan.wanted_members().cloned().collect();
        let wanted = |path: &RelPath| names.contains(path);
        let limits = self.run.limits;
        reader.read_members(&mut package, &wanted, limits, &mut ByRanges(self, progress))
    }
}

/// Something is not as the manifest says.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not what is wanted")]
struct UnexpectedPart(RelPath);

/// Places files that have the right digest.
struct ByRanges<'p, 'r, 'm>(&'p mut Restoring<'r, 'm>, &'p Running<'p>);

impl Visitor for ByRanges<'_, '_, '_> {
    fn visit(&mut self, member: Member, content: &mut dyn Read) -> Result<(), VisitorError> {
        let run = self.0.run;
        run.monitor.check_interrupted().map_err(RestoreError::from)?;
        let destinations = self.0.next(&member);
        let surprise = || UnexpectedPart(member.path.clone());
        let (Some(first), Kind::File { size }) = (destinations.first(), member.kind) else {
            return Err(surprise().into());
        };
        let mut content = Watched { content, monitor: run.monitor };
        let staged = run.target.stage(&first.path, size, &mut content).map_err(|_| surprise())?;
        let right = staged.size() == size
            && destinations.iter().all(|one| one.sha256 == Some(staged.sha256()));
        if !right {
            return Err(surprise().into());
        }
        match self.0.place_staged(&destinations, size, Content::Staged(staged)) {
            Ok(()) => {
                self.1.advance(size, 1);
                Ok(())
            }
            Err(Trouble::Restore(error)) => Err(error.into()),
            Err(Trouble::Package(error)) => Err(error.into()),
        }
    }
}

/// Bytes of one request.
const STRETCH: u64 = 256 << 10;
/// Stretches that are kept: the directory's, and those around the member that is read.
const KEPT: usize = 16;

/// A package at a URL, read by ranges. At most half of its bytes are requested.
struct Stretches<'s> {
    web: &'s dyn Web,
    monitor: &'s dyn Monitor,
    url: &'s str,
    size: u64,
    position: u64,
    left: u64,
    kept: VecDeque<(u64, Vec<u8>)>,
}

impl<'s> Stretches<'s> {
    /// Asks for one byte: does the server give parts, and is the package as large as it should be?
    fn open(
        web: &'s dyn Web,
        url: &'s str,
        size: u64,
        monitor: &'s dyn Monitor,
    ) -> io::Result<Self> {
        let (position, left, kept) = (0, size / 2, VecDeque::new());
        let mut package = Self { web, monitor, url, size, position, left, kept };
        package.ask(0, 1)?;
        Ok(package)
    }

    fn ask(&mut self, first: u64, count: u64) -> io::Result<Vec<u8>> {
        let Some(left) = self.left.checked_sub(count) else {
            return Err(io::Error::other("half of the package was not enough"));
        };
        self.left = left;
        let part = self.web.fetch_range(self.url, Reach::Anywhere, first, count, self.monitor);
        let part = part.map_err(io::Error::other)?;
        if !part.alone || part.total != Some(self.size) || part.bytes.len() as u64 != count {
            return Err(io::Error::other("the server does not give the part that was asked for"));
        }
        Ok(part.bytes)
    }
}

impl Read for Stretches<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.size {
            return Ok(0);
        }
        let first = self.position - self.position % STRETCH;
        if !self.kept.iter().any(|(at, _)| *at == first) {
            let bytes = self.ask(first, STRETCH.min(self.size - first))?;
            self.kept.truncate(KEPT - 1);
            self.kept.push_front((first, bytes));
        }
        let stretch = self.kept.iter().find(|(at, _)| *at == first);
        let skipped = usize::try_from(self.position - first).unwrap_or(usize::MAX);
        let bytes = stretch.and_then(|(_, bytes)| bytes.get(skipped..)).unwrap_or_default();
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Stretches<'_> {
    fn seek(&mut self, target: SeekFrom) -> io::Result<u64> {
        let position = match target {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
