//! Alpine packages of version 3: one block describes all files, and each file with contents has a block of data, in the same
//! order.
//!
//! Invariant: a file's contents have the size and the digest that the package gives; a block of data belongs to the file that
//! it names, and to no other.

use std::io::{self, BufRead, Read};

use super::adb::{Adb, Slots};
use super::blocks::{BlockKind, Blocks};
use super::{FORMAT, damaged, reading};
use crate::formats::content::visit;
use crate::formats::{FormatError, Visitor};
use crate::limits::Limits;
use crate::model::{
    Algorithm, Checksum, Hasher, Kind, Member, MemberMetadata, RelPath, Timestamp, Xattrs,
};

/// What comes before the paths of files.
const PREFIX: &[u8] = b"data/";
/// Limit on the size of a block of descriptions: positions in it have 28 bits.
const MOST_ADB_BYTES: u64 = 1 << 28;
/// Limit on the total size of names, targets and attributes, which can be given again for every file.
const MOST_TEXT_BYTES: usize = 256 << 20;
/// Size in bytes of what a block of data begins with: the numbers of folder and file.
const DATA_HEADER: u64 = 8;

/// Slots of a package, of a folder, of a file, and of modes and owners.
const PACKAGE_FOLDERS: usize = 2;
const FOLDER_NAME: usize = 1;
const FOLDER_ACCESS: usize = 2;
const FOLDER_FILES: usize = 3;
const FILE_NAME: usize = 1;
const FILE_ACCESS: usize = 2;
const FILE_SIZE: usize = 3;
const FILE_MTIME: usize = 4;
const FILE_DIGEST: usize = 5;
const FILE_TARGET: usize = 6;
const ACCESS_MODE: usize = 1;
const ACCESS_USER: usize = 2;
const ACCESS_GROUP: usize = 3;
const ACCESS_ATTRIBUTES: usize = 4;

const FIFO: u16 = 0o010_000;
const CHAR_DEVICE: u16 = 0o020_000;
const BLOCK_DEVICE: u16 = 0o060_000;
const HARD_LINK: u16 = 0o100_000;
const SYMLINK: u16 = 0o120_000;

/// Visits the files of a package.
pub(super) fn read(
    input: Box<dyn BufRead + '_>,
    limits: &Limits,
    visitor: &mut dyn Visitor,
) -> Result<(), FormatError> {
    let mut blocks = Blocks::new(input, limits)?;
    let adb = match blocks.next()? {
        Some((BlockKind::Adb, size)) if size > MOST_ADB_BYTES => {
            let what = "bytes of the description of its files".into();
            return Err(FormatError::Limit { what, limit: MOST_ADB_BYTES });
        }
        Some((BlockKind::Adb, _)) => {
            let mut bytes = Vec::new();
            blocks.read_to_end(&mut bytes).map_err(reading)?;
            bytes
        }
        _ => return Err(damaged("its first block does not describe it")),
    };
    let adb = match Adb::new(adb) {
        Some(Ok(adb)) => adb,
        Some(Err(newer)) => {
            let problem = format!("its description is of version {newer}");
            return Err(FormatError::Unsupported { format: FORMAT, problem });
        }
        None => return Err(damaged("the description of its files is cut off")),
    };
    let root = adb.root().ok_or_else(|| damaged("it describes no package"))?;
    let mut reading = Reading { blocks, limits, visitor, entries: 0, text: 0 };
    if let Some(folders) = root.slots(PACKAGE_FOLDERS) {
        reading.visit_folders(folders)?;
    }
    match reading.next_data()? {
        None => Ok(()),
        Some(_) => Err(damaged("it has data that belong to no file")),
    }
}

struct Reading<'r, 'b> {
    blocks: Blocks<'b>,
    limits: &'r Limits,
    visitor: &'r mut dyn Visitor,
    /// Entries, and bytes of text, so far.
    entries: u64,
    text: usize,
}

impl Reading<'_, '_> {
    fn visit_folders(&mut self, folders: Slots<'_>) -> Result<(), FormatError> {
        for folder_number in 1..=folders.count() {
            let folder = folders.slots(folder_number);
            let folder = folder.ok_or_else(|| damaged("a folder has no description"))?;
            let name = folder.blob(FOLDER_NAME).unwrap_or_default();
            if !name.is_empty() {
                self.charge(name.len())?;
                let metadata = self.metadata(folder.slots(FOLDER_ACCESS), None)?;
                self.visit(name, Ok(Kind::Directory), metadata, None)?;
            }
            let Some(files) = folder.slots(FOLDER_FILES) else { continue };
            for file_number in 1..=files.count() {
                let file = files.slots(file_number);
                let file = file.ok_or_else(|| damaged("a file has no description"))?;
                self.visit_file(name, (folder_number, file_number), file)?;
            }
        }
        Ok(())
    }

