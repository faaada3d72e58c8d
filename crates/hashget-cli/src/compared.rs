//! Two trees, each an archive or a folder, compared entry by entry.
//!
//! Invariant: what is not known of one side is no difference: it is told apart.

use std::path::Path;

use hashget::archive::{
    Change, Difference, Listing, StoredEntries, differences, manifest_path, read_folder_manifest,
};
use hashget::model::manifest::{AnyManifest, ManifestError, Placement, Regenerable};
use hashget::model::{Amount, Digest, Entry, Kind, RelPath, add_bytes};
use hashget::tree::{Entries, ScanOptions, scan};

use crate::archive::{self, Knowledge};
use crate::environment::Environment;
use crate::output::{counted, size};
use crate::selection::regenerable;

/// One of the trees, as it was read.
pub(crate) enum Tree {
    /// A folder, and how much in it the other tree's profiles exclude.
    Folder(Entries, Amount),
    /// An archive.
    Archive(Box<(AnyManifest, StoredEntries)>),
}

/// What can be compared of a tree.
enum Side<'t> {
    Folder(&'t Entries),
    Archive(Listing<'t>, Vec<Part<'t>>),
}

/// A part of a package whose files are not known by name.
#[derive(PartialEq, Eq)]
struct Part<'t> {
    package: Digest,
    placement: &'t Placement,
}

/// How two trees differ.
#[derive(Default)]
pub(crate) struct Compared {
    /// The differences, by path.
    pub(crate) differences: Vec<Difference>,
    /// Where packages lie whose files are not known, and that are not the same on both sides.
    pub(crate) unknown: Vec<String>,
    /// What the profiles of one side exclude and the other has: it is not compared.
    pub(crate) regenerable: Amount,
}

/// Numbers of differences, and by how many bytes files grew and shrank.
#[derive(Default)]
pub(crate) struct Totals {
    pub(crate) added: u64,
    pub(crate) removed: u64,
    pub(crate) changed: u64,
    /// Of these, no digest says whether the contents are the same.
    pub(crate) unknown: u64,
    pub(crate) bytes_added: u64,
    pub(crate) bytes_removed: u64,
}

impl Compared {
    /// Puts the largest differences first.
    pub(crate) fn sort_by_weight(&mut self) {
        self.differences.sort_by(|a, b| b.weight().cmp(&a.weight()).then(a.path.cmp(&b.path)));
    }

    /// What is told of files that profiles exclude, if there are any.
    pub(crate) fn not_compared(&self) -> Option<String> {
        let amount = regenerable::amount_text(self.regenerable);
        (self.regenerable.files > 0)
            .then(|| format!("{amount} not compared: a profile excluded them from the archive"))
    }

    /// Counts them.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for Difference { change, before, after, .. } in &self.differences {
            *match change {
                Change::Added => &mut totals.added,
                Change::Removed => &mut totals.removed,
                Change::Changed(_) => &mut totals.changed,
                Change::Unknown => &mut totals.unknown,
            } += 1;
            add_bytes(&mut totals.bytes_added, after.saturating_sub(*before));
            add_bytes(&mut totals.bytes_removed, before.saturating_sub(*after));
        }
        totals
    }
}

impl Totals {
    /// What people are told, in one or two lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        let entries = |number| counted(number, "entry", "entries");
        let mut lines = vec![format!(
            "{} added, {} removed, {} changed; files grew by {} and shrank by {}",
            entries(self.added),
            self.removed,
            self.changed,
            size(self.bytes_added),
            size(self.bytes_removed),
        )];
        if self.unknown > 0 {
            let unknown = entries(self.unknown);
            lines.push(format!("Contents of {unknown} not compared: no digest is known"));
        }
        lines
    }
}

impl Tree {
    /// Reads two trees, each the folder or archive at its path. A folder into which an archive was only unpacked by tar is that
    /// archive.
    pub(crate) fn read_both(
        before: &Path,
        after: &Path,
        environment: &Environment<'_>,
    ) -> anyhow::Result<(Self, Self)> {
        let is_folder = |path: &Path| {
            let has_manifest = || read_folder_manifest(path, &environment.limits).is_ok();
            path != Path::new("-") && path.is_dir() && !has_manifest()
        };
        let read = |path: &Path| -> anyhow::Result<Self> {
            Ok(Self::Archive(Box::new(archive::contents(path, environment)?)))
        };
        // What an archive's profiles exclude is known before a folder is read.
        Ok(match (is_folder(before), is_folder(after)) {
            (false, false) => (read(before)?, read(after)?),
            (true, true) => {
                (Self::folder(before, &[], environment)?, Self::folder(after, &[], environment)?)
            }
            (false, true) => {
                let before = read(before)?;
                let after = Self::folder(after, before.excluded(), environment)?;
                (before, after)
            }
            (true, false) => {
                let after = read(after)?;
                (Self::folder(before, after.excluded(), environment)?, after)
            }
        })
    }

