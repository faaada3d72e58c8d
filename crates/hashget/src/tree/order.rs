//! Sorting the entries found by the threads of a scan, by the bytes of their paths.
//!
//! Invariant: the time for each entry does not grow with the tree. The entries of each folder are already
//! sorted. Everything below a folder stays together, and its position is that of `FOLDER/` among the names
//! beside it (`a`, `a-b`, then `a/x`).

use crate::model::{Entry, Kind};

/// A run of sorted entries of one folder within the list of all entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    /// The number of the folder.
    pub(super) folder: u32,
    /// Numbers the parts of one folder.
    pub(super) number: u32,
    /// Where it begins in the list.
    pub(super) start: usize,
    /// How many entries it has.
    pub(super) count: usize,
}

/// For each of the `found` entries its position in the sorted list. The top folder is the first entry and
/// number 0; `folders` has the other folders that were entered: index in `found`, and number.
pub(super) fn places(
    found: &[Entry],
    mut parts: Vec<Part>,
    mut folders: Vec<(usize, u32)>,
) -> Vec<u32> {
    parts.sort_unstable();
    folders.sort_unstable();
    let parts_of = |folder: u32| {
        let first = parts.partition_point(|part| part.folder < folder);
        let after = first + parts[first..].partition_point(|part| part.folder == folder);
        parts[first..after].iter().flat_map(|part| part.start..part.start + part.count).peekable()
    };
    let mut places = vec![0_u32; found.len()];
    let mut next = 1;
    // Folders whose entries are being placed, each with those of its subfolders that are still to be placed.
    let mut open = vec![(parts_of(0), Vec::<(usize, u32)>::new())];
    while let Some((rest, waiting)) = open.last_mut() {
        let entry = rest.peek().copied();
        if let Some(&(folder, number)) = waiting.last()
            && entry.is_none_or(|entry| is_below_first(&found[folder], &found[entry]))
        {
            waiting.pop();
            open.push((parts_of(number), Vec::new()));
            continue;
        }
        let Some(entry) = entry else {
            open.pop();
            continue;
        };
        rest.next();
        places[entry] = next;
        next += 1;
        if found[entry].kind == Kind::Directory
            && let Ok(at) = folders.binary_search_by_key(&entry, |&(index, _)| index)
        {
            waiting.push(folders[at]);
        }
    }
    places
}

/// Does everything below `folder` come before `later`, an entry beside it with a greater name?
fn is_below_first(folder: &Entry, later: &Entry) -> bool {
    let rest = later.path.as_bytes().strip_prefix(folder.path.as_bytes());
    rest.and_then(<[u8]>::first).is_none_or(|&byte| byte > b'/')
}

/// Moves every entry to its place.
pub(super) fn arrange(entries: &mut [Entry], mut places: Vec<u32>) {
    for index in 0..entries.len() {
        while places[index] as usize != index {
            let place = places[index] as usize;
            entries.swap(index, place);
            places.swap(index, place);
        }
    }
}
