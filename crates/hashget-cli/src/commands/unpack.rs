//! `hashget unpack`: an archive becomes the folder it was made of.
//!
//! Invariant: the HashDB is not opened; archives never need it.

use std::io::{IsTerminal as _, Read};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use fs_err::File;
use hashget::restore::Restorer;

use super::restore::{How, report};
use crate::environment::Environment;
use crate::exit::UsageError;

/// Unpack an archive and fetch what it leaves out: the same folder again, proven
#[derive(Debug, Args)]
#[command(after_help = "Example: hashget unpack www.tar.zst -C /srv/www")]
pub(crate) struct Unpack {
    /// The archive; `-` is standard input
    #[arg(value_name = "FILE|-")]
    archive: PathBuf,

    /// The folder to unpack into; created if it is missing
    #[arg(short = 'C', long = "directory", value_name = "DIR")]
    target: PathBuf,

    #[command(flatten)]
    how: How,
}

impl Unpack {
    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let mut archive = self.open()?;
        let source = environment.source()?;
        let restorer =
            Restorer { source: &*source, limits: &environment.limits, jobs: environment.jobs };
        let options = self.how.options(environment);
        let summary = restorer
            .unpack(&mut *archive, &self.target, &options, environment.console)
            .with_context(|| format!("cannot unpack {}", self.archive.display()))?;
        report(environment.console, "unpack", &self.target, &summary)
    }

    fn open(&self) -> anyhow::Result<Box<dyn Read + Send>> {
        if self.archive != Path::new("-") {
            let file = File::open(&self.archive).context("cannot unpack")?;
            return Ok(Box::new(regular(file, &self.archive)?));
        }
        if std::io::stdin().is_terminal() {
            let wrong =
                "an archive cannot come from a terminal: redirect standard input, or give a FILE";
            return Err(UsageError(wrong.to_owned()).into());
        }
        Ok(Box::new(std::io::stdin()))
    }
}

/// The file, unless it is a folder.
fn regular(file: File, path: &Path) -> anyhow::Result<File> {
    if file.metadata().context("cannot unpack")?.is_dir() {
        let path = path.display();
        let wrong = format!(
            "{path} is a folder, not an archive: after a plain `tar xf`, use \
                             hashget restore"
        );
        return Err(UsageError(wrong).into());
    }
    Ok(file)
}
