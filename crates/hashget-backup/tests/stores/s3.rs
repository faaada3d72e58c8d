//! Object stores, with everything that can go wrong on the way.

use hashget::fetch::{ManagedPool as _, OriginOptions, PoolError, place_in_pool};
use hashget::model::Digest;
use hashget::monitor::Silent;
use hashget_backup::store::{
    Compared, CredentialsFrom, S3Options, S3Pool, S3Store, Sending, Store as _, StoreError,
};
use hashget_testkit::object_store::{Action, BUCKET, Fault, Lack, ObjectStore};

use crate::conformance::{
    Can, StopAfter, bytes, check_store, digest, file_of, names, read, send, send_watched,
};
use crate::managed_pool;
use crate::support::patience;

const CAN: Can = Can { random: true, compared: Compared::Checksum };

/// Files of more bytes are sent in parts of so many.
const PART: u64 = 300_000;

fn variables(name: &str) -> Option<String> {
    let known = [("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "hidden")];
    known.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
}

fn in_bucket(server: &ObjectStore, bucket: &str, from: CredentialsFrom) -> S3Store {
    let options = S3Options {
        endpoint: Some(server.endpoint()),
        largest_put: 1_000_000,
        part_bytes: PART,
        ..S3Options::default()
    };
    let network = (&OriginOptions::default(), patience(1800));
    let shown = format!("s3://{bucket}/hosts");
    S3Store::new(&shown, (bucket, "hosts/"), options, from, network).unwrap()
}

fn store_of(server: &ObjectStore) -> S3Store {
    in_bucket(server, BUCKET, CredentialsFrom::of_environment(None, variables))
}

#[test]
fn a_pool_in_a_bucket_conforms() {
    let server = ObjectStore::start();
    // What is no package is nobody's business.
    server.put("hosts/sha256/readme", b"x");
    server.put("sha256/ab/cd/ef/01", b"x");
    let pool = S3Pool::new(store_of(&server));
    let damage = |sha256: &Digest| {
        let key = format!("hosts/{}", place_in_pool(sha256));
        let mut bytes = server.objects()[&key].bytes.clone();
        bytes[1000] ^= 1;
        server.put(&key, &bytes);
    };
    managed_pool::check(&managed_pool::Fixture { pool: &pool, damage: &damage, forgets: true });
    assert_eq!((server.objects().len(), server.uploads()), (2, 0));
}

#[test]
fn a_pool_in_a_bucket_that_fails_is_no_damage_and_holds_nothing() {
    let server = ObjectStore::start();
    let pool = S3Pool::new(store_of(&server));
    let content = b"a package".repeat(1000);
    let file = || file_of(&content);
    server.fault(Action::Put, Fault::Error(403, "AccessDenied"));
    let error = pool.add(&file(), None, &Silent).unwrap_err();
    assert!(matches!(error, PoolError::Refused { .. }), "{error:?}");
    assert!(server.objects().is_empty());
    // What the store has damaged on its way goes again.
    server.fault(Action::Put, Fault::Corrupt);
    let error = pool.add(&file(), None, &Silent).unwrap_err();
    assert!(error.to_string().contains("expected"), "{error}");
    assert!(server.objects().is_empty());
    let pooled = pool.add(&file(), None, &Silent).unwrap();
    server.lack(Lack::Reading);
    let error = pool.damage(&pooled, &Silent).unwrap_err();
    assert!(error.to_string().contains("it answers 403"), "{error}");
    let error = pool.list(&Silent).unwrap_err();
    assert!(matches!(error, PoolError::Refused { .. }), "{error:?}");
}

#[test]
fn an_object_store_conforms() {
    let server = ObjectStore::start();
    server.put("hosts/deeper/a", b"x");
    server.put("other", b"x");
    check_store(&store_of(&server), CAN);
    assert_eq!(server.objects().len(), 2);
}

#[test]
fn a_store_without_checksums_is_compared_by_size_and_one_without_conditions_is_used() {
    let server = ObjectStore::start();
    server.lack(Lack::Checksums);
    server.lack(Lack::Conditions);
    let store = store_of(&server);
    for size in [10, 2_000_000] {
        let name = format!("of-{size}");
        assert_eq!(send(&store, &name, &bytes(size)).unwrap(), Compared::Size);
        assert!(read(&store, &name).unwrap() == bytes(size));
        assert!(matches!(send(&store, &name, b"").unwrap_err(), StoreError::Taken { .. }));
    }
}

#[test]
fn what_another_sender_has_put_there_stays() {
    let server = ObjectStore::start();
    server.lack(Lack::Conditions);
    let store = store_of(&server);
    for (action, size, is_declared) in [
        (Action::Put, 10, true),
        (Action::Put, 11, false),
        (Action::Put, 10, false),
        (Action::Complete, 2_000_000, true),
        (Action::Complete, 2_000_000, false),
    ] {
        let name = format!("of-{size}-{is_declared}");
        // The store knows no conditions and is asked twice: the first answer is that, and has replaced nothing.
        server.fault(action, Fault::Error(501, "NotImplemented"));
        server.fault(action, Fault::Overtaken { bytes: b"of another", is_declared });
        let error = send(&store, &name, &bytes(size)).unwrap_err();
        assert!(matches!(error, StoreError::Taken { .. }), "{name}: {error}");
        assert_eq!(read(&store, &name).unwrap(), b"of another");
    }
}

#[test]
fn an_object_of_the_same_size_that_declares_another_digest_is_anothers() {
    let server = ObjectStore::start();
    server.lack(Lack::Conditions);
    server.lack(Lack::Checksums);
    let store = store_of(&server);
    server.fault(Action::Put, Fault::Error(501, "NotImplemented"));
    server.fault(Action::Put, Fault::Overtaken { bytes: b"of another", is_declared: true });
    let error = send(&store, "a", &bytes(10)).unwrap_err();
    assert!(matches!(error, StoreError::Taken { .. }), "{error}");
    assert_eq!(read(&store, "a").unwrap(), b"of another");
}

#[test]
fn objects_are_examined_for_their_checksums_and_locks() {
    let server = ObjectStore::start();
    let store = store_of(&server);
    for number in 0..20 {
        send(&store, &format!("file-{number:02}"), &bytes(10 + number)).unwrap();
    }
    send(&store, "in-parts", &bytes(2_000_000)).unwrap();
    let until = 4_000_000_000;
    let (file, digest_of_it) = (file_of(b"locked"), digest(b"locked"));
    let locked = Sending {
        file: &file,
        bytes: 6,
        sha256: &digest_of_it,
        lock_until: Some(until),
        bytes_per_second: None,
    };
    store.send("locked", &locked, &Silent).unwrap();
    let mut files = store.list(&Silent).unwrap();
    assert!(files.iter().all(|file| file.sha256.is_none() && file.locked_until.is_none()));
    store.examine(&mut files, &Silent).unwrap();
    for (number, file) in files.iter().take(20).enumerate() {
        assert_eq!(file.sha256, Some(digest(&bytes(10 + number))), "{}", file.name);
        assert_eq!(file.locked_until, None);
    }
    let [parts, locked] = &files[20..] else { panic!("{files:?}") };
    // Of parts, no digest of the whole is told.
    assert_eq!((&*parts.name, &parts.sha256), ("in-parts", &None));
    assert_eq!((&*locked.name, locked.locked_until), ("locked", Some(until)));
    server.lack(Lack::Checksums);
    let mut files = store.list(&Silent).unwrap();
    store.examine(&mut files, &Silent).unwrap();
    assert!(files.iter().all(|file| file.sha256.is_none()));
}

#[test]
fn credentials_that_may_only_write_suffice_to_send_and_replace_nothing() {
    let server = ObjectStore::start();
    server.lack(Lack::Reading);
    let store = store_of(&server);
    assert_eq!(send(&store, "small", &bytes(10)).unwrap(), Compared::Checksum);
    send(&store, "large", &bytes(2_000_000)).unwrap();
    for name in ["small", "large"] {
        let error = send(&store, name, &bytes(2_000_001)).unwrap_err();
        assert!(matches!(error, StoreError::Taken { .. }), "{error}");
    }
    assert!(server.objects()["hosts/large"].bytes == bytes(2_000_000));
    assert!(store.list(&Silent).unwrap_err().to_string().contains("AccessDenied"));
    assert_eq!(server.uploads(), 0);
}

/// Each step of sending fails once, in each way: the file is there afterwards, whole, and nothing else.
#[test]
fn a_step_that_fails_once_is_tried_again() {
    use Action::{Begin, Complete, Head, Part, Put};
    for action in [Head, Put, Begin, Part, Complete] {
        for fault in [
            Fault::CloseAt(0),
            Fault::CloseAt(1000),
            Fault::CloseAfter,
            Fault::Error(500, "InternalError"),
            Fault::Error(503, "SlowDown"),
            Fault::Error(409, "ConditionalRequestConflict"),
            Fault::Error(400, "RequestTimeout"),
        ] {
            let server = ObjectStore::start();
            let sent = bytes(if action == Put { 200_000 } else { 1_100_000 });
            server.fault(action, fault.clone());
            let done = send(&store_of(&server), "a", &sent);
            assert_eq!(done.unwrap(), Compared::Checksum, "{action:?} {fault:?}");
            assert!(server.objects()["hosts/a"].bytes == sent, "{action:?} {fault:?}");
            let left = server.uploads();
            // The answer to the first beginning may be lost: its upload is cleaned after a day.
            assert!(
                left == 0 || (action == Begin && fault == Fault::CloseAfter),
                "{action:?} {fault:?}"
            );
        }
    }
}

#[test]
fn an_error_inside_of_a_good_answer_is_one() {
    let server = ObjectStore::start();
    let store = store_of(&server);
    server.fault(Action::Complete, Fault::ErrorInside("InternalError"));
    send(&store, "passing", &bytes(1_100_000)).unwrap();
    server.fault(Action::Complete, Fault::ErrorInside("EntityTooSmall"));
    let error = send(&store, "lasting", &bytes(1_100_000)).unwrap_err();
    assert!(error.to_string().contains("EntityTooSmall"), "{error}");
    assert_eq!(names(&store), ["passing"]);
    assert_eq!(server.uploads(), 0, "it was given up");
}

#[test]
fn a_store_that_damages_what_it_gets_is_found_out() {
    let server = ObjectStore::start();
    let store = store_of(&server);
    server.fault(Action::Put, Fault::Corrupt);
    let error = send(&store, "a", &bytes(10)).unwrap_err();
    assert!(matches!(error, StoreError::Different { .. }), "{error}");
    assert!(server.objects().is_empty());
}

#[test]
fn an_upload_that_broke_off_goes_on_with_the_parts_that_are_there() {
    let server = ObjectStore::start();
    let store = store_of(&server);
    let sent = bytes(3_000_000);
    send_watched(&store, "a", &sent, &StopAfter::bytes(2_000_000)).unwrap_err();
    assert_eq!((server.uploads(), server.objects().len()), (1, 0));
    let parts = |server: &ObjectStore| {
        server.log().iter().filter(|action| **action == Action::Part).count()
    };
    let before = parts(&server);
    assert!(before >= 6, "{before}");
    send(&store, "a", &sent).unwrap();
    assert!(server.objects()["hosts/a"].bytes == sent);
    assert!(parts(&server) - before <= 5, "{}", parts(&server) - before);
    assert_eq!(server.uploads(), 0);
    // Parts of another file are no use.
    send_watched(&store, "b", &sent, &StopAfter::bytes(2_000_000)).unwrap_err();
    let other = vec![3; 3_000_000];
    send(&store, "b", &other).unwrap();
    assert!(server.objects()["hosts/b"].bytes == other);
}

#[test]
fn uploads_are_cleaned_that_broke_off_more_than_a_day_ago() {
    let server = ObjectStore::start();
    let store = store_of(&server);
    for name in ["a", "b", "c", "d", "e"] {
        send_watched(&store, name, &bytes(2_000_000), &StopAfter::bytes(400_000)).unwrap_err();
    }
    assert!(store.clean(&Silent).unwrap().is_empty());
    server.date_uploads("2026-01-01T00:00:00.000Z");
    assert_eq!(store.clean(&Silent).unwrap(), ["a", "b", "c", "d", "e"]);
    assert_eq!(server.uploads(), 0);
    // What has come by another send needs no day.
    send_watched(&store, "f", &bytes(2_000_000), &StopAfter::bytes(400_000)).unwrap_err();
    server.put("hosts/f", b"whole");
    assert_eq!(store.clean(&Silent).unwrap(), ["f"]);
}

#[test]
fn a_store_that_does_not_answer_is_given_up_after_half_an_hour() {
    let server = ObjectStore::start();
    let store = store_of(&server);
    let endpoint = server.endpoint();
    drop(server);
    for error in [
        send(&store, "a", b"x").unwrap_err(),
        store.list(&Silent).unwrap_err(),
        read(&store, "a").unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
        let text = error.to_string();
        assert!(
            !text.contains("X-Amz") && !text.contains("hidden") && !text.contains(&endpoint),
            "{text}"
        );
    }
}

#[test]
fn a_missing_bucket_and_missing_rights_are_told_with_what_the_store_says() {
    let server = ObjectStore::start();
    let from = || CredentialsFrom::of_environment(None, variables);
    let missing = in_bucket(&server, "other", from());
    for error in [
        send(&missing, "a", b"x").unwrap_err(),
        read(&missing, "a").unwrap_err(),
        missing.list(&Silent).unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Missing { .. }), "{error}");
    }
    let store = store_of(&server);
    server.fault(Action::Put, Fault::Error(403, "AccessDenied"));
    let error = send(&store, "a", b"x").unwrap_err();
    assert!(error.to_string().contains("AccessDenied: as told"), "{error}");
    server.fault(Action::Put, Fault::Error(507, "QuotaExceeded"));
    assert!(send(&store, "a", b"x").unwrap_err().to_string().contains("QuotaExceeded"));
    server.fault(Action::List, Fault::Error(301, "PermanentRedirect"));
    assert!(store.list(&Silent).unwrap_err().to_string().contains("region"));
    let nobody = in_bucket(&server, BUCKET, CredentialsFrom::default());
    assert!(nobody.list(&Silent).unwrap_err().to_string().contains("credentials"));
}

