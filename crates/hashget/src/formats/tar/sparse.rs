//! Where the data of a sparse file lies.
//!
//! Invariant: a map's extents are ascending, do not overlap, end within the file and hold exactly the
//! bytes that are stored.

use crate::model::Extent;

/// The extents of `pairs` (offset, length), checked against the file's `size` and the `stored` bytes.
/// Empty ones (GNU tar marks a hole at the end with one) are left out.
pub(super) fn extents(
    pairs: impl IntoIterator<Item = (u64, u64)>,
    size: u64,
    stored: u64,
) -> Result<Vec<Extent>, String> {
    let mut extents = Vec::new();
    let mut end = 0;
    let mut bytes = 0;
    for (offset, length) in pairs {
        if offset < end {
            return Err(format!("a sparse file's data at {offset} overlaps data before {end}"));
        }
        end = offset
            .checked_add(length)
            .filter(|&end| end <= size)
            .ok_or_else(|| format!("a sparse file's data at {offset} exceeds its size {size}"))?;
        if length > 0 {
            bytes += length;
            extents.push(Extent { offset, length });
        }
    }
    if bytes != stored {
        return Err(format!("a sparse file's map has {bytes} bytes of data, but {stored} follow"));
    }
    Ok(extents)
}

/// Numbers in turn offset and length, as pairs.
pub(super) fn pairs(numbers: &[u64]) -> Result<Vec<(u64, u64)>, String> {
    if !numbers.len().is_multiple_of(2) {
        return Err("a sparse file's map has an offset without a length".to_owned());
    }
    Ok(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}
