//! tar archives, entry by entry. Each field can be wrong.

const BLOCK: usize = 512;

/// Builds a tar archive.
#[derive(Debug, Default, Clone)]
pub struct TarBuilder {
    bytes: Vec<u8>,
}

/// An entry, field by field. Values that do not fit into a plain header go into a pax header before it, unless `pax`
/// already has them.
#[derive(Debug, Clone)]
pub struct TarEntry<'a> {
    /// Its name, as bytes.
    pub name: &'a [u8],
    /// `b'0'` file, `b'1'` hard link, `b'2'` symbolic link, ...
    pub kind: u8,
    /// The target of a link.
    pub link: &'a [u8],
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Seconds since 1970; written in base 256 when negative.
    pub mtime: i64,
    /// Major and minor number.
    pub device: (u32, u32),
    /// Its contents.
    pub content: &'a [u8],
    /// The size that the header gives, if not that of `content`.
    pub size: Option<u64>,
    /// Records of the pax header before it.
    pub pax: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Default for TarEntry<'_> {
    fn default() -> Self {
        Self {
            name: b"",
            kind: b'0',
            link: b"",
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 1_700_000_000,
            device: (0, 0),
            content: b"",
            size: None,
            pax: Vec::new(),
        }
    }
}

impl TarBuilder {
    /// An archive without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// A file with mode 0644.
    #[must_use]
    pub fn file(self, name: &str, content: &[u8]) -> Self {
        self.entry(&TarEntry { name: name.as_bytes(), content, ..TarEntry::default() })
    }

    /// A folder with mode 0755.
    #[must_use]
    pub fn directory(self, name: &str) -> Self {
        let name = name.as_bytes();
        self.entry(&TarEntry { name, kind: b'5', mode: 0o755, ..TarEntry::default() })
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(self, name: &str, target: &str) -> Self {
        let (name, link) = (name.as_bytes(), target.as_bytes());
        self.entry(&TarEntry { name, kind: b'2', link, mode: 0o777, ..TarEntry::default() })
    }

    /// A hard link.
    #[must_use]
    pub fn hard_link(self, name: &str, target: &str) -> Self {
        let (name, link) = (name.as_bytes(), target.as_bytes());
        self.entry(&TarEntry { name, kind: b'1', link, ..TarEntry::default() })
    }

    /// A named pipe.
    #[must_use]
    pub fn fifo(self, name: &str) -> Self {
        self.entry(&TarEntry { name: name.as_bytes(), kind: b'6', ..TarEntry::default() })
    }

    /// A character device.
    #[must_use]
    pub fn char_device(self, name: &str, device: (u32, u32)) -> Self {
        self.entry(&TarEntry { name: name.as_bytes(), kind: b'3', device, ..TarEntry::default() })
    }

    /// A sparse file in pax format 1.0: `extents` are offset and data.
    #[must_use]
    pub fn sparse(self, name: &str, size: u64, extents: &[(u64, &[u8])]) -> Self {
        let mut map = format!("{}\n", extents.len());
        let mut data = Vec::new();
        for (offset, bytes) in extents {
            map.push_str(&format!("{offset}\n{}\n", bytes.len()));
            data.extend_from_slice(bytes);
        }
        let mut content = map.into_bytes();
        content.resize(content.len().next_multiple_of(BLOCK), 0);
        content.extend_from_slice(&data);
        let record = |key: &str, value: String| (key.as_bytes().to_vec(), value.into_bytes());
        self.entry(&TarEntry {
            name: b"GNUSparseFile.0/file",
            content: &content,
            pax: vec![
                record("GNU.sparse.major", "1".into()),
                record("GNU.sparse.minor", "0".into()),
                record("GNU.sparse.name", name.into()),
                record("GNU.sparse.realsize", size.to_string()),
            ],
            ..TarEntry::default()
        })
    }

    /// Any entry.
    #[must_use]
    pub fn entry(mut self, entry: &TarEntry<'_>) -> Self {
        let mut pax = entry.pax.clone();
        for (key, value) in [("path", entry.name), ("linkpath", entry.link)] {
            let is_there = pax.iter().any(|(known, _)| known == key.as_bytes());
            if value.len() > 100 && !is_there {
                pax.push((key.as_bytes().to_vec(), value.to_vec()));
            }
        }
        if !pax.is_empty() {
            let records: Vec<(&[u8], &[u8])> =
                pax.iter().map(|(key, value)| (&**key, &**value)).collect();
            let content = pax_records(&records);
            self = self.plain(&TarEntry {
                name: b"PaxHeaders/entry",
                kind: b'x',
                content: &content,
                ..TarEntry::default()
            });
        }
        self.plain(entry)
    }

    /// An entry without a pax header; values that do not fit are cut.
    fn plain(mut self, entry: &TarEntry<'_>) -> Self {
        let size = entry.size.unwrap_or(entry.content.len() as u64);
        self.bytes.extend_from_slice(&header(entry, size));
        self.bytes.extend_from_slice(entry.content);
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK), 0);
        self
    }

    /// Any bytes.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Changes a field of the last header, whose entry must be empty, and updates its checksum.
    #[must_use]
    pub fn patch_last(mut self, at: usize, field: &[u8]) -> Self {
        let start = self.bytes.len() - BLOCK;
        let block = &mut self.bytes[start..];
        block[at..at + field.len()].copy_from_slice(field);
        set_checksum(block);
        self
    }

    /// The archive so far, without the end marker.
    pub fn without_end(self) -> Vec<u8> {
        self.bytes
    }

    /// The archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 2 * BLOCK, 0);
        self.bytes
    }
}

/// Records of a pax header.
pub fn pax_records(records: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        // The length counts its own digits.
        let length = (1..20)
            .map(|digits| rest + digits)
            .find(|length| length.to_string().len() + rest == *length)
            .expect("some number of digits fits");
        bytes.extend_from_slice(length.to_string().as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(key);
        bytes.push(b'=');
        bytes.extend_from_slice(value);
        bytes.push(b'\n');
    }
    bytes
}

fn header(entry: &TarEntry<'_>, size: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, room: usize, bytes: &[u8]| {
        let length = bytes.len().min(room);
        block[at..at + length].copy_from_slice(&bytes[..length]);
    };
    put(0, 100, entry.name);
    put(100, 8, &number(i128::from(entry.mode), 8));
    put(108, 8, &number(i128::from(entry.uid), 8));
    put(116, 8, &number(i128::from(entry.gid), 8));
    put(124, 12, &number(i128::from(size), 12));
    put(136, 12, &number(i128::from(entry.mtime), 12));
    put(156, 1, &[entry.kind]);
    put(157, 100, entry.link);
    put(257, 8, b"ustar\x0000");
    put(329, 8, &number(i128::from(entry.device.0), 8));
    put(337, 8, &number(i128::from(entry.device.1), 8));
    set_checksum(&mut block);
    block
}

/// A number in octal if it fits, otherwise in base 256.
fn number(value: i128, width: usize) -> Vec<u8> {
    let octal = format!("{value:0>digits$o}", digits = width - 1);
    if value >= 0 && octal.len() < width {
        return octal.into_bytes();
    }
    let mut bytes = value.to_be_bytes()[16 - width..].to_vec();
    bytes[0] = if value < 0 { 0xff } else { 0x80 };
    bytes
}

fn set_checksum(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
