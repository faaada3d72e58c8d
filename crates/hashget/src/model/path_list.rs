//! Many paths in one piece of memory.
//!
//! Invariant: what is in a list is a path; one costs its bytes and 8 more, and nothing is allocated for each.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{RelPath, bytes_as_text};

/// Paths, by their numbers.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct PathList {
    names: Vec<u8>,
    /// Where each path ends; it begins where the one before ends.
    ends: Vec<usize>,
}

impl PathList {
    /// Adds a path, which gets the next number.
    pub(crate) fn push(&mut self, path: &RelPath) {
        self.names.extend_from_slice(path.as_bytes());
        self.ends.push(self.names.len());
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Are there none?
    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of the path with this number.
    pub(crate) fn get(&self, number: usize) -> &[u8] {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.names[start..self.ends[number]]
    }

    /// The bytes of all paths, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        (0..self.len()).map(|number| self.get(number))
    }

    /// The number of the path with these bytes, if the list is sorted.
    pub(crate) fn position_in_sorted(&self, path: &[u8]) -> Option<usize> {
        let (mut first, mut end) = (0, self.len());
        while first < end {
            let middle = first.midpoint(end);
            match self.get(middle).cmp(path) {
                std::cmp::Ordering::Less => first = middle + 1,
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Greater => end = middle,
            }
        }
        None
    }
}

/// The path that has these bytes, which are a path's.
pub(crate) fn path_of(name: &[u8]) -> RelPath {
    RelPath::new(name).expect("they are the bytes of a path")
}

impl fmt::Debug for PathList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(path_of)).finish()
    }
}

impl Serialize for PathList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Name<'n>(#[serde(with = "bytes_as_text")] &'n [u8]);

        serializer.collect_seq(self.iter().map(Name))
    }
}

impl<'de> Deserialize<'de> for PathList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Paths;

        impl<'de> Visitor<'de> for Paths {
            type Value = PathList;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of paths")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<PathList, A::Error> {
                let mut paths = PathList::default();
                while let Some(path) = list.next_element::<RelPath>()? {
                    paths.push(&path);
                }
                paths.names.shrink_to_fit();
                paths.ends.shrink_to_fit();
                Ok(paths)
            }
        }

        deserializer.deserialize_seq(Paths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_back_by_number_and_by_name() {
        let mut list = PathList::default();
        assert!(list.is_empty() && list.position_in_sorted(b"").is_none());
        let names: [&[u8]; 5] = [b"", b"a", b"a/b", b"a\xff", b"b"];
        names.iter().for_each(|name| list.push(&path_of(name)));
        assert_eq!(list.iter().collect::<Vec<_>>(), names);
        for (number, name) in names.iter().enumerate() {
            assert_eq!((list.get(number), list.position_in_sorted(name)), (*name, Some(number)));
        }
        assert_eq!([&b"A"[..], b"a/", b"c"].map(|name| list.position_in_sorted(name)), [None; 3]);
    }

    #[test]
    fn in_json_a_list_is_that_of_its_paths() {
        let paths = [&b""[..], b"caf\xc3\xa9", b"\xff/x"].map(path_of);
        let mut list = PathList::default();
        paths.iter().for_each(|path| list.push(path));
        let json = serde_json::to_string(&paths).unwrap();
        assert_eq!(serde_json::to_string(&list).unwrap(), json);
        assert_eq!(serde_json::from_str::<PathList>(&json).unwrap(), list);
        assert!(serde_json::from_str::<PathList>(r#"["a", "../b"]"#).is_err());
    }
}
