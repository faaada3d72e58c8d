//! `changed` beside `rpm -V`, in a tree that the real rpm laid down from a package of the real rpmbuild.
//!
//! Invariant: each change is made in the tree alone, but for the one that also changes what rpm's database says.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{CWD, Timespec, Timestamps, utimensat};

use crate::support::{Ended, Machine};
use crate::system::set_mode;

const SPEC: &str = r#"
Name: sample
Version: 1.2
Release: 3
Summary: s
License: MIT
BuildArch: noarch
%define __os_install_post %{nil}
%description
d
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/usr/lib/sample/empty %{buildroot}/usr/share/doc/sample %{buildroot}/etc %{buildroot}/var
for name in bit longer hidden suid owner group removed moved time kept; do
    echo "$name" "$(seq 1 100)" > %{buildroot}/usr/lib/sample/$name
done
echo "WHAT IS HIDDEN" >> %{buildroot}/usr/lib/sample/hidden
ln -s ../lib/sample/kept %{buildroot}/usr/bin/other-target
ln -s ../lib/sample/kept %{buildroot}/usr/bin/file-now
echo a > %{buildroot}/etc/edited.conf
echo b > %{buildroot}/etc/removed.conf
echo c > %{buildroot}/etc/optional.conf
echo d > %{buildroot}/usr/lib/sample/defaults
echo e > %{buildroot}/usr/share/doc/sample/readme
touch %{buildroot}/var/ghost
find %{buildroot} -exec touch -h -d @1700000000 {} +
%files
%dir /usr/lib/sample
/usr/lib/sample/empty
/usr/lib/sample/[bghklmorst]*
/usr/bin/*
%config /usr/lib/sample/defaults
%config /etc/edited.conf
%config /etc/removed.conf
%config(missingok) /etc/optional.conf
%doc /usr/share/doc/sample/readme
%ghost /var/ghost
"#;

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The package, in a folder of this name; with another file `hidden` in place of its own.
fn build(machine: &Machine, folder: &str, hidden: &str) -> PathBuf {
    let spec = machine.write(&format!("{folder}/s.spec"), SPEC.replace("WHAT IS HIDDEN", hidden));
    let top = format!("_topdir {}", machine.path(folder).display());
    run(Command::new("rpmbuild").args(["--define", &top, "-bb"]).arg(spec));
    machine.path(&format!("{folder}/RPMS/noarch/sample-1.2-3.noarch.rpm"))
}

fn rpm(root: &Path) -> Command {
    let mut command = Command::new("rpm");
    command.arg("--root").arg(root).args(["--dbpath", "/var/lib/rpm", "--nosignature"]);
    command.env("LC_ALL", "C");
    command
}

/// Lays it down without its documentation; or lets only the database know of it.
fn install(root: &Path, package: &Path, options: &[&str]) {
    let mut command = rpm(root);
    command.args(["--nodeps", "--ignoreos", "--excludedocs", "-i"]);
    run(command.args(options).arg(package));
}

/// What `rpm -V` says: paths, each with the letters that it has for it.
fn verified(root: &Path) -> BTreeMap<String, String> {
    let output = rpm(root).args(["-V", "--nodeps", "sample"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |line: &str| {
        let (letters, rest) = line.split_once(' ').unwrap();
        let letters = letters.replace('.', "");
        (rest[rest.find('/').unwrap() + 1..].to_owned(), letters)
    };
    text.lines().map(line).collect()
}

/// What `changed` says: the same, with its own words.
fn told(ended: &Ended) -> BTreeMap<String, String> {
    let records = ended.records();
    let changed = records.iter().filter(|record| record["type"] == "changed");
    let told = changed.map(|record| {
        let aspects = record["aspects"].as_array().unwrap().iter();
        let aspects = aspects.map(|one| one.as_str().unwrap()).collect::<Vec<_>>().join(" ");
        let is_missing = record["change"] == "missing";
        let what = if is_missing { "missing".to_owned() } else { aspects };
        (record["path"].as_str().unwrap().to_owned(), what)
    });
    told.collect()
}

/// Other contents, with the times as before.
fn overwrite(path: &Path, contents: &str) {
    let before = fs_err::metadata(path).unwrap();
    fs_err::write(path, contents).unwrap();
    set_time(path, before.mtime());
}

fn set_time(path: &Path, seconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, rustix::fs::AtFlags::empty()).unwrap();
}

/// One change of each kind, in the tree alone.
fn tamper(machine: &Machine, root: &Path) {
    let file = |name: &str| root.join("usr/lib/sample").join(name);
    let text = |name: &str| fs_err::read_to_string(file(name)).unwrap();
    overwrite(&file("bit"), &text("bit").replace("77", "76"));
    overwrite(&file("longer"), &(text("longer") + "more\n"));
    set_mode(machine, "root/usr/lib/sample/suid", 0o4755);
    chown(file("owner"), Some(1000), None).unwrap();
    chown(file("group"), None, Some(1000)).unwrap();
    fs_err::remove_file(file("removed")).unwrap();
    fs_err::remove_dir(file("empty")).unwrap();
    fs_err::rename(file("moved"), root.join("moved")).unwrap();
    symlink("/moved", file("moved")).unwrap();
    for (link, is_file) in [("other-target", false), ("file-now", true)] {
        let link = root.join("usr/bin").join(link);
        fs_err::remove_file(&link).unwrap();
        if is_file {
            fs_err::copy(file("kept"), &link).unwrap();
        } else {
            symlink("../lib/sample/bit", &link).unwrap();
        }
    }
    fs_err::write(file("defaults"), "mine\n").unwrap();
    machine.write("root/etc/edited.conf", "mine\n");
    fs_err::remove_file(root.join("etc/removed.conf")).unwrap();
    set_time(&file("time"), 1_800_000_000);
}

pub(crate) fn changed_tells_what_rpm_does_and_what_its_database_hides() {
    let machine = Machine::new();
    let package = build(&machine, "built", "as it was built");
    let root = machine.path("root");
    machine.write("root/etc/os-release", "ID=own\nVERSION_ID=41\n");
    install(&root, &package, &[]);
    assert!(!root.join("usr/share/doc/sample/readme").exists(), "rpm left it out");
    let name = package.display().to_string();
    let url = "https://packages.example/sample-1.2-3.noarch.rpm";
    let signature = "rpm:sample-1.2-3.noarch";
    machine.hashget(&["index", "--file", &name, "--signature", signature, url]).expect(0);

    // As it was installed; what rpm left out, and what may be missing, is no change.
    fs_err::remove_file(root.join("etc/optional.conf")).unwrap();
    assert_eq!(verified(&root), BTreeMap::new());
    let ended = machine.hashget(&["--json", "changed", "root"]).expect(0);
    assert_eq!(told(&ended), BTreeMap::new());
    assert_eq!(ended.last_record()["wanted"]["unwanted"], 2);

    // Whoever can write to the tree can write to the database as well.
    let other = build(&machine, "again", "by somebody else");
    install(&root, &other, &["--justdb", "--replacepkgs", "--force"]);
    let file = |name: &str| root.join("usr/lib/sample").join(name);
    let text = |name: &str| fs_err::read_to_string(file(name)).unwrap();
    overwrite(&file("hidden"), &text("hidden").replace("as it was built", "by somebody else"));

    tamper(&machine, &root);

    // Path, rpm's letters, ours. What rpm does not tell is "", and what is told of no file by us as well.
    let expected = [
        ("usr/lib/sample/hidden", "", "contents"),
        ("usr/lib/sample/bit", "5", "contents"),
        ("usr/lib/sample/longer", "S5", "contents"),
        ("usr/lib/sample/suid", "M", "mode"),
        ("usr/lib/sample/owner", "U", "owner"),
        ("usr/lib/sample/group", "G", "owner"),
        ("usr/lib/sample/removed", "missing", "missing"),
        ("usr/lib/sample/empty", "missing", "missing"),
        ("usr/lib/sample/moved", "L", "type"),
        ("usr/bin/other-target", "L", "target"),
        ("usr/bin/file-now", "SM5T", "type"),
        ("usr/lib/sample/defaults", "S5T", "contents"),
        ("etc/edited.conf", "S5T", "contents"),
        ("etc/removed.conf", "missing", "missing"),
        ("usr/lib/sample/time", "T", ""),
        // The other entry in the database does not say that it was left out.
        ("usr/share/doc/sample/readme", "missing", "missing"),
    ];
    let ended = machine.hashget(&["--json", "changed", "root"]).expect(4);
    let (ours, theirs) = (told(&ended), verified(&root));
    let said =
        |list: &BTreeMap<String, String>, path: &str| list.get(path).cloned().unwrap_or_default();
    for (path, by_rpm, by_us) in expected {
        let found = (said(&theirs, path), said(&ours, path));
        assert_eq!(found, (by_rpm.to_owned(), by_us.to_owned()), "{path}");
    }
    let is_expected = |path: &&String| expected.iter().any(|(known, ..)| known == path);
    let besides: Vec<_> = ours.keys().chain(theirs.keys()).filter(|it| !is_expected(it)).collect();
    assert_eq!(besides, [""; 0]);
    assert_eq!(ended.last_record()["configuration"], 3);
}
