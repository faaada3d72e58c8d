//! `hashget pool verify`: reads packages of a pool again, those first that were verified longest ago.
//!
//! Invariant: what is remembered of earlier runs decides the order and nothing else. A pool that does not answer is no damage.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use hashget::archive::AtMost;
use hashget::error::ErrorClass;
use hashget::fetch::{ManagedPool, Pooled};
use hashget::model::{Digest, total_bytes};
use hashget::monitor::{Monitor, ProblemKind, Step, Total};
use hashget::pending_file::PendingFile;
use hashget::wording::one_line;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::count;
use crate::environment::Environment;
use crate::output::counted;

/// When the packages of a pool were verified last, in seconds since 1970.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Verified {
    pool: String,
    at: BTreeMap<String, i64>,
}

/// What a run found.
#[derive(Debug, Default)]
struct Found {
    proven: u64,
    damaged: u64,
    unread: u64,
    left: u64,
}

/// Verifies the packages of a pool, no more than `at_most` in this run; one at least.
pub(super) fn verify(
    pool: &dyn ManagedPool,
    at_most: Option<AtMost>,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let monitor: &dyn Monitor = environment.console;
    let mut packages = pool.list(monitor)?;
    let file = state_file(pool, environment)?;
    let mut verified = read(&file, pool);
    packages.sort_by_key(|one| (verified.at.get(&one.sha256.to_string()).copied(), one.sha256));
    let outcome = each(pool, &packages, at_most, &mut verified, environment);
    verified.at.retain(|digest, _| packages.iter().any(|one| one.sha256.to_string() == *digest));
    if let Err(error) = write(&file, &verified) {
        let problem = format!("the next run begins with the same packages ({error})");
        monitor.problem(ProblemKind::Note, file.display().to_string(), problem);
    }
    report(&outcome?, environment)
}

fn each(
    pool: &dyn ManagedPool,
    packages: &[Pooled],
    at_most: Option<AtMost>,
    verified: &mut Verified,
    environment: &Environment<'_>,
) -> anyhow::Result<Found> {
    let monitor: &dyn Monitor = environment.console;
    let total = Total {
        bytes: Some(total_bytes(packages.iter().map(|pooled| pooled.size))),
        things: Some(count(packages.len())),
    };
    let progress = monitor.begin(Step::Check, "the pool", total);
    let (mut found, mut bytes, began) = (Found::default(), 0_u64, Instant::now());
    for (index, pooled) in packages.iter().enumerate() {
        monitor.check_interrupted()?;
        bytes = bytes.saturating_add(pooled.size);
        let is_over = match at_most {
            Some(AtMost::Bytes(most)) => bytes > most,
            Some(AtMost::Time(most)) => began.elapsed() > most,
            None => false,
        };
        if is_over && index > 0 {
            found.left = count(packages.len() - index);
            break;
        }
        match pool.damage(pooled, monitor) {
            Ok(damage) => {
                let now = jiff::Timestamp::now().as_second();
                verified.at.insert(pooled.sha256.to_string(), now);
                found.damaged += u64::from(damage.is_some());
                found.proven += u64::from(damage.is_none());
                if let Some(problem) = damage {
                    monitor.problem(ProblemKind::Verification, &pooled.place, problem);
                }
            }
            Err(error) if error.class() == ErrorClass::Interrupted => return Err(error.into()),
            Err(error) => {
                found.unread += 1;
                let kind = error.class().problem_kind();
                monitor.problem(kind, &pooled.place, one_line(&error));
            }
        }
        progress.advance(pooled.size, 1);
    }
    Ok(found)
}

fn report(found: &Found, environment: &Environment<'_>) -> anyhow::Result<()> {
    let Found { proven, damaged, unread, left } = *found;
    let packages = |number| counted(number, "package", "packages");
    let mut lines = vec![format!("{} proven", packages(proven))];
    if damaged > 0 {
        lines.push(format!(
            "{} DAMAGED: `hashget pool remove` them, then `hashget pool add` the archive again",
            packages(damaged)
        ));
    }
    if unread > 0 {
        lines.push(format!("{} could not be read", packages(unread)));
    }
    if left > 0 {
        lines.push(format!("{} not looked at: the next run begins with them", packages(left)));
    }
    let record = json!({ "proven": proven, "damaged": damaged, "unread": unread, "left": left });
    environment.console.summary("pool verify", record, &lines)?;
    Ok(())
}

/// Where it is remembered what was verified of a pool: beside the HashDB, which can be deleted at any time, too.
fn state_file(pool: &dyn ManagedPool, environment: &Environment<'_>) -> anyhow::Result<PathBuf> {
    let shown = match std::path::absolute(pool.shown()) {
        Ok(path) if !pool.shown().contains("://") => path.display().to_string(),
        _ => pool.shown().to_owned(),
    };
    let name = Digest::of(shown.as_bytes()).to_string();
    Ok(environment.hashdb_folder()?.join("pool-verified").join(format!("{}.json", &name[..16])))
}

fn read(file: &Path, pool: &dyn ManagedPool) -> Verified {
    let text = fs_err::read(file).ok();
    let read = text.and_then(|text| serde_json::from_slice(&text).ok());
    read.unwrap_or_else(|| Verified { pool: pool.shown().to_owned(), at: BTreeMap::new() })
}

fn write(file: &Path, verified: &Verified) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        fs_err::create_dir_all(folder)?;
    }
    let mut pending = PendingFile::replacing(file, 0o644)?;
    serde_json::to_writer(&mut pending, verified)?;
    pending.commit(file)
}
