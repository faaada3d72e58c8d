//! The answers to the kernel: what is known of entries at once, and everything else by request.
//!
//! Invariant: no call here waits for the disk or the network. Nothing ever changes, so that the kernel may keep all of it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use fuser::{
    Errno, FileAttr, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEntry, ReplyLseek, ReplyOpen, ReplyXattr,
};
use hashget::archive::{ArchiveTree, NodeId};
use hashget::model::{Kind, Xattrs};

use super::attributes::{of_archive, of_folder, of_node};
use super::serve::{Reading, Request};
use super::shown::{Place, Shown};

/// As long as this the kernel need not ask again.
const LASTS: Duration = Duration::from_secs(24 * 3600);

/// No inode number is used twice.
const GENERATION: Generation = Generation(0);

/// The numbers of the two questions for holes, as in Linux's `lseek(2)`.
const SEEK_DATA: i32 = 3;
const SEEK_HOLE: i32 = 4;

/// The attributes that programs such as `ls` ask of every file, and no more of any once they are told that the file system
/// does not have them: access control lists, and labels of SELinux.
const ASKED_OF_ALL: [&[u8]; 3] = [ACCESS_LIST, b"system.posix_acl_default", b"security.selinux"];

const ACCESS_LIST: &[u8] = b"system.posix_acl_access";

/// The file system of one archive or of a folder of archives.
pub(super) struct ArchiveFileSystem {
    shown: Arc<Shown>,
    ask: Sender<Request>,
    /// Does the kernel check the rights of other users?
    checks_rights: bool,
    /// Does the kernel do without being asked to open files, and folders?
    opens_itself: (bool, bool),
}

/// A folder that is being listed: `.`, `..` and its children.
struct Listed {
    name: OsString,
    /// The position of what follows.
    next: u64,
    attributes: FileAttr,
}

impl ArchiveFileSystem {
    /// What it does not know it asks for through `ask`.
    pub(super) fn new(shown: Arc<Shown>, ask: Sender<Request>, checks_rights: bool) -> Self {
        Self { shown, ask, checks_rights, opens_itself: (false, false) }
    }

    /// Calls `then` with the tree of an archive, now or when it is open; with `None` if it cannot be opened.
    fn with_tree(
        &self,
        archive: usize,
        then: impl FnOnce(&Shown, Option<&ArchiveTree>) + Send + 'static,
    ) {
        if let Some(tree) = self.shown.archives()[archive].tree.get() {
            return then(&self.shown, Some(tree));
        }
        let shown = Arc::clone(&self.shown);
        let opened = move |tree: Option<&Arc<ArchiveTree>>| then(&shown, tree.map(|tree| &**tree));
        // If nobody listens any more, the mount has ended; the kernel gets an error.
        let _ = self.ask.send(Request::Open(archive, Box::new(opened)));
    }

    /// The attributes of an inode; `None` if there is no such one, or its archive is not open.
    fn attributes(&self, inode: INodeNo) -> Option<FileAttr> {
        match self.shown.place(inode.0)? {
            Place::Archives => Some(of_folder(inode.0, self.shown.folder()?)),
            Place::Entry(archive, node) => {
                let tree = self.shown.archives()[archive].tree.get();
                attributes(&self.shown, archive, tree.map(|tree| &**tree), node)
            }
        }
    }

    /// Does nothing that is mounted have an attribute of this name?
    fn has_nowhere(&self, name: &[u8]) -> bool {
        // Of several archives, some are not open yet.
        let tree = self.shown.archives().first().filter(|_| !self.shown.is_folder());
        tree.and_then(|alone| alone.tree.get()).is_some_and(|tree| !tree.has_xattr_named(name))
    }

    /// The attributes of a node, if its archive has any.
    fn xattrs(&self, inode: INodeNo) -> Result<&Xattrs, Errno> {
        let Some(Place::Entry(archive, node)) = self.shown.place(inode.0) else {
            return Err(Errno::NO_XATTR);
        };
        let tree = self.shown.archives()[archive].tree.get();
        match tree.map(|tree| (tree.xattrs(node), tree.has_xattrs())) {
            // Then the kernel does not ask again, of whatever file.
            Some((_, false)) if !self.shown.is_folder() => Err(Errno::ENOSYS),
            Some((Some(xattrs), _)) => Ok(xattrs),
            _ => Err(Errno::NO_XATTR),
        }
    }

    /// Calls `then` with what is in a folder from this position on.
    fn list(
        &self,
        inode: INodeNo,
        position: u64,
        then: impl FnOnce(Result<&mut dyn Iterator<Item = Listed>, Errno>) + Send + 'static,
    ) {
        match self.shown.place(inode.0) {
            None => then(Err(Errno::ENOENT)),
            Some(Place::Archives) => then(Ok(&mut archives(&self.shown, position))),
            Some(Place::Entry(archive, node)) => {
                self.with_tree(archive, move |shown, tree| match tree {
                    Some(tree) => then(Ok(&mut entries(shown, archive, tree, node, position))),
                    None => then(Err(Errno::EIO)),
                });
            }
        }
    }
}

