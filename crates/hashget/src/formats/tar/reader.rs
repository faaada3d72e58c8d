//! The tar layer: entries as stored in a tar archive, in every variant in use.
//!
//! Invariant: names are raw, contents are expanded. Headers with a wrong checksum, sparse maps that do not
//! fit and archives that end within an entry are errors; nothing is guessed.

use std::io::{self, Read};

use super::entry::{Contents, RawKind, TarEntry};
use super::header::{BLOCK, Header};
use super::pax::{self, Pax};
use crate::codec::BytesAfterEnd;
use crate::formats::FormatError;
use crate::limits::Limits;
use crate::model::{Extent, MemberMetadata, Timestamp, escaped};

pub(super) const FORMAT: &str = "tar";

/// Reads an uncompressed tar archive, once, from its start.
pub struct TarReader<R> {
    pub(super) reader: R,
    pub(super) limits: Limits,
    /// Number of bytes read so far, for messages.
    pub(super) offset: u64,
    /// Unread bytes of the current entry's stored contents, and of the padding after them.
    pub(super) stored_left: u64,
    padding: u64,
    globals: Pax,
    entries: u64,
    unpacked: u64,
    ended: bool,
    /// Are bytes that follow the end of the compressed data no error?
    lenient: bool,
    /// Were there such?
    bytes_follow: bool,
    /// Does a single block of zeros end the archive, whatever follows it?
    ends_at_zeros: bool,
    /// Was there something?
    more_follows: bool,
}

/// The values from the headers before an entry's own header.
#[derive(Default)]
struct Extended {
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    pax: Pax,
    /// Total size of these headers; 0 if there were none.
    bytes: u64,
}

impl<R: Read> TarReader<R> {
    /// Reads the archive in `reader`.
    pub fn new(reader: R, limits: &Limits) -> Self {
        Self {
            reader,
            limits: limits.clone(),
            offset: 0,
            stored_left: 0,
            padding: 0,
            globals: Pax::default(),
            entries: 0,
            unpacked: 0,
            ended: false,
            lenient: false,
            bytes_follow: false,
            ends_at_zeros: false,
            more_follows: false,
        }
    }

    /// The same reader, for which a single block of zeros ends the archive, as for other programs. (Of one's own archives it
    /// is damage: a sector that was lost.)
    pub(super) fn ending_at_zeros(self) -> Self {
        Self { ends_at_zeros: true, ..self }
    }

    /// After the last entry: does something follow the single block of zeros that ends the archive?
    pub(super) fn more_follows(&self) -> bool {
        self.more_follows
    }

    /// The same reader, for which bytes that follow the end of the compressed data are no error: on a tape or a device lies
    /// what was there before.
    pub(crate) fn lenient(self) -> Self {
        Self { lenient: true, ..self }
    }

    /// After the last entry: do other bytes follow the end of the compressed data? They are not of the archive.
    pub(crate) fn bytes_follow(&self) -> bool {
        self.bytes_follow
    }

