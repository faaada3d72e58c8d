//! `hashget info`: what an archive needs to be restored.
//!
//! Invariant: only the manifest is read, or, of an archive that nothing opens, what says that it is encrypted; no network, and nothing
//! fails for want of a HashDB.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use hashget::archive::{Outlook, RequiredPackage, Requirements, Risk};
use hashget::classify::class_of;
use hashget::error::ErrorClass;
use hashget::fetch::shown;
use hashget::model::manifest::{AnyManifest, Regenerable};
use hashget::model::{Amount, Timestamp};
use hashget::monitor::{Monitor, ProblemKind};
use hashget::wording;
use hashget_backup::encryption::Header;
use serde_json::json;

use super::audit::{self, Outcome};
use crate::archive;
use crate::derive::{amounts_record, derived_text, pieces_text};
use crate::environment::Environment;
use crate::output::{Console, columns, counted, day, safe, size};
use crate::selection::regenerable;

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
        let manifest = match archive::manifest(&self.archive, environment) {
            Err(error) if class_of(error.as_ref()) == Some(ErrorClass::WrongKey) => {
                let found = archive::sealed(&self.archive, environment)?;
                let (header, bytes) = found.ok_or(error)?;
                return sealed(console, &header, bytes);
            }
            manifest => manifest?,
        };
        let requirements = Requirements::from_manifest(&manifest)?;
        let known = self.known(&manifest, &requirements, environment);
        if self.list && !console.is_json() {
            for package in &requirements.packages {
                console.line(&safe(&package.url))?;
            }
            return Ok(());
        }
        if console.is_json() {
            for package in &requirements.packages {
                console.record("package", package_record(package))?;
            }
            for (host, packages, bytes) in requirements.hosts() {
                let record = json!({ "host": host, "packages": packages, "package_bytes": bytes });
                console.record("host", record)?;
            }
            regenerable::records(console, manifest.regenerable())?;
        } else {
            print(console, &requirements, known.as_ref(), manifest.regenerable())?;
        }
        let mut record = record(&requirements, known.as_ref());
        record["profiles"] = regenerable::profiles_record(manifest.regenerable());
        let lines: Vec<String> = archive::unread(&self.archive).into_iter().collect();
        console.summary("info", record, &lines)?;
        Ok(())
    }
}

impl Info {
    /// What is known of whether its packages can be had, where there is a HashDB that may know it.
    fn known(
        &self,
        manifest: &AnyManifest,
        requirements: &Requirements,
        environment: &Environment<'_>,
    ) -> Option<Outcome> {
        if requirements.packages.is_empty() || !environment.has_hashdb() {
            return None;
        }
        match audit::known_of_manifest(&self.archive, manifest, environment) {
            Ok((_, known)) => Some(known),
            Err(error) => {
                let why = wording::messages(error.as_ref()).join(": ");
                let monitor: &dyn Monitor = environment.console;
                monitor.problem(ProblemKind::Note, "HashDB", why);
                None
            }
        }
    }
}

/// Says what can be said of an archive that nothing opens.
fn sealed(console: &Console, header: &Header, bytes: Option<u64>) -> anyhow::Result<()> {
    if !console.is_json() {
        let bytes = bytes.map_or("-".to_owned(), size);
        let facts = [("Encrypted", format!("to {}", safe(&header.shown()))), ("Size", bytes)];
        for line in columns("ll", &facts.map(|(name, value)| vec![name.to_owned(), value])) {
            console.line(&line)?;
        }
    }
    let record =
        json!({ "archive_read": false, "encrypted": header.recipients, "archive_bytes": bytes });
    let line = "Nothing says what is in it: --identity opens it".to_owned();
    Ok(console.summary("info", record, &[line])?)
}

fn package_record(package: &RequiredPackage) -> serde_json::Value {
    json!({
        "url": package.url,
        "also": package.also,
        "sha256": package.sha256,
        "size": package.size,
        "evidence": package.evidence,
        "expires": package.expires,
        "unasked": package.unasked,
        "signatures": package.signatures,
    })
}

fn record(requirements: &Requirements, known: Option<&Outcome>) -> serde_json::Value {
    let amount =
        |amount: Option<Amount>| amount.map(|a| json!({ "files": a.files, "bytes": a.bytes }));
    json!({
        "archive_read": false,
        "version": requirements.version,
        "tool": requirements.tool,
        "expires": requirements.expires,
        "first_expiry": first_expiry(requirements),
        "tree": amount(requirements.tree),
        "archived": amount(requirements.archived),
        "left_out": amount(Some(requirements.left_out)),
        "derived": amounts_record(&requirements.derived),
        "pieced_files": requirements.pieces.files,
        "pieced_bytes": requirements.pieces.bytes,
        "encoded": amounts_record(&requirements.encoded),
        "oldest": requirements.archived_times.map(|(oldest, _)| oldest.seconds),
        "newest": requirements.archived_times.map(|(_, newest)| newest.seconds),
        "restorable": known.map(|known| audit::figures_record(known.worst())),
        "packages": requirements.packages.len(),
        "package_bytes": requirements.package_bytes(),
        "hosts": requirements.hosts().len(),
        "evidence": evidence(requirements),
        "unasked": unasked(requirements),
        "beside": requirements.beside().collect::<Vec<_>>(),
    })
}

/// Number of packages for each level of evidence.
fn evidence(requirements: &Requirements) -> BTreeMap<String, usize> {
    let mut levels: BTreeMap<String, usize> = BTreeMap::new();
    for level in requirements.packages.iter().filter_map(|package| package.evidence) {
        *levels.entry(level.to_string()).or_default() += 1;
    }
    levels
}

