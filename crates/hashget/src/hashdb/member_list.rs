//! The member list of a package: its canonical bytes, as `docs/format-index.md` defines them, and the same as one blob: a
//! format byte, then zstd over these bytes.
//!
//! Invariant: a blob that was damaged on disk never decodes to a different list; zstd's checksum covers every
//! byte of the list. The canonical bytes of a list never change.

use std::cell::Cell;
use std::io::{self, BufReader, Read, Write};

use zstd::zstd_safe::{DCtx, ResetDirective};

use crate::model::{Digest, HashingReader, HashingWriter, Member};

/// zstd over postcard's encoding of `Vec<Member>`.
const FORMAT: u8 = 1;

/// Fast, and within a few per cent of the higher levels for lists of paths and digests.
const LEVEL: i32 = 3;

/// Number of decompressed bytes processed at once; more for a member that needs them.
const WINDOW: usize = 1 << 16;

/// Canonical bytes of the longest list of somebody else that is read: ten times those of a million files.
const MOST_BYTES: u64 = 1 << 30;

/// Writes the canonical bytes of a list: postcard's encoding of the slice. They are never in memory as a whole.
///
/// # Errors
/// `output` failed.
pub fn write_canonical(members: &[Member], output: &mut dyn Write) -> io::Result<()> {
    let mut plain = postcard::to_stdvec(&members.len()).map_err(io::Error::other)?;
    for member in members {
        plain = postcard::to_extend(member, plain).map_err(io::Error::other)?;
        if plain.len() >= WINDOW {
            output.write_all(&plain)?;
            plain.clear();
        }
    }
    output.write_all(&plain)
}

/// The digest of a list: that of its canonical bytes.
pub fn digest(members: &[Member]) -> Digest {
    let mut hashing = HashingWriter::new(io::sink());
    write_canonical(members, &mut hashing).expect("a sink takes everything");
    hashing.finish().0
}

/// `members` as a blob.
///
/// # Errors
/// A message that says why zstd failed.
pub fn encode(members: &[Member]) -> Result<Vec<u8>, String> {
    let mut encoder = zstd::stream::write::Encoder::new(vec![FORMAT], LEVEL).map_err(text)?;
    encoder.include_checksum(true).map_err(text)?;
    write_canonical(members, &mut encoder).and_then(|()| encoder.finish()).map_err(text)
}

/// Passes the members in `blob` to `visit`, in order.
///
/// # Errors
/// What is wrong with the blob; discard all members that were passed.
pub fn decode(blob: impl Read, visit: &mut dyn FnMut(Member)) -> Result<(), String> {
    unpacked(blob, |plain| visit_all(plain, u64::MAX, visit).map(drop))
}

/// The same for a list of somebody else, of at most `most` members: and its digest.
///
/// # Errors
/// As for [`decode`]; also if it has more members, or more than 1 GiB of canonical bytes.
pub fn decode_and_hash(
    blob: impl Read,
    most: u64,
    visit: &mut dyn FnMut(Member),
) -> Result<Digest, String> {
    unpacked(blob, |plain| {
        let hashing = HashingReader::new(plain.take(MOST_BYTES));
        Ok(visit_all(hashing, most, visit)?.finish().0)
    })
}

thread_local! {
    /// What zstd decodes with: making it takes longer than decoding a short list.
    static DECODING: Cell<Option<DCtx<'static>>> = const { Cell::new(None) };
}

/// Passes the canonical bytes in a blob to `read`.
fn unpacked<B: Read, T>(
    mut blob: B,
    read: impl FnOnce(&mut dyn Read) -> Result<T, String>,
) -> Result<T, String> {
    let mut format = Vec::new();
    blob.by_ref().take(1).read_to_end(&mut format).map_err(text)?;
    match *format {
        [FORMAT] => {}
        [other, ..] => return Err(format!("a member list has the unknown format {other}")),
        [] => return Err("a member list is empty".to_owned()),
    }
    // Whoever decodes a list while another one is decoded makes one more.
    let mut decoding = DECODING.take().unwrap_or_default();
    // The last list may not have been read to its end.
    decoding.reset(ResetDirective::SessionOnly).map_err(zstd::zstd_safe::get_error_name)?;
    let blob = BufReader::with_capacity(WINDOW, blob);
    let result = read(&mut zstd::stream::read::Decoder::with_context(blob, &mut decoding));
    DECODING.set(Some(decoding));
    result
}

