//! A real object store: SeaweedFS.

use std::io::Read as _;
use std::time::Duration;

use hashget::fetch::OriginOptions;
use hashget::monitor::Silent;
use hashget_backup::store::{
    Compared, CredentialsFrom, Patience, S3Options, S3Store, Store as _, StoreError,
};
use hashget_testkit::weed::Weed;

use crate::conformance::{Can, StopAfter, bytes, check_store, names, read, send, send_watched};

fn store_of(weed: &Weed, bucket: &str, secret: &str) -> S3Store {
    let secret = secret.to_owned();
    let variable = move |name: &str| match name {
        "AWS_ACCESS_KEY_ID" => Some("key".to_owned()),
        "AWS_SECRET_ACCESS_KEY" => Some(secret.clone()),
        _ => None,
    };
    let options = S3Options {
        endpoint: Some(weed.endpoint()),
        largest_put: 5 << 20,
        part_bytes: 5 << 20,
        ..S3Options::default()
    };
    let from = CredentialsFrom::of_environment(None, variable);
    let patience = Patience { most: Duration::from_secs(20), ..Patience::default() };
    let network = OriginOptions::default();
    S3Store::new("s3://night/hosts", (bucket, "hosts/"), options, from, (&network, patience))
        .unwrap()
}

pub(crate) fn seaweedfs_conforms() {
    let weed = Weed::start();
    let store = store_of(&weed, "night", "secret");
    let first = send(&store, "first", b"x").unwrap();
    store.remove("first", &Silent).unwrap();
    check_store(&store, Can { random: true, compared: first });
    let missing = store_of(&weed, "other", "secret").list(&Silent).unwrap_err();
    assert!(matches!(missing, StoreError::Missing { .. }), "{missing}");
    let wrong = store_of(&weed, "night", "wrong").list(&Silent).unwrap_err();
    assert!(matches!(wrong, StoreError::Refused { .. }), "{wrong}");
    // In parts; broken off, continued, and read from everywhere.
    let sent = bytes(23 << 20);
    send_watched(&store, "large", &sent, &StopAfter::bytes(12 << 20)).unwrap_err();
    assert!(names(&store).is_empty());
    let compared = send(&store, "large", &sent).unwrap();
    assert!(matches!(compared, Compared::Checksum | Compared::Size));
    assert!(read(&store, "large").unwrap() == sent);
    assert!(matches!(send(&store, "large", b"x").unwrap_err(), StoreError::Taken { .. }));
    let mut source = store.open("large", &Silent).unwrap();
    let mut piece = vec![0; 1000];
    source.random().unwrap().read_at(&mut piece, 10 << 20).unwrap();
    assert!(piece == sent[10 << 20..(10 << 20) + 1000]);
    source.read_exact(&mut piece).unwrap();
    assert!(piece == sent[..1000]);
}
