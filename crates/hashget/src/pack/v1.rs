//! Archives that the older Python tool restores (`--manifest-version 1`).
//!
//! Invariant: only what version 1 can represent exactly is left out: regular files with one name, without
//! special mode bits, attributes, holes or fractions of a second. Everything else is archived.

use std::collections::HashMap;

use super::claims::Claims;
use super::contents::NONE;
use super::placement::Role;
use super::plan::{ChosenPackage, PackageUse, Plan, ReadMembers};
use super::verdict::Reason;
use crate::formats;
use crate::hashdb::HashDbError;
use crate::model::manifest::{FileV1, ManifestV1, PackageV1};
use crate::model::{Digest, Entry, Kind, Member, add_bytes, total_bytes};

/// Decides what a version 1 archive leaves out. `packages` are sorted by URL.
pub(super) fn plan(
    mut claims: Claims<'_>,
    packages: &[ChosenPackage<'_>],
    read: ReadMembers<'_>,
    expires: Option<String>,
) -> Result<(Plan, ManifestV1), HashDbError> {
    let holders = holders(packages, read)?;
    let entries = claims.entries;
    let mut uses: Vec<PackageUse> = packages
        .iter()
        .map(|package| PackageUse::none_of(&package.record, package.place))
        .collect();
    let mut files = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let holder = entry.sha256.and_then(|sha256| holders.get(&sha256));
        let Some(&holder) = holder.filter(|_| claims.may_leave_out(index)) else { continue };
        let sayable = version_1_says(entry) && !entries.has_links(index);
        match holder.zip(file_v1(entry).filter(|_| sayable)) {
            Some((holder, file)) => {
                claims.give(index, Role::Made, holder);
                uses[holder].files += 1;
                add_bytes(&mut uses[holder].bytes, file.size);
                files.push(file);
            }
            None if entry.kind == (Kind::File { size: 0 }) => {}
            None => claims.set_reason(index, Reason::VersionOne),
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
        packagesize: total_bytes(chosen.iter().map(|&index| packages[index].record.size)),
        expires,
    };
    uses.retain(|used| used.files > 0);
    let number = |package: usize| chosen.partition_point(|&index| index < package);
    let verdicts = claims.finish(number);
    Ok((Plan { packages: Vec::new(), uses, chosen, verdicts, pieces: None }, manifest))
}

/// For each of the tree's contents that packages have: the first package that has it where the Python tool
/// finds it, if any.
fn holders(
    packages: &[ChosenPackage<'_>],
    read: ReadMembers<'_>,
) -> Result<HashMap<Digest, Option<usize>>, HashDbError> {
    let mut holders: HashMap<Digest, Option<usize>> = HashMap::new();
    for (index, package) in packages.iter().enumerate().rev() {
        holders.insert(package.record.sha256, Some(index));
        let format = formats::by_name(&package.record.format);
        // The Python tool reads inner packages only on request.
        let is_found = |member: &Member| {
            let path = member.path.as_bytes();
            let inner = path.windows(2).any(|pair| pair == b"!/");
            !inner && format.is_none_or(|format| format.is_found_by_version_one(&member.path))
        };
        package.with_members(read, |members| {
            let numbers = members.contents();
            members.each(&mut |at, member| {
                let Some(sha256) = member.sha256.filter(|_| numbers[at] != NONE) else { return };
                let holder = holders.entry(sha256).or_default();
                if is_found(member) {
                    *holder = Some(index);
                }
            })
        })?;
    }
    Ok(holders)
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
        // Version 1 requires access and change times, which are never restored.
        atime: metadata.mtime.seconds,
        ctime: metadata.mtime.seconds,
        mtime: metadata.mtime.seconds,
    })
    .filter(|_| size > 0)
}
