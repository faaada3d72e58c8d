//! Pools that are not folders or HTTP addresses: the program opens them.
//!
//! Invariant: nothing is asked of a pool when it is opened.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use hashget::fetch::{FetchOptions, ManagedPool, OciPool, OpenedPools, PoolFolder, Source};
use hashget::model::Digest;
use hashget::monitor::Silent;
use hashget::places::InPool;
use hashget_backup::store::{Address, Patience, S3Pool, StoreSettings, open_bucket};

use crate::environment::Environment;
use crate::exit::UsageError;

/// Is it the address of a bucket?
fn is_bucket(pool: &str) -> bool {
    pool.starts_with("s3://")
}

/// Is it the address of a repository of a registry?
fn is_repository(pool: &str) -> bool {
    pool.starts_with("oci://") || pool.starts_with("oci+http://")
}

/// Is it opened here?
pub(crate) fn is_opened(pool: &str) -> bool {
    is_bucket(pool) || is_repository(pool)
}

impl Environment<'_> {
    /// Opens these pools, in order.
    pub(crate) fn opened_pools(
        &self,
        pools: &[String],
        options: &FetchOptions,
    ) -> Result<OpenedPools, UsageError> {
        let mut opened: Vec<Arc<dyn Source>> = Vec::new();
        for pool in pools {
            match is_bucket(pool) {
                true => opened.push(Arc::new(self.bucket(pool)?)),
                false => opened.push(Arc::new(repository(pool, options)?)),
            }
        }
        Ok(OpenedPools(opened))
    }

    /// The pool to work on: the first that is a folder, a bucket or a repository.
    pub(crate) fn managed_pool(&self) -> Result<Box<dyn ManagedPool>, UsageError> {
        for pool in self.pools()? {
            if is_bucket(&pool) {
                return Ok(Box::new(self.bucket(&pool)?));
            }
            if is_repository(&pool) {
                return Ok(Box::new(repository(&pool, &self.fetch_options()?)?));
            }
            if !pool.contains("://") {
                return Ok(Box::new(PoolFolder::new(Path::new(&pool))));
            }
        }
        let wrong = "no pool is named that can be changed: give one with --pool DIR (or s3://BUCKET/PREFIX, oci://REGISTRY/REPOSITORY)";
        Err(UsageError(wrong.to_owned()))
    }

    /// What lies in the pools that can be changed. A bucket or a repository is listed once, when it is first asked for; one that does not
    /// answer has nothing as far as is known.
    pub(crate) fn in_pools(&self) -> Result<InPool, UsageError> {
        let (mut folders, mut remote) = (Vec::new(), Vec::<Box<dyn ManagedPool>>::new());
        for pool in self.pools()? {
            if is_bucket(&pool) {
                remote.push(Box::new(self.bucket(&pool)?));
            } else if is_repository(&pool) {
                remote.push(Box::new(repository(&pool, &self.fetch_options()?)?));
            } else if !pool.contains("://") {
                folders.push(PoolFolder::new(Path::new(&pool)));
            }
        }
        let listed: OnceLock<BTreeSet<Digest>> = OnceLock::new();
        let list = move || {
            let pooled = remote.iter().filter_map(|pool| pool.list(&Silent).ok());
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

fn repository(pool: &str, options: &FetchOptions) -> Result<OciPool, UsageError> {
    OciPool::new(pool, options).map_err(|error| UsageError(error.to_string()))
}
