//! STAGE 2: what can be left out of a backup of this tree?
//!
//! Scan the tree, let the detectors name packages and index what is not known, match contents with
//! the HashDB, plan, replay the plan, write.
//!
//! Invariant: whatever is not proven to come back exactly goes into the archive, and the archive
//! appears under its name only when it is complete.

mod assign;
mod candidates;
mod contents;
mod cover;
mod draft;
mod exclude_list;
mod explain;
mod heaviest;
mod matching;
mod members;
mod open_file;
mod options;
mod output;
mod placement;
mod plan;
mod prefixes;
mod prepare;
mod replay;
mod tar_writer;
mod v1;
mod write;

use std::collections::{HashMap, HashSet};
use std::path::Path;

pub use candidates::DetectorUse;
pub use exclude_list::Tool;
pub use explain::{Explained, Fate, Holder, explain};
pub use heaviest::Heavy;
pub use matching::Obstacle;
pub use options::{HashesKept, ManifestVersion, PackOptions, SYSTEM_EXCLUDES};
pub use output::Output;
pub use plan::PackageUse;
pub use prepare::Prepared;
pub use replay::ReplayError;

use contents::Contents;
use members::Members;
use plan::{Claims, Plan};

use crate::error::ErrorClass;
use crate::fetch::{MirrorRule, Source, Web};
use crate::hashdb::{HashDbError, HashDbWriter};
use crate::index::IndexError;
use crate::limits::Limits;
use crate::model::manifest::{MANIFEST_NAME, ManifestV1};
use crate::model::{BadPath, Entry, Kind};
use crate::monitor::{Event, Interrupted, Monitor, Step, Total};
use crate::tree::{BadGlob, Globs, Scan, ScanError, ScanOptions, scan};

/// What packing stands on.
pub struct Packer<'a> {
    /// What is known.
    pub hashdb: &'a dyn HashDbWriter,
    /// Where packages come from that have to be indexed first.
    pub source: &'a dyn Source,
    /// Where indexes are asked, and the heads of packages are read, meanwhile.
    pub web: &'a dyn Web,
    /// A URL learned on this machine that is a mirror's is recorded as the public one.
    pub mirrors: &'a [MirrorRule],
    /// Bounds on foreign input.
    pub limits: &'a Limits,
    /// Threads; at least 1.
    pub jobs: usize,
}

/// What was packed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries of the tree.
    pub entries: u64,
    /// Regular files among them, each name counted.
    pub files: u64,
    /// Their bytes, each hard-link group once.
    pub bytes: u64,
    /// Files that packages give back, each name counted.
    pub left_out_files: u64,
    /// Their bytes.
    pub left_out_bytes: u64,
    /// Files in the archive, each name counted.
    pub archived_files: u64,
    /// Their bytes.
    pub archived_bytes: u64,
    /// Archived files whose contents no package in the HashDB has; each name counted.
    pub unknown_files: u64,
    /// Their bytes.
    pub unknown_bytes: u64,
    /// Archived files whose contents some package has, but none that is relied on.
    pub not_relied_files: u64,
    /// Their bytes.
    pub not_relied_bytes: u64,
    /// The paths that hold most of the archived bytes, heaviest first.
    pub heaviest: Vec<Heavy>,
    /// The packages that are relied on, by URL.
    pub packages: Vec<PackageUse>,
    /// Packages that were left alone because downloading them would cost more than they save.
    pub not_worth: Vec<PackageUse>,
    /// Bytes of the archive; 0 for a dry run.
    pub archive_bytes: u64,
    /// Files that changed while they were read.
    pub changed_files: u64,
    /// What each detector did, in the order in which they are asked; none if nothing was indexed.
    pub detectors: Vec<DetectorUse>,
    /// Packages that the detectors found.
    pub detected: usize,
    /// Of those, indexed now.
    pub newly_indexed: usize,
    /// Of those, not indexed: their files may be archived.
    pub not_indexed: usize,
    /// Names of those without a permanent URL: their files are archived.
    pub unreliable: Vec<String>,
}

