//! Hashing the files of a tree, on threads beside the walk.
//!
//! Invariant: the digest, the size and the metadata that come of a file are of one moment; a file that
//! does not hold still is read again, up to [`TRIES`] times.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use rustix::fs::{Mode, OFlags, openat};

use super::contents::{Contents, read_contents};
use super::inspect::inspect_open_file;
use crate::model::Metadata;
use crate::monitor::{Event, Monitor, Step};

/// Bytes read of a file at once.
const BUFFER_BYTES: usize = 128 * 1024;
/// How often a file that changes while it is read is read again.
const TRIES: usize = 3;
/// A file to hash: the entry's index, and where it is.
pub(super) struct Work {
    pub(super) index: usize,
    pub(super) parent: Arc<OwnedFd>,
    pub(super) name: CString,
}

/// What came of it: contents with the metadata of the same moment.
pub(super) struct Hashed {
    pub(super) index: usize,
    pub(super) result: io::Result<(Contents, Metadata)>,
}

/// Hashes files until there are no more, or the monitor asks to stop.
pub(super) fn hash_files(
    work: &Receiver<Work>,
    results: &Sender<Hashed>,
    name: &str,
    monitor: &dyn Monitor,
) {
    // One for all files: making it anew for each would take longer than hashing most of them.
    let mut buffer = vec![0; BUFFER_BYTES];
    for work in work {
        if monitor.interrupted() {
            return;
        }
        let result = hash_file(&work, &mut buffer, name, monitor);
        if results.send(Hashed { index: work.index, result }).is_err() {
            return;
        }
    }
}

fn hash_file(
    work: &Work,
    buffer: &mut [u8],
    name: &str,
    monitor: &dyn Monitor,
) -> io::Result<(Contents, Metadata)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = File::from(openat(&*work.parent, &*work.name, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file any more"));
    }
    let mut progress = |bytes| {
        monitor.event(Event::Advanced { step: Step::Scan, name, bytes, files: 0 });
    };
    let mut tries = 0;
    loop {
        let (metadata, before) = inspect_open_file(&file)?;
        let contents;
        (contents, file) = read_contents(file, buffer, &mut progress)?;
        tries += 1;
        if (contents.steady && contents.stamp == before) || tries == TRIES {
            monitor.event(Event::Advanced { step: Step::Scan, name, bytes: 0, files: 1 });
            return Ok((contents, metadata));
        }
    }
}
