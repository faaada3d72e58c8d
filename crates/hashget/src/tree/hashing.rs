//! Hashing the files of a tree.
//!
//! Invariant: digest, size and metadata of a file belong to the same moment. A file that changes while it is
//! read is read again, up to [`TRIES`] times.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags, openat};

use super::contents::{ContentsReader, Held, read_contents};
use super::inspect::inspect_open;
use crate::model::{Digest, Metadata};
use crate::monitor::Running;

/// Bytes read at once.
const BUFFER_BYTES: usize = 128 * 1024;
/// How often a changing file is read.
const TRIES: usize = 3;

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

    /// The digest of the file `name` in an open folder, and its state and metadata at that moment.
    pub(super) fn hash(
        &mut self,
        parent: impl AsFd,
        name: &[u8],
    ) -> io::Result<(Digest, Held, Metadata)> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file = File::from(openat(parent, name, flags, Mode::empty())?);
        let mut tries = 0;
        loop {
            let (metadata, stamp, allocated) = inspect_open(&file)?;
            let reader = ContentsReader::with_stamp(file, stamp, allocated)?;
            let mut buffer = std::mem::take(&mut self.buffer);
            let read =
                read_contents(reader, &mut buffer, &mut |bytes| self.progress.advance(bytes, 0));
            self.buffer = buffer;
            let (sha256, held);
            (sha256, held, file) = read?;
            tries += 1;
            if held.steady || tries == TRIES {
                self.progress.advance(0, 1);
                return Ok((sha256, held, metadata));
            }
        }
    }
}