#[test]
fn credentials_that_end_half_way_are_read_again() {
    let server = ObjectStore::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials");
    let write = |key: &str| {
        let text = format!("[default]\naws_access_key_id={key}\naws_secret_access_key=s\n");
        fs_err::write(&file, text).unwrap();
    };
    write("first");
    server.accept_only("first");
    let from = CredentialsFrom { file: Some(file.clone()), ..CredentialsFrom::default() };
    let store = in_bucket(&server, BUCKET, from);
    send(&store, "a", b"x").unwrap();
    server.accept_only("second");
    // Nothing else is there yet: that is an error, not a loop.
    let error = send(&store, "b", b"x").unwrap_err();
    assert!(error.to_string().contains("InvalidAccessKeyId"), "{error}");
    write("second");
    send(&store, "b", b"x").unwrap();
    server.fault(Action::Part, Fault::Error(400, "ExpiredToken"));
    write("third");
    // The last good ones were refused in the midst, and those that were read then are not accepted.
    assert!(
        send(&store, "c", &bytes(1_100_000))
            .unwrap_err()
            .to_string()
            .contains("InvalidAccessKeyId")
    );
    server.accept_only("third");
    send(&store, "c", &bytes(1_100_000)).unwrap();
}

#[test]
fn a_lock_goes_with_the_object_and_keeps_it() {
    let server = ObjectStore::start();
    let store = store_of(&server);
    for size in [10, 1_100_000] {
        let (sent, name) = (bytes(size), format!("of-{size}"));
        let (file, sha256) = (file_of(&sent), digest(&sent));
        let (bytes, lock_until) = (sent.len() as u64, Some(4_102_444_800));
        let sending =
            Sending { file: &file, bytes, sha256: &sha256, lock_until, bytes_per_second: None };
        store.send(&name, &sending, &Silent).unwrap();
        let object = &server.objects()[&format!("hosts/{name}")];
        assert_eq!(object.header("x-amz-object-lock-mode"), Some("COMPLIANCE"));
        let error = store.remove(&name, &Silent).unwrap_err();
        assert!(
            matches!(&error, StoreError::Locked { until, .. } if until.starts_with("2100-01-01")),
            "{error}"
        );
    }
    assert_eq!(names(&store).len(), 2);
}

#[test]
fn an_object_that_changes_while_it_is_read_is_never_read_as_one() {
    let server = ObjectStore::start();
    let store = store_of(&server);
    server.put("hosts/a", &bytes(3_000_000));
    let source = store.open("a", &Silent).unwrap();
    let mut start = [0; 100];
    source.random().unwrap().read_at(&mut start, 5).unwrap();
    assert!(start == bytes(3_000_000)[5..105]);
    server.put("hosts/a", &vec![1; 3_000_000]);
    let error = source.random().unwrap().read_at(&mut start, 500).unwrap_err();
    assert!(error.to_string().contains("another file"), "{error}");
}
