//! Evidence below `downloaded`: what is fetched for it, what is relied on, and what raises it.

use std::path::Path;
use std::process::Command;

use hashget::detectors::Machine;
use hashget::fetch::Sources;
use hashget::hashdb::{HashDb as _, HashDbWriter as _, Key, LocalHashDb};
use hashget::index::Indexer;
use hashget::limits::Limits;
use hashget::model::{Digest, Evidence, Member, PackageRecord};
use hashget::monitor::Silent;
use hashget::pack::{Output, PackOptions, Packer};
use hashget::restore::{RestoreOptions, Restorer};
use hashget_testkit::origin::Fault;

use crate::system::{Package, System, debian};

/// The only package that is known, and its members.
fn known(system: &System) -> (PackageRecord, Vec<Member>) {
    let mut known = system.hashdb.list().unwrap();
    assert_eq!(known.len(), 1, "{known:?}");
    let (id, record) = known.pop().unwrap();
    let members = system.hashdb.members(id).unwrap();
    (record, members)
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

fn paths(members: &[Member]) -> Vec<String> {
    let mut paths: Vec<String> = members.iter().map(|member| member.path.to_string()).collect();
    paths.sort();
    paths
}

/// A system with one package that a signed list names and the snapshots have.
fn listed() -> (System, Package) {
    let (system, package) = (System::new(), Package::new("tool", "1:1.0"));
    system.install(&package);
    system.list(&[&package], "Debian");
    system.publish(&package);
    (system, package)
}

#[test]
fn declared_takes_the_head_alone() {
    let (system, package) = listed();
    let (indexed, recorder) = system.index(Evidence::Declared);
    assert_eq!((indexed.new, indexed.failed.len()), (1, 0));
    let (record, members) = known(&system);
    assert_eq!(record.evidence, Evidence::Declared);
    assert_eq!(record.sha256, Digest::of(&package.deb()));
    let expected = [
        "control/control",
        "control/md5sums",
        "data/bin/tool",
        "data/usr/share/doc/tool/copyright",
    ];
    assert_eq!(paths(&members), expected);
    let size = package.deb().len() as u64;
    let fetched = recorder.recorded().downloaded_bytes;
    assert!(fetched * 4 < size, "{fetched} of {size}");
    let sent: u64 = system.origin.requests().iter().map(|request| request.bytes).sum();
    assert_eq!(sent, fetched);
}

#[test]
fn a_server_without_ranges_serves_too() {
    let (system, _) = listed();
    for path in system_paths(&system) {
        system.origin.always(&path, Fault::NoRange);
    }
    let (indexed, _) = system.index(Evidence::Declared);
    assert_eq!((indexed.new, indexed.failed.len()), (1, 0));
    assert_eq!(known(&system).0.evidence, Evidence::Declared);
}

fn system_paths(system: &System) -> Vec<String> {
    let (candidates, _) = system.candidates();
    candidates
        .iter()
        .map(|found| found.url.replacen("https://snapshot.debian.org", "", 1))
        .collect()
}

#[test]
fn a_head_of_another_package_is_not_believed() {
    let (system, package) = listed();
    let mut other = Package::new("fool", "1:1.0");
    other.files.clone_from(&package.files);
    assert_eq!(other.deb().len(), package.deb().len());
    for path in system_paths(&system) {
        system.origin.serve(&path, other.deb());
    }
    let (indexed, recorder) = system.index(Evidence::Declared);
    // The head is refused, the download has the wrong digest; the snapshots are asked for the right one.
    assert_eq!((indexed.new, indexed.failed.len()), (1, 0));
    assert_eq!(known(&system).0.evidence, Evidence::Downloaded);
    let problems = recorder.recorded().problems;
    assert!(problems.iter().any(|(_, _, message)| message.contains("fool")), "{problems:?}");
}

#[test]
fn without_a_signed_list_it_has_to_be_downloaded() {
    let (system, package) = (System::new(), Package::new("tool", "1:1.0"));
    system.install(&package);
    system.publish(&package);
    for evidence in [Evidence::Declared, Evidence::Local] {
        let (_, recorder) = system.index(evidence);
        assert_eq!(known(&system).0.evidence, Evidence::Downloaded);
        let skipped = recorder.recorded().skipped;
        assert_eq!(skipped.len(), usize::from(evidence == Evidence::Declared), "{skipped:?}");
    }
}

#[test]
fn local_asks_nobody() {
    let (system, package) = listed();
    let (indexed, recorder) = system.index(Evidence::Local);
    assert_eq!((indexed.new, recorder.recorded().downloaded_bytes), (1, 0));
    assert!(system.asked().is_empty());
    let (record, members) = known(&system);
    assert_eq!((record.evidence, record.size), (Evidence::Local, package.deb().len() as u64));
    assert!(record.url.starts_with("https://snapshot.debian.org/archive/debian/20260102T"));
    assert_eq!(paths(&members), ["data/bin/tool", "data/usr/share/doc/tool/copyright"]);
}

#[test]
fn files_are_judged_one_by_one() {
    for evidence in [Evidence::Local, Evidence::Declared] {
        let (system, _) = listed();
        system.write("usr/bin/tool", "changed");
        assert_eq!(system.index(evidence).0.new, 1);
        let (_, members) = known(&system);
        assert!(!paths(&members).contains(&"data/bin/tool".to_owned()));
        assert!(paths(&members).contains(&"data/usr/share/doc/tool/copyright".to_owned()));
    }
    let (system, package) = listed();
    let copyright = "usr/share/doc/tool/copyright";
    fs_err::remove_file(system.root().join(copyright)).unwrap();
    // Another package has taken its place, and the file was moved aside.
    let moved = "usr/bin/tool.distrib";
    fs_err::rename(system.root().join("usr/bin/tool"), system.root().join(moved)).unwrap();
    system.write("usr/bin/tool", "of another package");
    system.write("var/lib/dpkg/diversions", "/bin/tool\n/usr/bin/tool.distrib\nother\n");
    system.index(Evidence::Local);
    let (_, members) = known(&system);
    assert_eq!(paths(&members), ["data/bin/tool"]);
    assert_eq!(members[0].sha256, Some(Digest::of(&package.files[0].1)));
}

#[test]
fn links_do_not_lead_out_of_the_system() {
    let (system, package) = listed();
    let outside = tempfile::tempdir().unwrap();
    fs_err::write(outside.path().join("tool"), &package.files[0].1).unwrap();
    fs_err::remove_dir_all(system.root().join("usr/bin")).unwrap();
    fs_err::remove_file(system.root().join("bin")).unwrap();
    fs_err::os::unix::fs::symlink(outside.path(), system.root().join("bin")).unwrap();
    system.index(Evidence::Local);
    assert_eq!(paths(&known(&system).1), ["data/usr/share/doc/tool/copyright"]);
}

#[test]
fn a_list_of_md5s_that_lies_fools_local_evidence_only() {
    let evil = b"evil".repeat(1000);
    let (system, mut package) = listed();
    package.files[0].1.clone_from(&evil);
    system.write("usr/bin/tool", &evil);
    system.write("var/lib/dpkg/info/tool.md5sums", package.md5sums());
    let is_known = |system: &System| {
        !system.hashdb.find_one(Key::Content(Digest::of(&evil))).unwrap().is_empty()
    };
    system.index(Evidence::Local);
    assert!(is_known(&system), "that is what local evidence means");
    system.index(Evidence::Declared);
    assert!(!is_known(&system));
    system.index(Evidence::Downloaded);
    assert!(!is_known(&system));
}

#[test]
fn of_two_systems_in_one_tree_the_weaker_list_decides() {
    let evil = b"evil".repeat(1000);
    let (system, package) = listed();
    // A second system with the same package, but without dpkg's list: its list is fetched.
    copy(&system.root(), &system.path("other"));
    fs_err::remove_file(system.path("other").join("var/lib/dpkg/info/tool.md5sums")).unwrap();
    // The list of the first one lies.
    let mut forged = package.clone();
    forged.files[0].1.clone_from(&evil);
    system.write("usr/bin/tool", &evil);
    system.write("var/lib/dpkg/info/tool.md5sums", forged.md5sums());
    for other in ["a", "z"] {
        let tree = system.path(&format!("tree-{other}"));
        fs_err::create_dir(&tree).unwrap();
        copy(&system.root(), &tree.join("m"));
        copy(&system.path("other"), &tree.join(other));
        let hashdb = LocalHashDb::open(&system.path(&format!("db-{other}"))).unwrap();
        let (limits, Sources { source, web }) = (Limits::default(), system.sources());
        let indexer = Indexer {
            hashdb: &hashdb,
            source: &*source,
            web: &*web,
            shared: None,
            mirrors: &system.mirrors(),
            limits: &limits,
            jobs: 1,
            evidence: Evidence::Local,
        };
        let indexed = indexer.index_tree(&tree, &[debian()], &Machine::default(), &Silent).unwrap();
        assert_eq!((indexed.candidates.len(), indexed.new), (1, 1));
        let (id, record) = hashdb.list().unwrap().pop().unwrap();
        let members = hashdb.members(id).unwrap();
        // Of two lists that name a member, the first one with a matching file counts.
        let has_evil = members.iter().any(|member| member.sha256 == Some(Digest::of(&evil)));
        assert_eq!(has_evil, other == "z");
        assert_eq!(record.evidence, Evidence::Local, "{other}");
        let packer = Packer {
            hashdb: &hashdb,
            source: &*source,
            web: &*web,
            shared: None,
            mirrors: &system.mirrors(),
            limits: &limits,
            jobs: 1,
        };
        for (evidence, left_out) in [(Evidence::Local, true), (Evidence::Declared, false)] {
            let options = PackOptions {
                evidence,
                min_size: 1,
                max_fetch_ratio: f64::INFINITY,
                ..PackOptions::default()
            };
            let archive = Output::File(system.path(&format!("{other}-{evidence}.tar")));
            let packed = packer.pack(&tree.join("m"), archive, &options, &Silent).unwrap();
            assert_eq!(packed.left_out_files > 0, left_out, "{evidence}");
        }
    }
}

#[test]
fn indexing_raises_and_nothing_lowers() {
    let (system, package) = listed();
    for (asked, expected, new) in [
        (Evidence::Local, Evidence::Local, 1),
        (Evidence::Local, Evidence::Local, 0),
        (Evidence::Declared, Evidence::Declared, 1),
        (Evidence::Local, Evidence::Declared, 0),
        (Evidence::Downloaded, Evidence::Downloaded, 1),
        (Evidence::Declared, Evidence::Downloaded, 0),
    ] {
        let (indexed, _) = system.index(asked);
        assert_eq!(indexed.new, new, "{asked}");
        let (record, _) = known(&system);
        assert_eq!(record.evidence, expected);
    }
    // Somebody else who knows less writes the same URL.
    let (record, members) = known(&system);
    let weaker = PackageRecord { evidence: Evidence::Local, ..record.clone() };
    system.hashdb.put(&weaker, &[]).unwrap();
    assert_eq!(known(&system), (record, members));
    assert_eq!(package.signature(), "tool_1:1.0_amd64");
}

#[test]
fn a_system_comes_back_on_any_evidence() {
    let limits = Limits::default();
    for evidence in [Evidence::Local, Evidence::Declared, Evidence::Downloaded] {
        let (system, package) = listed();
        system.write("etc/own.conf", "my own words");
        let Sources { source, web } = system.sources();
        let packer = Packer {
            hashdb: &system.hashdb,
            source: &*source,
            web: &*web,
            shared: None,
            mirrors: &system.mirrors(),
            limits: &limits,
            jobs: 2,
        };
        let options = PackOptions {
            evidence,
            detectors: vec![debian()],
            min_size: 1,
            max_fetch_ratio: f64::INFINITY,
            ..PackOptions::default()
        };
        let archive = system.path("a.tar.zst");
        let output = Output::File(archive.clone());
        let packed = packer.pack(&system.root(), output, &options, &Silent).unwrap();
        // The program and its copyright; with the control part, dpkg's list of MD5s too.
        let expected = if evidence == Evidence::Local { 2 } else { 3 };
        assert_eq!(packed.left_out_files, expected, "{evidence}");
        let restorer =
            Restorer { source: &*source, web: &*web, limits: &limits, jobs: 2, accepting: None };
        let mut archive = fs_err::File::open(archive).unwrap();
        let (back, options) = (system.path("back"), RestoreOptions::default());
        let restored = restorer.unpack(&mut archive, &back, &options, &Silent).unwrap();
        assert_eq!((restored.missing.len(), restored.proven), (0, Some(true)), "{evidence}");
        assert_eq!(fs_err::read(back.join("bin/tool")).unwrap(), package.files[0].1);
        let own = fs_err::read_to_string(back.join("etc/own.conf")).unwrap();
        assert_eq!(own, "my own words");
    }
}

#[test]
fn two_systems_in_one_tree_both_count() {
    let (system, package) = listed();
    for whole in ["a", "z"] {
        let tree = system.path(&format!("two-{whole}"));
        fs_err::create_dir(&tree).unwrap();
        copy(&system.root(), &tree.join("m"));
        copy(&system.root(), &tree.join(whole));
        // One of the systems has only a part of the package.
        fs_err::remove_file(tree.join("m").join(format!("usr/{}", package.files[0].0))).unwrap();
        let hashdb = LocalHashDb::open(&system.path(&format!("db-two-{whole}"))).unwrap();
        let (limits, Sources { source, web }) = (Limits::default(), system.sources());
        let indexer = Indexer {
            hashdb: &hashdb,
            source: &*source,
            web: &*web,
            shared: None,
            mirrors: &[],
            limits: &limits,
            jobs: 1,
            evidence: Evidence::Declared,
        };
        let indexed = indexer.index_tree(&tree, &[debian()], &Machine::default(), &Silent).unwrap();
        assert_eq!((indexed.candidates.len(), indexed.new), (1, 1));
        let (id, _) = hashdb.list().unwrap().pop().unwrap();
        let members = paths(&hashdb.members(id).unwrap());
        for (file, _) in &package.files {
            assert!(members.contains(&format!("data/{file}")), "{whole}: {members:?}");
        }
    }
}
