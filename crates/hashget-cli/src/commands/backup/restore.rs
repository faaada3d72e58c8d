//! `hashget backup restore`: unpacks an archive of a job from the first destination that has it.
//!
//! Invariant: with `--from`, no configuration is needed.

use clap::Args;
use hashget_backup::series::Times;

use super::destinations::Searched;
use crate::archive;
use crate::commands::unpack::Unpacking;
use crate::environment::Environment;

/// Unpack an archive of a job, or a part of it, as `hashget unpack` does
#[derive(Debug, Args)]
#[command(after_help = "Example: hashget backup restore system -C /mnt\n         \
                        hashget backup restore web1_system@2026-11-27 ./etc -C /tmp/old --from /media/disk")]
pub(super) struct Restore {
    /// Job, or its series in the destination; TIME is the beginning of a time in UTC (2026-11-27, 2026-11-27T02): the newest archive whose time begins so
    #[arg(value_name = "JOB[@TIME]")]
    archive: String,

    /// Destination to restore from; needs no configuration
    #[arg(long, value_name = "DESTINATION")]
    from: Option<String>,

    #[command(flatten)]
    unpacking: Unpacking,
}

impl Restore {
    /// What is kept after an interruption, and how to continue.
    pub(super) fn after_interruption(&self) -> String {
        self.unpacking.after_interruption()
    }

    pub(super) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let selection = self.unpacking.selection()?;
        let (name, times) = Times::after_name(&self.archive)?;
        let searched = Searched::new(name, self.from.as_deref(), environment)?;
        let (destination, found) = searched.find(&times, environment)?;
        let store = &*destination.store;
        environment.console.say(&format!("Unpacking {found} from {}", store.shown()));
        let name = found.to_string();
        if let Some(folder) = &destination.folder {
            environment.opens(&folder.join(&name));
        }
        let mut source = archive::open_of(store, &name, environment)?;
        self.unpacking.run("backup restore", &mut *source, &name, &selection, environment)
    }
}
