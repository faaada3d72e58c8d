//! How a changed entry is shown: in a line, and as a record.
//!
//! Invariant: modes and owners are shown as they are and as they should be.

use hashget::archive::Aspect;
use hashget::changed::{ChangedEntry, PackageFiles};
use hashget::model::{Entry, Kind, Member};
use serde_json::{Value, json};

use crate::output::safe;

/// Width of what is said before a path.
const WIDTH: usize = 26;

/// The line of an entry.
pub(super) fn line(entry: &ChangedEntry) -> String {
    let what = match &entry.found {
        None => "missing".to_owned(),
        Some(found) => {
            let aspects = entry.aspects.iter();
            aspects.map(|aspect| words(*aspect, entry, found)).collect::<Vec<_>>().join(", ")
        }
    };
    format!("  {what:WIDTH$} {}", safe(&entry.path.to_string()))
}

fn words(aspect: Aspect, entry: &ChangedEntry, found: &Entry) -> String {
    let expected = &entry.expected.metadata;
    let number = |value: Option<u32>| value.map_or("?".to_owned(), |value| value.to_string());
    match aspect {
        Aspect::Mode => {
            format!("mode {:o} (is {:o})", expected.mode.unwrap_or(0), found.metadata.mode)
        }
        Aspect::Owner => format!(
            "owner {}/{} (is {}/{})",
            number(expected.uid),
            number(expected.gid),
            found.metadata.uid,
            found.metadata.gid
        ),
        other => other.label().to_owned(),
    }
}

/// The record of an entry.
pub(super) fn record(entry: &ChangedEntry, package: &PackageFiles<'_>) -> Value {
    let aspects: Vec<&str> = entry.aspects.iter().map(|aspect| aspect.label()).collect();
    let purl = package.of_system.map(|(_, of)| of.package_url.to_string());
    json!({
        "path": entry.path,
        "package": package.name,
        "purl": purl,
        "change": if entry.found.is_none() { "missing" } else { "changed" },
        "aspects": aspects,
        "configuration": entry.is_configuration,
        "expected": of_member(&entry.expected),
        "found": entry.found.as_ref().map(of_entry),
    })
}

fn of_member(member: &Member) -> Value {
    let (kind, size, target) = of_kind(&member.kind);
    let metadata = &member.metadata;
    json!({
        "kind": kind,
        "size": size,
        "target": target,
        "sha256": member.sha256,
        "mode": metadata.mode,
        "uid": metadata.uid,
        "gid": metadata.gid,
    })
}

fn of_entry(entry: &Entry) -> Value {
    let (kind, size, target) = of_kind(&entry.kind);
    let metadata = &entry.metadata;
    json!({
        "kind": kind,
        "size": size,
        "target": target,
        "sha256": entry.sha256,
        "mode": metadata.mode,
        "uid": metadata.uid,
        "gid": metadata.gid,
    })
}

/// The kind, the size of a file, and the target of a link.
fn of_kind(kind: &Kind) -> (&'static str, Option<u64>, Option<String>) {
    match kind {
        Kind::File { size } => ("file", Some(*size), None),
        Kind::HardLink { target } => ("hard_link", None, Some(target.to_string())),
        Kind::Directory => ("folder", None, None),
        Kind::Symlink { target } => {
            ("symbolic_link", None, Some(String::from_utf8_lossy(target).into_owned()))
        }
        Kind::CharDevice { .. } => ("character_device", None, None),
        Kind::BlockDevice { .. } => ("block_device", None, None),
        Kind::Fifo => ("fifo", None, None),
        Kind::Socket => ("socket", None, None),
    }
}
