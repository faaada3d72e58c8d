//! One job and many: the same archive, byte for byte, and the same tree out of it.
//!
//! Invariant: what is compared was made from packages and files of every kind, large ones among them, so
//! that threads have something to race for.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashget::codec::{Codec, encoder};
use hashget::fetch::{FetchError, Fetched, Offline, Source, Wanted};
use hashget::formats::{Input, Visitor, VisitorError, read_package};
use hashget::hashdb::{HashDb as _, HashDbWriter as _, LocalHashDb};
use hashget::index::{Indexer, Request};
use hashget::limits::Limits;
use hashget::model::{Digest, Evidence, Member};
use hashget::monitor::{Event, Monitor, Recorder};
use hashget::pack::{Output, PackOptions, Packer};
use hashget::restore::{RestoreOptions, Restorer};
use hashget::tree::{ScanOptions, scan};
use hashget_testkit::packages::{TarBuilder, compress};

/// Packages in a folder, by the last part of their URLs.
struct Folder(std::path::PathBuf);

impl Source for Folder {
    fn fetch(&self, wanted: &Wanted, _: &dyn Monitor) -> Result<Fetched, FetchError> {
        let path = self.0.join(wanted.url.rsplit('/').next().unwrap());
        let bytes = fs_err::read(&path).unwrap();
        Ok(Fetched {
            file: std::fs::File::open(&path).unwrap(),
            sha256: Digest::of(&bytes),
            size: bytes.len() as u64,
            from: wanted.url.clone(),
        })
    }
}

/// Text of which no two numbers have the same.
fn contents(number: usize) -> Vec<u8> {
    let length = if number % 50 == 21 { 300_000 } else { 60 * (number % 100) + 20 };
    let mut text = format!(
        "contents {number}
"
    )
    .repeat(length / 12);
    text.truncate(length);
    text.into_bytes()
}

/// Packages of overlapping files, the tree that they and some files of its own make, and the HashDB.
fn build(dir: &Path) -> (Folder, LocalHashDb) {
    let (packages, tree) = (dir.join("packages"), dir.join("tree"));
    fs_err::create_dir_all(&packages).unwrap();
    let names = ["none", "gzip", "zstd", "xz", "bzip2", "lz4"];
    for (package, codec) in names.iter().enumerate() {
        let mut tar = TarBuilder::new().directory(&format!("part-{package}/"));
        let folder = tree.join(format!("part-{package}"));
        fs_err::create_dir_all(&folder).unwrap();
        // Neighbours have half of their files in common.
        for number in package * 20..package * 20 + 40 {
            let (name, contents) = (format!("file-{number}"), contents(number));
            tar = tar.file(&format!("part-{package}/{name}"), &contents);
            fs_err::write(folder.join(&name), contents).unwrap();
        }
        fs_err::write(packages.join(format!("{package}.tar")), compress(codec, &tar.finish()))
            .unwrap();
        for number in 1000 * package + 1000..1000 * package + 1015 {
            fs_err::write(folder.join(format!("own-{number}")), contents(number)).unwrap();
        }
        fs_err::hard_link(folder.join("file-21"), folder.join("linked")).ok();
        fs_err::os::unix::fs::symlink("file-20", folder.join("symbolic")).unwrap();
    }
    let (source, hashdb) = (Folder(packages), LocalHashDb::open(&dir.join("db")).unwrap());
    let limits = Limits::default();
    let evidence = Evidence::Downloaded;
    let indexer = Indexer {
        hashdb: &hashdb,
        source: &source,
        web: &Offline,
        shared: None,
        mirrors: &[],
        limits: &limits,
        jobs: 2,
        evidence,
    };
    for package in 0..names.len() {
        let url = format!("https://example.org/{package}.tar");
        let request = Request { url, ..Request::default() };
        indexer.index(&request, &Recorder::default()).unwrap();
    }
    (source, hashdb)
}

/// The archive that so many jobs make.
fn pack(dir: &Path, source: &Folder, hashdb: &LocalHashDb, jobs: usize, codec: Codec) -> Vec<u8> {
    let limits = Limits::default();
    let packer =
        Packer { hashdb, source, web: &Offline, shared: None, mirrors: &[], limits: &limits, jobs };
    let options = PackOptions { codec, index: false, ..PackOptions::default() };
    let (archive, monitor) = (dir.join("archive"), Recorder::default());
    let summary =
        packer.pack(&dir.join("tree"), Output::File(archive.clone()), &options, &monitor).unwrap();
    assert!(summary.left_out_files > 100 && summary.archived_files > 50, "{summary:?}");
    assert_eq!(monitor.recorded().problems, []);
    fs_err::read(archive).unwrap()
}

