//! The list of files in the header of an rpm.
//!
//! Invariant: every list that exists has one value for each file.

use std::collections::{BTreeSet, HashMap};

use rustix::fs::FileType;

use super::super::file_type::file_type;
use super::header::{Numbers, RpmHeader, Texts};
use super::{FormatError, damaged};
use crate::limits::Limits;
use crate::model::{Algorithm, Checksum, Kind, Member, MemberMetadata, RelPath, Timestamp};

const OLD_NAMES: u32 = 1027;
const SIZES: u32 = 1028;
const STATES: u32 = 1029;
const MODES: u32 = 1030;
const DEVICE_NUMBERS: u32 = 1033;
const MTIMES: u32 = 1034;
const DIGESTS: u32 = 1035;
const LINK_TARGETS: u32 = 1036;
const FLAGS: u32 = 1037;
const OWNERS: u32 = 1039;
const GROUPS: u32 = 1040;
const FILE_SYSTEMS: u32 = 1095;
const INODES: u32 = 1096;
const FOLDER_INDEXES: u32 = 1116;
const BASE_NAMES: u32 = 1117;
const FOLDERS: u32 = 1118;
const LARGE_SIZES: u32 = 5008;
const DIGEST_ALGORITHM: u32 = 5011;

/// Limit on the total size of all file names: the largest packages have about 20 MiB.
const MOST_NAME_BYTES: usize = 256 << 20;

/// Configuration, which administrators change.
const CONFIGURATION: u64 = 1;
/// A file that may be missing.
const MAY_BE_MISSING: u64 = 1 << 3;
/// A file that the package owns but does not contain.
const GHOST: u64 = 1 << 6;

/// States of files that rpm did not lay down: it was told so, the file is on a disk of several machines, another
/// architecture's is there.
const NOT_LAID_DOWN: std::ops::RangeInclusive<u8> = 2..=4;

/// A group of hard links: device and inode on the machine that built the package.
pub(super) type Group = (u64, u64);

/// What the header says about the files.
pub(super) struct Files<'a> {
    names: Names<'a>,
    modes: Numbers<'a>,
    sizes: Numbers<'a>,
    mtimes: Option<Numbers<'a>>,
    devices: Option<Numbers<'a>>,
    targets: Option<Texts<'a>>,
    owners: Option<Texts<'a>>,
    groups: Option<Texts<'a>>,
    places: HashMap<RelPath, usize>,
    /// The groups with more than one name, by index of the file; and the last index of each group.
    links: HashMap<usize, Group>,
    last: HashMap<Group, usize>,
}

