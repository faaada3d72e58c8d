//! The bill of materials (SBOM) of a tree: its packages by names that other tools know, and how each of them was found.
//!
//! Invariant: equal trees and packages give equal bytes. Nothing is fetched: what is not known is left out.

mod cyclonedx;
mod spdx;

use std::collections::{BTreeMap, BTreeSet};

use crate::detectors::{InstalledSystem, PackageUrl, Release, package_url};
use crate::model::{Digest, RelPath, Signature};

pub use cyclonedx::{Specification, cyclonedx};
pub use spdx::spdx;

/// A bill of materials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bom {
    /// What it is of: the name of an archive or a folder.
    pub subject: String,
    /// When that was made, in seconds since 1970 UTC, if it is known.
    pub made: Option<i64>,
    /// The version of the program that writes it.
    pub tool_version: String,
    /// The systems in the tree.
    pub systems: Vec<Release>,
    /// The packages, by their package URLs and digests.
    pub components: Vec<Component>,
}

/// A package of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// What everybody calls it.
    pub package_url: PackageUrl,
    /// Its digest, if it is known.
    pub sha256: Option<Digest>,
    /// Where it can be had from.
    pub urls: Vec<String>,
    /// Its files that were found by their digests; `None` if they were not looked for, or are not known.
    pub by_digest: Option<u64>,
    /// The number of files that the package has, if it is known.
    pub files: Option<u64>,
    /// Does a record of the tree (a list of installed packages, a lock file) name it?
    pub is_recorded: bool,
    /// Where in the tree it lies, or what names it there, sorted; at most [`MOST_PLACES`].
    pub places: Vec<RelPath>,
}

/// Number of places that are named of a package.
pub const MOST_PLACES: usize = 10;

/// A package that was found in a tree.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Its names in ecosystems.
    pub signatures: Vec<Signature>,
    /// Its URLs, the best first; empty if none is known.
    pub urls: Vec<String>,
    /// Its digest.
    pub sha256: Option<Digest>,
    /// See [`Component::by_digest`].
    pub by_digest: Option<u64>,
    /// See [`Component::files`].
    pub files: Option<u64>,
    /// See [`Component::is_recorded`].
    pub is_recorded: bool,
    /// Where it lies, or what names it.
    pub places: Vec<RelPath>,
}

impl Bom {
    /// The bill of a tree with these packages and systems. A package of several findings is one component.
    pub fn new(
        subject: &str,
        made: Option<i64>,
        tool_version: &str,
        found: Vec<Found>,
        systems: &[InstalledSystem],
    ) -> Self {
        let components = merged(found, systems);
        let releases: BTreeSet<(String, String, String)> = systems
            .iter()
            .map(|system| &system.release)
            .filter(|release| !release.id.is_empty())
            .map(|it| (it.id.clone(), it.version.clone(), it.name.clone()))
            .collect();
        let release = |(id, version, name)| Release { id, version, name };
        Self {
            subject: subject.to_owned(),
            made,
            tool_version: tool_version.to_owned(),
            systems: releases.into_iter().map(release).collect(),
            components,
        }
    }

    /// How many components there are of each type of package URL.
    pub fn kinds(&self) -> BTreeMap<&'static str, usize> {
        let mut kinds = BTreeMap::new();
        for component in &self.components {
            *kinds.entry(component.package_url.kind()).or_default() += 1;
        }
        kinds
    }

    /// The time at which it was made, as both formats write it.
    fn timestamp(&self) -> Option<String> {
        let time = jiff::Timestamp::from_second(self.made?).ok()?;
        Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
    }
}

/// The components, sorted: what was found, and what the systems name besides.
fn merged(found: Vec<Found>, systems: &[InstalledSystem]) -> Vec<Component> {
    // A package of a system: what everybody calls it says more than its signature.
    let mut installed: BTreeMap<&Signature, (PackageUrl, RelPath)> = BTreeMap::new();
    for system in systems {
        for package in &system.packages {
            let value = (package.package_url.clone(), system.folder.clone());
            installed.entry(&package.signature).or_insert(value);
        }
    }
    let mut components: BTreeMap<(String, Option<Digest>), Component> = BTreeMap::new();
    let mut add = |component: Component| {
        let key = (component.package_url.to_string(), component.sha256);
        match components.get_mut(&key) {
            Some(known) => known.absorb(component),
            None => drop(components.insert(key, component)),
        }
    };
    let mut seen = BTreeSet::new();
    for one in found {
        let of_system = one.signatures.iter().find_map(|name| installed.get_key_value(name));
        let url = one.urls.first().map_or("", String::as_str);
        let (package_url, is_recorded) = match of_system {
            Some((signature, (package_url, _))) => {
                seen.insert((*signature).clone());
                (package_url.clone(), true)
            }
            None => (package_url(one.signatures.first(), url), one.is_recorded),
        };
        add(Component {
            package_url,
            sha256: one.sha256,
            urls: one.urls,
            by_digest: one.by_digest,
            files: one.files,
            is_recorded,
            places: one.places,
        });
    }
    for (signature, (package_url, folder)) in &installed {
        if !seen.contains(*signature) {
            add(Component {
                package_url: package_url.clone(),
                sha256: None,
                urls: Vec::new(),
                by_digest: None,
                files: None,
                is_recorded: true,
                places: vec![folder.clone()],
            });
        }
    }
    without_doubles(components.into_values().collect())
}

