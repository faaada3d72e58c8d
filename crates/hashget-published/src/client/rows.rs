//! The rows of packs: records and member lists, fetched together and kept for the run.
//!
//! Invariant: a list is passed on only if it has the digest and the number of members that its record says.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use hashget::formats::RULES;
use hashget::hashdb::{PackageId, member_list};
use hashget::model::{Digest, Member};

use super::{PublishedHashDb, fetch};
use crate::error::PublishedError;
use crate::manifest::{Manifest, Table};
use crate::record::PublishedRecord;
use crate::table::{LIST, PackTable, PageId, RECORD};

/// Bytes of lists that are kept for whoever asks for members next.
const MOST_KEPT: usize = 256 << 20;

/// Where a package is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) layer: usize,
    collection: usize,
    pack: usize,
    row: u64,
    /// Its number in the layer.
    pub(super) number: u32,
}

impl Place {
    /// The place of a package of an edition.
    pub(super) fn of(manifest: &Manifest, id: PackageId) -> Option<Self> {
        let raw = u64::try_from(id.to_raw()).ok()?;
        let (layer, number) =
            (usize::try_from(raw >> 32).ok()?, u32::try_from(raw & 0xFFFF_FFFF).ok()?);
        let collections = &manifest.layers.get(layer)?.collections;
        let collection = collections.iter().rposition(|one| one.first <= number)?;
        let mut row = u64::from(number - collections[collection].first);
        for (pack, table) in collections[collection].packs.iter().enumerate() {
            if row < table.rows {
                return Some(Self { layer, collection, pack, row, number });
            }
            row -= table.rows;
        }
        None
    }

    /// The id of the package.
    pub(super) fn id(&self) -> PackageId {
        id(self.layer, self.number)
    }

    fn table<'m>(&self, manifest: &'m Manifest) -> &'m Table {
        &manifest.layers[self.layer].collections[self.collection].packs[self.pack]
    }
}

/// The id of a package by its layer and its number there.
pub(crate) fn id(layer: usize, number: u32) -> PackageId {
    PackageId::from_raw(i64::try_from(layer).unwrap_or(0) << 32 | i64::from(number))
}

/// What was fetched.
#[derive(Default)]
pub(super) struct Rows {
    open: Mutex<HashMap<Digest, Arc<PackTable>>>,
    records: Mutex<HashMap<PackageId, Arc<PublishedRecord>>>,
    lists: Mutex<Lists>,
}

#[derive(Default)]
struct Lists {
    kept: HashMap<PackageId, Vec<u8>>,
    bytes: usize,
}

