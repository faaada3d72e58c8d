//! What `hashget pack` says when it is done.
//!
//! Invariant: a person and a program are told the same numbers.

use std::path::Path;

use hashget::pack::Summary;
use serde_json::json;

use super::destination::{Destination, Target};
use crate::output::{Console, columns, counted, ratio, safe, size};

/// Prints the packages that are needed, and the summary.
pub(super) fn print(
    console: &Console,
    tree: &Path,
    destination: &Destination,
    summary: &Summary,
) -> anyhow::Result<()> {
    for package in &summary.packages {
        console.record(
            "package",
            json!({
                "url": package.url,
                "size": package.size,
                "files": package.files,
                "bytes": package.bytes,
            }),
        )?;
    }
    let record = json!({
        "tree": tree.to_string_lossy(),
        "archive": (destination.target != Target::Nowhere).then_some(&destination.name),
        "entries": summary.entries,
        "files": summary.files,
        "bytes": summary.bytes,
        "left_out_files": summary.left_out_files,
        "left_out_bytes": summary.left_out_bytes,
        "archived_files": summary.archived_files,
        "archived_bytes": summary.archived_bytes,
        "packages": summary.packages.len(),
        "package_bytes": package_bytes(summary),
        "not_worth": summary.not_worth.len(),
        "detected": summary.detected,
        "newly_indexed": summary.newly_indexed,
        "not_indexed": summary.not_indexed,
        "unreliable": summary.unreliable,
        "changed_files": summary.changed_files,
        "archive_bytes": summary.archive_bytes,
    });
    console.summary("pack", record, &lines(console.is_verbose(), destination, summary))?;
    Ok(())
}

fn package_bytes(summary: &Summary) -> u64 {
    summary.packages.iter().map(|package| package.size).sum()
}

/// Names the packages without a permanent URL; a few of them, if there are many.
pub(crate) fn unreliable(names: &[String], verbose: bool) -> String {
    const SHOWN: usize = 10;
    let shown = if verbose { names.len() } else { SHOWN.min(names.len()) };
    let listed: Vec<String> = names[..shown].iter().map(|name| safe(name)).collect();
    let more = match names.len() - shown {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let number = counted(u64::try_from(names.len()).unwrap_or(u64::MAX), "package", "packages");
    let listed = listed.join(" ");
    format!("{number} not relied on, having no permanent URL: {listed}{more}")
}

fn archive_size(summary: &Summary) -> String {
    let bytes = size(summary.archive_bytes);
    if summary.archive_bytes >= summary.bytes {
        return bytes;
    }
    format!("{bytes}, {} smaller than the folder", ratio(summary.bytes, summary.archive_bytes))
}

fn lines(verbose: bool, destination: &Destination, summary: &Summary) -> Vec<String> {
    let mut lines = Vec::new();
    if verbose {
        let row = |package: &hashget::pack::PackageUse| {
            vec![
                counted(package.files, "file", "files"),
                size(package.bytes),
                format!("from {}", size(package.size)),
                safe(&package.url),
            ]
        };
        let rows: Vec<Vec<String>> = summary.packages.iter().map(row).collect();
        lines.extend(columns("rrll", &rows));
    }
    let files = |number| counted(number, "file", "files");
    let packages = u64::try_from(summary.packages.len()).unwrap_or(u64::MAX);
    let archive = match destination.target {
        Target::Nowhere => "not written (dry run)".to_owned(),
        Target::StandardOutput => archive_size(summary),
        _ => format!("{}: {}", archive_size(summary), safe(&destination.name)),
    };
    let rows = [
        ["Folder", &format!("{}, {}", files(summary.files), size(summary.bytes))],
        [
            "Left out",
            &format!(
                "{}, {}; {} to download for restoring: {}",
                files(summary.left_out_files),
                size(summary.left_out_bytes),
                counted(packages, "package", "packages"),
                size(package_bytes(summary))
            ),
        ],
        [
            "Archived",
            &format!("{}, {}", files(summary.archived_files), size(summary.archived_bytes)),
        ],
        ["Archive", &archive],
    ];
    let rows: Vec<Vec<String>> = rows.map(|row| row.map(str::to_owned).to_vec()).to_vec();
    lines.extend(columns("ll", &rows));
    if !summary.unreliable.is_empty() {
        lines.push(unreliable(&summary.unreliable, verbose));
    }
    if !summary.not_worth.is_empty() {
        lines.push(format!(
            "{} left alone: more to download than they save (see --max-fetch-ratio)",
            counted(summary.not_worth.len() as u64, "package", "packages")
        ));
    }
    lines
}