/// Packages of which packing does not keep the members in memory are planned as all others are.
#[test]
fn the_archive_is_the_same_whether_a_package_has_few_members_more_or_very_many() {
    let dir = tempfile::tempdir().unwrap();
    let (source, hashdb) = build(dir.path());
    let mut archives = Vec::new();
    for more in [2, 100_001] {
        for (id, record) in &hashdb.list().unwrap()[1..3] {
            let mut members = hashdb.members(*id).unwrap();
            // What was added before goes again, and one path comes twice.
            members.retain(|member| !member.path.as_bytes().starts_with(b"zz/"));
            members.dedup_by(|a, b| a.path == b.path);
            let twice = members[7].clone();
            members.insert(7, twice);
            for number in 0..more {
                let mut member = members[8].clone();
                let name = format!("zz/{}/{}", number % 10, number / 10);
                member.path = name.as_str().try_into().unwrap();
                member.sha256 = Some(Digest::of(name.as_bytes()));
                // In no order.
                let at = if number % 1000 == 0 { 9 } else { members.len() };
                members.insert(at, member);
            }
            hashdb.remove(*id).unwrap();
            hashdb.put(record, &members).unwrap();
        }
        archives.push(pack(dir.path(), &source, &hashdb, 2, Codec::None));
    }
    assert!(archives[0] == archives[1]);
    assert!(archives[0].windows(5).any(|bytes| bytes == b"\"zz/\""), "nothing is excepted");
}

#[test]
fn the_archive_is_the_same_with_one_job_and_with_many() {
    let dir = tempfile::tempdir().unwrap();
    let (source, hashdb) = build(dir.path());
    for codec in [Codec::None, Codec::Gzip, Codec::Zstd, Codec::Xz] {
        let alone = pack(dir.path(), &source, &hashdb, 1, codec);
        for jobs in [2, 7] {
            let many = pack(dir.path(), &source, &hashdb, jobs, codec);
            assert!(alone == many, "{}: {jobs} jobs make another archive", codec.name());
        }
    }
}

#[test]
fn the_restored_tree_is_the_same_with_one_job_and_with_many() {
    let dir = tempfile::tempdir().unwrap();
    let (source, hashdb) = build(dir.path());
    let archive = pack(dir.path(), &source, &hashdb, 2, Codec::Zstd);
    let quiet = Recorder::default();
    let entries = |folder: &Path| scan(folder, &ScanOptions::default(), &quiet).unwrap().entries;
    let packed = entries(&dir.path().join("tree"));
    let mut summaries = Vec::new();
    for jobs in [1, 2, 7] {
        let target = dir.path().join(format!("restored-{jobs}"));
        let limits = Limits::default();
        let restorer =
            Restorer { source: &source, web: &Offline, limits: &limits, jobs, accepting: None };
        let (options, monitor) = (RestoreOptions::default(), Recorder::default());
        let summary = restorer.unpack(&mut &archive[..], &target, &options, &monitor).unwrap();
        assert_eq!(summary.proven, Some(true), "{jobs} jobs");
        assert_eq!(entries(&target), packed, "{jobs} jobs");
        summaries.push(summary);
    }
    summaries.dedup();
    assert_eq!(summaries.len(), 1, "{summaries:?}");
}

/// The threads of this process.
fn threads() -> usize {
    fs_err::read_dir("/proc/self/task").unwrap().count()
}

/// The most threads there were while members came.
struct MostThreads(usize);

impl Visitor for MostThreads {
    fn visit(&mut self, _: Member, content: &mut dyn Read) -> Result<(), VisitorError> {
        let mut piece = vec![0; 1 << 16];
        while content.read(&mut piece)? > 0 {
            self.0 = self.0.max(threads());
        }
        Ok(())
    }
}

#[test]
fn a_decoder_starts_no_threads_when_it_may_have_one() {
    let tar = TarBuilder::new().file("large", &contents(1).repeat(100_000)).finish();
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("package.tar.xz");
    let output = Box::new(std::fs::File::create(&package).unwrap());
    let mut blocks = encoder(Codec::Xz, output, Some(0), 2).unwrap();
    blocks.write_all(&tar).unwrap();
    blocks.finish().unwrap();
    let file = std::fs::File::open(&package).unwrap();
    let most = |allowed: usize| {
        let limits = Limits { threads: allowed, ..Limits::default() };
        let mut visitor = MostThreads(0);
        read_package(Input::File(&file), &|_| false, &limits, &mut visitor).unwrap();
        visitor.0
    };
    let before = threads();
    assert_eq!(most(1), before);
    assert!(most(4) > before, "blocks of xz are decoded by several threads");
}

/// Panics when it is asked for the n-th time whether to stop.
struct PanicsAt(AtomicUsize);

impl Monitor for PanicsAt {
    fn event(&self, _: Event<'_>) {}

    fn interrupted(&self) -> bool {
        assert_ne!(self.0.fetch_sub(1, Ordering::SeqCst), 1, "as told");
        false
    }
}

#[test]
fn a_panic_in_one_thread_of_a_scan_ends_the_others() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..20 {
        let folder = dir.path().join(format!("{number}/below"));
        fs_err::create_dir_all(&folder).unwrap();
        fs_err::write(folder.join("file"), contents(number)).unwrap();
    }
    for question in [1, 2, 5, 20] {
        let monitor = PanicsAt(AtomicUsize::new(question));
        let options = ScanOptions { jobs: 3, ..ScanOptions::default() };
        let scanned = || scan(dir.path(), &options, &monitor).map(drop);
        assert!(catch_unwind(AssertUnwindSafe(scanned)).is_err(), "question {question}");
    }
}
