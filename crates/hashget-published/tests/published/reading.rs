//! What is published is what is read, and little is asked for.

use hashget::hashdb::{HashDb as _, Key};
use hashget::model::{Digest, Evidence, Signature};
use hashget::monitor::Silent;
use hashget_published::Memory;
use hashget_published::client::Manner;
use hashget_published::publish::verify;

use crate::hashdb;
use crate::scene::{NOW, Scene, content, package, signature};

#[test]
fn every_package_comes_back_by_name_digest_url_and_contents() {
    let scene = Scene::with_many(300);
    let db = scene.hashdb(Manner::default());
    for number in [0, 1, 9, 150, 299] {
        let name = format!("p{number}");
        let (record, members) = package(&name, number % 10);
        let digest = Digest::of(&content(&name, 0));
        let known = signature(&name);
        let keys = [
            Key::Signature(&known),
            Key::Package(record.sha256),
            Key::Url(&record.url),
            Key::Url(&record.also[0]),
            Key::Content(digest),
        ];
        let found = db.find(&keys).unwrap();
        let [by_name, by_digest, by_url, by_other, by_contents] = &found[..] else { panic!() };
        let [id] = by_name[..] else { panic!("{name}: {found:?}") };
        for ids in [by_digest, by_url, by_other] {
            assert_eq!(*ids, [id], "{name}");
        }
        assert_eq!(by_contents.contains(&id), number % 10 > 0, "{name}");
        let published = db.record(id).unwrap().unwrap();
        let expected = hashget::model::PackageRecord {
            project: None,
            evidence: Evidence::Signed,
            origin: hashget::model::Origin::Tree,
            vouched: true,
            publisher: Some("publisher.example/log".to_owned()),
            indexed_at: NOW,
            ..record
        };
        assert_eq!(published, expected);
        assert_eq!(db.members(id).unwrap(), members);
    }
    let unknown = Signature { kind: "deb".to_owned(), value: "nothing".to_owned() };
    let other = Signature { kind: "crate".to_owned(), value: "p1_1.0_amd64".to_owned() };
    let keys = [
        Key::Signature(&unknown),
        Key::Signature(&other),
        Key::Package(Digest::of(b"nothing")),
        Key::Url("https://packages.example/nothing"),
        Key::Content(Digest::of(b"nothing")),
    ];
    assert!(db.find(&keys).unwrap().iter().all(Vec::is_empty));
}

/// Packages for the suite, as readers see them: on the word of the publisher, without what is the publisher's own.
fn known_packages() -> Vec<(hashget::model::PackageRecord, Vec<hashget::model::Member>)> {
    let mut known = hashdb::known_packages();
    for (record, _) in &mut known {
        // One package is one row.
        record.sha256 = Digest::of(record.url.as_bytes());
        record.project = None;
        record.evidence = Evidence::Signed;
        record.origin = hashget::model::Origin::Tree;
        record.vouched = true;
        record.indexed_at = NOW;
        record.publisher = Some("publisher.example/log".to_owned());
    }
    known
}

#[test]
fn an_edition_conforms_as_a_hashdb() {
    let scene = Scene::new();
    let known = known_packages();
    for (record, members) in &known {
        let own = hashget::model::PackageRecord {
            evidence: Evidence::Downloaded,
            origin: hashget::model::Origin::User,
            project: Some("mine".to_owned()),
            publisher: None,
            ..record.clone()
        };
        scene.record(&own, members);
    }
    scene.publish().unwrap();
    hashdb::check_reading_of(&scene.hashdb(Manner::default()), &known);
}

#[test]
fn everything_that_is_published_verifies() {
    for packages in [1, 7, 5000] {
        let scene = Scene::with_many(packages);
        let edition = scene.open(Memory::none()).unwrap();
        let verified = verify(&edition, scene.folder.path(), &Silent).unwrap();
        assert_eq!(verified.packages, packages as u64);
        let members: usize = (0..packages).map(|number| number % 10).sum();
        assert_eq!(verified.members, members as u64);
        // Contents, and of each package its digest, two URLs and its statement.
        assert_eq!(verified.keys, (members + 4 * packages) as u64);
    }
}

#[test]
fn little_is_asked_for_one_package_of_many() {
    let scene = Scene::with_many(1500);
    let db = scene.hashdb(Manner::default());
    let known = signature("p1321");
    let id = db.find_one(Key::Signature(&known)).unwrap()[0];
    db.members(id).unwrap();
    let asked = db.asked();
    assert_eq!((asked.packages, asked.digests, asked.whole_names.len()), (1, 0, 1), "{asked:?}");
    // Checkpoint, entries, manifest, names, the tail of a pack, a page of records and one of lists.
    assert!(asked.requests <= 7, "{asked:?}");
    // What is not there costs one block of the filter.
    let before = db.asked();
    assert!(db.find_one(Key::Content(Digest::of(b"nobody has this"))).unwrap().is_empty());
    let after = db.asked();
    assert_eq!(after.digests, 1);
    assert!(after.requests - before.requests <= 1 + 3 * after.digests_found, "{after:?}");
    assert!(after.bytes - before.bytes == 32 || after.digests_found > 0, "{after:?}");
}

#[test]
fn in_private_only_whole_files_are_fetched() {
    let scene = Scene::with_many(500);
    let db = scene.hashdb(Manner { private: true });
    let known = signature("p77");
    let id = db.find_one(Key::Signature(&known)).unwrap()[0];
    assert_eq!(db.members(id).unwrap(), package("p77", 7).1);
    assert!(db.find_one(Key::Content(Digest::of(&content("p77", 0)))).unwrap().is_empty());
    let asked = db.asked();
    assert_eq!((asked.packages, asked.names, asked.digests), (0, 0, 0), "{asked:?}");
    assert!(asked.lesson().len() == 1, "{:?}", asked.lesson());
}

#[test]
fn what_was_proven_is_not_asked_for_again() {
    let scene = Scene::with(50);
    let first = scene.open(scene.memory()).unwrap();
    let files = scene.files();
    let again = scene.open_from(std::sync::Arc::clone(&files), scene.memory()).unwrap();
    assert_eq!(again.manifest, first.manifest);
    // The checkpoint alone.
    assert_eq!(files.traffic().requests, 1);
}