    fn visit_file(
        &mut self,
        folder: &[u8],
        numbers: (usize, usize),
        file: Slots<'_>,
    ) -> Result<(), FormatError> {
        let own_name = file.blob(FILE_NAME).unwrap_or_default();
        let name = match folder {
            b"" => own_name.to_vec(),
            _ => [folder, b"/", own_name].concat(),
        };
        self.charge(name.len())?;
        let metadata = self.metadata(file.slots(FILE_ACCESS), file.number(FILE_MTIME))?;
        let kind = match file.blob(FILE_TARGET) {
            Some(target) => {
                self.charge(target.len())?;
                linked(target)?
            }
            None if own_name.is_empty() => Err("its name is empty".to_owned()),
            None => Ok(Kind::File { size: file.number(FILE_SIZE).unwrap_or(0) }),
        };
        let Ok(Kind::File { size }) = kind else {
            return self.visit(&name, kind, metadata, None);
        };
        let digest = file.blob(FILE_DIGEST).and_then(checksum);
        let digest = digest.ok_or_else(|| damaged("a file has no digest that is known"))?;
        if size > 0 {
            self.find_data(numbers, size)?;
        }
        self.visit(&name, kind, metadata, Some(digest))
    }

    /// Visits the entry `name`, or reports why it cannot be a member. A file's contents are next among the blocks.
    fn visit(
        &mut self,
        name: &[u8],
        kind: Result<Kind, String>,
        metadata: MemberMetadata,
        digest: Option<Checksum>,
    ) -> Result<(), FormatError> {
        let stored = [PREFIX, name].concat();
        let member = kind.and_then(|kind| {
            let path = RelPath::normalise(name).map_err(|error| error.reason().to_owned())?;
            let path = below(&path)?;
            Ok(Member { path, kind, metadata, sha256: None, extents: None })
        });
        match (member, digest) {
            (Err(reason), _) => self.visitor.bad_member(&stored, &reason),
            (Ok(member), None) => visit(FORMAT, self.visitor, member, &mut io::empty())?,
            (Ok(member), Some(expected)) => {
                let left = member.size();
                let hasher = expected.algorithm().hasher();
                let blocks = if left > 0 { Some(&mut self.blocks) } else { None };
                let mut contents = Proven { blocks, left, hasher: Some(hasher), expected };
                visit(FORMAT, self.visitor, member, &mut contents)?;
                io::copy(&mut contents, &mut io::sink()).map_err(reading)?;
            }
        }
        Ok(())
    }

    /// Goes to the next block, which must have the contents of this file.
    fn find_data(&mut self, numbers: (usize, usize), size: u64) -> Result<(), FormatError> {
        let length = self.next_data()?;
        let mut header = [0; 8];
        if length != size.checked_add(DATA_HEADER) {
            return Err(damaged("the data of a file have another size than it, or are missing"));
        }
        self.blocks.read_exact(&mut header).map_err(reading)?;
        let small = |number| u32::try_from(number).unwrap_or(0).to_le_bytes();
        if header != *[small(numbers.0), small(numbers.1)].as_flattened() {
            return Err(damaged("the data of files are not in the order of the files"));
        }
        Ok(())
    }

    /// The size of the next block of data; `None` if there is no other.
    fn next_data(&mut self) -> Result<Option<u64>, FormatError> {
        loop {
            match self.blocks.next()? {
                None => return Ok(None),
                Some((BlockKind::Data, size)) => return Ok(Some(size)),
                Some((BlockKind::Signature, _)) => {}
                Some((BlockKind::Adb, _)) => return Err(damaged("it describes its files twice")),
            }
        }
    }

