//! Looking keys up in the tables of names and of keys.
//!
//! Invariant: names are looked up in names alone. Of what is asked by digest, one block of a filter is read, and nothing more
//! unless it says "perhaps".

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use hashget::hashdb::{Key, PackageId};
use hashget::model::Digest;

use super::rows::id;
use super::{PublishedHashDb, fetch};
use crate::error::PublishedError;
use crate::manifest::Table;
use crate::record::PublishedRecord;
use crate::table::{KeyTable, PageId, Probe, cut, name_key, url_key};

/// A table of names is fetched as a whole if it has at most so many bytes for each name that is looked up, or so many at all.
const WHOLE_FOR_EACH: u64 = 8 << 10;
const WHOLE_AT_ALL: u64 = 64 << 10;

/// Bytes between two blocks of a filter that are fetched with them rather than asked around.
const FILTER_GAP: u64 = 512;

/// Which table has a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum In {
    Names { layer: usize, collection: usize },
    Keys { layer: usize },
}

impl PublishedHashDb<'_> {
    /// For each key, the packages that it finds, as a HashDB answers.
    pub(super) fn look_up(&self, keys: &[Key<'_>]) -> Result<Vec<Vec<PackageId>>, PublishedError> {
        let mut wanted: BTreeMap<In, BTreeSet<u64>> = BTreeMap::new();
        for key in keys {
            let (cut, tables) = self.tables_of(key);
            for table in tables {
                wanted.entry(table).or_default().insert(cut);
            }
        }
        let mut found: BTreeMap<(In, u64), Vec<PackageId>> = BTreeMap::new();
        for (table, keys) in wanted {
            let keys: Vec<u64> = keys.into_iter().collect();
            let pairs = match table {
                In::Names { layer, collection } => self.find_names(layer, collection, &keys)?,
                In::Keys { layer } => self.find_digests(layer, &keys)?,
            };
            let (In::Names { layer, .. } | In::Keys { layer }) = table;
            for (key, number) in pairs {
                found.entry((table, key)).or_default().push(id(layer, number));
            }
        }
        let mut answers = Vec::with_capacity(keys.len());
        for key in keys {
            let (cut, tables) = self.tables_of(key);
            let ids = tables.into_iter().filter_map(|table| found.get(&(table, cut))).flatten();
            answers.push(ids.copied().collect::<Vec<_>>());
        }
        self.checked(keys, answers)
    }

    /// The cut digest of a key, and the tables that may have it.
    fn tables_of(&self, key: &Key<'_>) -> (u64, Vec<In>) {
        let layers = &self.edition.manifest.layers;
        let by_digest = |cut| (cut, (0..layers.len()).map(|layer| In::Keys { layer }).collect());
        match key {
            // Whoever asks for digests in private asks for nothing.
            Key::Content(_) | Key::Package(_) | Key::Url(_) if self.manner.private => {
                (0, Vec::new())
            }
            Key::Content(digest) | Key::Package(digest) => by_digest(cut(digest)),
            Key::Url(url) => by_digest(url_key(url)),
            Key::Signature(signature) => {
                let of_layer = |layer: usize| {
                    let collections = layers[layer].collections.iter().enumerate();
                    let of_kind =
                        collections.filter(|(_, one)| one.kinds.contains(&signature.kind));
                    of_kind.map(move |(collection, _)| In::Names { layer, collection })
                };
                (name_key(signature), (0..layers.len()).flat_map(of_layer).collect())
            }
        }
    }

    /// Keeps those packages that really have the key; of several records of one package, that of the latest layer. Who
    /// holds contents is not known before the members are.
    fn checked(
        &self,
        keys: &[Key<'_>],
        mut answers: Vec<Vec<PackageId>>,
    ) -> Result<Vec<Vec<PackageId>>, PublishedError> {
        let exact = |key: &Key<'_>| !matches!(key, Key::Content(_));
        let asked = keys.iter().zip(&answers).filter(|(key, _)| exact(key));
        let mut ids: Vec<PackageId> = asked.flat_map(|(_, ids)| ids.iter().copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        let records: BTreeMap<PackageId, Arc<PublishedRecord>> = ids
            .iter()
            .copied()
            .zip(self.records_of(&ids)?)
            .filter_map(|(id, record)| Some((id, record?)))
            .collect();
        for (key, ids) in keys.iter().zip(&mut answers) {
            ids.sort_unstable();
            ids.dedup();
            if !exact(key) {
                continue;
            }
            ids.retain(|id| records.get(id).is_some_and(|record| has(record, key)));
            // The ids ascend: of one package, the last one stays.
            let latest: HashMap<Digest, PackageId> =
                ids.iter().map(|id| (records[id].sha256, *id)).collect();
            ids.retain(|id| latest[&records[id].sha256] == *id);
            if let Key::Url(url) = key {
                ids.sort_unstable_by_key(|id| (records[id].urls[0] != **url, *id));
            }
        }
        Ok(answers)
    }

    /// The packages with these names, as pairs of key and number.
    fn find_names(
        &self,
        layer: usize,
        collection: usize,
        keys: &[u64],
    ) -> Result<Vec<(u64, u32)>, PublishedError> {
        let found = &self.edition.manifest.layers[layer].collections[collection];
        let (table, name) = (&found.names, found.name.clone());
        let most = (keys.len() as u64).saturating_mul(WHOLE_FOR_EACH).max(WHOLE_AT_ALL);
        let whole = self.manner.private || table.size <= most;
        let mut asked = self.lock_asked();
        match whole {
            true if asked.whole_names.contains(&name) => {}
            true => asked.whole_names.push(name),
            false => asked.names += keys.len() as u64,
        }
        drop(asked);
        self.find_in(table, keys, whole)
    }

    /// The packages with these digests, as pairs of key and number.
    fn find_digests(&self, layer: usize, keys: &[u64]) -> Result<Vec<(u64, u32)>, PublishedError> {
        let may_be = self.filtered(layer, keys)?;
        let keys: Vec<u64> =
            keys.iter().zip(may_be).filter(|(_, may_be)| *may_be).map(|(key, _)| *key).collect();
        self.lock_asked().digests_found += keys.len() as u64;
        let mut pairs = Vec::new();
        for (table, keys) in self.by_table(layer, &keys) {
            pairs.extend(self.find_in(table, &keys, false)?);
        }
        Ok(pairs)
    }

    /// The tables of keys of a layer that could have some of these keys.
    fn by_table(&self, layer: usize, keys: &[u64]) -> Vec<(&Table, Vec<u64>)> {
        let tables = &self.edition.manifest.layers[layer].keys;
        let mut by_table: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for key in keys {
            let after = tables.partition_point(|table| table.first <= *key);
            if let Some(table) = after.checked_sub(1) {
                by_table.entry(table).or_default().push(*key);
            }
        }
        by_table.into_iter().map(|(table, keys)| (&tables[table], keys)).collect()
    }

    /// For each key, does the filter of the layer say that it may be there?
    fn filtered(&self, layer: usize, keys: &[u64]) -> Result<Vec<bool>, PublishedError> {
        self.lock_asked().digests += keys.len() as u64;
        let mut present: BTreeSet<u64> = BTreeSet::new();
        for (table, keys) in self.by_table(layer, keys) {
            let Some(filter) = table.filter else { continue };
            let probes: Vec<(u64, Probe)> =
                keys.iter().map(|key| (*key, Probe::new(filter, *key))).collect();
            let places = probes.iter().map(|(_, probe)| (probe.offset, Probe::bytes())).collect();
            let (file, monitor) = (table.file(), self.monitor);
            let blocks = fetch::stretches(&self.edition, &file, places, FILTER_GAP, monitor)?;
            for (key, probe) in probes {
                if probe.is_in(&blocks) {
                    present.insert(key);
                }
            }
        }
        Ok(keys.iter().map(|key| present.contains(key)).collect())
    }

    /// The pairs of a table that have one of these keys.
    fn find_in(
        &self,
        table: &Table,
        keys: &[u64],
        whole: bool,
    ) -> Result<Vec<(u64, u32)>, PublishedError> {
        if keys.is_empty() || table.rows == 0 {
            return Ok(Vec::new());
        }
        let open = self.key_table(table, whole)?;
        let pages: BTreeSet<usize> = keys.iter().flat_map(|key| open.pages_of(*key)).collect();
        let both = |page: &usize| [0, 1].map(|column| PageId { column, page: *page });
        let wanted: Vec<PageId> = pages.iter().flat_map(both).collect();
        let fetched = fetch::pages(&self.edition, &open.open, &wanted, whole, self.monitor)?;
        let mut found = Vec::new();
        for page in pages {
            let pairs = open.pairs(page, &fetched)?;
            found.extend(pairs.into_iter().filter(|(key, _)| keys.binary_search(key).is_ok()));
        }
        Ok(found)
    }

    fn key_table(&self, table: &Table, whole: bool) -> Result<Arc<KeyTable>, PublishedError> {
        if let Some(open) =
            self.keys.lock().expect("nothing panics while it looks").get(&table.sha256)
        {
            return Ok(Arc::clone(open));
        }
        let tail = match whole {
            true => self.tail_of_whole(table)?,
            false => self.edition.tail(table, self.monitor)?,
        };
        let open = Arc::new(KeyTable::open(table, tail)?);
        let mut all = self.keys.lock().expect("nothing panics while it looks");
        Ok(Arc::clone(all.entry(table.sha256).or_insert(open)))
    }
}

/// Does the package with this record have the key?
fn has(record: &PublishedRecord, key: &Key<'_>) -> bool {
    match key {
        Key::Content(_) => true,
        Key::Package(digest) => record.sha256 == *digest,
        Key::Url(url) => record.urls.iter().any(|one| one == url),
        Key::Signature(signature) => record.names.contains(&signature.to_string()),
    }
}
