//! Restoring into a folder that is in use: what is replaced, what stays, what goes, and that nothing else is touched.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::process::Child;

use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::TarBuilder;
use hashget_testkit::trees::{self, differences, snapshot};
use support::{Machine, files_below};

/// When the archive's files were modified.
const PACKED: i64 = 1_700_000_000;

/// A machine with an archive of files of its own and files of a package, some of them linked.
fn machine(origin: &Origin) -> Machine {
    let machine = Machine::new();
    let (a, b) = ("a of lib\n".repeat(3000), "b of lib\n".repeat(3000));
    let tar = TarBuilder::new().file("x/a", a.as_bytes()).file("x/b", b.as_bytes()).finish();
    origin.serve("/lib.tar", tar);
    let tree = machine.path("tree");
    for (name, text) in [("lib/a", &*a), ("lib/b", &*b), ("own/a", "own a"), ("own/b", "own b")] {
        trees::file(&tree, name, text);
    }
    symlink("a", tree.join("own/symlink")).unwrap();
    fs_err::hard_link(tree.join("own/a"), tree.join("own/link")).unwrap();
    for name in ["lib/a", "lib/b", "own/a", "own/b", "lib", "own", "."] {
        trees::mtime(&tree.join(name), PACKED, 5);
    }
    machine.hashget(&["index", &origin.url("/lib.tar")]).expect(0);
    machine.hashget(&["pack", "tree", "-f", "a.tar.zst"]).expect(0);
    machine
}

fn text(machine: &Machine, name: &str) -> String {
    fs_err::read_to_string(machine.path(name)).unwrap()
}

/// Puts something into the target, modified so many seconds after the archive's.
fn put(machine: &Machine, name: &str, text: &str, later: i64) {
    let path = trees::file(&machine.path("back"), name, text);
    trees::mtime(&path, PACKED + later, 5);
}

#[track_caller]
fn assert_as_packed(machine: &Machine) {
    let differences =
        differences(&snapshot(&machine.path("tree")), &snapshot(&machine.path("back")));
    assert_eq!(differences, Vec::<String>::new());
}

#[test]
fn each_rule_replaces_what_it_says() {
    let origin = Origin::start();
    let machine = machine(&origin);
    // In the archive and from the package; the user's own are older, newer, and right.
    for (rule, older, newer, left) in [
        ("always", true, true, 0),
        ("changed", true, true, 0),
        ("older", true, false, 2),
        ("never", false, false, 4),
    ] {
        drop(fs_err::remove_dir_all(machine.path("back")));
        for (name, later) in [("own/a", -1), ("own/b", 1), ("lib/a", -1), ("lib/b", 1)] {
            put(&machine, name, "mine", later);
        }
        let command = ["unpack", "a.tar.zst", "-C", "back", "--overwrite", rule, "--json"];
        let record = machine.hashget(&command).expect(if rule == "never" { 3 } else { 0 });
        let record = record.last_record();
        for (name, replaced) in
            [("own/a", older), ("own/b", newer), ("lib/a", older), ("lib/b", newer)]
        {
            let is_mine = text(&machine, &format!("back/{name}")) == "mine";
            assert_eq!(is_mine, !replaced, "{rule}: {name}");
        }
        assert_eq!(record["left"], left, "{rule}");
        assert_eq!(record["proven"], if left == 0 { true.into() } else { serde_json::Value::Null });
        if left == 0 {
            assert_as_packed(&machine);
        }
    }
}

