//! `hashget backup status`: is everything well?
//!
//! Invariant: the exit code is the worst of what is shown: 0 well, 3 a warning, 1 a failed or missed night.

use std::process::{Command, Stdio};

use clap::Args;
use hashget::monitor::{Monitor, ProblemKind};
use hashget_backup::due::{Due, printed_time};
use hashget_backup::growth::{Growth, Growths};
use hashget_backup::inventory::{Inventory, Looked, inventory};
use hashget_backup::job::Job;
use hashget_backup::parity_audits::ParityAudits;
use hashget_backup::retention::Circumstances;
use hashget_backup::run::{Destination, State};
use hashget_backup::series::Series;
use hashget_backup::status::{self, Severity};
use hashget_backup::store::StoreError;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use super::destinations::{of_job, problem};
use super::jobs;
use super::list::age;
use crate::commands::audit;
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
    let destinations = of_job(job, environment)?;
    for destination in &destinations {
        let store = &*destination.store;
        let found = inventory(store, &|found| *found == series, environment.console);
        (environment.console as &dyn Monitor).check_interrupted()?;
        // What cannot be listed is known from the runs alone.
        if matches!(found, Err(StoreError::Unsupported { .. })) {
            continue;
        }
        inventories.push((store.shown().to_owned(), found.map_err(|error| problem(store, &error))));
    }
    let looked: Vec<Looked<'_>> = inventories
        .iter()
        .map(|(destination, found)| (&**destination, found.as_ref().map_err(Clone::clone)))
        .collect();
    let now = Timestamp::now();
    let due = match &job.schedule {
        Some(schedule) => Due::daily(schedule, now, &TimeZone::system()).unwrap_or_else(|| {
            let next_after = |after| next_by_calendar(schedule, after);
            Due::by_calendar(status::last_time(state, &looked), now, &next_after)
        }),
        None => Due::default(),
    };
    let circumstances = Circumstances::at(now, TimeZone::system());
    let mut found = status::status(job, state, &looked, due, &circumstances);
    add_figures(&mut found, job, &destinations, environment);
    found.add_parity(&ParityAudits::read(&environment.backup_state()?, job));
    Ok(found)
}

/// Adds what of the newest archive could be restored today, by what is known: no place is asked.
fn add_figures(
    found: &mut status::Status,
    job: &Job,
    destinations: &[Destination],
    environment: &Environment<'_>,
) {
    let with_newest = found.holdings.iter().max_by_key(|holding| holding.newest.as_ref());
    let Some((holding, newest)) = with_newest.and_then(|one| Some((one, one.newest.clone()?)))
    else {
        return;
    };
    let has_it = |destination: &&Destination| destination.store.shown() == holding.destination;
    let Some(destination) = destinations.iter().find(has_it) else { return };
    let known = || audit::known_of(&newest, destination, environment);
    match environment.console.aside_from_the_task(known) {
        Ok(Some(outcome)) => {
            found.figures = Some(outcome.worst());
            found.add_lost(job, &outcome.lost());
        }
        Ok(None) => {}
        Err(error) => {
            let message = format!("what of {newest} could not be restored is not known: {error:#}");
            (environment.console as &dyn Monitor).problem(ProblemKind::Note, &job.name, message);
        }
    }
}

/// The first time after another one that a calendar expression of systemd means; `None` if nothing here can tell.
fn next_by_calendar(schedule: &str, after: Timestamp) -> Option<Timestamp> {
    let base = format!("--base-time=@{}", after.as_second());
    let mut command = Command::new("systemd-analyze");
    command.args(["calendar", &base, "--", schedule]).env("LC_ALL", "C").stdin(Stdio::null());
    let ended = command.output().ok().filter(|ended| ended.status.success())?;
    printed_time(&String::from_utf8_lossy(&ended.stdout))
}

/// Prints how a job is.
fn shown(job: &Job, found: &status::Status, environment: &Environment<'_>) -> anyhow::Result<()> {
    let console = environment.console;
    let audits = ParityAudits::read(&environment.backup_state()?, job);
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
        "growth": growths(found),
        "base": found.base,
        "next": found.next.map(|time| time.to_string()),
        "parity": parity_record(&audits),
        "restorable": found.figures.map(audit::figures_record),
        "destinations": holdings,
        "findings": findings,
    });
    console.record("job", record)?;
    if !console.is_json() {
        for line in lines(job, found, &audits) {
            console.line(&line)?;
        }
    }
    let monitor: &dyn Monitor = console;
    for finding in &found.findings {
        monitor.problem(ProblemKind::Incomplete, format!("job {}", job.name), &finding.text);
    }
    Ok(())
}

