//! Where single files come from if their package cannot be had.
//!
//! Invariant: a file source only offers. Whoever takes a file digests it on its way, so that wrong bytes cost that offer and
//! nothing else.

use std::fs::File;
use std::sync::Arc;

use crate::model::Digest;
use crate::monitor::{Interrupted, Monitor};

/// A file that is wanted: its digest, and its size in bytes.
pub type WantedFile = (Digest, u64);

/// Supplies single files by their digests, when their package cannot be had.
pub trait FileSource: Send + Sync {
    /// The file with this digest and size in bytes, open at its start; `None` if it is not to be had here. Problems are
    /// reported to `monitor`.
    ///
    /// # Errors
    /// The monitor asked to stop.
    fn file(
        &self,
        sha256: Digest,
        size: u64,
        monitor: &dyn Monitor,
    ) -> Result<Option<File>, Interrupted>;

    /// These files of the lost package with this digest will be asked for next. A source that gets many at once for less
    /// than it gets each gets them now.
    ///
    /// # Errors
    /// The monitor asked to stop.
    fn gather(
        &self,
        package: Digest,
        files: &[WantedFile],
        monitor: &dyn Monitor,
    ) -> Result<(), Interrupted> {
        let _ = (package, files, monitor);
        Ok(())
    }
}

impl<F: FileSource + ?Sized> FileSource for Arc<F> {
    fn file(
        &self,
        sha256: Digest,
        size: u64,
        monitor: &dyn Monitor,
    ) -> Result<Option<File>, Interrupted> {
        (**self).file(sha256, size, monitor)
    }

    fn gather(
        &self,
        package: Digest,
        files: &[WantedFile],
        monitor: &dyn Monitor,
    ) -> Result<(), Interrupted> {
        (**self).gather(package, files, monitor)
    }
}

/// Several file sources, asked in order. What an earlier one has is not gathered from a later one.
pub struct FileSources<'s>(pub Vec<Box<dyn FileSource + 's>>);

impl FileSource for FileSources<'_> {
    fn file(
        &self,
        sha256: Digest,
        size: u64,
        monitor: &dyn Monitor,
    ) -> Result<Option<File>, Interrupted> {
        for source in &self.0 {
            if let Some(file) = source.file(sha256, size, monitor)? {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    fn gather(
        &self,
        package: Digest,
        files: &[WantedFile],
        monitor: &dyn Monitor,
    ) -> Result<(), Interrupted> {
        let mut left = files.to_vec();
        for (index, source) in self.0.iter().enumerate() {
            if left.is_empty() {
                break;
            }
            source.gather(package, &left, monitor)?;
            if index + 1 == self.0.len() {
                break;
            }
            let mut still = Vec::new();
            for (sha256, size) in left {
                if source.file(sha256, size, monitor)?.is_none() {
                    still.push((sha256, size));
                }
            }
            left = still;
        }
        Ok(())
    }
}
