//! POSIX pax extended headers: `LENGTH KEY=VALUE\n` records.
//!
//! Invariant: a record that does not have exactly this form is an error; values are arbitrary bytes, NUL and
//! newline included. Unknown keys are ignored.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};

use crate::model::{Timestamp, Xattrs, escaped};

/// The values of extended headers. An empty value revokes that of a global header.
#[derive(Debug, Default, Clone)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link_path: Option<Vec<u8>>,
    pub(super) size: Option<Vec<u8>>,
    pub(super) uid: Option<Vec<u8>>,
    pub(super) gid: Option<Vec<u8>>,
    pub(super) mtime: Option<Vec<u8>>,
    /// `SCHILY.xattr.NAME`: raw values.
    pub(super) xattrs: Xattrs,
    /// `LIBARCHIVE.xattr.NAME`, for attributes without a `SCHILY` record.
    pub(super) encoded_xattrs: Xattrs,
    pub(super) sparse: PaxSparse,
}

/// The `GNU.sparse.*` records.
#[derive(Debug, Default, Clone)]
pub(super) struct PaxSparse {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    /// `GNU.sparse.size` or `GNU.sparse.realsize`.
    pub(super) size: Option<u64>,
    /// Alternating offsets and lengths, from `GNU.sparse.offset` and `numbytes` (0.0) or `map` (0.1).
    pub(super) numbers: Option<Vec<u64>>,
}

impl Pax {
    /// Adds the records in `bytes`; a later record of a key wins.
    pub(super) fn add(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            // NULs after the last record pad the block.
            if bytes.iter().all(|&byte| byte == 0) {
                break;
            }
            let (record, rest) = Record::split(bytes)?;
            self.set(record.key, record.value)?;
            bytes = rest;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let field = match key {
            b"path" => &mut self.path,
            b"linkpath" => &mut self.link_path,
            b"size" => &mut self.size,
            b"uid" => &mut self.uid,
            b"gid" => &mut self.gid,
            b"mtime" => &mut self.mtime,
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.insert(gnu_decoded(name).into(), value.into());
                } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                    self.set_encoded_xattr(name, value)?;
                } else if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.set(name, value)?;
                }
                return Ok(());
            }
        };
        *field = Some(value.to_vec());
        Ok(())
    }

    fn set_encoded_xattr(&mut self, name: &[u8], value: &[u8]) -> Result<(), String> {
        let padded = BASE64_STANDARD.decode(value);
        let decoded = padded.or_else(|_| BASE64_STANDARD_NO_PAD.decode(value));
        let value = decoded.map_err(|error| {
            format!("the value of extended attribute \"{}\" is no base64: {error}", escaped(name))
        })?;
        self.encoded_xattrs.insert(percent_decoded(name).into(), value.into());
        Ok(())
    }

    /// All extended attributes.
    pub(super) fn take_xattrs(&mut self) -> Xattrs {
        let mut xattrs = std::mem::take(&mut self.encoded_xattrs);
        if !self.xattrs.is_empty() {
            xattrs.append(&mut self.xattrs);
        }
        xattrs
    }
}

impl PaxSparse {
    fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), String> {
        match name {
            b"major" => self.major = Some(decimal("GNU.sparse.major", value)?),
            b"minor" => self.minor = Some(decimal("GNU.sparse.minor", value)?),
            b"name" => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => self.size = Some(decimal("GNU.sparse.size", value)?),
            b"offset" => {
                let numbers = self.numbers.get_or_insert_default();
                if !numbers.len().is_multiple_of(2) {
                    return Err("GNU.sparse.offset comes twice without a numbytes".to_owned());
                }
                numbers.push(decimal("GNU.sparse.offset", value)?);
            }
            b"numbytes" => match &mut self.numbers {
                Some(numbers) if numbers.len() % 2 == 1 => {
                    numbers.push(decimal("GNU.sparse.numbytes", value)?);
                }
                _ => return Err("GNU.sparse.numbytes comes without an offset".to_owned()),
            },
            b"map" => {
                let numbers = if value.is_empty() {
                    Ok(Vec::new())
                } else {
                    value
                        .split(|&byte| byte == b',')
                        .map(|number| decimal("GNU.sparse.map", number))
                        .collect()
                };
                self.numbers = Some(numbers?);
            }
            _ => {}
        }
        Ok(())
    }
}

/// `LENGTH KEY=VALUE\n`.
struct Record<'a> {
    key: &'a [u8],
    value: &'a [u8],
}

impl<'a> Record<'a> {
    /// The first record of `bytes`, and the bytes after it.
    fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), String> {
        let bad = |problem: &str| {
            let start = &bytes[..bytes.len().min(40)];
            format!("an extended header's record \"{}\" {problem}", escaped(start))
        };
        let space = bytes.iter().take(20).position(|&byte| byte == b' ');
        let space = space.ok_or_else(|| bad("does not begin with its length"))?;
        let length = decimal("length", &bytes[..space]).map_err(|problem| bad(&problem))?;
        let record = usize::try_from(length).ok().and_then(|length| bytes.get(..length));
        let record = record.ok_or_else(|| bad("is longer than the header"))?;
        let text = record.get(space + 1..).and_then(|text| text.strip_suffix(b"\n"));
        let text = text.ok_or_else(|| bad("does not end where it says"))?;
        let equals = text.iter().position(|&byte| byte == b'=');
        let equals = equals.ok_or_else(|| bad("has no value"))?;
        let record_length = record.len();
        Ok((Self { key: &text[..equals], value: &text[equals + 1..] }, &bytes[record_length..]))
    }
}

