//! Images of ISO 9660 that genisoimage and xorriso make, read as bsdtar reads them.
//!
//! Invariant: every member is compared: kind, contents, target, mode, owner and time.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use hashget::model::{Kind, MemberMetadata, Timestamp};
use hashget_testkit::trees::{self, snapshot};

use crate::collect::{Collected, noise, read};
use crate::restorer::restore_well;
use crate::run;
use crate::scene::{Scene, options};

/// A tree with everything that a user may make, and folders deeper than the eight levels of plain ISO 9660.
fn some_tree(folder: &Path) {
    let path = |name: &str| folder.join(name);
    let deep = path("a/b/c/d/e/f/g/h/i/j");
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("deep"), b"deep").unwrap();
    std::fs::write(path("a/b/large"), noise(70_001)).unwrap();
    std::fs::write(path("empty"), b"").unwrap();
    std::fs::write(path("first"), b"contents").unwrap();
    std::fs::hard_link(path("first"), path("second")).unwrap();
    std::fs::write(path(&"long".repeat(50)), b"name").unwrap();
    std::fs::write(path("README.txt"), b"read me").unwrap();
    std::os::unix::fs::symlink(long_target(), path("long link")).unwrap();
    std::os::unix::fs::symlink("/usr/lib", path("link")).unwrap();
    for number in 0..100 {
        std::fs::write(path(&format!("a/many files {number}")), format!("{number}")).unwrap();
    }
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(925_974_489);
    std::fs::File::options().write(true).open(path("empty")).unwrap().set_modified(time).unwrap();
}

/// A target that takes several fields.
fn long_target() -> String {
    format!("{}x", "../some/./target/".repeat(15))
}

/// What is compared of a member: its kind and metadata, and its contents.
type Seen = BTreeMap<String, (Kind, MemberMetadata, Vec<u8>)>;

/// Members by path. A hard link is the file that it is a name of; times have whole seconds.
fn seen(collected: &Collected) -> Seen {
    let members = collected.members.iter().map(|(member, content)| {
        let of_target = match &member.kind {
            Kind::HardLink { target } => collected.find(target.as_bytes()),
            _ => &(member.clone(), content.clone()),
        };
        let (file, content) = of_target.clone();
        let mtime = Some(Timestamp::from_seconds(file.mtime().seconds));
        let metadata = MemberMetadata { mtime, xattrs: Default::default(), ..file.metadata };
        (member.path.to_string(), (file.kind, metadata, content))
    });
    members.collect()
}

/// What bsdtar sees in an image.
fn seen_by_bsdtar(image: &Path) -> Seen {
    let mut program = Command::new("bsdtar");
    program.args(["-cf", "-", "--format=pax"]).arg(format!("@{}", image.display()));
    let output = program.env("LC_ALL", "C.UTF-8").stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{image:?}");
    let (format, collected) = read(&output.stdout);
    assert_eq!(format, "tar");
    seen(&collected)
}

#[track_caller]
fn assert_read_as_by_bsdtar(image: &Path, has_modes: bool) -> Collected {
    let (format, collected) = read(&std::fs::read(image).unwrap());
    assert_eq!((format, &collected.bad[..]), ("iso9660", &[][..]), "{image:?}");
    let (mut ours, mut theirs) = (seen(&collected), seen_by_bsdtar(image));
    // bsdtar 3.6.2 loses the slash between two fields of a target.
    if let Some((kind, ..)) = ours.remove("long link") {
        assert!(theirs.remove("long link").is_some());
        let target = long_target().into_bytes().into();
        assert_eq!(kind, Kind::Symlink { target }, "{image:?}");
    }
    if !has_modes {
        // Where there are none, bsdtar makes some up.
        for (_, metadata, _) in theirs.values_mut() {
            (metadata.mode, metadata.uid, metadata.gid) = (None, None, None);
        }
    }
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{image:?}");
    for (path, member) in &ours {
        assert!(theirs[path] == *member, "{image:?}: {path}");
    }
    collected
}

