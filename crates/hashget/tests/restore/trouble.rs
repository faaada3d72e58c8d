//! What goes wrong is named, everything else is restored, and trying again completes it.

use std::sync::atomic::{AtomicUsize, Ordering};

use hashget::archive::{ArchiveError, PackageFileError, PackageFiles};
use hashget::fetch::Offline;
use hashget::limits::Limits;
use hashget::model::manifest::{DigestColumn, EntryTable, MANIFEST_NAME, ManifestError};
use hashget::model::{Digest, Evidence, Keeping, Origin, PackageRecord};
use hashget::monitor::{Event, Monitor, ProblemKind, Recorder, Silent};
use hashget::restore::{RestoreError, Restorer};
use hashget_testkit::packages::{TarBuilder, compress};

use crate::support::*;

#[test]
fn a_package_that_cannot_be_had_leaves_the_others_restored() {
    let fixture = two_packages();
    let source = MemorySource::default().with(ONE, &fixture.packages[ONE]);
    let recorder = Recorder::default();
    let target = fixture.target();
    let summary = unpack(&source, &fixture.archive(), &target, &recorder).unwrap();
    assert_eq!((summary.files_from_packages, summary.proven), (50, None));
    let [(_, why)] = &summary.missing[..] else { panic!("{:?}", summary.missing) };
    assert!(why.contains("two.tar.gz") && why.contains("does not have"), "{why}");
    let told = recorder.recorded().problems;
    assert!(matches!(told[..], [(ProblemKind::Unreachable, ..)]), "{told:?}");
    assert!(target.join(MANIFEST_NAME).exists(), "so that it can be continued");

    let recorder = Recorder::default();
    let summary = restore(&fixture.source(), &target, &recorder).unwrap();
    assert_eq!(summary.kept_files, 50);
    fixture.assert_restored(&summary, &recorder);
}

#[test]
fn other_bytes_serve_file_by_file_where_the_manifest_has_digests() {
    let mut fixture = two_packages();
    let scan = scan_of(&fixture.tree());
    let digest = |name: &str| scan.get(&path(name)).unwrap().sha256.unwrap();
    // Position 0 is the folder; the last digest is wrong.
    let column = DigestColumn {
        at: vec![1, 2, 50],
        is: vec![digest("two/00"), digest("two/01"), Digest::of(b"another")],
    };
    fixture.manifest.packages[1].placements[0].sha256 = Some(column);
    // Compressed anew, the files are the same and the package is not.
    let tar = {
        let folder = fixture.tree();
        run(
            "tar",
            &["--create", "--format=posix", "--sort=name", "--file=../again", "two"],
            &folder,
        );
        fs_err::read(fixture.folder.path().join("again")).unwrap()
    };
    let source =
        MemorySource::default().with(ONE, &fixture.packages[ONE]).with(TWO, &compress("xz", &tar));
    let recorder = Recorder::default();
    let summary = unpack(&source, &fixture.archive(), &fixture.target(), &recorder).unwrap();
    assert_eq!((summary.files_from_packages, summary.proven), (52, None));
    let told = problems(&recorder);
    assert!(told.contains("Verification http://packages.example/two.tar.gz"), "{told}");
    assert!(fixture.target().join("two/01").exists() && !fixture.target().join("two/02").exists());
    assert!(summary.missing.iter().any(|(name, _)| *name == path("two/49")), "{summary:?}");
}

#[test]
fn wrong_digests_in_a_right_package_place_nothing() {
    let mut fixture = two_packages();
    let column = DigestColumn { at: vec![5], is: vec![Digest::of(b"something else")] };
    fixture.manifest.packages[0].placements[0].sha256 = Some(column);
    let (summary, recorder) = fixture.unpack();
    assert_eq!(summary.missing.len(), 1);
    assert_eq!(summary.missing[0].0, path("one/04"));
    assert!(problems(&recorder).starts_with("Verification one/04: "), "{}", problems(&recorder));
    assert!(!fixture.target().join("one/04").exists());
}

