//! Flags of the file system (`chattr`).
//!
//! Invariant: the flag "no dump" excludes only if the user wants it to; all flags that are kept come back, or are named.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hashget_testkit::origin::Origin;
use hashget_testkit::packages::TarBuilder;
use hashget_testkit::small_disk::SmallDisk;
use hashget_testkit::trees::{self, differences, snapshot};
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

use crate::support::{Machine, files_below};

pub(crate) fn what_is_not_to_be_dumped_is_excluded_on_request() {
    let machine = Machine::new();
    for file in ["a", "b", "c/d", "e/f"] {
        machine.write(&format!("tree/{file}"), file);
    }
    for marked in ["tree/b", "tree/e"] {
        assert!(
            Command::new("chattr").arg("+d").arg(machine.path(marked)).status().unwrap().success()
        );
    }
    let kept = |options: &[&str]| {
        let pack = ["pack", "tree", "-f", "a.tar", "--detect", "none", "--no-index"];
        machine.hashget(&[&pack, options].concat()).expect(0);
        machine.hashget(&["unpack", "a.tar", "-C", "back"]).expect(0);
        let files = files_below(&machine.path("back"));
        fs_err::remove_dir_all(machine.path("back")).unwrap();
        files
    };
    assert_eq!(kept(&[]), ["a", "b", "c/d", "e/f"]);
    assert_eq!(kept(&["--respect-nodump"]), ["a", "c/d"]);
    for tree in [&["--tree", "tree"][..], &[]] {
        let explain = ["explain", "tree/b", "--respect-nodump"];
        let stdout = machine.hashget(&[&explain, tree].concat()).expect(0).stdout;
        assert!(stdout.contains("no dump"), "{stdout}");
    }
}

/// A folder whose files may be protected: they can be removed when it is dropped.
struct Unprotected(PathBuf);

impl Drop for Unprotected {
    fn drop(&mut self) {
        let mut lift = Command::new("chattr");
        lift.args(["-R", "-f", "-i", "-a", "-d"]).arg(&self.0).stderr(Stdio::null());
        drop(lift.status());
    }
}

fn chattr(change: &str, path: &Path) {
    assert!(Command::new("chattr").arg(change).arg(path).status().unwrap().success());
}

