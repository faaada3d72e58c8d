//! An archive that is open to be looked into: its tree is the one that was packed, and its files can be read at any place.
//!
//! Invariant: what is expected is read from the tree itself.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use hashget::archive::{
    ArchiveTree, Contents, ContentsAccess, NodeId, PackageMembers, Unreadable, open_archive,
};
use hashget::codec::Codec;
use hashget::fetch::Offline;
use hashget::hashdb::{HashDb, NoHashDb};
use hashget::model::{Kind, RelPath};
use hashget::monitor::{Monitor, ProblemKind, Recorder, Step};
use hashget::pack::{NamesKept, PackOptions};
use hashget_testkit::origin::Fault;
use hashget_testkit::trees;

use crate::living::Changing;
use crate::scene::{Part, Scene, What, lay_down, options, problems, tar};

/// Two files of a package, one of them with a further name.
fn parts() -> Vec<Part> {
    let text = |word: &str| format!("{word}\n").repeat(5000);
    vec![
        Part::folder("lib"),
        Part::file("lib/a", text("first")),
        Part::file("lib/b", text("second")),
        Part::new("lib/c", What::HardLink(b"lib/b".to_vec()), 0o644),
    ]
}

/// A tree of all kinds of entries, a file of several frames and one with holes among them; some of it a package gives.
fn scene() -> Scene {
    let scene = Scene::new();
    scene.index("lib.tar", &tar(&parts()));
    let tree = scene.tree();
    lay_down(&tree, &parts());
    let mut large = Vec::new();
    for number in 0..1_200_000_u32 {
        large.extend(number.wrapping_mul(2_654_435_761).to_le_bytes());
    }
    trees::file(&tree, "own/large", &large);
    trees::sparse(&tree, "own/sparse", 3 << 20, &[(1 << 20, b"data"), (2 << 20, b"more data")]);
    let note = trees::file(&tree, "own/note", "mine");
    trees::hard_link(&tree, "same", &note);
    trees::mode(&note, 0o4640);
    trees::mtime(&note, -5, 250_000_000);
    trees::symlink(&tree, "link", "own/note");
    trees::fifo(&tree, "pipe");
    trees::folder(&tree, "empty");
    scene
}

fn pack(scene: &Scene, options: &PackOptions<'_>) -> PathBuf {
    let (archive, _) = scene.pack_well(options);
    let file = scene.path("archive");
    fs_err::write(&file, archive).unwrap();
    file
}

fn open<'a>(
    scene: &'a Scene,
    archive: &'a Path,
    hashdb: &dyn HashDb,
    monitor: &'a dyn Monitor,
) -> Contents<'a> {
    open_keeping(1 << 30, scene, archive, hashdb, monitor)
}

/// The same; of what is unpacked, only so many bytes are kept.
fn open_keeping<'a>(
    kept_bytes: u64,
    scene: &'a Scene,
    archive: &'a Path,
    hashdb: &dyn HashDb,
    monitor: &'a dyn Monitor,
) -> Contents<'a> {
    let limits = &scene.limits;
    let members = PackageMembers {
        hashdb,
        least: hashget::model::Evidence::Downloaded,
        supplements: None,
        source: &Offline,
        must_have: false,
        digests: false,
        limits,
    };
    let folder = archive.parent().unwrap();
    let access = ContentsAccess { source: &scene.source, folder, kept_bytes, limits, monitor };
    open_archive(Box::new(File::open(archive).unwrap()), "archive", &members, access).unwrap()
}

/// Compares a folder of the tree, and everything below it, with that of the disk.
fn compare(contents: &Contents<'_>, folder: NodeId, on_disk: &Path) -> usize {
    let tree = contents.tree();
    let mut expected: Vec<_> =
        fs_err::read_dir(on_disk).unwrap().map(|entry| entry.unwrap().path()).collect();
    expected.sort();
    let found: Vec<_> = tree.children(folder, 0).collect();
    let same = |(path, (_, name, _)): (&PathBuf, &(usize, &[u8], NodeId))| {
        path.file_name().unwrap().as_bytes() == *name
    };
    assert_eq!(found.len(), expected.len(), "{on_disk:?}");
    assert!(expected.iter().zip(&found).all(same), "{on_disk:?}");
    let mut count = 1;
    for (path, (_, _, id)) in expected.iter().zip(found) {
        let (node, disk) = (tree.node(id).unwrap(), fs_err::symlink_metadata(path).unwrap());
        let metadata = &node.metadata;
        assert_eq!((metadata.uid, metadata.gid), (disk.uid(), disk.gid()));
        assert_eq!(metadata.mtime.seconds, disk.mtime(), "{path:?}");
        assert_eq!(i64::from(metadata.mtime.nanoseconds), disk.mtime_nsec());
        match &node.kind {
            Kind::Directory => {
                assert!(disk.is_dir());
                count += compare(contents, id, path);
                continue;
            }
            Kind::Symlink { target } => {
                assert_eq!(fs_err::read_link(path).unwrap().as_os_str().as_bytes(), &**target);
            }
            Kind::File { size } => {
                assert_eq!((*size, u64::from(node.names)), (disk.len(), disk.nlink()), "{path:?}");
                let read = contents.read(id, 0, usize::try_from(*size).unwrap() + 9).unwrap();
                assert!(read == fs_err::read(path).unwrap(), "{path:?}");
            }
            other => assert_eq!(*other, Kind::Fifo),
        }
        if !disk.is_symlink() {
            assert_eq!(metadata.mode, disk.mode() & 0o7777, "{path:?}");
        }
        count += 1;
    }
    count
}