/// Where every entry comes from.
struct Planned {
    plan: Plan,
    /// The manifest that says so, if it is of version 1.
    version_one: Option<ManifestV1>,
    held: matching::Held,
}

/// Why a tree was not packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The tree cannot be read.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// A pattern cannot be understood.
    #[error(transparent)]
    Glob(#[from] BadGlob),
    /// The HashDB failed.
    #[error("{0}")]
    HashDb(#[from] HashDbError),
    /// Indexing failed as a whole.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The archive cannot be made under its name.
    #[error("cannot make {}", path.display())]
    Output {
        /// Its name.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// The archive cannot be written (the disk is full, the pipe is closed).
    #[error("cannot write the archive; nothing was left under its name")]
    Write(#[source] std::io::Error),
    /// Version 1 cannot say what this tree needs.
    #[error(
        "manifest version 1 cannot hold a tree with its own top-level {MANIFEST_NAME}; use version 2, or exclude it"
    )]
    VersionOne,
    /// A name of ours is no path.
    #[error(transparent)]
    Path(#[from] BadPath),
    /// The manifest would be wrong.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The monitor asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl PackError {
    /// What it means to whoever has to react to it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Scan(error) => error.class(),
            Self::Glob(error) => error.class(),
            Self::HashDb(error) => error.class(),
            Self::Index(error) => error.class(),
            Self::Output { error, .. } | Self::Write(error) => ErrorClass::of_io(error),
            Self::VersionOne => ErrorClass::CannotPack,
            Self::Path(_) => ErrorClass::Internal,
            Self::Replay(error) => error.class(),
            Self::Interrupted(interrupted) => interrupted.class(),
        }
    }
}

impl Packer<'_> {
    /// Packs the tree at `tree` into `output`.
    ///
    /// # Errors
    /// When there is no archive: the tree, the HashDB or the output failed. Trouble with single
    /// files or packages goes to the monitor, and the rest is packed.
    pub fn pack(
        &self,
        tree: &Path,
        output: Output<'_>,
        options: &PackOptions<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Summary, PackError> {
        let mut scan = self.scan(tree, &output, options, monitor)?;
        let mut summary = Summary::default();
        let Planned { mut plan, version_one, held } =
            self.plan(&scan, eligible(&scan, options)?, options, &mut summary, monitor)?;
        summary.count(&scan, &plan, &held);
        drop(held);
        let version_one = version_one.as_ref();
        self.write(output, &mut scan, &mut plan, version_one, options, &mut summary, monitor)?;
        Ok(summary)
    }

    /// Decides where every entry comes from, of which `eligible` says what a package may give; for version 1
    /// with the manifest that says so.
    fn plan(
        &self,
        scan: &Scan,
        eligible: Vec<bool>,
        options: &PackOptions<'_>,
        summary: &mut Summary,
        monitor: &dyn Monitor,
    ) -> Result<Planned, PackError> {
        let entries = &scan.entries;
        let claims = Claims::new(entries, eligible);
        let contents = Contents::new(entries, &claims);
        let (finders, holders) = self.index(scan, &contents, options, summary, monitor)?;
        let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
        let _planning = monitor.begin(Step::Plan, "what packages give back", Total::UNKNOWN);
        let matched = matching::matched(self.hashdb, holders, &contents, options, &today)?;
        let held = matched.held;
        summary.not_worth = matched.not_worth;
        for package in &summary.not_worth {
            monitor.event(Event::Skipped {
                object: &package.url,
                reason: "downloading it would cost more than it saves",
            });
        }
        monitor.check_interrupted()?;
        let packages = &matched.packages;
        let read = |id| Members::read(self.hashdb, id, &contents);
        let (plan, version_one) = match options.manifest_version {
            ManifestVersion::Two => {
                let keep = |size| options.hashes.keeps(size);
                let mut plan = plan::plan(entries, claims, &contents, packages, &read, &keep)?;
                let read = |id| Members::read_plain(self.hashdb, id);
                replay::replay(entries, packages, &read, &mut plan)?;
                (plan, None)
            }
            ManifestVersion::One => {
                let own = |entry: &Entry| entry.path.as_bytes() == MANIFEST_NAME.as_bytes();
                if entries.iter().any(own) {
                    return Err(PackError::VersionOne);
                }
                let expires = options.expires.clone();
                let (plan, manifest) = v1::plan(entries, &claims, packages, &read, expires)?;
                (plan, Some(manifest))
            }
        };
        let records = plan.chosen.iter().map(|&index| &packages[index].record);
        finders.credit(&mut summary.detectors, records.zip(&plan.uses));
        Ok(Planned { plan, version_one, held })
    }

    fn scan(
        &self,
        tree: &Path,
        output: &Output<'_>,
        options: &PackOptions<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Scan, PackError> {
        let scan_options = ScanOptions {
            exclude: Globs::new(&options.exclude)?,
            exclude_caches: options.exclude_caches,
            one_file_system: options.one_file_system,
            skip_files: output.existing_file().into_iter().collect(),
            cache: options.scan_cache.clone(),
            jobs: self.jobs,
        };
        Ok(scan(tree, &scan_options, monitor)?)
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "the last step of the story needs all that came before"
    )]
    fn write(
        &self,
        output: Output<'_>,
        scan: &mut Scan,
        plan: &mut Plan,
        version_one: Option<&ManifestV1>,
        options: &PackOptions<'_>,
        summary: &mut Summary,
        monitor: &dyn Monitor,
    ) -> Result<(), PackError> {
        let Some(mut file) = output.open()? else { return Ok(()) };
        let name = scan.root.path().display().to_string();
        let progress = monitor.begin(Step::Write, name, Total::bytes(summary.archived_bytes));
        let mut writer = write::Writer {
            scan,
            plan,
            options,
            monitor,
            progress: &progress,
            outdated: false,
            changed: 0,
            gone: HashSet::new(),
            names: HashMap::new(),
        };
        let encoder =
            crate::codec::encoder(options.codec, Box::new(&mut file), options.level, self.jobs)
                .map_err(PackError::Write)?;
        let result = writer
            .write(encoder, version_one)
            .and_then(|encoder| encoder.finish().map_err(PackError::Write));
        summary.changed_files = writer.changed;
        drop(progress);
        result?;
        summary.archive_bytes = file.commit()?;
        Ok(())
    }
}

