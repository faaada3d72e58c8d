//! `hashget audit`: can archives be restored today, and will they be?
//!
//! Invariant: figures are of what places answered, with the dates of their answers; what was not asked is at risk. What is lost ends with 4,
//! what is at risk with 3, whatever else was found.

mod archives;
mod held;
mod parity;
mod shown;
mod timer;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use hashget::archive::{
    Asked, AtMost, Audit as Audited, Auditor, Cadence, Figures, Judge, Outlook, ReliedOn,
    SeriesFigures,
};
use hashget::hashdb::now;
use hashget::model::Digest;
use hashget::model::manifest::AnyManifest;
use hashget::monitor::{Monitor, ProblemKind};
use hashget::places::InPool;
use hashget_backup::audits::{AuditState, Audits};
use hashget_backup::job::Job;
use hashget_backup::run::Destination;
use hashget_backup::series::ArchiveName;
use jiff::Timestamp;

pub(crate) use parity::{JobLock, Looked, look as look_at_parity};
pub(crate) use shown::{figures_record, figures_text, trend};

use super::backup::jobs;
use super::verify::with_verifier;
use crate::config;
use crate::environment::Environment;
use crate::exit::{Code, EndedAs};
use crate::values;

/// Ask the places of what archives rely on, and say what could be restored today, what is at risk, and what is lost
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 all could be restored; 3 something is at risk; 4 something is lost or damaged.\n\n\
                        Example: hashget audit\n         \
                        hashget audit --at-most 1G /srv/backup"
)]
pub(crate) struct Audit {
    /// Jobs of the configuration, archives, and folders or destinations of archives; all jobs if none is given
    #[arg(value_name = "JOB|ARCHIVE|FOLDER")]
    of: Vec<String>,

    /// How often each place is asked [default: 30d]
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    every: Option<Duration>,

    /// How often each package is downloaded and proven [default: never]
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    deep_every: Option<Duration>,

    /// Download no more than this in one run, or ask no longer; the next run continues
    #[arg(long, value_name = "BYTES|TIME", value_parser = values::at_most)]
    at_most: Option<AtMost>,

    /// Want so many independent places of each package [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=9))]
    sources: Option<u8>,

    /// Ask no place: say what is known
    #[arg(long)]
    no_ask: bool,

    /// Let systemd audit all jobs by the schedule of `[audit]`; without systemd, print a line for cron
    #[arg(long, conflicts_with_all = ["of", "every", "deep_every", "at_most", "sources", "no_ask", "disable"])]
    enable: bool,

    /// Do not let systemd audit the jobs any more
    #[arg(long, conflicts_with_all = ["of", "every", "deep_every", "at_most", "sources", "no_ask"])]
    disable: bool,
}

/// How to audit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    cadence: Cadence,
    at_most: Option<AtMost>,
    sources: Option<u8>,
    ask: bool,
}

impl How {
    /// As the table `[audit]` says, or, if it is not there, as without it; asking, unless this machine is offline.
    pub(crate) fn configured(environment: &Environment<'_>) -> Self {
        let config::Audit { every, deep_every, at_most, heal: _, schedule: _ } =
            environment.config.audit.clone().unwrap_or_default();
        let ask = !environment.is_offline();
        Self { cadence: Cadence { every, deep_every }, at_most, sources: None, ask }
    }

    /// The same without asking any place: by what is known.
    pub(crate) fn known(environment: &Environment<'_>) -> Self {
        Self { ask: false, ..Self::configured(environment) }
    }
}

/// What came of an audit.
pub(crate) struct Outcome {
    pub(crate) audit: Audited,
    pub(crate) outlooks: BTreeMap<Digest, Outlook>,
    /// The packages of which supplements have all that is needed.
    pub(crate) kept: BTreeSet<Digest>,
    pub(crate) asked: Asked,
}

impl Outcome {
    /// The figures of the archive for which they are worst.
    pub(crate) fn worst(&self) -> Figures {
        let of_series = self.audit.figures(&self.outlooks);
        let worst = of_series.iter().map(|one| one.worst);
        worst.max_by_key(|one| (one.lost, one.at_risk)).unwrap_or_default()
    }

    /// The names of the packages that are lost.
    pub(crate) fn lost(&self) -> Vec<String> {
        let endangered = self.audit.endangered(&self.outlooks);
        let lost = endangered.iter().filter(|one| *one.outlook == Outlook::Lost);
        lost.map(|one| one.package.shown_name()).collect()
    }
}

/// The answers so far are kept.
pub(super) fn after_interruption() -> String {
    "the answers so far are recorded: the same command goes on with what is due".to_owned()
}

impl Audit {
    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        if self.enable {
            return timer::enable(environment);
        }
        if self.disable {
            return timer::disable(environment);
        }
        let configured = How::configured(environment);
        let cadence = Cadence {
            every: self.every.unwrap_or(configured.cadence.every),
            deep_every: self.deep_every.or(configured.cadence.deep_every),
        };
        let how = How {
            cadence,
            at_most: self.at_most.or(configured.at_most),
            sources: self.sources,
            ask: configured.ask && !self.no_ask,
        };
        let (audit, jobs) = archives::collected(&self.of, environment)?;
        let outcome = audited(audit, how, environment)?;
        shown::list(&outcome, environment)?;
        // What other rules than the configured ones say is no step of a trend.
        let is_as_configured = self.sources.is_none() && self.every.is_none();
        for job in jobs.iter().filter(|_| is_as_configured) {
            remember(job, &outcome, environment);
        }
        let looked = match how.ask {
            true => parity::look_at_all(&jobs, how, environment)?,
            false => Looked::default(),
        };
        if looked == Looked::default() {
            archives::expect_some(&outcome.audit)?;
        }
        shown::summary(&outcome, &looked, &jobs, environment)?;
        ended(&outcome, &looked)?;
        archives::expect_some(&outcome.audit)
    }
}

