//! What an audit shows.
//!
//! Invariant: the packages that endanger most come first, and every line says what is known, not what is hoped.

use hashget::archive::{Endangered, Figures, Outlook, Risk, SeriesFigures};
use hashget::monitor::{Monitor, ProblemKind};
use hashget_backup::audits::Audits;
use hashget_backup::job::Job;
use serde_json::json;

use super::{Looked, Outcome, archives};
use crate::environment::Environment;
use crate::output::{counted, safe, size};

/// Number of packages that are named if the user does not want all.
const NAMED: usize = 10;

/// Lists what is lost and at risk, and the archives.
pub(super) fn list(outcome: &Outcome, environment: &Environment<'_>) -> anyhow::Result<()> {
    let console = environment.console;
    let endangered = outcome.audit.endangered(&outcome.outlooks);
    let all = console.is_verbose() || console.is_json();
    let shown = if all { endangered.len() } else { NAMED.min(endangered.len()) };
    let monitor: &dyn Monitor = console;
    for one in &endangered[..shown] {
        console.record("package", record(one))?;
        let kind = match one.outlook {
            Outlook::Lost => ProblemKind::Verification,
            _ => ProblemKind::Incomplete,
        };
        monitor.problem(kind, one.package.shown_name(), text(one));
    }
    if shown < endangered.len() {
        let others = counted((endangered.len() - shown) as u64, "package", "packages");
        monitor.problem(ProblemKind::Note, format!("{others} more"), "--verbose names all");
    }
    for series in outcome.audit.figures(&outcome.outlooks) {
        for (archive, figures) in &series.archives {
            let mut body = figures_record(*figures);
            body["archive"] = (*archive).into();
            body["series"] = series.series.into();
            console.record("archive", body)?;
            if console.is_verbose() && !console.is_json() {
                console.line(&format!("{}: {}", safe(archive), figures_text(*figures)))?;
            }
        }
    }
    Ok(())
}

/// What is wrong with a package.
fn text(one: &Endangered<'_>) -> String {
    let what = match one.outlook {
        Outlook::Lost => "LOST: none of its places has it, and no pool".to_owned(),
        Outlook::AtRisk(risks) => {
            let risks: Vec<String> = risks.iter().map(ToString::to_string).collect();
            format!("at risk: {}", risks.join("; "))
        }
        Outlook::Restorable => "can be restored".to_owned(),
    };
    let archives = counted(one.archives as u64, "archive relies", "archives rely");
    format!("{what} ({archives} on it, for {})", size(one.bytes))
}

fn record(one: &Endangered<'_>) -> serde_json::Value {
    let risks: Vec<_> = match one.outlook {
        Outlook::AtRisk(risks) => {
            let risk = |risk: &Risk| json!({ "risk": risk.word(), "text": risk.to_string() });
            risks.iter().map(risk).collect()
        }
        _ => Vec::new(),
    };
    json!({
        "url": one.package.url,
        "also": one.package.also,
        "sha256": one.package.sha256,
        "size": one.package.size,
        "signatures": one.package.signatures,
        "state": if *one.outlook == Outlook::Lost { "lost" } else { "at_risk" },
        "risks": risks,
        "archives": one.archives,
        "bytes": one.bytes,
    })
}

/// The three figures in words.
pub(crate) fn figures_text(figures: Figures) -> String {
    let Figures { restorable, at_risk, lost } = figures;
    let mut text = format!("{} could be restored today", size(restorable));
    if at_risk > 0 {
        text.push_str(&format!(", {} at risk", size(at_risk)));
    }
    if lost > 0 {
        text.push_str(&format!(", {} LOST", size(lost)));
    }
    text
}

/// The three figures for programs.
pub(crate) fn figures_record(figures: Figures) -> serde_json::Value {
    let Figures { restorable, at_risk, lost } = figures;
    json!({ "restorable_bytes": restorable, "at_risk_bytes": at_risk, "lost_bytes": lost })
}

