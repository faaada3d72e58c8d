//! What the kernel is told of an entry.
//!
//! Invariant: the times, modes, owners, sizes and numbers are those of the archive; whoever may read an archive's file may enter its
//! folder.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime};

use fuser::{FileAttr, FileType, INodeNo};
use hashget::archive::Node;
use hashget::model::{Kind, Timestamp};
use rustix::process::{getegid, geteuid};

/// Bytes of a block in what `stat` counts as blocks.
const BLOCK: u64 = 512;

/// The size that folders have, in bytes.
const FOLDER_BYTES: u64 = 4096;

/// What is known of the file of an archive, or of the folder in which archives lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outside {
    mode: u32,
    /// User and group.
    owner: (u32, u32),
    modified: SystemTime,
}

impl From<&Metadata> for Outside {
    fn from(metadata: &Metadata) -> Self {
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        Self { mode: metadata.mode(), owner: (metadata.uid(), metadata.gid()), modified }
    }
}

impl Outside {
    /// That of something in a store, which only whoever has opened the store may look into.
    pub(super) fn in_store(modified: SystemTime) -> Self {
        let owner = (geteuid().as_raw(), getegid().as_raw());
        Self { mode: 0o500, owner, modified }
    }
}

/// The type of an entry.
pub(super) fn file_type(kind: &Kind) -> FileType {
    match kind {
        Kind::File { .. } | Kind::HardLink { .. } => FileType::RegularFile,
        Kind::Directory => FileType::Directory,
        Kind::Symlink { .. } => FileType::Symlink,
        Kind::CharDevice { .. } => FileType::CharDevice,
        Kind::BlockDevice { .. } => FileType::BlockDevice,
        Kind::Fifo => FileType::NamedPipe,
        Kind::Socket => FileType::Socket,
    }
}

/// The attributes of an entry of an archive.
pub(super) fn of_node(inode: u64, node: &Node) -> FileAttr {
    let metadata = &node.metadata;
    let size = match &node.kind {
        Kind::File { size } => *size,
        Kind::Symlink { target } => target.len() as u64,
        Kind::Directory => FOLDER_BYTES,
        _ => 0,
    };
    let (device, mode) = match node.kind {
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
            (device_number(major, minor), metadata.mode)
        }
        Kind::Symlink { .. } => (0, 0o777),
        _ => (0, metadata.mode),
    };
    // How many folders are in a folder is not counted: 1 says so to programs that would rely on it.
    let names = node.names;
    let owner = (metadata.uid, metadata.gid);
    let file =
        FileAttr { nlink: names, rdev: device, ..plain(inode, mode, owner, time(metadata.mtime)) };
    FileAttr { size, blocks: size.div_ceil(BLOCK), kind: file_type(&node.kind), ..file }
}

/// The attributes of an archive's folder among others.
pub(super) fn of_archive(inode: u64, file: Outside) -> FileAttr {
    let readable = file.mode & 0o444;
    let mode = readable | readable >> 2;
    folder(plain(inode, mode, file.owner, file.modified))
}

/// The attributes of the folder of archives.
pub(super) fn of_folder(inode: u64, archives: Outside) -> FileAttr {
    folder(plain(inode, archives.mode & 0o555, archives.owner, archives.modified))
}

fn folder(attributes: FileAttr) -> FileAttr {
    let blocks = FOLDER_BYTES.div_ceil(BLOCK);
    FileAttr { size: FOLDER_BYTES, blocks, kind: FileType::Directory, ..attributes }
}

fn plain(inode: u64, mode: u32, (uid, gid): (u32, u32), modified: SystemTime) -> FileAttr {
    FileAttr {
        ino: INodeNo(inode),
        size: 0,
        blocks: 0,
        atime: modified,
        mtime: modified,
        ctime: modified,
        crtime: modified,
        kind: FileType::RegularFile,
        perm: u16::try_from(mode & 0o7777).unwrap_or_default(),
        nlink: 1,
        uid,
        gid,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

/// The number of a device as FUSE has it: as the kernel has had it since version 2.6.
fn device_number(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | major << 8 | (minor & !0xff) << 12
}

/// A time as the system has it; the beginning of 1970 if it cannot be one.
fn time(time: Timestamp) -> SystemTime {
    let seconds = Duration::from_secs(time.seconds.unsigned_abs());
    let whole = match time.seconds {
        0.. => SystemTime::UNIX_EPOCH.checked_add(seconds),
        _ => SystemTime::UNIX_EPOCH.checked_sub(seconds),
    };
    let time =
        whole.and_then(|whole| whole.checked_add(Duration::from_nanos(time.nanoseconds.into())));
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_and_times_are_as_the_kernel_wants_them() {
        assert_eq!(device_number(8, 1), 0x801);
        assert_eq!(device_number(259, 0x1234), 0x0120_0000 | 259 << 8 | 0x34);
        let before = Timestamp { seconds: -1, nanoseconds: 750_000_000 };
        assert_eq!(time(before), SystemTime::UNIX_EPOCH - Duration::from_millis(250));
        assert_eq!(
            time(Timestamp::from_seconds(7)),
            SystemTime::UNIX_EPOCH + Duration::from_secs(7)
        );
    }
}
