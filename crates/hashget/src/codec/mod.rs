//! Compression, recognised by content: decoders that stop at a limit, encoders with reproducible output.
//!
//! Invariant: a [`decoder`] ends without an error only after a complete, checked, compressed stream (all its
//! members or frames; [`Codec::Compress`] has no checksum and no end); an [`encoder`] gives equal output for equal input, whatever the number of threads.

mod blocks;
mod decode;
mod encode;
mod gzip;
mod lz4;
mod lzw;
pub(crate) mod seek_table;
pub(crate) mod seekable;
mod streams;
mod windows;
mod xz;

use std::fmt;
use std::io;

pub use decode::decoder;
pub(crate) use decode::{first_bytes, gzip_member, raw_deflate};
pub(crate) use encode::seekable_encoder;
pub use encode::{Encoder, encoder};

/// A compression format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// Not compressed.
    None,
    /// gzip, one or several members.
    Gzip,
    /// Zstandard, one or several frames.
    Zstd,
    /// xz, one or several streams.
    Xz,
    /// bzip2, one or several streams.
    Bzip2,
    /// LZ4 frames.
    Lz4,
    /// lzip, one or several members. It is read, and never written.
    Lzip,
    /// `.Z`, of the old program compress. It is read, and never written.
    Compress,
    /// `.lzma`, the predecessor of xz. It is read, and never written.
    Lzma,
}

/// Bytes that begin a skippable frame of zstd and LZ4: `5x 2a 4d 18`.
const SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const LZ4_MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
const XZ_MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];
const LZIP_MAGIC: [u8; 5] = [b'L', b'Z', b'I', b'P', 1];
const BZIP2_BLOCK: [u8; 6] = [0x31, 0x41, 0x59, 0x26, 0x53, 0x59];
const BZIP2_END: [u8; 6] = [0x17, 0x72, 0x45, 0x38, 0x50, 0x90];

impl Codec {
    /// Every codec that is also written.
    pub const WRITTEN: [Self; 6] =
        [Self::None, Self::Gzip, Self::Zstd, Self::Xz, Self::Bzip2, Self::Lz4];

    /// The compression of the bytes that begin with `head`; [`Codec::None`] if none is recognised. Ten bytes
    /// are enough, unless the bytes begin with skippable frames.
    pub fn recognise(head: &[u8]) -> Self {
        if is_skippable(head) {
            return after_skippable(head);
        }
        let is_bzip2 = head.len() >= 10
            && head.starts_with(b"BZh")
            && matches!(head[3], b'1'..=b'9')
            && (head[4..10] == BZIP2_BLOCK || head[4..10] == BZIP2_END);
        match head {
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            _ if head.starts_with(&ZSTD_MAGIC) => Self::Zstd,
            _ if head.starts_with(&XZ_MAGIC) => Self::Xz,
            _ if head.starts_with(&LZ4_MAGIC) => Self::Lz4,
            _ if is_bzip2 => Self::Bzip2,
            _ if head.starts_with(&LZIP_MAGIC) => Self::Lzip,
            _ if lzw::header(head).is_some() => Self::Compress,
            _ if is_lzma(head) => Self::Lzma,
            _ => Self::None,
        }
    }

    /// The name shown to users.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
            Self::Lz4 => "lz4",
            Self::Lzip => "lzip",
            Self::Compress => "compress",
            Self::Lzma => "lzma",
        }
    }
}

/// The properties that programs choose for `.lzma` files unless they are told others.
const LZMA_PROPERTIES: u8 = 0x5d;

/// Do these bytes begin a `.lzma` file as programs write it? There is no magic number: a dictionary of 2^n or 2^n + 2^(n-1)
/// bytes from 4 KiB on, the first byte of the data, which is always 0, and either an unknown size and possible properties, or a
/// size of less than 256 GiB and the usual ones.
fn is_lzma(head: &[u8]) -> bool {
    let Some((&[properties, d0, d1, d2, d3, s0, s1, s2, s3, s4, s5, s6, s7, 0], _)) =
        head.split_first_chunk::<14>()
    else {
        return false;
    };
    let dictionary = u32::from_le_bytes([d0, d1, d2, d3]);
    let is_usual =
        dictionary.is_power_of_two() || (dictionary % 3 == 0 && (dictionary / 3).is_power_of_two());
    let size = u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
    // (pb * 5 + lp) * 9 + lc, of which lc and lp together are at most 4.
    let (literal, position) = (properties % 9, properties / 9 % 5);
    let is_possible = properties < 225 && literal + position <= 4;
    let is_sized = properties == LZMA_PROPERTIES && size < 1 << 38;
    dictionary >= 1 << 12 && is_usual && (is_sized || (is_possible && size == u64::MAX))
}

/// Do these bytes begin a skippable frame?
fn is_skippable(head: &[u8]) -> bool {
    head.len() >= 4 && head[0] & 0xf0 == 0x50 && head[1..4] == SKIPPABLE
}

/// The codec of the first frame that is not skippable; zstd if `head` ends before it, since zstd's parallel
/// writers begin with such frames.
fn after_skippable(mut head: &[u8]) -> Codec {
    while is_skippable(head) {
        let Some(length) = head.get(4..8) else { return Codec::Zstd };
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]);
        let Some(rest) = usize::try_from(length).ok().and_then(|n| head.get(8 + n..)) else {
            return Codec::Zstd;
        };
        head = rest;
    }
    match head {
        _ if head.starts_with(&LZ4_MAGIC) => Codec::Lz4,
        _ if head.len() < 4 || head.starts_with(&ZSTD_MAGIC) => Codec::Zstd,
        _ => Codec::None,
    }
}

/// A [limit](crate::limits::Limits) was exceeded while reading; carried inside an [`io::Error`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitExceeded {
    /// What exceeds the limit, in the plural.
    pub what: String,
    /// The limit.
    pub limit: u64,
}

impl LimitExceeded {
    /// Wraps it in an I/O error, for readers.
    pub fn into_io(self) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, self)
    }

    /// The exceeded limit that `error` carries, if it does.
    pub fn in_io(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for LimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} are more than the limit of {}", self.what, self.limit)
    }
}

impl std::error::Error for LimitExceeded {}

/// Other bytes than zeros follow the end of compressed data; carried inside an [`io::Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BytesAfterEnd(Codec);

impl BytesAfterEnd {
    /// Wraps it in an I/O error, for readers.
    fn into_io(self) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, self)
    }

    /// The same, unless `error` is a limit that was exceeded.
    fn instead_of(self, error: io::Error) -> io::Error {
        if LimitExceeded::in_io(&error).is_some() { error } else { self.into_io() }
    }

    /// Is this what `error` says?
    pub(crate) fn is_in(error: &io::Error) -> bool {
        matches!(error.get_ref(), Some(inner) if inner.is::<Self>())
    }
}

impl fmt::Display for BytesAfterEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "other bytes follow the end of the {} data", self.0.name())
    }
}

impl std::error::Error for BytesAfterEnd {}

/// An error for bytes that are not valid data of the codec.
fn damaged(codec: Codec, problem: impl fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("damaged {} data: {problem}", codec.name()))
}

/// An error for bytes that end inside a compressed stream.
fn truncated(codec: Codec) -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("the {} data ends too early", codec.name()),
    )
}
