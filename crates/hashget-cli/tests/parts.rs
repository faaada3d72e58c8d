//! A part of an archive: `unpack` with patterns, and `cat`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::{Path, PathBuf};

use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::TarBuilder;
use support::{Ended, Machine, files_below};

fn contents(name: &str) -> String {
    format!("{name}\n").repeat(4000)
}

/// A machine with the archive `a.tar.zst` of files of two packages and of its own.
fn machine(origin: &Origin) -> Machine {
    let machine = Machine::new();
    for name in ["first", "second"] {
        let (a, b) = (contents(&format!("{name} a")), contents(&format!("{name} b")));
        let tar = TarBuilder::new()
            .file("x/a", a.as_bytes())
            .file("x/b", b.as_bytes())
            .hard_link("x/c", "x/b")
            .finish();
        origin.serve(&format!("/{name}.tar"), tar);
        machine.write(&format!("tree/{name}/a"), a);
        machine.write(&format!("tree/{name}/b"), b);
        let folder = machine.path(&format!("tree/{name}"));
        std::fs::hard_link(folder.join("b"), folder.join("c")).unwrap();
        machine.hashget(&["index", &origin.url(&format!("/{name}.tar"))]).expect(0);
    }
    machine.write("tree/own/private/key", "secret");
    machine.write("tree/own/site.conf", "listen 80\n");
    machine.write("tree/own/note", "mine");
    for name in ["same", "twin"] {
        let own = machine.path("tree/own");
        std::fs::hard_link(own.join("note"), own.join(name)).unwrap();
    }
    let mode = |name: &str, mode: u32| {
        fs_err::set_permissions(machine.path(name), PermissionsExt::from_mode(mode)).unwrap();
    };
    mode("tree/own/private", 0o700);
    mode("tree/own/site.conf", 0o640);
    machine.hashget(&["pack", "tree", "-f", "a.tar.zst"]).expect(0);
    machine
}

/// A machine that has nothing but the archive.
fn away(machine: &Machine) -> Machine {
    let away = Machine::new();
    fs_err::copy(machine.path("a.tar.zst"), away.path("a.tar.zst")).unwrap();
    away
}

fn unpack(machine: &Machine, words: &[&str]) -> (PathBuf, Ended) {
    let ended = machine.hashget(&[&["unpack", "a.tar.zst", "-C", "back"], words].concat());
    (machine.path("back"), ended)
}

fn text(path: impl AsRef<Path>) -> String {
    fs_err::read_to_string(path.as_ref()).unwrap()
}

#[test]
fn only_what_is_selected_is_there_and_no_package_is_fetched_in_vain() {
    let origin = Origin::start();
    let machine = away(&machine(&origin));
    let asked = origin.requests().len();
    let (back, ended) = unpack(&machine, &["./own", "--exclude", "note"]);
    ended.expect(0).says(&["Each file has the digest that was packed", "nothing proves a part"]);
    let expected = ["own/private/key", "own/same", "own/site.conf", "own/twin"];
    assert_eq!(files_below(&back), expected);
    assert_eq!(text(back.join("own/same")), "mine");
    let metadata = |name: &str| fs_err::metadata(back.join(name)).unwrap();
    assert_eq!(metadata("own/same").ino(), metadata("own/twin").ino());
    assert_eq!(metadata("own/same").nlink(), 2);
    assert_eq!(metadata("own/site.conf").mode() & 0o7777, 0o640);
    assert_eq!(origin.requests().len(), asked, "the archive has all of it");
}

#[test]
fn of_the_packages_only_those_that_are_needed_are_fetched() {
    let origin = Origin::start();
    let machine = away(&machine(&origin));
    origin.always("/second.tar", Fault::Status(404));
    let (back, ended) = unpack(&machine, &["./first/a"]);
    ended.expect(0);
    assert_eq!(files_below(&back), ["first/a"]);
    assert_eq!(text(back.join("first/a")), contents("first a"));
    // A pattern that may match in both needs both, unless it is known what is in them.
    let (_, ended) = unpack(&machine, &["a"]);
    ended.expect(5).says(&["second.tar"]);
}

