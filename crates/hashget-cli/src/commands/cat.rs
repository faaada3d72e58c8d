//! `hashget cat`: the contents of one file of an archive's tree.
//!
//! Invariant: only proven bytes are printed, and only the package is fetched that has the file.

use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::Args;
use hashget::archive::Selection;
use hashget::model::{RelPath, escaped};

use crate::archive;
use crate::environment::Environment;
use crate::exit::UsageError;
use crate::parts::contents_to_stdout;

/// Print the contents of a file of an archive
#[derive(Debug, Args)]
#[command(after_help = "Example: hashget cat www.tar.zst etc/passwd")]
pub(crate) struct Cat {
    /// Archive, or its URL; `-` is standard input
    #[arg(value_name = "FILE|URL|-")]
    archive: PathBuf,

    /// Path of the file from the top of the packed tree; no glob
    #[arg(value_name = "PATH")]
    path: PathBuf,
}

impl Cat {
    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        if environment.console.is_json() {
            let wrong = "--json and the contents cannot both go to standard output";
            return Err(UsageError(wrong.to_owned()).into());
        }
        let bytes = self.path.as_os_str().as_bytes();
        let below = bytes.iter().position(|&byte| byte != b'/').map_or(&b""[..], |at| &bytes[at..]);
        let path = RelPath::normalise(below)
            .map_err(|error| UsageError(format!("{}: {error}", escaped(bytes))))?;
        let context = || format!("cannot print {path} of {}", self.archive.display());
        let mut archive = archive::open(&self.archive, "print its files themselves", environment)
            .with_context(context)?;
        let selection = Selection::only(path.clone());
        let summary = contents_to_stdout(&mut *archive, &selection, true, environment)
            .with_context(context)?;
        match (summary.files, summary.missing.first()) {
            (0, Some((_, reason))) => Err(anyhow!("{reason}")).with_context(context),
            (0, None) if summary.entries > 0 => {
                Err(anyhow!("it is no regular file")).with_context(context)
            }
            (0, None) => Err(anyhow!("the archive has no such entry")).with_context(context),
            _ => Ok(()),
        }
    }
}