/// How much parity was looked at, for programs; `None` if none was.
fn parity_record(audits: &ParityAudits) -> Option<serde_json::Value> {
    let oldest = audits.oldest()?;
    let (looked, wrong) = (audits.all().count(), audits.wrong());
    Some(json!({ "looked": looked, "wrong": wrong, "oldest": oldest.to_string() }))
}

fn lines(job: &Job, found: &status::Status, audits: &ParityAudits) -> Vec<String> {
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
            let bytes = size(found.bytes.unwrap_or(0));
            format!("  Last good  {time} ({age} ago), {bytes}")
        }
        None => "  Last good  none".to_owned(),
    });
    let growth: Vec<String> = found.growth.all().map(|(_, growth)| grown(growth)).collect();
    if !growth.is_empty() {
        lines.push(format!("  Growth     {}", growth.join(", ")));
    }
    lines.extend(found.base.as_ref().map(|base| format!("  Needs      {}", safe(base))));
    if let Some(figures) = found.figures.filter(|figures| figures.total() > 0) {
        lines.push(format!("  Packages   {}", audit::figures_text(figures)));
    }
    if let Some(oldest) = audits.oldest() {
        let archives = crate::output::counted(audits.all().count() as u64, "archive", "archives");
        let ago = age(now - oldest.as_second());
        lines.push(format!("  Parity     of {archives} looked at, the longest ago {ago} ago"));
    }
    lines.push(match (&job.schedule, found.next) {
        (_, Some(next)) => {
            let next = next.to_zoned(TimeZone::system());
            format!("  Next run   {}", next.strftime("%Y-%m-%d %H:%M"))
        }
        (Some(schedule), None) => format!(
            "  Next run   by the schedule {} (systemd-analyze, which knows when that is, does not say it: a missed night is not seen)",
            safe(schedule)
        ),
        (None, None) => "  Next run   when it is called: it has no schedule".to_owned(),
    });
    for holding in &found.holdings {
        let (archives, bytes) = (holding.archives as u64, size(holding.bytes));
        let archives = crate::output::counted(archives, "archive", "archives");
        lines.push(format!("  {}: {archives}, {bytes}", safe(&holding.destination)));
    }
    lines
}

/// How much larger or smaller the last archive is than an earlier one.
fn grown(growth: Growth) -> String {
    let than = age(growth.seconds);
    let percent = match growth.percent() {
        Some(percent @ (..=-1 | 1..)) => format!(" ({} %)", percent.unsigned_abs()),
        _ => String::new(),
    };
    let bytes = size(growth.bytes.unsigned_abs());
    match growth.bytes {
        0 => format!("as large as {than} before"),
        1.. => format!("{bytes}{percent} larger than {than} before"),
        _ => format!("{bytes}{percent} smaller than {than} before"),
    }
}

/// The growth of the last archive, for programs.
fn growths(found: &status::Status) -> serde_json::Value {
    let one = |growth: Option<Growth>| {
        growth.map(|growth| {
            json!({
                "seconds": growth.seconds,
                "bytes_before": growth.bytes_before,
                "bytes": growth.bytes,
                "percent": growth.percent(),
            })
        })
    };
    let Growths { before, week, month } = found.growth;
    json!({ "before": one(before), "week": one(week), "month": one(month) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_said_in_words() {
        let said = |bytes_before: u64, bytes: i64| {
            grown(Growth { seconds: 7 * 86_400, bytes_before, bytes })
        };
        assert_eq!(said(100_000, 0), "as large as 7 d before");
        assert_eq!(said(0, 5), "5 B larger than 7 d before");
        assert_eq!(said(1000, 5), "5 B larger than 7 d before");
        assert_eq!(said(100, 25), "25 B (25 %) larger than 7 d before");
        assert_eq!(said(100, -25), "25 B (25 %) smaller than 7 d before");
    }
}
