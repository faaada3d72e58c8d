//! Jobs that read their sources from a snapshot.
//!
//! Invariant: the archive has the paths and the contents of the moment at which the snapshot was made, and none is left behind.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use hashget_testkit::small_disk::SmallDisk;

use crate::support::{Machine, files_below};

/// A machine with a job `web` of these lines.
fn configure(machine: &Machine, source: &Path, lines: &str) {
    fs_err::create_dir_all(machine.path("out")).unwrap();
    let source = source.display();
    let table = format!(
        "[backup.web]\nsources = [\"{source}\"]\nto = [\"out\"]\nhost = \"h\"\noptions = [\"--detect\", \"none\"]\n{lines}\n"
    );
    machine.write("own-config.toml", table);
}

fn run(program: &str, arguments: &[&Path]) {
    let ended = Command::new(program).args(arguments).output().unwrap();
    assert!(ended.status.success(), "{program}: {}", String::from_utf8_lossy(&ended.stderr));
}

pub(crate) fn a_job_reads_a_snapshot_of_btrfs_and_removes_it() {
    let machine = Machine::new();
    let disk = machine.path("disk");
    fs_err::create_dir(&disk).unwrap();
    let _disk = SmallDisk::image(&disk, &machine.path("image"), 400 << 20, ("mkfs.btrfs", &["-q"]));
    let volume = disk.join("volume");
    run("btrfs", &["subvolume".as_ref(), "create".as_ref(), &volume]);
    let tree = volume.join("srv/web");
    fs_err::create_dir_all(&tree).unwrap();
    for number in 0..50 {
        fs_err::write(tree.join(format!("{number}")), format!("file {number}\n").repeat(100))
            .unwrap();
    }
    fs_err::write(tree.join("changing"), "of before\n").unwrap();
    // What changes the file while the archive is made: a stream is taken when the snapshot is there.
    let change = format!("echo of after > {}; echo stream", tree.join("changing").display());
    let lines = format!(
        "snapshot = \"btrfs\"\nstreams = {{ stream = '{change}' }}\nexclude = [\"{}\"]",
        tree.join("7").display()
    );
    configure(&machine, &tree, &lines);
    let snapshot = volume.join(".hashget-snapshot-web");
    // One that a killed run has left.
    run("btrfs", &["subvolume".as_ref(), "snapshot".as_ref(), "-r".as_ref(), &volume, &snapshot]);
    machine.hashget(&["backup"]).expect(0);
    assert!(!snapshot.exists());
    machine.hashget(&["backup", "restore", "web", "-C", "back"]).expect(0).says(&["Proven"]);
    let read = |name: &str| fs_err::read_to_string(machine.path("back").join(name)).unwrap();
    assert_eq!((read("changing"), read("stream")), ("of before\n".into(), "stream\n".into()));
    assert!(!machine.path("back/7").exists() && machine.path("back/8").exists());
    assert_eq!(fs_err::read_to_string(tree.join("changing")).unwrap(), "of after\n");
    // A command that fails leaves none either; nor does a folder that is in the way.
    let config = fs_err::read_to_string(machine.path("own-config.toml")).unwrap();
    machine.write("own-config.toml", config.replace("echo stream", "exit 3"));
    machine.hashget(&["backup"]).expect(1).says(&["no archive was made"]);
    assert!(!snapshot.exists());
    fs_err::create_dir(&snapshot).unwrap();
    machine.hashget(&["backup"]).expect(2).says(&["is in the way"]);
}

pub(crate) fn unchanged_files_of_a_snapshot_are_not_read_again() {
    let machine = Machine::new();
    let disk = machine.path("disk");
    fs_err::create_dir(&disk).unwrap();
    let _disk = SmallDisk::image(&disk, &machine.path("image"), 400 << 20, ("mkfs.btrfs", &["-q"]));
    let tree = disk.join("tree");
    fs_err::create_dir(&tree).unwrap();
    for number in 0..50 {
        fs_err::write(tree.join(format!("{number}")), format!("file {number}\n").repeat(100))
            .unwrap();
    }
    configure(&machine, &tree, "snapshot = \"btrfs\"");
    let cached = || {
        let files = files_below(&machine.path("cache/scan"));
        let [file] = &files[..] else { panic!("{files:?}") };
        fs_err::read(machine.path("cache/scan").join(file)).unwrap()
    };
    // It believes times that have been settled for a while: 71 seconds, usually.
    std::thread::sleep(std::time::Duration::from_secs(80));
    machine.hashget(&["backup"]).expect(0);
    let first = cached();
    machine.hashget(&["backup"]).expect(0);
    // The second scan knew each file, and wrote no line for another device.
    assert!(first.len() > 50 * 48 && cached() == first, "{}", first.len());
}

/// A program that writes down how it was called, and then does what `more` says.
fn fake(folder: &Path, name: &str, log: &Path, more: &str) {
    let path = folder.join(name);
    let text = format!("#!/bin/sh\necho {name} \"$@\" >> {}\n{more}\n", log.display());
    fs_err::write(&path, text).unwrap();
    fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

pub(crate) fn a_logical_volume_is_snapshotted_mounted_and_given_back() {
    let machine = Machine::new();
    machine.write("tree/live", "live\n");
    let (programs, log) = (machine.path("programs"), machine.path("log"));
    fs_err::create_dir(&programs).unwrap();
    // What is asked for a snapshot says that a killed run has left one.
    fake(&programs, "lvs", &log, "case \"$*\" in *noheadings*) echo '  vg/srv/';; esac");
    fake(&programs, "lvremove", &log, "");
    fake(&programs, "lvcreate", &log, "");
    fake(&programs, "mountpoint", &log, "exit 1");
    fake(&programs, "umount", &log, "");
    // The tree, as it is in the snapshot: at the same path below the place where it is mounted.
    let tree = fs_err::canonicalize(machine.path("tree")).unwrap();
    let shown = format!("mkdir -p \"$4\"{0}; echo snapshot > \"$4\"{0}/live", tree.display());
    fake(&programs, "mount", &log, &shown);
    configure(&machine, &tree, "snapshot = \"lvm\"");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let ended = crate::support::Ended::of(
        machine.bare().envs(machine.variables()).env("PATH", &path).args(["backup"]),
    );
    ended.expect(0);
    machine.hashget(&["backup", "restore", "web", "-C", "back"]).expect(0);
    assert_eq!(fs_err::read_to_string(machine.path("back/live")).unwrap(), "snapshot\n");
    let log = fs_err::read_to_string(log).unwrap();
    let lines: Vec<&str> = log.lines().map(|line| line.split(" -").next().unwrap()).collect();
    let expected = ["lvs", "mountpoint", "lvs vg/hashget-web", "lvremove", "lvcreate", "mount"];
    assert_eq!(lines[..6], expected, "{log}");
    assert!(lines[6].starts_with("umount") && lines[7] == "lvremove" && lines.len() == 8, "{log}");
}

pub(crate) fn what_cannot_have_a_snapshot_is_an_error_before_anything_is_packed() {
    let machine = Machine::new();
    machine.write("tree/live", "live\n");
    configure(&machine, &machine.path("tree"), "snapshot = \"zfs\"");
    machine.hashget(&["backup"]).expect(2).says(&["cannot have a snapshot", "of the kind"]);
    assert_eq!(files_below(&machine.path("out")), [""; 0]);
}