#[test]
fn a_package_that_is_damaged_halfway_gives_what_came_before() {
    let mut fixture = two_packages();
    let whole = fixture.packages[TWO].clone();
    let half = &whole[..whole.len() / 2];
    fixture.manifest.packages[1].sha256 = Digest::of(half);
    let source = MemorySource::default().with(ONE, &fixture.packages[ONE]).with(TWO, half);
    let recorder = Recorder::default();
    let summary = unpack(&source, &fixture.archive(), &fixture.target(), &recorder).unwrap();
    assert!((60..95).contains(&summary.files_from_packages), "{summary:?}");
    assert_eq!((summary.missing.len(), summary.proven), (1, None));
    assert!(fixture.target().join("two/05").exists());
    assert_no_leftovers(&fixture.target());

    fixture.packages.insert(TWO.to_owned(), b"this is no package at all".to_vec());
    let nothing = b"this is no package at all";
    fixture.manifest.packages[1].sha256 = Digest::of(nothing);
    let target = fixture.folder.path().join("other");
    let summary = unpack(&fixture.source(), &fixture.archive(), &target, &recorder).unwrap();
    assert!(summary.missing[0].1.contains("no package"), "{:?}", summary.missing);
}

#[test]
fn members_that_are_not_there_are_named() {
    let folder = tempfile::tempdir().unwrap();
    fs_err::create_dir(folder.path().join("tree")).unwrap();
    for name in ["a", "b"] {
        fs_err::write(folder.path().join("tree").join(name), name).unwrap();
    }
    let bytes = TarBuilder::new().file("a", b"a").file("longer", b"bb").finish();
    let scan = scan_of(&folder.path().join("tree"));
    let entries = ["a", "b"].map(|name| scan.get(&path(name)).unwrap().clone());
    for (from, why) in [("nowhere", "has no member nowhere"), ("longer", "has 2 bytes")] {
        let mut package = package(ONE, &bytes, "tar", Vec::new());
        package.files =
            EntryTable::new(&entries).with_from(vec![Some(path("a")), Some(path(from))]);
        let here = tempfile::tempdir().unwrap();
        run("cp", &["-a", folder.path().join("tree").to_str().unwrap(), "tree"], here.path());
        let fixture = Fixture::new(here, vec![(package, bytes.clone())]);
        let (summary, recorder) = fixture.unpack();
        let [(name, reason)] = &summary.missing[..] else { panic!("{summary:?}") };
        assert!(*name == path("b") && reason.contains(why), "{reason}");
        assert!(problems(&recorder).starts_with("Incomplete b: "), "{}", problems(&recorder));
        assert_eq!(fs_err::read(fixture.target().join("a")).unwrap(), b"a");
    }
}

#[test]
fn an_archive_that_differs_from_its_manifest_is_told_by_name() {
    let folder = tempfile::tempdir().unwrap();
    fs_err::create_dir(folder.path().join("tree")).unwrap();
    for name in ["a", "b", "c"] {
        fs_err::write(folder.path().join("tree").join(name), name).unwrap();
    }
    let fixture = Fixture::new(folder, vec![]);
    let json = fixture.manifest.to_json();
    let archive = TarBuilder::new()
        .file(MANIFEST_NAME, &json)
        .directory("./")
        .file("a", b"X")
        .file("b", b"bb")
        .finish();
    let recorder = Recorder::default();
    let summary = unpack(&fixture.source(), &archive, &fixture.target(), &recorder).unwrap();
    let told = problems(&recorder);
    assert!(told.contains("Verification a: it has sha256"), "{told}");
    assert!(told.contains("Verification b: it has 2 bytes, but 1 were packed"), "{told}");
    assert_eq!(summary.missing.len(), 1);
    assert_eq!(summary.missing[0].0, path("c"));
}

#[test]
fn an_archive_that_ends_too_early_restores_what_it_can() {
    let fixture = two_packages();
    fs_err::write(fixture.tree().join("zzz"), vec![1; 100_000]).unwrap();
    let packages = fixture.manifest.packages.iter().cloned();
    let packages =
        packages.map(|package| (package.clone(), fixture.packages[&package.url].clone()));
    let packages = packages.collect();
    let fixture = Fixture::new(fixture.folder, packages);
    let archive = fixture.archive();
    let cut = &archive[..archive.len() - 50_000];
    let recorder = Recorder::default();
    let summary = unpack(&fixture.source(), cut, &fixture.target(), &recorder).unwrap();
    assert_eq!(summary.files_from_packages, 100);
    assert!(problems(&recorder).contains("the archive is damaged"), "{}", problems(&recorder));
    assert!(!fixture.target().join("zzz").exists());
    assert_no_leftovers(&fixture.target());
}

