//! The largest paths in an archive: the few that make up most of its bytes.
//!
//! Invariant: pure; no reported path lies within another one, so their sizes never add up to more than what
//! is archived.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::verdict::Verdicts;
use crate::model::{Entry, Kind, RelPath};

/// A file or folder, and how much of it is archived.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Heavy {
    /// Size of the archived files in bytes.
    pub bytes: u64,
    /// Number of archived files.
    pub files: u64,
    /// Its path.
    pub path: RelPath,
    /// Is it a folder?
    pub is_folder: bool,
}

/// Number of paths reported.
const REPORTED: usize = 8;

/// Folders this deep stand for their contents, whatever these are: looking into a folder takes time for the whole tree.
const DEEPEST: usize = 32;

/// Number of paths considered in one folder, which may contain millions.
const CONSIDERED: usize = 64;

/// The largest paths of what is archived, largest first. A folder stands for its contents, unless one item
/// makes up at least half of it: then that item is reported, and the rest separately.
pub(super) fn heaviest(
    entries: &[Entry],
    verdicts: &Verdicts,
    in_pieces: &HashMap<usize, u64>,
) -> Vec<Heavy> {
    let archived = Archived { entries, verdicts, in_pieces };
    let folders = folders(archived);
    let within = |folder: &RelPath| within(archived, &folders, folder);
    let mut waiting = BinaryHeap::from(within(&RelPath::root()));
    let mut reported = Vec::new();
    while let Some(heavy) = waiting.pop().filter(|_| reported.len() < REPORTED) {
        let depth = heavy.path.as_bytes().iter().filter(|&&byte| byte == b'/').count();
        let is_opened = heavy.is_folder && depth < DEEPEST;
        let within = if is_opened { within(&heavy.path) } else { Vec::new() };
        if within.iter().any(|one| one.bytes >= heavy.bytes.div_ceil(2)) {
            waiting.extend(within);
        } else {
            reported.push(heavy);
        }
    }
    reported
}

type Folders = HashMap<RelPath, (u64, u64)>;

/// What is archived.
#[derive(Clone, Copy)]
struct Archived<'a> {
    entries: &'a [Entry],
    verdicts: &'a Verdicts,
    /// By index, of files that are made of pieces: the bytes that packages give.
    in_pieces: &'a HashMap<usize, u64>,
}

/// The archived files with their sizes in bytes.
fn files(archived: Archived<'_>) -> impl Iterator<Item = (&RelPath, u64)> {
    let Archived { entries, verdicts, in_pieces } = archived;
    let archived =
        entries.iter().enumerate().filter(move |&(index, _)| verdicts.is_archived(index));
    archived.filter_map(move |(index, entry)| match entry.kind {
        Kind::File { size: bytes @ 1.. } => {
            let given = in_pieces.get(&index).copied().unwrap_or_default();
            Some((&entry.path, bytes.saturating_sub(given)))
        }
        _ => None,
    })
}

/// Size and number of files of each folder except the top one.
fn folders(archived: Archived<'_>) -> Folders {
    let mut folders = Folders::new();
    let mut add = |mut folder: RelPath, bytes: u64, files: u64| {
        while !folder.is_root() {
            let above = folder.parent().unwrap_or_default();
            let (sum, count) = folders.entry(folder).or_default();
            *sum = sum.saturating_add(bytes);
            *count += files;
            folder = above;
        }
    };
    // Most files are in the same folder as the one before.
    let (mut last, mut bytes, mut count) = (RelPath::root(), 0_u64, 0);
    for (path, size) in files(archived) {
        let folder = path.parent().unwrap_or_default();
        if folder != last {
            add(std::mem::replace(&mut last, folder), bytes, count);
            (bytes, count) = (0, 0);
        }
        bytes = bytes.saturating_add(size);
        count += 1;
    }
    add(last, bytes, count);
    folders
}