    /// The next entry; `None` after the last one, when the rest of `reader` has been read, too (which proves
    /// that a compressed archive is complete).
    ///
    /// # Errors
    /// [`FormatError::Damaged`], [`FormatError::Unsupported`] (parts of several volumes),
    /// [`FormatError::Limit`], or those of `reader`. There are no entries after an error.
    #[allow(clippy::should_implement_trait, reason = "an entry borrows the reader")]
    pub fn next(&mut self) -> Result<Option<TarEntry<'_, R>>, FormatError> {
        if self.ended {
            return Ok(None);
        }
        // Reset if there is an entry: after an error there are no more.
        self.ended = true;
        self.skip_contents()?;
        let mut extended = Extended::default();
        let mut block = [0; BLOCK];
        loop {
            if !self.read_header(&mut block)? {
                if extended.bytes > 0 {
                    return Err(self.damaged("the archive ends after an extended header"));
                }
                self.read_to_end()?;
                return Ok(None);
            }
            let header = Header::parse(&block).map_err(|problem| self.damaged(problem))?;
            if !self.read_extension(&header, &mut extended)? {
                return self.entry(&header, extended).map(Some);
            }
        }
    }

    /// Processes a header that describes the next entry. `false` if `header` is an entry's own.
    fn read_extension(
        &mut self,
        header: &Header<'_>,
        extended: &mut Extended,
    ) -> Result<bool, FormatError> {
        match header.kind() {
            b'L' => extended.long_name = Some(until_nul(self.read_text(header, extended)?)),
            b'K' => extended.long_link = Some(until_nul(self.read_text(header, extended)?)),
            b'x' | b'X' => {
                let text = self.read_text(header, extended)?;
                // Of two of them, the last one counts.
                extended.pax = Pax::default();
                extended.pax.add(&text).map_err(|problem| self.damaged(problem))?;
            }
            b'g' => {
                let text = self.read_text(header, extended)?;
                self.globals.add(&text).map_err(|problem| self.damaged(problem))?;
                // Keep only what makes sense for every entry; the rest would also accumulate.
                self.globals.xattrs.clear();
                self.globals.encoded_xattrs.clear();
                self.globals.sparse = pax::PaxSparse::default();
                extended.bytes = 0;
            }
            // A volume's label; the access control list of the next entry in Solaris' own form.
            b'V' | b'A' => {
                let size = header.size().map_err(|problem| self.damaged(problem))?;
                self.begin_contents(size);
                self.skip_contents()?;
            }
            kind @ (b'M' | b'N') => {
                let problem = match kind {
                    b'M' => "a part of a file that begins in another volume",
                    _ => "long names in the form of before 1990",
                };
                return Err(FormatError::Unsupported { format: FORMAT, problem: problem.into() });
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The contents of an extended header.
    fn read_text(
        &mut self,
        header: &Header<'_>,
        extended: &mut Extended,
    ) -> Result<Vec<u8>, FormatError> {
        let size = header.size().map_err(|problem| self.damaged(problem))?;
        extended.bytes = extended.bytes.saturating_add(size).max(1);
        if extended.bytes > self.limits.header_bytes {
            return Err(FormatError::Limit {
                what: "bytes of an extended header".into(),
                limit: self.limits.header_bytes,
            });
        }
        self.begin_contents(size);
        let mut text = Vec::new();
        Contents(self).read_to_end(&mut text).map_err(reading)?;
        self.skip_contents()?;
        Ok(text)
    }

    /// Makes the entry with this header.
    fn entry(
        &mut self,
        header: &Header<'_>,
        mut extended: Extended,
    ) -> Result<TarEntry<'_, R>, FormatError> {
        let metadata =
            self.metadata(header, &mut extended.pax).map_err(|problem| self.damaged(problem))?;
        let path = self.name(header, &mut extended);
        let (kind, extents) = self.kind(header, &extended, &path).map_err(|error| match error {
            FormatError::Damaged { format, problem } => FormatError::Damaged {
                format,
                problem: format!("{problem}, in the entry \"{}\"", escaped(&path)),
            },
            other => other,
        })?;
        self.entries += 1;
        if self.entries > self.limits.entries {
            let limit = self.limits.entries;
            return Err(FormatError::Limit { what: "entries of a tar archive".into(), limit });
        }
        if let RawKind::File { size } = kind {
            self.unpacked = self.unpacked.saturating_add(size);
        }
        if self.unpacked > self.limits.unpacked_bytes {
            let limit = self.limits.unpacked_bytes;
            return Err(FormatError::Limit { what: "unpacked bytes".into(), limit });
        }
        self.ended = false;
        Ok(TarEntry { path, kind, metadata, extents, archive: self, position: 0, extent: 0 })
    }

    fn name(&self, header: &Header<'_>, extended: &mut Extended) -> Vec<u8> {
        if let Some(name) = extended.pax.sparse.name.take() {
            return name;
        }
        match said(&extended.pax.path, &self.globals.path) {
            Some(path) => path.to_vec(),
            None => extended.long_name.take().unwrap_or_else(|| header.name()),
        }
    }

    fn metadata(&self, header: &Header<'_>, pax: &mut Pax) -> Result<MemberMetadata, String> {
        let owner = |value: Option<&[u8]>, field, own: Result<Option<u32>, String>| match value {
            Some(value) => Ok(u32::try_from(pax::decimal(field, value)?).ok()),
            None => own,
        };
        Ok(MemberMetadata {
            mode: header.mode()?,
            uid: owner(said(&pax.uid, &self.globals.uid), "uid", header.uid())?,
            gid: owner(said(&pax.gid, &self.globals.gid), "gid", header.gid())?,
            mtime: match said(&pax.mtime, &self.globals.mtime) {
                Some(value) => Some(pax::time(value)?),
                None => header.mtime()?.map(Timestamp::from_seconds),
            },
            xattrs: pax.take_xattrs(),
        })
    }

    /// The type of the entry; starts its contents.
    fn kind(
        &mut self,
        header: &Header<'_>,
        extended: &Extended,
        path: &[u8],
    ) -> Result<(RawKind, Option<Vec<Extent>>), FormatError> {
        let target = || match said(&extended.pax.link_path, &self.globals.link_path) {
            Some(path) => path.to_vec(),
            None => extended.long_link.clone().unwrap_or_else(|| header.link_name()),
        };
        let device = || header.device().map_err(|problem| self.damaged(problem));
        // None of these has contents, whatever its size field says (hard links have the size of their file).
        let kind = match header.kind() {
            b'1' => RawKind::HardLink { target: target() },
            b'2' => RawKind::Symlink { target: target() },
            b'3' => device().map(|(major, minor)| RawKind::CharDevice { major, minor })?,
            b'4' => device().map(|(major, minor)| RawKind::BlockDevice { major, minor })?,
            b'5' => RawKind::Directory,
            b'6' => RawKind::Fifo,
            _ => return self.kind_with_contents(header, &extended.pax, path),
        };
        Ok((kind, None))
    }

    fn kind_with_contents(
        &mut self,
        header: &Header<'_>,
        pax: &Pax,
        path: &[u8],
    ) -> Result<(RawKind, Option<Vec<Extent>>), FormatError> {
        let stored = match said(&pax.size, &self.globals.size) {
            Some(size) => pax::decimal("size", size),
            None => header.size(),
        };
        let stored = stored.map_err(|problem| self.damaged(problem))?;
        match header.kind() {
            // The names of a folder's files, in a GNU incremental archive.
            b'D' => {
                self.begin_contents(stored);
                Ok((RawKind::Directory, None))
            }
            b'S' => self.old_sparse(header, stored),
            _ if pax.sparse.major.is_some() || pax.sparse.numbers.is_some() => {
                self.pax_sparse(&pax.sparse, stored)
            }
            // Before there were types, a folder was marked by a trailing slash in its name.
            _ if path.ends_with(b"/") => match stored {
                0 => Ok((RawKind::Directory, None)),
                _ => Err(self.damaged("a folder with contents")),
            },
            _ => {
                self.begin_contents(stored);
                Ok((RawKind::File { size: stored }, None))
            }
        }
    }

    /// Reads the next header block. `false` at the end of the archive: two blocks of zeros, or the end of the
    /// input (as in GNU tar).
    fn read_header(&mut self, block: &mut [u8; BLOCK]) -> Result<bool, FormatError> {
        if !self.read_block_or_end(block)? {
            return Ok(false);
        }
        if block.iter().any(|&byte| byte != 0) {
            return Ok(true);
        }
        if self.read_block_or_end(block)? && block.iter().any(|&byte| byte != 0) {
            if !self.ends_at_zeros {
                return Err(self.damaged("something follows a block of zeros"));
            }
            self.more_follows = true;
        }
        Ok(false)
    }

    pub(super) fn read_block(&mut self, block: &mut [u8; BLOCK]) -> Result<(), FormatError> {
        if self.read_block_or_end(block)? { Ok(()) } else { Err(self.cut_off()) }
    }

    fn read_block_or_end(&mut self, block: &mut [u8; BLOCK]) -> Result<bool, FormatError> {
        let mut filled = 0;
        while filled < BLOCK {
            match self.reader.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(self.cut_off()),
                Ok(count) => {
                    filled += count;
                    self.offset += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(reading(error)),
            }
        }
        Ok(true)
    }

    pub(super) fn begin_contents(&mut self, stored: u64) {
        self.stored_left = stored;
        self.padding = stored.wrapping_neg() % BLOCK as u64;
    }

    fn skip_contents(&mut self) -> Result<(), FormatError> {
        io::copy(&mut Contents(self), &mut io::sink()).map_err(reading)?;
        let padding = std::mem::take(&mut self.padding);
        let skipped = io::copy(&mut self.reader.by_ref().take(padding), &mut io::sink());
        let skipped = skipped.map_err(reading)?;
        self.offset += skipped;
        if skipped < padding { Err(self.cut_off()) } else { Ok(()) }
    }

    fn read_to_end(&mut self) -> Result<(), FormatError> {
        let limit = self.limits.unpacked_bytes;
        let rest = match io::copy(&mut self.reader.by_ref().take(limit), &mut io::sink()) {
            Err(error) if self.lenient && BytesAfterEnd::is_in(&error) => {
                self.bytes_follow = true;
                return Ok(());
            }
            rest => rest.map_err(reading)?,
        };
        if rest == limit && limit > 0 {
            let what = "bytes after the end of a tar archive".into();
            return Err(FormatError::Limit { what, limit });
        }
        Ok(())
    }

    fn cut_off(&self) -> FormatError {
        self.damaged("the archive ends within an entry")
    }

    pub(super) fn damaged(&self, problem: impl std::fmt::Display) -> FormatError {
        let problem = format!("{problem} (at byte {})", self.offset);
        FormatError::Damaged { format: FORMAT, problem }
    }
}

/// The value of an entry's own extended header, otherwise of a global one; an empty value counts as none.
fn said<'a>(own: &'a Option<Vec<u8>>, global: &'a Option<Vec<u8>>) -> Option<&'a [u8]> {
    own.as_deref().or(global.as_deref()).filter(|value| !value.is_empty())
}

fn until_nul(mut text: Vec<u8>) -> Vec<u8> {
    let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
    text.truncate(end);
    text
}

pub(super) fn reading(error: io::Error) -> FormatError {
    FormatError::reading(FORMAT, error)
}