/// The summary of an audit.
pub(super) fn summary(
    outcome: &Outcome,
    looked: &Looked,
    jobs: &[Job],
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let (audit, asked) = (&outcome.audit, &outcome.asked);
    let figures = audit.figures(&outcome.outlooks);
    let mut lines: Vec<String> =
        figures.iter().flat_map(|one| series_lines(one, jobs, environment)).collect();
    let proven = outcome.outlooks.values().filter(|one| **one == Outlook::Restorable).count();
    let packages = counted(outcome.outlooks.len() as u64, "package", "packages");
    lines.push(format!("{proven} of {packages} proven as wanted"));
    let mut done = match asked.packages {
        0 => "Asked for nothing: nothing is due, or nothing may be asked".to_owned(),
        packages => format!("Asked for {}", counted(packages, "package", "packages")),
    };
    if asked.downloaded > 0 {
        done.push_str(&format!(
            ", downloaded {} of them ({})",
            asked.downloaded,
            size(asked.bytes)
        ));
    }
    if asked.unanswered > 0 {
        done.push_str(&format!("; {} without an answer", asked.unanswered));
    }
    if asked.left > 0 {
        done.push_str(&format!("; {} left for the next run", asked.left));
    }
    lines.push(done);
    lines.extend(parity_line(looked));
    let mut body = figures_record(outcome.worst());
    body["archives"] = audit.archives().into();
    body["packages"] = outcome.outlooks.len().into();
    body["proven"] = proven.into();
    body["asked"] = asked.packages.into();
    body["downloaded"] = asked.downloaded.into();
    body["downloaded_bytes"] = asked.bytes.into();
    body["unanswered"] = asked.unanswered.into();
    body["left"] = asked.left.into();
    body["parity"] = json!({
        "looked": looked.looked,
        "read": looked.read,
        "healed": looked.healed,
        "wrong": looked.wrong,
        "unread": looked.unread,
        "left": looked.left,
    });
    environment.console.summary("audit", body, &lines)?;
    Ok(())
}

/// What was done about parity, if anything was due.
fn parity_line(looked: &Looked) -> Option<String> {
    let Looked { looked, read, healed, wrong, unread, left } = *looked;
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let of = counted(count(looked), "archive", "archives");
    let mut line = format!("Looked at the parity of {of}");
    for (number, what) in [
        (read, "read with every byte of the archive"),
        (healed, "HEALED"),
        (wrong, "DAMAGED"),
        (unread, "could not be read"),
        (left, "left for the next run"),
    ] {
        if number > 0 {
            line.push_str(&format!(", {number} {what}"));
        }
    }
    (looked + left > 0).then_some(line)
}

fn series_lines(
    series: &SeriesFigures<'_>,
    jobs: &[Job],
    environment: &Environment<'_>,
) -> Vec<String> {
    let archives = counted(series.archives.len() as u64, "archive", "archives");
    let worst = if series.archives.len() > 1 { ", of the worst" } else { "" };
    let name = safe(series.series);
    let mut lines = vec![format!("{name}: {archives}{worst}: {}", figures_text(series.worst))];
    let job = jobs.iter().find(|job| archives::series_name(job) == series.series);
    let state = environment.backup_state().ok();
    if let (Some(job), Some(state)) = (job, state) {
        lines.extend(trend(&Audits::read(&state, &job.name)).map(|trend| format!("  {trend}")));
    }
    lines
}

/// How the figures have changed, if anything has and is remembered.
pub(crate) fn trend(audits: &Audits) -> Option<String> {
    let (now, then) = (audits.last()?, audits.before(30)?);
    let change = |now: u64, then: u64, what: &str| {
        let more = now.checked_sub(then).filter(|bytes| *bytes > 0);
        let less = then.checked_sub(now).filter(|bytes| *bytes > 0);
        more.map(|bytes| format!("{} more {what}", size(bytes)))
            .or_else(|| less.map(|bytes| format!("{} less {what}", size(bytes))))
    };
    let changes =
        [change(now.at_risk, then.at_risk, "at risk"), change(now.lost, then.lost, "lost")];
    let changes: Vec<String> = changes.into_iter().flatten().collect();
    (!changes.is_empty()).then(|| format!("than about 30 days ago: {}", changes.join(", ")))
}
