//! The member list of a package as one blob: a format byte, then zstd over postcard.
//!
//! Invariant: a blob that was damaged on disk never decodes to another list; zstd's checksum covers
//! every byte of it.

use std::io::{Read as _, Write as _};

use crate::model::Member;

/// zstd over postcard's encoding of `Vec<Member>`.
const FORMAT: u8 = 1;

/// Fast, and within a few per cent of the higher levels on lists of paths and digests.
const LEVEL: i32 = 3;

/// `members` as a blob.
pub(super) fn encode(members: &[Member]) -> Result<Vec<u8>, String> {
    let plain = postcard::to_stdvec(members).map_err(|error| error.to_string())?;
    let compress = || -> std::io::Result<Vec<u8>> {
        let mut encoder = zstd::stream::write::Encoder::new(vec![FORMAT], LEVEL)?;
        encoder.include_checksum(true)?;
        encoder.write_all(&plain)?;
        encoder.finish()
    };
    compress().map_err(|error| error.to_string())
}

/// The list that a blob holds, or what is wrong with the blob.
pub(super) fn decode(blob: &[u8]) -> Result<Vec<Member>, String> {
    let packed = match blob.split_first() {
        Some((&FORMAT, packed)) => packed,
        Some((other, _)) => return Err(format!("a member list has the unknown format {other}")),
        None => return Err("a member list is empty".to_owned()),
    };
    let mut plain = Vec::new();
    zstd::stream::read::Decoder::with_buffer(packed)
        .and_then(|mut decoder| decoder.read_to_end(&mut plain))
        .map_err(|error| format!("a member list does not decompress ({error})"))?;
    postcard::from_bytes(&plain).map_err(|error| format!("a member list does not decode ({error})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, Kind, MemberMetadata, RelPath};

    fn members() -> Vec<Member> {
        (0..100u64)
            .map(|number| Member {
                path: RelPath::new(format!("usr/share/doc/{number}")).unwrap(),
                kind: Kind::File { size: number },
                metadata: MemberMetadata::default(),
                sha256: Some(Digest::of(&number.to_le_bytes())),
                extents: None,
            })
            .chain([Member {
                path: RelPath::new(&b"\xff\xfe"[..]).unwrap(),
                kind: Kind::Symlink { target: b"/\xff"[..].into() },
                metadata: MemberMetadata::default(),
                sha256: None,
                extents: None,
            }])
            .collect()
    }

    #[test]
    fn any_list_round_trips() {
        for list in [vec![], members()] {
            assert_eq!(decode(&encode(&list).unwrap()).unwrap(), list);
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_found() {
        let blob = encode(&members()).unwrap();
        for at in 0..blob.len() {
            let mut damaged = blob.clone();
            damaged[at] ^= 0x10;
            // zstd's frame header has bits that mean nothing; whatever decodes must be the list.
            if let Ok(list) = decode(&damaged) {
                assert_eq!(list, members(), "byte {at}");
            }
            assert!(decode(&blob[..at]).is_err(), "truncated at {at}");
        }
    }
}
