//! `hashget unpack`: unpacks an archive into the folder from which it was made.
//!
//! Invariant: the HashDB is not opened; archives never need it.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use hashget::fetch::Sources;
use hashget::restore::Restorer;

use super::restore::{How, report};
use crate::archive;
use crate::environment::Environment;

/// Unpack an archive, download what it left out, and verify the result
#[derive(Debug, Args)]
#[command(after_help = "Example: hashget unpack www.tar.zst -C /srv/www")]
pub(crate) struct Unpack {
    /// Archive to unpack; `-` is standard input
    #[arg(value_name = "FILE|-")]
    archive: PathBuf,

    /// Folder to unpack into; created if it does not exist
    #[arg(short = 'C', long = "directory", value_name = "DIR")]
    target: PathBuf,

    #[command(flatten)]
    how: How,
}

impl Unpack {
    /// What is kept after an interruption, and how to continue.
    pub(super) fn after_interruption(&self) -> String {
        let target = self.target.display();
        format!(
            "files that are in place in {target} and the downloads are kept: run the same command to continue"
        )
    }

    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let for_a_folder = "after a plain `tar xf`, use hashget restore";
        let mut archive =
            archive::open(&self.archive, for_a_folder, environment).context("cannot unpack")?;
        let Sources { source, web } = environment.sources()?;
        let restorer = Restorer {
            source: &*source,
            web: &*web,
            limits: &environment.limits,
            jobs: environment.jobs,
        };
        let options = self.how.options(environment)?;
        let summary = restorer
            .unpack(&mut *archive, &self.target, &options, environment.console)
            .with_context(|| format!("cannot unpack {}", self.archive.display()))?;
        report(environment.console, "unpack", &self.target, &summary)
    }
}
