//! `pack A B/C`: several files and folders in one archive, or one file.
//!
//! Invariant: the archive has what was given, with the paths that `tar` would give it, and the folders above with their
//! own metadata; nothing else.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use std::fs::{Metadata, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use hashget_testkit::trees::{differences, snapshot};
use support::{Machine, files_below};

const OPTIONS: [&str; 5] = ["-f", "out/a.tar", "--detect", "none", "--no-index"];

fn machine() -> Machine {
    let machine = Machine::new();
    for file in ["a/one", "a/two", "b/c/three", "b/c/d/four", "b/other/five", "b-c/six", "seven"] {
        machine.write(&format!("home/{file}"), file);
    }
    symlink("seven", machine.path("home/link")).unwrap();
    fs_err::set_permissions(machine.path("home/b"), Permissions::from_mode(0o2751)).unwrap();
    fs_err::create_dir(machine.path("out")).unwrap();
    machine
}

/// Packs paths in the machine's folder, and unpacks them into `back`.
#[track_caller]
fn there_and_back(machine: &Machine, paths: &[&str]) -> String {
    let _ = fs_err::remove_dir_all(machine.path("back"));
    let packed = machine.hashget(&[&["pack"], paths, &OPTIONS].concat()).expect(0);
    machine
        .hashget(&["unpack", "out/a.tar", "-C", "back"])
        .expect(0)
        .says(&["exactly what was packed"]);
    packed.stderr
}

#[test]
fn several_paths_come_back_with_the_folders_above_them() {
    let machine = machine();
    there_and_back(&machine, &["home/a/two", "home/b/c/", "./home/link", "home/seven"]);
    let files = files_below(&machine.path("back"));
    let expected = ["home/a/two", "home/b/c/d/four", "home/b/c/three", "home/link", "home/seven"];
    assert_eq!(files, expected);
    let of = |path: &str| fs_err::symlink_metadata(machine.path(path)).unwrap();
    for folder in ["home", "home/a", "home/b", "home/b/c"] {
        let (before, after) = (of(folder), of(&format!("back/{folder}")));
        assert_eq!(before.mode(), after.mode(), "{folder}");
        let times = |found: &Metadata| (found.mtime(), found.mtime_nsec());
        assert_eq!(times(&before), times(&after), "{folder}");
    }
    assert_eq!(fs_err::read_link(machine.path("back/home/link")).unwrap(), Path::new("seven"));
    let whole = |folder: &str| snapshot(&machine.path(folder));
    assert_eq!(differences(&whole("home/b/c"), &whole("back/home/b/c")), [""; 0]);
}

#[test]
fn absolute_paths_are_kept_without_the_slash_at_their_start() {
    let machine = machine();
    let folder = machine.path("home").to_str().unwrap().to_owned();
    let (one, seven) = (format!("{folder}/a"), format!("{folder}/seven"));
    there_and_back(&machine, &[&one, &seven]);
    let below = machine.path("back").join(folder.trim_start_matches('/'));
    assert_eq!(files_below(&below), ["a/one", "a/two", "seven"]);
    assert_eq!(files_below(&machine.path("back")).len(), 3);
    let explain =
        ["explain", "--archive", "out/a.tar", &format!("{}/a/one", folder.trim_start_matches('/'))];
    assert!(machine.hashget(&explain).expect(0).stdout.contains("the archive holds it"));
}

#[test]
fn one_file_is_packed_and_one_folder_is_packed_as_ever() {
    let machine = machine();
    there_and_back(&machine, &["home/seven"]);
    assert_eq!(files_below(&machine.path("back")), ["home/seven"]);
    there_and_back(&machine, &["home/b/c"]);
    assert_eq!(files_below(&machine.path("back")), ["d/four", "three"]);
    let pack = [&["pack", "home/seven", "home/a", "--json"], &OPTIONS[..]].concat();
    let record = machine.hashget(&pack).expect(0).last_record();
    assert_eq!(record["paths"], serde_json::json!(["home/seven", "home/a"]));
    let version = [&["pack", "home/seven", "--manifest-version", "1"], &OPTIONS[..]].concat();
    machine.hashget(&version).expect(0);
    fs_err::remove_dir_all(machine.path("back")).unwrap();
    machine.hashget(&["unpack", "out/a.tar", "-C", "back"]).expect(0);
    assert_eq!(files_below(&machine.path("back")), ["home/seven"]);
}

#[test]
fn what_cannot_be_packed_together_is_refused_and_no_archive_is_written() {
    let machine = machine();
    symlink("b", machine.path("home/way")).unwrap();
    let etc = machine.path("home/a").to_str().unwrap().to_owned();
    for (paths, code, told) in [
        (&["home/a", "home/a/"][..], 2, "home/a would be in the archive twice"),
        (&["home/a/one", "home/a"], 2, "only one of them"),
        (&["home/a", "."], 2, "all of the other paths"),
        (&["home/a", "home/../home/seven"], 2, "\"..\""),
        (&["home/a", &etc], 2, "absolute"),
        (&["home/way/c", "home/a"], 2, "symbolic link"),
        (&["home/way/", "home/a"], 2, "symbolic link"),
        (&["home/a", "home/none"], 1, "home/none"),
        (&["home/seven/"], 1, "home/seven"),
        (&["home/a", "out/a.tar"], 1, "out/a.tar"),
    ] {
        let ended = machine.hashget(&[&["pack"], paths, &OPTIONS].concat());
        assert!(ended.stderr.contains(told), "{paths:?}: {}", ended.stderr);
        assert_eq!(ended.code, code, "{paths:?}: {}", ended.stderr);
        assert!(!machine.path("out/a.tar").exists(), "{paths:?}");
    }
    machine.write("out/a.tar", "an older one");
    let itself = [&["pack", "home/a", "out/a.tar"], &OPTIONS[..]].concat();
    machine.hashget(&itself).expect(2).says(&["the archive itself"]);
    // Beside what is packed, it is not in the archive.
    there_and_back(&machine, &["home/a", "out"]);
    assert_eq!(files_below(&machine.path("back")), ["home/a/one", "home/a/two"]);
}

#[test]
fn patterns_are_for_the_paths_in_the_archive() {
    let machine = machine();
    let excluded = ["--exclude", "./home/b/c/d", "--exclude", "one"];
    let told = there_and_back(&machine, &[&["home/a", "home/b/c"][..], &excluded].concat());
    assert_eq!(files_below(&machine.path("back")), ["home/a/two", "home/b/c/three"]);
    assert!(!told.contains("note:"), "{told}");
    // A mark on a folder above says nothing about what was given.
    machine.write("home/.nobackup", "");
    let marked =
        ["home/a", "home/seven", "--exclude-if-present", ".nobackup", "--exclude", "seven"];
    let told = there_and_back(&machine, &marked);
    assert_eq!(files_below(&machine.path("back")), ["home/a/one", "home/a/two"]);
    assert!(told.contains("home/seven: was to be packed"), "{told}");
}

#[test]
fn names_of_one_file_stay_so_and_the_scan_cache_knows_which_paths_it_is_of() {
    let machine = machine();
    fs_err::hard_link(machine.path("home/a/one"), machine.path("home/b/c/also")).unwrap();
    for _ in 0..2 {
        there_and_back(&machine, &["home/a", "home/b/c"]);
        let inode = |path: &str| fs_err::metadata(machine.path(path)).unwrap().ino();
        assert_eq!(inode("back/home/a/one"), inode("back/home/b/c/also"));
        there_and_back(&machine, &["home/a"]);
    }
    assert_eq!(files_below(&machine.path("back")), ["one", "two"]);
}