/// Ends with the code of what was found.
fn ended(outcome: &Outcome, looked: &Looked) -> anyhow::Result<()> {
    let Figures { at_risk, lost, .. } = outcome.worst();
    let any = |wanted: fn(&Outlook) -> bool| outcome.outlooks.values().any(wanted);
    let (code, message) = if lost > 0 || any(|one| *one == Outlook::Lost) {
        let message = "something is lost: `hashget heal` puts it into a supplement while the original is there";
        (Code::Verification, message)
    } else if looked.wrong > 0 {
        (Code::Verification, "an archive or its parity is damaged, and was not healed: see above")
    } else if at_risk > 0 || any(|one| matches!(one, Outlook::AtRisk(_))) {
        (Code::Incomplete, "something is at risk: see above")
    } else {
        return Ok(());
    };
    Err(EndedAs { code, message: message.to_owned() }.into())
}

/// What is known of an archive of a destination, without asking; `None` if nothing here can open it.
pub(crate) fn known_of(
    name: &ArchiveName,
    destination: &Destination,
    environment: &Environment<'_>,
) -> anyhow::Result<Option<Outcome>> {
    let mut audit = Audited::default();
    if !archives::add_one(&mut audit, name, destination, environment)? {
        return Ok(None);
    }
    audited(audit, How::known(environment), environment).map(Some)
}

/// What is known of the packages of an archive, without asking, and how much each gives.
pub(crate) fn known_of_manifest(
    archive: &Path,
    manifest: &AnyManifest,
    environment: &Environment<'_>,
) -> anyhow::Result<(Vec<ReliedOn>, Outcome)> {
    let mut audit = Audited::default();
    let packages = archives::add_manifest(&mut audit, archive, manifest, environment)?;
    Ok((packages, audited(audit, How::known(environment), environment)?))
}

/// The audit of these archives.
pub(crate) fn of_places(
    of: &[String],
    how: How,
    environment: &Environment<'_>,
) -> anyhow::Result<Outcome> {
    let (audit, _) = archives::collected(of, environment)?;
    archives::expect_some(&audit)?;
    audited(audit, how, environment)
}

/// The audit of the archives of a job.
pub(crate) fn of_job(
    job: &Job,
    how: How,
    environment: &Environment<'_>,
) -> anyhow::Result<Outcome> {
    let mut audit = Audited::default();
    archives::add_job(&mut audit, job, environment)?;
    audited(audit, how, environment)
}

/// Asks, and judges.
fn audited(audit: Audited, how: How, environment: &Environment<'_>) -> anyhow::Result<Outcome> {
    let kept = audit.supplemented();
    let mut policy = environment.policy(how.sources)?;
    // A supplement is a place as a pool is.
    let supplemented = kept.clone();
    policy.supplemented = InPool::new(move |sha256, _| supplemented.contains(sha256));
    let (nothing, local) = (BTreeMap::new(), environment.local()?);
    let (outlooks, asked) = with_verifier(&nothing, &*local, environment, |verifier| {
        // A proof counts a while longer than until it is due again: an audit with a limit may need some runs.
        let proof_counts = how.cadence.every.as_secs().saturating_mul(2).max(24 * 60 * 60);
        let proof_counts = i64::try_from(proof_counts).unwrap_or(i64::MAX);
        let judge = Judge { policy: &policy, proof_counts, now: now() };
        let auditor = Auditor { verifier, judge, cadence: how.cadence, at_most: how.at_most };
        let asked = match how.ask {
            true => auditor.ask(&audit, environment.console)?,
            false => Asked::default(),
        };
        let judge = Judge { now: now(), ..auditor.judge.clone() };
        let outlooks = Auditor { judge, ..auditor }.outlooks(&audit)?;
        Ok::<_, anyhow::Error>((outlooks, asked))
    })?
    .context("cannot audit")?;
    Ok(Outcome { audit, outlooks, kept, asked })
}

/// Keeps the figures of a job, to compare them with later ones.
pub(crate) fn remember(job: &Job, outcome: &Outcome, environment: &Environment<'_>) {
    let Ok(state) = environment.backup_state() else { return };
    let of_job = archives::series_name(job);
    let figures = outcome.audit.figures(&outcome.outlooks);
    let Some(SeriesFigures { archives, worst, .. }) =
        figures.iter().find(|series| series.series == of_job)
    else {
        return;
    };
    let audit = AuditState::new(Timestamp::now(), archives.len() as u64, *worst);
    if let Err(error) = Audits::read(&state, &job.name).add(audit, &state, &job.name) {
        let problem = format!("the figures of this audit cannot be kept: {error}");
        (environment.console as &dyn Monitor).problem(ProblemKind::Note, &job.name, problem);
    }
}
