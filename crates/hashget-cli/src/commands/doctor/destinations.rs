//! Can the destinations of a job be written, read, listed and cleared?
//!
//! Invariant: the test file is removed again, and has a name that no archive has.

use std::io::{Read as _, Write as _};

use hashget::monitor::Monitor;
use hashget_backup::job::Job;
use hashget_backup::store::{Address, Compared, Sending, Store, StoreError};
use sha2::{Digest as _, Sha256};

use super::{Finding, noted};
use crate::commands::backup::destinations::{expect_apart, of_job, problem};
use crate::environment::Environment;

/// What the test file has in it.
const TEXT: &[u8] = b"A test of `hashget doctor`: it can be removed.\n";

/// What to do about commands that cannot do everything.
const WHOLE_TABLE: &str = "give it as a table with `read`, `list` and `remove`, so that archives there can be looked after";

/// Looks at the destinations of a job.
pub(super) fn destinations(
    job: &Job,
    read_only: bool,
    environment: &Environment<'_>,
) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    if let Err(error) = expect_apart(job) {
        findings.push(Finding::failure(
            format!("job {}", job.name),
            error.to_string(),
            "correct `to`",
        ));
    }
    for (destination, address) in of_job(job, environment)?.iter().zip(&job.to) {
        let store = &*destination.store;
        let what = format!("job {}, {}", job.name, store.shown());
        if matches!(address, Address::Commands(commands) if commands.remove.is_none()) {
            let found = "not tried: without a command to remove it, the test file would stay";
            findings.push(Finding::warning(what, found, WHOLE_TABLE));
            continue;
        }
        let tried =
            if read_only { listed(store, environment) } else { written(store, environment) };
        findings.push(match tried {
            Ok(found) => Finding::well(what, found),
            Err(StoreError::Interrupted(interrupted)) => return Err(interrupted.into()),
            Err(StoreError::Unsupported { problem, .. }) => {
                Finding::warning(what, problem, WHOLE_TABLE)
            }
            Err(error) => {
                let advice =
                    "nothing can be sent there: mount it, give the rights, or correct `to`";
                Finding::failure(what, problem(store, &error), advice)
            }
        });
    }
    Ok(findings)
}

fn listed(store: &dyn Store, environment: &Environment<'_>) -> Result<String, StoreError> {
    let files = store.list(environment.console)?.len();
    Ok(format!("can be listed ({files} files); writing was not tried"))
}

/// Sends a test file, reads it back and removes it.
fn written(store: &dyn Store, environment: &Environment<'_>) -> Result<String, StoreError> {
    let monitor: &dyn Monitor = environment.console;
    let mut file = tempfile::tempfile()?;
    file.write_all(TEXT)?;
    let sha256 = hex::encode(Sha256::digest(TEXT));
    let name = format!(
        "hashget-doctor-{}-{}.test",
        std::process::id(),
        jiff::Timestamp::now().as_millisecond()
    );
    let bytes = TEXT.len() as u64;
    let sending =
        Sending { file: &file, bytes, sha256: &sha256, lock_until: None, bytes_per_second: None };
    let compared = store.send(&name, &sending, monitor)?;
    let read = read_back(store, &name, monitor);
    let removed = store.remove(&name, monitor);
    if let (Err(_), Err(error)) = (&read, &removed) {
        noted(environment, &name, format!("is left in {}: {error}", store.shown()));
    }
    let found = read?;
    if found != TEXT {
        let expected = format!("{} bytes of SHA-256 {sha256}", TEXT.len());
        let found = format!("{} other bytes", found.len());
        return Err(StoreError::Different {
            store: store.shown().to_owned(),
            name,
            expected,
            found,
        });
    }
    match removed {
        Ok(()) => {}
        // Credentials that can only add are a good thing where another machine prunes.
        Err(StoreError::Refused { .. }) => {
            return Ok(format!("can be written and read; nothing can be removed, {name} stays"));
        }
        Err(error) => return Err(error),
    }
    let how = match compared {
        Compared::Checksum => "compared by checksum",
        Compared::Size => "compared by size alone",
        Compared::Nothing => "not compared by the destination",
    };
    Ok(format!("can be written, read and cleared; what is sent is {how}"))
}

fn read_back(store: &dyn Store, name: &str, monitor: &dyn Monitor) -> Result<Vec<u8>, StoreError> {
    let mut found = Vec::new();
    store.open(name, monitor)?.take(TEXT.len() as u64 + 1).read_to_end(&mut found)?;
    Ok(found)
}
