//! What comes before the data of an entry in a tar: its headers.
//!
//! Invariant: it depends on the entry and its name alone. An extended header is written only if the plain header cannot hold a
//! value. Its records are sorted by keyword, so that readers that use the first record and those that use the last one agree.

use std::collections::BTreeMap;

use crate::model::{Entry, Extent, Kind, Metadata, effective_mode};

/// Bytes of a tar's blocks.
pub(super) const BLOCK: usize = 512;
/// The largest number in an 11-digit octal field.
const OCTAL_MAX: u64 = 0o77_777_777_777;

/// Values of the plain header.
struct Header<'a> {
    name: &'a [u8],
    link: &'a [u8],
    kind: u8,
    size: u64,
    device: Option<(u32, u32)>,
    metadata: &'a Metadata,
    mode: u32,
}

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// What comes before the data of an entry.
pub(super) struct Head {
    /// Headers, and the map of a file with holes: whole blocks.
    pub(super) bytes: Vec<u8>,
    /// Number of the bytes of data that follow, without what fills the last block.
    pub(super) data: u64,
}

impl Head {
    /// That of `entry` under `name`.
    pub(super) fn new(name: &[u8], entry: &Entry) -> Self {
        let header = header(name, entry);
        match &entry.extents {
            Some(extents) => Self::sparse(header, extents),
            None => Self::plain(header, Records::new()),
        }
    }

    /// Pax sparse format 1.0: the map of the data comes before the data.
    fn sparse(header: Header<'_>, extents: &[Extent]) -> Self {
        let mut map = format!("{}\n", extents.len() + 1);
        for extent in extents {
            map += &format!("{}\n{}\n", extent.offset, extent.length);
        }
        // An empty extent at the end marks the length of the file, as in GNU tar.
        map += &format!("{}\n0\n", header.size);
        let mut map = map.into_bytes();
        map.resize(map.len().next_multiple_of(BLOCK), 0);
        let records = Records::from([
            (b"GNU.sparse.major".to_vec(), b"1".to_vec()),
            (b"GNU.sparse.minor".to_vec(), b"0".to_vec()),
            (b"GNU.sparse.name".to_vec(), header.name.to_vec()),
            (b"GNU.sparse.realsize".to_vec(), header.size.to_string().into_bytes()),
        ]);
        let data: u64 = extents.iter().map(|extent| extent.length).sum();
        let placeholder = [b"GNUSparseFile.0/", file_name(header.name)].concat();
        let stored = Header { name: &placeholder, size: map.len() as u64 + data, ..header };
        let Self { bytes, .. } = Self::plain(stored, records);
        Self { bytes: [bytes, map].concat(), data }
    }

    fn plain(header: Header<'_>, mut records: Records) -> Self {
        let mut name = header.name.to_vec();
        if header.kind == b'5' {
            name.push(b'/');
        }
        let mut block = [0; BLOCK];
        if !put_name(&mut block, &name) {
            records.insert(b"path".to_vec(), name.clone());
            put_text(&mut block[0..100], shortened(&name, 100));
        }
        if header.link.len() > 100 {
            records.insert(b"linkpath".to_vec(), header.link.to_vec());
        }
        put_text(&mut block[157..257], shortened(header.link, 100));
        let metadata = header.metadata;
        put_octal(&mut block[100..108], u64::from(header.mode));
        put_number(&mut block[108..116], b"uid", u64::from(metadata.uid), &mut records);
        put_number(&mut block[116..124], b"gid", u64::from(metadata.gid), &mut records);
        let data = if header.kind == b'0' { header.size } else { 0 };
        put_number(&mut block[124..136], b"size", data, &mut records);
        let seconds =
            u64::try_from(metadata.mtime.seconds).ok().filter(|&value| value <= OCTAL_MAX);
        put_octal(&mut block[136..148], seconds.unwrap_or(0));
        if seconds.is_none() || metadata.mtime.nanoseconds != 0 {
            records.insert(b"mtime".to_vec(), decimal_time(metadata));
        }
        block[156] = header.kind;
        block[257..265].copy_from_slice(b"ustar\x0000");
        if let Some((major, minor)) = header.device {
            put_octal(&mut block[329..337], u64::from(major));
            put_octal(&mut block[337..345], u64::from(minor));
        }
        for (name, value) in &metadata.xattrs {
            records.insert([b"SCHILY.xattr.", &*encoded(name)].concat(), value.to_vec());
        }
        put_checksum(&mut block);
        let mut bytes = extended_header(&name, &records);
        bytes.extend_from_slice(&block);
        Self { bytes, data }
    }

    /// Number of bytes of the entry in the tar.
    pub(super) fn tar_bytes(&self) -> u64 {
        self.bytes.len() as u64 + self.data.next_multiple_of(BLOCK as u64)
    }
}

