//! The report of `hashget pack`.
//!
//! Invariant: users and programs get the same numbers.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use hashget::archive::host_of;
use hashget::model::{Amount, total_bytes};
use hashget::pack::{DetectorUse, Heavy, PackageUse, Summary};
use hashget::wording::and_more;
use serde_json::json;

use super::destination::{Destination, Medium};
use super::tree::Tree;
use crate::derive::{amounts_record, derived_text, pieces_text};
use crate::output::{Console, columns, counted, ratio, safe, size};
use crate::selection::regenerable;

/// Prints the packages that are needed, and the summary.
pub(super) fn print(
    console: &Console,
    tree: &Tree,
    destination: &Destination,
    summary: &Summary,
) -> anyhow::Result<()> {
    for package in &summary.packages {
        console.record(
            "package",
            json!({
                "name": package.name,
                "url": package.url,
                "size": package.size,
                "files": package.files,
                "bytes": package.bytes,
                "bytes_of_pieces": package.bytes_of_pieces,
                "place": package.place.to_string(),
            }),
        )?;
    }
    archived_records(console, summary)?;
    regenerable::records(console, &summary.regenerable)?;
    detector_records(console, summary)?;
    if destination.target == Medium::Nowhere && !console.is_json() {
        for line in plan(summary) {
            console.line(&line)?;
        }
    }
    let record = json!({
        "tree": tree.folder.to_string_lossy(),
        "paths": tree.shown(),
        "archive": (destination.target != Medium::Nowhere).then_some(&destination.name),
        "entries": summary.entries,
        "files": summary.files,
        "bytes": summary.bytes,
        "left_out_files": summary.left_out_files,
        "left_out_bytes": summary.left_out_bytes,
        "derived": amounts_record(&summary.derived),
        "pieced_files": summary.pieces.files,
        "pieced_bytes": summary.pieces.bytes,
        "encoded": amounts_record(&summary.encoded),
        "profiles": regenerable::profiles_record(&summary.regenerable),
        "archived_files": summary.archived_files,
        "archived_bytes": summary.archived_bytes,
        "unknown_files": summary.unknown().files,
        "unknown_bytes": summary.unknown().bytes,
        "not_relied_files": summary.not_relied().files,
        "not_relied_bytes": summary.not_relied().bytes,
        "packages": summary.packages.len(),
        "package_bytes": package_bytes(summary),
        "hosts": hosts(summary),
        "unasked": summary.unasked(),
        "not_worth": summary.not_worth.len(),
        "detected": summary.detected,
        "taken_over": summary.taken_over,
        "newly_indexed": summary.newly_indexed,
        "not_indexed": summary.not_indexed,
        "unreliable": summary.unreliable,
        "changed_files": summary.changed_files,
        "archive_bytes": summary.archive_bytes,
        "reused_bytes": summary.reused_bytes,
        "parity_bytes": summary.parity_bytes,
    });
    console.summary("pack", record, &lines(console.is_verbose(), destination, summary))?;
    Ok(())
}

fn archived_records(console: &Console, summary: &Summary) -> anyhow::Result<()> {
    for heavy in &summary.heaviest {
        let (path, files, bytes) = (&heavy.path, heavy.files, heavy.bytes);
        console.record("archived", json!({ "path": path, "files": files, "bytes": bytes }))?;
    }
    Ok(())
}

fn detector_records(console: &Console, summary: &Summary) -> anyhow::Result<()> {
    for detector in &summary.detectors {
        console.record(
            "detector",
            json!({
                "name": detector.name,
                "packages": detector.packages,
                "files": detector.gives.files,
                "bytes": detector.gives.bytes,
                "seconds": detector.time.as_secs_f64(),
            }),
        )?;
    }
    Ok(())
}

fn package_bytes(summary: &Summary) -> u64 {
    total_bytes(summary.packages.iter().map(|package| package.size))
}

/// Lists the packages without a permanent URL; only a few of them, if there are many.
pub(crate) fn unreliable(names: &[String], verbose: bool) -> String {
    const SHOWN: usize = 10;
    let shown = if verbose { names.len() } else { SHOWN.min(names.len()) };
    let listed: Vec<String> = names[..shown].iter().map(|name| safe(name)).collect();
    let more = and_more(names.len() - shown);
    let number = counted(u64::try_from(names.len()).unwrap_or(u64::MAX), "package", "packages");
    let listed = listed.join(" ");
    format!("{number} not relied on, without a permanent URL: {listed}{more}")
}

