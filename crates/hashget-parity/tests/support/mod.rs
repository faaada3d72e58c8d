//! Files, parity for them, and numbers that only look like chance.

#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use hashget_parity::{Layout, ParityError, Scanned, Set, create};

/// Numbers that depend on the seed alone.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_le_bytes()[3]).collect()
    }
}

/// All bytes of a file.
pub(crate) fn contents(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// Parity of a file.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) parity: Vec<u8>,
}

impl Made {
    pub(crate) fn new(original: &[u8], percent: u8) -> Self {
        Self::by(original, percent, 2)
    }

    pub(crate) fn by(original: &[u8], percent: u8, threads: usize) -> Self {
        let layout = Layout::new(original.len() as u64, percent).unwrap();
        Self::of_layout(original, b"file", &layout, threads)
    }

    fn of_layout(original: &[u8], name: &[u8], layout: &Layout, threads: usize) -> Self {
        let file = tempfile::tempfile().unwrap();
        let size = create(original, name, layout, &file, threads, &|_| true).unwrap();
        let parity = contents(&file);
        assert_eq!(parity.len() as u64, size);
        Self { parity }
    }

    /// The same parity, made again of the same file.
    pub(crate) fn again(&self, original: &[u8]) -> Self {
        let set = self.set().unwrap();
        Self::of_layout(original, set.name(), set.layout(), 2)
    }

    pub(crate) fn set(&self) -> Result<Set, ParityError> {
        Set::read(&self.parity[..], self.parity.len() as u64)
    }

    pub(crate) fn scan(&self, file: &[u8]) -> Scanned {
        self.set().unwrap().scan(file, file.len() as u64, 2, &|_| true).unwrap()
    }

    pub(crate) fn heal(&self, file: &[u8]) -> Result<Vec<u8>, ParityError> {
        let output = tempfile::tempfile().unwrap();
        let (set, scanned) = (self.set()?, self.scan(file));
        set.heal(file, &scanned, &self.parity[..], &output, 2, &|_| true)?;
        Ok(contents(&output))
    }
}
