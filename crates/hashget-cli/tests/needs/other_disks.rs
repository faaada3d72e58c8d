//! Restoring onto other file systems than the tree came from, and onto several at once.
//!
//! Invariant: "Proven" is printed only if everything that was to be restored is on the disk.

use hashget_testkit::nth_call::{Failing, Kind, Supervisor};
use hashget_testkit::small_disk::SmallDisk;
use hashget_testkit::trees;

use crate::support::{Machine, files_below};

/// A machine with an archive of a tree with attributes, and a file system that keeps none.
fn machine() -> (Machine, SmallDisk) {
    let machine = Machine::new();
    let files = ["a", "b"].map(|name| machine.write(&format!("tree/{name}"), name));
    for file in &files {
        assert!(trees::xattr(file, "user.note", b"a note"));
    }
    machine.hashget(&["pack", "tree", "-f", "a.tar", "--detect", "none"]).expect(0);
    fs_err::create_dir(machine.path("disk")).unwrap();
    let disk = SmallDisk::without_attributes(&machine.path("disk")).unwrap();
    (machine, disk)
}

pub(crate) fn what_a_file_system_does_not_keep_is_named_and_not_proven() {
    let (machine, _disk) = machine();
    let lost = "extended attribute not restored for 2 entries: ";
    let ended = machine.hashget(&["unpack", "a.tar", "-C", "disk/back"]).expect(3);
    assert!(!ended.stderr.contains("roven"), "{}", ended.stderr);
    let ended = ended.says(&[lost, "Incomplete: not everything is as it was packed"]);
    assert_eq!(ended.stderr.matches("extended attribute").count(), 1, "{}", ended.stderr);
    assert_eq!(files_below(&machine.path("disk/back")), [".hashget-restore.json", "a", "b"]);
    // Once more: it is not better, and said again; with -q, too.
    let ended = machine.hashget(&["restore", "disk/back", "-q"]).expect(3).says(&[lost]);
    assert!(!ended.stderr.contains("roven"), "{}", ended.stderr);
    let ended = machine.hashget(&["restore", "disk/back", "--json"]).expect(3);
    let records = ended.records();
    let is_loss = |record: &serde_json::Value| {
        record["type"] == "problem"
            && record["kind"] == "incomplete"
            && record["message"].as_str().unwrap().starts_with(lost)
    };
    assert!(records.iter().any(is_loss), "{}", ended.stdout);
    let summary = ended.last_record();
    assert_eq!(summary["not_applied"]["extended attribute"], 2, "{summary}");
    assert!(summary["proven"].is_null(), "{summary}");
}

pub(crate) fn what_is_not_to_be_restored_is_said_and_no_failure() {
    let (machine, _disk) = machine();
    let unpack = ["unpack", "a.tar", "-C", "disk/back", "--no-xattrs"];
    let ended = machine.hashget(&unpack).expect(0);
    ended.says(&["Proven, except what was not to be restored: extended attribute (2 entries)"]);
    assert_eq!(files_below(&machine.path("disk/back")), ["a", "b"]);
}

pub(crate) fn what_lies_on_mounts_below_the_target_is_synced() {
    let machine = Machine::new();
    machine.write("tree/boot/kernel", "k");
    machine.write("tree/a", "a");
    machine.hashget(&["pack", "tree", "-f", "a.tar", "--detect", "none"]).expect(0);
    let supervisor = Supervisor::build().unwrap();
    for (command, archive) in [("unpack", Some("a.tar")), ("restore", None)] {
        let back = machine.path(command);
        fs_err::create_dir_all(back.join("boot")).unwrap();
        let disk = SmallDisk::mount(&back.join("boot"), 1 << 20).unwrap();
        if archive.is_none() {
            let tar = std::process::Command::new("tar")
                .arg("-xpf")
                .arg(machine.path("a.tar"))
                .arg("-C")
                .arg(&back)
                .status();
            assert!(tar.unwrap().success());
        }
        let syncs = Failing { kind: Kind::Sync, nth: 0, error: 0 };
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_hashget"));
        let mut run = supervisor.command(syncs, &back.join("boot"), program);
        run.env("HASHGET_DB", machine.path("db")).env("HASHGET_CACHE", machine.path("cache"));
        run.env("HASHGET_CONFIG", "/dev/null").current_dir(machine.path("."));
        match archive {
            Some(archive) => run.args([command, archive, "-C", command]),
            None => run.args([command, command]),
        };
        let ended = supervisor.run(&mut run);
        assert!(ended.output.status.success(), "{:?}", ended.output);
        assert!(ended.calls >= 1, "{command}: {:?}", ended.output);
        assert!(!back.join(".hashget-restore.json").exists());
        drop(disk);
    }
}

pub(crate) fn what_cannot_be_a_hard_link_is_a_file_of_its_own_and_named() {
    let machine = Machine::new();
    let file = machine.write("tree/a", "contents");
    assert!(trees::xattr(&file, "user.note", b"a note"));
    fs_err::create_dir(machine.path("tree/boot")).unwrap();
    fs_err::hard_link(&file, machine.path("tree/boot/b")).unwrap();
    machine.hashget(&["pack", "tree", "-f", "a.tar", "--detect", "none"]).expect(0);
    fs_err::create_dir_all(machine.path("back/boot")).unwrap();
    let _disk = SmallDisk::mount(&machine.path("back/boot"), 1 << 20).unwrap();
    let lost = "hard link not restored for 1 entry: ";
    for command in [&["unpack", "a.tar", "-C", "back"][..], &["restore", "back"]] {
        let ended = machine.hashget(command).expect(3).says(&[lost, "Incomplete: not everything"]);
        assert!(!ended.stderr.contains("roven"), "{}", ended.stderr);
        assert_eq!(fs_err::read(machine.path("back/boot/b")).unwrap(), b"contents");
        let of = |name: &str| fs_err::metadata(machine.path(name)).unwrap().modified().unwrap();
        assert_eq!(of("back/a"), of("back/boot/b"));
    }
}

