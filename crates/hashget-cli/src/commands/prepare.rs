//! `hashget prepare`: a manifest and an exclude list, for a backup that another tool makes.
//!
//! Invariant: the list is written before the manifest is of any use, and never into the folder itself.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use hashget::fetch::Sources;
use hashget::model::Evidence;
use hashget::pack::{PackOptions, Packer, Tool};
use serde_json::json;

use crate::environment::Environment;
use crate::exit::UsageError;
use crate::output::{counted, safe, size};
use crate::values;

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

    /// Files that the tool is told to exclude anyway; repeatable
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,

    /// Do not enter other file systems
    #[arg(long)]
    one_file_system: bool,

    /// Detectors to run: `all`, `none`, or a list of names
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_value = "all")]
    detect: Vec<String>,

    /// Index no packages; use only what the HashDB already knows
    #[arg(long)]
    no_index: bool,

    /// Do not leave out smaller files
    #[arg(long, value_name = "BYTES", value_parser = values::bytes, default_value = "0")]
    min_size: u64,

    /// Weakest acceptable evidence that a package has a file: downloaded, signed, declared or local
    /// [default: signed]
    #[arg(long, value_name = "LEVEL")]
    evidence: Option<Evidence>,

    /// Day until which the backup must be restorable; packages that expire earlier are not used
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = values::date)]
    expires: Option<String>,
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
    /// What is kept when it is interrupted, and how to go on.
    pub(super) fn after_interruption(&self) -> String {
        "no manifest and no list were written; packages that were indexed and what was downloaded are kept: \
         the same command goes on"
            .to_owned()
    }

    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let tree = self.tree.display();
        if !fs_err::metadata(&self.tree).context("there is nothing to prepare")?.is_dir() {
            return Err(UsageError(format!("{tree} is not a folder")).into());
        }
        self.check_list()?;
        let tool = match self.tool {
            ToolName::Tar => Tool::Tar,
            ToolName::Restic => Tool::Restic,
            ToolName::Borg => Tool::Borg,
            ToolName::Rsync => Tool::Rsync,
        };
        let config = &environment.config;
        let options = PackOptions {
            exclude: config.exclude.iter().chain(&self.exclude).cloned().collect(),
            one_file_system: self.one_file_system,
            min_size: self.min_size,
            expires: self.expires.clone(),
            evidence: self.evidence.or(config.evidence).unwrap_or(Evidence::Signed),
            detectors: environment.detectors(&self.detect)?,
            index: !self.no_index,
            scan_cache: environment.scan_cache(),
            ..PackOptions::default()
        };
        let hashdb = environment.hashdb()?;
        let Sources { source, web } = environment.sources()?;
        let mirrors = environment.mirrors();
        let packer = Packer {
            hashdb: &*hashdb,
            source: &*source,
            web: &*web,
            mirrors: &mirrors,
            limits: &environment.limits,
            jobs: environment.jobs,
        };
        let prepared = packer
            .prepare(&self.tree, tool, options, environment.console)
            .with_context(|| format!("cannot prepare {tree}"))?;
        fs_err::write(&self.list, &prepared.exclude_list).context("cannot write the list")?;
        self.report(&prepared, environment)
    }

    /// The list must not become part of the backup that it is for.
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
        let download: u64 = summary.packages.iter().map(|package| package.size).sum();
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
            lines.push(format!("{entries} not left out: the list cannot say their names"));
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
