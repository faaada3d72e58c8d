//! Alpine packages of version 3, well-formed or not. Every value is stored apart, as the longest kind of it.

use sha2::Digest as _;

use super::compress;

/// A file of a package.
#[derive(Debug, Clone, Copy)]
pub struct Apk3File<'a> {
    /// Its name in its folder.
    pub name: &'a [u8],
    /// Its contents.
    pub content: &'a [u8],
    /// What it is instead of a file with contents: a type, and a name or the number of a device.
    pub target: Option<(u16, &'a [u8])>,
    /// Extended attributes, each as its name, a NUL and its value.
    pub attributes: &'a [&'a [u8]],
    /// The size in the description, if not that of `content`.
    pub size: Option<u64>,
    /// The digest in the description, if not the SHA-256 of `content`.
    pub digest: Option<&'a [u8]>,
    /// The numbers of folder and file that its data begin with, if not its own.
    pub numbers: Option<(u32, u32)>,
}

impl Default for Apk3File<'_> {
    fn default() -> Self {
        Self {
            name: b"x",
            content: b"",
            target: None,
            attributes: &[],
            size: None,
            digest: None,
            numbers: None,
        }
    }
}

/// The description of a package, value by value.
struct Adb(Vec<u8>);

impl Adb {
    fn at(&self, kind: u32) -> u32 {
        kind << 28 | small(self.0.len())
    }

    fn number(&mut self, number: u64) -> u32 {
        let value = self.at(3);
        self.0.extend_from_slice(&number.to_le_bytes());
        value
    }

    fn blob(&mut self, bytes: &[u8]) -> u32 {
        let value = self.at(0xa);
        self.0.extend_from_slice(&small(bytes.len()).to_le_bytes());
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        value
    }

    fn slots(&mut self, kind: u32, values: &[u32]) -> u32 {
        let value = self.at(kind);
        for word in [small(values.len() + 1)].iter().chain(values) {
            self.0.extend_from_slice(&word.to_le_bytes());
        }
        value
    }

    fn access(&mut self, mode: u64, attributes: &[&[u8]]) -> u32 {
        let attributes: Vec<u32> = attributes.iter().map(|bytes| self.blob(bytes)).collect();
        let values = [
            self.number(mode),
            self.blob(b"root"),
            self.blob(b"daemon"),
            self.slots(0xd, &attributes),
        ];
        self.slots(0xe, &values)
    }

    fn file(&mut self, file: &Apk3File<'_>) -> u32 {
        let digest = sha2::Sha256::digest(file.content);
        let digest = self.blob(file.digest.unwrap_or(&digest));
        let target = file.target.map(|(kind, value)| {
            let bytes = [&kind.to_le_bytes(), value].concat();
            self.blob(&bytes)
        });
        let values = [
            self.blob(file.name),
            self.access(0o4755, file.attributes),
            self.number(file.size.unwrap_or(file.content.len() as u64)),
            self.number(1_700_000_000),
            if target.is_some() { 0 } else { digest },
            target.unwrap_or(0),
        ];
        self.slots(0xe, &values)
    }
}

/// A package of version 3 with these folders and their files. `compression` is `none`, `deflate` or `zstd`.
///
/// # Panics
/// If there is no such compression.
pub fn apk_version_3(folders: &[(&[u8], &[Apk3File<'_>])], compression: &str) -> Vec<u8> {
    let mut adb = Adb(vec![0; 8]);
    let mut described = Vec::new();
    let mut data = Vec::new();
    for (folder, (name, files)) in (1..).zip(folders) {
        let mut values = Vec::new();
        for (number, file) in (1..).zip(*files) {
            values.push(adb.file(file));
            if !file.content.is_empty() && file.target.is_none() {
                let (folder, number) = file.numbers.unwrap_or((folder, number));
                let header = [folder.to_le_bytes(), number.to_le_bytes()].concat();
                data.extend(apk_block(2, &[&header, file.content].concat()));
            }
        }
        let values = [adb.blob(name), adb.access(0o755, &[]), adb.slots(0xd, &values)];
        described.push(adb.slots(0xe, &values));
    }
    let folders = adb.slots(0xd, &described);
    let root = adb.slots(0xe, &[0, folders]);
    adb.0[4..8].copy_from_slice(&root.to_le_bytes());
    let blocks = [apk_block(0, &adb.0), apk_block(1, &[7; 85]), data].concat();
    apk_of_blocks(&blocks, compression)
}

/// A package of version 3 of these blocks.
///
/// # Panics
/// If there is no such compression.
pub fn apk_of_blocks(blocks: &[u8], compression: &str) -> Vec<u8> {
    let whole = [b"ADB.pckg", blocks].concat();
    match compression {
        "none" => whole,
        "deflate" => {
            let gzip = compress("gzip", &whole);
            [b"ADBd", &gzip[10..gzip.len() - 8]].concat()
        }
        "zstd" => [b"ADBc\x02\x05", &compress("zstd", &whole)[..]].concat(),
        other => panic!("no compression \"{other}\""),
    }
}

/// A block of a package of version 3, with its padding.
pub fn apk_block(kind: u32, content: &[u8]) -> Vec<u8> {
    let mut block = (kind << 30 | small(content.len() + 4)).to_le_bytes().to_vec();
    block.extend_from_slice(content);
    block.resize(block.len().next_multiple_of(8), 0);
    block
}

fn small(number: usize) -> u32 {
    u32::try_from(number).expect("a small package")
}
