//! `hashget pool add`: packages of this machine, and all that archives need.
//!
//! Invariant: a package that cannot be had does not keep the others from being added.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use hashget::archive::{ArchiveError, RequiredPackage, Requirements};
use hashget::fetch::{PoolFolder, Source, shown as shown_url};
use hashget::monitor::{Interrupted, Monitor, Step, Total};
use serde_json::json;

use super::shown;
use crate::archive;
use crate::causes;
use crate::environment::Environment;
use crate::exit::problem_kind;
use crate::output::{counted, size};

/// What was added.
#[derive(Default)]
struct Added {
    new: u64,
    known: u64,
    failed: u64,
    bytes: u64,
}

pub(super) fn add(
    pool: &PoolFolder,
    paths: &[PathBuf],
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let source = environment.sources()?.source;
    let mut added = Added::default();
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
    let Added { new, known, failed, bytes } = added;
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

/// Is it a file without a manifest, and so a package itself?
fn is_package(path: &Path, error: &anyhow::Error) -> bool {
    let without = |error: &ArchiveError| {
        matches!(error, ArchiveError::NotAnArchive { .. } | ArchiveError::NoManifestInArchive)
    };
    path.is_file() && error.downcast_ref::<ArchiveError>().is_some_and(without)
}

fn add_file(
    pool: &PoolFolder,
    path: &Path,
    added: &mut Added,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let file = fs_err::File::open(path)?;
    let pooled = pool.add(file, None).with_context(|| format!("cannot add {}", path.display()))?;
    added.new += 1;
    added.bytes += pooled.size;
    let (sha256, place) = (pooled.sha256, shown(&pooled.path));
    environment.console.detail(&format!("Added {} as sha256 {sha256}", path.display()));
    let record = json!({ "sha256": sha256, "size": pooled.size, "path": place, "state": "new" });
    environment.console.record("pooled", record)?;
    Ok(())
}

/// Adds what an archive needs, several packages at once.
fn add_needed(
    pool: &PoolFolder,
    source: &dyn Source,
    packages: &[RequiredPackage],
    added: &mut Added,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let next = AtomicUsize::new(0);
    let things = u64::try_from(packages.len()).ok();
    let monitor: &dyn Monitor = environment.console;
    let progress = monitor.begin(Step::Gather, "packages", Total { bytes: None, things });
    let total = Mutex::new(added);
    let work = || -> anyhow::Result<()> {
        while let Some(package) = packages.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = add_one(pool, source, package, environment);
            let outcome = outcome.inspect_err(|_| next.store(packages.len(), Ordering::Relaxed))?;
            let mut total = total.lock().expect("counting does not panic");
            match outcome {
                Some(true) => {
                    total.new += 1;
                    total.bytes += package.size.unwrap_or(0);
                }
                Some(false) => total.known += 1,
                None => total.failed += 1,
            }
            progress.advance(0, 1);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..environment.jobs.min(packages.len()).max(1)).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })
}

/// Adds one package: was it new? `None` if it could not be had.
fn add_one(
    pool: &PoolFolder,
    source: &dyn Source,
    package: &RequiredPackage,
    environment: &Environment<'_>,
) -> anyhow::Result<Option<bool>> {
    let console = environment.console;
    let monitor: &dyn Monitor = console;
    monitor.check_interrupted()?;
    let url = shown_url(&package.url);
    let sha256 = package.sha256;
    if pool.has(&sha256, package.size) {
        console.record("pooled", json!({ "sha256": sha256, "state": "known" }))?;
        return Ok(Some(false));
    }
    let fetched = match source.fetch(&package.wanted(), monitor) {
        Ok(fetched) => fetched,
        Err(error) => {
            if causes::causes(&error).iter().any(|cause| cause.is::<Interrupted>()) {
                return Err(error.into());
            }
            let kind = problem_kind(&error);
            monitor.problem(kind, url, causes::messages(&error.into()).join(": "));
            return Ok(None);
        }
    };
    let pooled =
        pool.add(fetched.file, Some(sha256)).with_context(|| format!("cannot add {url}"))?;
    console.detail(&format!("Added {url}"));
    let place = shown(&pooled.path);
    let record = json!({ "sha256": sha256, "size": pooled.size, "path": place, "state": "new" });
    console.record("pooled", record)?;
    Ok(Some(true))
}
