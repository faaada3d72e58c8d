//! Publishing: from HashDBs, or published folders, to a published folder.
//!
//! Invariant: the same packages give the same rows, whoever publishes them and in however many steps. The checkpoint is written
//! last: until then, readers see the edition before. Memory grows with the number of packages, not with that of files.

mod clean;
mod diff;
mod folder;
mod from_hashdb;
mod from_published;
mod layers;
mod rank;
mod sorter;
mod verify;
mod write;

use std::io;
use std::path::Path;

use hashget::monitor::Monitor;

pub use self::diff::{Difference, diff};
use self::folder::OutputFolder;
pub use self::from_hashdb::FromHashDb;
pub use self::from_published::FromPublished;
pub use self::rank::Rank;
pub use self::verify::{Verified, verify};
use crate::error::PublishedError;
use crate::key::SigningKey;
use crate::record::PublishedRecord;

/// Where packages come from.
pub trait Packages {
    /// What is there. Of one package there may be several.
    ///
    /// # Errors
    /// See [`PublishedError`].
    fn heads(&self) -> Result<Vec<Head>, PublishedError>;

    /// The member list of the package with this handle, as it is stored.
    ///
    /// # Errors
    /// See [`PublishedError`].
    fn list(&self, handle: u64) -> Result<Vec<u8>, PublishedError>;
}

/// A package without its members.
#[derive(Debug, Clone)]
pub struct Head {
    /// Its record.
    pub record: PublishedRecord,
    /// Does the record have the number of its members, and the digest of their list?
    pub is_read: bool,
    /// Its number where it comes from.
    pub handle: u64,
}

/// How a folder is published.
pub struct PublishOptions<'a> {
    /// The published folder. It is made, or gets one more edition.
    pub folder: &'a Path,
    /// Whoever signs: all of them do.
    pub keys: &'a [SigningKey],
    /// Which packages are used most.
    pub rank: &'a Rank,
    /// The name of the one collection of everything; otherwise there is one for each kind of names.
    pub collection: Option<&'a str>,
    /// Make a new base even if few packages are new.
    pub whole: bool,
    /// Seconds since 1970 UTC.
    pub now: i64,
}

/// What was published.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// Number of packages of the edition.
    pub packages: u64,
    /// Those of them that are in a layer that was written now.
    pub written: u64,
    /// Packages of the base that are not vouched for any more.
    pub withdrawn: u64,
    /// Number of pairs of keys that were written.
    pub keys: u64,
    /// Number of editions in the log.
    pub editions: u64,
    /// Is there a new edition? Otherwise nothing has changed, and the last one was signed again.
    pub is_new: bool,
    /// Number of bytes of all tables of the edition.
    pub bytes: u64,
}

/// Publishes what is in `inputs`. Of a package that is in several, the names and URLs of all are published.
///
/// # Errors
/// See [`PublishedError`]. The folder has the edition that it had before.
pub fn publish(
    inputs: &[&dyn Packages],
    options: &PublishOptions<'_>,
    monitor: &dyn Monitor,
) -> Result<Published, PublishedError> {
    let mut folder = OutputFolder::open(options.folder, options.keys)?;
    let last = folder.last_manifest()?;
    let scratch = tempfile::Builder::new().prefix(".publish-").tempdir_in(options.folder)?;
    let planned = layers::plan(inputs, last.as_ref(), options, monitor)?;
    let mut published = Published { packages: planned.packages(), ..Published::default() };
    published.withdrawn = planned.withdrawn.len() as u64;
    let mut kept: Vec<_> = planned.base.iter().cloned().collect();
    if !planned.packages.is_empty() {
        published.written = planned.packages.len() as u64;
        let writer = write::LayerWriter::new(&folder, scratch.path(), options, monitor);
        let (layer, keys) = writer.write(inputs, &planned)?;
        published.keys = keys;
        kept.push(layer);
    }
    let manifest = crate::manifest::Manifest::new(kept, planned.withdrawn);
    published.bytes = manifest.tables().map(|table| table.size).sum();
    published.is_new = last.as_ref() != Some(&manifest);
    if published.is_new {
        folder.add(&manifest)?;
    }
    folder.sign(options.keys, options.now)?;
    published.editions = folder.editions();
    clean::clean(&folder)?;
    Ok(published)
}

/// An error that names the folder.
fn nothing(folder: &Path) -> PublishedError {
    let problem = format!(
        "nothing can be published to {}: no package in the HashDB was downloaded from a public URL; index some first",
        folder.display()
    );
    PublishedError::Io(io::Error::new(io::ErrorKind::InvalidInput, problem))
}