#[test]
fn what_stays_is_named_and_nothing_is_called_proven() {
    let origin = Origin::start();
    let machine = machine(&origin);
    put(&machine, "own/b", "mine", 0);
    put(&machine, "lib/b", "mine", 9);
    let command = ["unpack", "a.tar.zst", "-C", "back", "--overwrite", "never"];
    let ended = machine.hashget(&command).expect(0).says(&[
        "2 entries were there before and not as packed, and stayed so: lib/b and own/b",
        "Not all as it was packed: 2 entries stayed as before, by --overwrite",
    ]);
    assert!(!ended.stderr.to_lowercase().contains("proven"), "{}", ended.stderr);
    assert!(!machine.path("back/.hashget-restore.json").exists(), "nothing is left to be done");
    // What is there is right: that is a proof, and nothing was touched.
    fs_err::remove_dir_all(machine.path("back")).unwrap();
    machine.hashget(&["unpack", "a.tar.zst", "-C", "back"]).expect(0);
    let before = snapshot(&machine.path("back"));
    let inode = |name: &str| fs_err::metadata(machine.path(name)).unwrap().ino();
    let inodes = ["back/own/a", "back/own/b", "back/lib/b"].map(inode);
    for rule in ["never", "older", "changed"] {
        let command = ["unpack", "a.tar.zst", "-C", "back", "--overwrite", rule];
        machine.hashget(&command).expect(0).says(&["Proven: the folder is exactly"]);
        assert_eq!(differences(&before, &snapshot(&machine.path("back"))), Vec::<String>::new());
        assert_eq!(["back/own/a", "back/own/b", "back/lib/b"].map(inode), inodes, "{rule}");
    }
    let command = ["unpack", "a.tar.zst", "-C", "back", "--overwrite", "always"];
    machine.hashget(&command).expect(0).says(&["Proven: the folder is exactly"]);
    // Each is another file than before; of those that are gone, another one may have the number.
    let now = ["back/own/a", "back/own/b", "back/lib/b"].map(inode);
    assert!(now.iter().zip(&inodes).all(|(now, before)| now != before), "{inodes:?} {now:?}");
}

#[test]
fn other_metadata_is_a_change() {
    let origin = Origin::start();
    let machine = machine(&origin);
    for rule in ["always", "changed"] {
        machine.hashget(&["unpack", "a.tar.zst", "-C", "back"]).expect(0);
        trees::mode(&machine.path("back/own/b"), 0o600);
        trees::mtime(&machine.path("back/lib/b"), PACKED + 7, 0);
        let command = ["unpack", "a.tar.zst", "-C", "back", "--overwrite", rule];
        machine.hashget(&command).expect(0).says(&["Proven: the folder is exactly"]);
        assert_as_packed(&machine);
    }
}

#[test]
fn what_is_of_another_kind_stays_unless_it_is_to_be_deleted() {
    let origin = Origin::start();
    let machine = machine(&origin);
    put(&machine, "own/b/inside", "mine", 0);
    put(&machine, "lib", "mine", 0);
    let before = snapshot(&machine.path("back/own/b"));
    for rule in ["always", "changed", "older", "never"] {
        let command = ["unpack", "a.tar.zst", "-C", "back", "--overwrite", rule];
        machine.hashget(&command).expect(3).says(&[
            "own/b: a folder is in the place of what is no folder: only --delete removes it",
            "lib/: something that is no folder is in the place of this folder: only --delete removes it",
        ]);
        assert_eq!(
            differences(&before, &snapshot(&machine.path("back/own/b"))),
            Vec::<String>::new()
        );
        assert_eq!(text(&machine, "back/lib"), "mine");
    }
    let command = ["unpack", "a.tar.zst", "-C", "back", "--delete"];
    machine.hashget(&command).expect(0).says(&["Proven: the folder is exactly"]);
    assert_as_packed(&machine);
}

#[test]
fn what_cannot_be_placed_is_said_and_counted_once() {
    let machine = Machine::new();
    let file = machine.write("tree/file", "contents");
    trees::symlink(&machine.path("tree"), "symbolic", "file");
    fs_err::hard_link(&file, machine.path("tree/further")).unwrap();
    for format in ["a.tar", "a.tar.zst"] {
        machine.hashget(&["pack", "tree", "-f", format, "--detect", "none"]).expect(0);
        for name in ["symbolic", "file"] {
            machine.write(&format!("back/{name}/inside"), "mine");
        }
        let command = ["unpack", format, "-C", "back", "--overwrite", "always"];
        let ended = machine.hashget(&command).expect(3);
        for said in [
            "warning: symbolic: a folder is in the place",
            "warning: file: a folder is in the place",
            "warning: further: what it is another name of is not restored",
            "Incomplete: 3 entries are missing",
        ] {
            assert_eq!(ended.stderr.matches(said).count(), 1, "{said}: {}", ended.stderr);
        }
        fs_err::remove_dir_all(machine.path("back")).unwrap();
    }
}