/// For each entry whether a package may give it.
fn eligible(scan: &Scan, options: &PackOptions<'_>) -> Result<Vec<bool>, PackError> {
    let skip = Globs::new(&options.skip)?;
    let own_manifest = |entry: &Entry| {
        let rest = entry.path.as_bytes().strip_prefix(MANIFEST_NAME.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    };
    let may = |entry: &Entry| {
        let large_enough = match entry.kind {
            Kind::File { size } => size >= options.min_size,
            _ => true,
        };
        large_enough
            && entry.extents.is_none()
            && !own_manifest(entry)
            && !skip.matches_within(scan.root.path(), &entry.path)
    };
    Ok(scan.entries.iter().map(may).collect())
}

impl Summary {
    fn count(&mut self, scan: &Scan, plan: &Plan, held: &matching::Held) {
        let entries = &scan.entries;
        self.entries = entries.len() as u64;
        for (index, entry) in entries.iter().enumerate() {
            let first = match &entry.kind {
                Kind::HardLink { target } => entries.binary_search_by(|one| one.path.cmp(target)),
                _ => Ok(index),
            };
            let Ok(first) = first else { continue };
            let Kind::File { size } = entries[first].kind else { continue };
            let bytes = if first == index { size } else { 0 };
            self.files += 1;
            self.bytes += bytes;
            if plan.archived[first] {
                self.archived_files += 1;
                self.archived_bytes += bytes;
                if let Some(held) = held[first] {
                    let (sum, sum_bytes) = match held {
                        true => (&mut self.not_relied_files, &mut self.not_relied_bytes),
                        false => (&mut self.unknown_files, &mut self.unknown_bytes),
                    };
                    *sum += 1;
                    *sum_bytes += bytes;
                }
            } else {
                self.left_out_files += 1;
                self.left_out_bytes += bytes;
            }
        }
        self.heaviest = heaviest::heaviest(entries, &plan.archived);
        self.packages.clone_from(&plan.uses);
    }
}