/// The extended header of an entry, if it needs one.
fn extended_header(name: &[u8], records: &Records) -> Vec<u8> {
    if records.is_empty() {
        return Vec::new();
    }
    let mut data = Vec::new();
    for (keyword, value) in records {
        data.extend_from_slice(&record(keyword, value));
    }
    let mut block = [0; BLOCK];
    let name = [b"PaxHeaders/", file_name(name)].concat();
    put_text(&mut block[0..100], shortened(&name, 100));
    put_octal(&mut block[100..108], 0o644);
    put_octal(&mut block[108..116], 0);
    put_octal(&mut block[116..124], 0);
    put_octal(&mut block[124..136], data.len() as u64);
    put_octal(&mut block[136..148], 0);
    block[156] = b'x';
    block[257..265].copy_from_slice(b"ustar\x0000");
    put_checksum(&mut block);
    let mut bytes = [&block[..], &data].concat();
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

/// The values of an entry's plain header.
fn header<'a>(name: &'a [u8], entry: &'a Entry) -> Header<'a> {
    let (kind, link, device): (u8, &[u8], _) = match &entry.kind {
        Kind::File { .. } => (b'0', b"", None),
        Kind::HardLink { target } => (b'1', target.as_bytes(), None),
        Kind::Symlink { target } => (b'2', target, None),
        Kind::CharDevice { major, minor } => (b'3', b"", Some((*major, *minor))),
        Kind::BlockDevice { major, minor } => (b'4', b"", Some((*major, *minor))),
        Kind::Directory => (b'5', b"", None),
        Kind::Fifo | Kind::Socket => (b'6', b"", None),
    };
    Header {
        name,
        link,
        kind,
        size: if let Kind::File { size } = entry.kind { size } else { 0 },
        device,
        metadata: &entry.metadata,
        mode: effective_mode(&entry.kind, entry.metadata.mode),
    }
}

fn file_name(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

fn shortened(text: &[u8], length: usize) -> &[u8] {
    &text[..text.len().min(length)]
}

fn put_text(field: &mut [u8], text: &[u8]) {
    field[..text.len()].copy_from_slice(text);
}

/// Stores a name in `name`, or split into `prefix` and `name`; false if it does not fit.
fn put_name(block: &mut [u8; BLOCK], name: &[u8]) -> bool {
    if name.len() <= 100 {
        put_text(&mut block[0..100], name);
        return true;
    }
    let split = name.len().saturating_sub(101);
    // A name must not be empty, so a folder's own trailing slash is no place to split.
    let cut = name[..name.len() - 1].iter().skip(split).position(|&byte| byte == b'/');
    match cut.map(|cut| cut + split) {
        Some(cut) if cut > 0 && cut <= 155 => {
            put_text(&mut block[345..500], &name[..cut]);
            put_text(&mut block[0..100], &name[cut + 1..]);
            true
        }
        _ => false,
    }
}

/// Zero-padded octal digits and a NUL.
fn put_octal(field: &mut [u8], value: u64) {
    let width = field.len() - 1;
    let digits = format!("{value:0width$o}");
    field[..width].copy_from_slice(&digits.as_bytes()[digits.len() - width..]);
}

/// Octal if it fits, otherwise 0 and a record.
fn put_number(field: &mut [u8], keyword: &[u8], value: u64, records: &mut Records) {
    let digits = u32::try_from(field.len() - 1).expect("fields are short");
    if value < 1 << (3 * digits) {
        put_octal(field, value);
    } else {
        put_octal(field, 0);
        records.insert(keyword.to_vec(), value.to_string().into_bytes());
    }
}

/// Seconds and nanoseconds as one decimal number; before 1970 the whole number is negative.
fn decimal_time(metadata: &Metadata) -> Vec<u8> {
    let nanoseconds =
        i128::from(metadata.mtime.seconds) * 1_000_000_000 + i128::from(metadata.mtime.nanoseconds);
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let (seconds, fraction) =
        (nanoseconds.unsigned_abs() / 1_000_000_000, nanoseconds.unsigned_abs() % 1_000_000_000);
    let text = if fraction == 0 {
        format!("{sign}{seconds}")
    } else {
        format!("{sign}{seconds}.{fraction:09}")
    };
    text.into_bytes()
}

/// The name of an attribute for a keyword, which ends at the first `=`: encoded as in GNU tar.
fn encoded(name: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(name.len());
    for &byte in name {
        match byte {
            b'%' => text.extend_from_slice(b"%25"),
            b'=' => text.extend_from_slice(b"%3D"),
            byte => text.push(byte),
        }
    }
    text
}

/// `LENGTH KEYWORD=VALUE\n`, where LENGTH counts itself.
fn record(keyword: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = keyword.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", keyword, b"=", value, b"\n"].concat()
}

fn put_checksum(block: &mut [u8; BLOCK]) {
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
    put_octal(&mut block[148..155], sum);
    block[155] = b' ';
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_their_own_length() {
        assert_eq!(record(b"path", b"x"), b"9 path=x\n");
        // The length of the length changes the length: 9 + 1 would be 10 + 1 digits.
        for value in [0, 1, 88, 89, 90, 91, 92, 988, 989, 990, 991] {
            let bytes = record(b"k", &vec![b'v'; value]);
            let length: usize =
                String::from_utf8_lossy(&bytes).split(' ').next().unwrap().parse().unwrap();
            assert_eq!(length, bytes.len());
        }
    }

    #[test]
    fn times_before_1970_are_negative_decimals() {
        let time = |seconds, nanoseconds| {
            let mut metadata = Metadata::default();
            metadata.mtime.seconds = seconds;
            metadata.mtime.nanoseconds = nanoseconds;
            String::from_utf8(decimal_time(&metadata)).unwrap()
        };
        assert_eq!(time(-1, 750_000_000), "-0.250000000");
        assert_eq!(time(-2, 0), "-2");
        assert_eq!(time(5, 1), "5.000000001");
    }
}