/// The attributes of a node of an archive; its top folder, among others, has those of the archive's file.
fn attributes(
    shown: &Shown,
    archive: usize,
    tree: Option<&ArchiveTree>,
    node: NodeId,
) -> Option<FileAttr> {
    let inode = shown.inode(archive, node);
    let outside = shown.archives()[archive].outside;
    if let Some(outside) = outside.filter(|_| node == ArchiveTree::TOP) {
        return Some(of_archive(inode, outside));
    }
    Some(of_node(inode, &tree?.node(node)?))
}

fn listed(name: &[u8], next: u64, attributes: FileAttr) -> Listed {
    Listed { name: OsString::from_vec(name.to_vec()), next, attributes }
}

/// `.` and `..`, and then the others, from a position on.
fn with_dots(
    folder: Option<FileAttr>,
    above: Option<FileAttr>,
    position: u64,
    others: impl Iterator<Item = Listed>,
) -> impl Iterator<Item = Listed> {
    let dots = [(&b"."[..], 1, folder), (b"..", 2, above)].into_iter();
    let dots = dots.filter_map(|(name, next, attributes)| Some(listed(name, next, attributes?)));
    dots.filter(move |dot| dot.next > position).chain(others)
}

/// The folders of the archives from this position on.
fn archives(shown: &Shown, position: u64) -> impl Iterator<Item = Listed> {
    let folder = shown.folder().map(|outside| of_folder(1, outside));
    let others = (3..).zip(shown.names()).filter(move |(next, _)| *next > position);
    let others = others.filter_map(|(next, (name, archive))| {
        Some(listed(name, next, attributes(shown, archive, None, ArchiveTree::TOP)?))
    });
    with_dots(folder, folder, position, others)
}

/// What is in a folder of an archive from this position on.
fn entries<'t>(
    shown: &'t Shown,
    archive: usize,
    tree: &'t ArchiveTree,
    folder: NodeId,
    position: u64,
) -> impl Iterator<Item = Listed> {
    let first = usize::try_from(position.saturating_sub(2)).unwrap_or(usize::MAX);
    let others = tree.children(folder, first).filter_map(move |(at, name, node)| {
        Some(listed(name, at as u64 + 3, attributes(shown, archive, Some(tree), node)?))
    });
    let own = attributes(shown, archive, Some(tree), folder);
    let above = match (folder, shown.folder()) {
        (ArchiveTree::TOP, Some(outside)) => Some(of_folder(1, outside)),
        _ => attributes(shown, archive, Some(tree), tree.parent(folder)),
    };
    with_dots(own, above, position, others)
}

impl Filesystem for ArchiveFileSystem {
    fn init(&mut self, _request: &fuser::Request, config: &mut KernelConfig) -> io::Result<()> {
        let wanted = [
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_CACHE_SYMLINKS,
            InitFlags::FUSE_PARALLEL_DIROPS,
        ];
        // Without these it is slower; without access control lists, the mode counts, which is the wider of the two.
        let has_lists = self.checks_rights && !self.has_nowhere(ACCESS_LIST);
        let lists = has_lists.then_some(InitFlags::FUSE_POSIX_ACL);
        for capability in wanted.into_iter().chain(lists) {
            let _ = config.add_capabilities(capability);
        }
        let has = |capability| config.capabilities().contains(capability);
        self.opens_itself =
            (has(InitFlags::FUSE_NO_OPEN_SUPPORT), has(InitFlags::FUSE_NO_OPENDIR_SUPPORT));
        Ok(())
    }

    fn lookup(&self, _request: &fuser::Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let answer = |reply: ReplyEntry, found: Option<FileAttr>| match found {
            Some(attributes) => reply.entry(&LASTS, &attributes, GENERATION),
            None => reply.error(Errno::ENOENT),
        };
        match self.shown.place(parent.0) {
            None => reply.error(Errno::ENOENT),
            Some(Place::Archives) => {
                let archive = self.shown.named(name.as_bytes());
                let top = |archive| attributes(&self.shown, archive, None, ArchiveTree::TOP);
                answer(reply, archive.and_then(top));
            }
            Some(Place::Entry(archive, folder)) => {
                let name = name.as_bytes().to_vec();
                self.with_tree(archive, move |shown, tree| match tree {
                    Some(tree) => {
                        let node = tree.child(folder, &name);
                        let found =
                            node.and_then(|node| attributes(shown, archive, Some(tree), node));
                        answer(reply, found);
                    }
                    None => reply.error(Errno::EIO),
                });
            }
        }
    }

