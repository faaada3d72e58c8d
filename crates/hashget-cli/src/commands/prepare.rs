//! `hashget prepare`: a manifest and an exclude list, for a backup made with another tool.
//!
//! Invariant: the list is never written into the folder that is backed up.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use hashget::model::total_bytes;
use hashget::pack::{PackOptions, Packer, Tool};
use serde_json::json;

use crate::environment::Environment;
use crate::exit::UsageError;
use crate::output::{counted, safe, size};
use crate::packing::{Reliance, pack_options, with_packer_in_any_case};
use crate::publishers::Asking;
use crate::selection::Selection;

/// Write a manifest and an exclude list for a backup by another tool
#[derive(Debug, Args)]
#[command(after_help = "Example: hashget prepare /srv/www -X www.list --for restic")]
pub(crate) struct Prepare {
    /// Folder that will be backed up; `.hashget-restore.json` is written into it
    #[arg(value_name = "DIR")]
    tree: PathBuf,

    /// Exclude list to write
    #[arg(short = 'X', long = "exclude-list", value_name = "FILE")]
    list: PathBuf,

    /// Tool that makes the backup
    #[arg(long = "for", value_enum, value_name = "tar|restic|borg|rsync")]
    #[arg(hide_possible_values = true)]
    tool: ToolName,

    #[command(flatten)]
    selection: Selection,

    /// Detectors to run: `all`, `none`, names, or -NAME to leave one out [default: all; for `/` without hint]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', allow_hyphen_values = true)]
    detect: Vec<String>,

    /// Index no packages; use only what the HashDB already knows
    #[arg(long)]
    no_index: bool,

    #[command(flatten)]
    reliance: Reliance,

    #[command(flatten)]
    asking: Asking,
}

/// A backup tool, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ToolName {
    /// GNU tar
    Tar,
    /// restic
    Restic,
    /// Borg
    Borg,
    /// rsync
    Rsync,
}

impl Prepare {
    /// What is kept after an interruption, and how to continue.
    pub(super) fn after_interruption(&self) -> String {
        "no manifest and no list were written; packages that were indexed and what was downloaded are kept: \
         the same command goes on"
            .to_owned()
    }

    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let tree = self.tree.display();
        if !fs_err::metadata(&self.tree)?.is_dir() {
            return Err(UsageError(format!("{tree} is not a folder")).into());
        }
        self.check_list()?;
        let tool = match self.tool {
            ToolName::Tar => Tool::Tar,
            ToolName::Restic => Tool::Restic,
            ToolName::Borg => Tool::Borg,
            ToolName::Rsync => Tool::Rsync,
        };
        let options = PackOptions {
            detectors: environment.detectors(&self.detect, &self.tree)?,
            index: !self.no_index,
            ..pack_options(environment, &self.selection, &self.reliance)?
        };
        let prepare = |packer: &Packer<'_>, options: PackOptions<'_>| {
            let context = || format!("cannot prepare {tree}");
            let (list, console) = (&self.list, environment.console);
            packer.prepare(&self.tree, list, tool, options, console).with_context(context)
        };
        let sources = environment.brief_sources()?;
        let prepared =
            with_packer_in_any_case(environment, sources, &self.asking, None, options, prepare)?;
        self.report(&prepared, environment)
    }

    /// The list must not be part of the backup for which it is made.
    fn check_list(&self) -> anyhow::Result<()> {
        let folder = self.list.parent().filter(|folder| *folder != Path::new(""));
        let folder = fs_err::canonicalize(folder.unwrap_or(Path::new(".")))?;
        if folder.starts_with(fs_err::canonicalize(&self.tree)?) {
            let wrong = "-X: the list must not lie in the folder that is backed up";
            return Err(UsageError(wrong.to_owned()).into());
        }
        Ok(())
    }

    fn report(
        &self,
        prepared: &hashget::pack::Prepared,
        environment: &Environment<'_>,
    ) -> anyhow::Result<()> {
        let summary = &prepared.summary;
        let files = |number| counted(number, "file", "files");
        let packages = u64::try_from(summary.packages.len()).unwrap_or(u64::MAX);
        let download: u64 = total_bytes(summary.packages.iter().map(|package| package.size));
        let mut lines = vec![
            format!(
                "{}, {} to leave out; {}, {} to download for restoring",
                files(summary.left_out_files),
                size(summary.left_out_bytes),
                counted(packages, "package", "packages"),
                size(download)
            ),
            format!(
                "{}, {} to back up",
                files(summary.archived_files),
                size(summary.archived_bytes)
            ),
        ];
        let inexpressible = u64::try_from(prepared.inexpressible.len()).unwrap_or(u64::MAX);
        if inexpressible > 0 {
            let entries = counted(inexpressible, "entry", "entries");
            lines.push(format!("{entries} not left out: the list cannot express their names"));
        }
        let (tree, list) = (self.tree.display().to_string(), self.list.display().to_string());
        let (dir, file) = (safe(&tree), safe(&list));
        lines.push(match self.tool {
            ToolName::Tar => format!("Now: tar -C {dir} -X {file} -cf BACKUP.tar ."),
            ToolName::Restic => format!("Now: restic backup --exclude-file {file} {dir}"),
            ToolName::Borg => {
                format!("Now: cd {dir} && borg create --exclude-from {file} REPOSITORY::NAME .")
            }
            ToolName::Rsync => {
                format!("Now: rsync -aHAX --from0 --exclude-from {file} {dir}/ TARGET/")
            }
        });
        let record = json!({
            "tree": tree,
            "exclude_list": list,
            "left_out_files": summary.left_out_files,
            "left_out_bytes": summary.left_out_bytes,
            "archived_files": summary.archived_files,
            "archived_bytes": summary.archived_bytes,
            "packages": packages,
            "package_bytes": download,
            "inexpressible": prepared.inexpressible,
        });
        environment.console.summary("prepare", record, &lines)?;
        Ok(())
    }
}
