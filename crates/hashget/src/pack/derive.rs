//! Which archived files recipes make out of the packages of a plan.
//!
//! Invariant: a file is left out only if its recipe was carried out here, on what the package has by its digest, and made exactly
//! the bytes that the tree has.

use std::cell::OnceCell;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;

use super::PackError;
use super::plan::{ChosenPackage, Plan, ReadMembers};
use super::verdict::{Verdict, Verdicts};
use crate::derived::{
    Ingredient, Ingredients, MOST_INPUT_BYTES, MOST_NAME_BYTES, Made, Proposal, Scene, proposals,
    recipe,
};
use crate::hashdb::HashDbError;
use crate::model::manifest::{Derived, EntryTable, Package};
use crate::model::{Digest, Entry, Evidence, Kind, RelPath};
use crate::monitor::Monitor;
use crate::tree::Scan;

/// Smaller files cost as much to name as to archive.
const LEAST_BYTES: u64 = 512;

/// May a recipe leave out an entry with this verdict, if it makes it?
pub(super) fn is_wanted(entry: &Entry, verdict: Verdict) -> bool {
    let is_archived = matches!(verdict, Verdict::Archived(reason) if !reason.is_final());
    is_archived && matches!(entry.kind, Kind::File { .. }) && entry.size() >= LEAST_BYTES
}

/// The contents of the regular file at `path`, up to [`MOST_INPUT_BYTES`]; `None` if it has more, or cannot be read.
pub(super) fn contents(scan: &Scan, path: &RelPath) -> Option<Vec<u8>> {
    let entry = scan.entries.at(path)?;
    if !matches!(entry.kind, Kind::File { .. }) || entry.size() > MOST_INPUT_BYTES {
        return None;
    }
    let mut contents = Vec::new();
    let file = scan.root.open_file(path).ok()?;
    file.take(MOST_INPUT_BYTES + 1).read_to_end(&mut contents).ok()?;
    (contents.len() as u64 <= MOST_INPUT_BYTES).then_some(contents)
}

/// Adds single entries to those that the package gives, each with its member.
pub(super) fn add_files(package: &mut Package, more: Vec<(Entry, RelPath)>) {
    let files = package.files.entries().map(|row| row.expect("the plan has made this table"));
    let mut rows: Vec<(Entry, Option<RelPath>)> = files.collect();
    rows.extend(more.into_iter().map(|(entry, from)| (entry, Some(from))));
    rows.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
    let from = rows.iter().map(|(_, from)| from.clone()).collect();
    package.files = EntryTable::new(rows.iter().map(|(row, _)| row)).with_from(from);
}

