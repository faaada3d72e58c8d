//! rpm packages. Header and archive are built apart, so that they may disagree.

use super::compress;

/// A value of a header.
#[derive(Debug, Clone)]
pub enum RpmValue {
    /// 16-bit numbers.
    Int16(Vec<u16>),
    /// 32-bit numbers.
    Int32(Vec<u32>),
    /// 64-bit numbers.
    Int64(Vec<u64>),
    /// A string.
    Text(Vec<u8>),
    /// A list of strings.
    Texts(Vec<Vec<u8>>),
}

/// A file of a package.
#[derive(Debug, Clone)]
pub struct RpmFile<'a> {
    /// Its absolute path.
    pub name: &'a [u8],
    /// The mode, with type bits.
    pub mode: u16,
    /// Its contents in the archive.
    pub content: &'a [u8],
    /// The size that the header gives, if not that of `content`.
    pub size: Option<u64>,
    /// The target of a symbolic link, which is also its contents.
    pub target: &'a [u8],
    /// Seconds since 1970.
    pub mtime: u32,
    /// Owner and group.
    pub owner: (&'a str, &'a str),
    /// Device number: major times 256, minor.
    pub device: u16,
    /// Inode number: files with the same number are hard links.
    pub inode: u32,
    /// File flags. A ghost (64) is not in the archive.
    pub flags: u32,
}

impl Default for RpmFile<'_> {
    fn default() -> Self {
        Self {
            name: b"/x",
            mode: 0o100_644,
            content: b"",
            size: None,
            target: b"",
            mtime: 1_700_000_000,
            owner: ("root", "root"),
            device: 0,
            inode: 0,
            flags: 0,
        }
    }
}