/// Those without a digest of which another one, with the same name, has one, are a part of that.
fn without_doubles(components: Vec<Component>) -> Vec<Component> {
    let (mut with_digest, others): (Vec<_>, Vec<_>) =
        components.into_iter().partition(|one| one.sha256.is_some());
    for other in others {
        match with_digest.iter_mut().find(|one| one.package_url == other.package_url) {
            Some(one) => one.absorb(other),
            None => with_digest.push(other),
        }
    }
    with_digest.retain(|one| one.is_recorded || !one.is_fragment());
    for component in &mut with_digest {
        component.places.retain(|place| !place.as_bytes().is_empty());
        component.places.sort_unstable();
        component.places.dedup();
        component.places.truncate(MOST_PLACES);
    }
    with_digest.sort_by_cached_key(|one| (one.package_url.to_string(), one.sha256));
    with_digest
}

impl Component {
    /// Adds what another finding says of the same package.
    fn absorb(&mut self, other: Self) {
        self.by_digest = match (self.by_digest, other.by_digest) {
            (Some(one), Some(another)) => Some(one.max(another)),
            (one, another) => one.or(another),
        };
        self.files = self.files.or(other.files);
        self.is_recorded |= other.is_recorded;
        for url in other.urls {
            if !self.urls.contains(&url) {
                self.urls.push(url);
            }
        }
        self.places.extend(other.places);
    }

    /// Is less than half of it there? Many packages share a licence or a table of time zones.
    fn is_fragment(&self) -> bool {
        let known = self.by_digest.zip(self.files);
        known.is_some_and(|(by_digest, files)| by_digest < files / 2)
    }

    /// What identifies it within the document.
    fn reference(&self) -> String {
        match &self.sha256 {
            Some(sha256) => format!("{}#sha256:{sha256}", self.package_url),
            None => self.package_url.to_string(),
        }
    }

    /// How it was found, in words.
    fn evidence(&self) -> String {
        match (self.by_digest.filter(|files| *files > 0), self.files, self.is_recorded) {
            (Some(found), Some(all), _) => {
                format!(
                    "{found} files of the tree are of this package by their SHA-256; it has {all}"
                )
            }
            (Some(1), None, _) => "1 file of the tree is of this package by its SHA-256".to_owned(),
            (Some(found), None, _) => {
                format!("{found} files of the tree are of this package by their SHA-256")
            }
            (None, _, true) => "a record in the tree names it".to_owned(),
            (None, _, false) => "the archive relies on it".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(text: &str) -> Signature {
        text.parse().unwrap()
    }

    fn found(name: &str, bytes: &str, files: u64) -> Found {
        Found {
            signatures: vec![signature(name)],
            urls: vec![format!("https://a.example/{name}")],
            sha256: Some(Digest::of(bytes.as_bytes())),
            by_digest: Some(files),
            ..Found::default()
        }
    }

    #[test]
    fn what_several_say_of_a_package_is_one_component() {
        let recorded = Found {
            sha256: None,
            by_digest: None,
            is_recorded: true,
            places: vec![RelPath::new("app/lock").unwrap()],
            ..found("npm:a@1", "", 0)
        };
        let all = vec![found("npm:a@1", "a", 3), recorded, found("npm:b@2", "b", 1)];
        let bom = Bom::new("x", None, "1", all, &[]);
        let names: Vec<String> =
            bom.components.iter().map(|one| one.package_url.to_string()).collect();
        assert_eq!(names, ["pkg:npm/a@1", "pkg:npm/b@2"]);
        assert_eq!(bom.components[0].by_digest, Some(3));
        assert_eq!(bom.kinds(), BTreeMap::from([("npm", 2)]));
    }

    #[test]
    fn what_shares_a_few_files_with_a_package_has_not_got_it() {
        let of = |files, is_recorded| Found {
            files: Some(files),
            is_recorded,
            ..found("npm:a@1", "a", 3)
        };
        for (files, is_recorded, expected) in [(7, false, 1), (8, false, 0), (80, true, 1)] {
            let bom = Bom::new("x", None, "1", vec![of(files, is_recorded)], &[]);
            assert_eq!(bom.components.len(), expected, "{files} {is_recorded}");
        }
    }

    #[test]
    fn equal_bills_are_equal_bytes_and_others_have_another_number() {
        let bom = |files| {
            let all = vec![found("npm:a@1", "a", files), found("gem:b-2", "b", 1)];
            Bom::new("x", Some(1_700_000_000), "1", all, &[])
        };
        for write in [
            |bom: &Bom| cyclonedx(bom, Specification::V1_6),
            |bom: &Bom| cyclonedx(bom, Specification::V1_5),
            spdx,
        ] {
            assert_eq!(write(&bom(1)), write(&bom(1)));
            let number = |bytes: Vec<u8>| {
                let text = String::from_utf8(bytes).unwrap();
                text.split("urn:uuid:").nth(1).unwrap()[..36].to_owned()
            };
            assert_ne!(number(write(&bom(1))), number(write(&bom(2))));
            assert!(String::from_utf8(write(&bom(1))).unwrap().contains("2023-11-14T22:13:20Z"));
        }
    }
}
