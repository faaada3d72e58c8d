//! `hashget mount`: an archive, or a folder of archives, shown as a folder by FUSE.
//!
//! Invariant: the mount is read-only, and none is left behind when the program ends by itself.

mod attributes;
mod file_system;
mod mount_point;
mod serve;
mod shown;

use std::path::{Path, PathBuf};

use clap::Args;
use hashget_backup::run::Destination;
use hashget_backup::series::ArchiveName;
use hashget_backup::store::Store;
use serde_json::json;

use self::mount_point::MountPoint;
use self::serve::{Access, serve};
use self::shown::Shown;
use crate::environment::Environment;
use crate::exit::UsageError;
use crate::output::counted;

/// Show an archive, or a folder of archives, as a folder (FUSE), until it is unmounted
#[derive(Debug, Args)]
#[command(
    after_help = "It runs until Ctrl-C, or until `umount MOUNTPOINT` (as a user: `fusermount3 -u MOUNTPOINT`).\n\n\
                        Example: hashget mount www.tar.zst /mnt\n         \
                        hashget mount /var/backups/hashget /mnt"
)]
pub(crate) struct Mount {
    /// Archive, or folder of archives: each becomes a folder of its name without the ending
    #[arg(value_name = "FILE|DIR|URL")]
    archive: PathBuf,

    #[command(flatten)]
    mounting: Mounting,
}

/// Where archives are mounted, and how.
#[derive(Debug, Args)]
pub(super) struct Mounting {
    /// Empty folder where it is shown
    #[arg(value_name = "MOUNTPOINT")]
    at: PathBuf,

    /// Let other users in, too, with the rights that the owners and modes in the archive give them
    #[arg(long)]
    allow_other: bool,

    /// Fetch packages whose files have no names otherwise, when their archive is opened
    #[arg(long)]
    fetch: bool,
}

impl Mount {
    pub(super) fn after_interruption(&self) -> String {
        self.mounting.after_interruption()
    }

    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let name = self.archive.display().to_string();
        if self.archive == Path::new("-") {
            let wrong =
                "an archive on standard input cannot be mounted: give a file or a URL".to_owned();
            return Err(UsageError(wrong).into());
        }
        let at = MountPoint::new(&self.mounting.at)?;
        self.mounting.run("mount", &name, at, (Shown::new(&self.archive)?, None), environment)
    }
}

impl Mounting {
    pub(super) fn after_interruption(&self) -> String {
        format!("nothing is mounted at {} any more; downloads are kept", self.at.display())
    }

    /// Shows these archives of a destination.
    pub(super) fn run_of(
        &self,
        destination: &Destination,
        archives: &[ArchiveName],
        environment: &Environment<'_>,
    ) -> anyhow::Result<()> {
        let (at, store) = (MountPoint::new(&self.at)?, &*destination.store);
        let what = match &destination.folder {
            Some(folder) => {
                let files = archives.iter().map(|name| folder.join(name.to_string()));
                (Shown::some_of(folder, files.collect())?, None)
            }
            None => (Shown::of_store(store.shown(), archives), Some(store)),
        };
        self.run("backup mount", store.shown(), at, what, environment)
    }

    fn run(
        &self,
        command: &str,
        name: &str,
        at: MountPoint,
        (shown, store): (Shown, Option<&dyn Store>),
        environment: &Environment<'_>,
    ) -> anyhow::Result<()> {
        let archives = shown.archives().len();
        let access = Access::new(environment, store, self.fetch)?;
        let what = if shown.is_folder() {
            format!("{name} ({})", counted(archives as u64, "archive", "archives"))
        } else {
            name.to_owned()
        };
        serve(shown, at, self.allow_other, &access, environment, &what)?;
        environment.console.summary(command, json!({ "archives": archives }), &[])?;
        Ok(())
    }
}
