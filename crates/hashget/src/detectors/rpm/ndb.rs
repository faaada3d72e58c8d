//! ndb, the database format of openSUSE's rpm: a list of slots that point to the headers.
//!
//! Invariant: a header is returned only if it lies within the file, has a valid start and end, and belongs to
//! the package in its slot.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::database::{MAX_HEADER, MOST_PACKAGES};

// As described in rpm's lib/backend/ndb/rpmpkg.c; all numbers are little-endian.
const MAGIC: &[u8] = b"RpmP";
const PAGE: usize = 4096;
const PAGE_BYTES: u64 = PAGE as u64;
const SLOT_MAGIC: &[u8] = b"Slot";
const SLOT: usize = 16;
/// The first slot follows the file header.
const FIRST_SLOT: usize = 32;
/// The unit of positions and lengths in slots.
const BLOCK: u64 = 16;
const BLOB_MAGIC: &[u8] = b"BlbS";
const BLOB_HEAD: usize = 16;
const BLOB_END: &[u8] = b"BlbE";
const BLOB_TAIL: usize = 12;
/// Size of head and tail together.
const BLOB_ENDS: u64 = (BLOB_HEAD + BLOB_TAIL) as u64;

/// An open database.
pub(super) struct Ndb {
    file: File,
    /// Position and size of the space for each package's header.
    slots: BTreeMap<i64, (u64, u64)>,
}

impl Ndb {
    /// Does a database file begin like this?
    pub(super) fn recognises(head: &[u8]) -> bool {
        head.starts_with(MAGIC)
    }

    /// Reads the slots.
    pub(super) fn open(file: File) -> Result<Self, String> {
        let size = file.metadata().map_err(|error| error.to_string())?.len();
        let cut_off = |_| "its list of packages is cut off".to_owned();
        let mut head = [0; FIRST_SLOT];
        file.read_exact_at(&mut head, 0).map_err(cut_off)?;
        let version = number(&head, 4);
        if version != 0 {
            return Err(format!("it is an ndb of version {version}: expected 0"));
        }
        let pages = number(&head, 12);
        let most = u64::from(MOST_PACKAGES) * SLOT as u64 / PAGE_BYTES;
        if pages > most {
            return Err(format!("it has {pages} pages of packages: expected at most {most}"));
        }
        let mut page = [0; PAGE];
        let mut slots = BTreeMap::new();
        for place in 0..pages {
            file.read_exact_at(&mut page, place * PAGE_BYTES).map_err(cut_off)?;
            let first = if place == 0 { FIRST_SLOT } else { 0 };
            for slot in page[first..].chunks_exact(SLOT) {
                if !slot.starts_with(SLOT_MAGIC) {
                    return Err("its list of packages is damaged".to_owned());
                }
                let (key, start, count) = (word(slot, 4), number(slot, 8), number(slot, 12));
                // An unused slot.
                if start == 0 {
                    continue;
                }
                let (start, count) = (start * BLOCK, count * BLOCK);
                if start < pages * PAGE_BYTES || start + count > size {
                    return Err(format!("package {key} is not within it"));
                }
                slots.insert(i64::from(key), (start, count));
            }
        }
        Ok(Self { file, slots })
    }

    /// The keys of all headers.
    pub(super) fn keys(&self) -> Vec<i64> {
        self.slots.keys().copied().collect()
    }

    /// The header of a package.
    pub(super) fn header(&self, key: i64) -> Result<Vec<u8>, String> {
        let damaged = || "its header is damaged".to_owned();
        let &(start, count) = self.slots.get(&key).ok_or("there is no such package")?;
        let mut head = [0; BLOB_HEAD];
        self.file.read_exact_at(&mut head, start).map_err(|error| error.to_string())?;
        let length = number(&head, 12);
        if !head.starts_with(BLOB_MAGIC) || i64::from(word(&head, 4)) != key {
            return Err(damaged());
        }
        if length > u64::from(MAX_HEADER) || BLOB_ENDS + length > count {
            return Err(format!("its header has {length} bytes, which is too much"));
        }
        let mut header = vec![0; usize::try_from(length).map_err(|_| damaged())?];
        let read = self.file.read_exact_at(&mut header, start + BLOB_HEAD as u64);
        read.map_err(|error| error.to_string())?;
        // The tail is at the end of the last block: checksum, length, mark.
        let mut tail = [0; BLOB_TAIL];
        let read = self.file.read_exact_at(&mut tail, start + count - BLOB_TAIL as u64);
        read.map_err(|error| error.to_string())?;
        if number(&tail, 4) != length || !tail.ends_with(BLOB_END) {
            return Err(damaged());
        }
        Ok(header)
    }
}

/// Four bytes as a little-endian number.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte))
}

/// The same, as a position in a file.
fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at))
}
