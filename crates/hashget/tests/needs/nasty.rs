//! The nasty tree, with packages that have parts of it, in every format.

use std::process::Command;

use hashget::codec::Codec;
use hashget::model::Digest;
use hashget::monitor::Recorder;
use hashget::pack::{HashesKept, ManifestVersion, PackOptions};
use hashget::restore::RestoreOptions;
use hashget_testkit::packages::{ZipEntry, compress, deb, zip};
use hashget_testkit::small_disk::SmallDisk;
use hashget_testkit::trees::{self, Nasty, Snapshot, nasty, snapshot};

use crate::scene::{
    Part, Scene, What, assert_same, finish_folders, gnu_tar, lay_down, options, tar,
};

pub(crate) fn random(count: usize, seed: u64) -> Vec<u8> {
    let numbers = (0_u64..).flat_map(|number| {
        Digest::of(&[seed, number].map(u64::to_le_bytes).concat()).as_bytes().to_vec()
    });
    numbers.take(count).collect()
}

/// Files of a package, hard links, links, and what is in other places too.
fn parts() -> Vec<Part> {
    vec![
        Part::folder("usr/"),
        Part::new("usr/bin/", What::Folder, 0o2755),
        Part::new("usr/bin/tool", What::File(random(150_000, 1)), 0o4755),
        Part::new("usr/bin/other", What::HardLink(b"usr/bin/tool".to_vec()), 0o4755),
        Part::new("usr/bin/link", What::Symlink(b"tool".to_vec()), 0o777),
        Part::folder("usr/share/"),
        Part::file("usr/share/text", random(2000, 2)),
        Part::file("usr/share/changed-mode", random(2000, 3)),
        Part::file("usr/share/changed-time", random(2000, 4)),
        Part::file("usr/share/gone", random(2000, 5)),
        Part::file("usr/share/elsewhere", random(2000, 6)),
        Part::file("usr/share/same-as-text", random(2000, 2)),
        Part::file("usr/share/empty", ""),
        Part::file("usr/share/new\nline [1] *", random(3000, 7)),
        Part { mtime: -5, ..Part::file("usr/share/old", random(3000, 8)) },
    ]
}

/// The nasty tree, and packages that have parts of it.
pub(crate) fn scene(wishes: Nasty) -> (Scene, Snapshot) {
    let scene = Scene::new();
    let before = scene_in(&scene, wishes);
    (scene, before)
}

fn scene_in(scene: &Scene, wishes: Nasty) -> Snapshot {
    let tree = scene.tree();
    scene.index("parts.tar", &tar(&parts()));
    scene.index("parts.deb", &deb(&[("md5sums", &random(500, 20))], &tar(&parts()[..9]), "xz"));
    let in_zip = [random(5000, 30), random(6000, 31), random(7000, 32)];
    let entry = |name: &'static [u8], content| ZipEntry { name, content, ..ZipEntry::default() };
    let zipped = zip(&[
        ZipEntry { mode: Some(0o040_755), deflate: false, ..entry(b"site/", b"") },
        entry(b"site/index.php", &in_zip[0]),
        ZipEntry { utc: Some(1_000_000_000), ..entry(b"site/style.css", &in_zip[1]) },
        ZipEntry { mode: None, ..entry(b"site/from-dos.txt", &in_zip[2]) },
    ]);
    scene.index("site.zip", &zipped);
    let inner = tar(&[
        Part::file("deep/inner", random(40_000, 40)),
        Part::file("deep/in", random(9000, 41)),
    ]);
    let outer = tar(&[Part::file("src/inner.tar.gz", compress("gzip", &inner))]);
    scene.index("outer.tar", &outer);

    lay_down(&tree, &parts());
    fs_err::remove_file(tree.join("usr/share/gone")).unwrap();
    trees::mode(&tree.join("usr/share/changed-mode"), 0o1640);
    trees::mtime(&tree.join("usr/share/changed-time"), 77, 7);
    for (name, seed) in [("opt/elsewhere", 6), ("opt/copy of text", 2), ("opt/second", 2)] {
        trees::file(&tree, name, random(2000, seed));
    }
    trees::file(&tree, "var/lib/dpkg/info/parts.md5sums", random(500, 20));
    for (name, content) in ["index.php", "style.css", "from-dos.txt"].iter().zip(&in_zip) {
        // Two hours east, and by somebody's umask.
        let path = trees::file(&tree, format!("var/www/{name}"), content);
        trees::mtime(&path, 1_700_000_000 - 7200, 0);
        trees::mode(&path, 0o640);
    }
    trees::file(&tree, "src/deep/inner", random(40_000, 40));
    trees::file(&tree, "src/deep/in", random(9000, 41));
    trees::file(&tree, "downloads/outer.tar", &outer);
    let large = trees::file(&tree, "links-too/given", random(150_000, 1));
    trees::hard_link(&tree, "a hard link before it", &large);
    trees::hard_link(&tree, "usr/share/further", &large);
    finish_folders(&tree, &parts());
    nasty(&tree, wishes);
    snapshot(&tree)
}

