//! The archive's file: bad names show before the work, and what is replaced keeps its owner and mode.
//!
//! Invariant: nothing is read of the tree if there is nowhere to write.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use hashget_testkit::trees::is_root;
use support::{Ended, Machine};

fn machine() -> Machine {
    let machine = Machine::new();
    machine.write("tree/a", "a");
    machine
}

fn mode(path: &Path) -> u32 {
    fs_err::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn a_name_that_no_file_can_get_shows_before_the_work() {
    let machine = machine();
    fs_err::create_dir(machine.path("folder.tar")).unwrap();
    machine.write("file", "");
    let long = format!("{}.tar", "n".repeat(252));
    let names =
        [(&*long, 1), ("folder.tar", 2), ("none/a.tar", 1), ("file/a.tar", 1), ("new.tar/", 1)];
    for (name, code) in names {
        let pack = ["pack", "tree", "-f", name, "--json"];
        let ended = machine.hashget(&pack).expect(code);
        let read = ended.records().iter().any(|record| record["type"] == "progress");
        assert!(!read, "{name}: {}", ended.stdout);
        assert!(ended.stderr.contains(name.trim_end_matches('/')), "{}", ended.stderr);
        if name != "folder.tar" {
            let prepare = ["prepare", "tree", "-X", name, "--for", "tar"];
            machine.hashget(&prepare).expect(1);
            assert!(!machine.path("tree/.hashget-restore.json").exists(), "{name}");
            machine.hashget(&["report", "tree", "-o", name]).expect(1);
        }
    }
    let longest = format!("{}.tar", "n".repeat(251));
    machine.hashget(&["pack", "tree", "-f", &longest]).expect(0);
    assert!(machine.path(&longest).exists());
}

#[test]
fn an_archive_that_is_replaced_keeps_its_mode() {
    let machine = machine();
    let archive = machine.path("a.tar");
    let pack = ["pack", "tree", "-f", "a.tar"];
    machine.hashget(&pack).expect(0);
    if is_root() {
        assert_eq!(mode(&archive), 0o600, "what only root could read is for root");
    }
    for kept in [0o600, 0o640, 0o444] {
        fs_err::set_permissions(&archive, std::fs::Permissions::from_mode(kept)).unwrap();
        let before = fs_err::metadata(&archive).unwrap().ino();
        machine.hashget(&pack).expect(0);
        assert_eq!(mode(&archive), kept);
        assert_ne!(fs_err::metadata(&archive).unwrap().ino(), before, "it was replaced");
    }
    let list = machine.write("list", "");
    fs_err::set_permissions(&list, std::fs::Permissions::from_mode(0o600)).unwrap();
    machine.hashget(&["prepare", "tree", "-X", "list", "--for", "tar"]).expect(0);
    assert_eq!(mode(&list), 0o600);
}

#[test]
fn a_link_stays_and_what_it_leads_to_is_written() {
    let machine = machine();
    symlink("elsewhere.tar", machine.path("link.tar")).unwrap();
    for _ in 0..2 {
        machine.hashget(&["pack", "tree", "-f", "link.tar"]).expect(0);
        assert!(fs_err::symlink_metadata(machine.path("link.tar")).unwrap().is_symlink());
        assert!(machine.path("elsewhere.tar").is_file());
    }
    symlink("/dev/null", machine.path("nothing")).unwrap();
    machine.hashget(&["prepare", "tree", "-X", "nothing", "--for", "tar"]).expect(0);
    machine.hashget(&["report", "tree", "-o", "nothing"]).expect(0);
    let device = fs_err::metadata(machine.path("nothing")).unwrap();
    assert!(device.file_type().is_char_device());
}

#[test]
fn standard_output_in_the_tree_is_not_part_of_it() {
    let machine = machine();
    let file = fs_err::File::create(machine.path("tree/own.tar")).unwrap();
    let pack = ["pack", "tree", "-f", "-", "--format", "tar"];
    let child = machine.start(&pack, |command| {
        command.stdout(file.into_parts().0);
    });
    Ended::wait(child).expect(0);
    let mut tar = std::process::Command::new("tar");
    let listed = tar.arg("-tf").arg(machine.path("tree/own.tar")).output().unwrap();
    let names = String::from_utf8(listed.stdout).unwrap();
    assert!(names.lines().any(|name| name.ends_with('a')), "{names}");
    assert!(!names.contains("own.tar"), "{names}");
}

#[test]
fn a_report_that_cannot_be_printed_leaves_the_archive_and_its_code() {
    let machine = machine();
    let full = fs_err::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let child = machine.start(&["pack", "tree", "-f", "a.tar", "--json", "-q"], |command| {
        command.stdout(full.into_parts().0);
    });
    Ended::wait(child).expect(0).says(&["warning:", "archive was written"]);
    machine.hashget(&["unpack", "a.tar", "-C", "back"]).expect(0);
}

#[test]
fn a_standard_output_that_is_closed_takes_no_result() {
    let machine = machine();
    machine.hashget(&["pack", "tree", "-f", "a.tar", "--detect", "none"]).expect(0);
    let run = |words: &str, redirection: &str| {
        let line = format!("exec {} {words} {redirection}", env!("CARGO_BIN_EXE_hashget"));
        let mut shell = machine.bare_program("sh");
        Ended::of(shell.envs(machine.variables()).args(["-c", &line]))
    };
    let results =
        ["pack tree -f - --format tar --detect none", "db export -o -", "report a.tar -o -"];
    for words in results {
        run(words, ">&-").expect(2).says(&["standard output is closed"]);
        run(words, ">/dev/null").expect(0);
    }
    // What is only said needs no place.
    run("db list", ">&-").expect(0);
}