#[test]
fn what_the_archive_does_not_have_is_removed_and_named() {
    let origin = Origin::start();
    let machine = machine(&origin);
    for name in ["own/old", "gone/deep/file", "lib/old folder/x", "top"] {
        put(&machine, name, "mine", 0);
    }
    fs_err::create_dir(machine.path("back/closed")).unwrap();
    put(&machine, "closed/x", "mine", 0);
    trees::mode(&machine.path("back/closed"), 0o000);
    // Not while anything is missing.
    origin.always("/lib.tar", Fault::Status(404));
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    let command = ["unpack", "a.tar.zst", "-C", "back", "--delete"];
    let not = ["nothing is removed, since not everything is restored"];
    machine.hashget(&command).expect(5).says(&not);
    assert_eq!(text(&machine, "back/gone/deep/file"), "mine");
    origin.heal("/lib.tar");
    let restore = ["restore", "back", "--delete", "--json"];
    let ended = machine.hashget(&restore).expect(0);
    let records = ended.records();
    let removed = records.iter().filter(|record| record["type"] == "removed");
    let removed: Vec<&str> = removed.map(|record| record["path"].as_str().unwrap()).collect();
    assert_eq!(removed, ["closed", "gone", "lib/old folder", "own/old", "top"]);
    assert_eq!(ended.last_record()["removed"], 5);
    assert_as_packed(&machine);
    put(&machine, "own/old", "mine", 0);
    machine.hashget(&command).expect(0).says(&[
        "Removed 1 entry not part of the archive: own/old",
        "Proven: the folder is exactly what was packed",
    ]);
}

#[test]
fn links_that_lead_outside_are_not_followed() {
    let origin = Origin::start();
    let machine = machine(&origin);
    machine.write("outside/a", "not yours");
    machine.write("outside/keep", "not yours");
    let outside = snapshot(&machine.path("outside"));
    let options: [&[&str]; 4] = [
        &["--overwrite", "always"],
        &["--overwrite", "never"],
        &["--overwrite", "older"],
        &["--delete"],
    ];
    for options in options {
        drop(fs_err::remove_dir_all(machine.path("back")));
        fs_err::create_dir_all(machine.path("back/own")).unwrap();
        symlink("../outside", machine.path("back/lib")).unwrap();
        symlink("../../outside/a", machine.path("back/own/a")).unwrap();
        symlink("../../outside", machine.path("back/own/stray")).unwrap();
        let command = [&["unpack", "a.tar.zst", "-C", "back"][..], options].concat();
        machine.hashget(&command).expect(if options[0] == "--delete" { 0 } else { 3 });
        let found = snapshot(&machine.path("outside"));
        assert_eq!(differences(&outside, &found), Vec::<String>::new(), "{options:?}");
    }
    assert_as_packed(&machine);
}

#[test]
fn beside_a_part_only_what_lies_in_chosen_folders_goes() {
    let origin = Origin::start();
    let machine = machine(&origin);
    machine.hashget(&["unpack", "a.tar.zst", "-C", "back"]).expect(0);
    for name in ["own/old", "own/old.bak", "lib/old", "top"] {
        put(&machine, name, "mine", 0);
    }
    let part = ["unpack", "a.tar.zst", "-C", "back", "--delete", "./own", "--exclude", "*.bak"];
    machine.hashget(&part).expect(0).says(&["Removed 1 entry not part of the archive: own/old"]);
    let mut expected = files_below(&machine.path("tree"));
    expected.extend(["own/old.bak", "lib/old", "top"].map(str::to_owned));
    expected.sort();
    assert_eq!(files_below(&machine.path("back")), expected);
    // Single files are no folders.
    let part = ["unpack", "a.tar.zst", "-C", "back", "--delete", "own/a", "ol*"];
    machine.hashget(&part).expect(3);
    assert_eq!(files_below(&machine.path("back")), expected);
    let part = ["unpack", "a.tar.zst", "-C", "back", "--delete", "--strip-components", "1"];
    machine.hashget(&part).expect(2).says(&["--delete does not go with --strip-components"]);
    machine.hashget(&["unpack", "a.tar.zst", "--to-stdout", "--delete"]).expect(2);
}

