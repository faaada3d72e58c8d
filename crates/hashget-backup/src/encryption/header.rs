//! What the head of an encrypted file says without any key.
//!
//! Invariant: nothing is read beyond the longest head that is accepted.

use std::collections::BTreeMap;

/// How an encrypted file begins.
const START: &[u8] = b"age-encryption.org/v1\n";

/// The longest head that is looked at.
pub(super) const LONGEST: usize = 64 * 1024;

/// Do these bytes, the first ones of a file, begin an encrypted one?
pub fn is_encrypted(first: &[u8]) -> bool {
    first.starts_with(START)
}

/// Do these bytes begin an archive that is not encrypted: one of the compressions of archives, or a tar header?
pub fn is_archive(first: &[u8]) -> bool {
    let is_tar_header = first.get(257..262) == Some(b"ustar");
    // Frames of zstd, frames that it skips, gzip, xz.
    let is_skipped = first.get(1..4) == Some(&[0x2a, 0x4d, 0x18]) && first[0] & 0xf0 == 0x50;
    let starts = [&b"\x28\xb5\x2f\xfd"[..], b"\x1f\x8b", b"\xfd7zXZ\0"];
    is_tar_header || is_skipped || starts.iter().any(|start| first.starts_with(start))
}

/// The head of an encrypted file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// How many recipients of each kind there are: `X25519`, `ssh-ed25519`, `scrypt` (a passphrase), ...
    pub recipients: BTreeMap<String, u64>,
}

impl Header {
    /// Reads the head from the first bytes of a file.
    pub fn of(first: &[u8]) -> Self {
        let mut recipients = BTreeMap::new();
        for line in first.split(|byte| *byte == b'\n').skip(1) {
            if line.starts_with(b"---") {
                break;
            }
            let kind =
                line.strip_prefix(b"-> ").and_then(|rest| rest.split(|byte| *byte == b' ').next());
            let kind = kind.map(hashget::model::escaped);
            // Writers add lines that mean nothing, so that nobody relies on there being none.
            if let Some(kind) = kind.filter(|kind| !kind.ends_with("-grease")) {
                *recipients.entry(kind).or_insert(0) += 1;
            }
        }
        Self { recipients }
    }

    /// Is it encrypted to whoever knows a passphrase?
    pub fn is_passphrase(&self) -> bool {
        self.recipients.contains_key("scrypt")
    }

    /// For a message: `2 recipients (X25519, ssh-ed25519)`.
    pub fn shown(&self) -> String {
        if self.is_passphrase() {
            return "a passphrase".to_owned();
        }
        let count: u64 = self.recipients.values().sum();
        let kinds: Vec<&str> = self.recipients.keys().map(String::as_str).collect();
        let word = if count == 1 { "recipient" } else { "recipients" };
        format!("{count} {word} ({})", kinds.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_says_how_many_recipients_of_which_kinds() {
        let head = b"age-encryption.org/v1\n-> X25519 abc\nxyz\n-> ssh-ed25519 a b\nc\n-> X25519 d\ne\n-> q-grease x\ny\n--- mac\n-> no";
        assert!(
            is_encrypted(head) && !is_encrypted(b"age-encryption.org/v2\n") && !is_encrypted(b"")
        );
        assert_eq!(Header::of(head).shown(), "3 recipients (X25519, ssh-ed25519)");
        assert_eq!(
            Header::of(b"age-encryption.org/v1\n-> scrypt a 18\nb\n---").shown(),
            "a passphrase"
        );
        assert_eq!(
            Header::of(b"age-encryption.org/v1\n-> X25519 a\n").shown(),
            "1 recipient (X25519)"
        );
    }
}
