//! Writing the blocks of a package while its members pass by.
//!
//! Invariant: only members have blocks that restoring finds by their path: of several with one path, the first alone.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use super::{BEGINNING, BLOCK_BYTES, block_checksum};
use crate::model::{Digest, RelPath};
use crate::pending_file::PendingFile;

/// Writes the blocks of one package.
pub struct BlockWriter {
    path: PathBuf,
    output: BufWriter<PendingFile>,
    sum: Sha256,
    /// Paths of the members that passed, by a hash: should two be equal, one member has no blocks.
    passed: HashSet<u64>,
    state: RandomState,
    /// What is to be written of the member that is passing; empty if it has no blocks.
    member: Vec<u8>,
    block: Vec<u8>,
}

impl BlockWriter {
    pub(super) fn new(path: PathBuf, package: &Digest) -> io::Result<Self> {
        let output = BufWriter::new(PendingFile::create(&path, 0o644)?);
        let (passed, state) = (HashSet::new(), RandomState::new());
        let (member, block) = (Vec::new(), Vec::with_capacity(BLOCK_BYTES));
        let sum = Sha256::new();
        let mut writer = Self { path, output, sum, passed, state, member, block };
        writer.write(BEGINNING)?;
        writer.write(package.as_bytes())?;
        Ok(writer)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.output.write_all(bytes)
    }

    /// A regular file of `size` bytes follows.
    pub fn begin(&mut self, path: &RelPath, size: u64) {
        self.member.clear();
        self.block.clear();
        let is_inside = path.as_bytes().windows(2).any(|pair| pair == b"!/");
        let is_first = self.passed.insert(self.state.hash_one(path));
        let Ok(length) = u32::try_from(path.as_bytes().len()) else { return };
        if size < BLOCK_BYTES as u64 || is_inside || !is_first {
            return;
        }
        self.member.extend_from_slice(&length.to_le_bytes());
        self.member.extend_from_slice(path.as_bytes());
        self.member.extend_from_slice(&size.to_le_bytes());
    }

    /// The next bytes of that file.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.member.is_empty() {
            let (first, rest) = bytes.split_at((BLOCK_BYTES - self.block.len()).min(bytes.len()));
            self.block.extend_from_slice(first);
            if self.block.len() == BLOCK_BYTES {
                self.member.extend_from_slice(&block_checksum(&self.block).to_le_bytes());
                self.member.extend_from_slice(Digest::of(&self.block).as_bytes());
                self.block.clear();
            }
            bytes = rest;
        }
    }

    /// All of that file has come, as many bytes as it was said to have.
    ///
    /// # Errors
    /// Writing failed.
    pub fn end(&mut self) -> io::Result<()> {
        if self.member.is_empty() {
            return Ok(());
        }
        let mut member = std::mem::take(&mut self.member);
        if !self.block.is_empty() {
            member.extend_from_slice(Digest::of(&self.block).as_bytes());
        }
        self.write(&member)
    }

    /// All members have passed: the blocks are there from now on.
    ///
    /// # Errors
    /// Writing failed.
    pub fn finish(mut self) -> io::Result<()> {
        self.write(&0_u32.to_le_bytes())?;
        let sum = self.sum.finalize();
        self.output.write_all(&sum)?;
        let output = self.output.into_inner().map_err(io::IntoInnerError::into_error)?;
        output.commit(&self.path)
    }
}
