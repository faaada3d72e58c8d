//! What packages gave, entry by entry.
//!
//! Invariant: it is small, since there may be millions; the whole entry comes out of it again.

use crate::model::{Digest, Entry, Kind, Metadata, RelPath, Timestamp, Xattrs};

/// An entry that is in its place. Small: there may be millions.
pub(crate) struct Placed {
    /// The package that gave it.
    pub(crate) by: u32,
    mode: u32,
    uid: u32,
    gid: u32,
    seconds: i64,
    nanoseconds: u32,
    sha256: Option<Digest>,
    what: What,
    /// Few entries have some.
    xattrs: Option<Box<Xattrs>>,
}

/// What kind of entry it is.
enum What {
    /// A regular file, with its size in bytes.
    File(u64),
    Other(Box<Kind>),
}

/// What an entry of a package is; all that its record needs.
pub(crate) struct Facts {
    pub(crate) kind: Kind,
    pub(crate) metadata: Metadata,
    pub(crate) sha256: Option<Digest>,
}

impl Placed {
    /// An entry that the package of this rank gave.
    pub(crate) fn new(by: usize, facts: Facts) -> Self {
        let Facts { kind, metadata, sha256 } = facts;
        Self {
            by: u32::try_from(by).expect("a manifest has fewer than 2^32 packages"),
            mode: metadata.mode,
            uid: metadata.uid,
            gid: metadata.gid,
            seconds: metadata.mtime.seconds,
            nanoseconds: metadata.mtime.nanoseconds,
            sha256,
            what: match kind {
                Kind::File { size } => What::File(size),
                other => What::Other(Box::new(other)),
            },
            xattrs: (!metadata.xattrs.is_empty()).then(|| Box::new(metadata.xattrs)),
        }
    }

    /// Is it a device?
    pub(crate) fn is_device(&self) -> bool {
        let What::Other(kind) = &self.what else { return false };
        matches!(**kind, Kind::CharDevice { .. } | Kind::BlockDevice { .. })
    }

    /// The file that it is another name of, if it is one.
    pub(crate) fn link_target(&self) -> Option<&RelPath> {
        match &self.what {
            What::Other(kind) => match &**kind {
                Kind::HardLink { target } => Some(target),
                _ => None,
            },
            What::File(_) => None,
        }
    }

    /// The whole entry again, which lies at `path`.
    pub(crate) fn entry(&self, path: RelPath) -> Entry {
        let &Self { mode, uid, gid, seconds, nanoseconds, sha256, .. } = self;
        let xattrs = self.xattrs.as_deref().cloned().unwrap_or_default();
        let mtime = Timestamp { seconds, nanoseconds };
        let kind = match &self.what {
            What::File(size) => Kind::File { size: *size },
            What::Other(kind) => Kind::clone(kind),
        };
        let metadata = Metadata { mode, uid, gid, mtime, xattrs };
        Entry { path, kind, metadata, sha256, extents: None }
    }
}
