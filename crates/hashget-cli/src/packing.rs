//! Shared by the commands that look at a tree like `pack` does: their options, and their packer.
//!
//! Invariant: an option has the same meaning in all of them, so that `explain` and `report` agree with
//! `pack`.

use std::path::Path;
use std::sync::Arc;

use clap::Args;
use hashget::derived::Derive;
use hashget::error::ErrorClass;
use hashget::fetch::Sources;
use hashget::hashdb::{HashDbWriter, JoinedHashDb, LocalHashDb, NoHashDb};
use hashget::model::Evidence;
use hashget::monitor::{Monitor, ProblemKind};
use hashget::pack::{ManifestVersion, PackOptions, Packer, SYSTEM_EXCLUDES, WITHOUT_HASHDB};
use hashget::wording;

use crate::derive::Deriving;
use crate::environment::Environment;
use crate::exit::{self, UsageError};
use crate::hints;
use crate::publishers::{Asking, Shared};
use crate::selection::Selection;
use crate::spot_checks;
use crate::values;

/// What is part of a backup of `/`.
#[derive(Debug, Args)]
pub(crate) struct WholeSystem {
    /// When packing `/`, include what is excluded by default (/proc, /tmp, apt's lists, ...)
    #[arg(long)]
    pub(crate) no_default_excludes: bool,
}

/// Which packages are relied on, and for what.
#[derive(Debug, Args)]
pub(crate) struct Reliance {
    /// Archive matching files without looking for packages that have them; repeatable
    #[arg(long, value_name = "GLOB")]
    pub(crate) skip: Vec<String>,

    /// Archive smaller files without looking for packages that have them
    #[arg(long, value_name = "BYTES", value_parser = values::bytes, default_value = "0")]
    pub(crate) min_size: u64,

    /// Do not use a package that costs more than N bytes of download for each byte it saves
    #[arg(long, value_name = "N", value_parser = values::ratio)]
    pub(crate) max_fetch_ratio: Option<f64>,

    /// Weakest acceptable evidence that a package has a file: downloaded, signed, declared or local
    /// [default: signed]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) evidence: Option<Evidence>,

    /// Rely on URLs that nobody has asked, too: for packing without a network
    #[arg(long)]
    pub(crate) unasked: bool,

    /// Rely on a package only if so many independent places have it [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=9))]
    pub(crate) sources: Option<u8>,

    #[command(flatten)]
    pub(crate) deriving: Deriving,

    /// Day until which the backup must be restorable; packages that expire earlier are not used
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = values::date)]
    pub(crate) expires: Option<String>,
}

/// The format of the manifest.
#[derive(Debug, Args)]
pub(crate) struct Format {
    /// Version of the manifest; 1 is for the older Python tool
    #[arg(long, value_name = "2|1", value_parser = clap::value_parser!(u8).range(1..=2), default_value_t = 2)]
    pub(crate) manifest_version: u8,
}

impl Format {
    pub(crate) fn version(&self) -> ManifestVersion {
        match self.manifest_version {
            1 => ManifestVersion::One,
            _ => ManifestVersion::Two,
        }
    }
}

impl Reliance {
    /// Was any of these options given?
    pub(crate) fn is_given(&self) -> bool {
        !self.skip.is_empty()
            || self.min_size > 0
            || self.max_fetch_ratio.is_some()
            || self.evidence.is_some()
            || self.unasked
            || self.sources.is_some()
            || self.expires.is_some()
            || self.deriving.which() != Derive::default()
    }
}

/// The options of a backup, from the command line and the configuration, without detectors and without
/// indexing.
pub(crate) fn pack_options<'a>(
    environment: &Environment<'_>,
    selection: &Selection,
    reliance: &Reliance,
) -> anyhow::Result<PackOptions<'a>> {
    let config = &environment.config;
    let default = PackOptions::default();
    let options = PackOptions {
        exclude: selection.patterns()?,
        exclude_by_default: [&*config.exclude, &*selection.exclude_optional].concat(),
        exclude_caches: selection.exclude_caches,
        exclude_if_present: selection.exclude_if_present.clone(),
        exclude_larger_than: selection.exclude_larger_than,
        respect_nodump: selection.respect_nodump,
        file_systems: selection.file_systems(),
        skip: reliance.skip.clone(),
        min_size: reliance.min_size,
        max_fetch_ratio: reliance.max_fetch_ratio.unwrap_or(default.max_fetch_ratio),
        evidence: reliance.evidence.or(config.evidence).unwrap_or(default.evidence),
        expires: reliance.expires.clone(),
        derive: reliance.deriving.which(),
        programs: reliance.deriving.programs_to_pack(environment),
        unasked: reliance.unasked,
        policy: environment.policy(reliance.sources)?,
        scan_cache: environment.scan_cache(),
        machine: environment.machine(),
        index: false,
        ..default
    };
    Ok(options)
}

