//! Where the bytes of an archive went: the few paths that hold most of them.
//!
//! Invariant: pure; no path that is told lies within another one that is, so that their bytes add up to
//! no more than what is archived.

use std::collections::{BinaryHeap, HashMap};

use crate::model::{Entry, Kind, RelPath};

/// A file or folder, and what is archived of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Heavy {
    /// Bytes of the archived files.
    pub bytes: u64,
    /// How many there are.
    pub files: u64,
    /// Where.
    pub path: RelPath,
    /// Is it a folder?
    pub is_folder: bool,
}

/// So many are told.
const TOLD: usize = 8;

/// The heaviest paths of what is archived, heaviest first. A folder stands for what is in it, unless one
/// thing in it makes up at least half of it: then that is told, and the rest by itself.
pub(super) fn heaviest(entries: &[Entry], archived: &[bool]) -> Vec<Heavy> {
    let children = weigh(entries, archived);
    let mut waiting: BinaryHeap<Heavy> =
        children.get(&RelPath::root()).into_iter().flatten().cloned().collect();
    let mut told = Vec::new();
    while let Some(heavy) = waiting.pop().filter(|_| told.len() < TOLD) {
        let within = children.get(&heavy.path).filter(|_| heavy.is_folder);
        let dominated =
            |within: &&Vec<Heavy>| within.iter().any(|one| one.bytes >= heavy.bytes.div_ceil(2));
        match within.filter(dominated) {
            Some(within) => waiting.extend(within.iter().cloned()),
            None => told.push(heavy),
        }
    }
    told
}

/// What is directly in each folder that holds something archived.
fn weigh(entries: &[Entry], archived: &[bool]) -> HashMap<RelPath, Vec<Heavy>> {
    let mut folders: HashMap<RelPath, (u64, u64)> = HashMap::new();
    let mut children: HashMap<RelPath, Vec<Heavy>> = HashMap::new();
    for (entry, _) in entries.iter().zip(archived).filter(|(_, archived)| **archived) {
        let Kind::File { size: bytes @ 1.. } = entry.kind else { continue };
        let parent = entry.path.parent().unwrap_or_default();
        let file = Heavy { bytes, files: 1, path: entry.path.clone(), is_folder: false };
        children.entry(parent.clone()).or_default().push(file);
        let mut above = Some(parent);
        while let Some(folder) = above.filter(|folder| !folder.is_root()) {
            above = folder.parent();
            let (sum, files) = folders.entry(folder).or_default();
            *sum = sum.saturating_add(bytes);
            *files += 1;
        }
    }
    for (path, (bytes, files)) in folders {
        let parent = path.parent().unwrap_or_default();
        children.entry(parent).or_default().push(Heavy { bytes, files, path, is_folder: true });
    }
    children
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Metadata;

    fn entry(path: &str, size: u64) -> Entry {
        Entry {
            path: RelPath::new(path).unwrap(),
            kind: Kind::File { size },
            metadata: Metadata::default(),
            sha256: None,
            extents: None,
        }
    }

    fn told(entries: &[Entry], archived: &[bool]) -> Vec<(String, u64, u64)> {
        let heaviest = heaviest(entries, archived);
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
        assert_eq!(told(&entries, &archived), expected);
        assert_eq!(told(&entries, &vec![false; entries.len()]), []);
    }

    #[test]
    fn never_more_than_a_few_and_never_one_within_another() {
        let entries: Vec<Entry> = (0..50)
            .flat_map(|folder| (0..4).map(move |file| entry(&format!("{folder:02}/{file}"), 7)))
            .collect();
        let told = heaviest(&entries, &vec![true; entries.len()]);
        assert_eq!(told.len(), TOLD);
        assert!(told.iter().all(|heavy| heavy.is_folder && heavy.bytes == 28), "{told:?}");
    }
}
