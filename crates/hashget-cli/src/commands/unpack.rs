//! `hashget unpack`: unpacks an archive, or a part of it, into the folder from which it was made.
//!
//! Invariant: archives never need the HashDB; of a part, it only says which packages are not needed.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use hashget::archive::Selection;
use hashget::storage::ArchiveSource;

use super::list::{NOTHING_MATCHES, report_unmatched};
use super::restore::{How, planned, report};
use crate::archive;
use crate::environment::Environment;
use crate::exit::UsageError;
use crate::parts::{contents_to_stdout, plan_unpack, unpack_part};

/// Unpack an archive or a part of it, download what it left out, and verify the result
#[derive(Debug, Args)]
#[command(after_help = "Example: hashget unpack www.tar.zst -C /srv/www\n         \
                        hashget unpack www.tar.zst -C /tmp/old ./etc/ssh '*.conf'")]
pub(crate) struct Unpack {
    /// Archive to unpack, or its URL; `-` is standard input
    #[arg(value_name = "FILE|URL|-")]
    archive: PathBuf,

    #[command(flatten)]
    unpacking: Unpacking,
}

/// What is unpacked of an archive, where, and how.
#[derive(Debug, Args)]
pub(super) struct Unpacking {
    /// Unpack only what matches, and what is below it; a glob as for `pack --exclude`
    #[arg(value_name = "PATH|GLOB")]
    patterns: Vec<String>,

    /// Folder to unpack into; created if it does not exist
    #[arg(short = 'C', long = "directory", value_name = "DIR")]
    #[arg(required_unless_present = "to_stdout", conflicts_with = "to_stdout")]
    target: Option<PathBuf>,

    /// Do not unpack what matches, nor what is below it; repeatable
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,

    /// Take N components off the beginning of each path
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    strip_components: usize,

    /// Write the contents of the files to standard output, one after the other, sorted by path
    #[arg(long, conflicts_with_all = ["overwrite", "delete", "dry_run", "accept", "also"])]
    to_stdout: bool,

    #[command(flatten)]
    how: How,
}

impl Unpack {
    /// What is kept after an interruption, and how to continue.
    pub(super) fn after_interruption(&self) -> String {
        self.unpacking.after_interruption()
    }

    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let for_a_folder = "after a plain `tar xf`, use hashget restore";
        let selection = self.unpacking.selection()?;
        let mut archive =
            archive::open(&self.archive, for_a_folder, environment).context("cannot unpack")?;
        let name = self.archive.display().to_string();
        self.unpacking.run("unpack", &mut *archive, &name, &selection, environment)
    }
}

impl Unpacking {
    /// What is kept after an interruption, and how to continue.
    pub(super) fn after_interruption(&self) -> String {
        let place = self.target.as_ref().map_or("nothing".to_owned(), |target| {
            format!("files that are in place in {}", target.display())
        });
        format!("{place} and the downloads are kept: run the same command to continue")
    }

    /// What is to be unpacked.
    pub(super) fn selection(&self) -> anyhow::Result<Selection> {
        Ok(Selection::new(&self.patterns, &self.exclude)?)
    }

    /// Unpacks `archive`, which is called `name` in messages; the report is of `command`.
    pub(super) fn run(
        &self,
        command: &str,
        archive: &mut dyn ArchiveSource,
        name: &str,
        selection: &Selection,
        environment: &Environment<'_>,
    ) -> anyhow::Result<()> {
        let context = || format!("cannot unpack {name}");
        let (console, strip) = (environment.console, self.strip_components);
        let Some(target) = &self.target else {
            if console.is_json() {
                let wrong = "--json and the contents cannot both go to standard output";
                return Err(UsageError(wrong.to_owned()).into());
            }
            let fallbacks = self.how.uses_fallbacks();
            contents_to_stdout(archive, selection, fallbacks, environment).with_context(context)?;
            report_unmatched(selection, NOTHING_MATCHES, environment);
            return Ok(());
        };
        if self.how.deletes() && strip > 0 {
            let wrong =
                "--delete does not go with --strip-components: several folders may become one";
            return Err(UsageError(wrong.to_owned()).into());
        }
        let options = self.how.options(environment)?;
        let supplies = self.how.supplies(environment)?;
        if self.how.is_dry_run() {
            let planned = plan_unpack(archive, target, selection, strip, &options, &supplies)
                .with_context(context)?;
            report_unmatched(selection, NOTHING_MATCHES, environment);
            supplies.taken()?;
            return planned::report(console, command, target, &planned);
        }
        if !selection.is_everything() || strip > 0 {
            let summary = unpack_part(archive, target, selection, strip, &options, &supplies)
                .with_context(context)?;
            report_unmatched(selection, NOTHING_MATCHES, environment);
            return report(console, command, target, &summary, supplies.taken()?, true);
        }
        let restorer = supplies.restorer();
        let summary = restorer.unpack(archive, target, &options, console).with_context(context)?;
        report(console, command, target, &summary, supplies.taken()?, false)
    }
}
