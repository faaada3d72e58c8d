//! Writing the rest of a file that is made of pieces, in the place of the file.
//!
//! Invariant: the manifest keeps the pieces of a file only if all of its data, read while its rest was written, has the digest of the
//! scan. Otherwise the file is archived as it is, behind the rest that nobody needs.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};

use super::PackError;
use super::open_file::{Listeners, store_data};
use super::pieces::encoded::decoded_again;
use super::tar_writer::{TarOutput, TarWriter};
use super::write::Writer;
use crate::model::manifest::{data_bytes, rest_path};
use crate::model::{Entry, Extent, HashingReader, Kind, Metadata};
use crate::tree::{InspectedFile, are_holes_empty, data_of, digest_of_data, inspect_open_file};

impl Writer<'_> {
    /// Writes the rest of a file that is made of pieces. False if it is no such file, or has changed: then it is to be archived.
    pub(super) fn put_rest<W: TarOutput>(
        &mut self,
        tar: &mut TarWriter<W>,
        index: usize,
    ) -> Result<bool, PackError> {
        let scanned = self.scan.entries[index].clone();
        let Some(pieces) = &self.plan.pieces else { return Ok(false) };
        let Some(file) = pieces.file(&scanned.path) else { return Ok(false) };
        let Kind::File { size } = scanned.kind else { return Ok(false) };
        let encoded = pieces.encoding(file.index).cloned();
        let assembled =
            encoded.as_ref().map_or_else(|| scanned.clone(), |one| one.decoded(&scanned));
        let runs = file.runs.clone().map(|run| (pieces.run(run).gap, pieces.run(run).length));
        let (runs, run_bytes): (VecDeque<_>, _) = (runs.collect(), pieces.run_bytes(&file));
        let name = rest_path(file.rest);
        let Some((file, inspected)) = self.as_scanned_still(&scanned, size) else {
            return Ok(self.is_no_rest(index));
        };
        let stamp = inspected.stamp;
        let mut metadata = inspected.metadata;
        super::attributes::drop_too_large(super::attributes::names_of(&scanned), &mut metadata);
        let rest = Entry {
            path: scanned.path.clone(),
            kind: Kind::File { size: data_bytes(&assembled) - run_bytes },
            metadata: Metadata { mode: 0o600, ..Metadata::default() },
            sha256: None,
            extents: None,
        };
        let listeners = Listeners(self.progress, self.monitor);
        let data = match &encoded {
            None => data_of(&file, scanned.extents.as_deref()),
            Some(encoded) => match decoded_again(&file, encoded) {
                Ok(decoded) => decoded,
                Err(_) => return Ok(self.is_no_rest(index)),
            },
        };
        let mut reader = RestReader::new(data, runs);
        let (_, error) = store_data(tar, name.as_bytes(), &rest, &mut reader, listeners)?;
        let found = reader.finish().ok().map(|data| data.finish().0);
        let is_steady = inspect_open_file(&file).is_ok_and(|now| now.stamp == stamp);
        // The decoded form may be that of another file.
        let is_same = encoded.is_none() || digest_of_data(&file, None).ok() == scanned.sha256;
        if found != assembled.sha256 || error.is_some() || !is_steady || !is_same {
            return Ok(self.is_no_rest(index));
        }
        self.part_names(index, Some(&stamp));
        self.progress.advance(0, 1);
        let now = Entry { metadata, ..scanned.clone() };
        if now != scanned {
            self.scan.entries.replace(index, now);
            self.outdated = true;
        }
        Ok(true)
    }

    /// A file that is made of pieces, if it has the size that it had, and its holes are empty still.
    fn as_scanned_still(&self, scanned: &Entry, size: u64) -> Option<(File, InspectedFile)> {
        let file = self.scan.root.open_file(&scanned.path).ok()?;
        let inspected = inspect_open_file(&file).ok()?;
        let is_empty = |extents: &[Extent]| are_holes_empty(&file, extents, size).unwrap_or(false);
        let is_same =
            inspected.stamp.size == size && scanned.extents.as_deref().is_none_or(is_empty);
        is_same.then_some((file, inspected))
    }

    /// The file has changed: it is no more made of pieces.
    fn is_no_rest(&mut self, index: usize) -> bool {
        let path = self.scan.entries[index].path.clone();
        self.plan.forget_pieces(&path);
        self.outdated = true;
        false
    }
}

/// Gives what is in no run, and digests everything.
pub(super) struct RestReader<R> {
    data: HashingReader<R>,
    /// For each run that has not passed, the bytes before it, and its own.
    runs: VecDeque<(u64, u64)>,
}

impl<R: Read> RestReader<R> {
    pub(super) fn new(data: R, runs: VecDeque<(u64, u64)>) -> Self {
        Self { data: HashingReader::new(data), runs }
    }

    /// Reads what is left; what has digested all data.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn finish(mut self) -> io::Result<HashingReader<R>> {
        io::copy(&mut self.data, &mut io::sink())?;
        Ok(self.data)
    }
}

impl<R: Read> Read for RestReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some((0, length)) = self.runs.front().copied() {
            io::copy(&mut (&mut self.data).take(length), &mut io::sink())?;
            self.runs.pop_front();
        }
        let most = self.runs.front().map_or(u64::MAX, |(gap, _)| *gap);
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.data.read(&mut buffer[..most])?;
        if let Some((gap, _)) = self.runs.front_mut() {
            *gap -= count as u64;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

    #[test]
    fn what_is_in_no_run_is_given_and_all_is_digested() {
        let data = b"abcdefghij";
        for (runs, rest) in [
            (vec![], "abcdefghij"),
            (vec![(0, 10)], ""),
            (vec![(0, 2), (0, 1), (3, 1)], "defhij"),
            (vec![(1, 2), (4, 3)], "adefg"),
        ] {
            let mut reader = RestReader::new(&data[..], runs.into());
            let mut found = String::new();
            reader.read_to_string(&mut found).unwrap();
            assert_eq!(found, rest);
            assert_eq!(reader.finish().unwrap().finish(), (Digest::of(data), 10));
        }
    }
}
