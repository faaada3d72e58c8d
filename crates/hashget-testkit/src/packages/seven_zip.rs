//! 7z archives with one block and an uncompressed directory.

/// An entry.
#[derive(Debug, Clone)]
pub struct SevenZipEntry<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its contents, or the target of a symbolic link; empty for a folder.
    pub content: &'a [u8],
    /// The Unix mode with its type bits.
    pub mode: Option<u32>,
    /// Seconds since 1970.
    pub mtime: i64,
    /// The size that the directory gives, if not that of `content`.
    pub size: Option<u64>,
    /// The CRC that the directory gives, if not that of `content`.
    pub crc: Option<u32>,
}

impl Default for SevenZipEntry<'_> {
    fn default() -> Self {
        Self {
            name: "x",
            content: b"",
            mode: Some(0o100_644),
            mtime: 1_700_000_000,
            size: None,
            crc: None,
        }
    }
}

/// The compression method: its id and properties.
#[derive(Debug, Clone, Copy)]
pub struct SevenZipMethod<'a> {
    /// `[0]` for copy, `[3, 1, 1]` for LZMA, ...
    pub id: &'a [u8],
    /// Parameters of the method.
    pub properties: &'a [u8],
}

/// An uncompressed archive of these entries.
pub fn seven_zip(entries: &[SevenZipEntry<'_>]) -> Vec<u8> {
    let packed: Vec<u8> = entries.iter().flat_map(|entry| entry.content).copied().collect();
    seven_zip_of(entries, SevenZipMethod { id: &[0], properties: &[] }, &packed)
}

/// An archive whose block is `packed`, declared as compressed by `method`.
pub fn seven_zip_of(
    entries: &[SevenZipEntry<'_>],
    method: SevenZipMethod<'_>,
    packed: &[u8],
) -> Vec<u8> {
    let mut header = vec![0x01];
    let is_stream = |entry: &&SevenZipEntry<'_>| !entry.content.is_empty() || entry.size.is_some();
    let streams: Vec<_> = entries.iter().filter(is_stream).collect();
    if !streams.is_empty() {
        header.extend_from_slice(&streams_info(&streams, method, packed.len() as u64));
    }
    header.extend_from_slice(&files_info(entries, &|entry| is_stream(&entry)));
    header.push(0);

    let mut start = Vec::new();
    start.extend_from_slice(&(packed.len() as u64).to_le_bytes());
    start.extend_from_slice(&(header.len() as u64).to_le_bytes());
    start.extend_from_slice(&crc(&header).to_le_bytes());
    let mut bytes = b"7z\xbc\xaf\x27\x1c\0\x04".to_vec();
    bytes.extend_from_slice(&crc(&start).to_le_bytes());
    [&bytes, &start, packed, &header].concat()
}

fn streams_info(
    streams: &[&SevenZipEntry<'_>],
    method: SevenZipMethod<'_>,
    packed: u64,
) -> Vec<u8> {
    let size = |entry: &SevenZipEntry<'_>| entry.size.unwrap_or(entry.content.len() as u64);
    let total = streams.iter().fold(0_u64, |sum, entry| sum.saturating_add(size(entry)));
    let mut bytes = vec![0x04, 0x06, 0, 1, 0x09];
    bytes.extend_from_slice(&number(packed));
    // One folder, not external, one coder.
    bytes.extend_from_slice(&[0, 0x07, 0x0b, 1, 0, 1]);
    let has_properties = if method.properties.is_empty() { 0 } else { 0x20 };
    bytes.push(u8::try_from(method.id.len()).expect("a short number") | has_properties);
    bytes.extend_from_slice(method.id);
    if has_properties != 0 {
        bytes.extend_from_slice(&number(method.properties.len() as u64));
        bytes.extend_from_slice(method.properties);
    }
    bytes.push(0x0c);
    bytes.extend_from_slice(&number(total));
    bytes.extend_from_slice(&[0, 0x08, 0x0d]);
    bytes.extend_from_slice(&number(streams.len() as u64));
    if streams.len() > 1 {
        bytes.push(0x09);
        for entry in &streams[..streams.len() - 1] {
            bytes.extend_from_slice(&number(size(entry)));
        }
    }
    bytes.extend_from_slice(&[0x0a, 1]);
    for entry in streams {
        bytes.extend_from_slice(&entry.crc.unwrap_or_else(|| crc(entry.content)).to_le_bytes());
    }
    bytes.extend_from_slice(&[0, 0]);
    bytes
}

fn files_info(
    entries: &[SevenZipEntry<'_>],
    is_stream: &dyn Fn(&SevenZipEntry<'_>) -> bool,
) -> Vec<u8> {
    let is_folder = |entry: &SevenZipEntry<'_>| entry.mode.is_some_and(|mode| mode >> 12 == 0o4);
    let mut bytes = vec![0x05];
    bytes.extend_from_slice(&number(entries.len() as u64));
    let mut property = |kind: u8, value: &[u8]| {
        bytes.push(kind);
        bytes.extend_from_slice(&number(value.len() as u64));
        bytes.extend_from_slice(value);
    };
    let empty: Vec<&SevenZipEntry<'_>> = entries.iter().filter(|entry| !is_stream(entry)).collect();
    if !empty.is_empty() {
        property(0x0e, &bits(entries.iter().map(|entry| !is_stream(entry))));
        property(0x0f, &bits(empty.iter().map(|entry| !is_folder(entry))));
    }
    let mut names = vec![0];
    for entry in entries {
        let name = entry.name.encode_utf16().chain([0]);
        names.extend(name.flat_map(u16::to_le_bytes));
    }
    property(0x11, &names);
    let mut times = vec![1, 0];
    let mut attributes = vec![1, 0];
    for entry in entries {
        let ticks = (i128::from(entry.mtime) + 11_644_473_600) * 10_000_000;
        let ticks = u64::try_from(ticks).expect("a time after 1601");
        times.extend_from_slice(&ticks.to_le_bytes());
        let unix = entry.mode.map_or(0, |mode| mode << 16 | 0x8000);
        let folder = if is_folder(entry) { 0x10 } else { 0 };
        attributes.extend_from_slice(&(unix | folder).to_le_bytes());
    }
    property(0x14, &times);
    property(0x15, &attributes);
    bytes.push(0);
    bytes
}

/// The first bit is the highest of the first byte.
fn bits(values: impl Iterator<Item = bool>) -> Vec<u8> {
    let values: Vec<bool> = values.collect();
    let byte = |eight: &[bool]| {
        eight.iter().enumerate().map(|(at, &is)| u8::from(is) << (7 - at)).sum::<u8>()
    };
    values.chunks(8).map(byte).collect()
}

fn number(value: u64) -> Vec<u8> {
    match u8::try_from(value) {
        Ok(short) if short < 0x80 => vec![short],
        _ => [&[0xff][..], &value.to_le_bytes()].concat(),
    }
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