#[test]
fn a_known_package_without_a_selected_file_is_not_fetched() {
    let origin = Origin::start();
    let machine = machine(&origin);
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    let asked = origin.requests().len();
    let (back, ended) = unpack(&machine, &["*.conf"]);
    ended.expect(0);
    assert_eq!(files_below(&back), ["own/site.conf"]);
    assert_eq!(origin.requests().len(), asked);
}

#[test]
fn a_hard_link_without_its_first_name_is_a_file_of_its_own() {
    let machine = machine(&Origin::start());
    let (back, ended) = unpack(&machine, &["twin", "./first/c"]);
    ended.expect(0);
    assert_eq!(files_below(&back), ["first/c", "own/twin"]);
    assert_eq!(text(back.join("own/twin")), "mine");
    assert_eq!(text(back.join("first/c")), contents("first b"));
    assert_eq!(fs_err::metadata(back.join("first/c")).unwrap().nlink(), 1);
}

#[test]
fn folders_above_get_their_metadata_from_the_archive_and_the_target_keeps_its_own() {
    let machine = machine(&Origin::start());
    fs_err::create_dir(machine.path("back")).unwrap();
    fs_err::set_permissions(machine.path("back"), PermissionsExt::from_mode(0o711)).unwrap();
    machine.write("back/other", "stays");
    let (back, ended) = unpack(&machine, &["./own/private/key"]);
    let ended = ended.expect(0);
    assert!(!ended.stderr.contains("other"), "{}", ended.stderr);
    let mode = |name: &str| fs_err::metadata(back.join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode(""), mode("own/private")), (0o711, 0o700));
    let mtime = |path: PathBuf| fs_err::metadata(path).unwrap().modified().unwrap();
    assert_eq!(mtime(back.join("own")), mtime(machine.path("tree/own")));
    assert_eq!(files_below(&back), ["other", "own/private/key"]);
}

#[test]
fn components_are_stripped_from_files_of_packages_too() {
    let machine = machine(&Origin::start());
    let (back, ended) = unpack(&machine, &["--strip-components", "1", "./first", "own"]);
    ended.expect(0);
    let expected = ["a", "b", "c", "note", "private/key", "same", "site.conf", "twin"];
    assert_eq!(files_below(&back), expected);
    assert_eq!(text(back.join("b")), contents("first b"));
    let ino = |name: &str| fs_err::metadata(back.join(name)).unwrap().ino();
    assert_eq!((ino("b"), ino("note")), (ino("c"), ino("same")));
    // Two files of one path: one is restored, the other is named.
    let (_, ended) = unpack(&machine, &["--strip-components", "1", "a"]);
    assert_ne!(ended.code, 0, "{}", ended.stderr);
}

#[test]
fn a_pattern_that_matches_nothing_is_named() {
    let machine = machine(&Origin::start());
    let (back, ended) = unpack(&machine, &["site.conf", "./nothing"]);
    ended.expect(3).says(&["./nothing: nothing in the archive matches"]);
    assert_eq!(files_below(&back), ["own/site.conf"]);
    let ended = unpack(&machine, &["a["]).1.expect(2);
    assert!(ended.stderr.contains("pattern"), "{}", ended.stderr);
}

#[test]
fn contents_go_to_standard_output_once_they_are_proven() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let print = |words: &[&str]| machine.hashget(words);
    let ended = print(&["unpack", "a.tar.zst", "--to-stdout", "*.conf", "./first/a"]).expect(0);
    assert_eq!(ended.stdout, contents("first a") + "listen 80\n");
    assert_eq!(print(&["cat", "a.tar.zst", "own/site.conf"]).expect(0).stdout, "listen 80\n");
    assert_eq!(print(&["cat", "a.tar.zst", "/own/twin"]).expect(0).stdout, "mine");
    assert_eq!(print(&["cat", "a.tar.zst", "second/c"]).expect(0).stdout, contents("second b"));
    print(&["cat", "a.tar.zst", "site.conf"]).expect(1).says(&["the archive has no such entry"]);
    print(&["cat", "a.tar.zst", "own"]).expect(1).says(&["no regular file"]);

    let mut command = machine.bare();
    command.envs(machine.variables()).args(["cat", "-", "own/note"]);
    command.write_stdin(fs_err::read(machine.path("a.tar.zst")).unwrap());
    assert_eq!(Ended::of(&mut command).expect(0).stdout, "mine");
    origin.serve("/a.tar.zst", fs_err::read(machine.path("a.tar.zst")).unwrap());
    let url = origin.url("/a.tar.zst");
    assert_eq!(print(&["cat", &url, "own/note"]).expect(0).stdout, "mine");
}

