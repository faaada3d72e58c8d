//! `contrib/restore.py` restores what we restore, without us.
//!
//! Invariant: it gets nothing but an archive and a server of packages, and what it restores is compared with the tree.

use std::path::{Path, PathBuf};
use std::process::Command;

use hashget::codec::Codec;
use hashget::model::Digest;
use hashget::model::manifest::RESTORER_NAME;
use hashget::pack::{HashesKept, ManifestVersion, PackOptions};
use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::{
    CpioEntry, CpioForm, IsoContent, IsoEntry, IsoFolder, RpmFile, SevenZipEntry, TarBuilder,
    ZipEntry, apk, ar, block_of_area, both, compress, conda, cpio, deb, gem, iso_file, iso_folder,
    iso9660, posix, rpm, seven_zip, susp, susp_start, zip,
};
use hashget_testkit::programs::NOBODY;
use hashget_testkit::trees::{self, Nasty, Snapshot, snapshot};

use crate::derived;
use crate::nasty::{HASHES, left_out_is_what_it_should, random, scene};
use crate::scene::{Part, Scene, assert_same, gnu_tar, lay_down, options, tar};

fn in_repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

/// What the program did: its exit code, and what it said.
struct Ended {
    code: i32,
    said: String,
}

impl Ended {
    #[track_caller]
    fn expect(self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{}", self.said);
        for part in parts {
            assert!(self.said.contains(part), "{part:?} is not in: {}", self.said);
        }
    }
}

/// The system's Python, if it has one, which every user may run; otherwise the first one in `PATH`.
fn python() -> &'static str {
    let of_the_system = "/usr/bin/python3";
    if Path::new(of_the_system).exists() { of_the_system } else { "python3" }
}

/// Runs the program to its end.
fn restore(arguments: &[&Path]) -> Ended {
    let mut python = Command::new(python());
    let output = python.arg("-B").arg(in_repository("contrib/restore.py")).args(arguments).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("Traceback"), "{said}");
    Ended { code: output.status.code().unwrap(), said }
}

fn written(scene: &Scene, archive: &[u8]) -> PathBuf {
    let file = scene.path("archive");
    fs_err::write(&file, archive).unwrap();
    file
}

/// Restores from the archive, and in a folder into which GNU tar has unpacked it.
#[track_caller]
pub(crate) fn restore_well(scene: &Scene, archive: &[u8], expected: &Snapshot) {
    let (file, target) = (written(scene, archive), scene.target());
    restore(&[&file, Path::new("-C"), &target]).expect(0, &["Proven: "]);
    assert_same(expected, &snapshot(&target));
    fs_err::remove_dir_all(&target).unwrap();
    let unpacked = scene.target();
    gnu_tar(archive, &unpacked);
    restore(&[&unpacked]).expect(0, &["Proven: "]);
    assert_same(expected, &snapshot(&unpacked));
    fs_err::remove_dir_all(&unpacked).unwrap();
}

/// Nothing is there but the archive, and tar.
#[track_caller]
fn the_one_in_the_archive_restores_it(scene: &Scene, archive: &[u8], expected: &Snapshot) {
    let unpacked = scene.target();
    gnu_tar(archive, &unpacked);
    let mut python = Command::new(python());
    let output = python.arg("-B").arg(unpacked.join(RESTORER_NAME)).arg(&unpacked).output();
    let said = String::from_utf8_lossy(&output.unwrap().stderr).into_owned();
    assert!(said.contains("Proven: "), "{said}");
    assert_same(expected, &snapshot(&unpacked));
    fs_err::remove_dir_all(&unpacked).unwrap();
}

