//! The second copy of an archive's manifest, which follows its record.
//!
//! Invariant: a copy is given out only if it has the digest that the record says, and the record fits the archive's name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hashget::archive::MOST_HEAD_BYTES;
use hashget::model::Digest;
use serde::{Deserialize, Serialize};

use crate::record::{MOST_BYTES, Record, Sealed};
use crate::series::ArchiveName;

/// The longest file that holds a record with a copy, in bytes: base64 takes four bytes for three.
pub const MOST_FILE_BYTES: u64 = MOST_BYTES as u64 + MOST_HEAD_BYTES / 3 * 4 + 1024;

/// The line that follows the record.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    /// The first bytes of the archive, in base64.
    head: String,
}

/// The copy of an archive's first bytes, which hold the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestCopy {
    /// The first bytes of the archive.
    pub head: Vec<u8>,
}

/// What is said of these first bytes of an archive in its record.
pub fn sealed(head: &[u8]) -> Sealed {
    Sealed { bytes: head.len() as u64, sha256: Digest::of(head).to_string() }
}

/// The line that follows the record.
pub fn line(head: &[u8]) -> Vec<u8> {
    let line = Line { head: STANDARD.encode(head) };
    let mut bytes = serde_json::to_vec(&line).expect("it has only texts");
    bytes.push(b'\n');
    bytes
}

impl ManifestCopy {
    /// The copy in the file of an archive's record; `None` if there is none, or it is damaged.
    pub fn parse(file: &[u8], archive: &ArchiveName) -> Option<Self> {
        let record = Record::parse(file, archive).ok()?;
        let expected = record.manifest?;
        let line = file.split(|byte| *byte == b'\n').nth(1)?;
        let line: Line = serde_json::from_slice(line).ok()?;
        let head = STANDARD.decode(line.head).ok()?;
        (sealed(&head) == expected).then_some(Self { head })
    }
}
