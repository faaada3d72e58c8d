//! Contents of zip entries that liblzma decodes: LZMA and xz.
//!
//! Invariant: the memory of the decoder is within the limits, and contents that end have the CRC of the directory.

use std::io::{self, Cursor, Read};

use ::zip::CompressionMethod;

use crate::codec::{self, Codec};
use crate::limits::Limits;

/// Version of the LZMA program, size of the properties, the properties.
const LZMA_HEADER: usize = 9;
const LZMA_PROPERTIES: usize = 5;

/// Are contents of this method decoded here, and not by the crate? Its own decoders of these have no limit on their memory.
pub(super) fn decodes(method: CompressionMethod) -> bool {
    [CompressionMethod::LZMA, CompressionMethod::XZ].contains(&method)
}

/// The contents of an entry of `size` bytes, with this CRC, that are stored as `raw`.
///
/// # Errors
/// The header of the stored bytes is damaged, or a decoder could not start.
pub(super) fn decoder<'a>(
    method: CompressionMethod,
    mut raw: Box<dyn Read + 'a>,
    (size, crc): (u64, u32),
    limits: &Limits,
) -> io::Result<impl Read + 'a> {
    let content = if method == CompressionMethod::XZ {
        codec::decoder(Codec::Xz, raw, limits, limits.threads)?
    } else {
        let mut header = [0; LZMA_HEADER];
        raw.read_exact(&mut header)?;
        if usize::from(u16::from_le_bytes([header[2], header[3]])) != LZMA_PROPERTIES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "LZMA data of an unknown form"));
        }
        // A file of this kind begins with the properties, and the size of the contents.
        let header = [&header[LZMA_HEADER - LZMA_PROPERTIES..], &size.to_le_bytes()].concat();
        codec::decoder(Codec::Lzma, Box::new(Cursor::new(header).chain(raw)), limits, 1)?
    };
    Ok(Checked { content, crc: flate2::Crc::new(), expected: crc })
}

/// Compares the CRC at the end.
struct Checked<R> {
    content: R,
    crc: flate2::Crc,
    expected: u32,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        self.crc.update(&buffer[..count]);
        if count == 0 && !buffer.is_empty() && self.crc.sum() != self.expected {
            let problem = "an entry's contents have another CRC than the directory says";
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        Ok(count)
    }
}