pub(crate) fn the_nasty_tree_comes_back() {
    for (own_manifest, codec) in
        [(None, Codec::Gzip), (Some(false), Codec::Zstd), (Some(true), Codec::Xz)]
    {
        let (scene, before) = scene(Nasty { long_paths: false, own_manifest, ..Nasty::default() });
        for hashes in HASHES {
            let options = PackOptions { hashes, codec, level: Some(1), ..options() };
            restore_well(&scene, &left_out_is_what_it_should(&scene, &options), &before);
        }
        let options = PackOptions { with_restorer: true, codec, level: Some(1), ..options() };
        let archive = left_out_is_what_it_should(&scene, &options);
        restore_well(&scene, &archive, &before);
        the_one_in_the_archive_restores_it(&scene, &archive, &before);
    }
    let (scene, before) =
        scene(Nasty { long_paths: false, own_manifest: None, ..Nasty::default() });
    let options = PackOptions { manifest_version: ManifestVersion::One, ..options() };
    let (archive, packed) = scene.pack_well(&options);
    assert!(packed.left_out_files > 5, "{packed:?}");
    let (file, target) = (written(&scene, &archive), scene.target());
    restore(&[&file, Path::new("-C"), &target]).expect(0, &["Restored: "]);
    assert_same(&before, &snapshot(&target));
}

pub(crate) fn frozen_archives_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let pool = folder.path().join("pool");
    fs_err::create_dir(&pool).unwrap();
    for package in [
        "tool-1.0.tar.gz",
        "gadget_1.0_all.deb",
        "gadget-1.0-py3-none-any.whl",
        "gizmo-1.0.tar.gz",
        "engine_1_amd64.deb",
    ] {
        let name = pool.join(format!("any name of {package}"));
        fs_err::copy(in_repository("testdata/frozen").join(package), name).unwrap();
    }
    let arguments = |archive: &str, target: &Path| {
        let archive = in_repository("testdata/frozen").join(archive);
        let (c, packages, offline) =
            (Path::new("-C"), Path::new("--packages"), Path::new("--offline"));
        restore(&[&archive, c, target, packages, &pool, offline])
    };
    let mut trees = Vec::new();
    for archive in ["v1.tar.gz", "v2.tar.gz", "v2.tar.zst"] {
        let target = folder.path().join(archive);
        arguments(archive, &target).expect(0, &["15 entries, 10 files"]);
        trees.push(snapshot(&target));
    }
    assert_same(&trees[1], &trees[2]);
    // Version 1 has whole seconds and no hard links.
    assert_eq!(trees[0].keys().collect::<Vec<_>>(), trees[1].keys().collect::<Vec<_>>());
    for (path, node) in &trees[0] {
        assert_eq!((&node.digest, node.mode), (&trees[1][path].digest, trees[1][path].mode));
    }
    let target = folder.path().join("derived");
    arguments("v2-derived.tar.zst", &target).expect(0, &["77 entries, 61 files"]);
    let target = folder.path().join("pieces");
    arguments("v2-pieces.tar.zst", &target).expect(0, &["5 entries, 3 files"]);
    let target = folder.path().join("programs");
    let made = "2 files not made, which a program makes (recipe module-index)";
    arguments("v2-programs.tar.zst", &target).expect(3, &[made]);
    let target = folder.path().join("encoded");
    let made = "boot/image.tar.gz: not made, a program compresses it (gzip)";
    arguments("v2-encoded.tar.zst", &target).expect(3, &[made]);
    let target = folder.path().join("refused");
    arguments("v2-unknown-need.tar.gz", &target)
        .expect(1, &["needs hashget 9.7 or later (feature time-travel)"]);
    assert!(!target.exists());
}

/// It makes what we make, and names what it cannot.
pub(crate) fn derived_files_come_back() {
    let parts = derived::parts(40);
    let of_pip = [("../../../bin/tool", "#!python\n"), ("tool-1.0.dist-info/INSTALLER", "pip\n")];
    let of_pip = of_pip.map(|(path, text)| derived::row(path, text));
    for (scene, before) in [
        derived::debian(&parts, &derived::list_of(&parts)),
        derived::virtual_environment(30, &of_pip),
        derived::conda_environment(None),
    ] {
        let (archive, packed) = scene.pack_well(&options());
        assert_eq!(packed.derived.len(), 1, "{packed:?}");
        restore_well(&scene, &archive, &before);
        let unpacked = scene.target();
        gnu_tar(&archive, &unpacked);
        let manifest = unpacked.join(".hashget-restore.json");
        let text = fs_err::read_to_string(&manifest).unwrap();
        let recipe = packed.derived.keys().next().unwrap();
        fs_err::write(&manifest, text.replace(&format!("\"{recipe}\""), "\"tea\"")).unwrap();
        restore(&[&unpacked]).expect(3, &["derived file: ", "the recipe tea is not known"]);
        fs_err::write(&manifest, text).unwrap();
        restore(&[&unpacked]).expect(0, &["Proven: "]);
        assert_same(&before, &snapshot(&unpacked));
    }
}

