//! STAGE 2: find out what a backup of this tree can leave out.
//!
//! Scan the tree, let the detectors find packages and index the unknown ones, match contents with the HashDB,
//! plan, replay the plan, write.
//!
//! Invariant: whatever is not proven to come back exactly goes into the archive, and the archive appears
//! under its name only once it is complete.

mod asking;
mod assign;
mod attributes;
mod candidates;
mod claims;
mod contents;
mod cover;
mod derive;
mod draft;
mod eligibility;
mod exclude_list;
mod explain;
mod frames;
mod heaviest;
mod in_any_case;
mod known;
mod matching;
mod members;
mod names;
mod open_file;
mod options;
mod output;
mod pieces;
mod placement;
mod plan;
mod pooling;
mod prefixes;
mod prepare;
mod program_memory;
mod program_packages;
mod programs;
mod read_back;
mod replay;
mod restorer;
mod summary;
mod tar_head;
mod tar_writer;
mod v1;
mod verdict;
mod write;
mod write_rest;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

pub use candidates::DetectorUse;
pub use exclude_list::Tool;
pub use explain::{Explanation, Holder};

pub use heaviest::Heavy;
pub use in_any_case::WITHOUT_HASHDB;
pub use matching::Obstacle;
pub use options::{HashesKept, ManifestVersion, NamesKept, PackOptions, SYSTEM_EXCLUDES};
pub use output::Output;
pub use plan::PackageUse;
pub use prepare::Prepared;
pub use read_back::ReadBackError;
pub use replay::ReplayError;
pub use summary::Summary;
pub use verdict::{Reason, Verdict};

use candidates::Finders;
use claims::Claims;
use contents::Contents;
use eligibility::first_verdicts;
use frames::ArchiveEncoder;
use known::{Requirements, known_packages};
use members::Members;
use output::OpenOutput;
use plan::Plan;
use programs::Search;
use verdict::Verdicts;

use crate::archive::derived_amounts;
use crate::archive::reusable::Reusable;
use crate::codec::Codec;
use crate::derived::Derive;
use crate::error::ErrorClass;
use crate::fetch::{MirrorRule, Source, Web};
use crate::hashdb::{HashDbError, HashDbWriter, SharedHashDb};
use crate::index::IndexError;
use crate::limits::Limits;
use crate::model::manifest::{ManifestV1, OWN_NAMES};
use crate::model::{BadPath, RelPath, escaped};
use crate::monitor::{Interrupted, Monitor, ProblemKind, Step, Total};
use crate::tree::{BadGlob, Scan, ScanError, ScanOptions, scan};

/// What packing needs.
pub struct Packer<'a> {
    /// The known packages.
    pub hashdb: &'a dyn HashDbWriter,
    /// For packages that must be indexed first.
    pub source: &'a dyn Source,
    /// For questions to indexes, and for parts of packages, while indexing.
    pub web: &'a dyn Web,
    /// What others publish, for packages that would have to be indexed.
    pub shared: Option<&'a dyn SharedHashDb>,
    /// Mirror rules: a mirror's URL is recorded as the public URL it stands for.
    pub mirrors: &'a [MirrorRule],
    /// Limits on untrusted input.
    pub limits: &'a Limits,
    /// Number of threads; at least 1.
    pub jobs: usize,
}

/// The plan, with the entries of the tree.
struct Planned {
    plan: Plan,
    /// The manifest, if it is of version 1.
    version_one: Option<ManifestV1>,
}

/// Why a tree was not packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The tree cannot be read.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// A pattern is invalid.
    #[error(transparent)]
    Glob(#[from] BadGlob),
    /// The HashDB failed.
    #[error("{0}")]
    HashDb(#[from] HashDbError),
    /// Indexing failed as a whole.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The archive cannot be created.
    #[error("cannot create {}", path.display())]
    Output {
        /// Its name.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The archive cannot be written (the disk is full, the pipe is closed).
    #[error("cannot write the archive; no file of its name was left behind")]
    Write(#[source] io::Error),
    /// The parity of an archive that is replaced would stay beside the new one.
    #[error("cannot remove {}, which is for another archive", path.display())]
    StaleParity {
        /// The parity.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Version 1 cannot describe this tree.
    #[error(
        "manifest version 1 cannot hold a tree with its own top-level {name}; use version 2, or exclude it"
    )]
    VersionOne {
        /// The name.
        name: &'static str,
    },
    /// A path that hashget made is invalid.
    #[error(transparent)]
    Path(#[from] BadPath),
    /// The manifest would not restore the tree.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The archive would not come back.
    #[error(
        "no archive was written: what was to be written would not come back; this is a fault of hashget"
    )]
    ReadBack(#[from] ReadBackError),
    /// The monitor asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl PackError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Scan(error) => error.class(),
            Self::Glob(error) => error.class(),
            Self::HashDb(error) => error.class(),
            Self::Index(error) => error.class(),
            Self::Output { error, .. } | Self::StaleParity { error, .. } | Self::Write(error) => {
                ErrorClass::of_io(error)
            }
            Self::VersionOne { .. } => ErrorClass::CannotPack,
            Self::Path(_) => ErrorClass::Internal,
            Self::Replay(error) => error.class(),
            Self::ReadBack(error) => error.class(),
            Self::Interrupted(interrupted) => interrupted.class(),
        }
    }
}

