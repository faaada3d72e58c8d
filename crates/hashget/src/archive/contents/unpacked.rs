//! Contents that were unpacked once, one after the other, into a file without a name.
//!
//! Invariant: no more than one copy of a content is kept for all its files, and only of files of the tree, with their sizes. Nothing
//! is left on the disk when the process ends, however it ends.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::super::tree::NodeId;
use super::holes::read_part;
use crate::model::{Digest, Extent, HashingReader};

/// The contents of many files.
#[derive(Debug)]
pub(super) struct Unpacked {
    file: File,
    bytes: u64,
    /// Where the contents of each file begin, by file.
    starts: Vec<(NodeId, u64)>,
    /// Where the data of files with holes goes.
    holes: HashMap<NodeId, Vec<Extent>>,
    /// Files of which something else was found: what.
    wrong: HashMap<NodeId, String>,
}

/// What is known of a file among the contents.
pub(super) enum Found<'u> {
    /// It; its contents begin there.
    At(u64),
    /// It is something else; what.
    Wrong(&'u str),
    /// Nothing.
    Nothing,
}

impl Unpacked {
    /// An empty file in `folder`.
    ///
    /// # Errors
    /// None can be made there.
    pub(super) fn in_folder(folder: &Path) -> io::Result<Self> {
        let file = tempfile::tempfile_in(folder)?;
        Ok(Self {
            file,
            bytes: 0,
            starts: Vec::new(),
            holes: HashMap::new(),
            wrong: HashMap::new(),
        })
    }

    /// One file, whose contents these are, with its holes.
    pub(super) fn whole(file: File, node: NodeId, bytes: u64) -> Self {
        let (holes, wrong) = (HashMap::new(), HashMap::new());
        Self { file, bytes, starts: vec![(node, 0)], holes, wrong }
    }

    /// Appends contents of at most `most` bytes, or one more, and returns their digest and number. They count when they are
    /// kept.
    ///
    /// # Errors
    /// See [`CopyError`].
    pub(super) fn add(
        &mut self,
        content: &mut dyn Read,
        most: u64,
    ) -> Result<(Digest, u64), CopyError> {
        let mut content = HashingReader::new(content.take(most.saturating_add(1)));
        self.copy(&mut content)?;
        Ok(content.finish())
    }

    fn copy(&mut self, content: &mut dyn Read) -> Result<(), CopyError> {
        self.file.seek(SeekFrom::Start(self.bytes)).map_err(CopyError::Write)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            match content.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => self.file.write_all(&buffer[..count]).map_err(CopyError::Write)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(CopyError::Read(error)),
            }
        }
    }

    /// The bytes that were appended last, this many, are those of `files`; with `extents`, the data of a file with holes.
    pub(super) fn keep(
        &mut self,
        files: impl IntoIterator<Item = NodeId>,
        bytes: u64,
        extents: Option<Vec<Extent>>,
    ) {
        let start = self.bytes;
        let before = self.starts.len();
        for file in files {
            self.starts.push((file, start));
            if let Some(extents) = &extents {
                self.holes.insert(file, extents.clone());
            }
        }
        if self.starts.len() > before {
            self.bytes += bytes;
        }
    }

    /// Instead of the file, something else was found.
    pub(super) fn is_wrong(&mut self, file: NodeId, what: String) {
        self.wrong.insert(file, what);
    }

    /// Everything has come.
    ///
    /// # Errors
    /// The disk failed.
    pub(super) fn finish(mut self) -> io::Result<Self> {
        // Of what was appended last, perhaps nothing is kept.
        self.file.set_len(self.bytes)?;
        self.starts.sort();
        self.starts.dedup_by_key(|(file, _)| *file);
        self.starts.shrink_to_fit();
        Ok(self)
    }

    /// How much room all contents take, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What is known of a file.
    pub(super) fn find(&self, file: NodeId) -> Found<'_> {
        if let Ok(at) = self.starts.binary_search_by_key(&file, |(file, _)| *file) {
            return Found::At(self.starts[at].1);
        }
        self.wrong.get(&file).map_or(Found::Nothing, |what| Found::Wrong(what))
    }

    /// Reads a part of a file, whose contents begin at `start`.
    ///
    /// # Errors
    /// The disk failed.
    pub(super) fn read(&self, file: NodeId, start: u64, part: &Range<u64>) -> io::Result<Vec<u8>> {
        let fill = &mut |buffer: &mut [u8], first| self.file.read_exact_at(buffer, first);
        read_part(start, self.holes.get(&file).map(Vec::as_slice), part, fill)
    }
}

/// Why contents could not be appended.
pub(super) enum CopyError {
    /// They could not be read.
    Read(io::Error),
    /// They could not be written.
    Write(io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_kept_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let mut unpacked = Unpacked::in_folder(folder.path()).unwrap();
        let [a, b, c, d] = [1, 2, 3, 4].map(NodeId::new);
        let add = |unpacked: &mut Unpacked, mut bytes: &[u8], most| {
            unpacked.add(&mut bytes, most).unwrap_or_else(|_| panic!("it can be written"))
        };
        assert_eq!(add(&mut unpacked, b"first", 5), (Digest::of(b"first"), 5));
        unpacked.keep([b, a], 5, None);
        // Longer than it should be, and therefore not kept.
        assert_eq!(add(&mut unpacked, b"wrong and long", 5).1, 6);
        unpacked.is_wrong(c, "too long".to_owned());
        // A hole alone begins where the next one does.
        add(&mut unpacked, b"", 0);
        unpacked.keep([NodeId::new(6)], 0, Some(Vec::new()));
        add(&mut unpacked, b"xy", 2);
        let extents = vec![Extent { offset: 2, length: 1 }, Extent { offset: 4, length: 1 }];
        unpacked.keep([d], 2, Some(extents));
        add(&mut unpacked, b"not kept", 8);
        let unpacked = unpacked.finish().unwrap();
        assert_eq!(unpacked.bytes(), 7);
        let read = |file, part| match unpacked.find(file) {
            Found::At(start) => unpacked.read(file, start, &part).unwrap(),
            Found::Wrong(what) => what.as_bytes().to_vec(),
            Found::Nothing => Vec::new(),
        };
        assert_eq!((read(a, 0..5), read(b, 1..3)), (b"first".to_vec(), b"ir".to_vec()));
        assert_eq!((read(c, 0..5), read(d, 1..7)), (b"too long".to_vec(), b"\0x\0y\0\0".to_vec()));
        assert!(read(NodeId::new(5), 0..1).is_empty());
        assert_eq!(read(NodeId::new(6), 0..3), [0; 3]);
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0, "it has no name");
    }
}
