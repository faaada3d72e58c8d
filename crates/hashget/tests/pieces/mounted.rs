//! What shows an archive reads files that are made of pieces at any place.

use std::fs::File;

use hashget::archive::{ContentsAccess, NodeId, PackageMembers, open_archive};
use hashget::codec::Codec;
use hashget::fetch::Offline;
use hashget::hashdb::NoHashDb;
use hashget::model::{Evidence, RelPath};
use hashget::monitor::Recorder;
use hashget::pack::PackOptions;
use hashget_testkit::origin::Fault;
use hashget_testkit::trees;

use crate::images::{disk_image, scene, tar_image, write_with_holes};
use crate::scene::{Scene, options, problems};

/// Reads parts of both images; what could not be read is `None`.
fn read(scene: &Scene, archive: &[u8], recorder: &Recorder) -> Vec<Option<Vec<u8>>> {
    let file = scene.path("archive");
    fs_err::write(&file, archive).unwrap();
    let members = PackageMembers {
        hashdb: &NoHashDb,
        least: Evidence::Downloaded,
        supplements: None,
        source: &Offline,
        must_have: false,
        digests: false,
        limits: &scene.limits,
    };
    let access = ContentsAccess {
        source: &scene.source,
        folder: file.parent().unwrap(),
        kept_bytes: 0,
        limits: &scene.limits,
        monitor: recorder,
    };
    let opened = File::open(&file).unwrap();
    let contents = open_archive(Box::new(opened), "archive", &members, access).unwrap();
    let node = |path: &str| contents.tree().find(&RelPath::new(path).unwrap()).unwrap();
    let part = |node: NodeId, first: u64, count: usize| contents.read(node, first, count).ok();
    let (disk, tar, note) = (node("disk"), node("images/tar"), node("note"));
    let all = vec![
        part(disk, 0, 10_000_000),
        part(tar, 700_000, 500_000),
        part(disk, 900_000, 10),
        part(note, 0, 100),
    ];
    if all[0].is_some() {
        assert_eq!(contents.at_hand(note, 2, 4).is_some(), all[3].is_some());
    }
    all
}

#[test]
fn any_place_of_an_image_can_be_read() {
    let scene = scene();
    write_with_holes(&scene.tree().join("disk"), &disk_image());
    trees::file(&scene.tree(), "images/tar", tar_image());
    trees::file(&scene.tree(), "note", "a note");
    for codec in [Codec::Zstd, Codec::Gzip] {
        let (archive, packed) = scene.pack_well(&PackOptions { codec, ..options() });
        assert_eq!(packed.pieces.files, 2);
        let recorder = Recorder::default();
        let found = read(&scene, &archive, &recorder);
        assert_eq!(problems(&recorder), "");
        let (disk, tar) = (disk_image(), tar_image());
        assert!(found[0].as_ref().unwrap() == &disk);
        assert!(found[1].as_ref().unwrap() == &tar[700_000..1_200_000]);
        assert!(found[2].as_ref().unwrap() == &disk[900_000..900_010]);
        assert_eq!(found[3].as_deref(), Some(&b"a note"[..]));
        scene.origin.always("/tool-1.0.tar", Fault::Status(404));
        let found = read(&scene, &archive, &recorder);
        assert_eq!(
            found.iter().map(Option::is_some).collect::<Vec<_>>(),
            [false, false, false, true]
        );
        scene.origin.heal("/tool-1.0.tar");
    }
}
