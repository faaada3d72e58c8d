//! Other file systems that are mounted in a tree: which are entered, and what is said of those that are not.
//!
//! Invariant: one that is not entered, and has files of its own, is named; unless the user asked for one file system, the
//! tree is incomplete without it.

use std::os::fd::OwnedFd;

use rustix::fs::{Dir, fstatfs, major, minor};

use super::open::TreeRoot;
use crate::model::RelPath;
use crate::monitor::ProblemKind;

/// Which file systems are entered that are mounted in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileSystems {
    /// All.
    #[default]
    All,
    /// Those of local disks and of the memory. Not those of the network, of removable disks and of the kernel.
    Local,
    /// Only that of the top folder.
    One,
}

/// What a file system is, as far as backups are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    /// On a disk of this machine, or in its memory.
    Local,
    /// On a disk that can be taken away.
    Removable,
    /// On another machine.
    Network,
    /// Files that a program or another file system supplies.
    Supplied,
    /// The kernel's, or an image that is a file itself: none of its files are its own.
    Pseudo,
}

/// The magic numbers of file systems of the network, from `linux/magic.h` and the file systems themselves.
const NETWORK: &[u32] = &[
    0x6969,      // nfs
    0x517b,      // smb
    0xff53_4d42, // cifs
    0xfe53_4d42, // smb2
    0x00c3_6400, // ceph
    0x0102_1997, // 9p
    0x5346_414f, // openafs
    0x6b41_4653, // afs
    0x7375_7245, // coda
    0x564c,      // ncp
    0x0bd0_0bd0, // lustre
    0x4750_4653, // gpfs
    0x7461_636f, // ocfs2
    0x0116_1970, // gfs2
    0x2003_0528, // orangefs
    0xaad7_aaea, // panfs
    0x786f_4256, // vboxsf
    0xbacb_acbc, // vmhgfs
];

/// Those of the kernel's own file systems, and of compressed images.
const PSEUDO: &[u32] = &[
    0x9fa0,      // proc
    0x9fa1,      // openprom
    0x9fa2,      // usbdevfs
    0x0187,      // autofs
    0x1cd1,      // devpts
    0x6265_6572, // sysfs
    0x6265_6570, // configfs
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0xf97c_ff8c, // selinuxfs
    0x4341_5d53, // smackfs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0x6165_676c, // pstore
    0xcafe_4a11, // bpf
    0x6573_5543, // fusectl
    0x1980_0202, // mqueue
    0x9584_58f6, // hugetlbfs
    0x4249_4e4d, // binfmt_misc
    0xde5e_81e4, // efivarfs
    0x6759_6969, // rpc_pipefs
    0x6e66_7364, // nfsd
    0x6e73_6673, // nsfs
    0x0765_5821, // resctrl
    0x7371_7368, // squashfs
    0xe0f5_e1e2, // erofs
    0x28cd_3d45, // cramfs
];

/// Those of discs.
const DISCS: &[u32] = &[0x9660, 0x1501_3346];

/// Those whose files are supplied by a program, or lie in other folders.
const FUSE: u32 = 0x6573_5546;
const OVERLAY: u32 = 0x794c_7630;

/// Another file system, where it is mounted.
pub(super) struct Mounted {
    nature: Nature,
    is_empty: bool,
}

impl Mounted {
    /// The one at `path`, which has this device number.
    pub(super) fn at(root: &TreeRoot, path: &RelPath, device: u64) -> Self {
        let magic = root.at(path).ok().and_then(|mount| magic(&mount));
        let nature = magic.map_or(Nature::Supplied, |magic| nature(magic, device));
        let is_empty = || root.open_directory(path).is_ok_and(|folder| is_empty(&folder));
        Self { nature, is_empty: nature != Nature::Pseudo && is_empty() }
    }

    /// Is it entered?
    pub(super) fn is_entered(&self, entered: FileSystems) -> bool {
        match entered {
            FileSystems::All => true,
            FileSystems::Local => self.nature == Nature::Local,
            FileSystems::One => false,
        }
    }

    /// What is to be said if it is not entered.
    pub(super) fn problem(&self, entered: FileSystems) -> Option<(ProblemKind, String)> {
        let what = match self.nature {
            _ if self.is_empty => return None,
            Nature::Pseudo => return None,
            Nature::Local => "another file system of this machine",
            Nature::Removable => "the file system of a removable disk",
            Nature::Network => "a file system of the network",
            Nature::Supplied => "a file system whose files a program or other folders supply",
        };
        let not_entered = format!("{what} is mounted here; its files are not in the backup");
        Some(match entered {
            FileSystems::One => (ProblemKind::Note, not_entered),
            FileSystems::All | FileSystems::Local => {
                (ProblemKind::Incomplete, format!("{not_entered} (exclude it if that is right)"))
            }
        })
    }
}

