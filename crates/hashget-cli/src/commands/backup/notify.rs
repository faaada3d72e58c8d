//! Whoever is to be told of a run is told.
//!
//! Invariant: what cannot be told is a line for the user, and changes nothing else.

use std::path::Path;

use hashget::fetch::{OriginOptions, TimeOuts, agent_for};
use hashget::monitor::{Monitor, ProblemKind};
use hashget_backup::audits::Audits;
use hashget_backup::job::Job;
use hashget_backup::notices::{
    At, JOURNAL, MOTD, Mail, journal, origin_of, ping, send_mail, take_back, write_metrics,
};
use hashget_backup::parity_audits::ParityAudits;
use hashget_backup::run::{Report, State};

use crate::environment::Environment;

/// Tells of the start of a run.
pub(super) fn started(job: &Job, environment: &Environment<'_>) {
    told(job, At::Start, "", environment);
}

/// Tells of the end of a run. `log` is what was reported.
pub(super) fn ended(
    job: &Job,
    report: &Report,
    log: &[String],
    state: &Path,
    environment: &Environment<'_>,
) {
    let run = &report.state;
    let has_failed = run.has_failed();
    let mut lines = vec![summary(job, report)];
    lines.extend(log.iter().cloned());
    let text = lines.join("\n");
    told(job, if has_failed { At::Failure } else { At::Success }, &text, environment);
    let note = |object: &str, problem: String| {
        (environment.console as &dyn Monitor).problem(ProblemKind::Note, object, problem);
    };
    let fields = [
        ("HASHGET_JOB", job.name.clone()),
        ("HASHGET_EXIT", run.exit.to_string()),
        ("HASHGET_ARCHIVE", run.archive.clone().unwrap_or_default()),
        ("HASHGET_BYTES", run.bytes.unwrap_or(0).to_string()),
    ];
    if let Err(error) = journal(Path::new(JOURNAL), &lines[0], has_failed, &fields) {
        note("journal", error.to_string());
    }
    if let Some(folder) = &job.notices.metrics {
        let (name, audits) = (&job.name, Audits::read(state, &job.name));
        let (run, parity) = (State::read(state, name), ParityAudits::read(state, job));
        let written = write_metrics(folder, name, &run, &audits, &parity);
        if let Err(error) = written {
            note("metrics", error.to_string());
        }
    }
    if !has_failed
        && environment.is_root()
        && let Err(error) = take_back(Path::new(MOTD), &job.name)
    {
        note("message of the day", error.to_string());
    }
    let is_worth_a_mail = has_failed || run.undelivered().next().is_some();
    if let Some(to) = job.notices.mail.clone().filter(|_| is_worth_a_mail) {
        let mail = Mail { to, subject: format!("hashget: {}", lines[0]), text };
        if let Err(problem) = send_mail(&mail, None) {
            note("mail", problem);
        }
    }
}

/// One line about a run.
fn summary(job: &Job, report: &Report) -> String {
    let run = &report.state;
    let series = format!("{} on {}", job.name, job.host);
    match &run.failure {
        Some(failure) => format!("{series} failed: {failure}"),
        None if run.undelivered().next().is_some() => format!("{series}: not sent everywhere"),
        None => format!("{series}: done, exit code {}", run.exit),
    }
}

/// Tells the monitoring service of a job.
fn told(job: &Job, at: At, log: &str, environment: &Environment<'_>) {
    let Some(address) = &job.notices.ping else { return };
    let agent =
        environment.origin_options().map_err(|error| error.to_string()).and_then(|options| {
            let options = OriginOptions { time_outs: TimeOuts::brief(), ..options };
            agent_for(address, &options).map_err(|error| error.to_string())
        });
    if let Err(problem) = agent.and_then(|agent| ping(&agent, address, at, log)) {
        let monitor: &dyn Monitor = environment.console;
        monitor.problem(ProblemKind::Note, format!("ping {}", origin_of(address)), problem);
    }
}
