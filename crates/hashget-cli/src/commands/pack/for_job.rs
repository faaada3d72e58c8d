//! Packing for a job of `hashget backup`: the options of `pack`, from the configuration.
//!
//! Invariant: an option means the same in a job as on the command line; those that say where the archive goes are the job's.

use std::ffi::OsString;
use std::path::Path;

use clap::Parser;
use hashget::pack::Summary;
use hashget_backup::job::{Job, Share};

use super::{ForJob, Pack, Tree};
use crate::environment::Environment;
use crate::exit::UsageError;

/// A command line of `pack` that a job stands for.
#[derive(Debug, Parser)]
#[command(name = "pack", no_binary_name = true, disable_help_flag = true, color = clap::ColorChoice::Never)]
pub(crate) struct PackLine {
    #[command(flatten)]
    pack: Pack,
}

impl PackLine {
    /// The line of a job that packs into the file `archive`, without what is the backup's own, copying from `reuse`.
    ///
    /// # Errors
    /// An option of the job is none of `pack`, or one that the job decides.
    pub(crate) fn of_job(
        job: &Job,
        archive: &Path,
        own: &[String],
        reuse: Option<&Path>,
    ) -> Result<Self, UsageError> {
        let wrong =
            |problem: String| UsageError(format!("the options of the job {}: {problem}", job.name));
        if job.share == Share::Chain && !job.encrypt.is_empty() {
            let problem = "share = \"chain\" is for archives that this machine can read: with encrypt, use share = \"full\"";
            return Err(wrong(problem.to_owned()));
        }
        let mut words: Vec<OsString> = job.options.iter().map(OsString::from).collect();
        for pattern in own {
            words.extend(["--exclude-optional".into(), pattern.into()]);
        }
        match reuse {
            Some(earlier) => words.extend(["--reuse".into(), earlier.into()]),
            None => words.push("--no-reuse".into()),
        }
        for recipient in &job.encrypt {
            words.extend(["--recipient".into(), recipient.into()]);
        }
        words.extend(["-f".into(), archive.into(), "--".into()]);
        words.extend(job.sources.iter().map(OsString::from));
        let mut line = Self::try_parse_from(words).map_err(|error| {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or("").trim_start_matches("error: ");
            wrong(first.to_owned())
        })?;
        line.pack.streams.time = Some(job.hooks.time);
        let pack = &line.pack;
        if pack.parity.is_some() {
            return Err(wrong("instead of --parity, use the key parity = \"5%\"".to_owned()));
        }
        for (is_given, option) in [
            (pack.dry_run, "--dry-run"),
            (pack.format.is_some(), "--format"),
            (pack.recipient != job.encrypt, "--recipient"),
            (pack.streams.stdin.is_some(), "--stdin"),
            (pack.manifest.manifest_version != 2, "--manifest-version"),
            (pack.paths != job.sources, "a path"),
        ] {
            if is_given {
                return Err(wrong(format!("{option} is not for jobs")));
            }
        }
        Ok(line)
    }

    /// Can archives be encrypted to the job's recipients?
    ///
    /// # Errors
    /// One of them is none.
    pub(crate) fn expect_recipients(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        match self.pack.recipient.is_empty() {
            true => Ok(()),
            false => environment.recipients(&self.pack.recipient).map(drop),
        }
    }

    /// Packs.
    pub(crate) fn run(
        &self,
        for_job: ForJob<'_>,
        environment: &Environment<'_>,
    ) -> anyhow::Result<Summary> {
        let tree = Tree::of_paths(&self.pack.paths)?;
        let destination = self.pack.destination(false)?;
        self.pack.packed(&tree, &destination, for_job, environment)
    }
}