#[test]
fn what_is_not_as_it_was_packed_is_not_printed() {
    let machine = machine(&Origin::start());
    machine.hashget(&["pack", "tree", "-f", "plain.tar"]).expect(0);
    let mut bytes = fs_err::read(machine.path("plain.tar")).unwrap();
    let at = bytes.windows(9).position(|bytes| bytes == b"listen 80").unwrap();
    bytes[at] ^= 1;
    machine.write("plain.tar", bytes);
    let ended = machine.hashget(&["cat", "plain.tar", "own/site.conf"]).expect(4);
    assert_eq!(ended.stdout, "");
    ended.says(&["own/site.conf", "was packed", "nothing is printed"]);
    assert_eq!(machine.hashget(&["cat", "plain.tar", "own/note"]).expect(0).stdout, "mine");
}

#[test]
fn parts_of_frozen_archives_of_both_versions() {
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/frozen");
    for archive in ["v1.tar.gz", "v2.tar.gz", "v2.tar.zst"] {
        let machine = Machine::new();
        fs_err::create_dir(machine.path("pool")).unwrap();
        fs_err::copy(frozen.join("tool-1.0.tar.gz"), machine.path("pool/any name")).unwrap();
        let archive = frozen.join(archive);
        let run = |words: &[&str]| {
            let archive = archive.to_str().unwrap();
            let words = [&["--offline", "--pool", "pool", words[0], archive], &words[1..]].concat();
            machine.hashget(&words)
        };
        assert_eq!(run(&["cat", "tool-1.0/own.conf"]).expect(0).stdout, "my own settings\n");
        let readme = run(&["cat", "tool-1.0/doc/README"]).expect(0).stdout;
        assert_eq!(readme, "read me\n".repeat(400));
        run(&["unpack", "-C", "back", "own.conf", "./copy.c"]).expect(0);
        assert_eq!(files_below(&machine.path("back")), ["copy.c", "tool-1.0/own.conf"]);
        run(&["unpack", "-C", "back", "nothing"]).expect(3);
    }
}

#[test]
fn folders_of_a_package_that_cannot_be_had_contradict_nothing() {
    let (machine, origin) = (Machine::new(), Origin::start());
    let (a, b) = (contents("a"), contents("b"));
    let tar = TarBuilder::new().file("lib/a", a.as_bytes()).file("etc/apt/b", b.as_bytes());
    origin.serve("/all.tar", tar.finish());
    machine.write("tree/lib/a", a);
    machine.write("tree/etc/apt/b", b);
    machine.write("tree/etc/apt/own", "own");
    machine.hashget(&["index", &origin.url("/all.tar")]).expect(0);
    machine.hashget(&["pack", "tree", "-f", "a.tar"]).expect(0);
    let away = Machine::new();
    fs_err::copy(machine.path("a.tar"), away.path("a.tar")).unwrap();
    origin.always("/all.tar", Fault::Status(404));
    for part in [&[][..], &["etc/apt"], &["./etc"]] {
        let target = format!("back-{}", part.len() + part.concat().len());
        let unpack = [&["unpack", "a.tar", "-C", &target][..], part].concat();
        let ended = away.hashget(&unpack);
        assert!(!ended.stderr.contains("does not say so"), "{part:?}: {}", ended.stderr);
        assert_eq!(ended.code, 5, "{part:?}");
        assert_eq!(fs_err::read(away.path(&format!("{target}/etc/apt/own"))).unwrap(), b"own");
    }
    origin.heal("/all.tar");
    away.hashget(&["restore", "back-0"]).expect(0).says(&["Proven"]);
}