/// The flags of each entry that has any, by its path below `top`.
fn flags(top: &Path) -> Vec<(String, &'static str)> {
    let mut found = Vec::new();
    let mut paths = vec![top.to_owned()];
    while let Some(path) = paths.pop() {
        let how = AtFlags::SYMLINK_NOFOLLOW;
        let set = statx(CWD, &path, how, StatxFlags::BASIC_STATS).unwrap().stx_attributes;
        let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
        for (flag, text) in [
            (StatxAttributes::APPEND, "a"),
            (StatxAttributes::IMMUTABLE, "i"),
            (StatxAttributes::NODUMP, "d"),
        ] {
            if set.contains(flag) {
                found.push((name.clone(), text));
            }
        }
        if path.symlink_metadata().unwrap().is_dir() {
            paths.extend(fs_err::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found.sort();
    found
}

/// A machine with a tree that has flags everywhere, and a package that has some of its files; what must stay until the end.
fn flagged(origin: &Origin) -> (Machine, Vec<Unprotected>) {
    let machine = Machine::new();
    let text = |number: u32| format!("file {number} of a package\n").repeat(300);
    let mut package = TarBuilder::new();
    for number in 0..6 {
        package = package.file(&format!("p/{number}"), text(number).as_bytes());
        machine.write(&format!("tree/p/{number}"), text(number));
    }
    origin.serve("/p.tar", package.finish());
    machine.hashget(&["index", &origin.url("/p.tar")]).expect(0);
    let guards = vec![Unprotected(machine.path("tree")), Unprotected(machine.path("back"))];
    let tree = machine.path("tree");
    for file in ["own/fixed", "own/log", "closed/inside", "passed over/inside", "plain"] {
        machine.write(&format!("tree/{file}"), file);
    }
    trees::hard_link(&tree, "own/linked", &tree.join("own/fixed"));
    trees::mode(&tree.join("plain"), 0o400);
    for (change, path) in [
        ("+i", "p/1"),
        ("+ad", "p/4"),
        ("+i", "own/fixed"),
        ("+a", "own/log"),
        ("+i", "closed/inside"),
        ("+i", "closed"),
        ("+d", "passed over"),
        ("+a", ""),
    ] {
        chattr(change, &tree.join(path));
    }
    machine.hashget(&["pack", "tree", "-f", "a.tar.zst", "--detect", "none"]).expect(0);
    (machine, guards)
}

#[track_caller]
fn assert_as_packed(machine: &Machine) {
    let (tree, back) = (machine.path("tree"), machine.path("back"));
    assert_eq!(flags(&back), flags(&tree));
    assert_eq!(differences(&snapshot(&tree), &snapshot(&back)), Vec::<String>::new());
}

pub(crate) fn flags_are_set_when_all_else_is_done() {
    let origin = Origin::start();
    let (machine, _guards) = flagged(&origin);
    assert_eq!(flags(&machine.path("tree")).len(), 10);
    let unpack = ["unpack", "a.tar.zst", "-C", "back"];
    machine.hashget(&unpack).expect(0).says(&["Proven: the folder is exactly what was packed"]);
    assert_as_packed(&machine);
    let against = ["verify", "a.tar.zst", "--against", "back"];
    machine.hashget(&against).expect(0);
    chattr("-i", &machine.path("back/p/1"));
    machine.hashget(&against).expect(4).says(&["p/1 (attributes)"]);
}

pub(crate) fn flags_come_back_by_tar_and_restore() {
    let origin = Origin::start();
    let (machine, _guards) = flagged(&origin);
    fs_err::create_dir(machine.path("back")).unwrap();
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(machine.path("back")).arg("-xf").arg(machine.path("a.tar.zst"));
    assert!(tar.status().unwrap().success());
    machine.hashget(&["restore", "back"]).expect(0).says(&["Proven: the folder is exactly"]);
    assert_as_packed(&machine);
}

pub(crate) fn flags_that_cannot_be_set_are_named() {
    let origin = Origin::start();
    let (machine, _guards) = flagged(&origin);
    fs_err::create_dir(machine.path("back")).unwrap();
    let disk = SmallDisk::without_attributes(&machine.path("back")).unwrap();
    let unpack = ["unpack", "a.tar.zst", "-C", "back"];
    let ended = machine.hashget(&unpack).expect(3).says(&["flag not restored for 8 entries"]);
    assert!(!ended.stderr.contains("Proven"), "{}", ended.stderr);
    drop(disk);
    let unpack = ["unpack", "a.tar.zst", "-C", "back", "--no-xattrs"];
    machine.hashget(&unpack).expect(0).says(&["Proven, except", "flag (8 entries)"]);
    assert_eq!(flags(&machine.path("back")), []);
}

pub(crate) fn what_is_protected_in_place_is_not_replaced_and_named() {
    let origin = Origin::start();
    let (machine, _guards) = flagged(&origin);
    machine.hashget(&["unpack", "a.tar.zst", "-C", "back"]).expect(0);
    chattr("-a", &machine.path("back"));
    let overwrite = ["unpack", "a.tar.zst", "-C", "back", "--overwrite", "changed", "--delete"];
    machine.hashget(&overwrite).expect(0).says(&["Proven: the folder is exactly"]);
    assert_as_packed(&machine);
    chattr("-a", &machine.path("back"));
    chattr("-i", &machine.path("back/p/1"));
    fs_err::write(machine.path("back/p/1"), "of the administrator").unwrap();
    chattr("+i", &machine.path("back/p/1"));
    machine.hashget(&overwrite).expect(3).says(&["p/1: operation not permitted"]);
    assert_eq!(fs_err::read_to_string(machine.path("back/p/1")).unwrap(), "of the administrator");
}