    /// Counts an entry with so many bytes of text.
    fn charge(&mut self, text: usize) -> Result<(), FormatError> {
        self.text = self.text.saturating_add(text);
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(FormatError::Limit { what: "entries".into(), limit: self.limits.entries });
        }
        if text as u64 > self.limits.header_bytes {
            let what = "bytes of a name, a target or an attribute".into();
            return Err(FormatError::Limit { what, limit: self.limits.header_bytes });
        }
        if self.text > MOST_TEXT_BYTES {
            let what = "bytes of names and attributes".into();
            return Err(FormatError::Limit { what, limit: MOST_TEXT_BYTES as u64 });
        }
        Ok(())
    }

    fn metadata(
        &mut self,
        access: Option<Slots<'_>>,
        mtime: Option<u64>,
    ) -> Result<MemberMetadata, FormatError> {
        let mode = access.and_then(|access| access.number(ACCESS_MODE));
        // Except for root, names have a meaning only on a particular machine.
        let id = |slot| {
            let name = access.and_then(|access| access.blob(slot));
            name.filter(|name| *name == b"root").map(|_| 0)
        };
        let mut xattrs = Xattrs::default();
        let attributes = access.and_then(|access| access.slots(ACCESS_ATTRIBUTES));
        for slot in 1..=attributes.map_or(0, |attributes| attributes.count()) {
            let attribute = attributes.and_then(|attributes| attributes.blob(slot));
            let attribute = attribute.unwrap_or_default();
            let end = attribute.iter().position(|&byte| byte == 0).filter(|end| *end > 0);
            let end = end.ok_or_else(|| damaged("an attribute has no name"))?;
            self.charge(attribute.len())?;
            xattrs.insert(attribute[..end].into(), attribute[end + 1..].into());
        }
        Ok(MemberMetadata {
            mode: mode.and_then(|mode| u32::try_from(mode & 0o7777).ok()),
            uid: id(ACCESS_USER),
            gid: id(ACCESS_GROUP),
            mtime: mtime.and_then(|mtime| i64::try_from(mtime).ok()).map(Timestamp::from_seconds),
            xattrs,
        })
    }
}

/// The path of a member: that of its file in the package, below [`PREFIX`].
fn below(path: &RelPath) -> Result<RelPath, String> {
    if path.is_root() {
        return Err("its name is empty".to_owned());
    }
    RelPath::new([PREFIX, path.as_bytes()].concat()).map_err(|error| error.to_string())
}

/// What an entry with this target is, or why it cannot be a member: a type, and a name or the number of a device.
fn linked(target: &[u8]) -> Result<Result<Kind, String>, FormatError> {
    let Some((kind, value)) = target.split_first_chunk() else {
        return Err(damaged("a target is cut off"));
    };
    let device = || -> Result<(u32, u32), FormatError> {
        let device = value.try_into().map_err(|_| damaged("the number of a device is cut off"))?;
        let device = u64::from_le_bytes(device);
        Ok((rustix::fs::major(device), rustix::fs::minor(device)))
    };
    Ok(match u16::from_le_bytes(*kind) {
        FIFO => Ok(Kind::Fifo),
        CHAR_DEVICE => device().map(|(major, minor)| Ok(Kind::CharDevice { major, minor }))?,
        BLOCK_DEVICE => device().map(|(major, minor)| Ok(Kind::BlockDevice { major, minor }))?,
        SYMLINK if value.is_empty() => Err("it is a link without a target".to_owned()),
        SYMLINK if value.contains(&0) => Err("its target has a NUL byte".to_owned()),
        SYMLINK => Ok(Kind::Symlink { target: value.into() }),
        HARD_LINK => RelPath::normalise(value)
            .map_err(|error| error.to_string())
            .and_then(|target| below(&target))
            .map(|target| Kind::HardLink { target }),
        _ => Err("it is of no known type".to_owned()),
    })
}

fn checksum(bytes: &[u8]) -> Option<Checksum> {
    [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512]
        .into_iter()
        .find_map(|algorithm| Checksum::new(algorithm, bytes))
}

/// The contents of a file, which must have the expected digest.
struct Proven<'a, 'b> {
    blocks: Option<&'a mut Blocks<'b>>,
    left: u64,
    /// `None` once everything has been verified.
    hasher: Option<Hasher>,
    expected: Checksum,
}

impl Read for Proven<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = match &mut self.blocks {
            Some(blocks) => blocks.take(self.left).read(buffer)?,
            None => 0,
        };
        self.left -= count as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        if self.left == 0
            && self.hasher.take().is_some_and(|hasher| hasher.finish() != self.expected)
        {
            let problem = "the contents of a file have another digest than the package says";
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        Ok(count)
    }
}