/// The largest items directly in a folder.
fn within(archived: Archived<'_>, folders: &Folders, folder: &RelPath) -> Vec<Heavy> {
    let below = if folder.is_root() { Vec::new() } else { [folder.as_bytes(), b"/"].concat() };
    let directly = |path: &RelPath| {
        let rest = path.as_bytes().strip_prefix(&*below);
        rest.is_some_and(|rest| !rest.contains(&b'/'))
    };
    let files = files(archived)
        .filter(|(path, _)| directly(path))
        .map(|(path, bytes)| (bytes, 1, path, false));
    let inner = folders
        .iter()
        .filter(|(path, _)| directly(path))
        .map(|(path, &(bytes, files))| (bytes, files, path, true));
    // The smallest of those that are kept comes first.
    let mut kept = BinaryHeap::new();
    for (bytes, files, path, is_folder) in files.chain(inner) {
        let full = kept.len() == CONSIDERED;
        if full && kept.peek().is_some_and(|Reverse(least): &Reverse<Heavy>| least.bytes > bytes) {
            continue;
        }
        kept.push(Reverse(Heavy { bytes, files, path: path.clone(), is_folder }));
        if full {
            kept.pop();
        }
    }
    kept.into_iter().map(|Reverse(heavy)| heavy).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Metadata;
    use crate::pack::verdict::{Reason, Verdict};

    fn entry(path: &str, size: u64) -> Entry {
        Entry {
            path: RelPath::new(path).unwrap(),
            kind: Kind::File { size },
            metadata: Metadata::default(),
            sha256: None,
            extents: None,
        }
    }

    fn verdicts(archived: &[bool]) -> Verdicts {
        let verdict = |&archived: &bool| match archived {
            true => Verdict::Archived(Reason::Unknown),
            false => Verdict::Given { package: 0 },
        };
        archived.iter().map(verdict).collect()
    }

    fn reported(entries: &[Entry], archived: &[bool]) -> Vec<(String, u64, u64)> {
        let heaviest = heaviest(entries, &verdicts(archived), &HashMap::new());
        heaviest.iter().map(|one| (one.path.to_string(), one.bytes, one.files)).collect()
    }

    #[test]
    fn a_folder_stands_for_many_and_a_giant_for_itself() {
        let mut entries: Vec<Entry> =
            (0..100).map(|number| entry(&format!("var/mail/{number:02}"), 10)).collect();
        entries.push(entry("var/lib/db/log", 5000));
        entries.push(entry("var/lib/db/small", 3));
        entries.push(entry("etc/known", 9000));
        let mut archived = vec![true; entries.len()];
        archived[102] = false;
        let expected = [
            ("var/lib/db/log".to_owned(), 5000, 1),
            ("var/mail".to_owned(), 1000, 100),
            ("var/lib/db/small".to_owned(), 3, 1),
        ];
        assert_eq!(reported(&entries, &archived), expected);
        assert_eq!(reported(&entries, &vec![false; entries.len()]), []);
    }

    #[test]
    fn very_deep_folders_stand_for_their_contents() {
        let deep = "f/".repeat(1000);
        let found = reported(&[entry(&format!("{deep}file"), 9)], &[true]);
        let expected = deep[..2 * DEEPEST + 1].to_owned();
        assert_eq!(found, [(expected, 9, 1)]);
    }

    #[test]
    fn never_more_than_a_few_and_never_one_within_another() {
        let entries: Vec<Entry> = (0..50)
            .flat_map(|folder| (0..4).map(move |file| entry(&format!("{folder:02}/{file}"), 7)))
            .collect();
        let verdicts = verdicts(&vec![true; entries.len()]);
        let reported = heaviest(&entries, &verdicts, &HashMap::new());
        assert_eq!(reported.len(), REPORTED);
        assert!(reported.iter().all(|heavy| heavy.is_folder && heavy.bytes == 28), "{reported:?}");
    }
}
