//! `hashget backup status`: is everything well?
//!
//! Invariant: the exit code is the worst of what is shown: 0 well, 3 a warning, 1 a failed or missed night.

use clap::Args;
use hashget::monitor::{Monitor, ProblemKind};
use hashget_backup::inventory::{Inventory, inventory};
use hashget_backup::job::Job;
use hashget_backup::run::State;
use hashget_backup::series::Series;
use hashget_backup::status::{self, Severity};
use hashget_backup::store::StoreError;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use super::destinations::{of_job, problem};
use super::jobs;
use super::list::age;
use crate::environment::Environment;
use crate::exit::{Code, EndedAs};
use crate::output::{safe, size};

/// Say whether all is well: last good archive, size, next run, destinations
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 all is well; 3 a warning; 1 a failed or missed night.")]
pub(super) struct Status {
    /// Jobs; all if none is given
    #[arg(value_name = "JOB")]
    names: Vec<String>,
}

impl Status {
    pub(super) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let console = environment.console;
        let state_folder = environment.backup_state()?;
        let (mut failed, mut all) = (Vec::new(), 0);
        for job in jobs(&self.names, environment)? {
            all += 1;
            let state = State::read(&state_folder, &job.name);
            let found = looked(&job, &state, environment)?;
            if found.severity() == Some(Severity::Failure) {
                failed.push(job.name.clone());
            }
            shown(&job, &found, environment)?;
        }
        let record = json!({ "jobs": all, "failed": failed });
        console.summary("backup status", record, &[])?;
        if failed.is_empty() {
            return Ok(());
        }
        let message = format!("not well: {}", failed.join(", "));
        Err(EndedAs { code: Code::Failed, message }.into())
    }
}

/// Looks at the destinations of a job, and judges.
fn looked(
    job: &Job,
    state: &State,
    environment: &Environment<'_>,
) -> anyhow::Result<status::Status> {
    let series = Series::new(&job.host, &job.name)?;
    let mut inventories: Vec<(String, Result<Inventory, String>)> = Vec::new();
    for destination in of_job(job, environment)? {
        let store = &*destination.store;
        let found = inventory(store, &|found| *found == series, environment.console);
        (environment.console as &dyn Monitor).check_interrupted()?;
        // What cannot be listed is known from the runs alone.
        if matches!(found, Err(StoreError::Unsupported { .. })) {
            continue;
        }
        inventories.push((store.shown().to_owned(), found.map_err(|error| problem(store, &error))));
    }
    let looked: Vec<status::Looked<'_>> = inventories
        .iter()
        .map(|(destination, found)| (&**destination, found.as_ref().map_err(Clone::clone)))
        .collect();
    Ok(status::status(job, state, &looked, Timestamp::now(), &TimeZone::system()))
}

/// Prints how a job is.
fn shown(job: &Job, found: &status::Status, environment: &Environment<'_>) -> anyhow::Result<()> {
    let console = environment.console;
    let holdings: Vec<_> = found
        .holdings
        .iter()
        .map(|holding| {
            json!({
                "destination": holding.destination,
                "archives": holding.archives,
                "bytes": holding.bytes,
                "newest": holding.newest.as_ref().map(ToString::to_string),
            })
        })
        .collect();
    let findings: Vec<_> = found
        .findings
        .iter()
        .map(|finding| {
            let is_failure = finding.severity == Severity::Failure;
            json!({ "severity": if is_failure { "failure" } else { "warning" }, "text": finding.text })
        })
        .collect();
    let record = json!({
        "job": job.name,
        "last_good": found.last_good.map(|time| time.to_string()),
        "bytes": found.bytes,
        "bytes_before": found.bytes_before,
        "base": found.base,
        "next": found.next.map(|time| time.to_string()),
        "destinations": holdings,
        "findings": findings,
    });
    console.record("job", record)?;
    if !console.is_json() {
        for line in lines(job, found) {
            console.line(&line)?;
        }
    }
    let monitor: &dyn Monitor = console;
    for finding in &found.findings {
        monitor.problem(ProblemKind::Incomplete, format!("job {}", job.name), &finding.text);
    }
    Ok(())
}

fn lines(job: &Job, found: &status::Status) -> Vec<String> {
    let verdict = match found.severity() {
        None => "well",
        Some(Severity::Warning) => "warning",
        Some(Severity::Failure) => "NOT WELL",
    };
    let mut lines = vec![format!("{}: {verdict}", job.name)];
    let now = Timestamp::now().as_second();
    lines.push(match found.last_good {
        Some(last) => {
            let (time, age) = (last.strftime("%Y-%m-%d %H:%M UTC"), age(now - last.as_second()));
            format!("  Last good  {time} ({age} ago), {}", growth(found))
        }
        None => "  Last good  none".to_owned(),
    });
    lines.extend(found.base.as_ref().map(|base| format!("  Needs      {}", safe(base))));
    lines.push(match (&job.schedule, found.next) {
        (_, Some(next)) => {
            let next = next.to_zoned(TimeZone::system());
            format!("  Next run   {}", next.strftime("%Y-%m-%d %H:%M"))
        }
        (Some(schedule), None) => format!("  Next run   by the schedule {}", safe(schedule)),
        (None, None) => "  Next run   when it is called: it has no schedule".to_owned(),
    });
    for holding in &found.holdings {
        let (archives, bytes) = (holding.archives as u64, size(holding.bytes));
        let archives = crate::output::counted(archives, "archive", "archives");
        lines.push(format!("  {}: {archives}, {bytes}", safe(&holding.destination)));
    }
    lines
}

/// The size of the last archive, and what it was before.
fn growth(found: &status::Status) -> String {
    let bytes = found.bytes.unwrap_or(0);
    match found.bytes_before {
        Some(before) if before > 0 => format!("{} (before: {})", size(bytes), size(before)),
        _ => size(bytes),
    }
}
