//! Archives that the older Python tool restores (`--manifest-version 1`).
//!
//! Invariant: only what version 1 can say exactly is left out: regular files of one name without special
//! bits, attributes, holes or fractions of a second; everything else is archived.

use std::collections::{HashMap, HashSet};

use super::contents::NONE;
use super::plan::{ChosenPackage, Claims, PackageUse, Plan, ReadMembers};
use crate::formats;
use crate::hashdb::HashDbError;
use crate::model::manifest::{FileV1, Link, ManifestV1, PackageV1};
use crate::model::{Digest, Entry, Kind, Member, RelPath};

/// Decides what a version 1 archive leaves out. `packages` are sorted by URL.
pub(super) fn plan(
    entries: &[Entry],
    claims: &Claims,
    packages: &[ChosenPackage<'_>],
    read: ReadMembers<'_>,
    expires: Option<String>,
) -> Result<(Plan, ManifestV1), HashDbError> {
    let holders = holders(packages, read)?;
    let links = links(entries);
    let mut uses: Vec<PackageUse> = packages
        .iter()
        .map(|package| PackageUse {
            url: package.record.url.clone(),
            size: package.record.size,
            files: 0,
            bytes: 0,
        })
        .collect();
    let several: HashSet<&RelPath> = links.iter().map(|link| &link.to).collect();
    let mut archived: Vec<bool> =
        entries.iter().map(|entry| !matches!(entry.kind, Kind::HardLink { .. })).collect();
    let mut files = Vec::new();
    for (index, entry) in
        entries.iter().enumerate().filter(|&(index, _)| claims.may_leave_out(index))
    {
        let sayable = version_1_says(entry) && !several.contains(&entry.path);
        let holder = entry.sha256.and_then(|sha256| holders.get(&sha256)).filter(|_| sayable);
        if let (Some(&holder), Some(file)) = (holder, file_v1(entry)) {
            archived[index] = false;
            uses[holder].files += 1;
            uses[holder].bytes += file.size;
            files.push(file);
        }
    }
    let used = (0..packages.len()).filter(|&index| uses[index].files > 0);
    let chosen: Vec<usize> = used.collect();
    let manifest = ManifestV1 {
        packages: chosen
            .iter()
            .map(|&index| PackageV1 {
                url: packages[index].record.url.clone(),
                hash: packages[index].record.sha256,
            })
            .collect(),
        files,
        packagesize: chosen.iter().map(|&index| packages[index].record.size).sum(),
        expires,
    };
    uses.retain(|used| used.files > 0);
    Ok((Plan { packages: Vec::new(), uses, chosen, archived, links }, manifest))
}

/// For each of the tree's contents the first package that has it, where the Python tool looks.
fn holders(
    packages: &[ChosenPackage<'_>],
    read: ReadMembers<'_>,
) -> Result<HashMap<Digest, usize>, HashDbError> {
    let mut holders: HashMap<Digest, usize> = HashMap::new();
    for (index, package) in packages.iter().enumerate().rev() {
        holders.insert(package.record.sha256, index);
        let format = formats::by_name(&package.record.format);
        // The Python tool looks into inner packages only if told to.
        let is_found = |member: &Member| {
            let path = member.path.as_bytes();
            let inner = path.windows(2).any(|pair| pair == b"!/");
            !inner && format.is_none_or(|format| format.is_found_by_version_one(&member.path))
        };
        package.with_members(read, |members| {
            let numbers = members.contents();
            members.each(&mut |at, member| {
                if let Some(sha256) = member.sha256.filter(|_| numbers[at] != NONE)
                    && is_found(member)
                {
                    holders.insert(sha256, index);
                }
            })
        })?;
    }
    Ok(holders)
}

/// All further names of files; each file itself is archived.
fn links(entries: &[Entry]) -> Vec<Link> {
    let link = |entry: &Entry| match &entry.kind {
        Kind::HardLink { target } => Some(Link { path: entry.path.clone(), to: target.clone() }),
        _ => None,
    };
    entries.iter().filter_map(link).collect()
}

fn version_1_says(entry: &Entry) -> bool {
    let metadata = &entry.metadata;
    metadata.mode & 0o7000 == 0
        && metadata.mtime.nanoseconds == 0
        && metadata.xattrs.is_empty()
        && entry.extents.is_none()
}

fn file_v1(entry: &Entry) -> Option<FileV1> {
    let Kind::File { size } = entry.kind else { return None };
    let metadata = &entry.metadata;
    Some(FileV1 {
        file: entry.path.clone(),
        sha256: entry.sha256?,
        size,
        mode: metadata.mode,
        uid: metadata.uid,
        gid: metadata.gid,
        // Version 1 wants times that no restored tree has: reading and changing are now.
        atime: metadata.mtime.seconds,
        ctime: metadata.mtime.seconds,
        mtime: metadata.mtime.seconds,
    })
    .filter(|_| size > 0)
}
