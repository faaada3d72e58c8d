//! The nastiest legal tree.
//!
//! Invariant: everything that the current user may create and Linux can store occurs at least once. The same call makes
//! the same tree.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::make::{
    device, fifo, file, folder, hard_link, is_root, mode, mtime, owner, sparse, symlink, xattr,
};

/// Parts that some readers cannot handle.
#[derive(Debug, Clone, Copy)]
pub struct Nasty {
    /// Paths that are too long for one system call.
    pub long_paths: bool,
    /// Files and folders that their owner may not read. A user cannot pack them.
    pub closed: bool,
    /// Top entries named `.hashget-restore.json` and `.hashget-restore.py`: none, files (`false`) or folders (`true`).
    pub own_manifest: Option<bool>,
}

impl Default for Nasty {
    fn default() -> Self {
        Self { long_paths: true, closed: is_root(), own_manifest: Some(false) }
    }
}

/// Makes the tree in the existing folder `root`. Times of folders are set last.
pub fn nasty(root: &Path, options: Nasty) {
    names(root, options);
    modes(root, options);
    times(root);
    links(root);
    if is_root() {
        owners_and_devices(root);
    }
    attributes(root);
    holes(root);
    folder(root, "empty");
    fifo(root, "fifo");
    let closed = folder(root, "closed");
    file(root, "closed/inside", "unseen");
    folder(root, "closed/deeper");
    if options.long_paths {
        long_paths(root);
    }
    if options.closed {
        mode(&closed, 0o000);
        mtime(&closed, 1, 1);
    }
    for name in ["empty", "names", "links", "."] {
        mtime(&root.join(name), 86_400, 123_456_789);
    }
    mode(root, 0o751);
}

fn names(root: &Path, options: Nasty) {
    let long = [b'n'; 255];
    let names: [&[u8]; 22] = [
        &long,
        b"-rf",
        b"--help",
        b" leading",
        b"trailing ",
        b"new\nline",
        b"tab\t",
        b"back\\slash",
        b"back\\nslash",
        b"[1]",
        b"*",
        b"?",
        b"{a,b}",
        b"$(x)",
        b"`y`",
        b"'",
        b"\"",
        b"\xff\xfe",
        b"caf\xc3\xa9",
        b"cafe\xcc\x81",
        b"esc\x1b[31m",
        b"...",
    ];
    for (number, name) in names.iter().enumerate() {
        file(root, [b"names/", *name].concat(), format!("{number}"));
    }
    file(root, "names/.hashget-restore.json", "below");
    file(root, "names/.hashget-0123456789abcdef.part", "looks like a leftover");
    file(root, "control\x01/\x7f", "x");
    for number in 0..20 {
        file(root, format!("same/{number}"), "the same content under many names");
    }
    match options.own_manifest {
        None => {}
        Some(false) => {
            let own = file(root, ".hashget-restore.json", "{\"mine\":true}");
            hard_link(root, "zz-own-manifest", &own);
            // A name that sorts before it becomes the first name of the group.
            hard_link(root, "-own-manifest", &own);
            file(root, ".hashget-restore.json.stored0", "the first name that is thought of");
            let own = file(root, ".hashget-restore.py", "print('mine')");
            hard_link(root, "zz-own-restorer", &own);
        }
        Some(true) => {
            let own = file(root, ".hashget-restore.json/inside", "1");
            hard_link(root, ".hashget-restore.json/linked", &own);
            hard_link(root, "-linked from before", &own);
            hard_link(root, "zz-linked from after", &own);
            folder(root, ".hashget-restore.json/.hashget-restore.json");
            symlink(root, ".hashget-restore.json/link", "inside");
            mtime(&root.join(".hashget-restore.json"), 5, 5);
            file(root, ".hashget-restore.py/.hashget-restore.py", "2");
            mtime(&root.join(".hashget-restore.py"), 6, 6);
        }
    }
}

fn modes(root: &Path, options: Nasty) {
    for bits in [0o644, 0o755, 0o4755, 0o2755, 0o1777, 0o6711, 0o7777, 0o400, 0o000, 0o007] {
        if !options.closed && bits & 0o400 == 0 {
            continue;
        }
        let path = file(root, format!("modes/{bits:04o}"), format!("{bits}"));
        mode(&path, bits);
        if bits & 0o700 == 0o700 || options.closed {
            let path = folder(root, format!("modes/folder-{bits:04o}"));
            mode(&path, bits);
        }
    }
}

fn times(root: &Path) {
    let times = [
        (0, 0),
        (-1, 0),
        (-1, 999_999_999),
        (-2_000_000_000, 1),
        // 1901: the least time in 32 bits.
        (-2_147_483_648, 0),
        (1_700_000_000, 123_456_789),
        (4_294_967_296, 500_000_000),
        (8_589_934_592, 1),
        (15_000_000_000, 0),
        // The year 2500; some file systems store their latest time instead.
        (16_725_225_600, 999_999_999),
    ];
    for (seconds, nanoseconds) in times {
        mtime(&file(root, format!("times/{seconds}.{nanoseconds}"), "t"), seconds, nanoseconds);
    }
    mtime(&symlink(root, "times/link", "nowhere"), -5, 5);
}

