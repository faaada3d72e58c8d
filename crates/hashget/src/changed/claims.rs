//! Where the members of packages lie in the tree.
//!
//! Invariant: every member that its client lays down has one path for each place of its package; what was diverted, and what lies
//! behind links of a system's top folder, has its actual path.

use std::collections::HashMap;

use super::PackageFiles;
use super::seen::Seen;
use crate::detectors::{InstalledSystem, SystemPackage, laid_down};
use crate::model::{Digest, Kind, Member, RelPath};

/// "This member of this package is here."
#[derive(Debug)]
pub(super) struct Claim {
    /// Its path in the tree.
    pub(super) path: RelPath,
    /// Its path in its system as packages call it; the same as `path` if it is of none.
    pub(super) in_system: RelPath,
    /// The number of the package.
    pub(super) package: usize,
    /// The number of the member in the package.
    member: usize,
    /// The digest of its contents: for a hard link, of the file that it names.
    pub(super) sha256: Option<Digest>,
}

impl Claim {
    /// The member.
    pub(super) fn member<'m>(&self, packages: &'m [PackageFiles<'_>]) -> &'m Member {
        &packages[self.package].members[self.member]
    }
}

/// What all packages have, by path, and by package.
pub(super) fn claims(packages: &[PackageFiles<'_>], seen: &Seen<'_>) -> Vec<Claim> {
    let mut claims = Vec::new();
    for (number, package) in packages.iter().enumerate() {
        let mut digests: HashMap<&RelPath, Digest> = HashMap::new();
        for member in &package.members {
            if let (Some(sha256), Kind::File { .. }) = (member.sha256, &member.kind) {
                digests.insert(&member.path, sha256);
            }
        }
        let is_laid_down = package.signature.as_ref().map(laid_down);
        for (index, member) in package.members.iter().enumerate() {
            if is_laid_down.as_ref().is_some_and(|is_laid_down| !is_laid_down(&member.path)) {
                continue;
            }
            let sha256 = match &member.kind {
                Kind::HardLink { target } => digests.get(target).copied(),
                _ => member.sha256,
            };
            for (from, to) in &package.places {
                let place = |in_system| placed(package, in_system, seen);
                let path = from.rest_of(&member.path).and_then(|rest| joined(&to.0, rest));
                if let Some((path, in_system)) = path.and_then(place) {
                    claims.push(Claim { path, in_system, package: number, member: index, sha256 });
                }
            }
        }
    }
    claims.sort_by(|a, b| a.path.cmp(&b.path).then(a.package.cmp(&b.package)));
    claims
}

fn joined(to: &[u8], rest: &[u8]) -> Option<RelPath> {
    RelPath::normalise(&[to, rest].concat()).ok().filter(|path| !path.as_bytes().is_empty())
}

/// The actual path in the tree, and the one in the system.
fn placed(
    package: &PackageFiles<'_>,
    path: RelPath,
    seen: &Seen<'_>,
) -> Option<(RelPath, RelPath)> {
    let Some((system, of)) = package.of_system else { return Some((path.clone(), path)) };
    let in_system = diverted(system, of, path);
    let in_tree = system.folder.join(in_system.as_bytes()).ok()?;
    Some((seen.behind_links(&in_tree), in_system))
}

fn diverted(system: &InstalledSystem, package: &SystemPackage, path: RelPath) -> RelPath {
    match system.told.diverted.get(&path) {
        Some((elsewhere, keeper)) if keeper.as_ref() != Some(&package.name) => elsewhere.clone(),
        _ => path,
    }
}
