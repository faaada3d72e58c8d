//! Bytes that travel at the end of a parity file, in a packet that other programs pass over.
//!
//! Invariant: they are given out only if the MD5 of their packet is right.

use std::fs::File;

use crate::error::ParityError;
use crate::packet::{EXTRA, HEADER, Header, packet, sum};
use crate::reading::{ReadAt, write_at};

/// Bytes that may travel.
pub const MOST_EXTRA: u64 = 4 << 20;

/// Ends the packet, so that it is found from the end of the file: this, after the number of bytes.
const END: &[u8; 8] = b"hashget1";

/// Bytes of the end.
const END_BYTES: usize = 16;

/// Bytes before what travels.
const BODY: usize = 64;

/// Adds bytes to a parity file of `size` bytes that was just made; its size then. More than [`MOST_EXTRA`] are not added.
///
/// # Errors
/// The parity could not be read or written.
pub fn add_extra(parity: &File, size: u64, extra: &[u8]) -> Result<u64, ParityError> {
    let mut first = [0; BODY];
    ReadAt::read_at(parity, &mut first, 0).map_err(ParityError::ReadParity)?;
    let (Some(header), true) = (Header::parse(&first), extra.len() as u64 <= MOST_EXTRA) else {
        return Ok(size);
    };
    let padding = [0; 3];
    let padding = &padding[..extra.len().next_multiple_of(4) - extra.len()];
    let length = (extra.len() as u64).to_le_bytes();
    let packet = packet(header.set, EXTRA, &[extra, padding, &length, END]);
    write_at(parity, &packet, size).map_err(ParityError::Write)?;
    Ok(size + packet.len() as u64)
}

/// The bytes that travel in a parity file of `size` bytes; `None` if there are none, or they are damaged.
///
/// # Errors
/// It could not be read.
pub fn extra_of(
    parity: &(impl ReadAt + ?Sized),
    size: u64,
) -> Result<Option<Vec<u8>>, ParityError> {
    let mut end = [0; END_BYTES];
    let Some(at_end) = size.checked_sub(END_BYTES as u64) else { return Ok(None) };
    parity.read_at(&mut end, at_end).map_err(ParityError::ReadParity)?;
    let length = match end.split_first_chunk() {
        Some((length, mark)) if mark == END => u64::from_le_bytes(*length),
        _ => return Ok(None),
    };
    if length > MOST_EXTRA {
        return Ok(None);
    }
    let whole = HEADER + length.next_multiple_of(4) + END_BYTES as u64;
    let Some(start) = size.checked_sub(whole) else { return Ok(None) };
    let mut packet = vec![0; usize::try_from(whole).unwrap_or(0)];
    parity.read_at(&mut packet, start).map_err(ParityError::ReadParity)?;
    let header = packet.first_chunk().and_then(Header::parse);
    let is_right = header.is_some_and(|header| {
        header.kind == *EXTRA && header.length == whole && header.sum == sum(&[&packet[32..]])
    });
    let end = BODY + usize::try_from(length).unwrap_or(0);
    Ok(is_right.then(|| packet[BODY..end].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Layout, Set, create};

    /// Parity for some bytes, with what travels in it.
    fn parity(extra: &[u8]) -> (File, u64) {
        let original: Vec<u8> = (0..5000_u32).flat_map(u32::to_le_bytes).collect();
        let layout = Layout::new(original.len() as u64, 5).unwrap();
        let file = tempfile::tempfile().unwrap();
        let size = create(&original[..], b"name", &layout, &file, 1, &|_| true).unwrap();
        let size = add_extra(&file, size, extra).unwrap();
        (file, size)
    }

    #[test]
    fn what_travels_comes_out_and_the_set_is_whole() {
        for length in [0, 1, 4, 1023, 2 << 20] {
            let extra: Vec<u8> = (0..length).map(|at: u32| at.to_le_bytes()[0]).collect();
            let (file, size) = parity(&extra);
            assert_eq!(extra_of(&file, size).unwrap(), Some(extra));
            assert_eq!(file.metadata().unwrap().len(), size);
            assert!(Set::read(&file, size).unwrap().is_whole(), "{length}");
        }
    }

    #[test]
    fn what_is_damaged_or_too_long_does_not() {
        let (file, size) = parity(b"some bytes");
        for at in size - 90..size {
            let mut byte = [0];
            ReadAt::read_at(&file, &mut byte, at).unwrap();
            write_at(&file, &[byte[0] ^ 1], at).unwrap();
            assert_eq!(extra_of(&file, size).unwrap(), None, "{at}");
            write_at(&file, &byte, at).unwrap();
        }
        assert!(extra_of(&file, size).unwrap().is_some());
        for length in [0, 10, 60, size - 1] {
            assert_eq!(extra_of(&file, length).unwrap(), None, "{length}");
        }
        let (file, size) = parity(&vec![0; usize::try_from(MOST_EXTRA).unwrap() + 1]);
        assert_eq!(extra_of(&file, size).unwrap(), None);
        // What a hostile file says of its length is not allocated.
        let hostile = [&u64::MAX.to_le_bytes()[..], END].concat();
        assert_eq!(extra_of(&hostile[..], 16).unwrap(), None);
    }
}
