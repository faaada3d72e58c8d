//! The head of an archive: its first bytes, which hold the manifest. A second copy of them makes a damaged one readable.
//!
//! Invariant: an archive whose own head can be read is read as it is, whatever a copy says.

use std::io::{self, Read};

use super::directory::Directory;
use super::read_manifest;
use super::reading::Failing;
use crate::limits::Limits;
use crate::monitor::Silent;
use crate::storage::{ArchiveSource, FromStart, RandomRead, SharedSource, StreamSource};

/// The longest head of which a copy is kept, in bytes: that of a tree with about a million files of one's own.
pub const MOST_HEAD_BYTES: u64 = 4 << 20;

/// The head of an archive: its bytes before the first entry of the tree, as they lie there. `None` if it has no frames, cannot be read
/// at random, or has a longer head than [`MOST_HEAD_BYTES`].
///
/// # Errors
/// It cannot be read.
pub fn head_of(archive: &dyn ArchiveSource, limits: &Limits) -> io::Result<Option<Vec<u8>>> {
    let end = Directory::open(archive, limits).and_then(|directory| directory.end_of_head());
    let end = end.filter(|end| *end <= MOST_HEAD_BYTES).and_then(|end| usize::try_from(end).ok());
    let (Some(end), Some(random)) = (end, archive.random()) else { return Ok(None) };
    let mut head = vec![0; end];
    let count = random.read_at(&mut head, 0)?;
    Ok((count == end).then_some(head))
}

/// Is the head of an archive damaged, of which `copy` is a copy? What cannot be read at random is taken for whole.
///
/// # Errors
/// The disk or the network failed: that alone says nothing about the archive.
pub fn is_head_damaged(
    archive: &dyn ArchiveSource,
    copy: &[u8],
    limits: &Limits,
) -> io::Result<bool> {
    let (Some(random), Some(from_start)) = (archive.random(), FromStart::of(archive)) else {
        return Ok(false);
    };
    let mut own = vec![0; copy.len()];
    let count = random.read_at(&mut own, 0)?;
    if own[..count] == *copy {
        return Ok(false);
    }
    // Other bytes that can be read are another archive.
    let mut watched = Failing::new(from_start);
    let read = read_manifest(&mut StreamSource::new(&mut watched), "", limits, &Silent);
    match (read, watched.failure) {
        (Ok(_), _) => Ok(false),
        (Err(_), Some(failure)) => Err(failure),
        (Err(_), None) => Ok(true),
    }
}

/// An archive that can be read at random, with the head that it had.
pub struct WithHead<'s> {
    head: Vec<u8>,
    archive: Box<dyn SharedSource + 's>,
    position: u64,
}

impl<'s> WithHead<'s> {
    /// The archive, with this copy of its head.
    pub fn new(archive: Box<dyn SharedSource + 's>, head: Vec<u8>) -> Self {
        Self { head, archive, position: 0 }
    }
}

impl RandomRead for WithHead<'_> {
    fn read_at(&self, buffer: &mut [u8], first: u64) -> io::Result<usize> {
        let start = usize::try_from(first).unwrap_or(usize::MAX).min(self.head.len());
        let of_head = (self.head.len() - start).min(buffer.len());
        let (before, behind) = buffer.split_at_mut(of_head);
        before.copy_from_slice(&self.head[start..start + of_head]);
        let random = self.archive.random().filter(|_| !behind.is_empty());
        let next = first.saturating_add(of_head as u64);
        let count = random.map_or(Ok(0), |random| random.read_at(behind, next))?;
        Ok(of_head + count)
    }
}

impl Read for WithHead<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.read_at(buffer, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl ArchiveSource for WithHead<'_> {
    fn size(&self) -> Option<u64> {
        self.archive.size()
    }

    fn random(&self) -> Option<&dyn RandomRead> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Bytes that can be read so many times.
    struct Breaking {
        bytes: Vec<u8>,
        left: AtomicU32,
    }

    impl RandomRead for Breaking {
        fn read_at(&self, buffer: &mut [u8], first: u64) -> io::Result<usize> {
            let once = |left: u32| left.checked_sub(1);
            if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, once).is_err() {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            let rest = self.bytes.get(usize::try_from(first).unwrap()..).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        }
    }

    impl Read for Breaking {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            unreachable!("it is read at random")
        }
    }

    impl ArchiveSource for Breaking {
        fn size(&self) -> Option<u64> {
            Some(self.bytes.len() as u64)
        }

        fn random(&self) -> Option<&dyn RandomRead> {
            Some(self)
        }
    }

    #[test]
    fn what_a_network_does_not_give_is_no_damage() {
        let is_damaged = |left: u32| {
            let archive = Breaking { bytes: b"nothing of the kind".repeat(100), left: left.into() };
            is_head_damaged(&archive, b"the head that it had", &Limits::default())
        };
        let mut failed = 0;
        while let Err(error) = is_damaged(failed) {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            failed += 1;
        }
        // Also after the head itself could be read.
        assert!(failed > 1, "{failed}");
        assert!(is_damaged(failed).unwrap());
    }
}
