//! `hashget backup mount`: the archives of a job, each shown as a folder.
//!
//! Invariant: as of `hashget mount`. A destination is only listed for that: an archive is read once it is entered.

use clap::Args;
use hashget::monitor::{Monitor, ProblemKind};
use hashget_backup::run::Destination;
use hashget_backup::series::ArchiveName;
use hashget_backup::store::StoreError;

use super::destinations::{Searched, problem};
use crate::commands::mount::Mounting;
use crate::environment::Environment;
use crate::exit::UsageError;

/// Show the archives of a job as folders (FUSE), until they are unmounted
#[derive(Debug, Args)]
pub(super) struct Mount {
    /// Job, or its series in the destination
    #[arg(value_name = "JOB")]
    job: String,

    #[command(flatten)]
    mounting: Mounting,

    /// Destination whose archives are shown; needs no configuration
    #[arg(long, value_name = "DESTINATION")]
    from: Option<String>,
}

impl Mount {
    /// What is kept after an interruption.
    pub(super) fn after_interruption(&self) -> String {
        self.mounting.after_interruption()
    }

    pub(super) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let searched = Searched::new(&self.job, self.from.as_deref(), environment)?;
        let (destination, archives) = self.found(&searched, environment)?;
        self.mounting.run_of(destination, &archives, environment)
    }

    /// The first destination that has archives to be shown, folders of this machine before all others, and the archives.
    fn found<'s>(
        &self,
        searched: &'s Searched,
        environment: &Environment<'_>,
    ) -> anyhow::Result<(&'s Destination, Vec<ArchiveName>)> {
        let monitor: &dyn Monitor = environment.console;
        let can_open = environment.has_identity();
        let is_meant = |name: &ArchiveName| {
            searched.is_meant(name.series()) && (can_open || !name.is_encrypted())
        };
        let mut destinations: Vec<&Destination> = searched.destinations.iter().collect();
        destinations.sort_by_key(|destination| destination.folder.is_none());
        let mut why_not = Vec::new();
        for destination in destinations {
            let (store, shown) = (&*destination.store, destination.store.shown());
            if !store.reads_at_random() {
                why_not.push(format!("{shown} gives archives only from their beginning on"));
                continue;
            }
            let stored = match store.list(monitor) {
                Ok(stored) => stored,
                Err(StoreError::Interrupted(interrupted)) => return Err(interrupted.into()),
                Err(error) if searched.destinations.len() == 1 => return Err(error.into()),
                Err(error) => {
                    monitor.problem(ProblemKind::Note, shown, problem(store, &error));
                    why_not.push(format!("{shown} could not be listed"));
                    continue;
                }
            };
            let names = stored.iter().filter_map(|file| ArchiveName::parse(&file.name));
            let mut archives: Vec<ArchiveName> = names.filter(is_meant).collect();
            archives.sort_unstable();
            if !archives.is_empty() {
                return Ok((destination, archives));
            }
            why_not.push(format!(
                "{shown} has no archive of {} that can be mounted (encrypted ones need --identity)",
                self.job
            ));
        }
        let why_not = why_not.join("; ");
        let wrong = format!(
            "nothing can be mounted: {why_not}; `hashget backup restore` unpacks an archive of any destination"
        );
        Err(UsageError(wrong).into())
    }
}
