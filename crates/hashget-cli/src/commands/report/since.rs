//! What has changed since an earlier archive.
//!
//! Invariant: nothing is fetched for it; where the files of a package are not known by name, that is said.

use std::collections::BTreeSet;
use std::path::Path;

use hashget::archive::{Change, Difference, Requirements};
use hashget::model::manifest::AnyManifest;
use hashget::model::{Digest, escaped};

use super::subject::subject;
use crate::archive::Knowledge;
use crate::commands::diff::labels;
use crate::compared::{Tree, compare};
use crate::environment::Environment;
use crate::output::{counted, size};

/// Maximum number of rows in a table.
const ROWS: usize = 20;

/// The section of the page.
pub(super) struct Since {
    /// What it is compared with.
    pub(super) earlier: String,
    /// What came of it, in sentences.
    pub(super) sentences: Vec<String>,
    /// The largest differences.
    pub(super) rows: Vec<SinceRow>,
    /// Number of differences that have no row.
    pub(super) more: usize,
}

/// A difference.
pub(super) struct SinceRow {
    pub(super) path: String,
    pub(super) what: String,
    pub(super) size: String,
}

/// Compares the archive or folder at `path` with the one at `earlier`.
pub(super) fn since(
    earlier: &Path,
    path: &Path,
    environment: &Environment<'_>,
) -> anyhow::Result<Since> {
    let (mut before, mut after) = Tree::read_both(earlier, path, environment)?;
    let mut sentences = Vec::new();
    if let (Tree::Archive(before), Tree::Archive(after)) = (&before, &after) {
        sentences.extend(of_packages(&before.0, &after.0)?);
        sentences.extend(of_files(earlier, path));
    }
    let knowledge = Knowledge::new(environment, false)?.with_digests();
    let mut compared = compare(&mut before, &mut after, &knowledge, environment)?;
    compared.sort_by_weight();
    let totals = compared.totals().lines();
    sentences.splice(0..0, totals.into_iter().map(|line| line + "."));
    if !compared.unknown.is_empty() {
        let parts = counted(compared.unknown.len() as u64, "part", "parts");
        sentences.push(format!(
            "Not compared: {parts} of packages whose files are not known by name; `hashget diff --fetch` compares them."
        ));
    }
    let found = || compared.differences.iter().filter(|one| one.change != Change::Unknown);
    let rows: Vec<SinceRow> = found().take(ROWS).map(row).collect();
    let more = found().count() - rows.len();
    Ok(Since { earlier: escaped(subject(earlier, false).title.as_bytes()), sentences, rows, more })
}

/// Which packages were added, and which are needed no more.
fn of_packages(before: &AnyManifest, after: &AnyManifest) -> anyhow::Result<Option<String>> {
    let digests = |manifest| {
        let requirements = Requirements::from_manifest(manifest)?;
        let digests = requirements.packages.iter().map(|package| package.sha256);
        anyhow::Ok(digests.collect::<BTreeSet<Digest>>())
    };
    let (before, after) = (digests(before)?, digests(after)?);
    let added = after.difference(&before).count() as u64;
    let removed = before.difference(&after).count();
    let text = || {
        let packages = counted(added, "package", "packages");
        format!("{packages} more to rely on, and {removed} that it needs no more.")
    };
    Ok((added > 0 || removed > 0).then(text))
}

/// How large both archives are.
fn of_files(before: &Path, after: &Path) -> Option<String> {
    let length = |path: &Path| {
        fs_err::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|found| found.len())
    };
    let (before, after) = (length(before)?, length(after)?);
    Some(format!("The archive has {}; the earlier one has {}.", size(after), size(before)))
}

fn row(difference: &Difference) -> SinceRow {
    let Difference { path, before, after, change } = difference;
    let (what, bytes) = match change {
        Change::Added => ("added".to_owned(), *after),
        Change::Removed => ("removed".to_owned(), *before),
        Change::Changed(aspects) if before != after => {
            (format!("{}; was {}", labels(aspects), size(*before)), *after)
        }
        Change::Changed(aspects) => (labels(aspects), *after),
        Change::Unknown => ("not compared".to_owned(), *after),
    };
    SinceRow { path: escaped(path.as_bytes()), what, size: size(bytes) }
}