/// Leaves out of a plan what recipes make out of its packages.
pub(super) fn derive(
    scan: &Scan,
    packages: &[ChosenPackage<'_>],
    read: ReadMembers<'_>,
    plan: &mut Plan,
    monitor: &dyn Monitor,
) -> Result<(), PackError> {
    let Plan { packages: manifest, chosen, verdicts, .. } = plan;
    for (number, package) in manifest.iter_mut().enumerate() {
        monitor.check_interrupted()?;
        let chosen = &packages[chosen[number]];
        // What is made out of a package must not depend on members that nobody knows.
        if chosen.record.evidence < Evidence::Signed {
            continue;
        }
        let (members, error) = (OnceCell::new(), OnceCell::new());
        let gather = || match members_of(chosen, read) {
            Ok(members) => members,
            Err(failed) => {
                let _ = error.set(failed);
                Vec::new()
            }
        };
        let tree = Tree { scan, verdicts, package, members: &members, gather: &gather };
        let rows = tree.rows();
        if let Some(error) = error.into_inner() {
            return Err(error.into());
        }
        add(package, number, rows, verdicts);
    }
    Ok(())
}

/// A file that a recipe has made.
struct Row {
    index: usize,
    entry: Entry,
    derived: Derived,
}

/// Adds what was made to what the package gives.
fn add(package: &mut Package, number: usize, made: Vec<Row>, verdicts: &mut Verdicts) {
    if made.is_empty() {
        return;
    }
    let mut rows = Vec::new();
    for Row { index, entry, derived } in made {
        // Two recipes may have made it.
        if verdicts.is_given(index) {
            continue;
        }
        verdicts.set(index, Verdict::Given { package: number });
        rows.push((entry, Derived::path(package.derived.len())));
        package.derived.push(derived);
    }
    add_files(package, rows);
}

/// The members of a package; none if they or their names are too many to be kept, or one of them could be taken for a derived one.
fn members_of(
    chosen: &ChosenPackage<'_>,
    read: ReadMembers<'_>,
) -> Result<Vec<Ingredient>, HashDbError> {
    let mut found = Vec::new();
    chosen.with_members(read, |members| {
        if !members.are_kept() {
            return Ok::<(), HashDbError>(());
        }
        members.each(&mut |_, member| found.push(Ingredient::from(member)))
    })?;
    let name_bytes: usize = found.iter().map(|member| member.path.as_bytes().len()).sum();
    if name_bytes > MOST_NAME_BYTES || found.iter().any(|one| Derived::is_path(&one.path)) {
        found.clear();
    }
    Ok(found)
}

/// The tree that is packed, and one package.
struct Tree<'t> {
    scan: &'t Scan,
    verdicts: &'t Verdicts,
    package: &'t Package,
    /// The members of the package, once somebody has asked for them.
    members: &'t OnceCell<Vec<Ingredient>>,
    gather: &'t dyn Fn() -> Vec<Ingredient>,
}

impl Tree<'_> {
    /// The files that come out of recipes as they are in the tree.
    fn rows(&self) -> Vec<Row> {
        proposals(self).into_iter().filter_map(|proposal| self.row(proposal)).collect()
    }

    /// The file that is proposed, if its recipe makes it.
    fn row(&self, proposal: Proposal) -> Option<Row> {
        let Proposal { path, derived, contents } = proposal;
        if contents.as_ref().is_some_and(|input| input.len() as u64 > MOST_INPUT_BYTES) {
            return None;
        }
        let (index, size) = self.wanted(&path)?;
        let entry = self.scan.entries[index].clone();
        let mut made = Made::new(size);
        let from = Ingredients { members: self.members(), contents: contents.as_deref() };
        recipe(&derived.recipe).and_then(|one| one.make(&derived, &from, &mut made)).ok()?;
        let is_right =
            made.bytes().len() as u64 == size && entry.sha256 == Some(Digest::of(made.bytes()));
        is_right.then_some(Row { index, entry, derived })
    }

    /// The index and size of the regular file at `path` that may be left out and that nothing gives.
    fn wanted(&self, path: &RelPath) -> Option<(usize, u64)> {
        let entries = &self.scan.entries;
        let index = entries.position(path)?;
        let entry = &entries[index];
        is_wanted(entry, self.verdicts.get(index)).then(|| (index, entry.size()))
    }
}

impl Scene for Tree<'_> {
    fn package(&self) -> &Package {
        self.package
    }

    fn members(&self) -> &[Ingredient] {
        self.members.get_or_init(self.gather)
    }

    fn is_wanted(&self, path: &RelPath) -> bool {
        self.wanted(path).is_some()
    }

    fn contents(&self, path: &RelPath) -> Option<Vec<u8>> {
        contents(self.scan, path)
    }

    fn absolute(&self, folder: &[u8]) -> Vec<String> {
        let folder = folder.strip_suffix(b"/").unwrap_or(folder);
        let below = if folder.is_empty() { Vec::new() } else { [b"/", folder].concat() };
        let root = self.scan.root.path().as_os_str().as_bytes();
        // The tree as it is named here, or as the system that it is.
        [root.strip_suffix(b"/").unwrap_or(root), b""]
            .into_iter()
            .filter_map(|root| String::from_utf8([root, &below].concat()).ok())
            .filter(|path| !path.is_empty())
            .collect()
    }
}
