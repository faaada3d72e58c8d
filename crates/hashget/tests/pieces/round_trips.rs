//! Images of all kinds come back exactly, by every way there is, and what packages have of them is not in the archive.

use hashget::archive::Selection;
use hashget::codec::Codec;
use hashget::derived::Derive;
use hashget::detectors::Candidate;
use hashget::hashdb::{BlockStore, HashDbWriter as _, LocalHashDb};
use hashget::index::Indexer;
use hashget::model::manifest::AnyManifest;
use hashget::model::{Digest, Evidence, PackageRecord, RelPath};
use hashget::monitor::{Recorder, Silent};
use hashget::pack::{HashesKept, PackOptions, Summary, Tool};
use hashget::restore::{Part as RestoredPart, RestoreOptions};
use hashget_testkit::trees::{self, snapshot};

use crate::images::{
    cpio_image, disk_image, file, manifest_of, noise, package, scene, tar_image, tar_of,
    write_with_holes,
};
use crate::scene::{Scene, options, problems};

/// Packs a tree that has one image in it, and takes it back by every way.
#[track_caller]
fn comes_back(scene: &Scene, left_out: u64) -> Summary {
    let before = snapshot(&scene.tree());
    let mut summary = None;
    for codec in [Codec::None, Codec::Zstd, Codec::Gzip] {
        for hashes in [HashesKept::Anchors, HashesKept::None] {
            let options = PackOptions { codec, hashes, ..options() };
            let (archive, packed) = scene.pack_well(&options);
            assert_eq!((packed.pieces.files, packed.pieces.bytes), (1, left_out), "{codec:?}");
            let restored = scene.unpack_well(&archive, &before);
            assert_eq!(restored.files, 2);
            if codec != Codec::Zstd {
                scene.gnu_tar_and_restore_well(&archive, &before);
            }
            summary = Some(packed);
        }
    }
    summary.unwrap()
}

fn with_image(bytes: &[u8]) -> Scene {
    let scene = scene();
    trees::file(&scene.tree(), "images/disk", bytes);
    trees::file(&scene.tree(), "note", "a file beside it");
    scene
}

/// The bytes of a file of the package that runs have: all, if its end is found.
const WHOLE: u64 = 900_000 + 40 * 4096 + 123_457 + 20 * 4096 + 40 * 4096;

#[test]
fn a_tar_comes_back() {
    let scene = with_image(&tar_image());
    let packed = comes_back(&scene, WHOLE);
    assert_eq!(packed.packages.len(), 1);
    assert_eq!((packed.packages[0].files, packed.packages[0].bytes_of_pieces), (0, WHOLE));
    assert_eq!(packed.archived_bytes + packed.left_out_bytes, packed.bytes);
    assert!(packed.archived_bytes < 200_000, "{packed:?}");
}

#[test]
fn a_file_of_several_names_is_archived() {
    let scene = with_image(&tar_image());
    trees::hard_link(&scene.tree(), "images/another", &scene.tree().join("images/disk"));
    let before = snapshot(&scene.tree());
    for codec in [Codec::None, Codec::Zstd] {
        let (archive, packed) = scene.pack_well(&PackOptions { codec, ..options() });
        assert_eq!(packed.pieces.files, 0);
        scene.unpack_well(&archive, &before);
        scene.gnu_tar_and_restore_well(&archive, &before);
    }
}

#[test]
fn a_cpio_archive_comes_back() {
    comes_back(&with_image(&cpio_image()), WHOLE);
}

#[test]
fn a_disk_comes_back() {
    // Of the file in reverse order, what is behind its last whole block is not found.
    let bytes = 900_000 + 123_457 / 4096 * 4096 + 40 * 4096 + 3 * 4096;
    comes_back(&with_image(&disk_image()), bytes);
}

#[test]
fn a_disk_with_holes_comes_back() {
    let scene = with_image(b"");
    write_with_holes(&scene.tree().join("images/disk"), &disk_image());
    let bytes = 900_000 + 123_457 / 4096 * 4096 + 40 * 4096 + 3 * 4096;
    let packed = comes_back(&scene, bytes);
    assert!(packed.reasons.contains_key(&hashget::pack::Reason::Holes), "{packed:?}");
}

