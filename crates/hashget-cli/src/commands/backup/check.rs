//! `hashget backup check`: compares what destinations hold with the records.
//!
//! Invariant: "checked" is said only of what was compared, and how.

use std::io::Read;

use clap::Args;
use hashget::classify::class_of;
use hashget::error::ErrorClass;
use hashget::monitor::{Monitor, ProblemKind, Step, Total};
use hashget::wording::messages;
use hashget_backup::encryption::{START, is_archive};
use hashget_backup::inventory::{Held, inventory};
use hashget_backup::series::Series;
use hashget_backup::store::{Store, StoreError};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::destinations::{of_job, problem};
use super::jobs;
use crate::environment::Environment;
use crate::output::{Console, counted};

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

/// Compare what the destinations hold with the records of the archives
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Jobs; all if none is given
    #[arg(value_name = "JOB")]
    names: Vec<String>,

    /// Read every byte of every archive, too
    #[arg(long)]
    read: bool,
}

/// What was found.
#[derive(Default)]
struct Checked {
    archives: u64,
    wrong: u64,
    /// Destinations that could not be listed.
    unseen: u64,
    /// Of each destination whose newest archive is encrypted: did an identity open it? `None` if none was given.
    opened: Vec<Option<bool>>,
}

impl Check {
    pub(super) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let mut checked = Checked::default();
        for job in jobs(&self.names, environment)? {
            let series = Series::new(&job.host, &job.name)?;
            for destination in of_job(&job, environment)? {
                self.check(&*destination.store, &series, &mut checked, environment)?;
            }
        }
        let how = if self.read {
            "every byte read"
        } else {
            "by size, and by checksum where the destination tells one"
        };
        let line = format!(
            "{} checked ({how}), {} not as recorded",
            counted(checked.archives, "archive", "archives"),
            checked.wrong
        );
        let lines: Vec<String> = [line].into_iter().chain(keys_line(&checked.opened)).collect();
        let of = |opens: Option<bool>| checked.opened.iter().filter(|one| **one == opens).count();
        let record = json!({
            "archives": checked.archives,
            "wrong": checked.wrong,
            "unreachable": checked.unseen,
            "not_opened": of(Some(false)),
            "not_tried_to_open": of(None),
        });
        environment.console.summary("backup check", record, &lines)?;
        Ok(())
    }

    /// Compares what one destination holds of a series.
    fn check(
        &self,
        store: &dyn Store,
        series: &Series,
        checked: &mut Checked,
        environment: &Environment<'_>,
    ) -> anyhow::Result<()> {
        let monitor: &dyn Monitor = environment.console;
        let found = match inventory(store, &|found| found == series, environment.console) {
            Ok(found) => found,
            Err(error @ StoreError::Unsupported { .. }) => {
                monitor.problem(ProblemKind::Note, store.shown(), problem(store, &error));
                return Ok(());
            }
            Err(error) => {
                monitor.check_interrupted()?;
                checked.unseen += 1;
                monitor.problem(ProblemKind::Unreachable, store.shown(), problem(store, &error));
                return Ok(());
            }
        };
        for name in &found.only_records {
            let message = format!("{} has its record, but not the archive", store.shown());
            monitor.problem(ProblemKind::Note, name, message);
        }
        let mut differing: Vec<String> = Vec::new();
        // What others need is older than they are, and comes before them.
        for held in &found.held {
            checked.archives += 1;
            if self.differs(store, held, &differing, environment)? {
                differing.push(held.name.to_string());
            }
        }
        checked.wrong += differing.len() as u64;
        let newest = found.held.iter().max_by_key(|held| held.name.started());
        if let Some(held) = newest.filter(|held| held.name.is_encrypted()) {
            checked.opened.push(opens(store, held, environment)?);
        }
        Ok(())
    }

    /// Compares an archive with its record, and says what differs; also if that is so of what it needs.
    fn differs(
        &self,
        store: &dyn Store,
        held: &Held,
        differing: &[String],
        environment: &Environment<'_>,
    ) -> anyhow::Result<bool> {
        let console = environment.console;
        let difference = match held.difference() {
            None if self.read => read_difference(store, held, console)?,
            difference => difference,
        };
        let base = held.base().filter(|base| differing.iter().any(|name| name == base));
        let difference = difference
            .or_else(|| base.map(|base| format!("it needs {base}, which is not as recorded")));
        if let Some(difference) = &difference {
            let kind = match held.record {
                Ok(_) => ProblemKind::Verification,
                Err(_) => ProblemKind::Incomplete,
            };
            let object = format!("{} in {}", held.name, store.shown());
            (console as &dyn Monitor).problem(kind, object, difference);
        }
        let record = json!({
            "name": held.name.to_string(),
            "destination": store.shown(),
            "compared": compared(held, self.read),
            "difference": difference,
        });
        console.record("archive", record)?;
        Ok(difference.is_some())
    }
}

