//! cpio archives in every form that programs write, entry by entry.

/// The form of an archive's headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CpioForm {
    /// Hexadecimal digits ("newc").
    New,
    /// The same with a sum of each file's bytes ("crc").
    Summed,
    /// Octal digits ("odc").
    Octal,
    /// Words of two bytes, the lower one first.
    Binary,
    /// Words of two bytes, the upper one first.
    BinaryBigEndian,
}

impl CpioForm {
    /// Every form.
    pub const ALL: [Self; 5] =
        [Self::New, Self::Summed, Self::Octal, Self::Binary, Self::BinaryBigEndian];
}

/// An entry of a cpio archive.
#[derive(Debug, Clone, Copy)]
pub struct CpioEntry<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// The mode, with type bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Seconds since 1970.
    pub mtime: u32,
    /// Inode number: the entries of a file with several names have the same.
    pub inode: u32,
    /// Number of the file's names.
    pub links: u32,
    /// Major and minor number of a device node.
    pub device: (u32, u32),
    /// Its contents, or the target of a symbolic link.
    pub content: &'a [u8],
    /// The size in the header, if not that of `content`.
    pub size: Option<u32>,
    /// The sum in the header, if not that of `content`.
    pub sum: Option<u32>,
}

impl Default for CpioEntry<'_> {
    fn default() -> Self {
        Self {
            name: b"x",
            mode: 0o100_644,
            owner: (0, 0),
            mtime: 1_700_000_000,
            inode: 1,
            links: 1,
            device: (0, 0),
            content: b"",
            size: None,
            sum: None,
        }
    }
}

/// An archive of these entries, with its trailer.
pub fn cpio(form: CpioForm, entries: &[CpioEntry<'_>]) -> Vec<u8> {
    let trailer =
        CpioEntry { name: b"TRAILER!!!", mode: 0, mtime: 0, inode: 0, ..CpioEntry::default() };
    entries.iter().chain([&trailer]).flat_map(|entry| cpio_entry(form, entry)).collect()
}

/// One entry of an archive.
pub fn cpio_entry(form: CpioForm, entry: &CpioEntry<'_>) -> Vec<u8> {
    let small = |length: usize| u32::try_from(length).expect("a small entry");
    let size = entry.size.unwrap_or(small(entry.content.len()));
    let name_length = small(entry.name.len() + 1);
    let CpioEntry { mode, mtime, inode, links, .. } = *entry;
    let ((uid, gid), (major, minor)) = (entry.owner, entry.device);
    let node = major << 8 | minor;
    let mut bytes = match form {
        CpioForm::New | CpioForm::Summed => {
            let is_file = mode & 0o170_000 == 0o100_000;
            let sum: u32 = entry.content.iter().map(|byte| u32::from(*byte)).sum();
            let sum = if form == CpioForm::Summed && is_file { sum } else { 0 };
            let sum = entry.sum.unwrap_or(sum);
            let magic = if form == CpioForm::New { "070701" } else { "070702" };
            let fields =
                [inode, mode, uid, gid, links, mtime, size, 8, 1, major, minor, name_length, sum];
            let fields = fields.map(|field| format!("{field:08x}")).concat();
            format!("{magic}{fields}").into_bytes()
        }
        CpioForm::Octal => {
            let fields = [0o1001, inode, mode, uid, gid, links, node];
            let fields = fields.map(|field| format!("{field:06o}")).concat();
            format!("070707{fields}{mtime:011o}{name_length:06o}{size:011o}").into_bytes()
        }
        CpioForm::Binary | CpioForm::BinaryBigEndian => {
            let words = [
                0o070_707,
                0x0801,
                inode,
                mode,
                uid,
                gid,
                links,
                node,
                mtime >> 16,
                mtime & 0xffff,
                name_length,
                size >> 16,
                size & 0xffff,
            ];
            let word = |word: u32| {
                let word = u16::try_from(word).expect("a number of two bytes");
                if form == CpioForm::Binary { word.to_le_bytes() } else { word.to_be_bytes() }
            };
            words.into_iter().flat_map(word).collect()
        }
    };
    let alignment = match form {
        CpioForm::New | CpioForm::Summed => 4,
        CpioForm::Octal => 1,
        CpioForm::Binary | CpioForm::BinaryBigEndian => 2,
    };
    bytes.extend_from_slice(entry.name);
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(alignment), 0);
    bytes.extend_from_slice(entry.content);
    bytes.resize(bytes.len().next_multiple_of(alignment), 0);
    bytes
}
