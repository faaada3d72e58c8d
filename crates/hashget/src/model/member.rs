//! A member: one thing inside a package, as the package records it.
//!
//! Invariant: `sha256` is set exactly for regular files whose contents have been read.

use serde::{Deserialize, Serialize};

use super::{Digest, MemberMetadata, RelPath, Timestamp};

/// What kind of file something is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A regular file; its size in bytes, holes counted.
    File {
        /// Logical size in bytes.
        size: u64,
    },
    /// A folder.
    Directory,
    /// A symbolic link; the target is any bytes, never followed.
    Symlink {
        /// Where it points.
        #[serde(with = "crate::model::bytes_as_text")]
        target: Box<[u8]>,
    },
    /// Another name of a regular file: a member of the same package, or an entry of the same tree.
    HardLink {
        /// The other name, from the same root.
        target: RelPath,
    },
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A socket (in a tree only; never archived).
    Socket,
}

impl Kind {
    /// The letter of the type in manifests and tree digests; a hard link is a file.
    pub fn letter(&self) -> &'static str {
        match self {
            Self::File { .. } | Self::HardLink { .. } => "f",
            Self::Directory => "d",
            Self::Symlink { .. } => "l",
            Self::CharDevice { .. } => "c",
            Self::BlockDevice { .. } => "b",
            Self::Fifo => "p",
            Self::Socket => "s",
        }
    }
}

/// A stretch of a sparse file that holds data; what lies between extents is a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Hash)]
pub struct Extent {
    /// Where it starts, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub length: u64,
}

/// One thing inside a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Where it lies in the package. In a .deb below `data/` or `control/`; inside a package within
    /// the package after `OUTER!/`.
    pub path: RelPath,
    /// What it is.
    pub kind: Kind,
    /// What the package says of it.
    pub metadata: MemberMetadata,
    /// The digest of a regular file's contents, once read.
    pub sha256: Option<Digest>,
    /// The data of a sparse file, in order; `None` when it is not stored sparse.
    pub extents: Option<Vec<Extent>>,
}

impl Member {
    /// The logical size of a regular file; 0 for anything else.
    pub fn size(&self) -> u64 {
        if let Kind::File { size } = self.kind { size } else { 0 }
    }

    /// Its modification time, the epoch where the package has none.
    pub fn mtime(&self) -> Timestamp {
        self.metadata.mtime.unwrap_or_default()
    }
}