/// What a dry run says, a line each.
fn planned(machine: &Machine, arguments: &[&str], code: i32) -> Vec<String> {
    let ended = machine.hashget(&[arguments, &["-n"]].concat()).expect(code);
    ended.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn a_dry_run_says_what_is_lacking_and_what_is_there() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let all = ["unpack", "a.tar.zst", "-C", "back"];
    let made = planned(&machine, &all, 0);
    assert_eq!(made.len(), 9, "{made:?}");
    assert!(made.iter().all(|line| line.starts_with("make ")), "{made:?}");
    assert!(!machine.path("back").exists());
    machine.hashget(&all).expect(0);
    assert_eq!(planned(&machine, &all, 0), Vec::<String>::new());
    let always = [&all[..], &["--overwrite", "always"]].concat();
    assert_eq!(planned(&machine, &always, 0).len(), 6);
}

/// A restored folder in which much is changed.
fn changed_folder(machine: &Machine) -> std::path::PathBuf {
    machine.hashget(&["unpack", "a.tar.zst", "-C", "back"]).expect(0);
    let back = machine.path("back");
    for (name, later) in [("own/a", -1), ("lib/b", 1), ("stray/deep/x", 0), ("lib/old", 0)] {
        fs_err::remove_file(back.join(name)).ok();
        put(machine, name, "mine", later);
    }
    fs_err::remove_file(back.join("own/b")).unwrap();
    put(machine, "own/b/inside", "mine", 0);
    trees::mode(&back.join("lib/a"), 0o600);
    trees::mtime(&back.join("own"), PACKED, 5);
    trees::mtime(&back.join("lib"), PACKED, 5);
    trees::mtime(&back, PACKED, 5);
    back
}

#[test]
fn a_dry_run_says_what_each_rule_does_and_changes_nothing() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let (all, back) = (["unpack", "a.tar.zst", "-C", "back"], changed_folder(&machine));
    let before = snapshot(&back);
    for (options, code, expected) in [
        (
            &["--overwrite", "changed"][..],
            3,
            &[
                "metadata lib/a",
                "replace lib/b",
                "replace own/a",
                "blocked own/b",
                "replace own/link",
            ][..],
        ),
        (
            &["--overwrite", "older"],
            3,
            &["leave lib/a", "leave lib/b", "replace own/a", "blocked own/b", "leave own/link"],
        ),
        (
            &["--overwrite", "never"],
            3,
            &["leave lib/a", "leave lib/b", "leave own/a", "blocked own/b", "leave own/link"],
        ),
        (
            &["--delete"],
            0,
            &[
                "metadata lib/a",
                "replace lib/b",
                "remove lib/old",
                "replace own/a",
                "remove own/b",
                "make own/b",
                "replace own/link",
                "remove stray",
            ],
        ),
    ] {
        let arguments = [&all[..], options].concat();
        assert_eq!(planned(&machine, &arguments, code), expected, "{options:?}");
        assert_eq!(differences(&before, &snapshot(&back)), Vec::<String>::new());
    }
}

