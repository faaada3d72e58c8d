//! Files that a program compresses when they have been put together.
//!
//! Invariant: pure. The decoded form is never larger than [`MOST_DECODED_BYTES`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Digest, Entry, Kind};

/// Bytes of what a program compresses.
pub const MOST_DECODED_BYTES: u64 = 1 << 30;

/// How a file comes out of its decoded form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encoded {
    /// The name of the encoder.
    pub recipe: String,
    /// The packages that the program consists of.
    pub tool: Vec<Digest>,
    /// What else the encoder has to know.
    #[serde(default, rename = "with", skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// So many bytes of the decoded form stand in the file as they are, before what is compressed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub plain: u64,
    /// Bytes of the decoded form.
    pub size: u64,
    /// Its digest.
    pub sha256: Digest,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Encoded {
    /// What is put together for the file with this entry.
    pub(crate) fn decoded(&self, entry: &Entry) -> Entry {
        Entry {
            kind: Kind::File { size: self.size },
            sha256: Some(self.sha256),
            extents: None,
            ..entry.clone()
        }
    }

    /// What is wrong with it.
    pub(super) fn problem(&self, entry: &Entry) -> Option<String> {
        if entry.extents.is_some() {
            return Some("a file with holes is not encoded".to_owned());
        }
        if self.size > MOST_DECODED_BYTES {
            let size = self.size;
            return Some(format!("it has {size} bytes, expected at most {MOST_DECODED_BYTES}"));
        }
        if self.plain > self.size {
            let (plain, size) = (self.plain, self.size);
            return Some(format!("plain is {plain}, expected at most its {size} bytes"));
        }
        self.tool.is_empty().then(|| "tool has no package".to_owned())
    }
}
