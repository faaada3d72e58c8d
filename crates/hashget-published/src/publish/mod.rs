//! Publishing: from HashDBs, or published folders, to a published folder.
//!
//! Invariant: the same packages give the same rows, whoever publishes them and in however many steps. The checkpoint is written
//! last: until then, readers see the edition before. Memory grows with the number of packages, not with that of files.

mod clean;
mod cutter;
mod diff;
mod finish;
mod folder;
mod from_hashdb;
mod from_published;
mod gathered;
mod key_sum;
mod layers;
mod rank;
mod sorter;
mod verify;
mod write;

use std::io;
use std::path::Path;

use hashget::monitor::{Monitor, Step, Total};

pub use self::diff::{Difference, diff};
pub use self::finish::finish;
use self::folder::OutputFolder;
pub use self::from_hashdb::FromHashDb;
pub use self::from_published::FromPublished;
pub use self::rank::Rank;
use self::sorter::KeySorter;
pub use self::verify::{Verified, verify};
use self::write::{KeyTables, LayerWriter, Target};
use crate::error::PublishedError;
use crate::key::SigningKey;
use crate::manifest::{Layer, Manifest};
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
    let folder = OutputFolder::open(options.folder, options.keys)?;
    let last = folder.last_manifest()?;
    let scratch = scratch(options)?;
    let plan = layers::plan(inputs, last.as_ref(), options, monitor)?;
    let mut published = Published { packages: plan.packages(), ..Published::default() };
    published.written = plan.packages.len() as u64;
    let mut kept: Vec<_> = plan.base.iter().cloned().collect();
    if !plan.packages.is_empty() {
        let tables = folder.tables();
        let target = Target { tables: &tables, scratch: scratch.path() };
        let (layer, keys) = write(inputs, &plan, target, options, monitor)?;
        published.keys = keys;
        kept.push(layer);
    }
    add_edition(folder, Manifest::new(kept, plan.withdrawn), published, options)
}

/// Writes the packages of a plan; returns their layer, and the number of pairs of keys.
fn write(
    inputs: &[&dyn Packages],
    plan: &layers::Plan,
    target: Target<'_>,
    options: &PublishOptions<'_>,
    monitor: &dyn Monitor,
) -> Result<(Layer, u64), PublishedError> {
    let things = Total { bytes: None, things: Some(plan.packages.len() as u64) };
    let progress = monitor.begin(Step::Gather, options.folder.display().to_string(), things);
    let mut writer = LayerWriter::new(target, KeySorter::new(target.scratch));
    for planned in &plan.packages {
        monitor.check_interrupted()?;
        let list = inputs[planned.input].list(planned.handle)?;
        let collection = &plan.collections[planned.collection];
        writer.push(collection, planned.record.clone(), planned.is_read, list)?;
        progress.advance(0, 1);
    }
    let (mut layer, keys) = writer.finish()?;
    let mut tables = KeyTables::new(target);
    keys.finish(|pairs| tables.write(pairs))?;
    layer.keys = tables.tables;
    Ok((layer, tables.rows))
}

/// A folder for what is sorted and not complete.
fn scratch(options: &PublishOptions<'_>) -> io::Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix(folder::SCRATCH).tempdir_in(options.folder)
}

/// Adds an edition whose tables are written, if it is a new one, and signs the log.
fn add_edition(
    mut folder: OutputFolder,
    manifest: Manifest,
    mut published: Published,
    options: &PublishOptions<'_>,
) -> Result<Published, PublishedError> {
    published.withdrawn = manifest.withdrawn.len() as u64;
    published.bytes = manifest.tables().map(|table| table.size).sum();
    published.is_new = folder.last_manifest()?.as_ref() != Some(&manifest);
    if published.is_new {
        folder.add(&manifest)?;
    }
    folder.sign(options.keys, options.now)?;
    published.editions = folder.editions();
    clean::clean(&folder)?;
    Ok(published)
}

/// An error that names the folder, and says why there is nothing to publish.
fn nothing(folder: &Path, why: &str) -> PublishedError {
    let problem = format!("nothing can be published to {}: {why}", folder.display());
    PublishedError::Io(io::Error::new(io::ErrorKind::InvalidInput, problem))
}