/// The two forms in which names are stored.
enum Names<'a> {
    Whole(Texts<'a>),
    Split { folders: Texts<'a>, folder_of: Numbers<'a>, names: Texts<'a> },
    None,
}

impl<'a> Files<'a> {
    pub(super) fn read(header: &'a RpmHeader, limits: &Limits) -> Result<Self, FormatError> {
        let count = header.count(BASE_NAMES).max(header.count(OLD_NAMES));
        if count as u64 > limits.entries || header.count(FOLDERS) as u64 > limits.entries {
            return Err(FormatError::Limit { what: "entries".into(), limit: limits.entries });
        }
        let names = Names::read(header)?;
        let numbers = |tag| checked(header.numbers(tag), header.count(tag), count);
        let texts = |tag| checked(header.texts(tag), header.count(tag), count);
        let needed = |list: Option<Numbers<'a>>| match list {
            Some(list) => Ok(list),
            None if count == 0 => Ok(Numbers::default()),
            None => Err(damaged("its header has no modes or no sizes of files")),
        };
        let sizes = numbers(LARGE_SIZES)?;
        let mut files = Self {
            modes: needed(numbers(MODES)?)?,
            sizes: needed(if sizes.is_some() { sizes } else { numbers(SIZES)? })?,
            mtimes: numbers(MTIMES)?,
            devices: numbers(DEVICE_NUMBERS)?,
            targets: texts(LINK_TARGETS)?,
            owners: texts(OWNERS)?,
            groups: texts(GROUPS)?,
            places: HashMap::new(),
            links: HashMap::new(),
            last: HashMap::new(),
            names,
        };
        let mut bytes = 0;
        for at in 0..count {
            let name = files.names.get(at)?;
            // A folder's long name can be repeated for every file.
            bytes += name.len();
            if bytes > MOST_NAME_BYTES {
                let what = "bytes of an rpm's names".into();
                return Err(FormatError::Limit { what, limit: MOST_NAME_BYTES as u64 });
            }
            if let Ok(path) = RelPath::normalise(&name) {
                files.places.entry(path).or_insert(at);
            }
        }
        files.find_links(count, numbers(FILE_SYSTEMS)?, numbers(INODES)?, numbers(FLAGS)?);
        Ok(files)
    }

    fn find_links(
        &mut self,
        count: usize,
        file_systems: Option<Numbers<'_>>,
        inodes: Option<Numbers<'_>>,
        flags: Option<Numbers<'_>>,
    ) {
        let Some(inodes) = inodes else { return };
        let at_place = |list: Option<Numbers<'_>>, at| list.and_then(|list| list.get(at));
        let mut places: HashMap<Group, Vec<usize>> = HashMap::new();
        for at in 0..count {
            let is_here = at_place(flags, at).unwrap_or(0) & GHOST == 0;
            let is_file = self.modes.get(at).is_some_and(|mode| file_type(mode).is_file());
            if let Some(inode) = inodes.get(at).filter(|_| is_here && is_file) {
                let group = (at_place(file_systems, at).unwrap_or(0), inode);
                places.entry(group).or_default().push(at);
            }
        }
        for (group, places) in places {
            let Some(last) = places.last().filter(|_| places.len() > 1) else { continue };
            self.last.insert(group, *last);
            self.links.extend(places.iter().map(|place| (*place, group)));
        }
    }

    /// The index of the file with this path.
    pub(super) fn find(&self, path: &RelPath) -> Option<usize> {
        self.places.get(path).copied()
    }

    /// The hard-link group of this file, if it has other names.
    pub(super) fn group(&self, at: usize) -> Option<Group> {
        self.links.get(&at).copied()
    }

    /// The size in the header; 0 if there is no such file.
    pub(super) fn size(&self, at: usize) -> u64 {
        self.sizes.get(at).unwrap_or(0)
    }

    /// The number of bytes that the archive stores for the file with this index, if the archive itself does
    /// not say: the contents of hard links are stored with the last one.
    pub(super) fn stored_bytes(&self, at: usize) -> Result<u64, FormatError> {
        let mode = self.modes.get(at);
        let mode = mode.ok_or_else(|| damaged(format!("its header has no file {at}")))?;
        Ok(match file_type(mode) {
            FileType::RegularFile => match self.group(at) {
                Some(group) if self.last.get(&group) != Some(&at) => 0,
                _ => self.size(at),
            },
            FileType::Symlink => self.target(at).len() as u64,
            _ => 0,
        })
    }

    /// The file with this index as a member with the given number of bytes of contents; its name and the
    /// reason if it cannot be one.
    pub(super) fn member(
        &self,
        at: usize,
        size: u64,
    ) -> Result<Result<Member, (Vec<u8>, String)>, FormatError> {
        let name = self.names.get(at)?;
        let path = match RelPath::normalise(&name) {
            Ok(path) => path,
            Err(error) => return Ok(Err((name, error.reason().to_owned()))),
        };
        let mode = self.modes.get(at).unwrap_or(0);
        let kind = match file_type(mode) {
            FileType::RegularFile => Kind::File { size },
            FileType::Directory => Kind::Directory,
            FileType::Fifo => Kind::Fifo,
            FileType::Symlink if self.target(at).is_empty() => {
                return Ok(Err((name, "it is a link without a target".to_owned())));
            }
            FileType::Symlink => Kind::Symlink { target: self.target(at).into() },
            special @ (FileType::CharacterDevice | FileType::BlockDevice) => {
                let device = self.devices.and_then(|devices| devices.get(at)).unwrap_or(0);
                let [.., major, minor] = device.to_be_bytes().map(u32::from);
                match special {
                    FileType::CharacterDevice => Kind::CharDevice { major, minor },
                    _ => Kind::BlockDevice { major, minor },
                }
            }
            _ => return Ok(Err((name, "it is of no known type".to_owned()))),
        };
        let mtime = self.mtimes.and_then(|mtimes| i64::try_from(mtimes.get(at)?).ok());
        let metadata = MemberMetadata {
            mode: u32::try_from(mode & 0o7777).ok(),
            uid: id(self.owners.as_ref(), at),
            gid: id(self.groups.as_ref(), at),
            mtime: mtime.map(Timestamp::from_seconds),
            ..MemberMetadata::default()
        };
        Ok(Ok(Member { path, kind, metadata, sha256: None, extents: None }))
    }

    fn target(&self, at: usize) -> &[u8] {
        self.targets.as_ref().and_then(|targets| targets.get(at)).unwrap_or_default()
    }
}

impl<'a> Names<'a> {
    fn read(header: &'a RpmHeader) -> Result<Self, FormatError> {
        let cut_off = || damaged("its header's list of names is cut off");
        if header.count(BASE_NAMES) > 0 {
            let names = header.texts(BASE_NAMES).ok_or_else(cut_off)?;
            let folders = header.texts(FOLDERS).ok_or_else(cut_off)?;
            let folder_of = header.numbers(FOLDER_INDEXES).ok_or_else(cut_off)?;
            return Ok(Self::Split { folders, folder_of, names });
        }
        if header.count(OLD_NAMES) > 0 {
            return Ok(Self::Whole(header.texts(OLD_NAMES).ok_or_else(cut_off)?));
        }
        Ok(Self::None)
    }

