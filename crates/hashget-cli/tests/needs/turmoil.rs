//! Archives of trees that change all the time: each comes back, and what is not as it ever was is named.
//!
//! Invariant: whether contents existed is known from what changed them, not from reading the tree again.
//! `HASHGET_TEST_TURMOIL` is how many seconds each file system is tried for (`fuzz/turmoil.sh`).

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use hashget_testkit::origin::Origin;
use hashget_testkit::packages::TarBuilder;
use hashget_testkit::small_disk::SmallDisk;
use hashget_testkit::trees;
use hashget_testkit::turmoil::{ATTRIBUTE, MODES, OWNERS, Turmoil, is_attribute};
use rustix::fs::lgetxattr;
use sha2::{Digest as _, Sha256};

use crate::support::{Ended, Machine};

/// Ways to pack, one after the other. Where an archive has frames, those of the last one of its name are used again.
const WAYS: [&[&str]; 4] = [
    &["a.tar"],
    &["b.tar.zst", "--reuse", "b.tar.zst"],
    &["c.tar.gz", "--no-scan-cache", "--hashes", "all"],
    &["d.tar.zst", "--jobs", "4"],
];

pub(crate) fn every_archive_of_a_tree_in_turmoil_comes_back_on_ext4() {
    on("mkfs.ext4", &["-q"]);
}

pub(crate) fn every_archive_of_a_tree_in_turmoil_comes_back_on_xfs() {
    on("mkfs.xfs", &["-q"]);
}

pub(crate) fn every_archive_of_a_tree_in_turmoil_comes_back_on_btrfs() {
    on("mkfs.btrfs", &["-q"]);
}

fn on(program: &str, options: &[&str]) {
    let seconds = std::env::var("HASHGET_TEST_TURMOIL").map_or(3, |text| text.parse().unwrap());
    let (machine, origin) = (Machine::new(), Origin::start());
    let disk = machine.path("disk");
    fs_err::create_dir(&disk).unwrap();
    let _disk = SmallDisk::image(&disk, &machine.path("image"), 600 << 20, (program, options));
    let tree = disk.join("tree");
    let mut package = TarBuilder::new();
    for number in 0..40_u32 {
        let (name, text) =
            (format!("hot{}/{number}", number % 4), format!("{number} of a package\n"));
        package = package.file(&name, text.repeat(500).as_bytes());
        trees::file(&tree, &name, text.repeat(500));
        trees::file(&tree, format!("cold{}/of-package-{number}", number % 8), text.repeat(500));
    }
    origin.serve("/p.tar", package.finish());
    machine.hashget(&["index", &origin.url("/p.tar")]).expect(0);
    let turmoil = Turmoil::start(&tree, seconds);
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut archives, mut incomplete) = (0, 0);
    while Instant::now() < end || archives < WAYS.len() {
        let packed = packed(&machine, WAYS[archives % WAYS.len()]);
        incomplete += usize::from(packed.code == 3);
        check(&machine, &turmoil, WAYS[archives % WAYS.len()][0], &packed);
        archives += 1;
    }
    let changes = turmoil.changes();
    println!("{program}: {archives} archives during {changes} changes; {incomplete} incomplete");
    assert!(changes > 1000, "{changes} changes are no turmoil");
}

fn packed(machine: &Machine, way: &[&str]) -> Ended {
    let pack = ["pack", "disk/tree", "--detect", "none", "--json", "-f"];
    let mut arguments = [&pack[..], way].concat();
    if !machine.path(way[0]).exists() {
        // There is no earlier one yet.
        arguments.truncate(pack.len() + 1);
    }
    let ended = machine.hashget(&arguments);
    assert!(matches!(ended.code, 0 | 3), "{arguments:?}: {} {}", ended.stdout, ended.stderr);
    ended
}

/// Unpacks the archive, and compares what comes back with everything that ever was.
fn check(machine: &Machine, turmoil: &Turmoil, archive: &str, packed: &Ended) {
    let back = machine.path("disk/back");
    drop(fs_err::remove_dir_all(&back));
    let unpacked = machine.hashget(&["unpack", archive, "-C", "disk/back"]);
    let kept = || keep(machine, archive);
    assert!(unpacked.code == 0, "{}: {}\npack: {}", kept(), unpacked.stderr, packed.stdout);
    assert!(unpacked.stderr.contains("Proven: the folder is exactly"), "{}", unpacked.stderr);
    let problems = packed.records().into_iter().filter(|record| record["type"] == "problem");
    let named: HashSet<String> =
        problems.filter_map(|problem| Some(problem["object"].as_str()?.to_owned())).collect();
    assert_eq!(packed.code == 3, !incomplete(packed).is_empty(), "{}", packed.stdout);
    for (path, why) in strange(&back, &back, turmoil) {
        assert!(named.contains(&path), "{}: {path} {why}, and {named:?}", kept());
    }
}

fn incomplete(packed: &Ended) -> Vec<String> {
    let records = packed.records().into_iter();
    let lost =
        records.filter(|record| record["type"] == "problem" && record["kind"] == "incomplete");
    lost.map(|record| record.to_string()).collect()
}

/// What no file or folder of the tree ever was: its path, and what is wrong with it.
fn strange(top: &Path, folder: &Path, turmoil: &Turmoil) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        let mut add = |why: String| {
            let name = path.strip_prefix(top).unwrap().to_str().unwrap();
            found.push((name.to_owned(), why));
        };
        if metadata.is_symlink() {
            continue;
        }
        if metadata.is_file() {
            let contents = fs_err::read(&path).unwrap();
            if !turmoil.existed(&Sha256::digest(&contents).into()) {
                add(format!("never had these {} bytes", contents.len()));
            }
            if metadata.uid() != metadata.gid()
                || metadata.uid() != 0 && !OWNERS.contains(&metadata.uid())
            {
                add(format!("never belonged to {}:{}", metadata.uid(), metadata.gid()));
            }
        }
        let mode = metadata.mode() & 0o7777;
        if metadata.is_file() && !MODES.contains(&mode) {
            add(format!("never had the mode {mode:o}"));
        }
        let mut value = vec![0; 1 << 16];
        if let Ok(length) = lgetxattr(&path, ATTRIBUTE, &mut value[..])
            && !is_attribute(&value[..length])
        {
            add("never had this attribute".to_owned());
        }
        if metadata.is_dir() {
            found.extend(strange(top, &path, turmoil));
        }
    }
    found
}

/// Where the archive is kept that a failure is about.
fn keep(machine: &Machine, archive: &str) -> String {
    let kept =
        std::env::temp_dir().join(format!("hashget-turmoil-{}-{archive}", std::process::id()));
    fs_err::copy(machine.path(archive), &kept).unwrap();
    kept.display().to_string()
}
