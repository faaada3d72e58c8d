//! `hashget backup [JOB ...]`: runs jobs, one after the other.
//!
//! Invariant: a job that fails does not keep the next one from running, and none ends without a word about every destination.

use std::path::Path;

use hashget::archive::Figures;
use hashget::fetch::name_beside;
use hashget::monitor::{Monitor, ProblemKind};
use hashget::pack::Summary;
use hashget::wording;
use hashget_backup::audits;
use hashget_backup::job::Job;
use hashget_backup::record::Packed;
use hashget_backup::run::{Delivered, Report, RunError, Setting, ToPack, run as run_job};
use hashget_backup::series::ArchiveName;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use super::destinations::{expect_apart, for_a_run};
use super::notify;
use crate::commands::audit::{How, JobLock};
use crate::commands::pack::{ForJob, PackLine};
use crate::commands::{audit, heal};
use crate::config::HealInto;
use crate::environment::Environment;
use crate::exit::{self, Code, EndedAs, UsageError};
use crate::output::{counted, size};
use crate::selection::regenerable;

/// Runs the jobs.
pub(super) fn run(jobs: &[Job], environment: &mut Environment<'_>) -> anyhow::Result<()> {
    // What is wrong with a job shows before the first one is run.
    for job in jobs {
        expect_apart(job)?;
        for_a_run(job, environment)?;
        PackLine::of_job(job, "x.tar.zst".as_ref(), &[], None)?.expect_recipients(environment)?;
    }
    let mut outcomes = Vec::new();
    for job in jobs {
        environment.set_jobs(job.cpu);
        let outcome = one(job, environment);
        let is_stop = matches!(&outcome, Err(error) if error.exit() == Code::Interrupted.as_u8());
        if let Err(error) = &outcome
            && !is_stop
            && jobs.len() > 1
        {
            let messages = wording::messages(error).join(": ");
            let monitor: &dyn Monitor = environment.console;
            monitor.problem(ProblemKind::Incomplete, format!("job {}", job.name), messages);
        }
        outcomes.push(outcome);
        if is_stop {
            break;
        }
    }
    let undelivered = |outcome: &Result<Report, RunError>| match outcome {
        Ok(report) => report.state.undelivered().count(),
        Err(_) => 0,
    };
    let missing: usize = outcomes.iter().map(undelivered).sum();
    let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    let record = json!({ "jobs": jobs.len(), "failed": failed, "not_sent": missing });
    environment.console.summary("backup", record, &[])?;
    let of_jobs = counted(jobs.len() as u64, "job", "jobs");
    let mut failures = outcomes.into_iter().filter_map(Result::err).collect::<Vec<_>>();
    let stop = failures.iter().position(|error| error.exit() == Code::Interrupted.as_u8());
    match stop {
        Some(position) => return Err(failures.swap_remove(position).into()),
        None if jobs.len() == 1 && failed == 1 => return Err(failures.swap_remove(0).into()),
        None => {}
    }
    if failed > 0 {
        let message = format!("{failed} of {of_jobs} failed");
        return Err(EndedAs { code: Code::Failed, message }.into());
    }
    if missing > 0 {
        let places = counted(missing as u64, "destination does", "destinations do");
        let message =
            format!("{places} not have the archive: it is kept, and sent by the next run");
        return Err(EndedAs { code: Code::Unreachable, message }.into());
    }
    Ok(())
}