    fn getattr(
        &self,
        _request: &fuser::Request,
        inode: INodeNo,
        _handle: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        match self.attributes(inode) {
            Some(attributes) => reply.attr(&LASTS, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn readlink(&self, _request: &fuser::Request, inode: INodeNo, reply: ReplyData) {
        let Some(Place::Entry(archive, node)) = self.shown.place(inode.0) else {
            return reply.error(Errno::EINVAL);
        };
        let tree = self.shown.archives()[archive].tree.get();
        match tree.and_then(|tree| tree.node(node)).map(|node| node.kind) {
            Some(Kind::Symlink { target }) => reply.data(&target),
            _ => reply.error(Errno::EINVAL),
        }
    }

    fn open(
        &self,
        _request: &fuser::Request,
        _inode: INodeNo,
        _flags: OpenFlags,
        reply: ReplyOpen,
    ) {
        match self.opens_itself.0 {
            true => reply.error(Errno::ENOSYS),
            false => reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE),
        }
    }

    fn opendir(
        &self,
        _request: &fuser::Request,
        _inode: INodeNo,
        _flags: OpenFlags,
        reply: ReplyOpen,
    ) {
        match self.opens_itself.1 {
            true => reply.error(Errno::ENOSYS),
            false => reply.opened(FileHandle(0), FopenFlags::FOPEN_CACHE_DIR),
        }
    }

    fn read(
        &self,
        _request: &fuser::Request,
        inode: INodeNo,
        _handle: FileHandle,
        first: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Some(Place::Entry(archive, file)) = self.shown.place(inode.0) else {
            return reply.error(Errno::EISDIR);
        };
        let count = usize::try_from(size).unwrap_or(usize::MAX);
        // If nobody listens any more, the mount has ended; the kernel gets an error.
        let _ = self.ask.send(Request::Read(Reading { archive, file, first, count, reply }));
    }

    fn lseek(
        &self,
        _request: &fuser::Request,
        inode: INodeNo,
        _handle: FileHandle,
        from: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let Some(Place::Entry(archive, file)) = self.shown.place(inode.0) else {
            return reply.error(Errno::EINVAL);
        };
        let (Some(tree), Ok(from)) =
            (self.shown.archives()[archive].tree.get(), u64::try_from(from))
        else {
            return reply.error(Errno::EINVAL);
        };
        let found = match whence {
            SEEK_DATA => tree.next_data(file, from),
            SEEK_HOLE => tree.next_hole(file, from),
            _ => return reply.error(Errno::EINVAL),
        };
        match found.and_then(|found| i64::try_from(found).ok()) {
            Some(found) => reply.offset(found),
            None => reply.error(Errno::ENXIO),
        }
    }

    fn readdir(
        &self,
        _request: &fuser::Request,
        inode: INodeNo,
        _handle: FileHandle,
        position: u64,
        mut reply: ReplyDirectory,
    ) {
        self.list(inode, position, move |found| match found {
            Err(error) => reply.error(error),
            Ok(found) => {
                for Listed { name, next, attributes } in found {
                    if reply.add(attributes.ino, next, attributes.kind, name) {
                        break;
                    }
                }
                reply.ok();
            }
        });
    }

    fn readdirplus(
        &self,
        _request: &fuser::Request,
        inode: INodeNo,
        _handle: FileHandle,
        position: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        self.list(inode, position, move |found| match found {
            Err(error) => reply.error(error),
            Ok(found) => {
                for Listed { name, next, attributes } in found {
                    if reply.add(attributes.ino, next, name, &LASTS, &attributes, GENERATION) {
                        break;
                    }
                }
                reply.ok();
            }
        });
    }

    fn getxattr(
        &self,
        _request: &fuser::Request,
        inode: INodeNo,
        name: &OsStr,
        size: u32,
        reply: ReplyXattr,
    ) {
        let name = name.as_bytes();
        let value = self
            .xattrs(inode)
            .and_then(|xattrs| xattrs.get(name).map(|value| value.to_vec()).ok_or(Errno::NO_XATTR));
        let value = value.map_err(|error| match ASKED_OF_ALL.contains(&name) {
            true if error == Errno::NO_XATTR && self.has_nowhere(name) => Errno::EOPNOTSUPP,
            _ => error,
        });
        answer_xattr(value, size, reply);
    }

    fn listxattr(&self, _request: &fuser::Request, inode: INodeNo, size: u32, reply: ReplyXattr) {
        let names = match self.xattrs(inode) {
            Ok(xattrs) => Ok(xattrs.keys().flat_map(|name| [name, &b"\0"[..]].concat()).collect()),
            Err(error) if error == Errno::NO_XATTR => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        answer_xattr(names, size, reply);
    }
}

/// Bytes, or their number if the caller has asked for that.
fn answer_xattr(bytes: Result<Vec<u8>, Errno>, size: u32, reply: ReplyXattr) {
    let fits = |length: u32| length <= size;
    match bytes.map(|bytes| (u32::try_from(bytes.len()).unwrap_or(u32::MAX), bytes)) {
        Ok((length, _)) if size == 0 => reply.size(length),
        Ok((length, bytes)) if fits(length) => reply.data(&bytes),
        Ok(_) => reply.error(Errno::ERANGE),
        Err(error) => reply.error(error),
    }
}
