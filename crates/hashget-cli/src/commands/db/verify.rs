//! `hashget db verify`: is the HashDB undamaged, and does it agree with the packages on this machine?
//!
//! Invariant: nothing is changed, and the network is not used.

use hashget::fetch::{FetchError, Wanted, shown};
use hashget::hashdb::{LocalHashDb, whole};
use hashget::index::differences;
use hashget::monitor::{Monitor, ProblemKind};
use hashget::wording::one_line;
use serde_json::json;

use super::Packages;
use crate::environment::Environment;
use crate::output::counted;

pub(super) fn verify(
    hashdb: &LocalHashDb,
    packages: &Packages,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let console = environment.console;
    let monitor: &dyn Monitor = console;
    let damages = hashdb.damages()?;
    for damage in &damages {
        monitor.problem(ProblemKind::Verification, "HashDB", damage);
    }
    let local = environment.local()?;
    let (mut right, mut wrong, mut not_here) = (0_u64, 0_u64, 0_u64);
    for (id, record) in packages {
        monitor.check_interrupted()?;
        let wanted = Wanted {
            name: record.own_name().map(str::to_owned),
            url: record.url.clone(),
            also: record.also.clone(),
            sha256: Some(record.sha256),
            size: Some(record.size),
            ..Wanted::default()
        };
        let fetched = match local.fetch(&wanted, monitor) {
            Ok(fetched) => fetched,
            Err(FetchError::Interrupted(interrupted)) => return Err(interrupted.into()),
            Err(_) => {
                not_here += 1;
                continue;
            }
        };
        // Damage was reported above; another process may have removed or replaced the package.
        let Ok(Some((_, members))) = whole(hashdb, *id) else { continue };
        let limits = &environment.limits;
        let problem = match differences(record, &members, &fetched.file, limits, monitor) {
            Ok(problem) => problem,
            Err(hashget::index::IndexError::Interrupted(interrupted)) => {
                return Err(interrupted.into());
            }
            Err(error) => Some(one_line(&error)),
        };
        match problem {
            None => right += 1,
            Some(problem) => {
                wrong += 1;
                monitor.problem(ProblemKind::Verification, shown(&record.url), problem);
            }
        }
    }
    let packages = |number| counted(number, "package", "packages");
    let state = if damages.is_empty() { "whole" } else { "DAMAGED: choose another --db" };
    let mut lines = vec![
        format!("The HashDB is {state}"),
        format!("{} read again from the cache and pools: as recorded", packages(right)),
    ];
    if wrong > 0 {
        lines.push(format!("{} WRONG: `hashget db remove` them and index again", packages(wrong)));
    }
    if not_here > 0 {
        lines.push(format!("{} neither in the cache nor in a pool", packages(not_here)));
    }
    let record = json!({
        "damages": damages.len(), "right": right, "wrong": wrong, "not_here": not_here,
    });
    console.summary("db verify", record, &lines)?;
    Ok(())
}
