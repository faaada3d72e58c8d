//! A complete description of a tree, read without the library under test.
//!
//! Invariant: taking a snapshot follows no link and changes nothing. Equal snapshots mean equal trees: every path, type,
//! byte, mode, owner, time to the nanosecond, attribute, hole and hard-link group.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, SeekFrom};
use sha2::{Digest as _, Sha256};

/// One path of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Type: `f`, `d`, `l`, `c`, `b`, `p` or `s`, as find prints it.
    pub kind: char,
    /// Permission bits (`0o7777`); always 0o777 for symbolic links.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time in seconds and nanoseconds.
    pub mtime: (i64, i64),
    /// Logical size of a regular file.
    pub size: u64,
    /// SHA-256 of a regular file's data, without holes; `None` if it is not readable.
    pub digest: Option<[u8; 32]>,
    /// Offset and length of each data extent of a file with holes.
    pub data: Option<Vec<(u64, u64)>>,
    /// The target of a symbolic link.
    pub target: Vec<u8>,
    /// Device number.
    pub device: (u32, u32),
    /// Extended attributes.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first path in byte order with the same inode in this tree; `None` for folders.
    pub first_name: Vec<u8>,
    /// Whether this is a folder that cannot be listed.
    pub closed: bool,
}

/// A tree by path; the top folder is the empty path.
pub type Snapshot = BTreeMap<Vec<u8>, Node>;

/// Describes everything at and below `root`.
///
/// # Panics
/// If the tree cannot be read, or changes meanwhile.
pub fn snapshot(root: &Path) -> Snapshot {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = rustix::fs::open(root, flags, Mode::empty()).expect("the tree can be opened");
    let mut snapshot = Snapshot::new();
    let mut inodes = BTreeMap::new();
    let node = look(top.as_fd(), c".", b"", &mut inodes);
    snapshot.insert(Vec::new(), node);
    walk(&top, b"", &mut snapshot, &mut inodes);
    snapshot
}

type Inodes = BTreeMap<(u64, u64), Vec<u8>>;

fn walk(folder: &OwnedFd, path: &[u8], snapshot: &mut Snapshot, inodes: &mut Inodes) {
    // Opening it anew, as others do for a listing, takes more rights.
    rustix::fs::seek(folder, SeekFrom::Start(0)).expect("a folder that is open");
    let (mut names, mut buffer) = (Vec::new(), Vec::with_capacity(32 << 10));
    let mut listing = RawDir::new(folder, buffer.spare_capacity_mut());
    while let Some(entry) = listing.next() {
        let name = entry.expect("it is not damaged").file_name().to_owned();
        if ![c".", c".."].contains(&&*name) {
            names.push(name);
        }
    }
    names.sort_unstable();
    let mut folders = Vec::new();
    for name in names {
        let below = if path.is_empty() {
            name.to_bytes().to_vec()
        } else {
            [path, b"/", name.to_bytes()].concat()
        };
        let node = look(folder.as_fd(), &name, &below, inodes);
        if node.kind == 'd' {
            folders.push((name, below.clone()));
        }
        snapshot.insert(below, node);
    }
    for (name, below) in folders {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(folder, &name, flags, Mode::empty()) {
            Ok(inner) => walk(&inner, &below, snapshot, inodes),
            Err(_) => snapshot.get_mut(&below).expect("just inserted").closed = true,
        }
    }
    // The first name is the least path, not the one that was found first.
    if path.is_empty() {
        let mut least: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for (path, node) in snapshot.iter() {
            least.entry(node.first_name.clone()).or_insert_with(|| path.clone());
        }
        for node in snapshot.values_mut() {
            node.first_name = least[&node.first_name].clone();
        }
    }
}