#[test]
fn the_rest_alone_is_in_the_archive_in_the_place_of_the_file() {
    let scene = with_image(&tar_image());
    trees::file(&scene.tree(), "zebra", "behind it");
    let (archive, _) = scene.pack_well(&options());
    let entries = tar_of(&archive);
    let names: Vec<&str> = entries.iter().map(|(name, _)| &**name).collect();
    let expected = [".hashget-restore.json", "./", "images/", ".hashget-rest/0", "note", "zebra"];
    assert_eq!(names, expected);
    let own = noise("own", 30_001);
    assert!(entries[3].1.windows(own.len()).any(|part| part == own), "it has what is private");
    assert!(entries[3].1.len() < 200_000);
    let manifest = manifest_of(&archive);
    assert_eq!(manifest.needs.names().collect::<Vec<_>>(), ["pieces"]);
}

#[test]
fn a_part_of_the_tree_takes_its_own_pieces_alone() {
    let scene = with_image(&tar_image());
    trees::file(&scene.tree(), "images/other", disk_image());
    for codec in [Codec::Zstd, Codec::None] {
        let (archive, packed) = scene.pack_well(&PackOptions { codec, ..options() });
        assert_eq!(packed.pieces.files, 2);
        let recorder = Recorder::default();
        let selection = Selection::only(RelPath::new("images/other").unwrap());
        let part = RestoredPart { selection: &selection, strip_components: 1, members: None };
        let target = scene.target();
        let options = RestoreOptions::default();
        let restored = scene
            .restorer()
            .unpack_part(&mut &*archive, &target, &part, &options, &recorder)
            .unwrap();
        assert_eq!((problems(&recorder), &restored.missing[..]), (String::new(), &[][..]));
        assert_eq!(fs_err::read(target.join("other")).unwrap(), disk_image());
        assert_eq!(fs_err::read_dir(&target).unwrap().count(), 1, "nothing else is there");
    }
}

#[test]
fn what_a_plan_says_is_what_happens() {
    let scene = with_image(&tar_image());
    let (archive, _) = scene.pack_well(&options());
    let (target, recorder) = (scene.target(), Recorder::default());
    let options = RestoreOptions::default();
    let planned =
        scene.restorer().plan_unpack(&mut &*archive, &target, None, &options, &recorder).unwrap();
    assert_eq!((problems(&recorder), planned.summary.proven), (String::new(), Some(true)));
    assert!(!target.exists());
}

#[test]
fn without_blocks_or_if_it_saves_too_little_there_are_none() {
    let none = |scene: &Scene, options: &PackOptions<'_>| {
        let (archive, packed) = scene.pack_well(options);
        assert_eq!((packed.pieces.files, packed.packages.len()), (0, 0), "{packed:?}");
        scene.unpack_well(&archive, &snapshot(&scene.tree()));
    };
    let scene = with_image(&tar_image());
    none(&scene, &PackOptions { derive: Derive::None, ..options() });
    none(&scene, &PackOptions { skip: vec!["images".to_owned()], ..options() });
    none(&scene, &PackOptions { max_fetch_ratio: 0.5, ..options() });
    // Three quarters of it are private.
    let much = [tar_image(), noise("much", 4 * tar_image().len())].concat();
    none(&with_image(&much), &options());
    let own = with_image(&tar_image());
    trees::file(&own.tree(), ".hashget-rest/0", "of the tree");
    none(&own, &options());
    let plain = Scene::new();
    plain.index("tool-1.0.tar", &package());
    trees::file(&plain.tree(), "images/disk", tar_image());
    none(&plain, &options());
}

#[test]
fn a_package_whose_blocks_cannot_be_kept_is_indexed_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let in_the_way = Digest::of(&package()).to_string();
    fs_err::create_dir_all(folder.path().join("db/blocks").join(in_the_way)).unwrap();
    let scene = Scene::in_folder(folder);
    scene.index("tool-1.0.tar", &package());
    trees::file(&scene.tree(), "images/disk", tar_image());
    trees::file(&scene.tree(), "copy", file("tool/large"));
    let (archive, packed) = scene.pack_well(&options());
    assert_eq!((packed.pieces.files, packed.packages[0].files), (0, 1));
    scene.unpack_well(&archive, &snapshot(&scene.tree()));
}

