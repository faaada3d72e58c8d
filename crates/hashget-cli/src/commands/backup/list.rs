//! `hashget backup list`: the archives that destinations hold.
//!
//! Invariant: nothing is read but names, sizes and records.

use clap::Args;
use hashget::monitor::{Monitor, ProblemKind};
use hashget_backup::inventory::{Held, inventory};
use hashget_backup::series::{ArchiveName, Times};
use hashget_backup::store::StoreError;
use jiff::Timestamp;
use serde_json::json;

use super::destinations::{Searched, is_destination, of_job, open_given, problem};
use super::jobs;
use crate::environment::Environment;
use crate::output::{columns, counted, safe, size};

/// List the archives of jobs, or those that a destination holds
#[derive(Debug, Args)]
pub(super) struct List {
    /// Job, or a destination: a path with a `/` in it; all jobs if nothing is given
    #[arg(value_name = "JOB[@TIME]|DESTINATION")]
    what: Option<String>,

    /// Destination to list the series from; needs no configuration
    #[arg(long, value_name = "DESTINATION")]
    from: Option<String>,
}

impl List {
    pub(super) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let console = environment.console;
        let mut rows = Vec::new();
        for (searched, times) in self.searched(environment)? {
            for destination in &searched.destinations {
                let store = &*destination.store;
                let found = inventory(store, &|series| searched.is_meant(series), console);
                let found = match found {
                    Ok(found) => found,
                    Err(error) if searched.destinations.len() == 1 => return Err(error.into()),
                    Err(error) => {
                        let monitor: &dyn Monitor = console;
                        let kind = match error {
                            StoreError::Unsupported { .. } => ProblemKind::Note,
                            _ => ProblemKind::Unreachable,
                        };
                        monitor.problem(kind, store.shown(), problem(store, &error));
                        continue;
                    }
                };
                let beginning = match &times {
                    Some(Times::Beginning(text)) => text.as_str(),
                    _ => "",
                };
                let held = found.held.into_iter();
                let held = held.filter(|held| held.name.time().starts_with(beginning));
                rows.extend(held.map(|held| (held, store.shown().to_owned())));
            }
        }
        rows.sort_by(|(one, there), (other, elsewhere)| {
            one.name.cmp(&other.name).then(there.cmp(elsewhere))
        });
        for (held, destination) in &rows {
            console.record("archive", record(held, destination))?;
        }
        if !console.is_json() && !rows.is_empty() {
            for line in table(&rows) {
                console.line(&line)?;
            }
        }
        let archives = rows.len();
        let line = counted(archives as u64, "archive", "archives");
        console.summary("backup list", json!({ "archives": archives }), &[line])?;
        Ok(())
    }

    /// Where to look, and for which times.
    fn searched(
        &self,
        environment: &Environment<'_>,
    ) -> anyhow::Result<Vec<(Searched, Option<Times>)>> {
        match (&self.what, &self.from) {
            (Some(what), None) if is_destination(what) => {
                Ok(vec![(Searched::everything(vec![open_given(what, environment)?]), None)])
            }
            (None, Some(from)) => {
                Ok(vec![(Searched::everything(vec![open_given(from, environment)?]), None)])
            }
            (Some(what), from) => {
                let (name, times) = Times::after_name(what)?;
                let searched = Searched::new(name, from.as_deref(), environment)?;
                Ok(vec![(searched, what.contains('@').then_some(times))])
            }
            (None, None) => jobs(&[], environment)?
                .iter()
                .map(|job| Ok((Searched::of_job(job, of_job(job, environment)?)?, None)))
                .collect(),
        }
    }
}

/// The record of an archive.
fn record(held: &Held, destination: &str) -> serde_json::Value {
    let record = held.record.as_ref().ok();
    json!({
        "name": held.name.to_string(),
        "host": held.name.series().host(),
        "job": held.name.series().job(),
        "started": held.name.started().to_string(),
        "destination": destination,
        "bytes": held.bytes,
        "parity_bytes": held.parity,
        "exit": record.map(|record| record.exit),
        "files": record.map(|record| record.files),
        "tree_bytes": record.map(|record| record.tree_bytes),
        "problems": record.map(|record| record.problems),
        "base": record.and_then(|record| record.base.as_ref()),
        "encrypted": held.name.is_encrypted(),
        "difference": held.difference(),
        "parity_difference": held.parity_difference(),
    })
}

/// How an archive is, in few words.
fn outcome(held: &Held) -> String {
    let mut outcome = outcome_alone(held);
    if held.parity_difference().is_some() {
        outcome.push_str(", without its parity");
    } else if held.parity.is_some() {
        outcome.push_str(", with parity");
    }
    match held.base().and_then(ArchiveName::parse) {
        Some(base) => format!("{outcome}, needs {}", base.time()),
        None => outcome,
    }
}

/// The same without what it needs.
fn outcome_alone(held: &Held) -> String {
    match &held.record {
        _ if held.difference().is_some() => "not whole".to_owned(),
        Ok(record) if record.exit == 0 => "whole".to_owned(),
        Ok(record) if record.exit == 3 => counted(record.problems, "problem", "problems"),
        Ok(record) if record.exit == 5 => "larger than necessary".to_owned(),
        Ok(_) | Err(_) => "not whole".to_owned(),
    }
}

fn table(rows: &[(Held, String)]) -> Vec<String> {
    let heading = ["SERIES", "TIME", "SIZE", "AGE", "OUTCOME", "WHERE"].map(str::to_owned).to_vec();
    let now = Timestamp::now();
    let row = |(held, destination): &(Held, String)| {
        vec![
            held.name.series().to_string(),
            held.name.time(),
            size(held.all_bytes()),
            age(now.as_second() - held.name.started().as_second()),
            outcome(held),
            safe(destination),
        ]
    };
    let rows: Vec<Vec<String>> = [heading].into_iter().chain(rows.iter().map(row)).collect();
    columns("llrrll", &rows)
}

/// An age in its largest unit.
pub(super) fn age(seconds: i64) -> String {
    let minutes = seconds / 60;
    match minutes {
        ..0 => "in the future".to_owned(),
        0..120 => format!("{minutes} min"),
        120..2880 => format!("{} h", minutes / 60),
        _ => format!("{} d", minutes / 60 / 24),
    }
}