pub(crate) fn left_out_is_what_it_should(scene: &Scene, options: &PackOptions<'_>) -> Vec<u8> {
    let (archive, packed) = scene.pack_well(options);
    assert!(packed.left_out_files >= 20, "{packed:?}");
    assert_eq!(packed.packages.len(), 4, "{packed:?}");
    archive
}

pub(crate) const HASHES: [HashesKept; 3] = [HashesKept::Anchors, HashesKept::All, HashesKept::None];

pub(crate) fn the_nasty_tree_comes_back_whatever_hashes_are_kept_and_however_it_is_compressed() {
    let (scene, before) = scene(Nasty::default());
    for hashes in HASHES {
        let options = PackOptions { hashes, ..options() };
        let archive = left_out_is_what_it_should(&scene, &options);
        assert_eq!(archive, scene.pack_well(&options).0, "the same tree gives the same bytes");
        scene.unpack_well(&archive, &before);
    }
    for codec in [Codec::Gzip, Codec::Zstd, Codec::Xz] {
        let options = PackOptions { codec, level: Some(1), ..options() };
        let archive = left_out_is_what_it_should(&scene, &options);
        assert_eq!(archive, scene.pack_well(&options).0, "the same tree gives the same bytes");
        scene.unpack_well(&archive, &before);
    }
    assert_same(&before, &snapshot(&scene.tree()));
}

pub(crate) fn the_nasty_tree_comes_back_by_gnu_tar_and_restore() {
    for own_manifest in [None, Some(false), Some(true)] {
        let (scene, before) = scene(Nasty { long_paths: false, own_manifest, ..Nasty::default() });
        for hashes in HASHES {
            let options = PackOptions { hashes, codec: Codec::Zstd, ..options() };
            let archive = left_out_is_what_it_should(&scene, &options);
            scene.gnu_tar_and_restore_well(&archive, &before);
        }
        let options = PackOptions { with_restorer: true, ..options() };
        let archive = left_out_is_what_it_should(&scene, &options);
        scene.unpack_well(&archive, &before);
        scene.gnu_tar_and_restore_well(&archive, &before);
    }
}

pub(crate) fn a_folder_of_the_manifests_name_comes_back() {
    let (scene, before) = scene(Nasty { own_manifest: Some(true), ..Nasty::default() });
    let (archive, _) = scene.pack_well(&options());
    scene.unpack_well(&archive, &before);
}

/// A file system that has every time, and another size of blocks.
pub(crate) fn the_nasty_tree_comes_back_on_a_file_system_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let _disk = SmallDisk::mount(folder.path(), 256 << 20).unwrap();
    let scene = Scene::in_folder(tempfile::tempdir_in(folder.path()).unwrap());
    let before = scene_in(&scene, Nasty::default());
    let times = before.values().map(|node| node.mtime);
    assert!(times.max() == Some((16_725_225_600, 999_999_999)), "the year 2500");
    let (archive, _) = scene.pack_well(&options());
    scene.unpack_well(&archive, &before);
    drop(scene);
}