fn look(parent: BorrowedFd<'_>, name: &CStr, path: &[u8], inodes: &mut Inodes) -> Node {
    let stat =
        rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).expect("a name that is there");
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => 'f',
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::CharacterDevice => 'c',
        FileType::BlockDevice => 'b',
        FileType::Fifo => 'p',
        _ => 's',
    };
    let identity = (stat.st_dev, stat.st_ino);
    let first_name = if kind == 'd' {
        path.to_vec()
    } else {
        inodes.entry(identity).or_insert_with(|| path.to_vec()).clone()
    };
    let target = match kind {
        'l' => rustix::fs::readlinkat(parent, name, Vec::new()).expect("a link").into_bytes(),
        _ => Vec::new(),
    };
    let (mut digest, mut data) = (None, None);
    let size = if kind == 'f' { u64::try_from(stat.st_size).expect("a size") } else { 0 };
    if kind == 'f' {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if let Ok(file) = rustix::fs::openat(parent, name, flags, Mode::empty()) {
            let stretches = stretches(&file, size);
            digest = Some(digest_of(&File::from(file), &stretches));
            data = (stretches != [(0, size)] && size > 0).then_some(stretches);
        }
    }
    let special = matches!(kind, 'c' | 'b');
    let numbers = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    Node {
        kind,
        mode: if kind == 'l' { 0o777 } else { stat.st_mode & 0o7777 },
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).expect("nanoseconds")),
        size,
        digest,
        data,
        target,
        device: if special { numbers } else { (0, 0) },
        xattrs: xattrs(parent, name),
        first_name,
        closed: false,
    }
}

fn stretches(file: &OwnedFd, size: u64) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < size {
        let Ok(start) = rustix::fs::seek(file, SeekFrom::Data(at)) else { break };
        let end = rustix::fs::seek(file, SeekFrom::Hole(start)).expect("data ends").min(size);
        found.push((start, end - start));
        at = end;
    }
    found
}

fn digest_of(file: &File, stretches: &[(u64, u64)]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for &(offset, length) in stretches {
        let mut bytes = vec![0; usize::try_from(length).expect("test files are small")];
        file.read_exact_at(&mut bytes, offset).expect("data can be read");
        hasher.update(&bytes);
    }
    hasher.finalize().into()
}

fn xattrs(parent: BorrowedFd<'_>, name: &CStr) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut path = format!("/proc/self/fd/{}/", parent.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    let path = CString::new(path).expect("no NUL");
    let mut buffer = vec![0; 64 * 1024];
    let Ok(length) = rustix::fs::llistxattr(&*path, &mut buffer[..]) else {
        return BTreeMap::new();
    };
    let names = buffer[..length].to_vec();
    names
        .split_inclusive(|&byte| byte == 0)
        .filter_map(|name| {
            let name = CStr::from_bytes_with_nul(name).ok()?;
            let length = rustix::fs::lgetxattr(&*path, name, &mut buffer[..]).ok()?;
            Some((name.to_bytes().to_vec(), buffer[..length].to_vec()))
        })
        .collect()
}

/// The differences between two trees, one per line; empty if they are identical.
pub fn differences(expected: &Snapshot, found: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, node) in expected {
        let path_text = String::from_utf8_lossy(path).escape_debug().to_string();
        match found.get(path) {
            None => lines.push(format!("{path_text}: is not there")),
            Some(other) if other == node => {}
            Some(other) => {
                for (field, a, b) in fields(node, other) {
                    lines.push(format!("{path_text}: {field}: expected {a}, found {b}"));
                }
            }
        }
    }
    for path in found.keys().filter(|path| !expected.contains_key(*path)) {
        lines.push(format!("{}: is too much", String::from_utf8_lossy(path).escape_debug()));
    }
    lines
}

fn fields(a: &Node, b: &Node) -> Vec<(&'static str, String, String)> {
    let texts = |node: &Node| {
        [
            ("type", node.kind.to_string()),
            ("mode", format!("{:o}", node.mode)),
            ("owner", format!("{}:{}", node.uid, node.gid)),
            ("mtime", format!("{:?}", node.mtime)),
            ("size", node.size.to_string()),
            ("data", format!("{:?} at {:?}", node.digest.map(hex::encode), node.data)),
            ("target", String::from_utf8_lossy(&node.target).into_owned()),
            ("device", format!("{:?}", node.device)),
            ("attributes", format!("{:?}", text_of(&node.xattrs))),
            ("first name", String::from_utf8_lossy(&node.first_name).into_owned()),
            ("closed", node.closed.to_string()),
        ]
    };
    let pairs = texts(a).into_iter().zip(texts(b));
    pairs.filter(|(a, b)| a != b).map(|((field, a), (_, b))| (field, a, b)).collect()
}

fn text_of(xattrs: &BTreeMap<Vec<u8>, Vec<u8>>) -> BTreeMap<String, String> {
    xattrs
        .iter()
        .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), hex::encode(value)))
        .collect()
}
