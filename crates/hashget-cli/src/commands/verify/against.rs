//! `verify --against`: is a folder still what was packed?
//!
//! Invariant: "exactly" is said only if the tree digest says so; otherwise every difference that is known is counted, and
//! what is not known is said to be so.

use std::path::Path;

use hashget::archive::{Change, StoredEntries};
use hashget::model::Digest;
use hashget::model::manifest::{AnyManifest, Regenerable};
use hashget::monitor::{Monitor, ProblemKind};
use serde_json::json;

use super::super::diff::labels;
use crate::archive::Knowledge;
use crate::compared::{Compared, Tree, compare};
use crate::environment::Environment;
use crate::output::{counted, safe};

/// Number of entries that are named of each kind.
const NAMED: usize = 10;

/// What an archive was made of.
pub(super) struct Packed<R> {
    /// The tree digest, if the manifest has one.
    pub(super) tree: Option<Digest>,
    /// What profiles exclude.
    pub(super) excluded: Vec<Regenerable>,
    /// Reads the rest, if that is not enough.
    pub(super) read: R,
}

/// Compares `folder` with what an archive was made of.
pub(super) fn verify(
    folder: &Path,
    packed: Packed<impl FnOnce() -> anyhow::Result<(AnyManifest, StoredEntries)>>,
    is_archive_wrong: bool,
    mut lines: Vec<String>,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let console = environment.console;
    let name = folder.display().to_string();
    let mut found = Tree::folder(folder, &packed.excluded, environment)?;
    let is_exact = match &found {
        Tree::Folder(entries, _) => packed.tree == Some(entries.tree_digest()),
        Tree::Archive(_) => false,
    };
    let regenerable = found.regenerable();
    let mut compared = Compared { regenerable, ..Compared::default() };
    if !is_exact {
        let knowledge = Knowledge::new(environment, false)?.with_digests();
        let mut packed = Tree::Archive(Box::new((packed.read)()?));
        compared = compare(&mut packed, &mut found, &knowledge, environment)?;
    }
    let sums = report(&name, &compared, environment);
    let differs = sums.changed + sums.absent > 0;
    for place in &compared.unknown {
        let place = if place.is_empty() { "." } else { place };
        let why = "not compared: which files of a package lie there is not known";
        (console as &dyn Monitor).problem(ProblemKind::Incomplete, place, why);
    }
    let body = json!({
        "archive_is_whole": !is_archive_wrong,
        "exact": is_exact,
        "changed": sums.changed,
        "absent": sums.absent,
        "strays": sums.strays,
        "not_compared": sums.unknown,
        "regenerable_files": regenerable.files,
        "regenerable_bytes": regenerable.bytes,
    });
    let name = safe(&name);
    lines.push(match (is_exact, differs) {
        (true, _) => format!("{name} is exactly what was packed"),
        (false, true) => format!("{name} is NOT what was packed any more"),
        (false, false) => {
            format!("{name}: no difference is known, but its tree digest is another one")
        }
    });
    if let (false, false, strays @ 1..) = (is_exact, differs, sums.strays) {
        let strays = counted(strays, "entry", "entries");
        lines.pop();
        lines.push(format!(
            "{name} has all that is known of what was packed, besides {strays} of its own"
        ));
    }
    lines.extend(compared.not_compared());
    console.summary("verify", body, &lines)?;
    Ok(())
}

/// Numbers of entries.
#[derive(Default)]
struct Sums {
    changed: u64,
    absent: u64,
    strays: u64,
    unknown: u64,
}

/// Reports the differences, some of each kind by name.
fn report(folder: &str, compared: &Compared, environment: &Environment<'_>) -> Sums {
    let mut sums = Sums::default();
    let mut names: [Vec<String>; 4] = Default::default();
    for difference in &compared.differences {
        let path = difference.path.to_string();
        let (count, names, name) = match &difference.change {
            Change::Changed(aspects) => {
                (&mut sums.changed, &mut names[0], format!("{path} ({})", labels(aspects)))
            }
            Change::Removed => (&mut sums.absent, &mut names[1], path),
            Change::Added => (&mut sums.strays, &mut names[2], path),
            Change::Unknown => (&mut sums.unknown, &mut names[3], path),
        };
        *count += 1;
        if names.len() < NAMED {
            names.push(name);
        }
    }
    let monitor: &dyn Monitor = environment.console;
    let (bad, note) = (ProblemKind::Verification, ProblemKind::Note);
    for (kind, count, names, what) in [
        (bad, sums.changed, &names[0], "changed since it was packed"),
        (bad, sums.absent, &names[1], "of the archive not there"),
        (note, sums.strays, &names[2], "there that the archive does not have"),
        (
            ProblemKind::Incomplete,
            sums.unknown,
            &names[3],
            "not compared, since no digest is known",
        ),
    ] {
        if count > 0 {
            let more = count - names.len() as u64;
            let more = if more > 0 {
                format!(" and {}", counted(more, "more", "more"))
            } else {
                String::new()
            };
            let entries = counted(count, "entry", "entries");
            monitor.problem(kind, folder, format!("{entries} {what}: {}{more}", names.join(", ")));
        }
    }
    sums
}