/// Version 1 says less of the files that it leaves out; all that is in the tar is exact.
pub(crate) fn a_version_one_archive_comes_back_too() {
    let (scene, before) = scene(Nasty { own_manifest: None, ..Nasty::default() });
    let options = PackOptions { manifest_version: ManifestVersion::One, ..options() };
    let (archive, packed) = scene.pack_well(&options);
    assert!(packed.left_out_files > 5, "{packed:?}");
    let relied_on = packed.relied_on.iter().map(|one| one.bytes).sum::<u64>();
    assert_eq!(relied_on, packed.left_out_bytes);
    let (target, restored, recorder) = scene.unpack(&archive);
    assert_eq!(crate::scene::problems(&recorder), "");
    assert_eq!(restored.missing, []);
    assert_same(&before, &snapshot(&target));
}

/// What a plain `tar xf` brings alone: everything that is not left out, its names and contents.
pub(crate) fn a_plain_tar_has_everything_that_is_not_left_out() {
    let (scene, before) =
        scene(Nasty { long_paths: false, own_manifest: None, ..Nasty::default() });
    let (archive, packed) = scene.pack_well(&options());
    let target = scene.target();
    gnu_tar(&archive, &target);
    let found = snapshot(&target);
    let missing = before.iter().filter(|(path, _)| !found.contains_key(*path));
    let missing_files = missing.filter(|(_, node)| node.kind == 'f').count();
    assert!(missing_files as u64 <= packed.left_out_files + 5, "{missing_files} {packed:?}");
    for (path, node) in before.iter().filter(|(path, _)| path.starts_with(b"names/")) {
        assert_eq!(found[path].digest, node.digest);
    }
}

/// A tree whose archive has frames of every kind, and what its files hold.
fn archive_with_frames(scene: &Scene) -> Vec<u8> {
    let tree = scene.tree();
    nasty(&tree, Nasty { long_paths: false, own_manifest: None, ..Nasty::default() });
    trees::file(&tree, "large", random(9 << 20, 50));
    for number in 0..20 {
        trees::file(&tree, format!("many/{number}"), random(400_000, 60 + number));
    }
    let (archive, _) = scene.pack_well(&PackOptions { codec: Codec::Zstd, ..options() });
    let filling = 0x184D_2A59_u32.to_le_bytes();
    assert!(archive.windows(4).any(|bytes| bytes == filling), "nothing fills up");
    archive
}

/// libarchive takes the frames for one stream, and what it unpacks is the tree.
pub(crate) fn bsdtar_unpacks_the_frames() {
    let scene = Scene::new();
    let archive = archive_with_frames(&scene);
    let (file, target) = (scene.path("a.tar.zst"), scene.target());
    fs_err::write(&file, archive).unwrap();
    fs_err::create_dir(&target).unwrap();
    let bsdtar =
        Command::new("bsdtar").arg("-C").arg(&target).arg("-xpf").arg(&file).output().unwrap();
    assert!(bsdtar.status.success(), "{}", String::from_utf8_lossy(&bsdtar.stderr));
    let recorder = Recorder::default();
    let options = RestoreOptions::default();
    let restored = scene.restorer().restore(&target, &options, &recorder).unwrap();
    scene.judge(&target, &restored, &recorder, &snapshot(&scene.tree()));
}

/// Python reads names, sizes and contents of all entries, decompressed by zstd's own program.
pub(crate) fn python_reads_the_frames() {
    const READ: &str = "
import sys, tarfile
for entry in tarfile.open(fileobj=sys.stdin.buffer, mode='r|'):
    print(entry.name if entry.name.isprintable() else '?', entry.size, sep='\\t')
";
    let scene = Scene::new();
    let file = scene.path("a.tar.zst");
    fs_err::write(&file, archive_with_frames(&scene)).unwrap();
    let shell = r#"zstd -dc "$2" | python3 -c "$1""#;
    let mut command = Command::new("bash");
    command.args(["-o", "pipefail", "-c", shell, "bash", READ]).arg(&file);
    let found = command.output().unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    let listed = String::from_utf8_lossy(&found.stdout);
    let large = format!("large\t{}", 9 << 20);
    assert!(listed.lines().any(|line| line == large), "{listed}");
    assert!(listed.lines().filter(|line| line.starts_with("many/")).count() >= 20, "{listed}");
}
