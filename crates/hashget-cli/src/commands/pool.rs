//! `hashget pool`: the user's own folder of packages.
//!
//! Invariant: added packages are proven; only packages that were selected explicitly are removed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use hashget::fetch::{PoolFolder, Pooled};
use hashget::hashdb::{HashDb, HashDbError, Key, PackageId};
use hashget::model::{Digest, PackageRecord, escaped, total_bytes};
use hashget::monitor::{Monitor, ProblemKind, Step, Total};
use serde_json::json;

use super::db::spec::{self, PackageSpec};
use crate::environment::Environment;
use crate::output::{columns, counted, safe, size};

mod add;

/// Keep packages in a folder of your own
#[derive(Debug, Args)]
pub(crate) struct Pool {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add packages, or everything that archives need
    #[command(after_help = "Example: hashget pool add --pool /srv/pool www.tar.zst")]
    Add {
        /// Packages, archives, and folders into which one was unpacked
        #[arg(value_name = "PACKAGEFILE|ARCHIVE|DIR", required = true)]
        paths: Vec<PathBuf>,
    },
    /// List the packages in the pool
    List,
    /// Read every package again and verify its digest
    Verify,
    /// Remove packages from the pool
    Remove {
        /// sha256:HEX, or URL, file name, sig:TYPE:VALUE, expired, expired:YYYY-MM-DD or all
        #[arg(value_name = "WHAT", required = true, value_parser = picked)]
        what: Vec<Picked>,
    },
}

/// What to remove.
#[derive(Debug, Clone)]
enum Picked {
    Digest(Digest),
    Spec(PackageSpec),
}

fn picked(text: &str) -> Result<Picked, String> {
    match text.strip_prefix("sha256:") {
        Some(hex) => hex.parse().map(Picked::Digest).map_err(|error| format!("{error}")),
        None => spec::parse(text).map(Picked::Spec),
    }
}

impl Pool {
    /// What is kept after an interruption, and how to continue.
    pub(super) fn after_interruption(&self) -> String {
        match self.action {
            Action::Add { .. } => {
                "packages that were added are in the pool: the same command adds the others"
                    .to_owned()
            }
            _ => "the same command begins anew".to_owned(),
        }
    }

    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let folder = environment.pool_folder()?;
        let pool = PoolFolder::new(&folder);
        let context = || format!("cannot use the pool {}", folder.display());
        match &self.action {
            Action::Add { paths } => {
                pool.create().with_context(context)?;
                add::add(&pool, paths, environment)
            }
            Action::List => list(&pool.list().with_context(context)?, environment),
            Action::Verify => verify(&pool, &pool.list().with_context(context)?, environment),
            Action::Remove { what } => {
                let pooled = pool.list().with_context(context)?;
                remove(&pool, &pooled, what, environment)
            }
        }
    }
}

fn shown(path: &Path) -> String {
    escaped(path.as_os_str().as_encoded_bytes())
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// For each package of the pool, the packages that the HashDB knows with its digest.
fn known(hashdb: &dyn HashDb, packages: &[Pooled]) -> Result<Vec<Vec<PackageRecord>>, HashDbError> {
    let keys: Vec<Key<'_>> = packages.iter().map(|pooled| Key::Package(pooled.sha256)).collect();
    let found = hashdb.find(&keys)?;
    let mut records = hashdb.records(&found.concat())?.into_iter();
    let records_of =
        |ids: Vec<PackageId>| records.by_ref().take(ids.len()).flatten().collect::<Vec<_>>();
    Ok(found.into_iter().map(records_of).collect())
}

fn list(packages: &[Pooled], environment: &Environment<'_>) -> anyhow::Result<()> {
    let console = environment.console;
    let known = known(&*environment.hashdb()?, packages)?;
    let mut rows = vec![["SIZE", "PACKAGE", "SHA256", "URL"].map(str::to_owned).to_vec()];
    for (pooled, records) in packages.iter().zip(known) {
        let (name, url) = match records.first() {
            Some(record) => (safe(record.display_name()), safe(&record.url)),
            None => ("-".to_owned(), "-".to_owned()),
        };
        rows.push(vec![size(pooled.size), name, pooled.sha256.to_string(), url]);
        let (sha256, path) = (pooled.sha256, shown(&pooled.path));
        let urls: Vec<String> = records.into_iter().map(|record| record.url).collect();
        let record = json!({ "sha256": sha256, "size": pooled.size, "path": path, "urls": urls });
        console.record("pooled", record)?;
    }
    if !console.is_json() && !packages.is_empty() {
        for line in columns("rlll", &rows) {
            console.line(&line)?;
        }
    }
    let bytes: u64 = total_bytes(packages.iter().map(|pooled| pooled.size));
    let packages = count(packages.len());
    let line = format!("{}, {}", counted(packages, "package", "packages"), size(bytes));
    console.summary("pool list", json!({ "packages": packages, "bytes": bytes }), &[line])?;
    Ok(())
}

fn verify(
    pool: &PoolFolder,
    packages: &[Pooled],
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let console = environment.console;
    let monitor: &dyn Monitor = console;
    let (bytes, things) =
        (total_bytes(packages.iter().map(|pooled| pooled.size)), count(packages.len()));
    let total = Total { bytes: Some(bytes), things: Some(things) };
    let progress = monitor.begin(Step::Check, "the pool", total);
    let mut damaged = 0_u64;
    for pooled in packages {
        monitor.check_interrupted()?;
        if let Some(problem) = pool.damage(pooled, monitor)? {
            damaged += 1;
            monitor.problem(ProblemKind::Verification, shown(&pooled.path), problem);
        }
        progress.advance(pooled.size, 1);
    }
    let whole = count(packages.len()) - damaged;
    let mut lines = vec![format!("{} proven", counted(whole, "package", "packages"))];
    if damaged > 0 {
        let damaged = counted(damaged, "package", "packages");
        lines.push(format!(
            "{damaged} DAMAGED: `hashget pool remove` them, then `hashget pool add` the archive again"
        ));
    }
    console.summary("pool verify", json!({ "proven": whole, "damaged": damaged }), &lines)?;
    Ok(())
}

fn remove(
    pool: &PoolFolder,
    packages: &[Pooled],
    what: &[Picked],
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let console = environment.console;
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
    let mut removed = 0_u64;
    for sha256 in digests {
        if pool.remove(&sha256)? {
            removed += 1;
            console.record("removed", json!({ "sha256": sha256 }))?;
            console.detail(&format!("Removed {sha256}"));
        }
    }
    anyhow::ensure!(
        removed > 0,
        "the pool has none of them: `hashget pool list` shows what it has"
    );
    let line = format!("{} removed from the pool", counted(removed, "package", "packages"));
    console.summary("pool remove", json!({ "removed": removed }), &[line])?;
    Ok(())
}
