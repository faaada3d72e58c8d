//! `hashget list`: the entries of an archive's tree, and who has them.
//!
//! Invariant: of an archive whose manifest says what it holds, only the manifest is read. Nothing is fetched without `--fetch`, and what
//! is not known is said to be so.

use std::path::PathBuf;

use clap::Args;
use hashget::archive::{Holder, ListedEntry, Listing, Requirements, Selection};
use hashget::fetch::shown;
use hashget::model::{Amount, Kind, display_name};
use hashget::monitor::{Monitor, ProblemKind};
use serde_json::{Value, json};

use crate::archive::{self, Knowledge};
use crate::environment::Environment;
use crate::output::{counted, mode_letters, moment, safe, size};

/// List the entries of an archive, and whether the archive or a package has them
#[derive(Debug, Args)]
#[command(after_help = "Example: hashget list www.tar.zst\n         \
                        hashget list -l www.tar.zst ./etc '*.conf'")]
pub(crate) struct List {
    /// Archive, its URL, or folder into which one was unpacked by tar; `-` is standard input
    #[arg(value_name = "FILE|DIR|URL|-")]
    archive: PathBuf,

    /// List only what matches, and what is below it; a glob as for `pack --exclude`
    #[arg(value_name = "PATH|GLOB")]
    patterns: Vec<String>,

    /// Also print owner, group, seconds of the time, and the name of the package
    #[arg(short, long)]
    long: bool,

    /// Fetch packages whose files are not known otherwise
    #[arg(long)]
    fetch: bool,
}

/// What is said of a pattern that matches nothing.
pub(super) const NOTHING_MATCHES: &str = "nothing in the archive matches";

/// What was listed.
#[derive(Default)]
struct Sums {
    entries: u64,
    archive: Amount,
    packages: Amount,
}

impl List {
    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let console = environment.console;
        let selection = Selection::new(&self.patterns, &[])?;
        let (manifest, stored) = archive::contents(&self.archive, environment)?;
        let requirements = Requirements::from_manifest(&manifest)?;
        let knowledge = Knowledge::new(environment, self.fetch)?;
        let may_have = |to: &[u8]| selection.may_have(to);
        let listing = knowledge.list(&manifest, stored, &may_have, environment)?;
        let mut sums = Sums::default();
        console.in_bulk(|| {
            for listed in listing.entries() {
                (console as &dyn Monitor).check_interrupted()?;
                let listed = listed?;
                if selection.has(&listed.entry.path) {
                    sums.add(&listed);
                    let line = || line(&listed, &requirements, self.long);
                    console.data(line, "entry", || record(&listed, &requirements))?;
                }
            }
            Ok(())
        })?;
        self.unnamed(&listing, &selection, &requirements, environment)?;
        let why = match listing.unnamed().is_empty() {
            true => NOTHING_MATCHES,
            false => "nothing that is known by name matches; with --fetch all names are known",
        };
        report_unmatched(&selection, why, environment);
        let hidden = listing.unnamed_amount();
        let body = json!({
            "archive_read": false,
            "version": requirements.version,
            "entries": sums.entries,
            "archived": { "files": sums.archive.files, "bytes": sums.archive.bytes },
            "left_out": { "files": sums.packages.files, "bytes": sums.packages.bytes },
            "unnamed_files": hidden.map(|amount| amount.files),
            "unnamed_bytes": hidden.map(|amount| amount.bytes),
        });
        let lines: Vec<String> = (!listing.unnamed().is_empty())
            .then(|| "Files of packages are not named: list them with --fetch".to_owned())
            .into_iter()
            .collect();
        console.summary("list", body, &lines)?;
        Ok(())
    }

    /// A line for each part of a package whose files are not known.
    fn unnamed(
        &self,
        listing: &Listing<'_>,
        selection: &Selection,
        requirements: &Requirements,
        environment: &Environment<'_>,
    ) -> anyhow::Result<()> {
        // What several parts have together is not known of each.
        let is_only = listing.unnamed().len() == 1;
        let amount = listing.unnamed_amount().filter(|_| is_only);
        for unnamed in listing.unnamed() {
            let to = &unnamed.placement.to.0;
            if !selection.may_have(to) {
                continue;
            }
            let package = &requirements.packages[unnamed.package];
            let below = String::from_utf8_lossy(to);
            let files = amount.map_or("its files".to_owned(), |amount| {
                format!("{}, {}", counted(amount.files, "file", "files"), size(amount.bytes))
            });
            let place = if below.is_empty() { "." } else { &below };
            let download =
                package.size.map_or(String::new(), |bytes| format!(" ({})", size(bytes)));
            let name = display_name(&package.signatures, &package.url);
            let line = format!("{}: {files} of package {}{download}", safe(place), safe(name));
            let record = json!({
                "below": below,
                "package": package.url,
                "package_bytes": package.size,
                "files": amount.map(|amount| amount.files),
                "bytes": amount.map(|amount| amount.bytes),
            });
            environment.console.data(|| line, "unnamed", || record)?;
        }
        Ok(())
    }
}