/// Number of packages whose URLs nobody had asked when the archive was made.
fn unasked(requirements: &Requirements) -> usize {
    requirements.packages.iter().filter(|package| package.unasked).count()
}

/// The day on which the first package may become unavailable.
fn first_expiry(requirements: &Requirements) -> Option<&str> {
    requirements.packages.iter().filter_map(|package| package.expires.as_deref()).min()
}

fn print(
    console: &Console,
    requirements: &Requirements,
    known: Option<&Outcome>,
    excluded: &[Regenerable],
) -> anyhow::Result<()> {
    for line in columns("ll", &facts(requirements, known)) {
        console.line(&line)?;
    }
    if !excluded.is_empty() {
        console.line("")?;
        let with_reasons = console.is_verbose();
        let table = regenerable::table(excluded, with_reasons);
        for line in columns(regenerable::alignment(with_reasons), &table) {
            console.line(&line)?;
        }
    }
    if requirements.packages.is_empty() {
        return Ok(());
    }
    console.line("")?;
    let header = ["PACKAGES", "SIZE", "HOST"].map(str::to_owned).to_vec();
    let row = |(host, packages, bytes): (String, u64, u64)| {
        vec![packages.to_string(), sized(requirements, bytes), safe(&host)]
    };
    let rows: Vec<_> =
        std::iter::once(header).chain(requirements.hosts().into_iter().map(row)).collect();
    for line in columns("rrl", &rows) {
        console.line(&line)?;
    }
    if !console.is_verbose() {
        return Ok(());
    }
    console.line("")?;
    let header = ["PACKAGE", "SIZE", "EVIDENCE", "EXPIRES", "URL"].map(str::to_owned).to_vec();
    let row = |package: &RequiredPackage| {
        vec![
            package.shown_name(),
            package.size.map_or("-".to_owned(), size),
            package.evidence.map_or("-".to_owned(), |level| level.to_string()),
            package.expires.as_deref().map_or("-".to_owned(), safe),
            shown(&package.url),
        ]
    };
    let rows: Vec<_> =
        std::iter::once(header).chain(requirements.packages.iter().map(row)).collect();
    for line in columns("lrlll", &rows) {
        console.line(&line)?;
    }
    Ok(())
}

/// A size in bytes; `-` if the manifest has no sizes.
fn sized(requirements: &Requirements, bytes: u64) -> String {
    if requirements.packages.iter().all(|package| package.size.is_none()) {
        "-".to_owned()
    } else {
        size(bytes)
    }
}

fn facts(requirements: &Requirements, known: Option<&Outcome>) -> Vec<Vec<String>> {
    let amount = |a: Amount| format!("{}, {}", counted(a.files, "file", "files"), size(a.bytes));
    let written = requirements.tool.as_deref().map_or("the Python tool".to_owned(), safe);
    let mut facts =
        vec![("Manifest", format!("version {}, written by {written}", requirements.version))];
    facts.extend(requirements.tree.map(|tree| ("Tree", amount(tree))));
    facts.extend(requirements.archived.map(|archived| ("Archived", amount(archived))));
    facts.push(("Left out", amount(requirements.left_out)));
    facts.extend(derived_text(&requirements.derived).map(|derived| ("Derived", derived)));
    facts.extend(
        pieces_text(requirements.pieces, &requirements.encoded).map(|pieces| ("In pieces", pieces)),
    );
    let packages = u64::try_from(requirements.packages.len()).unwrap_or(u64::MAX);
    let packages = counted(packages, "package", "packages");
    facts.push((
        "To download",
        match sized(requirements, requirements.package_bytes()).as_str() {
            "-" if requirements.packages.is_empty() => "nothing".to_owned(),
            "-" => format!("{packages}; a manifest of version 1 does not state their sizes"),
            bytes => format!("{packages}, {bytes}"),
        },
    ));
    facts.extend(known.map(|known| ("Today", today(known))));
    let beside: Vec<String> = requirements.beside().map(safe).collect();
    if !beside.is_empty() {
        facts.push(("Needs beside it", beside.join(", ")));
    }
    let levels: Vec<String> = evidence(requirements)
        .into_iter()
        .map(|(level, number)| format!("{number} {level}"))
        .collect();
    if !levels.is_empty() {
        facts.push(("Evidence", levels.join(", ")));
    }
    if unasked(requirements) > 0 {
        let packages = counted(unasked(requirements) as u64, "package", "packages");
        facts.push(("Unasked", format!("{packages}, whose URLs nobody had asked")));
    }
    if let Some((oldest, newest)) = requirements.archived_times {
        facts.push(("Oldest file", format!("{} (archived files)", date(oldest))));
        facts.push(("Newest file", format!("{} (archived files)", date(newest))));
    }
    let expires = requirements.expires.as_deref().or(first_expiry(requirements));
    facts.push(("Expires", expires.map_or("never".to_owned(), safe)));
    facts.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect()
}

/// What could be restored today, by what is known.
fn today(known: &Outcome) -> String {
    let asked = |outlook: &Outlook| *outlook != Outlook::AtRisk(vec![Risk::NeverAsked]);
    match known.outlooks.values().any(asked) {
        true => audit::figures_text(known.worst()),
        false => "not known: `hashget audit` asks the servers".to_owned(),
    }
}

fn date(time: Timestamp) -> String {
    day(time.seconds)
}
