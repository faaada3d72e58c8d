//! What `verify --deep` prints of the rehearsal of a restore.
//!
//! Invariant: "Proven" is said only if everything was looked at and the tree digest is right; of a share, nothing is said of the rest.

use hashget::archive::PackageState;
use hashget::model::total_bytes;
use hashget::restore::{Rehearsed, Summary};
use serde_json::{Value, json};

use crate::output::{Console, counted, size};

/// The lines of the summary.
pub(super) fn lines(rehearsed: &Rehearsed, is_archive_read: bool) -> Vec<String> {
    let Rehearsed { summary, is_all, .. } = rehearsed;
    if !summary.missing.is_empty() {
        let number = u64::try_from(summary.missing.len()).unwrap_or(u64::MAX);
        let entries = counted(number, "entry", "entries");
        let mut lines =
            vec![format!("Incomplete: a restore would lack {entries} (list them with -v)")];
        lines.extend(share(rehearsed, is_archive_read).filter(|_| !is_all));
        return lines;
    }
    if !is_all {
        return share(rehearsed, is_archive_read).into_iter().collect();
    }
    vec![verdict(summary)]
}

/// What is certain of the whole tree.
fn verdict(summary: &Summary) -> String {
    let files = counted(summary.files, "file", "files");
    let bytes = size(summary.bytes);
    match summary.proven {
        Some(true) => {
            let entries = counted(summary.entries, "entry", "entries");
            format!(
                "Proven: a restore would give back exactly what was packed: {entries}, {files}, {bytes}"
            )
        }
        Some(false) => "NOT proven: a restore would give another tree than was packed".to_owned(),
        None => format!(
            "A restore would give back {files}, {bytes}; an archive of version 1 has no proof of the tree as a whole"
        ),
    }
}

/// What was looked at, if that is not everything.
fn share(rehearsed: &Rehearsed, is_archive_read: bool) -> Option<String> {
    let verified = &rehearsed.verified;
    let looked_at: Vec<_> =
        verified.packages.iter().filter(|one| one.state() != PackageState::NotAsked).collect();
    let all = u64::try_from(verified.packages.len()).unwrap_or(u64::MAX) + verified.not_asked;
    let sum = |packages: &mut dyn Iterator<Item = Option<u64>>| total_bytes(packages.flatten());
    let bytes = sum(&mut looked_at.iter().map(|one| one.package.size));
    let all_bytes = sum(&mut verified.packages.iter().map(|one| one.package.size));
    let all_bytes = all_bytes.saturating_add(verified.bytes_not_asked);
    let packages = counted(all, "package", "packages");
    let number = looked_at.len();
    let what = match rehearsed.summary.missing.is_empty() {
        true if number > 0 => "what they give is right",
        _ => "this is true of what they give",
    };
    let but = match is_archive_read {
        true => "nothing is said of the others, nor of the tree as a whole",
        false => "nothing is said of the archive itself: give the archive, not its manifest",
    };
    Some(match number {
        0 if is_archive_read => format!("Looked at none of {packages}: nothing is said of them"),
        _ => format!(
            "Looked at {number} of {packages} ({} of {}): {what}; {but}",
            size(bytes),
            size(all_bytes)
        ),
    })
}

/// The figures of the rehearsal.
pub(super) fn record(rehearsed: &Rehearsed) -> Value {
    let Rehearsed { summary, is_all, verified } = rehearsed;
    json!({
        "everything": is_all,
        "entries": summary.entries,
        "files": summary.files,
        "bytes": summary.bytes,
        "files_from_packages": summary.files_from_packages,
        "bytes_from_packages": summary.bytes_from_packages,
        "missing": summary.missing.len(),
        "proven": summary.proven,
        "package_bytes_not_looked_at": verified.bytes_not_asked,
    })
}

/// What a restore would lack.
pub(super) fn report_missing(console: &Console, summary: &Summary) -> anyhow::Result<()> {
    for (path, reason) in &summary.missing {
        console.record("missing", json!({ "path": path, "reason": reason }))?;
        console.detail(&format!("missing {path}: {reason}"));
    }
    Ok(())
}
