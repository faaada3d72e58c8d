//! Pools that hashget manages: all of them conform.

#![allow(clippy::unwrap_used, reason = "a test tells by panicking")]

#[path = "conformance/managed_pool.rs"]
mod managed_pool;

use std::io::Write as _;

use hashget::fetch::{
    FetchError, FetchOptions, ManagedPool as _, OciPool, PoolError, PoolFolder, Source as _,
    Wanted, place_in_pool,
};
use hashget::model::Digest;
use hashget::monitor::Silent;
use hashget_testkit::registry::{Manner, Registry};

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

fn repository(registry: &Registry) -> OciPool {
    OciPool::new(&registry.repository("p"), &FetchOptions::default()).unwrap()
}

fn conforms(registry: &Registry) {
    registry.tag("latest", "{\"layers\":[]}");
    registry.tag("sha256-12", "{}");
    let pool = repository(registry);
    let damage = |sha256: &Digest| registry.damage(&sha256.to_string());
    managed_pool::check(&managed_pool::Fixture { pool: &pool, damage: &damage, forgets: true });
    // What is none of ours stays, and so does what stands for nothing in manifests.
    assert_eq!(registry.tags(), ["latest", "sha256-12"]);
    assert_eq!(registry.blobs(), [format!("sha256:{}", Digest::of(b"{}"))]);
}

#[test]
fn a_repository_of_a_registry_conforms() {
    conforms(&Registry::start());
}

#[test]
fn a_repository_conforms_where_tokens_are_wanted_and_blobs_are_elsewhere() {
    let registry = Registry::start();
    registry.do_so(Manner::Tokens);
    registry.do_so(Manner::Redirects);
    conforms(&registry);
    let requests = registry.requests();
    let elsewhere: Vec<_> =
        requests.iter().filter(|one| one.path.starts_with("/storage/")).collect();
    assert!(!elsewhere.is_empty() && elsewhere.iter().all(|one| one.authorization.is_none()));
}

#[test]
fn a_repository_that_cannot_remove_says_so() {
    let registry = Registry::start();
    registry.do_so(Manner::KeepsAll);
    let pool = repository(&registry);
    let damage = |sha256: &Digest| registry.damage(&sha256.to_string());
    managed_pool::check(&managed_pool::Fixture { pool: &pool, damage: &damage, forgets: false });
    let pooled = pool.list(&Silent).unwrap().remove(0);
    let error = pool.remove(&pooled.sha256, &Silent).unwrap_err();
    let said = format!("remove the tag sha256-{} by the registry's own means", pooled.sha256);
    assert!(error.to_string().contains(&said), "{error}");
}

#[test]
fn what_a_registry_does_wrong_is_named_and_leaves_nothing() {
    let registry = Registry::start();
    let pool = repository(&registry);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"a package").unwrap();
    registry.do_so(Manner::LosesBytes);
    let error = pool.add(&file, None, &Silent).unwrap_err();
    assert!(matches!(error, PoolError::Refused { .. }), "{error:?}");
    assert!(registry.blobs().is_empty() && registry.tags().is_empty());
    registry.stop_so(Manner::LosesBytes);
    let pooled = pool.add(&file, None, &Silent).unwrap();
    registry.do_so(Manner::Down);
    let error = pool.list(&Silent).unwrap_err();
    assert!(matches!(error, PoolError::Unreachable { .. }), "{error:?}");
    let wanted = Wanted { sha256: Some(pooled.sha256), ..Wanted::default() };
    let error = pool.fetch(&wanted, &Silent).unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
    registry.stop_so(Manner::Down);
    // Whoever may only read cannot add.
    registry.do_so(Manner::Tokens);
    registry.do_so(Manner::Logins);
    let anonymous = repository(&registry);
    assert_eq!(anonymous.fetch(&wanted, &Silent).unwrap().size, 9);
    let error = anonymous.add(&file, None, &Silent).unwrap_err();
    assert!(error.to_string().contains("give a login"), "{error}");
    for bad in ["oci://registry.example", "oci://u:word@registry.example/p"] {
        let error = OciPool::new(bad, &FetchOptions::default()).err().unwrap().to_string();
        assert!(!error.contains("word"), "{error}");
    }
}
