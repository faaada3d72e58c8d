//! `hashget pool remove`: removes packages that were selected, or those that no archive needs.
//!
//! Invariant: only what is selected is removed; nothing at all if one of the archives cannot be read.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context as _;
use hashget::archive::Requirements;
use hashget::fetch::{ManagedPool, Pooled};
use hashget::model::{Digest, total_bytes};
use hashget::monitor::Monitor;
use serde_json::json;

use super::{Picked, count};
use crate::archive;
use crate::commands::db::spec::PackageSpec;
use crate::environment::Environment;
use crate::exit::UsageError;
use crate::output::{counted, safe, size};

/// The digests that `what` selects.
pub(super) fn selected(
    packages: &[Pooled],
    what: &[Picked],
    environment: &Environment<'_>,
) -> anyhow::Result<BTreeSet<Digest>> {
    let hashdb = environment.local_hashdb()?;
    let today = jiff::Zoned::now().date().to_string();
    let mut digests = BTreeSet::new();
    for picked in what {
        match picked {
            Picked::Digest(digest) => {
                digests.insert(*digest);
            }
            Picked::Spec(PackageSpec::All) => {
                digests.extend(packages.iter().map(|pooled| pooled.sha256));
            }
            Picked::Spec(spec) => {
                let all = hashdb.list()?.into_iter().map(|(_, record)| record);
                digests.extend(all.filter(|one| spec.picks(one, &today)).map(|one| one.sha256));
            }
        }
    }
    digests.retain(|digest| packages.iter().any(|pooled| pooled.sha256 == *digest));
    anyhow::ensure!(
        !digests.is_empty(),
        "the pool has none of them: `hashget pool list` shows what it has"
    );
    Ok(digests)
}

/// The digests of the packages that none of these archives needs.
pub(super) fn unused(
    packages: &[Pooled],
    archives: &[PathBuf],
    environment: &Environment<'_>,
) -> anyhow::Result<BTreeSet<Digest>> {
    let archives = archive::archives(archives)?;
    if archives.is_empty() {
        let wrong = "--unused-by: no archive is there, and nothing is removed";
        return Err(UsageError(wrong.to_owned()).into());
    }
    let mut needed = BTreeSet::new();
    for path in archives {
        (environment.console as &dyn Monitor).check_interrupted()?;
        let manifest = archive::manifest(&path, environment).with_context(|| {
            format!("nothing is removed, because {} may need it", safe(&path.to_string_lossy()))
        })?;
        let requirements = Requirements::from_manifest(&manifest)?;
        needed.extend(requirements.packages.iter().map(|package| package.sha256));
    }
    let all = packages.iter().map(|pooled| pooled.sha256);
    Ok(all.filter(|digest| !needed.contains(digest)).collect())
}

/// Removes these packages of the pool, or says which they are.
pub(super) fn remove(
    pool: &dyn ManagedPool,
    packages: &[Pooled],
    digests: &BTreeSet<Digest>,
    is_dry_run: bool,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let console = environment.console;
    let mut removed: Vec<u64> = Vec::new();
    for pooled in packages.iter().filter(|pooled| digests.contains(&pooled.sha256)) {
        let sha256 = pooled.sha256;
        (console as &dyn Monitor).check_interrupted()?;
        if is_dry_run {
            if !console.is_json() {
                console.line(&format!("{sha256}  {}", size(pooled.size)))?;
            }
        } else if !pool.remove(&sha256, console)? {
            continue;
        } else {
            console.detail(&format!("Removed {sha256}"));
        }
        removed.push(pooled.size);
        let record = if is_dry_run { "unused" } else { "removed" };
        console.record(record, json!({ "sha256": sha256, "size": pooled.size }))?;
    }
    let (number, bytes) = (count(removed.len()), total_bytes(removed));
    let packages = counted(number, "package", "packages");
    let line = match is_dry_run {
        true => format!("{packages} would be removed from the pool, {}", size(bytes)),
        false => format!("{packages} removed from the pool, {}", size(bytes)),
    };
    let record = json!({ "removed": number, "bytes": bytes, "dry_run": is_dry_run });
    console.summary("pool remove", record, &[line])?;
    Ok(())
}
