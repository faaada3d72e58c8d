//! The packets that a parity file consists of.
//!
//! Invariant: a packet is used only if its checksum is right, and it has the size that its type requires.

use md5::{Digest as _, Md5};

/// 16 bytes that MD5 gives.
pub(crate) type Sum = [u8; 16];

/// Begins every packet.
pub(crate) const MAGIC: &[u8; 8] = b"PAR2\0PKT";
/// Bytes before the body of a packet.
pub(crate) const HEADER: u64 = 64;
/// Bytes before the recovery block in its packet.
pub(crate) const RECOVERY_HEADER: u64 = HEADER + 4;
/// Where in a packet begins what its checksum is of.
pub(crate) const SUMMED_FROM: u64 = 32;

pub(crate) const MAIN: &[u8; 16] = b"PAR 2.0\0Main\0\0\0\0";
pub(crate) const FILE: &[u8; 16] = b"PAR 2.0\0FileDesc";
pub(crate) const SLICES: &[u8; 16] = b"PAR 2.0\0IFSC\0\0\0\0";
pub(crate) const RECOVERY: &[u8; 16] = b"PAR 2.0\0RecvSlic";
/// What [`crate::extra_of`] gives; other programs pass over it.
pub(crate) const EXTRA: &[u8; 16] = b"hashget\0Manifest";
pub(crate) const CREATOR: &[u8; 16] = b"PAR 2.0\0Creator\0";

/// What stands at the beginning of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Bytes of the whole packet.
    pub(crate) length: u64,
    /// MD5 of everything behind it in the packet.
    pub(crate) sum: Sum,
    /// Which set the packet belongs to.
    pub(crate) set: Sum,
    pub(crate) kind: [u8; 16],
}

impl Header {
    /// Reads it; `None` if there is none.
    pub(crate) fn parse(bytes: &[u8; 64]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let (sum, rest) = rest.split_first_chunk()?;
        let (set, rest) = rest.split_first_chunk()?;
        let kind = *rest.first_chunk()?;
        let length = u64::from_le_bytes(*length);
        let is_one = magic == MAGIC && length >= HEADER && length.is_multiple_of(4);
        is_one.then_some(Self { length, sum: *sum, set: *set, kind })
    }

    pub(crate) fn bytes(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        let parts = [&MAGIC[..], &self.length.to_le_bytes(), &self.sum, &self.set, &self.kind];
        for (place, byte) in bytes.iter_mut().zip(parts.concat()) {
            *place = byte;
        }
        bytes
    }
}

/// MD5 of these bytes.
pub(crate) fn sum(parts: &[&[u8]]) -> Sum {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(part);
    }
    md5.finalize().into()
}

/// A whole packet. Zeros are added until its length is a multiple of 4.
pub(crate) fn packet(set: Sum, kind: &[u8; 16], body: &[&[u8]]) -> Vec<u8> {
    let mut body = body.concat();
    body.resize(body.len().next_multiple_of(4), 0);
    let length = HEADER + body.len() as u64;
    let header = Header { length, sum: sum(&[&set, kind, &body]), set, kind: *kind };
    [&header.bytes()[..], &body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let whole = packet([7; 16], CREATOR, &[b"somebod", b"y"]);
        assert_eq!(whole.len(), 72);
        let header = Header::parse(whole.first_chunk().unwrap()).unwrap();
        assert_eq!((header.length, header.set, &header.kind), (72, [7; 16], CREATOR));
        assert_eq!(header.sum, sum(&[&whole[32..]]));
        for at in [0, 8] {
            let mut wrong = whole.clone();
            wrong[at] ^= 1;
            assert_eq!(Header::parse(wrong.first_chunk().unwrap()), None);
        }
    }
}
