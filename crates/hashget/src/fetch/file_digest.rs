//! The digest of a file on this machine. Hashing can be interrupted.
//!
//! Invariant: the digest is that of the open file, even if its name refers to another file by now. The file is
//! positioned at its start afterwards.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};

use sha2::{Digest as _, Sha256};

use crate::model::{Algorithm, Checksum, Digest};
use crate::monitor::{Interrupted, Monitor};

/// Why a file could not be hashed.
#[derive(Debug)]
pub(super) enum Unproven {
    Io(io::Error),
    Interrupted(Interrupted),
}

impl From<io::Error> for Unproven {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The hash state and length of the first `limit` bytes of a file, which is positioned after them.
pub(super) fn hash_start(
    mut file: &File,
    limit: u64,
    monitor: &dyn Monitor,
) -> Result<(Sha256, u64), Unproven> {
    file.rewind()?;
    let mut left = file.take(limit);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut bytes = 0;
    loop {
        monitor.check_interrupted().map_err(Unproven::Interrupted)?;
        match left.read(&mut buffer) {
            Ok(0) => return Ok((hasher, bytes)),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                bytes += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The digest of a final hash state.
pub(super) fn digest_of(hasher: Sha256) -> Digest {
    Digest::from_bytes(hasher.finalize().into())
}

/// The digest and length of a whole file, which is positioned at its start afterwards.
pub(super) fn hash_whole(
    mut file: &File,
    monitor: &dyn Monitor,
) -> Result<(Digest, u64), Unproven> {
    let (hasher, bytes) = hash_start(file, u64::MAX, monitor)?;
    file.rewind()?;
    Ok((digest_of(hasher), bytes))
}

/// As [`hash_whole`], and the checksum by another algorithm.
pub(super) fn checksum_whole(
    mut file: &File,
    algorithm: Algorithm,
    monitor: &dyn Monitor,
) -> Result<(Checksum, Digest, u64), Unproven> {
    if algorithm == Algorithm::Sha256 {
        let (digest, bytes) = hash_whole(file, monitor)?;
        return Ok((digest.into(), digest, bytes));
    }
    file.rewind()?;
    let (mut sha256, mut other, mut bytes) = (Sha256::new(), algorithm.hasher(), 0);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        monitor.check_interrupted().map_err(Unproven::Interrupted)?;
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                sha256.update(&buffer[..count]);
                other.update(&buffer[..count]);
                bytes += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    file.rewind()?;
    Ok((other.finish(), digest_of(sha256), bytes))
}