#[test]
fn what_a_damaged_archive_lacks_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    for number in 100..400 {
        fs_err::create_dir_all(folder.path().join("tree/d")).unwrap();
        let file = folder.path().join(format!("tree/d/{number}"));
        fs_err::write(&file, vec![b'x'; 3000]).unwrap();
        if number % 10 == 0 {
            fs_err::hard_link(&file, folder.path().join(format!("tree/d/{number}-too"))).unwrap();
        }
    }
    let fixture = Fixture::new(folder, vec![]);
    let archive = fixture.archive();
    let cut = &archive[..archive.len() / 2 + 100];
    let recorder = Recorder::default();
    let summary = unpack(&fixture.source(), cut, &fixture.target(), &recorder).unwrap();
    let told = problems(&recorder);
    assert!(told.contains("the archive is damaged"), "{told}");
    assert!(
        told.contains("(the archive does not hold it, though its manifest says so): d/"),
        "{told}"
    );
    assert_eq!(told.lines().count(), 2, "{told}");
    assert!(told.lines().all(|line| line.len() < 400), "{told}");
    let lacking = summary.missing_from_archive;
    assert!((100..200).contains(&lacking), "{lacking}");
    assert!(told.contains(&format!(" and {} more", lacking - 10)), "{told}");
    assert_eq!(summary.proven, None);
    // The whole archive brings all of it, into the same folder.
    let recorder = Recorder::default();
    let summary = unpack(&fixture.source(), &archive, &fixture.target(), &recorder).unwrap();
    fixture.assert_restored(&summary, &recorder);
}

#[test]
fn what_is_in_the_way_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    fs_err::create_dir(folder.path().join("tree")).unwrap();
    for name in ["a", "b"] {
        fs_err::write(folder.path().join("tree").join(name), name).unwrap();
    }
    let fixture = Fixture::new(folder, vec![]);
    fs_err::create_dir_all(fixture.target().join("a/full")).unwrap();
    let recorder = Recorder::default();
    let archive = fixture.archive();
    let summary = unpack(&fixture.source(), &archive, &fixture.target(), &recorder).unwrap();
    let told = problems(&recorder);
    assert!(
        told.starts_with("Incomplete ./a: a folder that is not empty is in its place"),
        "{told}"
    );
    assert_eq!(told.lines().count(), 1, "{told}");
    assert_eq!((summary.missing.len(), summary.missing_from_archive), (1, 0));
    assert_eq!(summary.proven, None);
}

#[test]
fn what_lies_behind_an_archive_is_not_of_it() {
    for codec in ["none", "gzip", "zstd", "xz", "bzip2", "lz4"] {
        for (behind, is_told) in
            [(vec![0; 20_480], false), (b"what was there before".repeat(999), true)]
        {
            let fixture = two_packages();
            let archive = match codec {
                "none" => fixture.archive(),
                codec => compress(codec, &fixture.archive()),
            };
            let archive = [archive, behind].concat();
            let recorder = Recorder::default();
            let summary =
                unpack(&fixture.source(), &archive, &fixture.target(), &recorder).unwrap();
            assert_eq!(summary.proven, Some(true), "{codec}: {}", problems(&recorder));
            let told = problems(&recorder);
            match is_told && codec != "none" {
                true => {
                    assert!(told.starts_with("Note ") && told.lines().count() == 1, "{told}");
                    assert!(told.contains("other bytes follow the end of the archive"), "{told}");
                }
                false => assert_eq!(told, "", "{codec}"),
            }
        }
    }
}

#[test]
fn what_is_no_archive_of_ours_is_an_error_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let source = MemorySource::default();
    let run = |bytes: &[u8], name: &str| unpack(&source, bytes, &at(name), &Silent);

    let error = run(b"certainly no tar archive, however long this text may be", "a").unwrap_err();
    assert!(matches!(error, RestoreError::Archive(ArchiveError::NotAnArchive { .. })), "{error:?}");
    assert!(matches!(run(b"", "b"), Err(RestoreError::Archive(ArchiveError::NotAnArchive { .. }))));
    let gzipped = compress("gzip", b"text");
    assert!(matches!(
        run(&gzipped, "c"),
        Err(RestoreError::Archive(ArchiveError::NotAnArchive { .. }))
    ));

    let plain = TarBuilder::new().file("x", b"x").finish();
    assert!(matches!(
        run(&plain, "d"),
        Err(RestoreError::Archive(ArchiveError::NoManifestInArchive))
    ));
    assert_eq!(fs_err::read(at("d/x")).unwrap(), b"x");

    let newer = TarBuilder::new().file(MANIFEST_NAME, br#"{"version": 3}"#).finish();
    let error = run(&newer, "e").unwrap_err();
    assert!(
        matches!(
            error,
            RestoreError::Archive(ArchiveError::Manifest(ManifestError::Version { found: 3 }))
        ),
        "{error:?}"
    );
    let odd = TarBuilder::new().file(MANIFEST_NAME, b"{").finish();
    assert!(matches!(
        run(&odd, "f"),
        Err(RestoreError::Archive(ArchiveError::Manifest(ManifestError::Json(_))))
    ));

    assert!(matches!(run(&plain, "no/parent"), Err(RestoreError::Target { .. })));
    fs_err::write(at("file"), "x").unwrap();
    assert!(matches!(run(&plain, "file"), Err(RestoreError::Target { .. })));
    assert!(matches!(restore(&source, &at("nothing"), &Silent), Err(RestoreError::Target { .. })));
    assert!(matches!(
        restore(&source, &at("d"), &Silent),
        Err(RestoreError::Archive(ArchiveError::NoManifest { .. }))
    ));

    let limits = Limits { manifest_bytes: 5, ..Limits::default() };
    let restorer =
        Restorer { source: &source, web: &Offline, limits: &limits, jobs: 1, accepting: None };
    let result = restorer.unpack(
        &mut &newer[..],
        &at("g"),
        &hashget::restore::RestoreOptions::default(),
        &Silent,
    );
    assert!(
        matches!(result, Err(RestoreError::Archive(ArchiveError::ManifestSize { limit: 5 }))),
        "{result:?}"
    );
}

