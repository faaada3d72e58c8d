//! Pools that are not folders or HTTP addresses: the program opens them.
//!
//! Invariant: nothing is asked of a pool when it is opened.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use hashget::fetch::{ManagedPool, OpenedPools, PoolFolder, Source};
use hashget::model::Digest;
use hashget::monitor::Silent;
use hashget::places::InPool;
use hashget_backup::store::{Address, Patience, S3Pool, StoreSettings, open_bucket};

use crate::environment::Environment;
use crate::exit::UsageError;

/// Is it the address of a bucket?
pub(crate) fn is_bucket(pool: &str) -> bool {
    pool.starts_with("s3://")
}

impl Environment<'_> {
    /// Those of `pools` that are opened here, in order.
    pub(crate) fn opened_pools(&self, pools: &[String]) -> Result<OpenedPools, UsageError> {
        let mut opened: Vec<Arc<dyn Source>> = Vec::new();
        for pool in pools.iter().filter(|pool| is_bucket(pool)) {
            opened.push(Arc::new(self.bucket(pool)?));
        }
        Ok(OpenedPools(opened))
    }

    /// The pool to work on: the first that is a folder or a bucket.
    pub(crate) fn managed_pool(&self) -> Result<Box<dyn ManagedPool>, UsageError> {
        for pool in self.pools()? {
            if is_bucket(&pool) {
                return Ok(Box::new(self.bucket(&pool)?));
            }
            if !pool.contains("://") {
                return Ok(Box::new(PoolFolder::new(Path::new(&pool))));
            }
        }
        let wrong = "no pool is named that can be changed: give one with --pool DIR (or s3://BUCKET/PREFIX)";
        Err(UsageError(wrong.to_owned()))
    }

    /// What lies in the pools that are folders or buckets. A bucket is listed once, when it is first asked for; one that does not answer has
    /// nothing as far as is known.
    pub(crate) fn in_pools(&self) -> Result<InPool, UsageError> {
        let (mut folders, mut buckets) = (Vec::new(), Vec::new());
        for pool in self.pools()? {
            if is_bucket(&pool) {
                buckets.push(self.bucket(&pool)?);
            } else if !pool.contains("://") {
                folders.push(PoolFolder::new(Path::new(&pool)));
            }
        }
        let listed: OnceLock<BTreeSet<Digest>> = OnceLock::new();
        let list = move || {
            let pooled = buckets.iter().filter_map(|bucket| bucket.list(&Silent).ok());
            pooled.flatten().map(|pooled| pooled.sha256).collect()
        };
        Ok(InPool::new(move |sha256, size| {
            let has = |pool: &PoolFolder| pool.has(sha256, size, &Silent).unwrap_or_default();
            folders.iter().any(has) || listed.get_or_init(&list).contains(sha256)
        }))
    }

    fn bucket(&self, pool: &str) -> Result<S3Pool, UsageError> {
        let wrong = |error: &dyn std::fmt::Display| UsageError(format!("pool {pool}: {error}"));
        let address = Address::parse(pool).map_err(|error| wrong(&error))?;
        let Address::S3(bucket, prefix) = &address else {
            return Err(wrong(&"expected s3://BUCKET/PREFIX"));
        };
        // Whoever restores or packs has other sources.
        let settings = StoreSettings { patience: Patience::brief(), ..self.store_settings()? };
        let store = open_bucket((bucket, prefix), &address.shown(), &settings);
        Ok(S3Pool::new(store.map_err(|error| wrong(&error))?))
    }
}
