//! A sum over keys: whether pairs that came sorted are those that follow from the packages.
//!
//! Invariant: the sum does not depend on the order of pairs, nor on repetitions within a package. It finds mistakes; pairs chosen to
//! deceive are found by reading the whole edition (`publish verify`).

use std::io;

use twox_hash::XxHash64;

use super::write::Keys;

/// How many pairs there are, and the sum of their hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) pairs: u64,
    hashes: u64,
}

impl Sum {
    /// Adds a pair that was not added before.
    pub(super) fn add(&mut self, key: u64, package: u32) {
        let bytes = ((u128::from(key) << 32) | u128::from(package)).to_le_bytes();
        self.hashes = self.hashes.wrapping_add(XxHash64::oneshot(0, &bytes));
        self.pairs += 1;
    }
}

/// Adds up the keys of packages that come in order.
#[derive(Default)]
pub(super) struct KeySum {
    /// Number of pairs, repetitions included.
    count: u64,
    sum: Sum,
    package: u32,
    /// Keys of `package`.
    keys: Vec<u64>,
}

impl KeySum {
    /// The number of pairs, repetitions included, and the sum without them.
    pub(super) fn finish(mut self) -> (u64, Sum) {
        self.close();
        (self.count, self.sum)
    }

    fn close(&mut self) {
        self.keys.sort_unstable();
        self.keys.dedup();
        for key in self.keys.drain(..) {
            self.sum.add(key, self.package);
        }
    }
}

impl Keys for KeySum {
    fn push(&mut self, key: u64, package: u32) -> io::Result<()> {
        if package != self.package {
            self.close();
            self.package = package;
        }
        self.count += 1;
        self.keys.push(key);
        Ok(())
    }
}