/// Runs one job, tells whoever is to be told, and reports.
fn one(job: &Job, environment: &Environment<'_>) -> Result<Report, RunError> {
    let console = environment.console;
    let local = |error: UsageError| RunError::Local(std::io::Error::other(error));
    let state = environment.backup_state().map_err(local)?;
    let destinations = for_a_run(job, environment)
        .map_err(|error| RunError::Local(std::io::Error::other(error)))?;
    let setting = Setting {
        state: &state,
        zone: TimeZone::system(),
        threads: environment.jobs,
        version: env!("CARGO_PKG_VERSION"),
        now: &Timestamp::now,
        monitor: console,
    };
    let summary = std::cell::RefCell::new(None);
    let pack = |to_pack: &ToPack<'_>| {
        packed(job, to_pack, environment).map(|(packed, of_pack)| {
            summary.replace(Some(of_pack));
            packed
        })
    };
    let began = || {
        notify::started(job, environment);
        // What is found to be gone is in tonight's archive.
        console.aside_from_the_task(|| audited(job, environment));
    };
    console.take_problem_lines();
    let outcome = run_job(job, &destinations, &setting, &pack, &began);
    let log = console.take_problem_lines();
    let mut report = outcome?;
    let summary = summary.into_inner();
    remember(&report, summary.as_ref(), &state, environment);
    // The backup is whole, whatever becomes of others.
    let audit = console.aside_from_the_task(|| figures(job, &report, environment));
    notify::ended(job, &report, &log, &state, environment);
    reported(job, &report, summary.as_ref(), environment);
    if let Some(figures) = audit {
        environment.console.say(&format!("Audited     {}", audit::figures_text(figures)));
    }
    match report.failure.take() {
        Some(failure) => Err(failure),
        None => Ok(report),
    }
}

/// Keeps what the archive relies on, so that an audit need not read it, or be able to.
fn remember(
    report: &Report,
    summary: Option<&Summary>,
    state: &Path,
    environment: &Environment<'_>,
) {
    let archive = report.state.archive.as_deref().and_then(ArchiveName::parse);
    let (Some(archive), Some(summary)) = (archive, summary) else { return };
    if let Err(error) = audits::remember(state, &archive, summary.relied_on.clone()) {
        let problem = format!("what it relies on cannot be kept for audits: {error}");
        let monitor: &dyn Monitor = environment.console;
        monitor.problem(ProblemKind::Note, archive.to_string(), problem);
    }
}

/// Asks the places of what the job's archives rely on, and looks at their parity, if the configuration wants that.
fn audited(job: &Job, environment: &Environment<'_>) {
    if environment.config.audit.is_none() {
        return;
    }
    let how = How::configured(environment);
    let failed = |what: &str, error: &anyhow::Error| {
        let problem = format!("{what}: {}", wording::messages(error.as_ref()).join(": "));
        (environment.console as &dyn Monitor).problem(ProblemKind::Note, &job.name, problem);
    };
    if !environment.is_offline()
        && let Err(error) = audit::of_job(job, how, environment)
    {
        failed("the audit failed", &error);
    }
    if job.parity.is_some()
        && let Err(error) = audit::look_at_parity(job, how, JobLock::IsHeld, environment)
    {
        failed("its parity could not be looked at", &error);
    }
}

/// What could be restored of the job's archives, if they are audited; the figures of the worst. What is lost is said, and healed if
/// the configuration wants that.
fn figures(job: &Job, report: &Report, environment: &Environment<'_>) -> Option<Figures> {
    let configured = environment.config.audit.as_ref()?;
    if report.failure.is_some() {
        return None;
    }
    let monitor: &dyn Monitor = environment.console;
    let note = |problem: String| monitor.problem(ProblemKind::Note, &job.name, problem);
    let failed = |what: &str, error: &anyhow::Error| {
        note(format!("{what} failed: {}", wording::messages(error.as_ref()).join(": ")));
    };
    let known = || {
        audit::of_job(job, How::known(environment), environment)
            .inspect_err(|error| failed("the audit", error))
            .ok()
    };
    let mut outcome = known()?;
    let into = match configured.heal {
        None => None,
        Some(HealInto::Pool) => Some(heal::Kept::InPool),
        Some(HealInto::Supplement) => Some(heal::Kept::InDestinations(job)),
    };
    if let Some(into) = into {
        match heal::of_job(job, &outcome, None, false, into, environment) {
            Ok(healed) if healed.packages + healed.files > 0 => outcome = known()?,
            Ok(_) => {}
            Err(error) => failed("healing", &error),
        }
    }
    let lost = outcome.lost();
    if let Some(first) = lost.first() {
        let more = wording::and_more(lost.len() - 1);
        note(format!("lost: {first}{more}; `hashget audit {}` says more", job.name));
    }
    audit::remember(job, &outcome, environment);
    Some(outcome.worst())
}

