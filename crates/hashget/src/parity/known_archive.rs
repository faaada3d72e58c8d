//! Healing by what is known of an archive: a copy of its first bytes, and what all of it was.
//!
//! Invariant: what is healed has the SHA-256 of the archive. A copy helps parity, and without parity heals what it is a copy of.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use hashget_parity::ReadAt;

use super::replacing::{expect_place, replace};
use super::{RepairError, Repaired, Repairer};
use crate::archive::WithHead;
use crate::model::{Digest, HashingReader, escaped};
use crate::monitor::{Monitor, Step, Total};
use crate::pending_file::{PendingFile, behind_links};

/// Bytes that are copied at a time.
const PIECE: usize = 256 << 10;

/// What is known of an archive besides its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownArchive {
    /// Its first bytes; none if there is no copy of them.
    pub head: Vec<u8>,
    /// The number of all its bytes.
    pub bytes: u64,
    /// Their digest.
    pub sha256: Digest,
}

impl KnownArchive {
    /// Is this the archive?
    pub(super) fn is(&self, file: &File) -> io::Result<bool> {
        let mut file = file.try_clone()?;
        file.rewind()?;
        Ok(Digest::of_reader(file)? == self.sha256)
    }
}

/// A file, read with other first bytes.
pub(super) struct Overlaid {
    pub(super) file: File,
    pub(super) head: Vec<u8>,
}

impl ReadAt for Overlaid {
    fn read_at(&self, buffer: &mut [u8], first: u64) -> io::Result<usize> {
        let of_head = ReadAt::read_at(&*self.head, buffer, first)?;
        let next = first.saturating_add(of_head as u64);
        Ok(of_head + ReadAt::read_at(&self.file, &mut buffer[of_head..], next)?)
    }
}

impl Repairer<'_> {
    /// Heals an archive without parity, if nothing but its head is damaged.
    ///
    /// # Errors
    /// It could not be healed, and is as it was before.
    pub(super) fn heal_head(
        &self,
        path: &Path,
        output: Option<&Path>,
        known: &KnownArchive,
        monitor: &dyn Monitor,
    ) -> Result<Repaired, RepairError> {
        expect_place(path, output)?;
        let to = output.map_or_else(|| path.to_owned(), behind_links);
        let write = |error| RepairError::Write { path: to.clone(), error };
        let read = |error| RepairError::Read { path: path.to_owned(), error };
        let file = File::open(path).map_err(read)?;
        let name = escaped(path.as_os_str().as_bytes());
        let total = Total::bytes(known.bytes.saturating_mul(2));
        let progress = monitor.begin(Step::Write, name, total);
        // Room is taken only for what is the archive.
        let pass = |to: &mut dyn Write| {
            let file = file.try_clone().map_err(read)?;
            let content = WithHead::new(Box::new(file), known.head.clone()).take(known.bytes);
            let mut content = HashingReader::new(content);
            let mut buffer = vec![0; PIECE];
            loop {
                monitor.check_interrupted()?;
                let count = content.read(&mut buffer).map_err(read)?;
                if count == 0 {
                    break;
                }
                to.write_all(&buffer[..count]).map_err(write)?;
                progress.advance(count as u64, 0);
            }
            if content.finish() != (known.sha256, known.bytes) {
                return Err(RepairError::OnlyHead { path: path.to_owned() });
            }
            Ok(())
        };
        pass(&mut io::sink())?;
        let mut pending = PendingFile::create(&to, 0o600).map_err(write)?;
        pass(&mut pending)?;
        let mut repaired = Repaired { head_was_damaged: true, ..Repaired::default() };
        match output {
            Some(output) => {
                pending.commit_as(&to, path).map_err(write)?;
                repaired.healed = Some(output.to_owned());
            }
            None => {
                repaired.kept = Some(replace(path, pending)?);
                repaired.healed = Some(path.to_owned());
            }
        }
        Ok(repaired)
    }

    /// Is the head of the archive another one than the copy that is known?
    pub(super) fn has_other_head(&self, path: &Path, known: &KnownArchive) -> bool {
        let mut own = vec![0; known.head.len()];
        let read = File::open(path).and_then(|file| ReadAt::read_at(&file, &mut own, 0));
        !read.is_ok_and(|count| own[..count] == *known.head)
    }
}
