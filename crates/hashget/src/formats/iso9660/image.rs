//! The bytes of an image: sectors, the listings of folders, the contents of files.
//!
//! Invariant: nothing is read outside of the image, and of a listing at most one sector is in memory.

use std::io::{self, Read, SeekFrom};

use super::super::{FormatError, RandomAccess};
use super::record::SHORTEST;
use super::{FORMAT, damaged};

/// Bytes of a sector. An entry of a listing does not go on in another one.
pub(super) const SECTOR: usize = 2048;

/// A stretch of an image, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) start: u64,
    pub(super) length: u64,
}

/// An image that is read at any place.
pub(super) struct Image<'i> {
    bytes: &'i mut dyn RandomAccess,
    length: u64,
    /// The sector of a listing that was read last.
    sector: Option<(Stretch, Vec<u8>)>,
}

impl<'i> Image<'i> {
    /// An image whose length is that of `bytes`.
    pub(super) fn new(bytes: &'i mut dyn RandomAccess) -> Result<Self, FormatError> {
        let length = bytes.seek(SeekFrom::End(0)).map_err(reading)?;
        Ok(Self { bytes, length, sector: None })
    }

    /// Its length in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// An error unless all of `stretch` is in the image; `what` says whose it is.
    pub(super) fn check(&self, stretch: Stretch, what: &str) -> Result<(), FormatError> {
        match stretch.start.checked_add(stretch.length) {
            Some(end) if end <= self.length => Ok(()),
            _ => Err(damaged(format!("{what} lies outside of the image, which may be cut off"))),
        }
    }

    /// The bytes of a short `stretch`; `what` says whose they are.
    pub(super) fn read(&mut self, stretch: Stretch, what: &str) -> Result<Vec<u8>, FormatError> {
        self.check(stretch, what)?;
        self.bytes.seek(SeekFrom::Start(stretch.start)).map_err(reading)?;
        let mut bytes = Vec::new();
        (&mut *self.bytes).take(stretch.length).read_to_end(&mut bytes).map_err(reading)?;
        match bytes.len() as u64 == stretch.length {
            true => Ok(bytes),
            false => Err(damaged(format!("{what} ends too early"))),
        }
    }

    /// The next entry of a listing, as it is stored; `None` at its end.
    pub(super) fn next_entry(&mut self, at: &mut Listing) -> Result<Option<Vec<u8>>, FormatError> {
        const WHAT: &str = "the listing of a folder";
        let sector_bytes = SECTOR as u64;
        while at.position < at.stretch.length {
            let within = at.position % sector_bytes;
            let start = at.stretch.start + (at.position - within);
            let length = sector_bytes.min(at.stretch.length - (at.position - within));
            let stretch = Stretch { start, length };
            if self.sector.as_ref().is_none_or(|(kept, _)| *kept != stretch) {
                let bytes = self.read(stretch, WHAT)?;
                self.sector = Some((stretch, bytes));
            }
            let sector = self.sector.as_ref().map_or(&[][..], |(_, bytes)| bytes);
            let rest = usize::try_from(within).ok().and_then(|within| sector.get(within..));
            let rest = rest.unwrap_or_default();
            let length = rest.first().copied().map_or(0, usize::from);
            if length == 0 {
                at.position += sector_bytes - within;
                continue;
            }
            let Some(entry) = rest.get(..length).filter(|entry| entry.len() >= SHORTEST) else {
                return Err(damaged(format!("{WHAT} has an entry of an impossible length")));
            };
            at.position += length as u64;
            return Ok(Some(entry.to_vec()));
        }
        Ok(None)
    }

    /// The contents of a file of these stretches, which are in the image.
    pub(super) fn contents<'c>(&'c mut self, stretches: &'c [Stretch]) -> impl Read + 'c {
        Contents { bytes: self.bytes, stretches: stretches.iter(), left: 0 }
    }
}

/// Where the listing of a folder lies, and how much of it has been read.
#[derive(Debug, Clone)]
pub(super) struct Listing {
    stretch: Stretch,
    position: u64,
}

impl Listing {
    /// At the first entry.
    pub(super) fn new(stretch: Stretch) -> Self {
        Self { stretch, position: 0 }
    }
}

struct Contents<'c> {
    bytes: &'c mut dyn RandomAccess,
    stretches: std::slice::Iter<'c, Stretch>,
    /// What is left of the stretch that is read.
    left: u64,
}

impl Read for Contents<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 && !buffer.is_empty() {
            let Some(stretch) = self.stretches.next() else { return Ok(0) };
            self.bytes.seek(SeekFrom::Start(stretch.start))?;
            self.left = stretch.length;
        }
        let length = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = self.bytes.read(&mut buffer[..length])?;
        if count == 0 && length > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the image ends too early"));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

fn reading(error: io::Error) -> FormatError {
    FormatError::reading(FORMAT, error)
}