    /// What its profiles exclude.
    fn excluded(&self) -> &[Regenerable] {
        match self {
            Self::Folder(..) => &[],
            Self::Archive(archive) => archive.0.regenerable(),
        }
    }

    /// Reads a folder, without what is `excluded` by profiles of the tree with which it is compared.
    pub(crate) fn folder(
        path: &Path,
        excluded: &[Regenerable],
        environment: &Environment<'_>,
    ) -> anyhow::Result<Self> {
        let options = ScanOptions {
            regenerable: regenerable::globs(excluded),
            cache: environment.scan_cache(),
            jobs: environment.jobs,
            ..ScanOptions::default()
        };
        let scanned = scan(path, &options, environment.console)?;
        let (mut entries, regenerable) = (scanned.entries, scanned.regenerable);
        let own = entries.position(&manifest_path());
        entries.retain(|index| Some(index) != own);
        Ok(Self::Folder(entries, regenerable.into_values().sum()))
    }

    /// What it has and the other tree's profiles exclude.
    pub(crate) fn regenerable(&self) -> Amount {
        match self {
            Self::Folder(_, regenerable) => *regenerable,
            Self::Archive(_) => Amount::default(),
        }
    }

    fn side<'t>(
        &'t mut self,
        knowledge: &Knowledge,
        environment: &Environment<'_>,
    ) -> anyhow::Result<Side<'t>> {
        let (manifest, stored) = match self {
            Self::Folder(entries, _) => return Ok(Side::Folder(entries)),
            Self::Archive(archive) => (&archive.0, std::mem::take(&mut archive.1)),
        };
        let listing = knowledge.list(manifest, stored, &|_| true, environment)?;
        let part = |package: usize, placement| match manifest {
            AnyManifest::V2(manifest) => {
                Some(Part { package: manifest.packages.get(package)?.sha256, placement })
            }
            AnyManifest::V1(_) => None,
        };
        let parts = listing.unnamed().iter();
        let parts = parts.filter_map(|one| part(one.package, one.placement)).collect();
        Ok(Side::Archive(listing, parts))
    }
}

impl Side<'_> {
    fn entries(&self) -> Box<dyn Iterator<Item = Result<Entry, ManifestError>> + '_> {
        match self {
            Self::Archive(listing, _) => {
                Box::new(listing.entries().map(|listed| listed.map(|listed| listed.entry)))
            }
            Self::Folder(entries) => Box::new(entries.iter().enumerate().map(|(index, entry)| {
                let Kind::HardLink { target } = &entry.kind else { return Ok(entry.clone()) };
                let kind = Kind::HardLink { target: target.clone() };
                Ok(Entry { path: entry.path.clone(), kind, ..entries.file(index).clone() })
            })),
        }
    }

    fn parts(&self) -> &[Part<'_>] {
        match self {
            Self::Archive(_, parts) => parts,
            Self::Folder(_) => &[],
        }
    }
}

/// Compares two trees.
pub(crate) fn compare(
    before: &mut Tree,
    after: &mut Tree,
    knowledge: &Knowledge,
    environment: &Environment<'_>,
) -> anyhow::Result<Compared> {
    let regenerable = [before.regenerable(), after.regenerable()].into_iter().sum();
    let before = before.side(knowledge, environment)?;
    let after = after.side(knowledge, environment)?;
    let mut places: Vec<&[u8]> = Vec::new();
    for (here, there) in [(before.parts(), after.parts()), (after.parts(), before.parts())] {
        let other = here.iter().filter(|part| !there.contains(part));
        places.extend(other.map(|part| &*part.placement.to.0));
    }
    places.sort_unstable();
    places.dedup();
    let is_known = |path: &RelPath| !places.iter().any(|to| path.as_bytes().starts_with(to));
    let mut compared = Compared { regenerable, ..Compared::default() };
    differences(before.entries(), after.entries(), &mut |difference| {
        let is_both = matches!(difference.change, Change::Changed(_) | Change::Unknown);
        if is_both || is_known(&difference.path) {
            compared.differences.push(difference);
        }
    })?;
    compared.unknown = places.iter().map(|to| hashget::model::escaped(to)).collect();
    Ok(compared)
}