fn links(root: &Path) {
    let one = file(root, "links/one", "one file, several names");
    hard_link(root, "links/two", &one);
    hard_link(root, "elsewhere/deep/three", &one);
    let large = file(root, "links/large", vec![b'l'; 200_000]);
    hard_link(root, "a-first-name", &large);
    let empty = file(root, "links/empty", "");
    hard_link(root, "links/empty-too", &empty);
    symlink(root, "links/nowhere", "/nowhere/at/all");
    symlink(root, "links/self", "self");
    symlink(root, "links/up", "../../../../etc/passwd");
    symlink(root, "links/long", [b'x'; 4095]);
    symlink(root, "links/101", [b'y'; 101]);
    symlink(root, "links/bytes", b"\xff\n\\");
    let link = symlink(root, "links/linked-link", "one");
    hard_link(root, "links/linked-link-too", &link);
    let pipe = fifo(root, "links/pipe");
    hard_link(root, "links/pipe-too", &pipe);
    mtime(&pipe, 7, 7);
}

fn owners_and_devices(root: &Path) {
    for (number, (uid, gid)) in
        [(1, 2), (65_534, 65_534), (2_097_151, 2_097_152), (4_294_967_294, 4_294_967_294)]
            .into_iter()
            .enumerate()
    {
        let path = file(root, format!("owners/{number}"), "owned");
        owner(&path, uid, gid);
        mode(&path, 0o6755);
        let path = folder(root, format!("owners/folder{number}"));
        owner(&path, uid, gid);
        mode(&path, 0o2770);
        owner(&symlink(root, format!("owners/link{number}"), "0"), uid, gid);
    }
    folder(root, "dev");
    let null = device(root, "dev/null", (false, 1, 3));
    mode(&null, 0o666);
    hard_link(root, "dev/null-too", &null);
    mtime(&device(root, "dev/large", (true, 4095, 1_048_575)), 9, 9);
    owner(&device(root, "dev/loop", (true, 7, 0)), 0, 6);
}

/// An ACL: version 2, then tag, permissions and id of each entry.
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&permissions.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}

fn attributes(root: &Path) {
    const ANY: u32 = u32::MAX;
    let plain = file(root, "attributes/plain", "attributed");
    for (name, value) in [
        ("user.text", &b"text"[..]),
        ("user.binary", b"\x00\xff\n=\n12 path=../../x\n"),
        ("user.empty", b""),
        ("user.equals=sign", b"e"),
        ("user.percent%3Dsign", b"p"),
        ("user.caf\u{e9}", b"n"),
    ] {
        xattr(&plain, name, value);
    }
    xattr(&file(root, "attributes/large", "x"), "user.large", &[b'v'; 2000]);
    let rights = acl(&[(1, 6, ANY), (2, 4, 1000), (4, 4, ANY), (16, 4, ANY), (32, 4, ANY)]);
    let shared = file(root, "attributes/shared", "by ACL");
    xattr(&shared, "system.posix_acl_access", &rights);
    let inherits = folder(root, "attributes/inherits");
    let rights = acl(&[(1, 7, ANY), (2, 7, 1000), (4, 5, ANY), (16, 7, ANY), (32, 0, ANY)]);
    xattr(&inherits, "system.posix_acl_default", &rights);
    let plain = file(root, "attributes/inherits/plain", "no ACL in spite of the folder's");
    // A file in such a folder inherits the ACL; this one has it removed.
    let _ = rustix::fs::removexattr(&plain, c"system.posix_acl_access");
    mode(&plain, 0o640);
    file(root, "attributes/inherits/inherited", "with the folder's");
    xattr(&folder(root, "attributes/folder"), "user.folder", b"f");
    if is_root() {
        xattr(&file(root, "attributes/trusted", "t"), "trusted.thing", b"t");
        xattr(&symlink(root, "attributes/link", "plain"), "trusted.link", b"l");
        xattr(&fifo(root, "attributes/fifo"), "trusted.fifo", b"p");
        let capable = file(root, "attributes/capable", "net_bind_service");
        owner(&capable, 1000, 1000);
        mode(&capable, 0o755);
        xattr(&capable, "security.capability", b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        let own = file(root, "attributes/security", "a label of its own");
        xattr(&own, "security.hashget-test", b"label");
    }
}

fn holes(root: &Path) {
    const TERABYTE: u64 = 1 << 40;
    let block = [b'd'; 4096];
    sparse(root, "holes/everything", TERABYTE, &[]);
    sparse(root, "holes/start", 1 << 20, &[((1 << 20) - 4096, &block)]);
    sparse(root, "holes/end", TERABYTE, &[(0, &block)]);
    let every: Vec<(u64, &[u8])> = (0..40).map(|number| (number << 16, &block[..])).collect();
    let many = sparse(root, "holes/everywhere", 40 << 16, &every);
    hard_link(root, "holes/linked", &many);
    mode(&many, 0o600);
    sparse(root, "holes/odd", 1_000_001, &[(500_000, b"in the middle"), (1_000_000, b"!")]);
    sparse(root, format!("holes/{}", "h".repeat(200)), 1 << 30, &[(1 << 29, &block)]);
    file(root, "holes/zeros", vec![0; 100_000]);
}

/// Nests folders until their path is too long for one system call.
fn long_paths(root: &Path) {
    let name = OsStr::from_bytes(&[b'd'; 200]);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut parent = rustix::fs::open(root, flags, Mode::empty()).expect("the tree can be opened");
    for _ in 0..22 {
        rustix::fs::mkdirat(&parent, name, Mode::RWXU).expect("deeper");
        parent = rustix::fs::openat(&parent, name, flags, Mode::empty()).expect("just made");
    }
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    for (name, content) in [("deep", "far down"), ("deeper", "far down too")] {
        let file = rustix::fs::openat(&parent, name, flags, Mode::RUSR).expect("a new file");
        rustix::io::write(&file, content.as_bytes()).expect("a few bytes");
    }
    rustix::fs::linkat(&parent, "deep", &parent, "linked", rustix::fs::AtFlags::empty())
        .expect("another name");
    rustix::fs::symlinkat("deep", &parent, "link").expect("a link");
}
