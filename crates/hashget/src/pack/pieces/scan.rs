//! Which byte ranges of a file are byte ranges of known members.
//!
//! Invariant: every byte of a run is in a block, or behind the last block of a member, whose digest was computed here and is the
//! member's: what a run says was carried out.

use std::io::{self, Read};

use super::table::{Place, Table};
use crate::hashdb::BLOCK_BYTES;
use crate::model::Digest;

/// In a file, members begin at multiples of this: the blocks of a tar. File systems and images have larger ones.
const STEP: u64 = 512;
/// In a cpio archive, at multiples of this.
const CPIO_STEP: u64 = 4;
/// After so many bytes of a cpio archive without a known block, blocks are looked for as everywhere.
const CPIO_PATIENCE: u64 = 64 << 20;
/// A file has no more runs.
const MOST_RUNS: usize = 1 << 22;
/// Bytes that are read at once.
const WINDOW: usize = 1 << 20;

/// Bytes of a file that are bytes of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// Where they begin in the file's data.
    pub(super) at: u64,
    pub(super) length: u64,
    /// The number of the member in the table.
    pub(super) member: u32,
    /// Where they begin in the member.
    pub(super) offset: u64,
}

/// The runs of a file whose data is read from `data`, in order. After `patience` bytes without any, it is given up.
///
/// # Errors
/// It cannot be read.
pub(super) fn scan(data: &mut dyn Read, table: &Table, patience: u64) -> io::Result<Vec<Found>> {
    let mut window = Window { data, bytes: Vec::new(), start: 0, is_at_end: false };
    let mut runs = Vec::new();
    let is_cpio = is_cpio(window.get(0, 6)?.unwrap_or_default());
    let mut at = 0;
    while let Some(block) = window.get(at, BLOCK_BYTES)? {
        let behind = runs.last().map_or(0, |run: &Found| run.at + run.length);
        let is_patient = at - behind < CPIO_PATIENCE;
        let step = if is_cpio && is_patient { CPIO_STEP } else { STEP };
        let places = table.places(block);
        if places.is_empty() {
            if runs.is_empty() && at > patience {
                break;
            }
            at += step;
            continue;
        }
        let run = follow(&mut window, table, at, places)?;
        at = (run.at + run.length).next_multiple_of(step);
        runs.push(run);
        if runs.len() == MOST_RUNS {
            break;
        }
    }
    Ok(runs)
}

fn is_cpio(beginning: &[u8]) -> bool {
    matches!(beginning, b"070701" | b"070702")
}

/// The longest run that begins at `at`, where the block of each of `places` lies.
fn follow(
    window: &mut Window<'_>,
    table: &Table,
    at: u64,
    mut places: Vec<Place>,
) -> io::Result<Found> {
    let mut length = BLOCK_BYTES as u64;
    let mut blocks = 1_u32;
    while let Some(block) = window.get(at + length, BLOCK_BYTES)? {
        // Most blocks behind a run belong to nothing: their digests are not computed in vain.
        if places.iter().all(|place| table.following(*place).is_none()) {
            break;
        }
        let sha256 = Digest::of(block);
        let going_on: Vec<Place> = places
            .iter()
            .filter_map(|place| table.following(*place))
            .filter(|(_, digest)| **digest == sha256)
            .map(|(next, _)| next)
            .collect();
        if going_on.is_empty() {
            break;
        }
        places = going_on;
        length += BLOCK_BYTES as u64;
        blocks += 1;
    }
    // Of members that are alike, one of a package that is relied on anyway comes last.
    let mut chosen = *places.last().expect("a run has at least one place");
    for place in places.iter().rev() {
        let Some((bytes, digest)) = table.tail(*place) else { continue };
        let tail = window.get(at + length, bytes)?;
        if tail.is_some_and(|tail| Digest::of(tail) == *digest) {
            chosen = *place;
            length += bytes as u64;
            break;
        }
    }
    let offset = u64::from(chosen.block + 1 - blocks) * BLOCK_BYTES as u64;
    Ok(Found { at, length, member: chosen.member, offset })
}

/// The data of a file, of which a part is in memory.
struct Window<'d> {
    data: &'d mut dyn Read,
    bytes: Vec<u8>,
    /// Where `bytes` begin in the data.
    start: u64,
    is_at_end: bool,
}

impl Window<'_> {
    /// `count` bytes from a position on, which is not before any that was asked for by [`scan`]; `None` if there are not so many.
    fn get(&mut self, at: u64, count: usize) -> io::Result<Option<&[u8]>> {
        let skipped = usize::try_from(at - self.start).map_err(io::Error::other)?;
        if skipped + count > self.bytes.len() && !self.is_at_end {
            let beyond = skipped.saturating_sub(self.bytes.len()) as u64;
            self.bytes.drain(..skipped.min(self.bytes.len()));
            io::copy(&mut (&mut *self.data).take(beyond), &mut io::sink())?;
            self.start += skipped as u64;
            while self.bytes.len() < count.max(WINDOW) && !self.is_at_end {
                let before = self.bytes.len();
                let mut more = (&mut *self.data).take((WINDOW + count - before) as u64);
                self.is_at_end = more.read_to_end(&mut self.bytes)? == 0;
            }
        }
        let first = usize::try_from(at - self.start).map_err(io::Error::other)?;
        Ok(self.bytes.get(first..first + count))
    }
}
