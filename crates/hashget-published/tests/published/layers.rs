//! Editions after the first one: what is added, withdrawn, and unchanged.

use hashget::hashdb::{HashDb as _, HashDbWriter as _, Key};
use hashget::monitor::Silent;
use hashget_published::client::Manner;
use hashget_published::publish::{FromPublished, PublishOptions, Rank, diff, publish, verify};
use hashget_published::{Memory, SigningKey};

use crate::scene::{NOW, Scene, signature};

const DAY: i64 = 24 * 60 * 60;

#[test]
fn a_edition_adds_a_layer_and_leaves_the_base_alone() {
    let scene = Scene::with(100);
    let base = scene.open(Memory::none()).unwrap().manifest;
    // Nothing new: signed again, and nothing else.
    let again = scene.publish_at(NOW + DAY, false).unwrap();
    assert_eq!((again.is_new, again.written, again.editions), (false, 0, 1));
    let signed = scene.open(Memory::none()).unwrap();
    assert_eq!((signed.checkpoint.time, signed.manifest), (Some(NOW + DAY), base.clone()));
    // A few more.
    for number in 0..10 {
        scene.index(&format!("new{number}"), 3);
    }
    let p5 = scene.hashdb.find_one(Key::Signature(&signature("p5"))).unwrap()[0];
    scene.hashdb.remove(p5).unwrap();
    let more = scene.publish_at(NOW + 2 * DAY, false).unwrap();
    assert_eq!((more.is_new, more.written, more.withdrawn, more.editions), (true, 10, 1, 2));
    assert_eq!(more.packages, 109);
    let edition = scene.open(Memory::none()).unwrap();
    assert_eq!(edition.manifest.layers[0], base.layers[0]);
    verify(&edition, scene.folder.path(), &Silent).unwrap();
    let db = scene.hashdb(Manner::default());
    for (name, known) in [("p4", true), ("p5", false), ("new3", true), ("new9", true)] {
        let found = db.find_one(Key::Signature(&signature(name))).unwrap();
        assert_eq!(found.len(), usize::from(known), "{name}");
    }
    // So many new ones that a new base is worth it.
    for number in 0..60 {
        scene.index(&format!("newer{number}"), 3);
    }
    let many = scene.publish_at(NOW + 3 * DAY, false).unwrap();
    assert_eq!((many.written, many.packages, many.withdrawn), (169, 169, 0));
}

#[test]
fn a_record_that_changed_replaces_the_one_of_the_base() {
    let scene = Scene::with(40);
    let (mut record, members) = crate::scene::package("p7", 7);
    record.also.push("https://third.example/p7".to_owned());
    scene.hashdb.put(&record, &members).unwrap();
    assert_eq!(scene.publish_at(NOW + DAY, false).unwrap().written, 1);
    let db = scene.hashdb(Manner::default());
    let found = db.find_one(Key::Signature(&signature("p7"))).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(db.record(found[0]).unwrap().unwrap().also, record.also);
    assert_eq!(db.members(found[0]).unwrap(), members);
}

#[test]
fn merging_gives_the_same_rows_as_publishing_everything_at_once() {
    let (one, two, all) = (Scene::new(), Scene::new(), Scene::new());
    for number in 0..90 {
        let name = format!("p{number}");
        // Some are in both.
        if number % 3 != 0 {
            one.index(&name, number % 7);
        }
        if number % 3 != 1 {
            two.index(&name, number % 7);
        }
        all.index(&name, number % 7);
    }
    for scene in [&one, &two, &all] {
        scene.publish().unwrap();
    }
    let expected = all.open(Memory::none()).unwrap().manifest.layers;
    for order in [[&one, &two], [&two, &one]] {
        let target = tempfile::tempdir().unwrap();
        let inputs =
            order.map(|scene| FromPublished::new(scene.open(Memory::none()).unwrap(), &Silent));
        let keys = [SigningKey::generate("merged.example/log").unwrap()];
        let options = PublishOptions {
            folder: target.path(),
            keys: &keys,
            rank: &Rank::default(),
            collection: None,
            whole: false,
            now: NOW,
        };
        publish(&[&inputs[0], &inputs[1]], &options, &Silent).unwrap();
        let files = std::sync::Arc::new(hashget_published::Folder::new(target.path()));
        let publics = [keys[0].public().clone()];
        let merged =
            hashget_published::Edition::open(files, &publics, Memory::none(), NOW, &Silent)
                .unwrap();
        assert_eq!(merged.manifest.layers, expected);
        let difference = diff(
            &FromPublished::new(merged, &Silent),
            &FromPublished::new(all.open(Memory::none()).unwrap(), &Silent),
        )
        .unwrap();
        assert!(difference.only_first.is_empty() && difference.other_records.is_empty());
    }
}

/// What a run leaves that was killed after its manifest and log were written and before it signed.
#[test]
fn after_a_run_that_was_killed_another_one_publishes() {
    let scene = Scene::with(20);
    let checkpoint = std::fs::read(scene.output().join("checkpoint")).unwrap();
    scene.index("new", 3);
    scene.publish_at(NOW + DAY, false).unwrap();
    std::fs::write(scene.output().join("checkpoint"), &checkpoint).unwrap();
    std::fs::create_dir(scene.output().join(".publish-killed")).unwrap();
    std::fs::write(scene.output().join(".publish-killed/rows"), "unsorted").unwrap();
    // Another second edition than the one whose files are there.
    scene.index("newer", 5);
    let published = scene.publish_at(NOW + 2 * DAY, false).unwrap();
    assert_eq!((published.written, published.editions), (2, 2));
    let edition = scene.open(Memory::none()).unwrap();
    verify(&edition, scene.folder.path(), &Silent).unwrap();
    assert!(!scene.output().join(".publish-killed").exists());
}

#[test]
fn what_is_withdrawn_stays_so_and_makes_one_edition() {
    let scene = Scene::with(40);
    let p5 = scene.hashdb.find_one(Key::Signature(&signature("p5"))).unwrap()[0];
    scene.hashdb.remove(p5).unwrap();
    for (day, is_new) in [(1, true), (2, false), (3, false)] {
        let published = scene.publish_at(NOW + day * DAY, false).unwrap();
        assert_eq!((published.is_new, published.editions, published.withdrawn), (is_new, 2, 1));
        let db = scene.hashdb(Manner::default());
        assert!(db.find_one(Key::Signature(&signature("p5"))).unwrap().is_empty(), "day {day}");
        assert_eq!(db.find_one(Key::Signature(&signature("p6"))).unwrap().len(), 1, "day {day}");
    }
    // A package that comes back is no longer withdrawn.
    scene.index("p5", 5);
    let published = scene.publish_at(NOW + 4 * DAY, false).unwrap();
    assert_eq!((published.is_new, published.withdrawn), (true, 0));
    let db = scene.hashdb(Manner::default());
    assert_eq!(db.find_one(Key::Signature(&signature("p5"))).unwrap().len(), 1);
}
