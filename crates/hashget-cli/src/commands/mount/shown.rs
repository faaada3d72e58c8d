//! What is mounted: one archive, or a folder of archives; and the numbers of its inodes.
//!
//! Invariant: the inode of an entry follows from its archive (of a folder: from its name) and from its number in it, so that the
//! same archive has the same inodes each time. An archive's tree is known once the archive was opened.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use hashget::archive::{ArchiveTree, NodeId};
use hashget::model::Digest;
use hashget_backup::series::ArchiveName;

use super::attributes::Outside;
use crate::archive::{archives_in, is_remote};
use crate::commands::without_ending;

/// Bits of an inode number that count the entries of one archive.
const ENTRY_BITS: u32 = 32;

/// What is mounted.
#[derive(Debug)]
pub(super) struct Shown {
    archives: Vec<ShownArchive>,
    /// Of a folder of archives: what is known of it.
    folder: Option<Outside>,
    by_name: BTreeMap<Vec<u8>, usize>,
    by_group: HashMap<u64, usize>,
}

/// An archive that is mounted.
#[derive(Debug)]
pub(super) struct ShownArchive {
    /// Its file, or its URL, or its address in a store.
    pub(super) file: PathBuf,
    /// Of one among others: what is known of its file.
    pub(super) outside: Option<Outside>,
    /// Its tree, once it was opened.
    pub(super) tree: OnceLock<Arc<ArchiveTree>>,
    /// The upper bits of its inode numbers.
    group: u64,
}

/// What an inode stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The folder of archives.
    Archives,
    /// An entry of the archive with this index.
    Entry(usize, NodeId),
}

impl Shown {
    /// The archive at `path`, or those in the folder there.
    pub(super) fn new(path: &Path) -> anyhow::Result<Self> {
        if is_remote(path) {
            let name = path.as_os_str().as_bytes().rsplit(|byte| *byte == b'/').next();
            let name = OsStr::from_bytes(name.unwrap_or_default()).to_owned();
            return Ok(Self::of(vec![(name, path.to_path_buf(), None)], None));
        }
        let metadata = fs_err::metadata(path)?;
        if !metadata.is_dir() {
            let name = path.file_name().unwrap_or_default().to_owned();
            return Ok(Self::of(vec![(name, path.to_path_buf(), None)], None));
        }
        Self::some_of(path, archives_in(path)?)
    }

    /// These archives, which lie in the folder at `path`.
    pub(super) fn some_of(path: &Path, archives: Vec<PathBuf>) -> anyhow::Result<Self> {
        let folder = Outside::from(&fs_err::metadata(path)?);
        let mut found = Vec::new();
        for file in archives {
            let name = file.file_name().unwrap_or_default().to_owned();
            let outside = Outside::from(&fs_err::metadata(&file)?);
            found.push((name, file, Some(outside)));
        }
        Ok(Self::of(found, Some(folder)))
    }

    /// These archives of the store that messages call `store`. Nothing is asked of it for that.
    pub(super) fn of_store(store: &str, archives: &[ArchiveName]) -> Self {
        let time = |name: &ArchiveName| SystemTime::from(name.started());
        let found = archives.iter().map(|name| {
            let file = Path::new(store).join(name.to_string());
            (name.to_string().into(), file, Some(Outside::in_store(time(name))))
        });
        let newest = archives.iter().map(time).max().unwrap_or(SystemTime::UNIX_EPOCH);
        Self::of(found.collect(), Some(Outside::in_store(newest)))
    }

    fn of(files: Vec<(OsString, PathBuf, Option<Outside>)>, folder: Option<Outside>) -> Self {
        let names = shown_names(files.iter().map(|(name, ..)| name.as_bytes()));
        let mut shown = Self {
            archives: Vec::new(),
            folder,
            by_name: BTreeMap::new(),
            by_group: HashMap::new(),
        };
        for (index, ((_, file, outside), name)) in files.into_iter().zip(names).enumerate() {
            let mut group = if shown.folder.is_some() { group_of(&name) } else { 0 };
            while shown.by_group.contains_key(&group) {
                group += 1;
            }
            shown.by_group.insert(group, index);
            shown.by_name.insert(name, index);
            let tree = OnceLock::new();
            shown.archives.push(ShownArchive { file, outside, tree, group });
        }
        shown
    }

