//! What is not part of a backup, because the user does not want it.
//!
//! Invariant: every option means the same to pack and to explain, and a pattern that excludes nothing is named.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use std::os::unix::fs::symlink;

use support::{Machine, files_below};

/// Files of the tree that come back, packed with these options.
#[track_caller]
fn kept(machine: &Machine, options: &[&str]) -> (Vec<String>, String) {
    let pack = ["pack", "tree", "-f", "a.tar", "--detect", "none", "--no-index"];
    let ended = machine.hashget(&[&pack, options].concat()).expect(0);
    machine.hashget(&["unpack", "a.tar", "-C", "back"]).expect(0);
    let files = files_below(&machine.path("back"));
    fs_err::remove_dir_all(machine.path("back")).unwrap();
    (files, ended.stderr)
}

fn machine() -> Machine {
    let machine = Machine::new();
    for file in ["a", "sub/b", "sub/c.log", "tmp/d", "build/.nobackup", "build/e", "build/f/g"] {
        machine.write(&format!("tree/{file}"), file);
    }
    machine.write("tree/large", vec![b'x'; 5000]);
    machine
}

#[test]
fn patterns_of_a_file_are_patterns() {
    let machine = machine();
    machine.write("list", "# not these\n\n*.log\ntmp\n./build/e\n");
    let (files, told) = kept(&machine, &["--exclude-from", "list"]);
    assert_eq!(files, ["a", "build/.nobackup", "build/f/g", "large", "sub/b"]);
    assert!(!told.contains("note:"), "{told}");
    let pack = ["pack", "tree", "-f", "b.tar", "--exclude-from"];
    machine.hashget(&[&pack[..], &["none"]].concat()).expect(1).says(&["none"]);
    machine.write("bad", "a[\n");
    machine.hashget(&[&pack[..], &["bad"]].concat()).expect(2).says(&["bad pattern", "a["]);
    machine.write("binary", b"\xff\n");
    machine.hashget(&[&pack[..], &["binary"]].concat()).expect(2).says(&["UTF-8"]);
    assert!(!machine.path("b.tar").exists());
}

#[test]
fn a_file_of_a_name_excludes_what_is_beside_it() {
    let machine = machine();
    let option = ["--exclude-if-present", ".nobackup"];
    let (files, _) = kept(&machine, &option);
    assert_eq!(files, ["a", "build/.nobackup", "large", "sub/b", "sub/c.log", "tmp/d"]);
    let explained =
        machine.hashget(&[&["explain", "--tree", "tree", "tree/build/e"], &option[..]].concat());
    let stdout = explained.expect(0).stdout;
    assert!(stdout.contains("excluded") && stdout.contains("--exclude-if-present"), "{stdout}");
    let wrong = ["pack", "tree", "-n", "--exclude-if-present", "a/b"];
    machine.hashget(&wrong).expect(2).says(&["without a /"]);
}

#[test]
fn larger_files_can_be_excluded() {
    let machine = machine();
    let (files, _) = kept(&machine, &["--exclude-larger-than", "4999"]);
    assert!(!files.contains(&"large".to_owned()) && files.len() == 7, "{files:?}");
    let (files, _) = kept(&machine, &["--exclude-larger-than", "5000"]);
    assert_eq!(files.len(), 8, "{files:?}");
    for tree in [&["--tree", "tree"][..], &[]] {
        let explain = ["explain", "tree/large", "--exclude-larger-than", "1K"];
        let stdout = machine.hashget(&[&explain, tree].concat()).expect(0).stdout;
        assert!(stdout.contains("excluded") && stdout.contains("too large"), "{stdout}");
    }
}

#[test]
fn a_path_through_a_link_excludes_what_it_names() {
    let machine = machine();
    symlink("tree", machine.path("link")).unwrap();
    symlink("tmp", machine.path("tree/way")).unwrap();
    for pattern in ["link/tmp", "link/way/", "link/way/d", "tree/way/*", "link/t*p"] {
        let pattern =
            format!("{}/{pattern}", machine.path("").to_str().unwrap().trim_end_matches('/'));
        for tree in ["tree", "link"] {
            let pack = ["pack", tree, "-f", "a.tar", "--exclude", &pattern];
            let ended = machine.hashget(&pack).expect(0);
            assert!(!ended.stderr.contains("note:"), "{pattern}: {}", ended.stderr);
            machine.hashget(&["unpack", "a.tar", "-C", "back"]).expect(0);
            assert!(!machine.path("back/tmp/d").exists(), "{pattern} of {tree}");
            assert!(machine.path("back/a").exists());
            fs_err::remove_dir_all(machine.path("back")).unwrap();
        }
    }
    let within = ["--exclude", "./way/d"];
    assert!(!kept(&machine, &within).0.contains(&"tmp/d".to_owned()));
}