/// A package of these files. `stripped`: the archive has indices into the header's file list instead of names.
pub fn rpm(files: &[RpmFile<'_>], compression: &str, stripped: bool) -> Vec<u8> {
    let mut archive = Vec::new();
    for (place, file) in files.iter().enumerate().filter(|(_, file)| file.flags & 64 == 0) {
        let content = if file.target.is_empty() { file.content } else { file.target };
        if stripped {
            archive.extend_from_slice(&cpio_listed(place, content));
        } else {
            let dot: &[u8] = if file.name.starts_with(b"/") { b"." } else { b"" };
            archive.extend_from_slice(&cpio_named(&[dot, file.name].concat(), content));
        }
    }
    archive.extend_from_slice(&cpio_named(b"TRAILER!!!", b""));
    let mut tags = rpm_tags(files);
    tags.push((1125, RpmValue::Text(compression.as_bytes().to_vec())));
    rpm_of(&rpm_header(&tags), &compress(compression, &archive))
}

/// The tags of a header that describe files.
///
/// # Panics
/// If a file has 4 GiB or more.
pub fn rpm_tags(files: &[RpmFile<'_>]) -> Vec<(u32, RpmValue)> {
    let size = |file: &RpmFile<'_>| {
        let content = if file.target.is_empty() { file.content } else { file.target };
        file.size.unwrap_or(content.len() as u64)
    };
    let split = |file: &RpmFile<'_>| {
        let at = file.name.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
        (file.name[..at].to_vec(), file.name[at..].to_vec())
    };
    let texts =
        |text: &dyn Fn(&RpmFile<'_>) -> Vec<u8>| RpmValue::Texts(files.iter().map(text).collect());
    let numbers =
        |number: &dyn Fn(&RpmFile<'_>) -> u32| RpmValue::Int32(files.iter().map(number).collect());
    let inode = |place: usize, file: &RpmFile<'_>| match file.inode {
        0 => 1000 + u32::try_from(place).expect("few files"),
        inode => inode,
    };
    let inodes = files.iter().enumerate().map(|(place, file)| inode(place, file)).collect();
    let places = 0..u32::try_from(files.len()).expect("few files");
    vec![
        (1000, RpmValue::Text(b"sample".to_vec())),
        (1124, RpmValue::Text(b"cpio".to_vec())),
        (1030, RpmValue::Int16(files.iter().map(|file| file.mode).collect())),
        (1033, RpmValue::Int16(files.iter().map(|file| file.device).collect())),
        (1034, numbers(&|file| file.mtime)),
        (1036, texts(&|file| file.target.to_vec())),
        (1037, numbers(&|file| file.flags)),
        (1039, texts(&|file| file.owner.0.as_bytes().to_vec())),
        (1040, texts(&|file| file.owner.1.as_bytes().to_vec())),
        (1095, numbers(&|_| 1)),
        (1096, RpmValue::Int32(inodes)),
        (1116, RpmValue::Int32(places.collect())),
        (1117, texts(&|file| split(file).1)),
        (1118, texts(&|file| split(file).0)),
        (5008, RpmValue::Int64(files.iter().map(size).collect())),
    ]
}

/// A header with these tags, as packages contain it.
///
/// # Panics
/// If it has 4 GiB or more.
pub fn rpm_header(tags: &[(u32, RpmValue)]) -> Vec<u8> {
    let mut index = Vec::new();
    let mut data = Vec::new();
    for (tag, value) in tags {
        let (kind, width, count, bytes) = match value {
            RpmValue::Int16(all) => {
                (3, 2, all.len(), all.iter().flat_map(|one| one.to_be_bytes()).collect())
            }
            RpmValue::Int32(all) => {
                (4, 4, all.len(), all.iter().flat_map(|one| one.to_be_bytes()).collect())
            }
            RpmValue::Int64(all) => {
                (5, 8, all.len(), all.iter().flat_map(|one| one.to_be_bytes()).collect())
            }
            RpmValue::Text(text) => (6, 1, 1, [text, &b"\0"[..]].concat()),
            RpmValue::Texts(all) => {
                let ended: Vec<Vec<u8>> =
                    all.iter().map(|text| [text, &b"\0"[..]].concat()).collect();
                (8, 1, all.len(), ended.concat())
            }
        };
        data.resize(data.len().next_multiple_of(width), 0);
        for number in [*tag, kind, small(data.len()), small(count)] {
            index.extend_from_slice(&number.to_be_bytes());
        }
        data.extend_from_slice(&bytes);
    }
    let mut header = b"\x8e\xad\xe8\x01\0\0\0\0".to_vec();
    header.extend_from_slice(&small(tags.len()).to_be_bytes());
    header.extend_from_slice(&small(data.len()).to_be_bytes());
    [header, index, data].concat()
}

/// A package of a header and an archive.
pub fn rpm_of(header: &[u8], packed: &[u8]) -> Vec<u8> {
    let mut lead = b"\xed\xab\xee\xdb\x03\0\0\0\0\x01sample".to_vec();
    lead.resize(96, 0);
    lead[79] = 5;
    let mut signatures =
        rpm_header(&[(1000, RpmValue::Int32(vec![7])), (269, RpmValue::Text(b"abc".to_vec()))]);
    signatures.resize(signatures.len().next_multiple_of(8), 0);
    [&lead, &signatures, header, packed].concat()
}

/// An entry of the archive with a name.
pub fn cpio_named(name: &[u8], content: &[u8]) -> Vec<u8> {
    cpio_sized(name, content, content.len())
}

/// The same, with another size.
pub fn cpio_sized(name: &[u8], content: &[u8], size: usize) -> Vec<u8> {
    let fields = [1, 0o100_644, 0, 0, 1, 0, size, 0, 0, 0, 0, name.len() + 1, 0];
    let mut bytes = b"070701".to_vec();
    for field in fields {
        bytes.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    bytes.extend_from_slice(name);
    bytes.push(0);
    padded(bytes, content)
}

/// An entry of the archive with an index into the header's file list.
pub fn cpio_listed(place: usize, content: &[u8]) -> Vec<u8> {
    padded(format!("07070X{place:08x}").into_bytes(), content)
}

fn padded(mut bytes: Vec<u8>, content: &[u8]) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn small(number: usize) -> u32 {
    u32::try_from(number).expect("a small header")
}