impl WholeSystem {
    /// Adds the default excludes of a backup of `/`, if `tree` is `/`. Returns whether it did.
    pub(crate) fn exclude(
        &self,
        tree: &Path,
        options: &mut PackOptions<'_>,
    ) -> std::io::Result<bool> {
        let excludes = !self.no_default_excludes && fs_err::canonicalize(tree)? == Path::new("/");
        if excludes {
            options
                .exclude_by_default
                .extend(SYSTEM_EXCLUDES.iter().map(|&pattern| pattern.to_owned()));
        }
        Ok(excludes)
    }
}

/// Calls `work` with a packer that gets packages from `sources` and is set up according to the global options and
/// the configuration.
pub(crate) fn with_packer<R>(
    environment: &Environment<'_>,
    sources: Sources,
    work: impl FnOnce(&Packer<'_>) -> anyhow::Result<R>,
) -> anyhow::Result<R> {
    with_hashdb(environment, sources, &Shared::nobody(), &*environment.hashdb()?, work)
}

/// The same for a backup, which is made whatever is wrong with the HashDB; besides that, it relies on the one in the folder `base`.
pub(crate) fn with_packer_in_any_case<R>(
    environment: &Environment<'_>,
    sources: Sources,
    asking: &Asking,
    base: Option<&Path>,
    mut options: PackOptions<'_>,
    work: impl FnOnce(&Packer<'_>, PackOptions<'_>) -> anyhow::Result<R>,
) -> anyhow::Result<R> {
    let hashdb = match environment.hashdb() {
        Ok(hashdb) => hashdb,
        Err(error) if error.is::<UsageError>() => return Err(error),
        Err(error) => {
            options.index = false;
            let (why, hint) =
                (wording::messages(error.as_ref()).join(": "), hints::for_error(&error));
            let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
            let told = format!("{why}{hint}; {WITHOUT_HASHDB}");
            (environment.console as &dyn Monitor).problem(ProblemKind::Unreachable, "HashDB", told);
            Arc::new(NoHashDb)
        }
    };
    let shared = Shared::new(environment, asking)?;
    if options.index && hashdb.is_writable() {
        // A backup is made in any case.
        if let Err(error) = spot_checks::run(environment, &sources) {
            if exit::class(&error) == Some(ErrorClass::Interrupted) {
                return Err(error);
            }
            let monitor: &dyn Monitor = environment.console;
            monitor.problem(ProblemKind::Unreachable, "spot checks", format!("{error:#}"));
        }
    }
    let work = |packer: &Packer<'_>| work(packer, options);
    let result = match base {
        None => with_hashdb(environment, sources, &shared, &*hashdb, work),
        Some(base) => {
            let base = LocalHashDb::open(base)?;
            let joined = JoinedHashDb::new(&*hashdb, &base);
            with_hashdb(environment, sources, &shared, &joined, work)
        }
    };
    // What was asked was asked, however it ended.
    shared.report(environment.console)?;
    result
}

fn with_hashdb<R>(
    environment: &Environment<'_>,
    sources: Sources,
    shared: &Shared<'_>,
    hashdb: &dyn HashDbWriter,
    work: impl FnOnce(&Packer<'_>) -> anyhow::Result<R>,
) -> anyhow::Result<R> {
    let Sources { source, web } = sources;
    let mirrors = environment.mirrors();
    work(&Packer {
        hashdb,
        source: &*source,
        web: &*web,
        shared: shared.hashdb(),
        mirrors: &mirrors,
        limits: &environment.limits,
        jobs: environment.jobs,
    })
}