pub(crate) fn metadata_that_a_file_system_refuses_costs_no_contents() {
    const EPERM: i32 = 1;
    let machine = Machine::new();
    let file = machine.write("tree/a", "contents");
    trees::mode(&file, 0o4711);
    assert!(trees::xattr(&machine.write("tree/folder/b", "too"), "user.note", b"a note"));
    trees::symlink(&machine.path("tree"), "link", "a");
    machine.hashget(&["pack", "tree", "-f", "a.tar", "--detect", "none"]).expect(0);
    let packed = trees::snapshot(&machine.path("tree"));
    let supervisor = Supervisor::build().unwrap();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_hashget"));
    let mut refused = 0;
    for nth in 1.. {
        let back = machine.path("back");
        let failing = Failing { kind: Kind::Metadata, nth, error: EPERM };
        let mut run = supervisor.command(failing, &back, program);
        run.env("HASHGET_DB", machine.path("db")).env("HASHGET_CACHE", machine.path("cache"));
        run.env("HASHGET_CONFIG", "/dev/null").current_dir(machine.path("."));
        let ended = supervisor.run(run.args(["unpack", "a.tar", "-C", "back"]));
        let Some(failed) = ended.failed else { break };
        let what = format!("{failed}: {:?}", ended.output);
        assert_eq!(fs_err::read(back.join("a")).unwrap(), b"contents", "{what}");
        assert_eq!(fs_err::read(back.join("folder/b")).unwrap(), b"too", "{what}");
        assert_eq!(fs_err::read_link(back.join("link")).unwrap().as_os_str(), "a", "{what}");
        match ended.output.status.code() {
            Some(3) => refused += 1,
            code => {
                assert_eq!(code, Some(0), "{what}");
                let found = trees::snapshot(&back);
                assert_eq!(trees::differences(&packed, &found), Vec::<String>::new(), "{what}");
            }
        }
        fs_err::remove_dir_all(&back).unwrap();
    }
    assert!(refused >= 5, "{refused}");
}

pub(crate) fn a_list_that_does_not_fit_leaves_the_old_one_and_no_manifest() {
    let machine = Machine::new();
    let mut package = hashget_testkit::packages::TarBuilder::new();
    for number in 0..3000 {
        let (name, text) = (format!("usr/lib/deep/file-number-{number}"), format!("{number} text"));
        machine.write(&format!("tree/{name}"), &text);
        package = package.file(&name, text.as_bytes());
    }
    machine.write("p.tar", package.finish());
    let index = ["index", "--file", "p.tar", "http://packages.example/p.tar"];
    machine.hashget(&index).expect(0);
    fs_err::create_dir(machine.path("small")).unwrap();
    let _disk = SmallDisk::mount(&machine.path("small"), 64 * 1024).unwrap();
    machine.write("small/list", "the list of yesterday");
    let prepare = ["prepare", "tree", "-X", "small/list", "--for", "tar", "--no-index"];
    let prepare = [&prepare[..], &["--max-fetch-ratio", "1000"]].concat();
    machine.hashget(&prepare).expect(1).says(&["small/list", "space"]);
    assert_eq!(fs_err::read(machine.path("small/list")).unwrap(), b"the list of yesterday");
    assert_eq!(files_below(&machine.path("small")), ["list"]);
    assert!(!machine.path("tree/.hashget-restore.json").exists());
}

pub(crate) fn what_is_mounted_in_a_stray_folder_stays() {
    let machine = Machine::new();
    machine.write("tree/a/b", "b");
    machine.hashget(&["pack", "tree", "-f", "a.tar", "--detect", "none"]).expect(0);
    machine.write("back/stray/file", "mine");
    machine.write("back/other/file", "mine");
    machine.write("outside/file", "not yours");
    for name in ["back/stray/disk", "back/stray/bound", "back/a"] {
        fs_err::create_dir_all(machine.path(name)).unwrap();
    }
    let disk = SmallDisk::mount(&machine.path("back/stray/disk"), 1 << 20).unwrap();
    machine.write("back/stray/disk/file", "not yours");
    let unpack = ["unpack", "a.tar", "-C", "back", "--delete"];
    let ended = machine.hashget(&unpack).expect(3);
    ended.says(&["stray: not removed: another file system is mounted at stray/disk"]);
    let left = ["a/b", "stray/disk/file", "stray/file"];
    assert_eq!(files_below(&machine.path("back")), left);
    drop(disk);
    // The same device as everything else.
    let bound = machine.path("back/stray/bound");
    let bind = |program: &str, arguments: &[&std::ffi::OsStr]| {
        std::process::Command::new(program).args(arguments).status().unwrap().success()
    };
    let outside = machine.path("outside");
    assert!(bind("mount", &["--bind".as_ref(), outside.as_ref(), bound.as_ref()]));
    let ended = machine.hashget(&unpack);
    let is_there = machine.path("outside/file").exists();
    assert!(bind("umount", &[bound.as_ref()]) && is_there);
    ended.expect(3).says(&["another file system is mounted at stray/bound"]);
    machine.hashget(&unpack).expect(0).says(&["Proven: the folder is exactly"]);
    assert_eq!(files_below(&machine.path("back")), ["a/b"]);
}
