//! An entry of a folder's listing (ECMA-119, 9.1), and the numbers and times of images.
//!
//! Invariant: a number that is stored in both byte orders is used only if both say the same.

use super::damaged;
use super::image::Stretch;
use crate::formats::FormatError;
use crate::model::Timestamp;

/// Bytes of an entry with the shortest name.
pub(super) const SHORTEST: usize = 34;
/// Bytes of an entry before its name.
const NAME: usize = 33;
/// The names of a folder itself, and of that above it.
const ITSELF: [&[u8]; 2] = [&[0], &[1]];

const FOLDER: u8 = 0x02;
const ASSOCIATED: u8 = 0x04;
const GOES_ON: u8 = 0x80;

pub(super) const DISAGREE: &str = "a number is not the same in both of its byte orders";

/// One entry of a listing.
#[derive(Debug)]
pub(super) struct Record<'r> {
    /// Its name as stored.
    pub(super) name: &'r [u8],
    /// What follows the name: the attributes of Rock Ridge, where an image has them.
    pub(super) system_use: &'r [u8],
    /// The time of recording, if it is one.
    pub(super) mtime: Option<Timestamp>,
    /// The first block of its contents, and their bytes; nothing, if these are not the same in both byte orders.
    place: Option<(u64, u64)>,
    flags: u8,
    is_interleaved: bool,
}

impl<'r> Record<'r> {
    /// The entry that is stored as `bytes`.
    pub(super) fn parse(bytes: &'r [u8]) -> Result<Self, FormatError> {
        Self::fields(bytes).ok_or_else(|| damaged("an entry of a folder is shorter than its name"))
    }

    fn fields(bytes: &'r [u8]) -> Option<Self> {
        // Blocks with attributes of the record itself, which nobody uses, come before the contents.
        let (&extra_blocks, &flags) = (bytes.get(1)?, bytes.get(25)?);
        let name_length = usize::from(*bytes.get(NAME - 1)?);
        let name = bytes.get(NAME..NAME + name_length).filter(|name| !name.is_empty())?;
        // A name of an even length is followed by one more byte.
        let end = NAME + name_length + (1 - name_length % 2);
        let place = both_u32(bytes, 2).zip(both_u32(bytes, 10));
        Some(Self {
            name,
            system_use: bytes.get(end..).unwrap_or_default(),
            mtime: bytes.get(18..25).and_then(short_time),
            place: place
                .map(|(block, size)| (u64::from(block) + u64::from(extra_blocks), u64::from(size))),
            flags,
            is_interleaved: bytes.get(26..28).is_some_and(|gaps| gaps != [0, 0]),
        })
    }

    /// Is it the folder itself, or that above it?
    pub(super) fn is_itself(&self) -> bool {
        ITSELF.contains(&self.name)
    }

    /// Is it a folder?
    pub(super) fn is_folder(&self) -> bool {
        self.flags & FOLDER != 0
    }

    /// Does the next entry have more of the file's contents?
    pub(super) fn goes_on(&self) -> bool {
        self.flags & GOES_ON != 0
    }

    /// Where its contents lie in an image of these blocks, or why they cannot be read.
    pub(super) fn stretch(&self, block_bytes: u64) -> Result<Stretch, &'static str> {
        if self.flags & ASSOCIATED != 0 {
            return Err("it belongs to the file of the same name, and is none itself");
        }
        if self.is_interleaved {
            return Err("its contents are interleaved with others");
        }
        let (block, length) = self.place.ok_or(DISAGREE)?;
        Ok(Stretch { start: block * block_bytes, length })
    }
}

/// The number of 32 bits at `at`, stored in both byte orders.
pub(super) fn both_u32(bytes: &[u8], at: usize) -> Option<u32> {
    let little = bytes.get(at..at + 4)?.first_chunk().copied().map(u32::from_le_bytes)?;
    let big = bytes.get(at + 4..at + 8)?.first_chunk().copied().map(u32::from_be_bytes)?;
    (little == big).then_some(little)
}

/// The number of 16 bits at `at`, stored in both byte orders.
pub(super) fn both_u16(bytes: &[u8], at: usize) -> Option<u16> {
    let little = bytes.get(at..at + 2)?.first_chunk().copied().map(u16::from_le_bytes)?;
    let big = bytes.get(at + 2..at + 4)?.first_chunk().copied().map(u16::from_be_bytes)?;
    (little == big).then_some(little)
}

/// A time in 7 bytes: years since 1900, month, day, hour, minute, second, and the zone.
pub(super) fn short_time(bytes: &[u8]) -> Option<Timestamp> {
    let [year, fields @ .., zone] = bytes.first_chunk::<7>()?;
    time(1900 + i16::from(*year), *fields, 0, *zone)
}

/// A time in 17 bytes: digits, down to hundredths of a second, and the zone.
pub(super) fn long_time(bytes: &[u8]) -> Option<Timestamp> {
    let bytes: &[u8; 17] = bytes.first_chunk()?;
    let (digits, zone) = (&bytes[..16], bytes[16]);
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let pair = |at: usize| (digits[at] - b'0') * 10 + (digits[at + 1] - b'0');
    let year = i16::from(pair(0)) * 100 + i16::from(pair(2));
    let fields = [pair(4), pair(6), pair(8), pair(10), pair(12)];
    time(year, fields, u32::from(pair(14)), zone).filter(|_| (1900..=2300).contains(&year))
}

fn time(year: i16, fields: [u8; 5], hundredths: u32, zone: u8) -> Option<Timestamp> {
    // Steps of 15 minutes east of Greenwich.
    let zone = zone.cast_signed();
    if !(-48..=52).contains(&zone) {
        return None;
    }
    let [month, day, hour, minute, second] = fields.map(u8::cast_signed);
    let local = jiff::civil::DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    let as_utc = local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
    let seconds = as_utc - i64::from(zone) * 15 * 60;
    Some(Timestamp { seconds, nanoseconds: hundredths * 10_000_000 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_utc() {
        let seconds = |seconds| Some(Timestamp::from_seconds(seconds));
        assert_eq!(short_time(&[70, 1, 1, 0, 0, 0, 0]), seconds(0));
        assert_eq!(short_time(&[70, 1, 1, 2, 0, 1, 8]), seconds(1));
        assert_eq!(short_time(&[69, 12, 31, 23, 0, 0, 252]), seconds(0));
        assert_eq!(short_time(&[255, 2, 28, 0, 0, 0, 0]), seconds(5_843_059_200));
        let half = Timestamp { seconds: -1, nanoseconds: 500_000_000 };
        assert_eq!(long_time(b"1969123123595950\0"), Some(half));
        for wrong in [[0; 7], [70, 2, 30, 0, 0, 0, 0], [70, 1, 1, 0, 0, 0, 53]] {
            assert_eq!(short_time(&wrong), None);
        }
        for wrong in [&[0; 17], b"0000000000000000\0", b"19700101        \0", b"1899010100000000\0"]
        {
            assert_eq!(long_time(wrong), None);
        }
        assert_eq!((short_time(b"123456"), long_time(b"1969123123595950")), (None, None));
    }

    #[test]
    fn numbers_are_the_same_in_both_orders() {
        assert_eq!(both_u32(&[9, 4, 3, 2, 1, 1, 2, 3, 4], 1), Some(0x0102_0304));
        assert_eq!(both_u32(&[4, 3, 2, 1, 1, 2, 3, 5], 0), None);
        assert_eq!(both_u32(&[0; 7], 0), None);
        assert_eq!((both_u16(&[0, 8, 8, 0], 0), both_u16(&[8, 0, 8, 0], 0)), (Some(2048), None));
    }
}
