//! `hashget explain`: why a file is left out, or archived.
//!
//! Invariant: nothing is indexed, fetched or written.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use hashget::hashdb::HashDb;
use hashget::model::{Entry, Evidence, Kind};
use hashget::pack::{self, Explained, Fate, Holder, Obstacle, PackOptions};
use hashget::tree::{self, ScanOptions};
use serde_json::json;

use crate::environment::Environment;
use crate::output::{counted, safe, size};
use crate::values;

mod archived;

/// Show for each file whether it is left out or archived, why, and which packages have it
#[derive(Debug, Args)]
#[command(after_help = "Example: hashget explain /usr/bin/vim /etc/vim")]
pub(crate) struct Explain {
    /// Files and folders to explain
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,

    /// Explain what this archive, or the folder into which it was unpacked, has under these paths
    #[arg(long, value_name = "FILE|DIR", conflicts_with_all = ["evidence", "expires"])]
    archive: Option<PathBuf>,

    /// Weakest acceptable evidence that a package has a file: downloaded, signed, declared or local
    /// [default: signed]
    #[arg(long, value_name = "LEVEL")]
    evidence: Option<Evidence>,

    /// Day until which the backup would have to be restorable
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = values::date)]
    expires: Option<String>,
}

/// How often each fate was told.
#[derive(Default)]
struct Counts {
    left_out: u64,
    archived: u64,
}

impl Explain {
    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let hashdb = environment.hashdb()?;
        if let Some(archive) = &self.archive {
            return archived::explain(archive, &self.paths, &*hashdb, environment);
        }
        let options = PackOptions {
            evidence: self.evidence.or(environment.config.evidence).unwrap_or(Evidence::Signed),
            expires: self.expires.clone(),
            ..PackOptions::default()
        };
        let mut counts = Counts::default();
        for path in &self.paths {
            let found = fs_err::symlink_metadata(path).context("cannot explain")?;
            let entries = if found.is_dir() {
                let scan_options = ScanOptions { jobs: environment.jobs, ..ScanOptions::default() };
                tree::scan(path, &scan_options, environment.console)?.entries
            } else {
                let read = tree::read_entry(path);
                vec![read.with_context(|| format!("cannot explain {}", path.display()))?]
            };
            let folder = if found.is_dir() { Some(path.as_path()) } else { path.parent() };
            explain(&*hashdb, folder, &entries, &options, &mut counts, environment)?;
        }
        let Counts { left_out, archived } = counts;
        let lines = if left_out + archived == 1 {
            Vec::new()
        } else {
            let archived = counted(archived, "file", "files");
            vec![format!("{} left out, {archived} archived", counted(left_out, "file", "files"))]
        };
        let record = json!({ "left_out": left_out, "archived": counts.archived });
        environment.console.summary("explain", record, &lines)?;
        Ok(())
    }
}

/// Explains entries of one folder; folders themselves need no word.
fn explain(
    hashdb: &dyn HashDb,
    folder: Option<&Path>,
    entries: &[Entry],
    options: &PackOptions<'_>,
    counts: &mut Counts,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let today = jiff::Zoned::now().date().to_string();
    let all = pack::explain(hashdb, entries, options, &today)?;
    for (entry, explained) in entries.iter().zip(&all) {
        if entry.kind == Kind::Directory {
            continue;
        }
        let of = match &entry.kind {
            Kind::HardLink { target } => entries.iter().position(|one| one.path == *target),
            _ => None,
        };
        let (file, explained) =
            of.map_or((entry, explained), |first| (&entries[first], &all[first]));
        let (fate, why) = verdict(explained.fate, options);
        *if fate == LEFT_OUT { &mut counts.left_out } else { &mut counts.archived } += 1;
        let path = folder.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
        let path = entry.path.below(&path);
        tell(&path, file, explained, (fate, &why), options, environment)?;
    }
    Ok(())
}

const LEFT_OUT: &str = "left out";
const ARCHIVED: &str = "archived";

/// What becomes of it, and why.
fn verdict(fate: Fate, options: &PackOptions<'_>) -> (&'static str, String) {
    match fate {
        Fate::LeftOut => (LEFT_OUT, "a package gives it back".to_owned()),
        Fate::LeftOutWithOthers => (
            LEFT_OUT,
            format!(
                "if the tree has more of the package: for this file alone it costs more than {} \
                 times as much to download as it saves (see --max-fetch-ratio of pack)",
                options.max_fetch_ratio
            ),
        ),
        Fate::NotRelied => (ARCHIVED, "the packages that have it are not relied on".to_owned()),
        Fate::Unknown => (
            ARCHIVED,
            "no package that is known has it. If a public package does: `hashget index URL`, or \
             `hashget index --tree DIR` for all that the detectors find"
                .to_owned(),
        ),
        Fate::Empty => (ARCHIVED, "it is empty".to_owned()),
        Fate::Holes => (ARCHIVED, "it has holes, which no package gives back".to_owned()),
        Fate::NoFile => (
            ARCHIVED,
            "it is no regular file: left out only where a package lies around it that has the same"
                .to_owned(),
        ),
    }
}

fn tell(
    path: &Path,
    entry: &Entry,
    explained: &Explained,
    (fate, why): (&str, &str),
    options: &PackOptions<'_>,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let console = environment.console;
    if console.is_json() {
        let packages: Vec<_> =
            explained.holders.iter().map(|holder| record(holder, options)).collect();
        let bytes = if let Kind::File { size } = entry.kind { Some(size) } else { None };
        let record = json!({
            "path": path.to_string_lossy(),
            "fate": fate.replace(' ', "_"),
            "reason": why,
            "size": bytes,
            "sha256": entry.sha256,
            "packages": packages,
        });
        console.record("explained", record)?;
        return Ok(());
    }
    let shown = hashget::model::escaped(path.as_os_str().as_encoded_bytes());
    console.line(&format!("{shown}: {fate}: {why}"))?;
    for holder in &explained.holders {
        let package = &holder.record;
        let member = match &holder.member {
            Some(member) => format!("as {member}"),
            None => "as the package itself".to_owned(),
        };
        let url = safe(&package.url);
        console.line(&format!(
            "    {url}, {}, {}, {member}",
            size(package.size),
            package.evidence
        ))?;
        if let Some(obstacle) = obstacle(holder, options) {
            console.line(&format!("        not relied on: {obstacle}"))?;
        }
    }
    Ok(())
}

/// Why a package is not relied on, and what to do.
fn obstacle(holder: &Holder, options: &PackOptions<'_>) -> Option<String> {
    let package = &holder.record;
    Some(match holder.obstacle.as_ref()? {
        Obstacle::Evidence => format!(
            "its evidence is {}, and {} is asked for: `hashget index {}` downloads and proves it, or use \
             --evidence {}",
            package.evidence,
            options.evidence,
            safe(&package.url),
            package.evidence
        ),
        Obstacle::Expires(needed) => format!(
            "it may be gone after {}, and is needed until {needed}: index it from a URL that lasts",
            package.expires.as_deref().map_or_else(String::new, safe)
        ),
    })
}

fn record(holder: &Holder, options: &PackOptions<'_>) -> serde_json::Value {
    json!({
        "url": holder.record.url,
        "size": holder.record.size,
        "evidence": holder.record.evidence,
        "expires": holder.record.expires,
        "member": holder.member,
        "relied_on": holder.obstacle.is_none(),
        "obstacle": obstacle(holder, options),
    })
}
