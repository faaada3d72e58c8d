//! `hashget restore`: adds the files of the manifest after a plain `tar xf`.
//!
//! Invariant: the HashDB is opened only to know what accepted files are; another run continues where this one stopped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use hashget::fetch::Taken;
use hashget::model::RelPath;
use hashget::restore::{Affected, Overwrite, RestoreOptions, Summary};
use serde_json::json;

use crate::derive::Deriving;
use crate::environment::{self, Environment};
use crate::exit::UsageError;
use crate::output::{Console, counted, safe, size};
use crate::parts::Supplies;
use crate::selection::regenerable;

pub(super) mod planned;

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
    #[arg(long, overrides_with = "same_owner")]
    no_same_owner: bool,

    /// Restore owners and groups (the default for root)
    #[arg(long, overrides_with = "no_same_owner")]
    same_owner: bool,

    /// Apply the umask to permissions, and set no set-user-ID, set-group-ID and sticky bits
    #[arg(long)]
    no_same_permissions: bool,

    /// Restore no access control lists
    #[arg(long)]
    no_acls: bool,

    /// Restore no other extended attributes, no capabilities and no flags (chattr)
    #[arg(long)]
    no_xattrs: bool,

    #[command(flatten)]
    deriving: Deriving,

    /// Keep the manifest in the folder after a complete restore
    #[arg(long)]
    keep_manifest: bool,

    /// Which existing files to replace: all, those that differ or those that are older than the archive's, or none
    #[arg(
        long,
        value_enum,
        value_name = "always|changed|older|never",
        hide_possible_values = true
    )]
    overwrite: Option<Which>,

    /// Remove what is in the folders and not of the archive, once everything is restored
    #[arg(long)]
    delete: bool,

    /// Print what would be made, replaced and removed, and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Use this file, or those in this folder, for whatever is missing: packages and files of packages, under any names; repeatable
    #[arg(long, value_name = "FILE|DIR")]
    accept: Vec<PathBuf>,

    /// Use this supplement of the archive, too (those that lie beside it are found); repeatable
    #[arg(long, value_name = "SUPPLEMENT")]
    also: Vec<PathBuf>,

    /// Ask no public archive (Software Heritage, Wayback Machine) for what no other source has
    #[arg(long)]
    no_fallback: bool,
}

/// Which existing files are replaced.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    Always,
    Changed,
    Older,
    Never,
}

impl From<Which> for Overwrite {
    fn from(which: Which) -> Self {
        match which {
            Which::Always => Self::Always,
            Which::Changed => Self::Changed,
            Which::Older => Self::Older,
            Which::Never => Self::Never,
        }
    }
}

impl How {
    pub(super) fn options(&self, environment: &Environment<'_>) -> anyhow::Result<RestoreOptions> {
        let mode_mask = match self.no_same_permissions {
            true => 0o777 & !environment::umask()?,
            false => 0o7777,
        };
        Ok(RestoreOptions {
            same_owner: self.same_owner || (environment.is_root() && !self.no_same_owner),
            mode_mask,
            acls: !self.no_acls,
            attributes: !self.no_xattrs,
            derive: self.deriving.which(),
            programs: self.deriving.programs_to_restore(environment),
            keep_manifest: self.keep_manifest,
            overwrite: self.overwrite.map(Overwrite::from),
            delete: self.delete,
        })
    }

    /// Is it only to be said what would be done?
    pub(super) fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// What restoring stands on.
    pub(super) fn supplies<'e>(
        &self,
        environment: &'e Environment<'_>,
    ) -> anyhow::Result<Supplies<'e>> {
        Supplies::new(&self.accept, &self.also, self.uses_fallbacks(), environment)
    }

    /// Are public archives asked for what no other source has?
    pub(super) fn uses_fallbacks(&self) -> bool {
        !self.no_fallback
    }

    /// Is anything to be removed?
    pub(super) fn deletes(&self) -> bool {
        self.delete
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
        let supplies = self.how.supplies(environment)?;
        let restorer = supplies.restorer();
        let options = self.how.options(environment)?;
        let (context, console) = (|| format!("cannot restore {target}"), environment.console);
        if self.how.is_dry_run() {
            let planned = restorer.plan_restore(&self.target, &options, console);
            let planned = planned.with_context(context)?;
            supplies.taken()?;
            return planned::report(console, "restore", &self.target, &planned);
        }
        let summary = restorer.restore(&self.target, &options, console).with_context(context)?;
        report(console, "restore", &self.target, &summary, supplies.taken()?, false)
    }
}

