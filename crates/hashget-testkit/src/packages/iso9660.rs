//! Images of ISO 9660, entry by entry: whole ones, and such as no program makes.
//!
//! Invariant: what lies where is given by the order of areas, folders and contents alone, so that an entry can point anywhere.

/// Bytes of a block.
const BLOCK: usize = 2048;
/// The first descriptor.
const DESCRIPTORS: usize = 16;
/// The block of the first area.
const FIRST_AREA: usize = 19;

/// An entry of a folder.
#[derive(Debug, Clone)]
pub struct IsoEntry<'a> {
    /// Its name as stored.
    pub name: &'a [u8],
    /// Its flags; that of a folder is set by itself.
    pub flags: u8,
    /// What it has.
    pub content: IsoContent<'a>,
    /// Fields of the SUSP.
    pub fields: Vec<u8>,
}

/// What an entry of a folder has.
#[derive(Debug, Clone, Copy)]
pub enum IsoContent<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// The listing of the folder with this number.
    Folder(usize),
    /// As many bytes as the second number says, from this block on.
    At(u32, u32),
}

/// A folder: the first one is the top.
#[derive(Debug, Clone, Default)]
pub struct IsoFolder<'a> {
    /// Fields of the SUSP in its entry for itself.
    pub fields: Vec<u8>,
    /// What is in it.
    pub entries: Vec<IsoEntry<'a>>,
}

/// A file with fields of the SUSP.
pub fn iso_file<'a>(name: &'a [u8], content: &'a [u8], fields: &[Vec<u8>]) -> IsoEntry<'a> {
    IsoEntry { name, flags: 0, content: IsoContent::Bytes(content), fields: fields.concat() }
}

/// The folder with this number, with fields of the SUSP.
pub fn iso_folder<'a>(name: &'a [u8], number: usize, fields: &[Vec<u8>]) -> IsoEntry<'a> {
    IsoEntry { name, flags: 0, content: IsoContent::Folder(number), fields: fields.concat() }
}