impl PublishedHashDb<'_> {
    /// The records of packages, in order; `None` for one that is not known, or not vouched for any more.
    pub(crate) fn records_of(
        &self,
        packages: &[PackageId],
    ) -> Result<Vec<Option<Arc<PublishedRecord>>>, PublishedError> {
        let withdrawn = &self.edition.manifest.withdrawn;
        let is_vouched_for = |record: &Arc<PublishedRecord>| {
            // By other rules the package may have another list.
            withdrawn.binary_search(&record.sha256).is_err() && record.rules == RULES
        };
        let records = self.rows_of(packages)?.into_iter();
        Ok(records.map(|record| record.filter(is_vouched_for)).collect())
    }

    /// The records of packages, in order, whether they are vouched for or not.
    pub(crate) fn rows_of(
        &self,
        packages: &[PackageId],
    ) -> Result<Vec<Option<Arc<PublishedRecord>>>, PublishedError> {
        let manifest = &self.edition.manifest;
        let places: Vec<Option<Place>> =
            packages.iter().map(|id| Place::of(manifest, *id)).collect();
        self.fetch_rows(
            &places.iter().flatten().copied().collect::<Vec<_>>(),
            false,
            &mut |_, _| {},
        )?;
        let records = self.rows.records.lock().expect("nothing panics while it looks");
        let record = |place: &Option<Place>| Some(Arc::clone(records.get(&place.as_ref()?.id())?));
        Ok(places.iter().map(record).collect())
    }

    /// Fetches what is missing of these packages, and keeps it for whoever asks for it next.
    pub(super) fn prefetch(&self, packages: &[PackageId]) -> Result<(), PublishedError> {
        let mut places: Vec<Place> =
            packages.iter().filter_map(|id| Place::of(&self.edition.manifest, *id)).collect();
        {
            let lists = self.rows.lists.lock().expect("nothing panics while it looks");
            places.retain(|place| !lists.kept.contains_key(&place.id()));
        }
        self.fetch_rows(&places, true, &mut |place, list| self.keep_list(place, list))
    }

    /// The member list of a package, as it is stored.
    pub(crate) fn list(&self, package: PackageId) -> Result<Vec<u8>, PublishedError> {
        if let Some(list) = self.take_list(package) {
            return Ok(list);
        }
        // What is kept may be taken by another thread.
        let mut fetched = Vec::new();
        let place = Place::of(&self.edition.manifest, package);
        self.fetch_rows(place.as_slice(), true, &mut |_, list| fetched = list.to_vec())?;
        Ok(fetched)
    }

    /// Passes on the members of a package.
    pub(super) fn members_of(
        &self,
        package: PackageId,
        visit: &mut dyn FnMut(Member),
    ) -> Result<(), PublishedError> {
        let Some(place) = Place::of(&self.edition.manifest, package) else { return Ok(()) };
        let Some(record) = self.records_of(&[package])?.pop().flatten() else { return Ok(()) };
        let list = self.list(package)?;
        let file = place.table(&self.edition.manifest).file();
        let mut members = 0;
        let digest = member_list::decode_and_hash(&*list, record.members, &mut |member| {
            members += 1;
            visit(member);
        })
        .map_err(|problem| PublishedError::damaged(&file, problem))?;
        if digest != record.list || members != record.members {
            let problem = format!(
                "the member list of {} is not the one that its record names",
                record.sha256
            );
            return Err(PublishedError::damaged(file, problem));
        }
        Ok(())
    }

    fn take_list(&self, package: PackageId) -> Option<Vec<u8>> {
        let mut lists = self.rows.lists.lock().expect("nothing panics while it looks");
        let list = lists.kept.remove(&package)?;
        lists.bytes -= list.len();
        Some(list)
    }

    /// Fetches the records of these packages that are not known, and with `lists`, passes the lists of all to `visit`.
    fn fetch_rows(
        &self,
        places: &[Place],
        lists: bool,
        visit: &mut dyn FnMut(&Place, &[u8]),
    ) -> Result<(), PublishedError> {
        let mut by_table: BTreeMap<(usize, usize, usize), Vec<Place>> = BTreeMap::new();
        {
            let records = self.rows.records.lock().expect("nothing panics while it looks");
            let is_wanted = |place: &&Place| lists || !records.contains_key(&place.id());
            for place in places.iter().filter(is_wanted) {
                let table = (place.layer, place.collection, place.pack);
                by_table.entry(table).or_default().push(*place);
            }
        }
        for (_, mut places) in by_table {
            places.sort_unstable();
            places.dedup();
            self.fetch_rows_of_one(&places, lists, visit)?;
        }
        Ok(())
    }

    /// The same for packages of one pack, in the order of its rows.
    fn fetch_rows_of_one(
        &self,
        places: &[Place],
        lists: bool,
        visit: &mut dyn FnMut(&Place, &[u8]),
    ) -> Result<(), PublishedError> {
        let manifest = &self.edition.manifest;
        let pack = self.pack(places[0].table(manifest))?;
        let new: Vec<Place> = {
            let records = self.rows.records.lock().expect("nothing panics while it looks");
            places.iter().filter(|place| !records.contains_key(&place.id())).copied().collect()
        };
        let page = |column: usize| move |place: &Place| (column, *place);
        let columns =
            new.iter().map(page(RECORD)).chain(places.iter().filter(|_| lists).map(page(LIST)));
        let mut rows: BTreeMap<PageId, Vec<Place>> = BTreeMap::new();
        for (column, place) in columns {
            rows.entry(pack.0.page_of(column, place.row)).or_default().push(place);
        }
        let wanted: Vec<PageId> = rows.keys().copied().collect();
        let private = self.manner.private;
        let fetched = fetch::pages(&self.edition, &pack.0, &wanted, private, self.monitor)?;
        for (page, places) in rows {
            let (first, values) = pack.values(page, &fetched)?;
            for place in places {
                let at = usize::try_from(place.row - first).unwrap_or(usize::MAX);
                let Some(value) = values.get(at) else { continue };
                if page.column == RECORD {
                    let record = Arc::new(pack.record(place.row, value.data())?);
                    self.keep_record(&place, record);
                } else {
                    visit(&place, value.data());
                }
            }
        }
        Ok(())
    }

    fn keep_record(&self, place: &Place, record: Arc<PublishedRecord>) {
        self.lock_asked().packages += u64::from(!self.manner.private);
        let mut records = self.rows.records.lock().expect("nothing panics while it looks");
        records.insert(place.id(), record);
    }

    fn keep_list(&self, place: &Place, list: &[u8]) {
        let mut lists = self.rows.lists.lock().expect("nothing panics while it looks");
        if lists.bytes > MOST_KEPT {
            lists.kept.clear();
            lists.bytes = 0;
        }
        lists.bytes += list.len();
        if let Some(known) = lists.kept.insert(place.id(), list.to_vec()) {
            lists.bytes -= known.len();
        }
    }

    /// The open pack.
    fn pack(&self, table: &Table) -> Result<Arc<PackTable>, PublishedError> {
        if let Some(open) =
            self.rows.open.lock().expect("nothing panics while it looks").get(&table.sha256)
        {
            return Ok(Arc::clone(open));
        }
        let tail = match self.manner.private {
            true => self.tail_of_whole(table)?,
            false => self.edition.tail(table, self.monitor)?,
        };
        let open = Arc::new(PackTable::open(table, tail)?);
        let mut all = self.rows.open.lock().expect("nothing panics while it looks");
        Ok(Arc::clone(all.entry(table.sha256).or_insert(open)))
    }

    /// The tail of a table that is fetched as a whole.
    pub(super) fn tail_of_whole(&self, table: &Table) -> Result<bytes::Bytes, PublishedError> {
        let whole = self.edition.whole(table, self.monitor)?;
        let start = usize::try_from(table.size - table.tail.size).unwrap_or(0);
        Ok(whole.slice(start..))
    }
}