    fn get(&self, at: usize) -> Result<Vec<u8>, FormatError> {
        let name = match self {
            Self::Whole(names) => names.get(at).map(<[u8]>::to_vec),
            Self::Split { folders, folder_of, names } => {
                let folder = folder_of.get(at).and_then(|folder| usize::try_from(folder).ok());
                let folder = folder.and_then(|folder| folders.get(folder));
                folder.zip(names.get(at)).map(|(folder, name)| [folder, name].concat())
            }
            Self::None => None,
        };
        name.ok_or_else(|| damaged(format!("its header has no name of file {at}")))
    }
}

/// A regular file contained in a package.
pub(crate) struct FileDigest {
    pub(crate) path: RelPath,
    /// The member that has its contents: for a hard link, a different name.
    pub(crate) member: RelPath,
    pub(crate) checksum: Checksum,
}

/// The regular files contained in the package, with their digests, if those are of a known algorithm.
pub(super) fn digests(header: &RpmHeader, limits: &Limits) -> Result<Vec<FileDigest>, FormatError> {
    let files = Files::read(header, limits)?;
    let count = header.count(BASE_NAMES).max(header.count(OLD_NAMES));
    let digests = checked(header.texts(DIGESTS), header.count(DIGESTS), count)?;
    let flags = checked(header.numbers(FLAGS), header.count(FLAGS), count)?;
    // OpenPGP algorithm numbers, RFC 9580, section 9.5. The default is MD5.
    let algorithm = match header.numbers(DIGEST_ALGORITHM).and_then(|list| list.get(0)) {
        None | Some(1) => Algorithm::Md5,
        Some(2) => Algorithm::Sha1,
        Some(8) => Algorithm::Sha256,
        Some(9) => Algorithm::Sha384,
        Some(10) => Algorithm::Sha512,
        Some(_) => return Ok(Vec::new()),
    };
    let Some(digests) = digests else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for at in 0..count {
        let is_ghost = flags.and_then(|flags| flags.get(at)).unwrap_or(0) & GHOST != 0;
        let is_file = files.modes.get(at).is_some_and(|mode| file_type(mode).is_file());
        if is_ghost || !is_file {
            continue;
        }
        let digest = digests.get(at).and_then(|digest| std::str::from_utf8(digest).ok());
        let checksum = digest.and_then(|digest| Checksum::from_hex(algorithm, digest));
        let path_of = |at| files.names.get(at).map(|name| RelPath::normalise(&name).ok());
        let last = files.group(at).and_then(|group| files.last.get(&group).copied());
        let paths = path_of(at)?.zip(path_of(last.unwrap_or(at))?);
        let file = |((path, member), checksum)| FileDigest { path, member, checksum };
        found.extend(paths.zip(checksum).map(file));
    }
    Ok(found)
}

/// What rpm's database says of a package's files besides what the package has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FileNotes {
    /// Configuration.
    pub(crate) configuration: Vec<RelPath>,
    /// Files that were not laid down, or may be missing.
    pub(crate) may_be_missing: BTreeSet<RelPath>,
}

/// What is noted of the files; states are only in databases.
pub(super) fn notes(header: &RpmHeader, limits: &Limits) -> Result<FileNotes, FormatError> {
    let files = Files::read(header, limits)?;
    let count = header.count(BASE_NAMES).max(header.count(OLD_NAMES));
    let flags = checked(header.numbers(FLAGS), header.count(FLAGS), count)?;
    let states = checked(header.bytes(STATES), header.count(STATES), count)?;
    let mut notes = FileNotes::default();
    for at in 0..count {
        let flags = flags.and_then(|flags| flags.get(at)).unwrap_or(0);
        let state = states.and_then(|states| states.get(at));
        let is_absent = state.is_some_and(|state| NOT_LAID_DOWN.contains(state));
        let Ok(path) = RelPath::normalise(&files.names.get(at)?) else { continue };
        if flags & CONFIGURATION != 0 {
            notes.configuration.push(path.clone());
        }
        if is_absent || flags & MAY_BE_MISSING != 0 {
            notes.may_be_missing.insert(path);
        }
    }
    Ok(notes)
}

/// `list`, which must have a value for each file if the header contains it.
fn checked<T>(list: Option<T>, found: usize, files: usize) -> Result<Option<T>, FormatError> {
    if found == 0 || (found == files && list.is_some()) {
        return Ok(list.filter(|_| found > 0));
    }
    Err(damaged(format!("its header has a list of {found} values for {files} files")))
}

/// The number of an owner or group: except for root, names have a meaning only on a particular machine.
fn id(names: Option<&Texts<'_>>, at: usize) -> Option<u32> {
    names?.get(at).filter(|name| *name == b"root").map(|_| 0)
}