/// Packs what a job says.
fn packed(
    job: &Job,
    to_pack: &ToPack<'_>,
    environment: &Environment<'_>,
) -> Result<(Packed, Summary), RunError> {
    let console = environment.console;
    let failed =
        |error: anyhow::Error| RunError::Pack { class: exit::class(&error), source: error.into() };
    let before = console.problems();
    console.take_problem_lines();
    let line = PackLine::of_job(job, to_pack.archive, &to_pack.own, to_pack.reuse.as_deref());
    let line = line.map_err(|error| failed(error.into()))?;
    let base = to_pack.base.as_ref();
    let for_job = ForJob {
        base: base.map(|base| base.hashdb.as_path()),
        snapshot: to_pack.snapshot.as_deref(),
    };
    let summary = line.run(for_job, environment).map_err(failed)?;
    let is_needed = |name: &ArchiveName| {
        let mut beside = summary.packages.iter().filter_map(|package| name_beside(&package.url));
        beside.any(|beside| beside == name.to_string())
    };
    let base = base.map(|base| &base.name).filter(|name| is_needed(name));
    let code = exit::of_backup(None, &console.problems().since(before));
    let packed = Packed {
        exit: code.as_u8(),
        tree_bytes: summary.bytes,
        left_out_bytes: summary.left_out_bytes,
        files: summary.files,
        problems: console.problem_lines(),
        base: base.map(ToString::to_string),
    };
    Ok((packed, summary))
}

/// Says what a run did.
fn reported(job: &Job, report: &Report, summary: Option<&Summary>, environment: &Environment<'_>) {
    let (console, state) = (environment.console, &report.state);
    let destinations: Vec<_> = state
        .destinations
        .iter()
        .map(|delivered| {
            let Delivered { destination, problem, parity_problem, compared } = delivered;
            json!({
                "destination": destination,
                "problem": problem,
                "parity_problem": parity_problem,
                "compared": compared,
            })
        })
        .collect();
    let removed: Vec<_> = report
        .removed
        .iter()
        .map(|(destination, name)| json!({ "destination": destination, "archive": name.to_string() }))
        .collect();
    let beside = |summary: &Summary| {
        let mut urls = summary.packages.iter().map(|package| &package.url);
        urls.find_map(|url| name_beside(url).map(str::to_owned))
    };
    let base = summary.and_then(beside);
    let record = json!({
        "job": job.name,
        "exit": state.exit,
        "archive": state.archive,
        "base": base,
        "profiles": summary.map(|summary| regenerable::profiles_record(&summary.regenerable)),
        "bytes": state.bytes,
        "tree_bytes": state.tree_bytes,
        "seconds": state.ended.as_second() - state.started.as_second(),
        "failure": state.failure,
        "destinations": destinations,
        "removed": removed,
    });
    // If this fails, writing the summary fails too, and that is reported.
    let _ = console.record("job", record);
    let (Some(archive), Some(summary)) = (&state.archive, summary) else { return };
    let files = counted(summary.files, "file", "files");
    console.say(&format!("{}: packed {files}, {}", job.name, size(summary.bytes)));
    for [label, text] in regenerable::facts(&summary.regenerable) {
        console.say(&format!("{label:<11} {text}"));
    }
    let bytes = size(state.bytes.unwrap_or(0));
    console.say(&format!("Archive     {bytes}: {archive}"));
    if let Some(base) = base {
        console.say(&format!("Needs       {base}"));
    }
    for delivered in &state.destinations {
        console.say(&sent(delivered));
    }
    for (destination, name) in &report.removed {
        console.say(&format!("Removed     {name} from {destination}"));
    }
}

/// What became of an archive in a destination.
fn sent(delivered: &Delivered) -> String {
    let destination = &delivered.destination;
    if delivered.problem.is_some() {
        return format!("Not sent to {destination}");
    }
    let how = match delivered.compared.as_deref() {
        Some("size") => " (compared by its size alone)",
        Some("nothing") => " (not compared: the destination tells nothing)",
        _ => "",
    };
    let parity = match delivered.parity_problem {
        Some(_) => ", without its parity",
        None => "",
    };
    format!("Sent to     {destination}{how}{parity}")
}