/// A decimal number without a sign.
pub(super) fn decimal(key: &str, value: &[u8]) -> Result<u64, String> {
    let bad = || format!("{key} is \"{}\": expected a number", escaped(value));
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(bad());
    }
    value
        .iter()
        .try_fold(0_u64, |number, &digit| {
            number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        })
        .ok_or_else(bad)
}

/// A time: seconds with an optional sign and fraction. Digits beyond nanoseconds are cut off, rounding
/// towards the past.
pub(super) fn time(value: &[u8]) -> Result<Timestamp, String> {
    let bad = || format!("mtime is \"{}\": expected seconds", escaped(value));
    let (negative, digits) = match value.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, value),
    };
    let mut parts = digits.splitn(2, |&byte| byte == b'.');
    let whole = decimal("mtime", parts.next().unwrap_or_default()).map_err(|_| bad())?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(bad());
    }
    let digit = |index| u32::from(fraction.get(index).map_or(0, |digit| digit - b'0'));
    let nanoseconds = (0..9).fold(0, |sum, index| sum * 10 + digit(index));
    let finer = fraction.iter().skip(9).any(|&digit| digit != b'0');
    let size = i128::from(whole) * BILLION + i128::from(nanoseconds);
    let time = if negative { -size - i128::from(finer) } else { size };
    Ok(Timestamp {
        seconds: i64::try_from(time.div_euclid(BILLION)).map_err(|_| bad())?,
        nanoseconds: u32::try_from(time.rem_euclid(BILLION)).map_err(|_| bad())?,
    })
}

/// Nanoseconds of a second.
const BILLION: i128 = 1_000_000_000;

/// Decodes `%41` to `A`; text that is not such an escape is kept.
fn percent_decoded(name: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(name.len());
    let mut at = 0;
    while at < name.len() {
        let hex = name.get(at + 1..at + 3).filter(|_| name[at] == b'%');
        let byte = hex.and_then(|hex| {
            let mut byte = [0];
            hex::decode_to_slice(hex, &mut byte).ok().map(|()| byte[0])
        });
        decoded.push(byte.unwrap_or(name[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    decoded
}

/// Decodes the name of an attribute as GNU tar writes it: `%3D` for `=`, `%25` for `%`, anything else
/// unchanged.
fn gnu_decoded(mut name: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(name.len());
    while let Some((&byte, rest)) = name.split_first() {
        (name, _) = match name {
            [b'%', b'3', b'D', rest @ ..] => (rest, decoded.push(b'=')),
            [b'%', b'2', b'5', rest @ ..] => (rest, decoded.push(b'%')),
            _ => (rest, decoded.push(byte)),
        };
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_and_after_the_epoch() {
        let cases = [
            ("0", 0, 0),
            ("1700000000.123456789", 1_700_000_000, 123_456_789),
            ("1.5", 1, 500_000_000),
            ("1.9999999999", 1, 999_999_999),
            ("-1", -1, 0),
            ("-0.25", -1, 750_000_000),
            ("-1.000000001", -2, 999_999_999),
            ("-1.0000000001", -2, 999_999_999),
            ("-1.9999999999", -2, 0),
            ("5.", 5, 0),
            ("-9223372036854775808", i64::MIN, 0),
            ("9223372036854775807.999999999", i64::MAX, 999_999_999),
        ];
        for (text, seconds, nanoseconds) in cases {
            assert_eq!(time(text.as_bytes()), Ok(Timestamp { seconds, nanoseconds }), "{text}");
        }
        for bad in [
            "",
            "-",
            "-9223372036854775808.1",
            "1e9",
            "+1",
            "1.2.3",
            "99999999999999999999",
            "9223372036854775808",
            ".5",
            " 1",
        ] {
            assert!(time(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_whole_records_are_records() {
        let mut pax = Pax::default();
        pax.add(b"11 path=ab\n25 SCHILY.xattr.user.x==\n\0\0").unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"ab"[..]));
        assert_eq!(pax.xattrs[&b"user.x"[..]].as_ref(), b"=");
        for bad in [
            "12 path=ab\n",
            "10 path=ab\n",
            "99999999999999999999 path=ab\n",
            "11 pathab_\n",
            "path=ab\n",
            "0 path=ab\n",
            "2 11 path=ab\n",
            "-11 path=ab\n",
            "11 path=ab",
        ] {
            assert!(Pax::default().add(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn encoded_attributes_yield_to_raw_ones() {
        let mut pax = Pax::default();
        pax.add(b"35 LIBARCHIVE.xattr.user.%61b=YWJj\n").unwrap();
        pax.add(b"32 LIBARCHIVE.xattr.user.raw=MQ\n").unwrap();
        pax.add(b"25 SCHILY.xattr.user.raw\n").unwrap_err();
        pax.add(b"27 SCHILY.xattr.user.raw=2\n").unwrap();
        pax.add(b"35 SCHILY.xattr.user.a%3Db%25%41=3\n").unwrap();
        let xattrs = pax.take_xattrs();
        assert_eq!(xattrs[&b"user.a=b%%41"[..]].as_ref(), b"3");
        assert_eq!(xattrs[&b"user.ab"[..]].as_ref(), b"abc");
        assert_eq!(xattrs[&b"user.raw"[..]].as_ref(), b"2");
    }
}
