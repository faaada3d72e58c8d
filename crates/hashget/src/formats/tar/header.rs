//! One block of a tar header: fields at fixed positions.
//!
//! Invariant: a [`Header`] has a valid checksum; its numbers are parsed on request, and each error names the
//! field.

use crate::model::escaped;

/// Size of a block in bytes.
pub(super) const BLOCK: usize = 512;

/// A header block with a valid checksum.
pub(super) struct Header<'a>(&'a [u8; BLOCK]);

const NAME: std::ops::Range<usize> = 0..100;
const MODE: std::ops::Range<usize> = 100..108;
const UID: std::ops::Range<usize> = 108..116;
const GID: std::ops::Range<usize> = 116..124;
const SIZE: std::ops::Range<usize> = 124..136;
const MTIME: std::ops::Range<usize> = 136..148;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const TYPE: usize = 156;
const LINK_NAME: std::ops::Range<usize> = 157..257;
const MAGIC: std::ops::Range<usize> = 257..263;
const DEVICE_MAJOR: std::ops::Range<usize> = 329..337;
const DEVICE_MINOR: std::ops::Range<usize> = 337..345;
const PREFIX: std::ops::Range<usize> = 345..500;
/// star has a shorter prefix, followed by times.
const STAR_PREFIX: std::ops::Range<usize> = 345..476;
const STAR_MAGIC: std::ops::Range<usize> = 508..512;
const SPARSE: std::ops::Range<usize> = 386..482;
const SPARSE_EXTENDED: usize = 482;
const SPARSE_SIZE: std::ops::Range<usize> = 483..495;

impl<'a> Header<'a> {
    /// Parses the header in `block`; the error says what is wrong.
    pub(super) fn parse(block: &'a [u8; BLOCK]) -> Result<Self, String> {
        let expected = parse_number("checksum", &block[CHECKSUM])?
            .ok_or_else(|| "a header without a checksum".to_owned())?;
        let mut unsigned = 0_i64;
        let mut signed = 0_i64;
        for (index, &byte) in block.iter().enumerate() {
            let byte = if CHECKSUM.contains(&index) { b' ' } else { byte };
            unsigned += i64::from(byte);
            // Some old programs summed signed characters.
            signed += i64::from(byte.cast_signed());
        }
        if expected != unsigned && expected != signed {
            return Err(format!(
                "a header has the checksum {expected}, but its bytes add up to {unsigned}"
            ));
        }
        Ok(Self(block))
    }

    /// The type flag.
    pub(super) fn kind(&self) -> u8 {
        self.0[TYPE]
    }

    /// The name, after the prefix if the variant has one.
    pub(super) fn name(&self) -> Vec<u8> {
        let name = text(&self.0[NAME]);
        if &self.0[MAGIC] != b"ustar\0" {
            return name.to_vec();
        }
        let is_star = &self.0[STAR_MAGIC] == b"tar\0";
        let prefix = text(if is_star { &self.0[STAR_PREFIX] } else { &self.0[PREFIX] });
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    /// The target of a link.
    pub(super) fn link_name(&self) -> Vec<u8> {
        text(&self.0[LINK_NAME]).to_vec()
    }

    /// The permission bits; `None` if blank.
    pub(super) fn mode(&self) -> Result<Option<u32>, String> {
        let mode = parse_number("mode", &self.0[MODE])?;
        Ok(mode.map(|mode| u32::try_from(mode & 0o7777).expect("twelve bits")))
    }

    /// The owner; `None` if blank or out of range.
    pub(super) fn uid(&self) -> Result<Option<u32>, String> {
        Ok(parse_number("uid", &self.0[UID])?.and_then(|uid| u32::try_from(uid).ok()))
    }

    /// The group; `None` if blank or out of range.
    pub(super) fn gid(&self) -> Result<Option<u32>, String> {
        Ok(parse_number("gid", &self.0[GID])?.and_then(|gid| u32::try_from(gid).ok()))
    }

    /// The number of bytes stored after the header; 0 if blank, as in volume labels of GNU tar.
    pub(super) fn size(&self) -> Result<u64, String> {
        let field = &self.0[SIZE];
        if parse_number("size", field)?.is_none() { Ok(0) } else { size("size", field) }
    }

    /// Seconds since 1970; `None` if blank.
    pub(super) fn mtime(&self) -> Result<Option<i64>, String> {
        parse_number("mtime", &self.0[MTIME])
    }

    /// Major and minor number of a device.
    pub(super) fn device(&self) -> Result<(u32, u32), String> {
        let part = |field, bytes| {
            let value = parse_number(field, bytes)?.unwrap_or(0);
            u32::try_from(value).map_err(|_| format!("{field} is {value}: not a device's number"))
        };
        Ok((
            part("device major", &self.0[DEVICE_MAJOR])?,
            part("device minor", &self.0[DEVICE_MINOR])?,
        ))
    }

    /// Old GNU sparse format: offset and length of the first extents, and whether a block with more extents
    /// follows.
    pub(super) fn sparse(&self) -> Result<(Vec<(u64, u64)>, bool), String> {
        Ok((sparse_entries(&self.0[SPARSE])?, self.0[SPARSE_EXTENDED] != 0))
    }

    /// Old GNU sparse format: the file's size, holes counted.
    pub(super) fn sparse_size(&self) -> Result<u64, String> {
        size("sparse size", &self.0[SPARSE_SIZE])
    }
}

/// Old GNU sparse format: the extents in a block that follows the header, and whether another
/// block follows.
pub(super) fn sparse_block(block: &[u8; BLOCK]) -> Result<(Vec<(u64, u64)>, bool), String> {
    const ENTRIES: usize = 21 * 24;
    Ok((sparse_entries(&block[..ENTRIES])?, block[ENTRIES] != 0))
}

fn sparse_entries(bytes: &[u8]) -> Result<Vec<(u64, u64)>, String> {
    let mut entries = Vec::new();
    for entry in bytes.chunks_exact(24) {
        if entry[0] == 0 || entry[12] == 0 {
            break;
        }
        entries.push((size("sparse offset", &entry[..12])?, size("sparse length", &entry[12..])?));
    }
    Ok(entries)
}

/// The bytes up to the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or(field)
}

