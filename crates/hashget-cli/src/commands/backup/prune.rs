//! `hashget backup prune`: removes archives that jobs do not keep.
//!
//! Invariant: what is removed is what `-n` says.

use clap::Args;
use hashget::monitor::{Monitor, ProblemKind};
use hashget_backup::retention::Circumstances;
use hashget_backup::run::{Pruned, State, needed_by_waiting, prune};
use hashget_backup::series::Series;
use hashget_backup::store::StoreError;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use super::destinations::{of_job, problem};
use super::jobs;
use crate::environment::Environment;
use crate::output::{columns, counted, safe};

/// Remove the archives that the rules of jobs do not keep
#[derive(Debug, Args)]
pub(super) struct Prune {
    /// Jobs; all if none is given
    #[arg(value_name = "JOB")]
    names: Vec<String>,

    /// Say for each archive why it is kept or removed, and remove nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl Prune {
    pub(super) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let console = environment.console;
        let state_folder = environment.backup_state()?;
        let (mut kept, mut removed) = (0, 0);
        for job in jobs(&self.names, environment)? {
            let series = Series::new(&job.host, &job.name)?;
            let destinations = of_job(&job, environment)?;
            let circumstances = Circumstances {
                now: Timestamp::now(),
                zone: TimeZone::system(),
                last_run_failed: State::read(&state_folder, &job.name).last_run_failed(),
                needed: needed_by_waiting(&destinations, &state_folder, &series),
            };
            for destination in destinations {
                let store = &*destination.store;
                let shown = store.shown();
                let pruned =
                    prune(store, &series, &job.keep, &circumstances, self.dry_run, console);
                let pruned = match pruned {
                    Err(error @ StoreError::Unsupported { .. }) => {
                        (console as &dyn Monitor).problem(
                            ProblemKind::Note,
                            shown,
                            problem(store, &error),
                        );
                        continue;
                    }
                    pruned => pruned?,
                };
                self.shown(shown, &pruned, environment)?;
                kept += pruned.decision.fates.len() - pruned.removed.len();
                removed += pruned.removed.len();
            }
        }
        let record = json!({ "kept": kept, "removed": removed, "dry_run": self.dry_run });
        let archives = counted(removed as u64, "archive", "archives");
        let line = match self.dry_run {
            true => format!("{archives} would be removed, {kept} kept"),
            false => format!("{archives} removed, {kept} kept"),
        };
        console.summary("backup prune", record, &[line])?;
        Ok(())
    }

    /// Says what becomes of each archive of a destination, and why.
    fn shown(
        &self,
        shown: &str,
        pruned: &Pruned,
        environment: &Environment<'_>,
    ) -> anyhow::Result<()> {
        let console = environment.console;
        let mut rows = Vec::new();
        for fate in &pruned.decision.fates {
            let is_removed = pruned.removed.contains(&fate.name);
            let why: Vec<String> = fate.why.iter().map(ToString::to_string).collect();
            let record = json!({
                "name": fate.name.to_string(),
                "destination": shown,
                "removed": is_removed,
                "why": why,
            });
            console.record("archive", record)?;
            let (word, why) = match (is_removed, why.is_empty()) {
                (true, _) if self.dry_run => ("would be removed", String::new()),
                (true, _) => ("removed", String::new()),
                (false, true) => ("kept", "nothing is removed".to_owned()),
                (false, false) => ("kept", why.join(", ")),
            };
            rows.push(vec![fate.name.to_string(), word.to_owned(), why]);
        }
        if let Some(halt) = &pruned.decision.halt {
            let message = format!("nothing is removed: {halt}");
            (console as &dyn Monitor).problem(ProblemKind::Incomplete, shown, message);
        }
        if !console.is_json() && !rows.is_empty() {
            console.line(&format!("{}:", safe(shown)))?;
            for line in columns("lll", &rows) {
                console.line(&line)?;
            }
        }
        Ok(())
    }
}