pub(crate) fn images_of_genisoimage_are_read_as_bsdtar_does() {
    let folder = tempfile::tempdir().unwrap();
    some_tree(&folder.path().join("tree"));
    for (options, has_modes, count) in [
        (&["-R"][..], true, 119),
        (&["-r", "-D"], true, 119),
        (&["-R", "-hide-rr-moved"], true, 119),
        (&["-R", "-J", "-joliet-long"], true, 119),
        (&["-J", "-joliet-long", "-D", "-input-charset", "utf-8"], false, 117),
        (&["-D"], false, 117),
        (&["-D", "-U"], false, 117),
        (&["-R", "-udf"], true, 119),
    ] {
        let image = folder.path().join("image.iso");
        let mut program = Command::new("genisoimage");
        program.arg("-quiet").args(options).arg("-o").arg(&image).arg("tree");
        run(program.current_dir(folder.path()));
        let collected = assert_read_as_by_bsdtar(&image, has_modes);
        assert_eq!(collected.members.len(), count, "{options:?}");
    }
}

pub(crate) fn images_of_xorriso_are_read_as_bsdtar_does() {
    let folder = tempfile::tempdir().unwrap();
    some_tree(&folder.path().join("tree"));
    for options in [&["-R"][..], &["-R", "-J"], &["-r", "-iso-level", "3"]] {
        let image = folder.path().join("image.iso");
        let mut program = Command::new("xorriso");
        program.args(["-as", "mkisofs", "-quiet"]).args(options).arg("-o").arg(&image).arg("tree");
        run(program.current_dir(folder.path()));
        assert_eq!(assert_read_as_by_bsdtar(&image, true).members.len(), 119, "{options:?}");
    }
    // What is compressed within the image is named, and the rest is read.
    let image = folder.path().join("packed.iso");
    std::fs::write(folder.path().join("tree/zeros"), [0; 100_000]).unwrap();
    let mut program = Command::new("xorriso");
    program.arg("-outdev").arg(&image).args(["-map", "tree", "/"]);
    run(program
        .args(["-set_filter_r", "--zisofs", "/", "--", "-commit"])
        .current_dir(folder.path()));
    let (_, collected) = read(&std::fs::read(image).unwrap());
    assert_eq!(collected.content("a/b/c/d/e/f/g/h/i/j/deep"), b"deep");
    let zisofs = (b"zeros".to_vec(), "it is compressed by zisofs".to_owned());
    assert!(collected.bad.contains(&zisofs), "{:?}", collected.bad);
}

pub(crate) fn devices_and_pipes_in_images() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    let expected = [
        ("null", Kind::CharDevice { major: 1, minor: 3 }),
        ("large", Kind::BlockDevice { major: 259, minor: 70_000 }),
        ("pipe", Kind::Fifo),
    ];
    for (name, arguments) in [("null", "c 1 3"), ("large", "b 259 70000"), ("pipe", "p")] {
        run(Command::new("mknod").arg(tree.join(name)).args(arguments.split(' ')));
    }
    for program in [&["genisoimage"][..], &["xorriso", "-as", "mkisofs"]] {
        let image = folder.path().join("image.iso");
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).args(["-quiet", "-R", "-o"]).arg(&image).arg(&tree);
        run(&mut command);
        let (_, collected) = read(&std::fs::read(image).unwrap());
        for (name, kind) in &expected {
            assert_eq!(collected.member(name).kind, *kind, "{program:?}: {name}");
        }
    }
}

pub(crate) fn devices_that_images_give_come_back_by_the_restorer() {
    for program in [&["genisoimage"][..], &["xorriso", "-as", "mkisofs"]] {
        let scene = Scene::new();
        let disc = scene.tree().join("disc");
        trees::file(&disc, "file", noise(5000));
        trees::device(&disc, "null", (false, 1, 3));
        trees::device(&disc, "large", (true, 259, 70_000));
        trees::fifo(&disc, "pipe");
        let image = scene.path("image.iso");
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).args(["-quiet", "-R", "-o"]).arg(&image).arg(&disc);
        run(&mut command);
        scene.index("p.iso", &std::fs::read(image).unwrap());
        let (archive, _) = scene.pack_well(&options());
        let (_, archived) = read(&archive);
        let archived = archived.paths();
        for given in ["disc/file", "disc/null", "disc/large", "disc/pipe"] {
            assert!(archived.iter().all(|path| path != given), "{program:?}: {given}");
        }
        restore_well(&scene, &archive, &snapshot(&scene.tree()));
    }
}
