//! Why there is no parity, or nothing can be done with it.
//!
//! Invariant: each variant says which of the files is meant.

use std::io;

/// Why parity could not be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum ParityError {
    /// The file that is protected could not be read.
    #[error("cannot read the file that the parity is for")]
    Read(#[source] io::Error),
    /// The parity file could not be read.
    #[error("cannot read the parity")]
    ReadParity(#[source] io::Error),
    /// What was to be written could not be.
    #[error("cannot write it")]
    Write(#[source] io::Error),
    /// The parity cannot be used.
    #[error("this is no parity that can be used: {problem}")]
    Unusable {
        /// What is wrong with it.
        problem: String,
    },
    /// More is damaged than can be computed.
    #[error(
        "{missing} of {blocks} blocks are damaged, and {recoveries} recovery blocks are left: not enough to heal them"
    )]
    TooDamaged {
        /// Blocks that were not found.
        missing: usize,
        /// All blocks of the file.
        blocks: usize,
        /// Recovery blocks that can be used.
        recoveries: usize,
    },
    /// Computing would take too much memory.
    #[error(
        "healing {missing} of {blocks} blocks takes more memory than is allowed: use the program par2"
    )]
    TooMuchMemory {
        /// Blocks that were not found.
        missing: usize,
        /// All blocks of the file.
        blocks: usize,
    },
    /// What was healed is not what the parity was made for.
    #[error(
        "what was healed has another checksum than the parity says: nothing is to be relied on"
    )]
    NotProven,
    /// There is nothing to protect, or too much.
    #[error("there is no parity for {bytes} bytes")]
    Size {
        /// The file's size in bytes.
        bytes: u64,
    },
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
}

impl ParityError {
    pub(crate) fn unusable(problem: impl Into<String>) -> Self {
        Self::Unusable { problem: problem.into() }
    }
}
