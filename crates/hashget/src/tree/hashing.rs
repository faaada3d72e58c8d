//! Hashing the files of a tree.
//!
//! Invariant: digest, size and metadata of a file belong to the same moment. A file that changes while it is
//! read is read again, up to [`TRIES`] times.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags, openat};

use super::contents::{ContentsReader, Held, read_contents};
use super::inspect::{InspectedFile, inspect_open_file};
use super::open::without_lease;
use crate::model::{Digest, Metadata};
use crate::monitor::Running;

/// Bytes read at once.
const BUFFER_BYTES: usize = 128 * 1024;
/// How often a changing file is read.
const TRIES: usize = 3;

/// A file that was hashed.
pub(super) struct Hashed {
    pub(super) sha256: Digest,
    /// Its state while it was read.
    pub(super) held: Held,
    /// Its metadata at the same moment.
    pub(super) metadata: Metadata,
    /// Why not all of its attributes are known, if they are not.
    pub(super) problem: Option<String>,
}

/// Hashes files, one after the other.
pub(super) struct FileHasher<'a> {
    /// Used for all files: allocating one for each would take longer than hashing most of them.
    buffer: Vec<u8>,
    progress: &'a Running<'a>,
}

impl<'a> FileHasher<'a> {
    pub(super) fn new(progress: &'a Running<'a>) -> Self {
        Self { buffer: vec![0; BUFFER_BYTES], progress }
    }

    /// Hashes the file `name` in an open folder.
    pub(super) fn hash(&mut self, parent: impl AsFd, name: &[u8]) -> io::Result<Hashed> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let open = || openat(&parent, name, flags, Mode::empty());
        let mut file = File::from(without_lease(open)?);
        let (mut tries, mut to_end) = (0, false);
        loop {
            let InspectedFile { metadata, problem, stamp, allocated } = inspect_open_file(&file)?;
            let reader = if to_end {
                ContentsReader::to_end(file, stamp)
            } else {
                ContentsReader::with_stamp(file, stamp, allocated)?
            };
            let mut buffer = std::mem::take(&mut self.buffer);
            let read =
                read_contents(reader, &mut buffer, &mut |bytes| self.progress.advance(bytes, 0));
            self.buffer = buffer;
            let (sha256, held);
            (sha256, held, file) = read?;
            tries += 1;
            if held.steady || tries == TRIES {
                self.progress.advance(0, 1);
                return Ok(Hashed { sha256, held, metadata, problem });
            }
            to_end = held.size_is_wrong;
        }
    }
}