/// Passes the members in canonical bytes to `visit`; returns the reader, at its end.
fn visit_all<R: Read>(plain: R, most: u64, visit: &mut dyn FnMut(Member)) -> Result<R, String> {
    let mut window = Window { unpacked: plain, bytes: Vec::new(), next: 0 };
    let count: u64 = window.take()?;
    if count > most {
        return Err(format!("a member list has {count} members, expected at most {most}"));
    }
    for _ in 0..count {
        visit(window.take()?);
    }
    // The checksum follows the last byte.
    let rest = io::copy(&mut window.unpacked, &mut io::sink()).map_err(packed_badly)?;
    if rest > 0 || window.next < window.bytes.len() {
        return Err("a member list does not end after its last member".to_owned());
    }
    Ok(window.unpacked)
}

/// The part of a list that is being processed.
struct Window<R> {
    unpacked: R,
    bytes: Vec<u8>,
    /// Where the next value begins.
    next: usize,
}

impl<R: Read> Window<R> {
    /// The next value.
    fn take<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, String> {
        loop {
            let error = match postcard::take_from_bytes(&self.bytes[self.next..]) {
                Ok((value, rest)) => {
                    self.next = self.bytes.len() - rest.len();
                    return Ok(value);
                }
                Err(error) => error,
            };
            if error != postcard::Error::DeserializeUnexpectedEnd || !self.fill()? {
                return Err(format!("a member list does not decode ({error})"));
            }
        }
    }

    /// Decompresses more. `false` at the end.
    fn fill(&mut self) -> Result<bool, String> {
        self.bytes.drain(..self.next);
        self.next = 0;
        // A value that does not fit into a window gets twice as much each time.
        let more = self.bytes.len().max(WINDOW) as u64;
        let count = self.unpacked.by_ref().take(more).read_to_end(&mut self.bytes);
        Ok(count.map_err(packed_badly)? > 0)
    }
}

fn packed_badly(error: io::Error) -> String {
    format!("a member list does not decompress ({error})")
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
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

    fn decoded(blob: &[u8]) -> Result<Vec<Member>, String> {
        let mut list = Vec::new();
        decode(blob, &mut |member| list.push(member)).map(|()| list)
    }

    #[test]
    fn any_list_round_trips() {
        let mut long = members();
        long[50].path = RelPath::new(vec![b'x'; 5 * WINDOW]).unwrap();
        let many = (0..100).flat_map(|_| members()).collect();
        for list in [vec![], members(), long, many] {
            let blob = encode(&list).unwrap();
            assert_eq!(decoded(&blob).unwrap(), list);
            // The encoding is that of the whole list, which earlier versions wrote and read in one piece.
            let plain = zstd::decode_all(&blob[1..]).unwrap();
            assert_eq!(plain, postcard::to_stdvec(&list).unwrap());
            let hashed = decode_and_hash(&*blob, list.len() as u64, &mut |_| ()).unwrap();
            decode_and_hash(&*blob, (list.len() as u64).wrapping_sub(1), &mut |_| ())
                .map_or_else(|_| assert!(!list.is_empty()), |_| assert!(list.is_empty()));
            assert_eq!([hashed, digest(&list)], [Digest::of(&plain); 2]);
        }
    }

    #[test]
    fn a_list_ends_where_its_count_says() {
        let mut plain = postcard::to_stdvec(&members()).unwrap();
        let blob = |plain: &[u8]| [&[FORMAT][..], &zstd::encode_all(plain, 1).unwrap()].concat();
        assert_eq!(decoded(&blob(&plain)).unwrap(), members());
        plain.push(0);
        assert!(decoded(&blob(&plain)).unwrap_err().contains("does not end"));
        plain.truncate(plain.len() - 2);
        assert!(decoded(&blob(&plain)).unwrap_err().contains("does not decode"));
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_found() {
        let blob = encode(&members()).unwrap();
        for at in 0..blob.len() {
            let mut damaged = blob.clone();
            damaged[at] ^= 0x10;
            // zstd's frame header has unused bits; if it decodes at all, the list must be the same.
            if let Ok(list) = decoded(&damaged) {
                assert_eq!(list, members(), "byte {at}");
            }
            assert!(decoded(&blob[..at]).is_err(), "truncated at {at}");
        }
    }
}