#[test]
fn the_tree_is_that_which_was_packed_and_every_file_has_its_contents() {
    let scene = scene();
    for codec in [Codec::Zstd, Codec::Gzip, Codec::None] {
        let names = NamesKept::All;
        let archive = pack(&scene, &PackOptions { codec, names, ..options() });
        let recorder = Recorder::default();
        // Without frames, no names are kept: what packages give is known from elsewhere.
        let hashdb: &dyn HashDb = if codec == Codec::Zstd { &NoHashDb } else { &scene.hashdb };
        let contents = open(&scene, &archive, hashdb, &recorder);
        assert_eq!(compare(&contents, ArchiveTree::TOP, &scene.tree()), 13);
        assert_eq!(problems(&recorder), "");
        let again = open(&scene, &archive, hashdb, &recorder);
        let note = RelPath::new("own/note").unwrap();
        assert_eq!(contents.tree().find(&note), again.tree().find(&note));
    }
}

#[test]
fn a_file_can_be_read_at_any_place() {
    let scene = scene();
    for codec in [Codec::Zstd, Codec::Gzip] {
        let archive = pack(&scene, &PackOptions { codec, ..options() });
        let recorder = Recorder::default();
        let contents = open(&scene, &archive, &NoHashDb, &recorder);
        for name in ["own/large", "own/sparse"] {
            let file = contents.tree().find(&RelPath::new(name).unwrap()).unwrap();
            let on_disk = File::open(scene.tree().join(name)).unwrap();
            let size = on_disk.metadata().unwrap().len();
            let is_first = name == "own/large";
            assert!(!is_first || contents.at_hand(file, 0, 1).is_none(), "nothing was read yet");
            let places = [size - 3, 0, 1 << 20, (1 << 20) + 3, (2 << 20) - 70_000, size, size + 7];
            for first in places {
                let count = usize::try_from(size.saturating_sub(first)).unwrap().min(100_000);
                let mut expected = vec![0; count];
                on_disk.read_exact_at(&mut expected, first).unwrap();
                assert!(contents.read(file, first, 100_000).unwrap() == expected, "{name} {first}");
                assert!(contents.at_hand(file, first, 100_000).unwrap() == expected);
            }
        }
        assert!(contents.read(ArchiveTree::TOP, 0, 1).is_err(), "a folder has no contents");
    }
}

#[test]
fn a_package_is_fetched_once_for_all_that_read_from_it() {
    let scene = scene();
    let names = NamesKept::All;
    let archive = pack(&scene, &PackOptions { codec: Codec::Zstd, names, ..options() });
    let (recorder, asked) = (Recorder::default(), scene.origin.requests_of("/lib.tar").len());
    let contents = open(&scene, &archive, &NoHashDb, &recorder);
    assert_eq!(scene.origin.requests_of("/lib.tar").len(), asked, "looking fetches nothing");
    let find = |name: &str| contents.tree().find(&RelPath::new(name).unwrap()).unwrap();
    std::thread::scope(|scope| {
        let read = |name: &str| contents.read(find(name), 5, 100).unwrap();
        let threads: Vec<_> =
            ["lib/a", "lib/b", "lib/c", "lib/a"].map(|name| scope.spawn(move || read(name))).into();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap().len() == 100));
    });
    assert_eq!(scene.origin.requests_of("/lib.tar").len(), asked + 1);
    assert_eq!(find("lib/b"), find("lib/c"));
    assert!(contents.at_hand(find("lib/c"), 0, 7).is_some_and(|bytes| bytes == b"second\n"));
}