impl Packer<'_> {
    /// Packs the tree at `tree` into `output`.
    ///
    /// # Errors
    /// No archive was made: the tree or the output failed. Problems with single files or packages are reported to the
    /// monitor, and the rest is packed. If the HashDB fails, that is reported as a source that cannot be reached, and
    /// the backup is made with what can be read of it, or without it.
    pub fn pack(
        &self,
        tree: &Path,
        output: Output<'_>,
        options: &PackOptions<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Summary, PackError> {
        let output = output.open()?;
        let files = output.as_ref().map(|output| output.files.clone()).unwrap_or_default();
        let mut scan = self.scan(tree, files, options, monitor)?;
        let regenerable = options::regenerable(&options.profile, &scan);
        let mut summary = Summary { regenerable, ..Summary::default() };
        let first = first_verdicts(&scan, options)?;
        let Planned { mut plan, version_one } =
            self.plan_in_any_case(&scan, &first, options, &mut summary, monitor)?;
        drop(first);
        summary.count(&scan.entries, &plan);
        summary.report_not_worth(monitor);
        let version_one = version_one.as_ref();
        self.write(output, &mut scan, &mut plan, version_one, options, &mut summary, monitor)?;
        Ok(summary)
    }

    /// Decides what becomes of every entry, starting from the `first` verdicts; for version 1, with the
    /// manifest that says so. Indexes packages before, if `index` says so.
    fn plan(
        &self,
        scan: &Scan,
        first: Verdicts,
        options: &PackOptions<'_>,
        index: bool,
        summary: &mut Summary,
        monitor: &dyn Monitor,
    ) -> Result<Planned, PackError> {
        let entries = &scan.entries;
        let mut claims = Claims::new(entries, first);
        let contents = Contents::new(&claims);
        let requirements = Requirements::new(options, &scan.root, &scan.entries);
        let (finders, known) = match index && !options.detectors.is_empty() {
            true => self.index(scan, &contents, &requirements, summary, monitor)?,
            false => (Finders::default(), known_packages(self.hashdb, &contents)?),
        };
        let _planning = monitor.begin(Step::Plan, "what packages give back", Total::UNKNOWN);
        let mut matched = self.matched(known, &contents, &mut claims, &requirements, monitor)?;
        summary.not_worth = matched.not_worth;
        monitor.check_interrupted()?;
        let packages = &mut matched.packages;
        let read = |id| Members::read(self.hashdb, id, &contents);
        let (plan, version_one) = match options.manifest_version {
            ManifestVersion::Two => {
                let keep = |size| options.hashes.keeps(size);
                let mut plan = plan::plan(claims, &contents, packages, &read, &keep)?;
                let read = |id| Members::read_plain(self.hashdb, id);
                if options.derive != Derive::None {
                    derive::derive(scan, packages, &read, &mut plan, monitor)?;
                    let mut programs = match options.derive {
                        Derive::All => {
                            Search::new(self, (scan, &plan), packages, &requirements, monitor)
                        }
                        _ => None,
                    };
                    if let Some(programs) = &mut programs {
                        programs.run_programs(scan, packages, &mut plan)?;
                    }
                    if options.pieces {
                        let how = (&requirements, programs.as_mut());
                        self.find_pieces(scan, packages, how, &mut plan, monitor)?;
                    }
                    programs.into_iter().for_each(Search::finish);
                }
                replay::replay(entries, packages, &read, &mut plan)?;
                (plan, None)
            }
            ManifestVersion::One => {
                for name in OWN_NAMES {
                    if entries.at(&RelPath::new(name)?).is_some() {
                        return Err(PackError::VersionOne { name });
                    }
                }
                let expires = options.expires.clone();
                let (plan, manifest) = v1::plan(claims, packages, &read, expires)?;
                (plan, Some(manifest))
            }
        };
        let records = plan.chosen.iter().map(|&index| &packages[index].record);
        finders.credit(&mut summary.detectors, records.zip(&plan.uses));
        let planned = Planned { plan, version_one };
        summary.relied_on = summary::relied_on(&planned, entries).map_err(ReplayError::from)?;
        summary.derived = derived_amounts(&planned.plan.packages).map_err(ReplayError::from)?;
        Ok(planned)
    }

    fn scan(
        &self,
        tree: &Path,
        skip_files: Vec<(u64, u64)>,
        options: &PackOptions<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Scan, PackError> {
        let scan_options = self.scan_options(tree, skip_files, options)?;
        let mut scan = scan(tree, &scan_options, monitor)?;
        for pattern in scan_options.exclude.unused().filter_map(|at| options.exclude.get(at)) {
            let pattern = format!("pattern {}", escaped(pattern.as_bytes()));
            let reason = "it excludes nothing, or only what is excluded already";
            monitor.problem(ProblemKind::Note, pattern, reason);
        }
        attributes::fit(&mut scan.entries, monitor);
        Ok(scan)
    }

    fn scan_options(
        &self,
        tree: &Path,
        skip_files: Vec<(u64, u64)>,
        options: &PackOptions<'_>,
    ) -> Result<ScanOptions, BadGlob> {
        Ok(ScanOptions {
            selected: options.selected.clone(),
            snapshot: options.snapshot.clone(),
            supplied: options.supplied.clone(),
            exclude: options.excluded(tree)?,
            regenerable: options.regenerable()?,
            exclude_caches: options.exclude_caches,
            exclude_if_present: options.exclude_if_present.clone(),
            exclude_larger_than: options.exclude_larger_than,
            respect_nodump: options.respect_nodump,
            file_systems: options.file_systems,
            skip_files,
            cache: options.scan_cache.clone(),
            jobs: self.jobs,
            for_explaining: false,
        })
    }

    /// The earlier archive whose frames may be copied, if there is one.
    fn reusable(&self, options: &PackOptions<'_>, monitor: &dyn Monitor) -> Option<Reusable> {
        let path = options.reuse.as_ref().filter(|_| options.codec == Codec::Zstd)?;
        // Opening a pipe would wait for whoever writes to it.
        let opened = path.metadata().and_then(|found| match found.is_file() {
            true => File::open(path),
            false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")),
        });
        match opened.and_then(|archive| Reusable::open(archive, options.level, self.limits)) {
            Ok(reusable) => reusable,
            Err(error) => {
                let problem = format!("nothing is copied from this earlier archive: {error}");
                monitor.problem(ProblemKind::Note, escaped(path.as_os_str().as_bytes()), problem);
                None
            }
        }
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "the last step of the story needs all that came before"
    )]
    fn write(
        &self,
        output: Option<OpenOutput<'_>>,
        scan: &mut Scan,
        plan: &mut Plan,
        version_one: Option<&ManifestV1>,
        options: &PackOptions<'_>,
        summary: &mut Summary,
        monitor: &dyn Monitor,
    ) -> Result<(), PackError> {
        let Some(mut file) = output else { return Ok(()) };
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
        let reusable = self.reusable(options, monitor);
        let (codec, level) = (options.codec, options.level);
        let encoder = ArchiveEncoder::new(codec, Box::new(&mut file), level, self.jobs, reusable)
            .map_err(PackError::Write)?;
        let result = read_back::with_reader(encoder, self.limits, |output| {
            let mut encoder =
                writer.write(output, version_one)?.finish().map_err(PackError::Write)?;
            // While the last bytes are still read back.
            let kept = if version_one.is_none() { options.names } else { NamesKept::None };
            let names = |written| names::names(&writer.scan.entries, writer.plan, kept, written);
            encoder.add_names(names).map_err(PackError::Write)?;
            Ok(encoder)
        })
        .and_then(|encoder| {
            report_damage(options, encoder.damaged(), monitor);
            summary.reused_bytes = encoder.reused_bytes();
            encoder.finish().map_err(PackError::Write)
        });
        summary.changed_files = writer.changed;
        drop(progress);
        result?;
        let written = file.commit(self.jobs, monitor)?;
        (summary.archive_bytes, summary.parity_bytes) = (written.archive, written.parity);
        Ok(())
    }
}

/// Says that the earlier archive is damaged.
fn report_damage(options: &PackOptions<'_>, damaged: u64, monitor: &dyn Monitor) {
    let Some(path) = options.reuse.as_ref().filter(|_| damaged > 0) else { return };
    let problem = "this earlier archive is damaged; what was damaged in it was not copied, but read and compressed again";
    monitor.problem(ProblemKind::Note, escaped(path.as_os_str().as_bytes()), problem);
}

/// The date, `YYYY-MM-DD`, UTC.
fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}
