//! What a publisher signs and is wrong: found, named, and nothing of it is believed. Whoever reads neither panics nor hangs.

use std::path::Path;

use hashget::hashdb::{HashDb as _, HashDbError, Key};
use hashget::model::Digest;
use hashget::monitor::Silent;
use hashget_published::client::{Manner, PublishedHashDb};
use hashget_published::publish::verify;
use hashget_published::{Checkpoint, Log, Memory, PublishedError};
use serde_json::{Value, json};

use crate::scene::{NOW, Scene, package, signature};

const PACKAGES: usize = 40;

impl Scene {
    /// The manifest of the one edition.
    fn manifest(&self) -> Value {
        let digest = self.open(Memory::none()).unwrap().digest;
        let bytes = std::fs::read(self.output().join(format!("manifests/{digest}.json"))).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    /// Signs this manifest as the one edition.
    fn sign(&self, manifest: &[u8]) {
        let digest = Digest::of(manifest);
        let mut log = Log::default();
        log.push(digest);
        let root = log.root_of(1).unwrap();
        let origin = self.key.public().name().to_owned();
        let checkpoint = Checkpoint { origin, size: 1, root, time: Some(NOW) };
        let entry = [&[0, 32][..], digest.as_bytes()].concat();
        let output = self.output();
        std::fs::write(output.join(format!("manifests/{digest}.json")), manifest).unwrap();
        std::fs::write(output.join("tile/entries/000.p/1"), entry).unwrap();
        let keys = std::slice::from_ref(&self.key);
        std::fs::write(output.join("checkpoint"), checkpoint.sign(keys)).unwrap();
    }
}

/// Looks everything up; every answer that comes is right.
fn answers_are_right(scene: &Scene) -> Result<(), PublishedError> {
    let edition = scene.open(Memory::none())?;
    let db = PublishedHashDb::new(edition, Manner::default(), NOW, &Silent);
    let mut failed = None;
    for number in [0, 7, PACKAGES - 1] {
        let name = format!("p{number}");
        let (record, members) = package(&name, number % 10);
        let known = signature(&name);
        let keys = [Key::Signature(&known), Key::Package(record.sha256), Key::Url(&record.url)];
        for key in keys {
            let found = db.find_one(key).and_then(|ids| {
                for id in ids {
                    if let Some(found) = db.record(id)? {
                        assert_eq!(found.sha256, record.sha256);
                        assert_eq!(db.members(id)?, members);
                    }
                }
                Ok(())
            });
            failed = failed.or(found.err());
        }
    }
    match failed {
        Some(HashDbError::Failed { problem, .. }) => {
            Err(PublishedError::Damaged { file: String::new(), problem })
        }
        Some(other) => panic!("{other}"),
        None => Ok(()),
    }
}

fn is_refused(scene: &Scene, what: &str) {
    let read = scene
        .open(Memory::none())
        .and_then(|edition| verify(&edition, scene.folder.path(), &Silent).map(drop));
    let error = read.expect_err(what);
    let told = error.to_string();
    assert!(told.len() > 20, "{what}: {told}");
    _ = answers_are_right(scene);
}

#[test]
fn a_manifest_that_does_not_add_up_is_refused() {
    let scene = Scene::with_many(PACKAGES);
    let good = scene.manifest();
    scene.sign(&serde_json::to_vec(&good).unwrap());
    answers_are_right(&scene).unwrap();
    let lies: &[(&str, Value)] = &[
        ("/format", json!("another")),
        ("/version", json!(2)),
        ("/version", json!("1")),
        ("/layers", json!({})),
        ("/layers/0/packages", json!(PACKAGES + 1)),
        ("/layers/0/packages", json!(-1)),
        ("/layers/0/packages", json!(u64::MAX)),
        ("/layers/0/collections/0/first", json!(1)),
        ("/layers/0/collections/0/packages", json!(PACKAGES - 1)),
        ("/layers/0/collections/0/packs", json!([])),
        ("/layers/0/collections/0/packs/0/rows", json!(u64::MAX)),
        ("/layers/0/collections/0/packs/0/size", json!(0)),
        ("/layers/0/collections/0/packs/0/size", json!(u64::MAX)),
        ("/layers/0/collections/0/packs/0/tail/size", json!(u64::MAX)),
        ("/layers/0/collections/0/packs/0/tail/size", json!(4)),
        ("/layers/0/collections/0/packs/0/sha256", json!("00")),
        ("/layers/0/collections/0/packs/0/sha256", json!("../../../etc/passwd")),
        ("/layers/0/collections/0/names/rows", json!(7)),
        ("/layers/0/keys", json!([])),
        ("/layers/0/keys/0/rows", json!(1)),
        ("/layers/0/keys/0/filter", json!(null)),
        ("/layers/0/keys/0/filter/size", json!(33)),
        ("/layers/0/keys/0/filter/size", json!(0)),
        ("/layers/0/keys/0/filter/size", json!(u64::MAX / 32 * 32)),
        ("/layers/0/keys/0/filter/offset", json!(u64::MAX)),
    ];
    for (at, lie) in lies {
        let mut manifest = good.clone();
        *manifest.pointer_mut(at).unwrap() = lie.clone();
        scene.sign(&serde_json::to_vec(&manifest).unwrap());
        is_refused(&scene, &format!("{at}: {lie}"));
    }
    for (what, manifest) in [("no JSON", &b"nothing"[..]), ("nothing", b""), ("a list", b"[]")] {
        scene.sign(manifest);
        is_refused(&scene, what);
    }
}

#[test]
fn a_manifest_whose_parts_do_not_fit_together_is_refused() {
    let scene = Scene::with_many(PACKAGES);
    let good = scene.manifest();
    // Tables in each other's places, and twice.
    let tables =
        ["/layers/0/collections/0/packs/0", "/layers/0/collections/0/names", "/layers/0/keys/0"];
    for (one, other) in [(0, 1), (0, 2), (1, 2), (2, 1), (1, 0), (2, 0)] {
        let mut manifest = good.clone();
        let table = good.pointer(tables[other]).unwrap().clone();
        *manifest.pointer_mut(tables[one]).unwrap() = table;
        scene.sign(&serde_json::to_vec(&manifest).unwrap());
        is_refused(&scene, &format!("{} is {}", tables[one], tables[other]));
    }
    let mut manifest = good.clone();
    let table = good.pointer(tables[0]).unwrap();
    let mut shorter = table.clone();
    shorter["rows"] = json!(1);
    manifest["layers"][0]["collections"][0]["packs"] = json!([table, shorter]);
    scene.sign(&serde_json::to_vec(&manifest).unwrap());
    is_refused(&scene, "two things of one table");
    let mut manifest = good.clone();
    let digests = ["b", "a"].map(|digit| digit.repeat(64));
    manifest["withdrawn"] = json!(digests);
    scene.sign(&serde_json::to_vec(&manifest).unwrap());
    is_refused(&scene, "what is withdrawn in another order");
    let mut manifest = good.clone();
    let layer = good.pointer("/layers/0").unwrap().clone();
    *manifest.pointer_mut("/layers").unwrap() = json!(vec![layer; 9]);
    scene.sign(&serde_json::to_vec(&manifest).unwrap());
    is_refused(&scene, "nine layers");
}

/// What is kept has the digest that the manifest names, but another length.
#[test]
fn bytes_of_the_cache_with_another_length_are_not_taken() {
    let scene = Scene::with_many(PACKAGES);
    let db = PublishedHashDb::new(
        scene.open(scene.memory()).unwrap(),
        Manner { private: true },
        NOW,
        &Silent,
    );
    let known = signature("p7");
    assert_eq!(db.find_one(Key::Signature(&known)).unwrap().len(), 1);
    let mut manifest = scene.manifest();
    let names = &mut manifest["layers"][0]["collections"][0]["names"];
    names["size"] = json!(names["size"].as_u64().unwrap() + 1);
    scene.sign(&serde_json::to_vec(&manifest).unwrap());
    let memory =
        Memory::new(scene.folder.path().join("other"), Some(scene.folder.path().join("cache")));
    let db =
        PublishedHashDb::new(scene.open(memory).unwrap(), Manner { private: true }, NOW, &Silent);
    let error = db.find_one(Key::Signature(&known)).unwrap_err();
    assert!(!error.to_string().is_empty());
}

/// Replaces a table by other bytes, with all digests of the manifest as they must be.
fn sign_table(scene: &Scene, good: &Value, at: &str, bytes: &[u8]) {
    let mut manifest = good.clone();
    let table = manifest.pointer_mut(at).unwrap();
    let tail = usize::try_from(table["tail"]["size"].as_u64().unwrap()).unwrap();
    let sha256 = Digest::of(bytes);
    table["sha256"] = json!(sha256);
    table["size"] = json!(bytes.len());
    table["tail"]["sha256"] = json!(Digest::of(&bytes[bytes.len() - tail..]));
    std::fs::write(scene.output().join(format!("tables/{sha256}.parquet")), bytes).unwrap();
    scene.sign(&serde_json::to_vec(&manifest).unwrap());
}

#[test]
fn a_table_that_was_signed_damaged_is_refused() {
    let scene = Scene::with_many(PACKAGES);
    let good = scene.manifest();
    let mut tried = 0;
    for at in
        ["/layers/0/collections/0/packs/0", "/layers/0/collections/0/names", "/layers/0/keys/0"]
    {
        let table = good.pointer(at).unwrap();
        let file = format!("tables/{}.parquet", table["sha256"].as_str().unwrap());
        let bytes = std::fs::read(scene.output().join(file)).unwrap();
        let tail = bytes.len() - usize::try_from(table["tail"]["size"].as_u64().unwrap()).unwrap();
        // Pages are proven by the tail; in the tail itself, each byte may be anything.
        let places = (tail..bytes.len()).step_by(3).chain((4..tail).step_by(tail / 12 + 1));
        for place in places {
            for change in [0xFF, 0x01] {
                let mut damaged = bytes.clone();
                damaged[place] ^= change;
                sign_table(&scene, &good, at, &damaged);
                // A change of what nobody reads (who wrote the file) is none.
                _ = answers_are_right(&scene);
                let edition = scene.open(Memory::none()).unwrap();
                if let Err(error) = verify(&edition, scene.folder.path(), &Silent) {
                    assert!(matches!(error, PublishedError::Damaged { .. }), "{error}");
                }
                tried += 1;
            }
        }
    }
    assert!(tried > 500, "{tried}");
}

#[test]
fn a_list_that_is_not_the_one_of_its_record_is_no_members() {
    let scene = Scene::with_many(3);
    let other = Scene::with_many(4);
    // The row of another package, whose list is a good one.
    let (good, foreign) = (scene.manifest(), other.manifest());
    let mut manifest = good.clone();
    let at = "/layers/0/collections/0/packs/0";
    let mut pack = foreign.pointer(at).unwrap().clone();
    let file = format!("tables/{}.parquet", pack["sha256"].as_str().unwrap());
    std::fs::copy(other.output().join(&file), scene.output().join(&file)).unwrap();
    pack["rows"] = json!(4);
    *manifest.pointer_mut(at).unwrap() = pack;
    manifest["layers"][0]["packages"] = json!(4);
    manifest["layers"][0]["collections"][0]["packages"] = json!(4);
    scene.sign(&serde_json::to_vec(&manifest).unwrap());
    is_refused(&scene, "names and keys of other packages");
}

#[test]
fn an_edition_that_grows_while_it_is_read_stays_readable() {
    let scene = Scene::with(30);
    let edition = scene.open(Memory::none()).unwrap();
    let db = PublishedHashDb::new(edition, Manner::default(), NOW, &Silent);
    let before = db.find_one(Key::Signature(&signature("p3"))).unwrap();
    for number in 0..20 {
        scene.index(&format!("more{number}"), 3);
    }
    scene.publish_at(NOW + 1, true).unwrap();
    assert_eq!(db.members(before[0]).unwrap(), package("p3", 3).1);
    assert!(Path::new(&scene.output()).join("checkpoint").exists());
    assert_eq!(db.find_one(Key::Signature(&signature("more3"))).unwrap(), []);
    let now = scene.hashdb(Manner::default());
    assert_eq!(now.find_one(Key::Signature(&signature("more3"))).unwrap().len(), 1);
}