/// Asks to stop from the n-th question on.
struct StopAt(AtomicUsize);

impl Monitor for StopAt {
    fn event(&self, _event: Event<'_>) {}

    fn interrupted(&self) -> bool {
        let one_less = |left: usize| Some(left.saturating_sub(1));
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) == Ok(0)
    }
}

#[test]
fn after_an_interruption_anywhere_restoring_again_completes_it() {
    let fixture = two_packages();
    let archive = fixture.archive();
    let mut interrupted = 0;
    for questions in [3, 4, 5, 7, 10, 30, 60, 100, 105] {
        let target = fixture.target();
        if target.exists() {
            fs_err::remove_dir_all(&target).unwrap();
        }
        let monitor = StopAt(AtomicUsize::new(questions));
        let result = unpack(&fixture.source(), &archive, &target, &monitor);
        assert_no_leftovers(&target);
        match result {
            Err(RestoreError::Interrupted(_)) if target.join(MANIFEST_NAME).exists() => {
                interrupted += 1;
                let recorder = Recorder::default();
                let summary = restore(&fixture.source(), &target, &recorder).unwrap();
                fixture.assert_restored(&summary, &recorder);
            }
            Err(RestoreError::Interrupted(_)) => {
                assert_eq!(scan_of(&target).entries.len(), 1, "nothing was unpacked yet");
            }
            other => assert_eq!(other.unwrap().proven, Some(true)),
        }
    }
    assert!(interrupted > 5);
}

#[test]
fn one_at_a_time() {
    let fixture = two_packages();
    fs_err::create_dir(fixture.target()).unwrap();
    let lock = std::fs::File::open(fixture.target()).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let result = unpack(&fixture.source(), &fixture.archive(), &fixture.target(), &Silent);
    assert!(matches!(result, Err(RestoreError::Busy { .. })), "{result:?}");
}

#[test]
fn one_file_out_of_a_package() {
    let inner = TarBuilder::new().file("deep", b"in a package within").finish();
    let bytes = TarBuilder::new().file("a", b"aaa").file("inner.tar", &inner).finish();
    let source = MemorySource::default().with(ONE, &bytes);
    let limits = Limits::default();
    let files = PackageFiles { source: &source, limits: &limits };
    let mut record = PackageRecord {
        url: ONE.to_owned(),
        also: Vec::new(),
        sha256: Digest::of(&bytes),
        size: bytes.len() as u64,
        format: "tar".to_owned(),
        signatures: Vec::new(),
        project: None,
        expires: None,
        indexed_at: 0,
        evidence: Evidence::Downloaded,
        vouched: false,
        recursive: true,
        passed_over: 0,
        origin: Origin::User,
        trees: Vec::new(),
        keeping: Keeping::Unknown,
        publisher: None,
    };
    for content in [&b"aaa"[..], b"in a package within"] {
        let mut output = Vec::new();
        let size = files.copy(&record, &Digest::of(content), &mut output, &Silent).unwrap();
        assert_eq!((size, &*output), (content.len() as u64, content));
    }
    record.recursive = false;
    let wanted = Digest::of(b"in a package within");
    let result = files.copy(&record, &wanted, &mut Vec::new(), &Silent);
    assert!(matches!(result, Err(PackageFileError::NoSuchFile { .. })), "{result:?}");
    record.url = "http://packages.example/gone".to_owned();
    let result = files.copy(&record, &wanted, &mut Vec::new(), &Silent);
    assert!(matches!(result, Err(PackageFileError::Fetch(_))), "{result:?}");
}