/// Prints the result, with what was `taken` of what the user found; `is_part`: of a part of a tree.
pub(super) fn report(
    console: &Console,
    command: &str,
    target: &Path,
    summary: &Summary,
    taken: Option<Taken>,
    is_part: bool,
) -> anyhow::Result<()> {
    for (path, reason) in &summary.missing {
        console.record("missing", json!({ "path": path, "reason": reason }))?;
        console.detail(&format!("missing {path}: {reason}"));
    }
    for path in &summary.removed {
        console.record("removed", json!({ "path": path }))?;
        console.detail(&format!("removed {path}"));
    }
    let record = json!({
        "target": target.to_string_lossy(),
        "entries": summary.entries,
        "files": summary.files,
        "bytes": summary.bytes,
        "files_from_packages": summary.files_from_packages,
        "bytes_from_packages": summary.bytes_from_packages,
        "kept_files": summary.kept_files,
        "files_without_digest": summary.files_without_digest,
        "packages": summary.packages,
        "packages_used": summary.packages_used,
        "missing": summary.missing.len(),
        "missing_from_archive": summary.missing_from_archive,
        "not_applied": numbers(&summary.not_applied),
        "not_asked_for": numbers(&summary.not_asked_for),
        "strays": summary.strays.entries,
        "removed": summary.removed.len(),
        "left": summary.left.entries,
        "proven": summary.proven,
        "profiles": regenerable::profiles_record(&summary.regenerable),
        "accepted_files": taken.as_ref().map(|taken| taken.files),
        "accepted_packages": taken.as_ref().map(|taken| taken.packages),
    });
    console.summary(command, record, &lines(target, summary, taken.as_ref(), is_part))?;
    Ok(())
}

fn lines(target: &Path, summary: &Summary, taken: Option<&Taken>, is_part: bool) -> Vec<String> {
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
    if let Some(taken) = taken {
        let packages = counted(taken.packages, "package", "packages");
        lines.push(format!("Accepted: {}, {packages}", files(taken.files)));
    }
    if summary.kept_files > 0 {
        lines.push(format!("{} already correct", files(summary.kept_files)));
    }
    lines.extend(removed(summary));
    lines.extend(missing(target, summary, is_part));
    lines.extend(if is_part { proof_of_part(summary) } else { proof(summary) });
    lines.extend(regenerable::to_do(&summary.regenerable).filter(|_| !is_part));
    lines
}

/// What was removed.
fn removed(summary: &Summary) -> Option<String> {
    let mut names: Vec<String> =
        summary.removed.iter().take(NAMED).map(ToString::to_string).collect();
    if summary.removed.len() > NAMED {
        names.push(counted(summary.removed.len() - NAMED, "more", "more"));
    }
    let entries = counted(summary.removed.len(), "entry", "entries");
    (!names.is_empty())
        .then(|| format!("Removed {entries} not part of the archive: {}", names.join(", ")))
}

/// What is certain where something was left as it was.
fn left(summary: &Summary) -> Option<String> {
    let entries = counted(summary.left.entries, "entry", "entries");
    (summary.left.entries > 0).then(|| {
        format!("Not all as it was packed: {entries} stayed as before, by --overwrite; the others are restored")
    })
}

/// What is certain of a part of a tree.
fn proof_of_part(summary: &Summary) -> Option<String> {
    if !summary.missing.is_empty() || !summary.not_applied.is_empty() {
        return None;
    }
    if let Some(left) = left(summary) {
        return Some(left);
    }
    let but = match summary.files_without_digest {
        0 => String::new(),
        files => format!(
            ", except {} of which the archive has no digest",
            counted(files, "file", "files")
        ),
    };
    Some(format!(
        "Each file has the digest that was packed{but}; nothing proves a part of a tree as a whole"
    ))
}

