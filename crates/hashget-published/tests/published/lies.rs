//! What is not what was signed is found, named, and nothing of it is believed.

use std::path::{Path, PathBuf};

use hashget::hashdb::{HashDb as _, Key};
use hashget::monitor::Silent;
use hashget_published::client::{Manner, PublishedHashDb};
use hashget_published::publish::verify;
use hashget_published::{Memory, PublishedError, SigningKey};

use crate::scene::{NOW, Scene, package, signature};

/// All files that a reader reads.
fn files(scene: &Scene) -> Vec<PathBuf> {
    let mut found = vec![scene.output().join("checkpoint")];
    for folder in ["manifests", "tables", "tile/entries"] {
        for entry in std::fs::read_dir(scene.output().join(folder)).unwrap() {
            found.push(entry.unwrap().path());
        }
    }
    found
        .into_iter()
        .flat_map(|path| match path.is_dir() {
            true => std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect(),
            false => vec![path],
        })
        .collect()
}

fn reads_everything(scene: &Scene) -> Result<(), PublishedError> {
    let edition = scene.open(Memory::none())?;
    verify(&edition, scene.folder.path(), &Silent).map(drop)
}

#[test]
fn no_flipped_byte_of_any_file_passes() {
    let scene = Scene::with_many(12);
    reads_everything(&scene).unwrap();
    let mut tried = 0;
    for path in files(&scene) {
        let whole = std::fs::read(&path).unwrap();
        let step = (whole.len() / 40).max(1);
        for at in (0..whole.len()).step_by(step) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x41;
            std::fs::write(&path, &damaged).unwrap();
            assert!(reads_everything(&scene).is_err(), "{} byte {at}", path.display());
            believes_nothing_wrong(&scene, &path);
            tried += 1;
        }
        for end in [0, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..end]).unwrap();
            assert!(reads_everything(&scene).is_err(), "{} cut at {end}", path.display());
        }
        std::fs::remove_file(&path).unwrap();
        assert!(reads_everything(&scene).is_err(), "{} is gone", path.display());
        std::fs::write(&path, &whole).unwrap();
    }
    assert!(tried > 150, "{tried}");
    reads_everything(&scene).unwrap();
}

/// Whoever reads by range gets right answers, or an error.
fn believes_nothing_wrong(scene: &Scene, path: &Path) {
    let Ok(edition) = scene.open(Memory::none()) else { return };
    let db = PublishedHashDb::new(edition, Manner::default(), NOW, &Silent);
    for name in ["p3", "p11"] {
        let (record, members) = package(name, name[1..].parse::<usize>().unwrap() % 10);
        let Ok(found) = db.find_one(Key::Signature(&signature(name))) else { continue };
        for id in found {
            let Ok(Some(known)) = db.record(id) else { continue };
            assert_eq!(known.sha256, record.sha256, "{}", path.display());
            if let Ok(known) = db.members(id) {
                assert_eq!(known, members, "{}", path.display());
            }
        }
        // A filter is not proven, and leads nowhere.
        _ = db.find_one(Key::Package(record.sha256));
    }
}

#[test]
fn a_rollback_and_two_states_of_one_size_are_told() {
    let scene = Scene::with(5);
    let copy = tempfile::tempdir().unwrap();
    copy_folder(&scene.output(), copy.path());
    scene.open(scene.memory()).unwrap();
    scene.index("more", 2);
    scene.publish_at(NOW + 1, false).unwrap();
    scene.open(scene.memory()).unwrap();
    // The older state is served again.
    let older = std::sync::Arc::new(hashget_published::Folder::new(copy.path()));
    let error = scene.open_from(older, scene.memory()).map(drop).unwrap_err();
    assert!(
        matches!(&error, PublishedError::Rollback(text) if text.contains("had 2 before")),
        "{error}"
    );
    // Another second edition, signed by the same key.
    let other = Scene { key: SigningKey::parse(&scene.key.to_text()).unwrap(), ..Scene::new() };
    copy_folder(copy.path(), &other.output());
    for number in 0..5 {
        other.index(&format!("p{number}"), number);
    }
    other.index("another", 3);
    other.publish_at(NOW + 2, false).unwrap();
    let error = scene.open_from(other.files(), scene.memory()).map(drop).unwrap_err();
    assert!(
        matches!(&error, PublishedError::Rollback(text) if text.contains("two states")),
        "{error}"
    );
    // And one more: the first two have changed.
    other.index("yet-another", 3);
    other.publish_at(NOW + 3, false).unwrap();
    let error = scene.open_from(other.files(), scene.memory()).map(drop).unwrap_err();
    assert!(
        matches!(&error, PublishedError::Rollback(text) if text.contains("changed the first 2")),
        "{error}"
    );
}

#[test]
fn only_the_readers_keys_count() {
    let scene = Scene::with(3);
    let stranger = [SigningKey::generate("publisher.example/log").unwrap().public().clone()];
    let opened = |keys: &[hashget_published::PublicKey]| {
        hashget_published::Edition::open(scene.files(), keys, Memory::none(), NOW, &Silent)
            .map(drop)
    };
    assert!(matches!(opened(&stranger), Err(PublishedError::NotSigned { .. })));
    assert!(matches!(opened(&[]), Err(PublishedError::NotSigned { .. })));
    opened(&[stranger[0].clone(), scene.key.public().clone()]).unwrap();
}

fn copy_folder(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-rT").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}
