//! The manifest of an edition: the tables that it is made of (`docs/format-index.md`).
//!
//! Invariant: a manifest that was read adds up: every package is in one collection and one pack, and no table is larger than a
//! reader can bear.

use std::collections::HashMap;

use hashget::formats::RULES;
use hashget::model::Digest;
use serde::{Deserialize, Serialize};

use crate::error::PublishedError;

/// Bytes of the longest manifest that is read.
pub(crate) const MOST_BYTES: u64 = 64 << 20;

/// Bytes of the longest tail that is read, and of the largest table.
const MOST_TAIL: u64 = 64 << 20;
const MOST_TABLE: u64 = 1 << 30;

const MOST_LAYERS: usize = 8;
const MOST_TABLES: usize = 1 << 16;

const FORMAT: &str = "hashget-published";
const VERSION: u64 = 1;

/// One edition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: String,
    version: u64,
    /// The version of the rules by which its packages were read.
    pub rules: u32,
    /// The base first.
    pub layers: Vec<Layer>,
    /// Packages of earlier layers that it does not vouch for any more, in ascending order.
    #[serde(default)]
    pub withdrawn: Vec<Digest>,
}

/// Packages with numbers of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// The number of its packages.
    pub packages: u32,
    /// Its parts, in the order of the packages' numbers.
    pub collections: Vec<Collection>,
    /// What leads from digests to packages, in ascending order.
    pub keys: Vec<Table>,
}

/// Packages that belong together: a distribution, a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collection {
    /// What a person calls it.
    pub name: String,
    /// The kinds of the signatures in [`Self::names`].
    pub kinds: Vec<String>,
    /// The number of its first package.
    pub first: u32,
    /// The number of its packages.
    pub packages: u32,
    /// What leads from names to packages.
    pub names: Table,
    /// The packages.
    pub packs: Vec<Table>,
}

/// A Parquet file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// The digest of its bytes.
    pub sha256: Digest,
    /// The number of its bytes.
    pub size: u64,
    /// The number of its rows.
    pub rows: u64,
    /// Its last bytes: what is needed to find its pages.
    pub tail: Tail,
    /// Where the blocks of its filter are, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// The first value of a table of keys.
    #[serde(default)]
    pub first: u64,
}

/// The last bytes of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    /// The number of these bytes.
    pub size: u64,
    /// Their digest.
    pub sha256: Digest,
}

/// The blocks of a Bloom filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Where the first block begins, in bytes.
    pub offset: u64,
    /// The number of bytes of all blocks.
    pub size: u64,
}

impl Table {
    /// The name of the file.
    pub fn file(&self) -> String {
        format!("tables/{}.parquet", self.sha256)
    }

    fn problem(&self) -> Option<&'static str> {
        let tail = self.tail.size <= self.size.min(MOST_TAIL) && self.tail.size >= 12;
        let body = self.size.saturating_sub(self.tail.size);
        let filter = self.filter.is_none_or(|filter| {
            let end = filter.offset.checked_add(filter.size);
            filter.size % 32 == 0 && filter.size > 0 && end.is_some_and(|end| end <= body)
        });
        match (tail, filter) {
            _ if self.size > MOST_TABLE => Some("a table is larger than 1 GiB"),
            (false, _) => Some("a tail is longer than its table, or than 64 MiB, or too short"),
            (_, false) => Some("a filter is not within its table"),
            _ => None,
        }
    }
}

impl Manifest {
    /// An edition of these layers.
    pub fn new(layers: Vec<Layer>, withdrawn: Vec<Digest>) -> Self {
        let format = FORMAT.to_owned();
        Self { format, version: VERSION, rules: RULES, layers, withdrawn }
    }

    /// The name of the file of the manifest with this digest.
    pub fn file(digest: &Digest) -> String {
        format!("manifests/{digest}.json")
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("a manifest is plain data");
        bytes.push(b'\n');
        bytes
    }

    /// The manifest in these bytes, which are those of `file`.
    ///
    /// # Errors
    /// It is none, or a newer one, or it does not add up.
    pub fn parse(bytes: &[u8], file: &str) -> Result<Self, PublishedError> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
            version: u64,
        }
        let damaged = |problem: String| PublishedError::damaged(file, problem);
        let head: Head =
            serde_json::from_slice(bytes).map_err(|error| damaged(format!("{error}")))?;
        if head.format != FORMAT {
            return Err(damaged(format!("its format is not \"{FORMAT}\"")));
        }
        if head.version != VERSION {
            let (file, found) = (file.to_owned(), head.version);
            return Err(PublishedError::TooNew { file, found, known: VERSION });
        }
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|error| damaged(format!("{error}")))?;
        match manifest.problem() {
            Some(problem) => Err(damaged(problem.to_owned())),
            None => Ok(manifest),
        }
    }

    /// All tables.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.layers.iter().flat_map(|layer| {
            let of_collections = layer
                .collections
                .iter()
                .flat_map(|one| std::iter::once(&one.names).chain(&one.packs));
            of_collections.chain(&layer.keys)
        })
    }

    fn problem(&self) -> Option<&'static str> {
        if self.layers.len() > MOST_LAYERS || self.tables().count() > MOST_TABLES {
            return Some("it has more layers or tables than a reader takes");
        }
        if let Some(problem) = self.tables().find_map(Table::problem) {
            return Some(problem);
        }
        let mut by_digest: HashMap<&Digest, &Table> = HashMap::new();
        if self.tables().any(|table| *by_digest.entry(&table.sha256).or_insert(table) != table) {
            return Some("it says different things of one table");
        }
        if !self.withdrawn.is_sorted() {
            return Some("what is withdrawn is not in ascending order");
        }
        self.layers.iter().find_map(Layer::problem)
    }
}

impl Layer {
    fn problem(&self) -> Option<&'static str> {
        let mut next = 0u32;
        for collection in &self.collections {
            let rows =
                collection.packs.iter().try_fold(0u64, |sum, pack| sum.checked_add(pack.rows));
            if collection.first != next || rows != Some(collection.packages.into()) {
                return Some("the numbers of the packages of its collections do not add up");
            }
            next = match next.checked_add(collection.packages) {
                Some(next) => next,
                None => return Some("it has too many packages"),
            };
        }
        let ascends = self.keys.is_sorted_by(|one, next| one.first < next.first);
        if next != self.packages || !ascends {
            return Some("its packages, or the order of its keys, do not add up");
        }
        let has_filters = self.keys.iter().all(|table| table.filter.is_some());
        (!has_filters).then_some("a table of keys has no filter")
    }
}