/// Does an identity open an encrypted archive? `None` if none was given. That it does not is reported.
fn opens(
    store: &dyn Store,
    held: &Held,
    environment: &Environment<'_>,
) -> anyhow::Result<Option<bool>> {
    if !environment.has_identity() {
        return Ok(None);
    }
    let monitor: &dyn Monitor = environment.console;
    let Err(error) = begins_as_an_archive(store, &held.name.to_string(), environment) else {
        return Ok(Some(true));
    };
    monitor.check_interrupted()?;
    let kind = match class_of(error.as_ref()) {
        Some(ErrorClass::Unreachable | ErrorClass::Refused) => ProblemKind::Unreachable,
        _ => ProblemKind::Verification,
    };
    let object = format!("{} in {}", held.name, store.shown());
    monitor.problem(kind, object, messages(error.as_ref()).join(": "));
    Ok(Some(false))
}

/// Decrypts the beginning of an archive, and looks whether it is one.
fn begins_as_an_archive(
    store: &dyn Store,
    name: &str,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let source = store.open(name, environment.console)?;
    let mut first = Vec::new();
    environment.decrypted(source, name)?.take(START as u64).read_to_end(&mut first)?;
    anyhow::ensure!(is_archive(&first), "what comes out of it is no archive");
    Ok(())
}

/// What is said of whether the newest archives can be decrypted, if any is encrypted.
fn keys_line(opened: &[Option<bool>]) -> Option<String> {
    let count = |of: Option<bool>| opened.iter().filter(|opens| **opens == of).count();
    let (open, closed, untried) = (count(Some(true)), count(Some(false)), count(None));
    match (open, closed, untried) {
        (0, 0, 0) => None,
        (_, _, 0) => Some(format!(
            "The newest archive is decrypted by the identity in {open} of {} destinations",
            opened.len()
        )),
        _ => Some(
            "Nobody looked whether an identity opens the newest archive: give one with --identity"
                .to_owned(),
        ),
    }
}

/// By what an archive was compared.
fn compared(held: &Held, is_read: bool) -> &'static str {
    match held.record {
        Err(_) => "nothing",
        Ok(_) if is_read => "bytes",
        Ok(_) if held.sha256.is_some() => "checksum",
        Ok(_) => "size",
    }
}

/// Reads an archive; says what differs from its record.
fn read_difference(
    store: &dyn Store,
    held: &Held,
    console: &Console,
) -> anyhow::Result<Option<String>> {
    let Ok(record) = &held.record else { return Ok(None) };
    let monitor: &dyn Monitor = console;
    let mut source = store.open(&held.name.to_string(), console)?;
    let running = monitor.begin(Step::Check, held.name.to_string(), Total::bytes(held.bytes));
    let (mut digest, mut bytes, mut buffer) = (Sha256::new(), 0_u64, vec![0; PIECE]);
    loop {
        monitor.check_interrupted()?;
        let count = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) => return Ok(Some(format!("it cannot be read to its end: {error}"))),
        };
        digest.update(&buffer[..count]);
        bytes += count as u64;
        running.advance(count as u64, 0);
    }
    let found = hex::encode(digest.finalize());
    let differs = found != record.sha256;
    Ok(differs.then(|| {
        format!("it is {bytes} bytes of SHA-256 {found}, and its record says {}", record.sha256)
    }))
}
