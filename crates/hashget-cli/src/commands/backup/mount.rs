//! `hashget backup mount`: the archives of a job, each shown as a folder.
//!
//! Invariant: as of `hashget mount`.

use std::path::PathBuf;

use clap::Args;
use hashget_backup::series::ArchiveName;

use super::destinations::Searched;
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
        let folder = searched.destinations.iter().find_map(|found| found.folder.clone());
        let Some(folder) = folder else {
            let wrong = format!(
                "no destination of {} is a folder: only archives in files can be mounted",
                self.job
            );
            return Err(UsageError(wrong).into());
        };
        let mut archives: Vec<PathBuf> = Vec::new();
        for entry in fs_err::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name().to_str().and_then(ArchiveName::parse);
            let can_open = environment.has_identity();
            let is_meant = |name: &ArchiveName| {
                searched.is_meant(name.series()) && (can_open || !name.is_encrypted())
            };
            if name.as_ref().is_some_and(is_meant) {
                archives.push(entry.path());
            }
        }
        archives.sort_unstable();
        if archives.is_empty() {
            let wrong = format!(
                "{} has no archive of {} that can be mounted (encrypted ones need --identity)",
                folder.display(),
                self.job
            );
            return Err(UsageError(wrong).into());
        }
        self.mounting.run_of(&folder, archives, environment)
    }
}