/// Reports patterns that match nothing.
pub(super) fn report_unmatched(selection: &Selection, why: &str, environment: &Environment<'_>) {
    let monitor: &dyn Monitor = environment.console;
    for pattern in selection.unmatched() {
        monitor.problem(ProblemKind::Incomplete, safe(pattern), why);
    }
}

impl Sums {
    fn add(&mut self, listed: &ListedEntry) {
        self.entries += 1;
        let holder =
            if listed.holder == Holder::Archive { &mut self.archive } else { &mut self.packages };
        match listed.entry.kind {
            Kind::File { size } => holder.add(1, size),
            Kind::HardLink { .. } => holder.add(1, 0),
            _ => {}
        }
    }
}

/// The line of an entry.
pub(super) fn line(listed: &ListedEntry, requirements: &Requirements, long: bool) -> String {
    let entry = &listed.entry;
    let metadata = &entry.metadata;
    let bytes = match &entry.kind {
        Kind::File { size: bytes } => size(*bytes),
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
            format!("{major},{minor}")
        }
        _ => "-".to_owned(),
    };
    let points = match &entry.kind {
        Kind::Symlink { target } => format!(" -> {}", safe(&String::from_utf8_lossy(target))),
        Kind::HardLink { target } => format!(" link to {target}"),
        _ => String::new(),
    };
    let mode = mode_letters(&entry.kind, metadata.mode);
    let time = moment(metadata.mtime.seconds, long);
    let path = &entry.path;
    if !long {
        let holder = if listed.holder == Holder::Archive { "archive" } else { "package" };
        return format!("{mode} {bytes:>11} {time} {holder} {path}{points}");
    }
    let owner = format!("{}/{}", metadata.uid, metadata.gid);
    let holder = match listed.holder {
        Holder::Archive => "archive".to_owned(),
        Holder::SomePackage => "package".to_owned(),
        Holder::Package(index) => {
            let package = &requirements.packages[index];
            safe(display_name(&package.signatures, &package.url))
        }
    };
    format!("{mode} {owner:>9} {bytes:>11} {time} {holder} {path}{points}")
}

/// The record of an entry.
pub(super) fn record(listed: &ListedEntry, requirements: &Requirements) -> Value {
    let ListedEntry { entry, holder } = listed;
    let (mut bytes, mut target) = (None, Value::Null);
    let mut device = None;
    let kind = match &entry.kind {
        Kind::File { size } => {
            bytes = Some(*size);
            "file"
        }
        Kind::Directory => "folder",
        Kind::Symlink { target: to } => {
            target = json!(String::from_utf8_lossy(to));
            "symbolic_link"
        }
        Kind::HardLink { target: to } => {
            target = json!(to);
            "hard_link"
        }
        Kind::CharDevice { major, minor } => {
            device = Some([major, minor]);
            "character_device"
        }
        Kind::BlockDevice { major, minor } => {
            device = Some([major, minor]);
            "block_device"
        }
        Kind::Fifo => "fifo",
        Kind::Socket => "socket",
    };
    let metadata = &entry.metadata;
    json!({
        "path": entry.path,
        "kind": kind,
        "size": bytes,
        "mode": metadata.mode,
        "uid": metadata.uid,
        "gid": metadata.gid,
        "seconds": metadata.mtime.seconds,
        "nanoseconds": metadata.mtime.nanoseconds,
        "target": target,
        "device": device,
        "sha256": entry.sha256,
        "holder": if *holder == Holder::Archive { "archive" } else { "package" },
        "package": match holder {
            Holder::Package(index) => Some(shown(&requirements.packages[*index].url)),
            Holder::Archive | Holder::SomePackage => None,
        },
    })
}
