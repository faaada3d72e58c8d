//! Other file systems that are mounted in a tree: which are packed, and what is said of those that are not.
//!
//! Invariant: a mount with files that is not packed is named, and ends with 3 unless the user asked for one file system.

use std::process::Command;

use hashget_testkit::odd_folder::{OddFolder, file};
use hashget_testkit::small_disk::SmallDisk;

use crate::support::{Ended, Machine, files_below};

/// A mount that ends with the test.
struct Proc(std::path::PathBuf);

impl Proc {
    fn mount(at: std::path::PathBuf) -> Self {
        fs_err::create_dir_all(&at).unwrap();
        let mounted = Command::new("mount").args(["-t", "proc", "proc"]).arg(&at).status();
        assert!(mounted.unwrap().success());
        Self(at)
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(&self.0).status());
    }
}

fn pack(machine: &Machine, options: &[&str], code: i32) -> (Vec<String>, Ended) {
    let pack = ["pack", "tree", "-f", "a.tar", "--detect", "none", "--no-index"];
    let ended = machine.hashget(&[&pack, options].concat()).expect(code);
    machine.hashget(&["unpack", "a.tar", "-C", "back"]).expect(0);
    let files = files_below(&machine.path("back"));
    fs_err::remove_dir_all(machine.path("back")).unwrap();
    (files, ended)
}

pub(crate) fn those_of_this_machine_are_packed_and_the_kernels_are_not() {
    let machine = Machine::new();
    machine.write("tree/own", "");
    fs_err::create_dir_all(machine.path("tree/home")).unwrap();
    fs_err::create_dir_all(machine.path("tree/empty")).unwrap();
    let _home = SmallDisk::mount(&machine.path("tree/home"), 1 << 20).unwrap();
    let _empty = SmallDisk::mount(&machine.path("tree/empty"), 1 << 20).unwrap();
    let _proc = Proc::mount(machine.path("tree/proc"));
    machine.write("tree/home/user/letter", "");
    let (files, ended) = pack(&machine, &["--local-file-systems"], 0);
    assert_eq!(files, ["home/user/letter", "own"]);
    assert!(!ended.stderr.contains("note:"), "{}", ended.stderr);
    // The user asked for it: it is named all the same, apart from what has no files.
    let (files, ended) = pack(&machine, &["--local-file-systems", "--one-file-system"], 0);
    assert_eq!(files, ["own"]);
    let notes: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with("note:")).collect();
    assert!(matches!(notes[..], [note] if note.contains("home: ")), "{}", ended.stderr);
    ended.says(&["Skipped empty: another file system", "Skipped proc: another file system"]);
}

pub(crate) fn what_a_program_supplies_is_not_packed_and_the_backup_is_incomplete() {
    let machine = Machine::new();
    machine.write("tree/own", "");
    fs_err::create_dir_all(machine.path("tree/share")).unwrap();
    let _share = OddFolder::mount(&machine.path("tree/share"), &[file("a", b"a")]).unwrap();
    let (files, ended) = pack(&machine, &["--local-file-systems"], 3);
    assert_eq!(files, ["own"]);
    ended.says(&["warning: share: ", "not in the backup"]);
    pack(&machine, &["--local-file-systems", "--exclude", "./share"], 0);
    let (files, _) = pack(&machine, &["--no-scan-cache"], 0);
    assert_eq!(files, ["own", "share/a"]);
    let explain = ["explain", "--tree", "tree", "--local-file-systems", "tree/share/a"];
    let answer = machine.hashget(&explain).says(&[]).stdout;
    assert!(answer.contains("another file system"), "{answer}");
}

pub(crate) fn packages_are_searched_for_where_the_user_wants() {
    let machine = Machine::new();
    let hint = r#"{"url": "https://files.example/a.tar"}"#;
    machine.write("tree/own/hashget-hint.json", hint);
    fs_err::create_dir_all(machine.path("tree/mounted")).unwrap();
    let _mounted = SmallDisk::mount(&machine.path("tree/mounted"), 1 << 20).unwrap();
    machine.write("tree/mounted/hashget-hint.json", hint.replace("a.tar", "b.tar"));
    let proc = Proc::mount(machine.path("tree/proc"));
    let found = |options: &[&str]| {
        let index = ["index", "--tree", "tree", "--offline", "--json", "--detect", "hint"];
        let records = machine.hashget(&[&index, options].concat()).records();
        // The kernel's files would be counted.
        assert!(!records.iter().any(|record| record.to_string().contains("proc/")), "{records:?}");
        records.iter().filter(|record| record["type"] == "candidate").count()
    };
    assert_eq!((found(&[]), found(&["--one-file-system"])), (2, 1));
    drop(proc);
}
