//! Files with holes: which of the stored bytes a part of such a file has.
//!
//! Invariant: holes are zeros, and of what is stored no more is read than the part has.

use std::ops::Range;

use crate::model::Extent;

/// Fills a buffer with stored bytes from a position on.
pub(super) type Fill<'f, E> = &'f mut dyn FnMut(&mut [u8], u64) -> Result<(), E>;

/// A part of a file whose data is stored from `start` on, extent after extent; without extents, as it is. `fill` reads stored
/// bytes.
///
/// # Errors
/// Those of `fill`.
pub(super) fn read_part<E>(
    start: u64,
    extents: Option<&[Extent]>,
    part: &Range<u64>,
    fill: Fill<'_, E>,
) -> Result<Vec<u8>, E> {
    let length = |range: &Range<u64>| usize::try_from(range.end - range.start).unwrap_or(0);
    let mut bytes = vec![0; length(part)];
    let whole = [Extent { offset: 0, length: u64::MAX }];
    let mut stored = start;
    for extent in extents.unwrap_or(&whole) {
        let end = extent.offset.saturating_add(extent.length);
        let common = part.start.max(extent.offset)..part.end.min(end);
        if common.start < common.end {
            let from = length(&(part.start..common.start));
            let target = &mut bytes[from..from + length(&common)];
            fill(target, stored.saturating_add(common.start - extent.offset))?;
        }
        stored = stored.saturating_add(extent.length);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_put_together_of_data_and_holes() {
        let stored = b"..abcdef";
        let extents = [Extent { offset: 2, length: 2 }, Extent { offset: 6, length: 4 }];
        let file = b"\0\0ab\0\0cdef\0\0";
        let fill = &mut |buffer: &mut [u8], first: u64| {
            let first = usize::try_from(first).unwrap();
            buffer.copy_from_slice(stored.get(first..first + buffer.len()).ok_or(())?);
            Ok::<(), ()>(())
        };
        for start in 0..file.len() {
            for end in start..=file.len() {
                let part = start as u64..end as u64;
                assert_eq!(read_part(2, Some(&extents), &part, fill).unwrap(), file[start..end]);
            }
        }
        assert_eq!(read_part(2, None, &(1..3), fill), Ok(b"bc".to_vec()));
        assert_eq!(read_part(2, None, &(1..9), fill), Err(()));
    }
}
