//! `hashget restore`: adds the files of the manifest after a plain `tar xf`.
//!
//! Invariant: the HashDB is not opened; another run continues where this one stopped.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use hashget::fetch::Sources;
use hashget::restore::{RestoreOptions, Restorer, Summary};
use serde_json::json;

use crate::environment::Environment;
use crate::exit::UsageError;
use crate::output::{Console, counted, safe, size};

/// Download what a folder lacks after a plain `tar xf` of an archive
#[derive(Debug, Args)]
#[command(after_help = "Example: tar -xf www.tar.zst -C /srv/www && hashget restore /srv/www")]
pub(crate) struct Restore {
    /// Folder with the manifest `.hashget-restore.json`
    #[arg(value_name = "DIR")]
    target: PathBuf,

    #[command(flatten)]
    how: How,
}

/// Options that unpack and restore share.
#[derive(Debug, Args)]
pub(super) struct How {
    /// Make the current user the owner of all files (the default unless root)
    #[arg(long)]
    no_same_owner: bool,

    /// Keep the manifest in the folder after a complete restore
    #[arg(long)]
    keep_manifest: bool,
}

impl How {
    pub(super) fn options(&self, environment: &Environment<'_>) -> RestoreOptions {
        RestoreOptions {
            same_owner: environment.is_root() && !self.no_same_owner,
            keep_manifest: self.keep_manifest,
        }
    }
}

impl Restore {
    /// What is kept after an interruption, and how to continue.
    pub(super) fn after_interruption(&self) -> String {
        "files that are in place, the manifest and the downloads are kept: run the same command to continue"
            .to_owned()
    }

    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let target = self.target.display();
        if !fs_err::metadata(&self.target).context("cannot restore")?.is_dir() {
            let wrong = format!("{target} is not a folder: for an archive, use hashget unpack");
            return Err(UsageError(wrong).into());
        }
        let Sources { source, web } = environment.sources()?;
        let restorer = Restorer {
            source: &*source,
            web: &*web,
            limits: &environment.limits,
            jobs: environment.jobs,
        };
        let options = self.how.options(environment);
        let summary = restorer
            .restore(&self.target, &options, environment.console)
            .with_context(|| format!("cannot restore {target}"))?;
        report(environment.console, "restore", &self.target, &summary)
    }
}

/// Prints the result.
pub(super) fn report(
    console: &Console,
    command: &str,
    target: &Path,
    summary: &Summary,
) -> anyhow::Result<()> {
    for (path, reason) in &summary.missing {
        console.record("missing", json!({ "path": path, "reason": reason }))?;
        console.detail(&format!("missing {path}: {reason}"));
    }
    let record = json!({
        "target": target.to_string_lossy(),
        "entries": summary.entries,
        "files": summary.files,
        "bytes": summary.bytes,
        "files_from_packages": summary.files_from_packages,
        "bytes_from_packages": summary.bytes_from_packages,
        "kept_files": summary.kept_files,
        "packages": summary.packages,
        "packages_used": summary.packages_used,
        "missing": summary.missing.len(),
        "not_applied": summary.not_applied,
        "proven": summary.proven,
    });
    console.summary(command, record, &lines(target, summary))?;
    Ok(())
}

fn lines(target: &Path, summary: &Summary) -> Vec<String> {
    let files = |number| counted(number, "file", "files");
    let mut lines = vec![format!(
        "Restored {}, {} into {}; of these {}, {} from {}",
        files(summary.files),
        size(summary.bytes),
        safe(&target.display().to_string()),
        files(summary.files_from_packages),
        size(summary.bytes_from_packages),
        counted(summary.packages_used, "package", "packages"),
    )];
    if summary.kept_files > 0 {
        lines.push(format!("{} already correct", files(summary.kept_files)));
    }
    lines.extend(summary.not_applied_messages());
    lines.extend(missing(target, summary));
    let proof = match summary.proven {
        Some(true) => Some("Proven: the folder is exactly what was packed"),
        Some(false) => Some("NOT proven: the folder differs from what was packed"),
        None if summary.missing.is_empty() => Some(
            "Each file is proven; an archive of version 1 has no proof of the folder as a whole",
        ),
        None => None,
    };
    lines.extend(proof.map(str::to_owned));
    lines
}

/// Number of missing entries listed without `-v`.
const NAMED: usize = 5;

/// What is missing: the paths of the first entries, and the total number.
fn missing(target: &Path, summary: &Summary) -> Vec<String> {
    if summary.missing.is_empty() {
        return Vec::new();
    }
    let named = summary.missing.iter().take(NAMED);
    let mut lines: Vec<String> =
        named.map(|(path, reason)| format!("Missing: {path} ({reason})")).collect();
    if summary.missing.len() > NAMED {
        lines.push(format!("and {} more (list them with -v)", summary.missing.len() - NAMED));
    }
    let number = u64::try_from(summary.missing.len()).unwrap_or(u64::MAX);
    lines.push(format!(
        "Incomplete: {} missing. The manifest was kept; run `hashget restore {}` to continue.",
        counted(number, "entry is", "entries are"),
        safe(&target.display().to_string()),
    ));
    lines
}