#[test]
fn what_cannot_be_had_is_reported_once_and_everything_else_can_be_read() {
    let scene = scene();
    let names = NamesKept::All;
    let archive = pack(&scene, &PackOptions { codec: Codec::Zstd, names, ..options() });
    for (fault, kind) in
        [(Fault::Status(404), ProblemKind::Unreachable), (Fault::Other, ProblemKind::Verification)]
    {
        scene.origin.heal("/lib.tar");
        scene.origin.always("/lib.tar", fault);
        let recorder = Recorder::default();
        let contents = open(&scene, &archive, &NoHashDb, &recorder);
        let find = |name: &str| contents.tree().find(&RelPath::new(name).unwrap()).unwrap();
        for name in ["lib/a", "lib/a", "lib/b"] {
            assert_eq!(contents.read(find(name), 0, 5), Err(Unreadable));
        }
        let told = recorder.recorded().problems;
        let objects: Vec<_> = told.iter().map(|(_, object, _)| object.as_str()).collect();
        assert_eq!(objects, ["lib/a in archive", "lib/b in archive"]);
        assert!(
            told.iter().all(|(found, _, why)| *found == kind && why.contains("lib.tar")),
            "{told:?}"
        );
        assert_eq!(contents.read(find("same"), 0, 9).unwrap(), b"mine");
    }
}

#[test]
fn files_without_names_are_not_shown_and_their_package_is_reported() {
    let scene = scene();
    let names = NamesKept::None;
    let archive = pack(&scene, &PackOptions { codec: Codec::Zstd, names, ..options() });
    let recorder = Recorder::default();
    let contents = open(&scene, &archive, &NoHashDb, &recorder);
    assert!(contents.tree().find(&RelPath::new("lib/a").unwrap()).is_none());
    let told = problems(&recorder);
    assert!(told.contains("lib.tar in archive: its files are not shown"), "{told}");
}

#[test]
fn damage_costs_the_files_of_its_frame() {
    let scene = scene();
    let archive = pack(&scene, &PackOptions { codec: Codec::Zstd, ..options() });
    let mut file = File::options().read(true).write(true).open(&archive).unwrap();
    let large = fs_err::read(scene.tree().join("own/large")).unwrap();
    // It does not compress: in the middle of the archive is the middle of this file.
    let middle = file.metadata().unwrap().len() / 2;
    file.seek(SeekFrom::Start(middle)).unwrap();
    file.write_all(&[0x55; 64]).unwrap();
    let recorder = Recorder::default();
    let contents = open(&scene, &archive, &NoHashDb, &recorder);
    let find = |name: &str| contents.tree().find(&RelPath::new(name).unwrap()).unwrap();
    assert!(contents.read(find("own/large"), 0, large.len()).is_err());
    assert_eq!(contents.read(find("own/note"), 0, 9).unwrap(), b"mine");
    let told = problems(&recorder);
    assert!(
        told.starts_with("Verification own/large in archive: this part of the archive"),
        "{told}"
    );
}

#[test]
fn of_a_file_that_changed_while_it_was_packed_the_last_state_is_shown() {
    let scene = scene();
    let log = trees::file(&scene.tree(), "own/log", "one line\n");
    let change = move || fs_err::write(log, "one line\nand another\n").unwrap();
    let monitor = Changing::at(Step::Write, 0, change);
    let (archive, _) =
        scene.pack(&PackOptions { codec: Codec::Zstd, ..options() }, &monitor).unwrap();
    let file = scene.path("archive");
    fs_err::write(&file, archive).unwrap();
    let recorder = Recorder::default();
    let contents = open(&scene, &file, &scene.hashdb, &recorder);
    let log = contents.tree().find(&RelPath::new("own/log").unwrap()).unwrap();
    assert_eq!(contents.read(log, 0, 99).unwrap(), b"one line\nand another\n");
    assert_eq!(problems(&recorder), "");
}

#[test]
fn what_was_read_longest_ago_makes_room() {
    let scene = scene();
    let other = [Part::folder("other"), Part::file("other/x", "x".repeat(50_000))];
    scene.index("other.tar", &tar(&other));
    lay_down(&scene.tree(), &other);
    let names = NamesKept::All;
    let archive = pack(&scene, &PackOptions { codec: Codec::Zstd, names, ..options() });
    let recorder = Recorder::default();
    let asked = || ["/lib.tar", "/other.tar"].map(|name| scene.origin.requests_of(name).len());
    let before = asked();
    let contents = open_keeping(60_000, &scene, &archive, &NoHashDb, &recorder);
    let read = |name: &str| {
        let file = contents.tree().find(&RelPath::new(name).unwrap()).unwrap();
        contents.read(file, 0, 1).unwrap()
    };
    let read_so = ["lib/a", "lib/b", "other/x", "other/x", "lib/a"].map(read);
    assert_eq!(read_so, [b"f", b"s", b"x", b"x", b"f"]);
    let fetched = [0, 1].map(|at| asked()[at] - before[at]);
    assert_eq!(fetched, [2, 1], "only one of the two fits");
    assert_eq!(problems(&recorder), "");
}