    /// Is it a folder of archives?
    pub(super) fn is_folder(&self) -> bool {
        self.folder.is_some()
    }

    /// What is known of the folder of archives.
    pub(super) fn folder(&self) -> Option<Outside> {
        self.folder
    }

    /// The archives, sorted by the names of their files.
    pub(super) fn archives(&self) -> &[ShownArchive] {
        &self.archives
    }

    /// The archive whose folder has this name.
    pub(super) fn named(&self, name: &[u8]) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The names of the folders, sorted, with the archives.
    pub(super) fn names(&self) -> impl Iterator<Item = (&[u8], usize)> {
        self.by_name.iter().map(|(name, archive)| (&**name, *archive))
    }

    /// What the inode stands for.
    pub(super) fn place(&self, inode: u64) -> Option<Place> {
        if self.is_folder() && inode == 1 {
            return Some(Place::Archives);
        }
        let archive = *self.by_group.get(&(inode >> ENTRY_BITS))?;
        let number = inode & ((1 << ENTRY_BITS) - 1);
        let node = u32::try_from(number.checked_sub(1)?).ok()?;
        Some(Place::Entry(archive, NodeId::new(node)))
    }

    /// The inode of an entry.
    pub(super) fn inode(&self, archive: usize, node: NodeId) -> u64 {
        (self.archives[archive].group << ENTRY_BITS) + u64::from(node.number()) + 1
    }
}

/// The upper bits of the inode numbers of an archive in a folder: not 0, which are those of the folder itself.
fn group_of(name: &[u8]) -> u64 {
    let [a, b, c, d, ..] = *Digest::of(name).as_bytes();
    u64::from(u32::from_le_bytes([a, b, c, d]) >> 2) + 1
}

/// The names without their endings, where they differ then.
fn shown_names<'n>(files: impl Iterator<Item = &'n [u8]> + Clone) -> Vec<Vec<u8>> {
    let short = |name: &'n [u8]| without_ending(name).unwrap_or(name);
    let mut taken: HashMap<&[u8], usize> = HashMap::new();
    for name in files.clone() {
        *taken.entry(short(name)).or_default() += 1;
    }
    let is_alone = |name: &'n [u8]| taken.get(short(name)) == Some(&1);
    files.map(|name| if is_alone(name) { short(name) } else { name }.to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_left_out_unless_two_names_would_be_one() {
        let files: [&[u8]; 5] = [b"2026-11-01.tar.zst", b"a.TGZ", b"b.tar", b"b.tar.gz", b".tar"];
        let expected: [&[u8]; 5] = [b"2026-11-01", b"a", b"b.tar", b"b.tar.gz", b".tar"];
        assert_eq!(shown_names(files.into_iter()), expected);
    }

    #[test]
    fn inodes_follow_from_the_name_and_lead_back() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.tar", "b.tar", "note.txt"] {
            fs_err::write(folder.path().join(name), "").unwrap();
        }
        let both = Shown::new(folder.path()).unwrap();
        assert_eq!((both.archives().len(), both.named(b"note.txt")), (2, None));
        let inode = both.inode(both.named(b"b").unwrap(), NodeId::new(7));
        assert_eq!(both.place(inode), Some(Place::Entry(1, NodeId::new(7))));
        assert_eq!((both.place(1), both.place(2)), (Some(Place::Archives), None));
        fs_err::remove_file(folder.path().join("a.tar")).unwrap();
        let one = Shown::new(folder.path()).unwrap();
        assert_eq!(one.inode(0, NodeId::new(7)), inode);
        let alone = Shown::new(&folder.path().join("b.tar")).unwrap();
        assert_eq!(alone.place(1), Some(Place::Entry(0, ArchiveTree::TOP)));
        assert_eq!((alone.place(0), alone.inode(0, NodeId::new(7))), (None, 8));
    }
}