fn size(field: &str, bytes: &[u8]) -> Result<u64, String> {
    let value = parse_number(field, bytes)?.ok_or_else(|| format!("{field} is blank"))?;
    u64::try_from(value).map_err(|_| format!("{field} is negative: {value}"))
}

/// A number: octal text, or a big-endian binary number if the top bit is set. `None` if blank.
fn parse_number(field: &str, bytes: &[u8]) -> Result<Option<i64>, String> {
    if bytes[0] & 0x80 != 0 {
        return binary(field, bytes).map(Some);
    }
    let bad = || format!("{field} is \"{}\": expected an octal number", escaped(bytes));
    // One old program overwrote the first digit with a NUL if the number did not fit.
    let digits = bytes.strip_prefix(b"\0").unwrap_or(bytes).trim_ascii_start();
    let end = digits.iter().position(|byte| matches!(byte, 0 | b' ')).unwrap_or(digits.len());
    if !digits[end..].iter().all(|byte| matches!(byte, 0 | b' ')) {
        // Some writers leave other bytes after the NUL; they are not part of the number.
        if digits[end] != 0 {
            return Err(bad());
        }
    }
    if end == 0 {
        return Ok(None);
    }
    digits[..end]
        .iter()
        .try_fold(0_i64, |value, &digit| match digit {
            b'0'..=b'7' => Some(value * 8 + i64::from(digit - b'0')),
            _ => None,
        })
        .map(Some)
        .ok_or_else(bad)
}

/// The GNU extension for numbers too large for octal digits: two's complement, without the top bit.
fn binary(field: &str, bytes: &[u8]) -> Result<i64, String> {
    let negative = bytes[0] & 0x40 != 0;
    let first = if negative { bytes[0] | 0x80 } else { bytes[0] & 0x7f };
    let mut value = i128::from(first.cast_signed());
    for &byte in &bytes[1..] {
        value = value << 8 | i128::from(byte);
    }
    i64::try_from(value).map_err(|_| format!("{field} is {value}: too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_every_notation() {
        let cases: [(&[u8], Option<i64>); 10] = [
            (b"0000644\0", Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"77777777", Some(0o77_777_777)),
            (b"\0 123456", Some(0o123_456)),
            (b"        ", None),
            (b"\0\0\0\0\0\0\0\0", None),
            (b"12\0garb\0", Some(0o12)),
            (b"\x80\0\0\0\0\0\x01\x02", Some(258)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xc0\0\0\0\0\0\0\0", Some(-(1 << 62))),
        ];
        for (bytes, expected) in cases {
            assert_eq!(parse_number("field", bytes), Ok(expected), "{}", escaped(bytes));
        }
    }

    #[test]
    fn what_is_no_number_is_an_error() {
        for bytes in [&b"0000648\0"[..], b"-0000644", b"12 34 56", b"abc\0\0\0\0\0"] {
            assert!(parse_number("field", bytes).is_err(), "{}", escaped(bytes));
        }
        assert!(
            parse_number("field", b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff").is_err()
        );
        assert!(size("size", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff").is_err());
        assert!(size("size", b"            ").is_err());
    }
}
