//! zip archives, written field by field. Each field can be wrong.

use std::io::Write as _;

/// An entry.
#[derive(Debug, Clone)]
pub struct ZipEntry<'a> {
    /// Its name, as bytes.
    pub name: &'a [u8],
    /// Its contents, or the target of a symbolic link.
    pub content: &'a [u8],
    /// The Unix mode with its type bits (0o100644, 0o120777, ...); `None` for an entry made on DOS.
    pub mode: Option<u32>,
    /// The attributes of DOS: 0x10 for a folder.
    pub dos_attributes: u32,
    /// Local date and time: year, month, day, hour, minute, second.
    pub local: (u16, u16, u16, u16, u16, u16),
    /// Seconds since 1970 UTC, as an extended timestamp.
    pub utc: Option<i32>,
    /// Whether to compress it.
    pub deflate: bool,
    /// General purpose flags: 1 encrypted, 0x800 UTF-8 name.
    pub flags: u16,
    /// The size that the directory gives, if not that of `content`.
    pub size: Option<u32>,
    /// The CRC that the directory gives, if not that of `content`.
    pub crc: Option<u32>,
}

impl Default for ZipEntry<'_> {
    fn default() -> Self {
        Self {
            name: b"",
            content: b"",
            mode: Some(0o100_644),
            dos_attributes: 0,
            local: (2023, 11, 14, 22, 13, 20),
            utc: None,
            deflate: true,
            flags: 0,
            size: None,
            crc: None,
        }
    }
}

/// A zip archive of these entries.
///
/// # Panics
/// If something exceeds 4 GiB.
pub fn zip(entries: &[ZipEntry<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut directory = Vec::new();
    for entry in entries {
        let offset = u32::try_from(bytes.len()).expect("a small archive");
        let stored = if entry.deflate { deflate(entry.content) } else { entry.content.to_vec() };
        let common = common_fields(entry, stored.len());
        let extra = extra_field(entry);
        let extra_length = u16::try_from(extra.len()).expect("a short field");
        bytes.extend_from_slice(b"PK\x03\x04");
        bytes.extend_from_slice(&common);
        bytes.extend_from_slice(&extra_length.to_le_bytes());
        bytes.extend_from_slice(entry.name);
        bytes.extend_from_slice(&extra);
        bytes.extend_from_slice(&stored);

        directory.extend_from_slice(b"PK\x01\x02");
        directory.extend_from_slice(&[20, if entry.mode.is_some() { 3 } else { 0 }]);
        directory.extend_from_slice(&common);
        directory.extend_from_slice(&extra_length.to_le_bytes());
        // No comment, disk 0, no internal attributes.
        directory.extend_from_slice(&[0; 6]);
        let attributes = entry.mode.unwrap_or(0) << 16 | entry.dos_attributes;
        directory.extend_from_slice(&attributes.to_le_bytes());
        directory.extend_from_slice(&offset.to_le_bytes());
        directory.extend_from_slice(entry.name);
        directory.extend_from_slice(&extra);
    }
    let count = u16::try_from(entries.len()).expect("few entries").to_le_bytes();
    let start = u32::try_from(bytes.len()).expect("a small archive");
    let length = u32::try_from(directory.len()).expect("a small directory");
    bytes.extend_from_slice(&directory);
    bytes.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    bytes.extend_from_slice(&count);
    bytes.extend_from_slice(&count);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&start.to_le_bytes());
    bytes.extend_from_slice(&[0, 0]);
    bytes
}

/// From the version needed to the length of the name: the same in both headers.
fn common_fields(entry: &ZipEntry<'_>, stored: usize) -> Vec<u8> {
    let (year, month, day, hour, minute, second) = entry.local;
    let time = (hour << 11) | (minute << 5) | (second / 2);
    let date = ((year - 1980) << 9) | (month << 5) | day;
    let mut crc = flate2::Crc::new();
    crc.update(entry.content);
    let size = u32::try_from(entry.content.len()).expect("a small entry");
    let stored = u32::try_from(stored).expect("a small entry");
    let mut bytes = Vec::new();
    for value in [20, entry.flags, if entry.deflate { 8 } else { 0 }, time, date] {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    for value in [entry.crc.unwrap_or(crc.sum()), stored, entry.size.unwrap_or(size)] {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    let name = u16::try_from(entry.name.len()).expect("a short name");
    bytes.extend_from_slice(&name.to_le_bytes());
    bytes
}

fn extra_field(entry: &ZipEntry<'_>) -> Vec<u8> {
    let Some(utc) = entry.utc else { return Vec::new() };
    [&b"UT\x05\x00\x01"[..], &utc.to_le_bytes()].concat()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::new(6);
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
    encoder.write_all(bytes).expect("a vector takes everything");
    encoder.finish().expect("a vector takes everything")
}