#[test]
fn a_dry_run_counts_and_the_real_run_does_it() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let (all, back) = (["unpack", "a.tar.zst", "-C", "back"], changed_folder(&machine));
    let before = snapshot(&back);
    // A part, and as records.
    let part = [&all[..], &["./lib", "--delete", "-n", "--json"]].concat();
    let ended = machine.hashget(&part).expect(0);
    let records = ended.records();
    let planned = records.iter().filter(|record| record["type"] == "planned");
    let paths: Vec<&str> = planned.map(|record| record["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["lib/a", "lib/b", "lib/old"]);
    let sums = ended.last_record();
    assert_eq!(
        (&sums["dry_run"], &sums["replace"], &sums["remove"]),
        (&true.into(), &1.into(), &1.into())
    );
    assert_eq!(differences(&before, &snapshot(&back)), Vec::<String>::new());
    let ended = machine.hashget(&[&all[..], &["--delete", "-n"]].concat()).expect(0);
    ended.says(&[
        "Dry run, nothing was changed in back: 1 made, 3 replaced, 1 given other metadata, 3 removed, ",
    ]);
    machine.hashget(&[&all[..], &["--delete"]].concat()).expect(0).says(&["Proven: "]);
    assert_eq!(planned_paths(&machine), Vec::<String>::new());
}

/// What a dry run of a complete restore would still do.
fn planned_paths(machine: &Machine) -> Vec<String> {
    planned(machine, &["unpack", "a.tar.zst", "-C", "back", "--delete"], 0)
}

#[test]
fn a_dry_run_of_restore_says_what_is_lacking() {
    let origin = Origin::start();
    let machine = machine(&origin);
    fs_err::create_dir(machine.path("back")).unwrap();
    let tar = std::process::Command::new("tar")
        .current_dir(machine.path("."))
        .args(["-xpf", "a.tar.zst", "-C", "back"])
        .status();
    assert!(tar.unwrap().success());
    let before = snapshot(&machine.path("back"));
    let lines = planned(&machine, &["restore", "back"], 0);
    assert!(lines.contains(&"make lib/a".to_owned()), "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains("own/")), "{lines:?}");
    assert_eq!(differences(&before, &snapshot(&machine.path("back"))), Vec::<String>::new());
    origin.always("/lib.tar", Fault::Status(404));
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    machine.hashget(&["restore", "back", "-n"]).expect(5).says(&["would lack", "would be missing"]);
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/frozen/v1.tar.gz");
    let old = ["unpack", frozen.to_str().unwrap(), "-C", "old", "-n"];
    machine.hashget(&old).expect(2).says(&["an archive of version 1"]);
    assert!(!machine.path("old").exists());
}

/// Starts the program and kills it after so many milliseconds; was it done before?
fn kill(machine: &Machine, arguments: &[&str], milliseconds: u64) -> bool {
    let mut child: Child = machine.start(arguments, |_| ());
    std::thread::sleep(std::time::Duration::from_millis(milliseconds));
    child.kill().unwrap();
    child.wait().unwrap().success()
}

#[test]
fn a_killed_restore_leaves_each_file_old_or_new() {
    let machine = Machine::new();
    let contents = |word: &str, number: u32| format!("{word} {number}\n").repeat(20_000);
    let name = |number: u32| format!("{number:02}");
    for number in 0..40 {
        trees::file(&machine.path("tree"), name(number), contents("new", number));
    }
    machine.hashget(&["pack", "tree", "-f", "a.tar", "--detect", "none"]).expect(0);
    let unpack = ["unpack", "a.tar", "-C", "back", "--overwrite", "changed", "--delete"];
    for round in 0..6 {
        for number in 0..40 {
            trees::file(&machine.path("back"), name(number), contents("old", number));
        }
        put(&machine, "stray", "mine", 0);
        let was_done = kill(&machine, &unpack, 5 + 23 * round);
        for number in 0..40 {
            let found = text(&machine, &format!("back/{}", name(number)));
            let whole = [contents("old", number), contents("new", number)];
            assert!(whole.contains(&found), "round {round}: {number} is neither old nor new");
        }
        assert!(
            was_done || machine.path("back/stray").exists() || whole_tree(&machine.path("back"))
        );
        machine.hashget(&unpack).expect(0).says(&["Proven: the folder is exactly"]);
        assert_as_packed(&machine);
    }
}

/// Are all files new?
fn whole_tree(back: &Path) -> bool {
    (0..40).all(|number: u32| {
        fs_err::read_to_string(back.join(format!("{number:02}"))).unwrap().starts_with("new")
    })
}