fn archive_size(summary: &Summary) -> String {
    let bytes = size(summary.archive_bytes);
    if summary.archive_bytes >= summary.bytes {
        return bytes;
    }
    format!("{bytes}, {} smaller than the folder", ratio(summary.bytes, summary.archive_bytes))
}

/// The hosts needed for restoring; the one with most packages first.
fn hosts(summary: &Summary) -> Vec<String> {
    let mut hosts: BTreeMap<String, u64> = BTreeMap::new();
    for package in &summary.packages {
        *hosts.entry(host_of(&package.url)).or_default() += 1;
    }
    let mut hosts: Vec<(String, u64)> = hosts.into_iter().collect();
    hosts.sort_by_key(|(_, packages)| Reverse(*packages));
    hosts.into_iter().map(|(host, _)| host).collect()
}

/// The plan of a dry run: each package with what it gives back, and the paths with the most archived bytes.
fn plan(summary: &Summary) -> Vec<String> {
    let mut lines = Vec::new();
    if !summary.packages.is_empty() {
        let header =
            ["FILES", "GIVES BACK", "DOWNLOAD", "PACKAGE", "URL"].map(str::to_owned).to_vec();
        let row = |package: &PackageUse| {
            let bytes = package.bytes.saturating_add(package.bytes_of_pieces);
            let (files, bytes) = (package.files.to_string(), size(bytes));
            vec![files, bytes, size(package.size), safe(&package.name), safe(&package.url)]
        };
        let rows: Vec<_> =
            std::iter::once(header).chain(summary.packages.iter().map(row)).collect();
        lines.extend(columns("rrrll", &rows));
        lines.push(String::new());
    }
    if !summary.regenerable.is_empty() {
        let table = regenerable::table(&summary.regenerable, false);
        lines.extend(columns(regenerable::alignment(false), &table));
        lines.push(String::new());
    }
    let header = ["FILES", "ARCHIVED", "PATH"].map(str::to_owned).to_vec();
    let rows = summary
        .heaviest
        .iter()
        .map(|heavy| vec![heavy.files.to_string(), size(heavy.bytes), path_of(heavy)]);
    lines.extend(columns("rrl", &std::iter::once(header).chain(rows).collect::<Vec<_>>()));
    lines
}

fn path_of(heavy: &Heavy) -> String {
    format!("{}{}", heavy.path, if heavy.is_folder { "/" } else { "" })
}

/// What was written.
fn archive_rows(destination: &Destination, summary: &Summary) -> Vec<[String; 2]> {
    let archive = match destination.target {
        Medium::Nowhere => "not written (dry run)".to_owned(),
        Medium::StandardOutput => archive_size(summary),
        _ => format!("{}: {}", archive_size(summary), safe(&destination.name)),
    };
    let mut rows = vec![["Archive".to_owned(), archive]];
    if summary.reused_bytes > 0 {
        let copied = format!("{} of it copied from an earlier archive", size(summary.reused_bytes));
        rows.push([String::new(), copied]);
    }
    if let Some(bytes) = summary.parity_bytes {
        let parity = format!("{}: {}.par2", size(bytes), safe(&destination.name));
        rows.push(["Parity".to_owned(), parity]);
    }
    rows
}

/// Number of largest paths in a summary.
const NAMED: usize = 3;