#[test]
fn a_pattern_that_excludes_nothing_is_named() {
    let machine = machine();
    let options = ["--exclude", "*.log", "--exclude", "'/srv/x/*'", "--exclude-optional", "none"];
    let (_, told) = kept(&machine, &options);
    let notes: Vec<&str> = told.lines().filter(|line| line.starts_with("note:")).collect();
    assert!(matches!(notes[..], [note] if note.contains("'/srv/x/*'")), "{told}");
}

#[test]
fn a_slash_too_many_changes_no_path() {
    let machine = machine();
    let folder = machine.path("");
    let folder = folder.to_str().unwrap().trim_end_matches('/');
    for (tree, pattern) in
        [("/tree", "/tree/tmp"), ("//tree", "//tree/tmp"), ("/./tree", "/tree//tmp")]
    {
        let (tree, pattern) = (format!("{folder}{tree}"), format!("{folder}{pattern}"));
        machine.hashget(&["pack", &tree, "-f", "a.tar", "--exclude", &pattern]).expect(0);
        machine.hashget(&["unpack", "a.tar", "-C", "back"]).expect(0);
        assert!(!machine.path("back/tmp/d").exists() && machine.path("back/a").exists(), "{tree}");
        fs_err::remove_dir_all(machine.path("back")).unwrap();
    }
}

/// The candidates that are found in the tree.
fn candidates(machine: &Machine, options: &[&str]) -> Vec<String> {
    let index = ["index", "--tree", "tree", "--offline", "--json"];
    let ended = machine.hashget(&[&index, options].concat());
    let records = ended.records().into_iter().filter(|record| record["type"] == "candidate");
    records.map(|record| record["found_at"].as_str().unwrap().to_owned()).collect()
}

/// A machine with hints in two folders of its tree.
fn with_hints() -> Machine {
    let machine = Machine::new();
    for folder in ["one", "two"] {
        let hint = format!(r#"{{"url": "https://files.example/{folder}.tar"}}"#);
        machine.write(&format!("tree/{folder}/hashget-hint.json"), hint);
    }
    machine
}

#[test]
fn what_is_excluded_is_not_searched_for_packages() {
    let machine = with_hints();
    let [one, two] = ["one", "two"].map(|folder| format!("{folder}/hashget-hint.json"));
    assert_eq!(candidates(&machine, &[]), [one.clone(), two.clone()]);
    assert_eq!(candidates(&machine, &["--exclude", "tree/one"]), [one.clone(), two.clone()]);
    assert_eq!(candidates(&machine, &["--exclude", "./one"]), std::slice::from_ref(&two));
    assert_eq!(candidates(&machine, &["--exclude", "one", "--exclude", "*.json"]), [""; 0]);
    machine.write("config.toml", "exclude = [\"two\"]\n");
    assert_eq!(candidates(&machine, &["--config", "config.toml"]), [one]);
    machine.hashget(&["index", "--exclude", "x", "https://files.example/a"]).expect(2);
}

#[test]
fn a_detector_can_be_left_out() {
    let machine = with_hints();
    for names in ["-hint", "all,-hint", "hint,-hint", "none", "cargo,debian"] {
        assert_eq!(candidates(&machine, &["--detect", names]), [""; 0], "{names}");
    }
    for names in ["all", "hint", "-cargo", "all,-debian"] {
        assert_eq!(candidates(&machine, &["--detect", names]).len(), 2, "{names}");
    }
    let unknown = ["index", "--tree", "tree", "--detect", "all,-hints"];
    machine.hashget(&unknown).expect(2).says(&["-hints", "choose from"]);
    machine.write("config.toml", "detect = [\"-hint\"]\n");
    let configured = ["--config", "config.toml"];
    assert_eq!(candidates(&machine, &configured), [""; 0]);
    assert_eq!(candidates(&machine, &[&configured[..], &["--detect", "all"]].concat()).len(), 2);
    machine.write("config.toml", "detect = [\"hints\"]\n");
    let pack = ["pack", "tree", "-f", "a.tar", "--config", "config.toml"];
    machine.hashget(&pack).expect(2).says(&["detect in the configuration", "hints"]);
}
