//! Packages of published folders: for merging them, and for comparing them.
//!
//! Invariant: what comes from a folder was proven by its checkpoint; of a package that several layers have, the latest record counts.

use std::collections::HashMap;
use std::sync::Arc;

use hashget::hashdb::PackageId;
use hashget::model::Digest;
use hashget::monitor::Monitor;

use super::{Head, Packages};
use crate::client::{Manner, PublishedHashDb};
use crate::error::PublishedError;
use crate::proven::Edition;
use crate::record::PublishedRecord;

/// Packages that are fetched together.
const BATCH: usize = 1 << 10;

/// The packages of an edition.
pub struct FromPublished<'m> {
    hashdb: PublishedHashDb<'m>,
}

impl<'m> FromPublished<'m> {
    /// Those of `edition`.
    pub fn new(edition: Edition, monitor: &'m dyn Monitor) -> Self {
        Self { hashdb: PublishedHashDb::new(edition, Manner::default(), 0, monitor) }
    }

    /// The packages of the base layer, those that were withdrawn since then among them.
    pub(super) fn base(&self) -> Result<Vec<Head>, PublishedError> {
        self.heads_of(0, |batch| self.hashdb.rows_of(batch))
    }

    fn heads_of(
        &self,
        layer: usize,
        records: impl Fn(&[PackageId]) -> Result<Vec<Option<Arc<PublishedRecord>>>, PublishedError>,
    ) -> Result<Vec<Head>, PublishedError> {
        let packages = self.hashdb.edition().manifest.layers[layer].packages;
        let ids: Vec<PackageId> =
            (0..packages).map(|number| crate::client::id(layer, number)).collect();
        let mut heads = Vec::with_capacity(ids.len());
        for batch in ids.chunks(BATCH) {
            for (id, record) in batch.iter().zip(records(batch)?) {
                let Some(record) = record else { continue };
                let (record, handle) = ((*record).clone(), id.to_raw().cast_unsigned());
                heads.push(Head { record, is_read: true, handle });
            }
        }
        Ok(heads)
    }
}

impl Packages for FromPublished<'_> {
    fn heads(&self) -> Result<Vec<Head>, PublishedError> {
        let mut heads = Vec::new();
        for layer in 0..self.hashdb.edition().manifest.layers.len() {
            heads.extend(self.heads_of(layer, |batch| self.hashdb.records_of(batch))?);
        }
        // Handles ascend with the layers.
        let latest: HashMap<Digest, u64> =
            heads.iter().map(|head| (head.record.sha256, head.handle)).collect();
        heads.retain(|head| latest[&head.record.sha256] == head.handle);
        Ok(heads)
    }

    fn list(&self, handle: u64) -> Result<Vec<u8>, PublishedError> {
        self.hashdb.list(PackageId::from_raw(handle.cast_signed()))
    }
}