/// Numbers of entries, for a record.
fn numbers(affected: &BTreeMap<String, Affected>) -> BTreeMap<&str, u64> {
    affected.iter().map(|(what, affected)| (what.as_str(), affected.entries)).collect()
}

/// What is certain of the folder.
fn proof(summary: &Summary) -> Option<String> {
    let is_complete = summary.missing.is_empty() && summary.not_applied.is_empty();
    match summary.proven {
        Some(false) => Some("NOT proven: the folder differs from what was packed".to_owned()),
        Some(true) if !summary.not_asked_for.is_empty() => {
            let except: Vec<String> = summary
                .not_asked_for
                .iter()
                .map(|(what, one)| format!("{what} ({})", counted(one.entries, "entry", "entries")))
                .collect();
            let except = except.join(", ");
            Some(format!("Proven, except what was not to be restored: {except}"))
        }
        Some(true) if summary.strays.entries > 0 => Some(format!(
            "Proven: everything that was packed is there exactly, besides {} of the folder's own",
            counted(summary.strays.entries, "entry", "entries")
        )),
        Some(true) => Some("Proven: the folder is exactly what was packed".to_owned()),
        None if is_complete && summary.left.entries > 0 => left(summary),
        None if is_complete && summary.manifest_version == 1 => Some(
            "Each file is proven; an archive of version 1 has no proof of the folder as a whole"
                .to_owned(),
        ),
        None => None,
    }
}

/// Number of reasons listed without `-v`.
const REASONS: usize = 5;
/// Number of missing entries named for each reason.
const NAMED: usize = 10;

/// What is missing and what was not restored as it was packed.
fn missing(target: &Path, summary: &Summary, is_part: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let mut reasons: Vec<(&str, Vec<&RelPath>)> = Vec::new();
    for (path, reason) in &summary.missing {
        match reasons.iter_mut().find(|(known, _)| known == reason) {
            Some((_, paths)) => paths.push(path),
            None => reasons.push((reason, vec![path])),
        }
    }
    for (reason, paths) in reasons.iter().take(REASONS) {
        let mut names: Vec<String> = paths.iter().take(NAMED).map(ToString::to_string).collect();
        if paths.len() > NAMED {
            names.push(counted(paths.len() - NAMED, "more", "more"));
        }
        lines.push(format!("Missing: {} ({reason})", names.join(", ")));
    }
    let left: usize = reasons.iter().skip(REASONS).map(|(_, paths)| paths.len()).sum();
    if left > 0 {
        lines.push(format!("and {} (list them with -v)", counted(left, "more", "more")));
    }
    let is_complete = summary.missing.is_empty() && summary.not_applied.is_empty();
    if !is_part {
        lines.extend(incomplete(&safe(&target.display().to_string()), summary));
    } else if !is_complete {
        lines.push("Incomplete: run the same command again to continue.".to_owned());
    }
    lines
}

/// What can be done about what is missing.
fn incomplete(target: &str, summary: &Summary) -> Option<String> {
    let entries = |number| counted(number, "entry is", "entries are");
    let missing = u64::try_from(summary.missing.len()).unwrap_or(u64::MAX);
    let kept = "The manifest was kept";
    let of_archive = summary.missing_from_archive;
    Some(if of_archive > 0 {
        let others = missing.saturating_sub(of_archive);
        let mut line = format!(
            "Incomplete: {} missing that only the archive has: unpack another copy of it. {kept}",
            entries(of_archive)
        );
        if others > 0 {
            let more = counted(others, "other", "others");
            line.push_str(&format!("; `hashget restore {target}` tries to bring {more}"));
        }
        line + "."
    } else if missing > 0 {
        format!(
            "Incomplete: {} missing. {kept}; run `hashget restore {target}` to continue.",
            entries(missing)
        )
    } else if !summary.not_applied.is_empty() {
        format!(
            "Incomplete: not everything is as it was packed. {kept}; where the user and the file system \
             allow more, `hashget restore {target}` completes it."
        )
    } else {
        return None;
    })
}
