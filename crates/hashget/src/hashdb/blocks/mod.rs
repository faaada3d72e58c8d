//! The digests of the blocks of packages' members, a file for each package, beside a HashDB.
//!
//! Invariant: such a file is whole, as its own digest says, or it is not used. A block is known by its SHA-256, as whole files are; the
//! short checksum beside it only helps to find it.

mod read;
mod write;

use std::io;
use std::path::{Path, PathBuf};

pub use read::MemberBlocks;
pub use write::BlockWriter;

use crate::model::Digest;

/// Bytes of a block. Members with fewer bytes have none.
pub const BLOCK_BYTES: usize = 4096;

/// The folder in that of a HashDB; if it is there, blocks are kept.
const FOLDER: &str = "blocks";

/// What a file begins with.
const BEGINNING: &[u8] = b"hashget-blocks 1\n";

/// The blocks of the packages of a HashDB.
#[derive(Debug, Clone)]
pub struct BlockStore {
    folder: PathBuf,
}

/// The checksum by which a block is found.
pub fn block_checksum(block: &[u8]) -> u64 {
    twox_hash::XxHash3_64::oneshot(block)
}

impl BlockStore {
    /// That of the HashDB in the folder `hashdb`, if it keeps blocks.
    pub fn of(hashdb: &Path) -> Option<Self> {
        let folder = hashdb.join(FOLDER);
        folder.is_dir().then_some(Self { folder })
    }

    /// From now on, the HashDB in the folder `hashdb` keeps the blocks of what is indexed.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn keep_in(hashdb: &Path) -> io::Result<()> {
        fs_err::create_dir_all(hashdb.join(FOLDER))
    }

    fn file(&self, package: &Digest) -> PathBuf {
        self.folder.join(package.to_string())
    }

    /// Are there blocks of the package with this digest?
    pub fn has(&self, package: &Digest) -> bool {
        self.file(package).is_file()
    }

    /// The packages of which there are blocks, sorted.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn packages(&self) -> io::Result<Vec<Digest>> {
        let mut found = Vec::new();
        for entry in fs_err::read_dir(&self.folder)? {
            let name = entry?.file_name();
            // What is not complete yet has another name.
            found.extend(name.to_str().and_then(|name| name.parse::<Digest>().ok()));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Begins the blocks of a package. They are there once it is finished.
    ///
    /// # Errors
    /// Nothing can be written there.
    pub fn writer(&self, package: &Digest) -> io::Result<BlockWriter> {
        BlockWriter::new(self.file(package), package)
    }

    /// Passes the blocks of each member of a package to `visit`; false if there are none, or the file is damaged.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&self, package: &Digest, visit: &mut dyn FnMut(MemberBlocks)) -> io::Result<bool> {
        read::read(&self.file(package), package, visit)
    }

    /// Removes the blocks of a package, if there are any.
    ///
    /// # Errors
    /// They cannot be removed.
    pub fn remove(&self, package: &Digest) -> io::Result<()> {
        match fs_err::remove_file(self.file(package)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RelPath;

    fn member(writer: &mut BlockWriter, path: &str, contents: &[u8]) {
        writer.begin(&RelPath::new(path).unwrap(), contents.len() as u64);
        contents.chunks(1000).for_each(|part| writer.update(part));
        writer.end().unwrap();
    }

    fn blocks_of(store: &BlockStore, package: &Digest) -> Option<Vec<MemberBlocks>> {
        let mut found = Vec::new();
        store.read(package, &mut |member| found.push(member)).unwrap().then_some(found)
    }

    #[test]
    fn blocks_come_back_and_what_is_small_or_ambiguous_has_none() {
        let folder = tempfile::tempdir().unwrap();
        assert!(BlockStore::of(folder.path()).is_none());
        BlockStore::keep_in(folder.path()).unwrap();
        let store = BlockStore::of(folder.path()).unwrap();
        let package = Digest::of(b"package");
        let mut writer = store.writer(&package).unwrap();
        let long: Vec<u8> = (0..9000_u32).map(|byte| (byte % 251) as u8).collect();
        member(&mut writer, "a/long", &long);
        member(&mut writer, "small", &long[..4095]);
        member(&mut writer, "small", &long);
        member(&mut writer, "in.tar!/b", &long);
        member(&mut writer, "even", &long[..8192]);
        assert!(!store.has(&package), "it is not finished");
        writer.finish().unwrap();
        assert_eq!(store.packages().unwrap(), [package]);
        let found = blocks_of(&store, &package).unwrap();
        let names: Vec<String> = found.iter().map(|member| member.path.to_string()).collect();
        assert_eq!(names, ["a/long", "even"]);
        let block = (block_checksum(&long[4096..8192]), Digest::of(&long[4096..8192]));
        assert_eq!((found[0].size, found[0].blocks.len(), found[0].blocks[1]), (9000, 2, block));
        assert_eq!(found[0].tail, Some(Digest::of(&long[8192..])));
        assert_eq!((found[1].blocks.len(), found[1].tail), (2, None));
        store.remove(&package).unwrap();
        store.remove(&package).unwrap();
        assert!(!store.has(&package) && blocks_of(&store, &package).is_none());
    }

    #[test]
    fn a_damaged_file_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        BlockStore::keep_in(folder.path()).unwrap();
        let store = BlockStore::of(folder.path()).unwrap();
        let (package, other) = (Digest::of(b"package"), Digest::of(b"other"));
        let mut writer = store.writer(&package).unwrap();
        member(&mut writer, "a", &[7; 5000]);
        writer.finish().unwrap();
        let file = folder.path().join(FOLDER).join(package.to_string());
        let whole = fs_err::read(&file).unwrap();
        fs_err::copy(&file, file.with_file_name(other.to_string())).unwrap();
        assert!(blocks_of(&store, &other).is_none(), "it is of another package");
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs_err::write(&file, &damaged).unwrap();
            assert!(blocks_of(&store, &package).is_none(), "byte {at}");
            fs_err::write(&file, &whole[..at]).unwrap();
            assert!(blocks_of(&store, &package).is_none(), "cut at {at}");
        }
    }
}
