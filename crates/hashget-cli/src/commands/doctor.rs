//! `hashget doctor`: checks a set-up from the outside.
//!
//! Invariant: nothing is changed but a test file that is sent and removed again; each finding says what to do.

mod clock;
mod destinations;
mod rehearsal;
mod setup;

use clap::Args;
use hashget::monitor::{Monitor, ProblemKind};
use serde_json::json;

use super::backup::jobs;
use crate::environment::Environment;
use crate::exit::{Code, EndedAs};
use crate::output::counted;

/// Check the set-up: HashDB, jobs, destinations, clock, and one file of the newest archives
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 all is well; 3 a warning; 1 something that keeps backups from being made or restored."
)]
pub(crate) struct Doctor {
    /// Jobs to look at; all if none is given
    #[arg(value_name = "JOB")]
    names: Vec<String>,

    /// Send no test file to the destinations
    #[arg(long)]
    read_only: bool,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    /// It is well.
    Well,
    /// Somebody should look at it.
    Warning,
    /// It keeps backups from being made, or from being restored.
    Failure,
}

/// What was found out about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    /// What was looked at.
    what: String,
    severity: Severity,
    /// What was found.
    found: String,
    /// What to do; empty if nothing.
    advice: String,
}

impl Finding {
    fn well(what: impl Into<String>, found: impl Into<String>) -> Self {
        let (what, found) = (what.into(), found.into());
        Self { what, severity: Severity::Well, found, advice: String::new() }
    }

    fn warning(what: impl Into<String>, found: impl Into<String>, advice: &str) -> Self {
        Self { severity: Severity::Warning, advice: advice.to_owned(), ..Self::well(what, found) }
    }

    fn failure(what: impl Into<String>, found: impl Into<String>, advice: &str) -> Self {
        Self { severity: Severity::Failure, advice: advice.to_owned(), ..Self::well(what, found) }
    }
}

impl Doctor {
    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let console = environment.console;
        let monitor: &dyn Monitor = console;
        let jobs = jobs(&self.names, environment)?;
        let mut worst = Severity::Well;
        let (mut warnings, mut failures, mut all) = (0_u64, 0_u64, 0_u64);
        let mut report = |findings: Vec<Finding>| -> anyhow::Result<()> {
            for finding in findings {
                worst = worst.max(finding.severity);
                all += 1;
                warnings += u64::from(finding.severity == Severity::Warning);
                failures += u64::from(finding.severity == Severity::Failure);
                shown(&finding, environment)?;
            }
            Ok(monitor.check_interrupted()?)
        };
        report(vec![setup::program(), setup::hashdb(environment), setup::state(environment)])?;
        report(vec![clock::clock(environment)])?;
        for job in &jobs {
            report(setup::job(job, environment))?;
            report(destinations::destinations(job, self.read_only, environment)?)?;
            report(vec![rehearsal::rehearsal(job, environment)?])?;
        }
        let record = json!({ "findings": all, "warnings": warnings, "failures": failures });
        let line = format!(
            "{} looked at: {}, {}",
            counted(all, "thing", "things"),
            counted(failures, "failure", "failures"),
            counted(warnings, "warning", "warnings")
        );
        console.summary("doctor", record, &[line])?;
        match worst {
            Severity::Well => Ok(()),
            Severity::Warning => {
                let message = "not everything is well: see the warnings".to_owned();
                Err(EndedAs { code: Code::Incomplete, message }.into())
            }
            Severity::Failure => {
                let message = "something is wrong: see the failures".to_owned();
                Err(EndedAs { code: Code::Failed, message }.into())
            }
        }
    }
}

/// Prints a finding.
fn shown(finding: &Finding, environment: &Environment<'_>) -> anyhow::Result<()> {
    let console = environment.console;
    let (word, record) = match finding.severity {
        Severity::Well => ("ok", "well"),
        Severity::Warning => ("warning", "warning"),
        Severity::Failure => ("FAILURE", "failure"),
    };
    let body = json!({
        "what": finding.what,
        "severity": record,
        "found": finding.found,
        "advice": Some(&finding.advice).filter(|advice| !advice.is_empty()),
    });
    let advice = match finding.advice.is_empty() {
        true => String::new(),
        false => format!("; {}", finding.advice),
    };
    let line = format!("{word:<8} {}: {}{advice}", finding.what, finding.found);
    Ok(console.data(|| crate::output::safe(&line), "finding", || body)?)
}

/// What of the problems that a step reports belongs to its finding: they are printed, too, as notes.
fn noted(environment: &Environment<'_>, object: &str, message: impl ToString) {
    (environment.console as &dyn Monitor).problem(ProblemKind::Note, object, message);
}
