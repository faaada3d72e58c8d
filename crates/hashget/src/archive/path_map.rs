//! A map from paths to small values, for millions of paths.
//!
//! Invariant: a path that is not too long costs its bytes and about 20 more; one that was inserted stays.

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;

use crate::model::{PathList, RelPath, path_of};

/// A map of paths.
pub(crate) struct PathMap<V> {
    names: PathList,
    values: Vec<V>,
    /// Indices of names, by the hash of the name.
    index: HashTable<u32>,
    /// Keyed at random, so that names cannot be chosen to collide.
    hasher: RandomState,
}

impl<V> Default for PathMap<V> {
    fn default() -> Self {
        Self {
            names: PathList::default(),
            values: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::new(),
        }
    }
}

/// A number in `index`.
fn wide(index: u32) -> usize {
    usize::try_from(index).expect("addresses have 32 bits or more")
}

impl<V> PathMap<V> {
    /// The number of `path`, in the order in which they came.
    pub(crate) fn position(&self, path: &RelPath) -> Option<usize> {
        self.position_by(self.hasher.hash_one(path.as_bytes()), path)
    }

    fn position_by(&self, hash: u64, path: &RelPath) -> Option<usize> {
        let same = |&index: &u32| self.names.get(wide(index)) == path.as_bytes();
        self.index.find(hash, same).copied().map(wide)
    }

    /// The value of `path`.
    pub(crate) fn get(&self, path: &RelPath) -> Option<&V> {
        self.position(path).map(|at| &self.values[at])
    }

    /// How many paths there are.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The bytes of the path with this number, and its value.
    pub(crate) fn at(&self, number: usize) -> (&[u8], &V) {
        (self.names.get(number), &self.values[number])
    }

    /// Has `path` a value?
    pub(crate) fn contains(&self, path: &RelPath) -> bool {
        self.position(path).is_some()
    }

    /// Gives `path` a value; the one that it had before.
    pub(crate) fn insert(&mut self, path: &RelPath, value: V) -> Option<V> {
        let hash = self.hasher.hash_one(path.as_bytes());
        match self.position_by(hash, path) {
            Some(at) => Some(std::mem::replace(&mut self.values[at], value)),
            None => {
                self.add(hash, path, value);
                None
            }
        }
    }

    /// Gives `path` a value, unless it has one.
    pub(crate) fn insert_new(&mut self, path: &RelPath, value: impl FnOnce() -> V) {
        let hash = self.hasher.hash_one(path.as_bytes());
        if self.position_by(hash, path).is_none() {
            self.add(hash, path, value());
        }
    }

    /// Adds a path that is not there, whose name has this hash.
    fn add(&mut self, hash: u64, path: &RelPath, value: V) {
        let index = u32::try_from(self.values.len()).expect("fewer than 2^32 entries");
        self.names.push(path);
        self.values.push(value);
        let Self { names, hasher, .. } = self;
        let rehash = |&index: &u32| hasher.hash_one(names.get(wide(index)));
        self.index.insert_unique(hash, index, rehash);
    }

    /// The bytes of all paths, and their values, in the order in which they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &V)> {
        (0..self.len()).map(|number| self.at(number))
    }

    /// All paths.
    pub(crate) fn paths(&self) -> impl Iterator<Item = RelPath> {
        self.iter().map(|(name, _)| path_of(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(number: usize) -> RelPath {
        RelPath::new(format!("folder-{}/{number}", number % 7)).unwrap()
    }

    #[test]
    fn every_path_has_the_value_that_it_was_given_last() {
        let mut map = PathMap::default();
        assert_eq!(map.insert(&RelPath::root(), 7), None);
        for number in 0..5000 {
            assert_eq!(map.insert(&path(number), number), None);
        }
        for number in (0..5000).step_by(3) {
            assert_eq!(map.insert(&path(number), number + 1), Some(number));
        }
        for number in 0..5000 {
            assert_eq!(map.get(&path(number)), Some(&(number + usize::from(number % 3 == 0))));
        }
        map.insert_new(&path(1), || panic!("it has a value"));
        map.insert_new(&path(5000), || 5000);
        assert_eq!(map.get(&path(5000)), Some(&5000));
        assert!(!map.contains(&path(5001)) && map.get(&RelPath::root()) == Some(&7));
        assert_eq!(map.iter().count(), 5002);
        assert_eq!(map.iter().nth(2), Some((path(1).as_bytes(), &1)));
        assert_eq!(map.paths().nth(2), Some(path(1)));
    }
}
