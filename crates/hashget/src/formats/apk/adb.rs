//! The values of an ADB block, in which an Alpine package of version 3 has everything but the contents of its files.
//!
//! Invariant: no value is read beyond the block. One that is missing or of another type has no value: what must be there is
//! decided by who asks.

/// Size of the block's own header in bytes: its version, and the root value.
const HEADER: usize = 8;

/// The types of values, in the upper four bits.
const INT: u32 = 0x1;
const INT_32: u32 = 0x2;
const INT_64: u32 = 0x3;
const BLOB_8: u32 = 0x8;
const BLOB_16: u32 = 0x9;
const BLOB_32: u32 = 0xa;
const ARRAY: u32 = 0xd;
const OBJECT: u32 = 0xe;

/// The bytes of an ADB block.
pub(super) struct Adb(Vec<u8>);

/// An array or an object: numbered values, from 1.
#[derive(Clone, Copy)]
pub(super) struct Slots<'a> {
    adb: &'a Adb,
    /// Position of the first value, and number of values.
    start: usize,
    count: usize,
}

impl Adb {
    /// These bytes as a block; the version that only newer readers understand, if it has such a one; `None` if they are too
    /// few.
    pub(super) fn new(bytes: Vec<u8>) -> Option<Result<Self, u8>> {
        let oldest_reader = *bytes.first()?;
        (bytes.len() >= HEADER).then_some(match oldest_reader {
            0 => Ok(Self(bytes)),
            newer => Err(newer),
        })
    }

    /// The object that everything else is in.
    pub(super) fn root(&self) -> Option<Slots<'_>> {
        self.slots(self.word(4)?)
    }

    fn word(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(*self.0.get(at..)?.first_chunk()?))
    }

    fn slots(&self, value: u32) -> Option<Slots<'_>> {
        let (kind, at) = parts(value)?;
        if !matches!(kind, ARRAY | OBJECT) {
            return None;
        }
        // The number of slots counts itself.
        let count = usize::try_from(self.word(at)?).ok()?.checked_sub(1)?;
        let start = at.checked_add(4)?;
        self.0.get(start..)?.get(..count.checked_mul(4)?)?;
        Some(Slots { adb: self, start, count })
    }

    fn number(&self, value: u32) -> Option<u64> {
        let (kind, at) = parts(value)?;
        match kind {
            INT => Some(at as u64),
            INT_32 => self.word(at).map(u64::from),
            INT_64 => Some(u64::from_le_bytes(*self.0.get(at..)?.first_chunk()?)),
            _ => None,
        }
    }

    fn blob(&self, value: u32) -> Option<&[u8]> {
        let (kind, at) = parts(value)?;
        let rest = self.0.get(at..)?;
        let (length, width) = match kind {
            BLOB_8 => (usize::from(*rest.first()?), 1),
            BLOB_16 => (usize::from(u16::from_le_bytes(*rest.first_chunk()?)), 2),
            BLOB_32 => (usize::try_from(u32::from_le_bytes(*rest.first_chunk()?)).ok()?, 4),
            _ => return None,
        };
        rest.get(width..)?.get(..length)
    }
}

/// The type of a value, and the number or position in it.
fn parts(value: u32) -> Option<(u32, usize)> {
    Some((value >> 28, usize::try_from(value & 0x0fff_ffff).ok()?))
}

impl<'a> Slots<'a> {
    /// Number of values.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    fn value(&self, slot: usize) -> Option<u32> {
        let index = slot.checked_sub(1).filter(|index| *index < self.count)?;
        self.adb.word(self.start + index * 4)
    }

    /// The number in `slot`.
    pub(super) fn number(&self, slot: usize) -> Option<u64> {
        self.adb.number(self.value(slot)?)
    }

    /// The bytes in `slot`.
    pub(super) fn blob(&self, slot: usize) -> Option<&'a [u8]> {
        self.adb.blob(self.value(slot)?)
    }

    /// The array or object in `slot`.
    pub(super) fn slots(&self, slot: usize) -> Option<Slots<'a>> {
        self.adb.slots(self.value(slot)?)
    }
}