/// A number in both byte orders.
pub fn both(number: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// A field of the SUSP.
pub fn susp(name: &[u8; 2], data: &[u8]) -> Vec<u8> {
    let length = u8::try_from(data.len() + 4).expect("a field has less than 252 bytes");
    [&name[..], &[length, 1], data].concat()
}

/// The first field in the entry of the top folder for itself; the fields of other entries follow `skipped` bytes.
pub fn susp_start(skipped: u8) -> Vec<u8> {
    susp(b"SP", &[0xbe, 0xef, skipped])
}

/// Mode, with the type, and owner and group of Rock Ridge.
pub fn posix(mode: u32, owner: (u32, u32)) -> Vec<u8> {
    susp(b"PX", &[both(mode), both(1), both(owner.0), both(owner.1)].concat())
}

/// Says that fields go on in the area with this number.
pub fn susp_area(number: usize, offset: u32, length: u32) -> Vec<u8> {
    susp(b"CE", &[both(block_of_area(number)), both(offset), both(length)].concat())
}

/// The block of an area of fields.
pub fn block_of_area(number: usize) -> u32 {
    u32::try_from(FIRST_AREA + number).expect("there are few of them")
}

/// An image of these folders and areas of fields (a block each). Joliet's top folder is that with this number.
pub fn iso9660(folders: &[IsoFolder<'_>], areas: &[&[u8]], joliet: Option<usize>) -> Vec<u8> {
    let mut blocks = vec![vec![0; BLOCK]; DESCRIPTORS];
    let mut starts = vec![FIRST_AREA + areas.len()];
    for folder in folders {
        let length = listing(folder, &[], &mut Contents::default()).len();
        starts.push(starts[starts.len() - 1] + blocks_of(length));
    }
    let mut contents = Contents { next: starts[folders.len()], bytes: Vec::new() };
    let mut listings = Vec::new();
    for (number, folder) in folders.iter().enumerate() {
        let mut bytes = listing(folder, &starts, &mut contents);
        // The entry for itself tells the place of the listing.
        let (start, length) = place(&starts, number);
        bytes[2..10].copy_from_slice(&both(start));
        bytes[10..18].copy_from_slice(&both(length));
        listings.push(padded(&bytes));
    }
    let described = |kind, folder| descriptor(kind, place(&starts, folder), contents.next);
    blocks.push(described(1, 0));
    blocks.push(joliet.map_or_else(last_descriptor, |folder| described(2, folder)));
    blocks.push(last_descriptor());
    blocks.extend(areas.iter().map(|area| [area, &vec![0; BLOCK - area.len()][..]].concat()));
    blocks.extend(listings);
    blocks.push(contents.bytes);
    blocks.concat()
}

/// The first block and the bytes of a folder's listing; nothing, if there is no such folder.
fn place(starts: &[usize], folder: usize) -> (u32, u32) {
    let start = starts.get(folder).copied().unwrap_or(0);
    let end = starts.get(folder + 1).copied().unwrap_or(start);
    (small(start), small((end - start) * BLOCK))
}

#[derive(Default)]
struct Contents {
    /// The first block that is free.
    next: usize,
    bytes: Vec<u8>,
}

fn listing(folder: &IsoFolder<'_>, starts: &[usize], contents: &mut Contents) -> Vec<u8> {
    const FOLDER: u8 = 2;
    let mut listing = record(b"\0", FOLDER, (0, 0), &folder.fields);
    listing.extend(record(b"\x01", FOLDER, (0, 0), b""));
    for entry in &folder.entries {
        let (place, flag) = match entry.content {
            IsoContent::At(block, size) => ((block, size), 0),
            IsoContent::Bytes(bytes) => {
                let start = contents.next;
                contents.next += blocks_of(bytes.len());
                contents.bytes.extend(padded(bytes));
                ((small(start), small(bytes.len())), 0)
            }
            IsoContent::Folder(number) => (place(starts, number), FOLDER),
        };
        let record = record(entry.name, entry.flags | flag, place, &entry.fields);
        if listing.len() % BLOCK + record.len() > BLOCK {
            listing.resize(blocks_of(listing.len()) * BLOCK, 0);
        }
        listing.extend(record);
    }
    listing
}

/// An entry recorded on 2001-02-03 04:05:06, two hours east of Greenwich.
fn record(name: &[u8], flags: u8, place: (u32, u32), fields: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).expect("an entry has up to 255 bytes");
    let mut record = vec![0, 0];
    record.extend(both(place.0));
    record.extend(both(place.1));
    record.extend([101, 2, 3, 4, 5, 6, 8, flags, 0, 0, 1, 0, 0, 1, length(name)]);
    record.extend(name);
    record.resize(record.len().next_multiple_of(2), 0);
    record.extend(fields);
    record.resize(record.len().next_multiple_of(2), 0);
    record[0] = length(&record);
    record
}

fn descriptor(kind: u8, top: (u32, u32), blocks: usize) -> Vec<u8> {
    let mut bytes = vec![0; BLOCK];
    bytes[..7].copy_from_slice(&[&[kind][..], b"CD001\x01"].concat());
    bytes[80..88].copy_from_slice(&both(small(blocks)));
    if kind == 2 {
        bytes[88..91].copy_from_slice(b"%/E");
    }
    for at in [120, 124] {
        bytes[at..at + 4].copy_from_slice(&[1, 0, 0, 1]);
    }
    bytes[128..132].copy_from_slice(&[0, 8, 8, 0]);
    let top = record(b"\0", 2, top, b"");
    bytes[156..156 + top.len()].copy_from_slice(&top);
    bytes[881] = 1;
    bytes
}

fn last_descriptor() -> Vec<u8> {
    padded(b"\xffCD001\x01")
}

fn blocks_of(bytes: usize) -> usize {
    bytes.div_ceil(BLOCK)
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(blocks_of(bytes.len()) * BLOCK, 0);
    bytes
}

fn small(number: usize) -> u32 {
    u32::try_from(number).expect("images of tests are small")
}
