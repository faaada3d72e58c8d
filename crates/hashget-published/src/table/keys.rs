//! Keys of tables: the first 48 bits of digests.
//!
//! Invariant: pure. Every question has one key, whoever asks it.

use hashget::model::{Digest, Signature};

/// Bits of a digest that are kept.
pub(crate) const KEY_BITS: u32 = 48;

/// The first 48 bits of a digest.
pub(crate) fn cut(digest: &Digest) -> u64 {
    let [a, b, c, d, e, f, ..] = *digest.as_bytes();
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

/// The key of a signature.
pub(crate) fn name_key(signature: &Signature) -> u64 {
    cut(&Digest::of(signature.to_string().as_bytes()))
}

/// The key of a URL.
pub(crate) fn url_key(url: &str) -> u64 {
    cut(&Digest::of(format!("url:{url}").as_bytes()))
}