fn lines(verbose: bool, destination: &Destination, summary: &Summary) -> Vec<String> {
    let dry = destination.target == Medium::Nowhere;
    let amount = |files, bytes| format!("{}, {}", counted(files, "file", "files"), size(bytes));
    let mut rows = vec![
        ["Folder", &amount(summary.files, summary.bytes)].map(str::to_owned),
        ["Left out", &amount(summary.left_out_files, summary.left_out_bytes)].map(str::to_owned),
    ];
    if let Some(derived) = derived_text(&summary.derived) {
        rows.push(["Derived".to_owned(), derived]);
    }
    if let Some(pieces) = pieces_text(summary.pieces, &summary.encoded) {
        rows.push(["In pieces".to_owned(), pieces]);
    }
    rows.extend(regenerable::facts(&summary.regenerable));
    if !summary.packages.is_empty() {
        rows.push(["To restore", &download(summary)].map(str::to_owned));
    }
    let archived = amount(summary.archived_files, summary.archived_bytes);
    rows.push(["Archived".to_owned(), archived]);
    rows.extend(reasons(summary).into_iter().map(|reason| [String::new(), reason]));
    if !dry {
        rows.extend(largest(summary));
    }
    rows.extend(archive_rows(destination, summary));
    let rows: Vec<Vec<String>> = rows.into_iter().map(|row| row.to_vec()).collect();
    let mut lines = Vec::new();
    if verbose && !dry {
        lines.extend(plan(summary));
        lines.push(String::new());
    }
    lines.extend(columns("ll", &rows));
    if verbose {
        lines.extend(detectors(summary));
    }
    let nothing_given = summary.left_out_files + summary.pieces.files == 0;
    if nothing_given && summary.unknown().files > 0 {
        lines.push(
            "hint: nothing is left out. If the folder is part of a larger system or project, pack that, or make its \
             packages known first: hashget index --tree :debian (of what dpkg installed here) or hashget index --tree \
             FOLDER (of what lies in a folder)"
                .to_owned(),
        );
    }
    if !summary.unreliable.is_empty() {
        lines.push(unreliable(&summary.unreliable, verbose));
    }
    if summary.unasked() > 0 {
        let packages = counted(summary.unasked() as u64, "package", "packages");
        lines.push(format!(
            "{packages} relied on although nobody asked their URLs (--unasked): hashget verify asks them"
        ));
    }
    if !summary.not_worth.is_empty() {
        lines.push(format!(
            "{} not relied on: more to download than they save (see --max-fetch-ratio)",
            counted(summary.not_worth.len() as u64, "package", "packages")
        ));
    }
    lines
}

/// The paths with the most archived bytes.
fn largest(summary: &Summary) -> impl Iterator<Item = [String; 2]> {
    let named = summary.heaviest.iter().take(NAMED).enumerate();
    named.map(|(position, heavy)| {
        let label = if position == 0 { "Largest" } else { "" };
        [label.to_owned(), format!("{} in {}", size(heavy.bytes), path_of(heavy))]
    })
}

/// For each detector that found something: what it found, and how long it took.
fn detectors(summary: &Summary) -> Vec<String> {
    let header = ["DETECTOR", "PACKAGES", "FILES", "GIVES BACK", "TOOK"].map(str::to_owned);
    let found = summary.detectors.iter().filter(|detector| detector.packages > 0);
    let row = |detector: &DetectorUse| {
        let took = format!("{:.3} s", detector.time.as_secs_f64());
        let (packages, given) = (detector.packages.to_string(), detector.gives);
        vec![safe(&detector.name), packages, given.files.to_string(), size(given.bytes), took]
    };
    let rows: Vec<Vec<String>> = found.map(row).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let rows: Vec<Vec<String>> = std::iter::once(header.to_vec()).chain(rows).collect();
    std::iter::once(String::new()).chain(columns("lrrrr", &rows)).collect()
}

/// What restoring will have to download, and from which hosts.
fn download(summary: &Summary) -> String {
    const SHOWN: usize = 3;
    let packages = u64::try_from(summary.packages.len()).unwrap_or(u64::MAX);
    let packages = counted(packages, "package", "packages");
    let hosts = hosts(summary);
    let named: Vec<String> = hosts.iter().take(SHOWN).map(|host| safe(host)).collect();
    let more = match hosts.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more hosts"),
    };
    let bytes = size(package_bytes(summary));
    format!("{packages}, {bytes} to download from {}{more}", named.join(", "))
}

/// Why files are archived, if it is worth mentioning.
fn reasons(summary: &Summary) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut add = |Amount { files, bytes }, why: &str| {
        if files > 0 {
            reasons.push(format!("{}, {} {why}", counted(files, "file", "files"), size(bytes)));
        }
    };
    add(summary.unknown(), "in no known package");
    let relied = "in packages that are not relied on (hashget explain PATH says why)";
    add(summary.not_relied(), relied);
    reasons
}
