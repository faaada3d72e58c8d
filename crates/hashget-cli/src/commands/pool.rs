//! `hashget pool`: packages that the user keeps, in a folder, a bucket or a registry.
//!
//! Invariant: added packages are proven; only packages that were selected explicitly are removed.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hashget::archive::AtMost;
use hashget::fetch::{ManagedPool, Pooled};
use hashget::hashdb::{HashDb, HashDbError, Key, PackageId};
use hashget::model::{Digest, PackageRecord, total_bytes};
use hashget::monitor::Monitor;
use serde_json::json;

use super::db::spec::{self, PackageSpec};
use crate::environment::Environment;
use crate::output::{columns, counted, safe, size};
use crate::values;

mod add;
mod remove;
mod verify;

/// Keep packages in a folder, bucket or registry of your own
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
        /// Packages, archives, and folders into which one was unpacked; with --at-risk, jobs, archives, and folders of archives
        #[arg(value_name = "PACKAGEFILE|ARCHIVE|DIR", required = true)]
        paths: Vec<PathBuf>,

        /// Add only what is at risk, as `audit` judges it, of what jobs and archives rely on
        #[arg(long)]
        at_risk: bool,
    },
    /// List the packages in the pool
    List,
    /// Read every package again and verify its digest
    Verify {
        /// Limit of one run: bytes such as 10G, or a time such as 2h; the next run continues
        #[arg(long, value_name = "BYTES|TIME", value_parser = values::at_most)]
        at_most: Option<AtMost>,
    },
    /// Remove packages from the pool
    Remove {
        /// sha256:HEX, or URL, file name, sig:TYPE:VALUE, expired, expired:YYYY-MM-DD or all
        #[arg(value_name = "WHAT", required_unless_present = "unused_by", value_parser = picked)]
        what: Vec<Picked>,

        /// Remove what none of these archives needs, nor those in these folders
        #[arg(long, value_name = "ARCHIVE|DIR", num_args = 1.., conflicts_with = "what")]
        unused_by: Vec<PathBuf>,

        /// Print what would be removed, and remove nothing
        #[arg(short = 'n', long)]
        dry_run: bool,
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
        let pool = environment.managed_pool()?;
        let (pool, monitor): (&dyn ManagedPool, &dyn Monitor) = (&*pool, environment.console);
        match &self.action {
            Action::Add { paths, at_risk } => {
                pool.create()?;
                match at_risk {
                    true => add::add_at_risk(pool, paths, environment),
                    false => add::add(pool, paths, environment),
                }
            }
            Action::List => list(&pool.list(monitor)?, environment),
            Action::Verify { at_most } => verify::verify(pool, *at_most, environment),
            Action::Remove { what, unused_by, dry_run } => {
                let pooled = pool.list(monitor)?;
                let digests = match unused_by.is_empty() {
                    true => remove::selected(&pooled, what, environment)?,
                    false => remove::unused(&pooled, unused_by, environment)?,
                };
                remove::remove(pool, &pooled, &digests, *dry_run, environment)
            }
        }
    }
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
        let (sha256, path) = (pooled.sha256, &pooled.place);
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