#[test]
fn damaged_blocks_are_said_once_and_can_be_made_anew() {
    let scene = with_image(&tar_image());
    let blocks = scene.path("db").join("blocks").join(Digest::of(&package()).to_string());
    let mut bytes = fs_err::read(&blocks).unwrap();
    bytes[100] ^= 1;
    fs_err::write(&blocks, bytes).unwrap();
    for expected in [1, 0] {
        let recorder = Recorder::default();
        let (archive, packed) = scene.pack(&options(), &recorder).unwrap();
        assert_eq!(packed.pieces.files, 0);
        assert_eq!(problems(&recorder).matches("its blocks are damaged").count(), expected);
        assert!(!blocks.exists());
        scene.unpack_well(&archive, &snapshot(&scene.tree()));
    }
    scene.index("tool-1.0.tar", &package());
    assert_eq!(scene.pack_well(&options()).1.pieces.files, 1);
}

#[test]
fn packages_of_a_tree_that_were_indexed_before_get_blocks_once() {
    let scene = Scene::new();
    scene.index("tool-1.0.tar", &package());
    BlockStore::keep_in(&scene.path("db")).unwrap();
    let hashdb = LocalHashDb::open(&scene.path("db")).unwrap();
    let indexer = Indexer {
        hashdb: &hashdb,
        source: &scene.source,
        web: &scene.source,
        shared: None,
        mirrors: &[],
        limits: &scene.limits,
        jobs: 2,
        evidence: Evidence::Downloaded,
    };
    let url = |name: &str| Candidate { url: scene.origin.url(name), ..Candidate::default() };
    let candidates = [url("/tool-1.0.tar"), url("/unknown.tar"), url("/tool-1.0.tar")];
    let before = hashdb.list().unwrap();
    let added = || indexer.add_blocks(&candidates, &Silent).unwrap();
    assert_eq!([added(), added()], [1, 0]);
    assert!(hashdb.blocks().unwrap().has(&Digest::of(&package())));
    let who = |record: &PackageRecord| (record.origin, record.keeping, record.url.clone());
    assert_eq!(who(&hashdb.list().unwrap()[0].1), who(&before[0].1));
}

#[test]
fn for_another_tool_there_are_none() {
    let scene = with_image(&tar_image());
    let (list, recorder) = (scene.path("list"), Recorder::default());
    let prepared =
        scene.packer().prepare(&scene.tree(), &list, Tool::Tar, options(), &recorder).unwrap();
    assert_eq!((prepared.summary.pieces.files, problems(&recorder)), (0, String::new()));
    let manifest = fs_err::read(scene.tree().join(".hashget-restore.json")).unwrap();
    assert!(AnyManifest::parse(&manifest).unwrap().pieces().is_none());
}

#[test]
fn a_package_that_gives_files_and_pieces_is_there_once() {
    let scene = with_image(&tar_image());
    trees::file(&scene.tree(), "copy", file("tool/large"));
    scene.index("a-private-thing.tar", &crate::scene::tar(&[]));
    let before = snapshot(&scene.tree());
    let (archive, packed) = scene.pack_well(&options());
    assert_eq!((packed.packages.len(), packed.packages[0].files), (1, 1));
    scene.unpack_well(&archive, &before);
    scene.gnu_tar_and_restore_well(&archive, &before);
}

#[test]
fn several_packages_stay_in_order() {
    let scene = with_image(&tar_image());
    for name in ["a", "zz"] {
        let content = noise(name, 5000);
        scene.index(
            &format!("{name}.tar"),
            &crate::scene::tar(&[crate::scene::Part::file(name, &*content)]),
        );
        trees::file(&scene.tree(), format!("found/{name}"), content);
    }
    let before = snapshot(&scene.tree());
    let (archive, packed) = scene.pack_well(&options());
    let urls: Vec<&str> = packed.packages.iter().map(|package| &*package.url).collect();
    assert!(urls.is_sorted() && urls.len() == 3, "{urls:?}");
    scene.unpack_well(&archive, &before);
}
