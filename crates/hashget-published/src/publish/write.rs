//! Writing a layer: packs, names and keys of packages in a given order.
//!
//! Invariant: one package at a time is in memory, besides the pack that is being filled. A list that is not what its record says
//! ends everything.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hashget::hashdb::member_list;
use hashget::monitor::{Monitor, Step, Total};

use super::folder::OutputFolder;
use super::layers::{Plan, Planned};
use super::sorter::KeySorter;
use super::{Packages, PublishOptions};
use crate::error::PublishedError;
use crate::manifest::{Collection, Layer, Table};
use crate::record::PublishedRecord;
use crate::table::{PackWriter, Row, cut, name_key, url_key, write_keys};

/// Rows in a page of names, and in one of keys.
const NAMES_PAGE: usize = 1 << 10;
const KEYS_PAGE: usize = 1 << 12;

/// Writes the tables of a layer.
pub(super) struct LayerWriter<'w> {
    tables: PathBuf,
    scratch: &'w Path,
    options: &'w PublishOptions<'w>,
    monitor: &'w dyn Monitor,
    keys: KeySorter,
}

/// A collection that is being written.
#[derive(Default)]
struct Open {
    pack: PackWriter,
    packs: Vec<Table>,
    names: Vec<(u64, u32)>,
    kinds: BTreeSet<String>,
    first: u32,
    packages: u32,
}

impl<'w> LayerWriter<'w> {
    pub(super) fn new(
        folder: &OutputFolder,
        scratch: &'w Path,
        options: &'w PublishOptions<'w>,
        monitor: &'w dyn Monitor,
    ) -> Self {
        let (tables, keys) = (folder.tables(), KeySorter::new(scratch));
        Self { tables, scratch, options, monitor, keys }
    }

    /// Writes these packages; returns the layer, and the number of pairs of keys.
    pub(super) fn write(
        mut self,
        inputs: &[&dyn Packages],
        plan: &Plan,
    ) -> Result<(Layer, u64), PublishedError> {
        let things = Total { bytes: None, things: Some(plan.packages.len() as u64) };
        let name = self.options.folder.display().to_string();
        let progress = self.monitor.begin(Step::Gather, name, things);
        let mut layer = Layer::default();
        for collection in plan.packages.chunk_by(|one, next| one.collection == next.collection) {
            let mut open = Open { first: layer.packages, ..Open::default() };
            for planned in collection {
                self.monitor.check_interrupted()?;
                let list = inputs[planned.input].list(planned.handle)?;
                let record = self.add(&mut open, planned, &list)?;
                if open.pack.push(Row { record, list }) {
                    open.packs.push(open.pack.finish(&self.tables, self.scratch)?);
                }
                progress.advance(0, 1);
            }
            layer.packages = open.first + open.packages;
            let name = plan.collections[collection[0].collection].clone();
            layer.collections.push(self.finish(open, name)?);
        }
        let mut rows = 0;
        self.keys.finish(|pairs| {
            rows += pairs.len() as u64;
            let written = write_keys(pairs, KEYS_PAGE, true, &self.tables, self.scratch)?;
            layer.keys.push(written);
            Ok(())
        })?;
        Ok((layer, rows))
    }

    /// Adds the names and keys of a package; returns its record with what its list says.
    fn add(
        &mut self,
        open: &mut Open,
        planned: &Planned,
        list: &[u8],
    ) -> Result<PublishedRecord, PublishedError> {
        let number = open.first + open.packages;
        open.packages += 1;
        let mut record = planned.record.clone();
        let (mut members, mut failed) = (0, Ok(()));
        let keys = &mut self.keys;
        let digest = member_list::decode_and_hash(list, &mut |member| {
            members += 1;
            if let (Some(sha256), Ok(())) = (&member.sha256, &failed) {
                failed = keys.push(cut(sha256), number);
            }
        })
        .map_err(|problem| PublishedError::damaged(record.urls[0].clone(), problem))?;
        failed?;
        if planned.is_read && (record.list, record.members) != (digest, members) {
            let problem = "its member list is not the one that its record names";
            return Err(PublishedError::damaged(record.urls[0].clone(), problem));
        }
        (record.list, record.members) = (digest, members);
        let statement = record.statement().digest();
        let urls = record.urls.iter().map(|url| url_key(url));
        for key in urls.chain([cut(&record.sha256), cut(&statement)]) {
            self.keys.push(key, number)?;
        }
        for signature in record.signatures() {
            open.names.push((name_key(&signature), number));
            open.kinds.insert(signature.kind);
        }
        Ok(record)
    }

    fn finish(&self, mut open: Open, name: String) -> Result<Collection, PublishedError> {
        if !open.pack.is_empty() {
            open.packs.push(open.pack.finish(&self.tables, self.scratch)?);
        }
        open.names.sort_unstable();
        open.names.dedup();
        let names = write_keys(&open.names, NAMES_PAGE, false, &self.tables, self.scratch)?;
        Ok(Collection {
            name,
            kinds: open.kinds.into_iter().collect(),
            first: open.first,
            packages: open.packages,
            names,
            packs: open.packs,
        })
    }
}
