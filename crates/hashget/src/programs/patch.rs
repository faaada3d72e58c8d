//! Patches: the difference between what a program makes and what the tree has, as `zstd --patch-from` makes it.
//!
//! Invariant: no more comes out of a patch than is expected; whether it is right, its digest says.

use std::io::{self, Read, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Bytes of what a program makes, and of what becomes of it: both are in memory.
pub(crate) const MOST_PATCHED_BYTES: u64 = 64 << 20;
/// A patch has at most this part of a file's bytes.
const SHARE: usize = 4;
const LEVEL: i32 = 19;
/// Covers what is made, and what becomes of it.
const WINDOW_LOG: u32 = 27;

/// The patch that turns `made` into `wanted`, in base64; `None` if it is hardly smaller than that.
pub(crate) fn between(made: &[u8], wanted: &[u8]) -> io::Result<Option<String>> {
    let mut encoder = zstd::stream::Encoder::with_ref_prefix(Vec::new(), LEVEL, made)?;
    encoder.long_distance_matching(true)?;
    encoder.window_log(WINDOW_LOG)?;
    encoder.write_all(wanted)?;
    let patch = STANDARD.encode(encoder.finish()?);
    Ok((patch.len() <= wanted.len() / SHARE).then_some(patch))
}

/// What becomes of `made` by a patch: at most one byte more than `size`.
///
/// # Errors
/// It is no patch of these bytes.
pub(crate) fn applied(made: &[u8], patch: &str, size: u64) -> io::Result<Vec<u8>> {
    let patch = STANDARD.decode(patch).map_err(io::Error::other)?;
    let mut decoder = zstd::stream::Decoder::with_ref_prefix(&patch[..], made)?;
    decoder.window_log_max(WINDOW_LOG)?;
    let mut wanted = Vec::new();
    decoder.take(size.min(MOST_PATCHED_BYTES).saturating_add(1)).read_to_end(&mut wanted)?;
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_gives_what_it_was_made_of_and_no_more_than_expected() {
        let made: Vec<u8> =
            (0..50_000_u32).flat_map(|number| (number * 7919).to_le_bytes()).collect();
        let mut wanted = made.clone();
        wanted[1000..1003].copy_from_slice(b"abc");
        wanted.extend_from_slice(b"more");
        let patch = between(&made, &wanted).unwrap().unwrap();
        assert!(patch.len() < 1000, "{}", patch.len());
        assert_eq!(applied(&made, &patch, wanted.len() as u64).unwrap(), wanted);
        assert_eq!(applied(&made, &patch, 10).unwrap().len(), 11);
        applied(&made, "no base64", 10).unwrap_err();
        applied(&made, &STANDARD.encode(b"no frame"), 10).unwrap_err();
        let other = vec![b'x'; made.len()];
        assert_ne!(applied(&other, &patch, wanted.len() as u64).unwrap_or_default(), wanted);
        // What has nothing in common is archived instead.
        let other: Vec<u8> =
            (0..5000_u32).flat_map(|number| (number * 104_729).to_be_bytes()).collect();
        assert_eq!(between(b"", &other).unwrap(), None);
    }
}