/// The name of a package, its bytes, and the files that a tree has of it.
type Sample = (&'static str, Vec<u8>, Vec<Vec<u8>>);

/// An image with `one`, and in a folder that lies elsewhere with `two` in two parts, one behind the other.
fn image(one: &[u8], two: &[u8]) -> Vec<u8> {
    let name = |name: &[u8]| susp(b"NM", &[b"\0", name].concat());
    let mode = || posix(0o040_755, (0, 0));
    // Each listing takes a block.
    let child = susp(b"CL", &both(block_of_area(3)));
    let (first, second) = two.split_at(2048);
    let folder = |fields: &[Vec<u8>], entries| IsoFolder { fields: fields.concat(), entries };
    let folders = [
        folder(
            &[susp_start(0), mode()],
            vec![
                iso_folder(b"A", 1, &[name(b"a"), mode()]),
                iso_file(b"ONE.;1", one, &[name(b"one"), posix(0o100_640, (3, 4))]),
                iso_folder(b"RR_MOVED", 2, &[name(b"rr_moved"), mode()]),
            ],
        ),
        folder(&[mode()], vec![iso_file(b"DEEP", b"", &[name(b"deep"), mode(), child])]),
        folder(&[mode()], vec![iso_folder(b"DEEP", 3, &[name(b"deep"), susp(b"RE", b""), mode()])]),
        folder(
            &[mode()],
            vec![
                IsoEntry { flags: 0x80, ..iso_file(b"TWO.;1", first, &[name(b"two")]) },
                iso_file(b"TWO.;1", second, &[name(b"two")]),
            ],
        ),
    ];
    iso9660(&folders, &[], None)
}

/// A package of each format that the manifest can name.
fn packages_of_every_format() -> Vec<Sample> {
    let [one, two] = [random(3000, 100), random(4000, 101)];
    let data = TarBuilder::new()
        .directory("./opt/")
        .file("./opt/one", &one)
        .hard_link("./opt/again", "./opt/one")
        .file("./opt/two", &two)
        .finish();
    let both = || vec![one.clone(), two.clone()];
    let info = TarBuilder::new().file("info/index.json", b"{}").finish();
    let files = [
        RpmFile { name: b"/opt", mode: 0o040_755, ..RpmFile::default() },
        RpmFile { name: b"/opt/one", content: &one, inode: 2, ..RpmFile::default() },
        RpmFile {
            name: b"/opt/two",
            content: &two,
            owner: ("daemon", "mail"),
            inode: 3,
            ..RpmFile::default()
        },
    ];
    let cpio_of = |form| {
        let entry =
            |name, content, inode| CpioEntry { name, content, inode, ..CpioEntry::default() };
        cpio(form, &[entry(b"opt/one", &one, 4), entry(b"opt/two", &two, 5)])
    };
    let entry = |name, content| SevenZipEntry { name, content, ..SevenZipEntry::default() };
    let file = |name, content| ZipEntry { name, content, ..ZipEntry::default() };
    let inner = zip(&[file(b"one", &one), file(b"two", &two)]);
    let mut packages = vec![
        ("signed.apk", apk(true, &[(".PKGINFO", b"p")], &data), both()),
        ("unsigned.apk", apk(false, &[(".PKGINFO", b"p")], &data), both()),
        ("p.gem", gem(b"---\n", &data), both()),
        ("p.conda", conda(&data, &info), both()),
        ("p.rpm", rpm(&files, "zstd", false), both()),
        ("stripped.rpm", rpm(&files, "xz", true), both()),
        ("p.a", ar(&[("one", &one), ("two", &two)]), both()),
        ("p.7z", seven_zip(&[entry("one", &one), entry("two", &two)]), both()),
        ("p.iso", image(&one, &two), both()),
        ("one.gz", compress("gzip", &one), vec![one.clone()]),
        ("one.bin", one.clone(), vec![one.clone()]),
        ("nested.tar", TarBuilder::new().file("lib/p.jar", &inner).finish(), both()),
        (
            "nested.deb",
            deb(
                &[("control", b"c")],
                &TarBuilder::new()
                    .file("p.cpio.gz", &compress("gzip", &cpio_of(CpioForm::New)))
                    .finish(),
                "none",
            ),
            both(),
        ),
    ];
    packages.extend(CpioForm::ALL.map(|form| ("p.cpio", cpio_of(form), both())));
    for codec in ["gzip", "zstd", "xz", "bzip2", "lz4", "lzma"] {
        packages.push(("p.deb", deb(&[("control", b"c")], &data, "none"), both()));
        packages.push(("compressed.tar", compress(codec, &data), both()));
    }
    packages
}

pub(crate) fn packages_of_every_format_are_read() {
    for (name, bytes, contents) in packages_of_every_format() {
        let scene = Scene::new();
        scene.index(name, &bytes);
        for (number, content) in contents.iter().enumerate() {
            trees::file(&scene.tree(), format!("srv/{number}"), content);
        }
        let before = snapshot(&scene.tree());
        let (archive, packed) = scene.pack_well(&options());
        assert_eq!(
            (packed.left_out_files, packed.packages.len()),
            (contents.len() as u64, 1),
            "{name}"
        );
        let (file, target) = (written(&scene, &archive), scene.target());
        restore(&[&file, Path::new("-C"), &target]).expect(0, &["Proven: ", name]);
        assert_same(&before, &snapshot(&target));
    }
}

/// Three packages, each with a folder of the tree; digests of all files.
fn three_packages() -> (Scene, Snapshot, Vec<u8>) {
    let scene = Scene::new();
    for name in ["a", "b", "c"] {
        let parts: Vec<Part> = (0..3)
            .map(|number| {
                let content = random(5000, u64::from(name.as_bytes()[0]) * 10 + number);
                Part::file(&format!("{name}/{number}"), content)
            })
            .collect();
        scene.index(&format!("{name}.tar"), &tar(&parts));
        lay_down(&scene.tree(), &parts);
    }
    trees::file(&scene.tree(), "mine", "not from a package");
    let before = snapshot(&scene.tree());
    let all = PackOptions { hashes: HashesKept::All, ..options() };
    let (archive, _) = scene.pack_well(&all);
    (scene, before, archive)
}

pub(crate) fn what_is_wrong_with_a_package_is_named_and_all_else_comes_back() {
    for (fault, code, said) in [
        (Fault::Status(404), 5, "404"),
        (Fault::Truncate(1000), 5, "closed too early"),
        (Fault::Short(1000), 4, "gave other bytes"),
        (Fault::Other, 4, "gave other bytes"),
    ] {
        let (scene, before, archive) = three_packages();
        scene.origin.always("/b.tar", fault);
        let (file, target) = (written(&scene, &archive), scene.target());
        restore(&[&file, Path::new("-C"), &target]).expect(code, &["/b.tar", said, "Incomplete"]);
        let found = snapshot(&target);
        for (path, node) in &before {
            if !path.starts_with(b"b") && !path.is_empty() {
                assert_eq!(Some(&node.digest), found.get(path).map(|node| &node.digest));
            }
        }
        assert!(!found.keys().any(|path| path.starts_with(b"b/") && found[path].kind == 'f'));
        // Once the package is there, the folder is completed.
        let pool = scene.path("pool");
        fs_err::create_dir(&pool).unwrap();
        scene.origin.heal("/b.tar");
        restore(&[&target, Path::new("--packages"), &pool]).expect(0, &["Proven: "]);
        assert_same(&before, &snapshot(&target));
    }
    // From a folder, whatever the package is called there; and from a mirror.
    let (scene, before, archive) = three_packages();
    let file = written(&scene, &archive);
    let mirror = format!("{}={}", scene.origin.url("/b"), scene.origin.url("/elsewhere/b"));
    scene.origin.always("/b.tar", Fault::Status(410));
    restore(&[&file, Path::new("-C"), &scene.target()]).expect(5, &["410"]);
    let parts: Vec<Part> = (0..3)
        .map(|number| Part::file(&format!("b/{number}"), random(5000, 980 + number)))
        .collect();
    scene.origin.serve("/elsewhere/b.tar", tar(&parts));
    let target = scene.target();
    restore(&[&file, Path::new("-C"), &target, Path::new("--mirror"), Path::new(&mirror)])
        .expect(0, &["Proven: "]);
    assert_same(&before, &snapshot(&target));
}

pub(crate) fn of_a_package_that_changed_the_files_with_a_digest_are_taken() {
    let (scene, before, archive) = three_packages();
    let mut parts: Vec<Part> = (0..3)
        .map(|number| Part::file(&format!("b/{number}"), random(5000, 980 + number)))
        .collect();
    scene.origin.serve("/b.tar", compress("gzip", &tar(&parts)));
    let (file, target) = (written(&scene, &archive), scene.target());
    restore(&[&file, Path::new("-C"), &target]).expect(4, &["/b.tar", "gave other bytes"]);
    let found = snapshot(&target);
    for path in [&b"b/0"[..], b"b/1", b"b/2"] {
        assert_eq!(found[path].digest, before[path].digest);
    }
    // A file of it is another one: it gets no name.
    parts[1] = Part::file("b/1", random(5000, 1));
    scene.origin.serve("/b.tar", tar(&parts));
    let target = scene.target();
    restore(&[&file, Path::new("-C"), &target]).expect(4, &["b/1 has other contents"]);
    let found = snapshot(&target);
    assert_eq!((found.contains_key(&b"b/0"[..]), found.contains_key(&b"b/1"[..])), (true, false));
}

pub(crate) fn hostile_archives_change_nothing_outside_of_the_target() {
    let folder = tempfile::tempdir().unwrap();
    let archives = fs_err::read_dir(in_repository("testdata/hostile/archives")).unwrap();
    let archives = archives.map(|entry| (entry.unwrap().path(), None));
    let manifests = fs_err::read_dir(in_repository("testdata/hostile/manifests")).unwrap();
    let manifests = manifests.map(|entry| {
        let path = entry.unwrap().path();
        let bytes = fs_err::read(&path).unwrap();
        (path, Some(TarBuilder::new().file(".hashget-restore.json", &bytes).finish()))
    });
    let older = TarBuilder::new()
        .file("../outside", b"changed")
        .directory("../target/../")
        .symlink("link", "..")
        .file("link/outside", b"changed")
        .file(".hashget-restore.json", br#"{"packages": [], "files": []}"#)
        .finish();
    let older = (PathBuf::from("of version 1"), Some(older));
    let mut tried = 0;
    for (path, bytes) in archives.chain(manifests).chain([older]) {
        let place = folder.path().join(path.file_name().unwrap());
        fs_err::create_dir(&place).unwrap();
        trees::file(&place, "outside", "untouched");
        let file = place.join("archive");
        fs_err::write(&file, bytes.unwrap_or_else(|| fs_err::read(&path).unwrap())).unwrap();
        let before = snapshot(&place);
        let target = place.join("target");
        let ended = restore(&[&file, Path::new("-C"), &target, Path::new("--offline")]);
        assert!(
            [1, 3, 4, 5].contains(&ended.code),
            "{}: {} {}",
            path.display(),
            ended.code,
            ended.said
        );
        assert!(!ended.said.contains('\u{1b}'), "{}", ended.said);
        if target.exists() {
            fs_err::remove_dir_all(&target).unwrap();
        }
        let after = snapshot(&place);
        let same = |mut tree: Snapshot| {
            tree.get_mut(&b""[..]).unwrap().mtime = (0, 0);
            tree
        };
        assert_same(&same(before), &same(after));
        tried += 1;
    }
    assert!(tried > 80, "{tried}");
}

/// Two folders list the same block and more, so that their listings are longer together than the image.
pub(crate) fn of_an_image_whose_listings_overlap_nothing_is_taken() {
    let areas = vec![&b""[..]; 60];
    let listing = |first: u32| IsoEntry {
        name: b"X",
        flags: 2,
        content: IsoContent::At(block_of_area(0) + first, 50 * 2048),
        fields: Vec::new(),
    };
    for (entries, told) in [
        (vec![listing(0)], "tree digest: it is not that of the manifest"),
        (vec![listing(0), listing(1)], "a folder lists what another one has listed"),
    ] {
        let image = iso9660(&[IsoFolder { entries, ..IsoFolder::default() }], &areas, None);
        let (origin, folder) = (Origin::start(), tempfile::tempdir().unwrap());
        origin.serve("/p.iso", image.clone());
        let package = serde_json::json!({
            "url": origin.url("/p.iso"), "sha256": Digest::of(&image).to_string(), "size": image.len(),
            "format": "iso9660", "evidence": "downloaded", "trees": [{ "from": "", "to": "" }],
        });
        let manifest = serde_json::json!({
            "format": "hashget-restore", "version": 2, "tool": "hostile", "packages": [package],
            "archived": {
                "path": [], "type": "", "mode": [], "uid": [], "gid": [], "seconds": [], "nanoseconds": [],
            },
            "tree": { "entries": 1, "files": 0, "bytes": 0, "sha256": "0".repeat(64) },
        });
        let archive = TarBuilder::new()
            .file(".hashget-restore.json", manifest.to_string().as_bytes())
            .finish();
        let file = folder.path().join("archive");
        fs_err::write(&file, archive).unwrap();
        let ended = restore(&[&file, Path::new("-C"), &folder.path().join("target")]);
        assert!(ended.code != 0 && ended.said.contains(told), "{}: {}", ended.code, ended.said);
    }
}

pub(crate) fn nothing_that_was_there_is_replaced() {
    let (scene, _, archive) = three_packages();
    let file = written(&scene, &archive);
    // A folder that is in use is no target.
    let target = scene.target();
    trees::file(
        &scene.path(""),
        target.file_name().unwrap().to_str().unwrap().to_owned() + "/x",
        "x",
    );
    restore(&[&file, Path::new("-C"), &target]).expect(1, &["is not an empty folder"]);
    // In a folder that tar has made, somebody's own file stays, and a link leads nowhere.
    let unpacked = scene.target();
    gnu_tar(&archive, &unpacked);
    trees::file(&unpacked, "a/1", "my own");
    let outside = scene.path("outside");
    fs_err::create_dir(&outside).unwrap();
    fs_err::remove_dir(unpacked.join("b")).unwrap();
    trees::symlink(&unpacked, "b", outside.to_str().unwrap());
    restore(&[&unpacked]).expect(4, &["a/1 is there already", "b is not a folder"]);
    assert_eq!(fs_err::read(unpacked.join("a/1")).unwrap(), b"my own");
    assert_eq!(fs_err::read_dir(&outside).unwrap().count(), 0);
    assert!(unpacked.join("c/2").exists());
    // Usage.
    restore(&[&file]).expect(2, &["-C TARGET"]);
    restore(&[Path::new("--help")]).expect(0, &[]);
}

pub(crate) fn a_user_gets_all_but_what_only_root_may_set() {
    let (scene, before) =
        scene(Nasty { long_paths: false, own_manifest: None, ..Nasty::default() });
    let (archive, _) = scene.pack_well(&options());
    let folder = tempfile::tempdir().unwrap();
    trees::mode(folder.path(), 0o777);
    let (file, program) = (folder.path().join("archive"), folder.path().join("restore.py"));
    fs_err::write(&file, &archive).unwrap();
    fs_err::copy(in_repository("contrib/restore.py"), &program).unwrap();
    trees::mode(&file, 0o644);
    trees::mode(&program, 0o755);
    let output = Command::new("setpriv")
        .args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups"])
        .args([python(), "-B"])
        .arg(&program)
        .arg(&file)
        .arg("-C")
        .arg(folder.path().join("back"))
        .env("TMPDIR", folder.path())
        .current_dir("/")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("device or pipe: "), "{said}");
    let found = snapshot(&folder.path().join("back"));
    for (path, node) in before.iter().filter(|(_, node)| !matches!(node.kind, 'c' | 'b')) {
        let back = &found[path];
        assert_eq!((back.uid, back.kind), (NOBODY, node.kind));
        assert_eq!(
            (&back.digest, back.mode & 0o777),
            (&node.digest, node.mode & 0o777),
            "{path:?}"
        );
        assert!(path.is_empty() || back.mtime == node.mtime, "{path:?}");
    }
}