/// Is the file system searched for packages that is mounted at `path` and has this device number? Those of the
/// kernel have no files of packages, and reading them may wait for ever.
pub(crate) fn is_searched(
    root: &TreeRoot,
    path: &RelPath,
    device: u64,
    entered: FileSystems,
) -> bool {
    let mounted = Mounted::at(root, path, device);
    mounted.nature != Nature::Pseudo && mounted.is_entered(entered)
}

/// What the file system with this magic number and this device is.
fn nature(magic: u32, device: u64) -> Nature {
    let is_block_device = major(device) != 0;
    match magic {
        _ if NETWORK.contains(&magic) => Nature::Network,
        _ if PSEUDO.contains(&magic) => Nature::Pseudo,
        _ if DISCS.contains(&magic) => Nature::Removable,
        OVERLAY => Nature::Supplied,
        FUSE if !is_block_device => Nature::Supplied,
        _ if is_block_device && is_removable(device) => Nature::Removable,
        _ => Nature::Local,
    }
}

/// The number that says which kind of file system something lies on.
fn magic(file: &OwnedFd) -> Option<u32> {
    // Its type differs between processors, also in its sign.
    let magic = i128::from(fstatfs(file).ok()?.f_type) & 0xffff_ffff;
    u32::try_from(magic).ok()
}

/// Does the open file lie on a file system of the kernel, whose files may answer a reader as they like, or on one that
/// does not say what it is?
pub(crate) fn is_of_kernel(file: &OwnedFd) -> bool {
    magic(file).is_none_or(|magic| PSEUDO.contains(&magic))
}

/// Is it a disk that can be taken away, or a part of one?
fn is_removable(device: u64) -> bool {
    let link = format!("/sys/dev/block/{}:{}", major(device), minor(device));
    let Ok(disk) = fs_err::canonicalize(link) else { return false };
    // A partition lies in the folder of its disk.
    let says_so = |folder: &std::path::Path| {
        fs_err::read(folder.join("removable")).is_ok_and(|text| text.starts_with(b"1"))
    };
    let is_usb = disk.iter().any(|name| name.as_encoded_bytes().starts_with(b"usb"));
    is_usb || disk.ancestors().take(2).any(says_so)
}

/// Does the folder have nothing but what a new file system has?
fn is_empty(folder: &OwnedFd) -> bool {
    let of_new = |name: &[u8]| matches!(name, b"." | b".." | b"lost+found");
    Dir::read_from(folder).is_ok_and(|mut names| {
        names.all(|entry| entry.is_ok_and(|entry| of_new(entry.file_name().to_bytes())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_depends_on_what_it_is_and_on_what_was_asked_for() {
        let table = [
            (Nature::Local, FileSystems::Local, true, None),
            (Nature::Local, FileSystems::One, false, Some(ProblemKind::Note)),
            (Nature::Removable, FileSystems::Local, false, Some(ProblemKind::Incomplete)),
            (Nature::Network, FileSystems::Local, false, Some(ProblemKind::Incomplete)),
            (Nature::Network, FileSystems::One, false, Some(ProblemKind::Note)),
            (Nature::Supplied, FileSystems::Local, false, Some(ProblemKind::Incomplete)),
            (Nature::Pseudo, FileSystems::Local, false, None),
            (Nature::Pseudo, FileSystems::One, false, None),
            (Nature::Pseudo, FileSystems::All, true, None),
        ];
        for (nature, entered, is_entered, kind) in table {
            let mounted = Mounted { nature, is_empty: false };
            assert_eq!(mounted.is_entered(entered), is_entered, "{nature:?} {entered:?}");
            if !is_entered {
                let found = mounted.problem(entered).map(|(kind, _)| kind);
                assert_eq!(found, kind, "{nature:?} {entered:?}");
                assert!(Mounted { nature, is_empty: true }.problem(entered).is_none());
            }
        }
    }

    #[test]
    fn file_systems_are_told_apart_by_their_numbers() {
        let (anonymous, disk) = (rustix::fs::makedev(0, 40), rustix::fs::makedev(4095, 1));
        for (magic, device, expected) in [
            (0xef53, disk, Nature::Local),
            (0x9123_683e, anonymous, Nature::Local),
            (0x0102_1994, anonymous, Nature::Local),
            (0x6969, anonymous, Nature::Network),
            (0x9fa0, anonymous, Nature::Pseudo),
            (0x9660, disk, Nature::Removable),
            (FUSE, anonymous, Nature::Supplied),
            (FUSE, disk, Nature::Local),
        ] {
            assert_eq!(nature(magic, device), expected, "{magic:x}");
        }
    }
}
