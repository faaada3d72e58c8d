//! `hashget pool add`: adds local packages, and everything that archives need.
//!
//! Invariant: a package that cannot be fetched does not prevent the others from being added.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::Context as _;
use hashget::archive::{ArchiveError, Outlook, RequiredPackage, Requirements};
use hashget::error::ErrorClass;
use hashget::fetch::{
    AddError, Added, ManagedPool, Pooled, Source, Wanted, add_all, shown as shown_url,
};
use hashget::monitor::{Monitor, ProblemKind};
use hashget::wording::one_line;
use serde_json::json;

use crate::archive;
use crate::commands::audit::{self, How};
use crate::environment::Environment;
use crate::output::{Console, counted, size};

/// The counts of added packages.
#[derive(Default)]
struct Counts {
    new: u64,
    known: u64,
    failed: u64,
    bytes: u64,
}

pub(super) fn add(
    pool: &dyn ManagedPool,
    paths: &[PathBuf],
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let source = environment.sources()?.source;
    let mut added = Counts::default();
    for path in paths {
        match archive::manifest(path, environment) {
            Ok(manifest) => {
                let requirements = Requirements::from_manifest(&manifest)?;
                add_needed(pool, &*source, &requirements.packages, &mut added, environment)?;
            }
            Err(error) if is_package(path, &error) => {
                add_file(pool, path, &mut added, environment)?;
            }
            Err(error) => return Err(error),
        }
    }
    summary(&added, environment)
}

/// Adds those packages that jobs and archives rely on and that are at risk. What is lost cannot be added, and is named.
pub(super) fn add_at_risk(
    pool: &dyn ManagedPool,
    of: &[PathBuf],
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let of: Vec<String> = of.iter().map(|one| one.display().to_string()).collect();
    let outcome = audit::of_places(&of, How::configured(environment), environment)?;
    let (mut at_risk, monitor): (Vec<RequiredPackage>, &dyn Monitor) =
        (Vec::new(), environment.console);
    for one in outcome.audit.endangered(&outcome.outlooks) {
        match one.outlook {
            Outlook::Lost => {
                let why = "it is lost: none of its places has it, and no pool; `hashget heal` keeps its files";
                monitor.problem(ProblemKind::Incomplete, one.package.shown_name(), why);
            }
            _ => at_risk.push(one.package.clone()),
        }
    }
    let source = environment.sources()?.source;
    let mut added = Counts::default();
    add_needed(pool, &*source, &at_risk, &mut added, environment)?;
    summary(&added, environment)
}

fn summary(added: &Counts, environment: &Environment<'_>) -> anyhow::Result<()> {
    let Counts { new, known, failed, bytes } = *added;
    let packages = |number| counted(number, "package", "packages");
    let mut line = format!("{} added to the pool, {}", packages(new), size(bytes));
    if known > 0 {
        line.push_str(&format!("; {} there already", packages(known)));
    }
    let mut lines = vec![line];
    if failed > 0 {
        lines.push(format!("{} could not be had", packages(failed)));
    }
    let record = json!({ "new": new, "known": known, "failed": failed, "bytes": bytes });
    environment.console.summary("pool add", record, &lines)?;
    Ok(())
}

/// Is it a file without a manifest, and therefore a package itself?
fn is_package(path: &Path, error: &anyhow::Error) -> bool {
    let without = |error: &ArchiveError| {
        matches!(error, ArchiveError::NotAnArchive { .. } | ArchiveError::NoManifestInArchive)
    };
    path.is_file() && error.downcast_ref::<ArchiveError>().is_some_and(without)
}

fn add_file(
    pool: &dyn ManagedPool,
    path: &Path,
    added: &mut Counts,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let file = fs_err::File::open(path)?;
    let pooled = pool
        .add(file.file(), None, environment.console)
        .with_context(|| format!("cannot add {}", path.display()))?;
    added.new += 1;
    added.bytes += pooled.size;
    let (sha256, place) = (pooled.sha256, &pooled.place);
    environment.console.detail(&format!("Added {} as sha256 {sha256}", path.display()));
    let record = json!({ "sha256": sha256, "size": pooled.size, "path": place, "state": "new" });
    environment.console.record("pooled", record)?;
    Ok(())
}

/// Adds everything that an archive needs, several packages at once.
fn add_needed(
    pool: &dyn ManagedPool,
    source: &dyn Source,
    packages: &[RequiredPackage],
    counts: &mut Counts,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let wanted: Vec<Wanted> = packages.iter().map(RequiredPackage::wanted).collect();
    let total = Mutex::new(counts);
    add_all(pool, source, &wanted, environment.jobs, environment.console, |wanted, outcome| {
        total.lock().expect("counting does not panic").count(wanted, &outcome);
        report(wanted, outcome, environment.console)
    })
}

impl Counts {
    fn count(&mut self, wanted: &Wanted, outcome: &Result<Added, AddError>) {
        match outcome {
            Ok(Added::New(_)) => {
                self.new += 1;
                self.bytes += wanted.size.unwrap_or(0);
            }
            Ok(Added::Known) => self.known += 1,
            Err(_) => self.failed += 1,
        }
    }
}

/// Reports the result for one package. An error ends the command.
fn report(
    wanted: &Wanted,
    outcome: Result<Added, AddError>,
    console: &Console,
) -> anyhow::Result<()> {
    let url = shown_url(&wanted.url);
    match outcome {
        Ok(Added::New(Pooled { sha256, size, place })) => {
            console.detail(&format!("Added {url}"));
            let record = json!({ "sha256": sha256, "size": size, "path": place, "state": "new" });
            console.record("pooled", record)?;
        }
        Ok(Added::Known) => {
            console.record("pooled", json!({ "sha256": wanted.sha256, "state": "known" }))?;
        }
        Err(AddError::Fetch(error)) if error.class() != ErrorClass::Interrupted => {
            let monitor: &dyn Monitor = console;
            monitor.problem(error.class().problem_kind(), url, one_line(&error));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
