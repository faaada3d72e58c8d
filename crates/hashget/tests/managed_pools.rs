//! Pools that hashget manages: all of them conform.

#![allow(clippy::unwrap_used, reason = "a test tells by panicking")]

#[path = "conformance/managed_pool.rs"]
mod managed_pool;

use hashget::fetch::{PoolFolder, place_in_pool};
use hashget::model::Digest;

#[test]
fn a_folder_that_is_managed_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let pool = PoolFolder::new(&dir.path().join("pool"));
    let damage = |sha256: &Digest| {
        let path = dir.path().join("pool").join(place_in_pool(sha256));
        let mut bytes = fs_err::read(&path).unwrap();
        bytes[1000] ^= 1;
        fs_err::write(&path, bytes).unwrap();
    };
    managed_pool::check(&managed_pool::Fixture { pool: &pool, damage: &damage, forgets: true });
    // Empty folders go, and no temporary file stays.
    assert_eq!(fs_err::read_dir(dir.path().join("pool")).unwrap().count(), 1);
    assert_eq!(fs_err::read_dir(dir.path().join("pool/sha256")).unwrap().count(), 0);
}
