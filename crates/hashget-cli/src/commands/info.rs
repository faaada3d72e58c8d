//! `hashget info`: what an archive needs to be restored.
//!
//! Invariant: the manifest alone is read; no HashDB, no network.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use hashget::fetch::shown;
use hashget::model::{Amount, Timestamp};
use hashget::restore::{NeededPackage, Needs};
use serde_json::json;

use crate::archive;
use crate::environment::Environment;
use crate::output::{Console, columns, counted, day, safe, size};

/// Show what an archive needs: packages, hosts, sizes, evidence, expiry
#[derive(Debug, Args)]
#[command(after_help = "Example: hashget info www.tar.zst\n         \
                        hashget info --list www.tar.zst | xargs -n1 curl -fO")]
pub(crate) struct Info {
    /// Archive, or folder into which one was unpacked by tar; `-` is standard input
    #[arg(value_name = "FILE|DIR|-")]
    archive: PathBuf,

    /// Print only the URLs of the packages
    #[arg(long)]
    list: bool,
}

impl Info {
    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let console = environment.console;
        let needs = Needs::of(&archive::manifest(&self.archive, environment)?)?;
        if self.list && !console.is_json() {
            for package in &needs.packages {
                console.line(&safe(&package.url))?;
            }
            return Ok(());
        }
        if console.is_json() {
            for package in &needs.packages {
                console.record("package", package_record(package))?;
            }
            for (host, packages, bytes) in needs.hosts() {
                let record = json!({ "host": host, "packages": packages, "package_bytes": bytes });
                console.record("host", record)?;
            }
        } else {
            print(console, &needs)?;
        }
        console.summary("info", record(&needs), &[])?;
        Ok(())
    }
}

fn package_record(package: &NeededPackage) -> serde_json::Value {
    json!({
        "url": package.url,
        "also": package.also,
        "sha256": package.sha256,
        "size": package.size,
        "evidence": package.evidence,
        "expires": package.expires,
        "signatures": package.signatures,
    })
}

fn record(needs: &Needs) -> serde_json::Value {
    let amount =
        |amount: Option<Amount>| amount.map(|a| json!({ "files": a.files, "bytes": a.bytes }));
    json!({
        "version": needs.version,
        "tool": needs.tool,
        "expires": needs.expires,
        "first_expiry": first_expiry(needs),
        "tree": amount(needs.tree),
        "archived": amount(needs.archived),
        "left_out": amount(Some(needs.left_out)),
        "oldest": needs.archived_times.map(|(oldest, _)| oldest.seconds),
        "newest": needs.archived_times.map(|(_, newest)| newest.seconds),
        "packages": needs.packages.len(),
        "package_bytes": needs.package_bytes(),
        "hosts": needs.hosts().len(),
        "evidence": evidence(needs),
    })
}

/// How many packages there are of each level of evidence.
fn evidence(needs: &Needs) -> BTreeMap<String, usize> {
    let mut levels: BTreeMap<String, usize> = BTreeMap::new();
    for level in needs.packages.iter().filter_map(|package| package.evidence) {
        *levels.entry(level.to_string()).or_default() += 1;
    }
    levels
}

/// The day on which the first package may be gone.
fn first_expiry(needs: &Needs) -> Option<&str> {
    needs.packages.iter().filter_map(|package| package.expires.as_deref()).min()
}

fn print(console: &Console, needs: &Needs) -> anyhow::Result<()> {
    for line in columns("ll", &facts(needs)) {
        console.line(&line)?;
    }
    if needs.packages.is_empty() {
        return Ok(());
    }
    console.line("")?;
    let header = ["PACKAGES", "SIZE", "HOST"].map(str::to_owned).to_vec();
    let row = |(host, packages, bytes): (String, u64, u64)| {
        vec![packages.to_string(), sized(needs, bytes), safe(&host)]
    };
    let rows: Vec<_> = std::iter::once(header).chain(needs.hosts().into_iter().map(row)).collect();
    for line in columns("rrl", &rows) {
        console.line(&line)?;
    }
    if !console.is_verbose() {
        return Ok(());
    }
    console.line("")?;
    let header = ["SIZE", "EVIDENCE", "EXPIRES", "URL"].map(str::to_owned).to_vec();
    let row = |package: &NeededPackage| {
        vec![
            package.size.map_or("-".to_owned(), size),
            package.evidence.map_or("-".to_owned(), |level| level.to_string()),
            package.expires.as_deref().map_or("-".to_owned(), safe),
            shown(&package.url),
        ]
    };
    let rows: Vec<_> = std::iter::once(header).chain(needs.packages.iter().map(row)).collect();
    for line in columns("rlll", &rows) {
        console.line(&line)?;
    }
    Ok(())
}

/// Bytes, unless the manifest does not tell any.
fn sized(needs: &Needs, bytes: u64) -> String {
    if needs.packages.iter().all(|package| package.size.is_none()) {
        "-".to_owned()
    } else {
        size(bytes)
    }
}

fn facts(needs: &Needs) -> Vec<Vec<String>> {
    let amount = |a: Amount| format!("{}, {}", counted(a.files, "file", "files"), size(a.bytes));
    let written = needs.tool.as_deref().map_or("the Python tool".to_owned(), safe);
    let mut facts = vec![("Manifest", format!("version {}, written by {written}", needs.version))];
    facts.extend(needs.tree.map(|tree| ("Tree", amount(tree))));
    facts.extend(needs.archived.map(|archived| ("Archived", amount(archived))));
    facts.push(("Left out", amount(needs.left_out)));
    let packages = u64::try_from(needs.packages.len()).unwrap_or(u64::MAX);
    let packages = counted(packages, "package", "packages");
    facts.push((
        "To download",
        match sized(needs, needs.package_bytes()).as_str() {
            "-" if needs.packages.is_empty() => "nothing".to_owned(),
            "-" => format!("{packages}; version 1 does not tell their sizes"),
            bytes => format!("{packages}, {bytes}"),
        },
    ));
    let levels: Vec<String> =
        evidence(needs).into_iter().map(|(level, number)| format!("{number} {level}")).collect();
    if !levels.is_empty() {
        facts.push(("Evidence", levels.join(", ")));
    }
    if let Some((oldest, newest)) = needs.archived_times {
        facts.push(("Oldest file", format!("{}, of those archived", date(oldest))));
        facts.push(("Newest file", format!("{}, of those archived", date(newest))));
    }
    let expires = needs.expires.as_deref().or(first_expiry(needs));
    facts.push(("Expires", expires.map_or("no package says so".to_owned(), safe)));
    facts.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect()
}

fn date(time: Timestamp) -> String {
    day(time.seconds)
}
