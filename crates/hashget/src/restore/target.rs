//! What restoring works on. It decides what comes where; a target does that, or only keeps in mind that it would be done.
//!
//! Invariant: what has a name was whole before it got it, and a digest is that of bytes that were read or written in this run.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::place::{Made, PlaceError};
use crate::model::{Digest, Extent, Kind, Metadata, RelPath};

/// A folder, or the idea of one. May be used from several threads at once.
pub(super) trait Target: Sync {
    /// What it is called.
    fn path(&self) -> &Path;

    /// Was it empty at first? Then nothing in it is worth a look.
    fn was_empty(&self) -> bool;

    /// Is there anything at `path`?
    fn holds(&self, path: &RelPath) -> bool;

    /// The regular file at `path`; `None` if there is none.
    fn file(&self, path: &RelPath) -> Result<Option<Box<dyn PresentFile + '_>>, PlaceError>;

    /// What the regular file at `path` holds; `None` if there is none, or nobody knows it any more.
    fn contents(&self, path: &RelPath) -> Result<Option<Box<dyn Read + '_>>, PlaceError>;

    /// Of several places for the same contents: is this one to be staged, and the others copies of it?
    fn comes_first(&self, path: &RelPath) -> bool {
        let _ = path;
        false
    }

    /// Does what is at `path` stay as it is, where the archive has something with this metadata that is no folder?
    fn stays(&self, path: &RelPath, metadata: &Metadata) -> Result<bool, PlaceError>;

    /// Does what is at `path` stay as it is, where the archive has a further name of what is at `to`?
    fn link_stays(&self, path: &RelPath, to: &RelPath) -> Result<bool, PlaceError>;

    /// Is what is at `path` exactly this, as far as it is to be? A regular file with contents of the digest in the extents
    /// (`None`: all of it).
    fn is_right(
        &self,
        path: &RelPath,
        what: (&Kind, &Metadata),
        contents: Option<(Digest, Option<&[Extent]>)>,
    ) -> Result<bool, PlaceError>;

    /// There is a folder at `path` that can be filled.
    fn make_folder(&self, path: &RelPath) -> Result<(), PlaceError>;

    /// Makes the symbolic link, device or fifo `kind` at `path`, or keeps one that is the same.
    fn make_node(
        &self,
        path: &RelPath,
        kind: &Kind,
        metadata: &Metadata,
    ) -> Result<Made, PlaceError>;

    /// Makes `path` another name of what is at `to`.
    fn link(&self, path: &RelPath, to: &RelPath) -> Result<(), PlaceError>;

    /// Takes all of `content`, about `size` bytes, for `path`.
    fn stage(
        &self,
        path: &RelPath,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<Box<dyn StagedFile + '_>, PlaceError>;

    /// As [`Target::stage`] for a file of `size` bytes with holes between its `extents`; `data` gives what lies in those, one
    /// after the other.
    fn stage_with_holes(
        &self,
        path: &RelPath,
        size: u64,
        extents: &[Extent],
        data: &mut dyn Read,
    ) -> Result<Box<dyn StagedFile + '_>, PlaceError>;

    /// An empty file for `path`, in which somebody puts something together.
    fn begin(&self, path: &RelPath) -> Result<Box<dyn BegunFile + '_>, PlaceError>;

    /// Keeps the file at `path` if it holds exactly `content`, else stages that.
    fn keep_or_stage(
        &self,
        path: &RelPath,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<Content<'_>, PlaceError>;
}

/// A file that was there already.
pub(super) trait PresentFile {
    /// Its size in bytes.
    fn size(&self) -> io::Result<u64>;

    /// The digest of its data: of all of it, or of the `extents` only.
    fn digest(&self, extents: Option<&[Extent]>) -> Result<Digest, PlaceError>;

    /// It lies at `path` and holds the contents of this digest in its extents (`None`: all of it); it gets its metadata.
    fn adjust(
        &self,
        path: &RelPath,
        metadata: &Metadata,
        contents: (Digest, Option<&[Extent]>),
    ) -> Result<(), PlaceError>;
}

/// A file that is being put together. If it is not completed, it disappears.
pub(super) trait BegunFile: Send + Sync {
    /// It, open for reading and writing.
    fn file(&self) -> &File;

    /// It holds contents of this digest in its `extents` (`None`: in all of it), and has this size.
    fn complete<'s>(
        self: Box<Self>,
        sha256: Digest,
        size: u64,
        extents: Option<&[Extent]>,
    ) -> Box<dyn StagedFile + 's>
    where
        Self: 's;
}

/// Contents that are not yet in their place. If they are not put there, they disappear.
pub(super) trait StagedFile {
    /// The digest of what was taken, holes left out.
    fn sha256(&self) -> Digest;

    /// How much that was, holes counted.
    fn size(&self) -> u64;

    /// The same contents once more, for `path`.
    fn copy(&self, path: &RelPath) -> Result<Box<dyn StagedFile + '_>, PlaceError>;

    /// Gives the contents their metadata and then their name, `path`, for which they were staged.
    fn put(self: Box<Self>, path: &RelPath, metadata: &Metadata) -> Result<(), PlaceError>;
}

/// Where the contents of a file are.
pub(super) enum Content<'t> {
    /// They were in place already: the file, and the digest of what it holds.
    Kept(Box<dyn PresentFile + 't>, Digest),
    /// They were taken.
    Staged(Box<dyn StagedFile + 't>),
}
