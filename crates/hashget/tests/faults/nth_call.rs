//! The n-th call of a HashDB or of a source fails, for n = 1, 2, 3, ..., until the stage succeeds.
//!
//! Invariant: before that there is an error or a problem that names the failure, and the same stage
//! without a fault gives what it always gave.

use std::sync::atomic::{AtomicU64, Ordering};

use hashget::fetch::{FetchError, Fetched, Offline, Source, Wanted};
use hashget::hashdb::{
    Check, Checks, HashDb, HashDbError, HashDbWriter, Key, LocalHashDb, PackageId,
};
use hashget::index::{Indexer, Request};
use hashget::limits::Limits;
use hashget::model::{Digest, Evidence, Member, PackageRecord};
use hashget::monitor::{Monitor, ProblemKind, Recorder, Silent};
use hashget::pack::{Output, Packer};
use hashget::restore::{RestoreOptions, Restorer};
use hashget_testkit::trees::{self, Snapshot, snapshot};

use crate::scene::{Part, Scene, lay_down, options, problems, serious, tar};

const FAILURE: &str = "the n-th call fails";

/// Counts calls down to the one that fails.
struct Nth(AtomicU64);

impl Nth {
    fn new(nth: u64) -> Self {
        Self(AtomicU64::new(nth))
    }

    /// Is this the one?
    fn is_it(&self) -> bool {
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) == Ok(1)
    }

    /// Was it reached?
    fn failed(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}

struct FaultyHashDb<'h> {
    inner: &'h LocalHashDb,
    nth: Nth,
}

impl FaultyHashDb<'_> {
    fn check(&self) -> Result<(), HashDbError> {
        let (location, problem) = ("the HashDB".to_owned(), FAILURE.to_owned());
        if self.nth.is_it() { Err(HashDbError::Failed { location, problem }) } else { Ok(()) }
    }
}

impl HashDb for FaultyHashDb<'_> {
    fn find(&self, keys: &[Key<'_>]) -> Result<Vec<Vec<PackageId>>, HashDbError> {
        self.check()?;
        self.inner.find(keys)
    }

    fn records(&self, packages: &[PackageId]) -> Result<Vec<Option<PackageRecord>>, HashDbError> {
        self.check()?;
        self.inner.records(packages)
    }

    fn each_member(
        &self,
        package: PackageId,
        visit: &mut dyn FnMut(Member),
    ) -> Result<(), HashDbError> {
        self.check()?;
        self.inner.each_member(package, visit)
    }

    fn named(&self, kind: &str, beginning: &str, most: u32) -> Result<Vec<PackageId>, HashDbError> {
        self.check()?;
        self.inner.named(kind, beginning, most)
    }

    fn prefetch_members(&self, packages: &[PackageId]) -> Result<(), HashDbError> {
        self.check()?;
        self.inner.prefetch_members(packages)
    }
}

impl Checks for FaultyHashDb<'_> {
    fn put_check(&self, check: &Check) -> Result<(), HashDbError> {
        self.check()?;
        self.inner.put_check(check)
    }

    fn checks(&self, packages: &[Digest]) -> Result<Vec<Vec<Check>>, HashDbError> {
        self.check()?;
        self.inner.checks(packages)
    }
}

impl HashDbWriter for FaultyHashDb<'_> {
    fn put(&self, record: &PackageRecord, members: &[Member]) -> Result<PackageId, HashDbError> {
        self.check()?;
        self.inner.put(record, members)
    }

    fn amend(
        &self,
        package: PackageId,
        change: &dyn Fn(&mut PackageRecord),
    ) -> Result<Option<PackageRecord>, HashDbError> {
        self.check()?;
        self.inner.amend(package, change)
    }

    fn remove(&self, package: PackageId) -> Result<bool, HashDbError> {
        self.check()?;
        self.inner.remove(package)
    }
}

struct FaultySource<'s> {
    inner: &'s dyn Source,
    nth: Nth,
}

impl Source for FaultySource<'_> {
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        if self.nth.is_it() {
            let (url, problem) = (wanted.url.clone(), FAILURE.to_owned());
            return Err(FetchError::Unreachable { url, problem, answered: false, given_up: None });
        }
        self.inner.fetch(wanted, monitor)
    }
}

fn parts(package: u64) -> Vec<Part> {
    let content = |number: u64| Digest::of(&[package, number].map(u64::to_le_bytes).concat());
    let file = |number| {
        let content = content(number).to_string().repeat(20);
        Part::file(&format!("p{package}/{number}"), content)
    };
    std::iter::once(Part::folder(&format!("p{package}/"))).chain((0..5).map(file)).collect()
}

const PACKAGES: u64 = 3;

fn name(package: u64) -> String {
    format!("{package}.tar")
}

/// A tree that has the files of three packages, which are known.
fn scene() -> (Scene, Snapshot) {
    let scene = Scene::new();
    for package in 0..PACKAGES {
        scene.index(&name(package), &tar(&parts(package)));
        lay_down(&scene.tree(), &parts(package));
    }
    trees::file(&scene.tree(), "own", "mine");
    let before = snapshot(&scene.tree());
    (scene, before)
}

/// Does `work` with n = 1, 2, 3, ... until no call failed; how often one did.
fn until_it_succeeds(work: impl Fn(u64) -> bool) -> u64 {
    let failures = (1..1000).take_while(|&nth| work(nth)).count();
    assert!(failures < 900, "it never succeeds");
    u64::try_from(failures).unwrap()
}

fn indexer<'a>(
    hashdb: &'a dyn HashDbWriter,
    source: &'a dyn Source,
    limits: &'a Limits,
) -> Indexer<'a> {
    Indexer {
        hashdb,
        source,
        web: &Offline,
        shared: None,
        mirrors: &[],
        limits,
        jobs: 1,
        evidence: Evidence::Downloaded,
    }
}

#[test]
fn an_index_whose_hashdb_or_source_fails_records_nothing_half() {
    let (scene, _) = scene();
    let request = Request { url: scene.origin.url("/0.tar"), ..Request::default() };
    let reference = scene.hashdb.find_one(Key::Url(&request.url)).unwrap()[0];
    let members = scene.hashdb.members(reference).unwrap();
    for source_fails in [false, true] {
        let failures = until_it_succeeds(|nth| {
            let folder = tempfile::tempdir().unwrap();
            let local = LocalHashDb::open(folder.path()).unwrap();
            let (of_hashdb, of_source) = if source_fails { (0, nth) } else { (nth, 0) };
            let hashdb = FaultyHashDb { inner: &local, nth: Nth::new(of_hashdb) };
            let source = FaultySource { inner: &scene.source, nth: Nth::new(of_source) };
            let outcome = indexer(&hashdb, &source, &scene.limits).index(&request, &Silent);
            let failed = hashdb.nth.failed() && source.nth.failed();
            if let Err(error) = &outcome {
                assert!(format!("{error:?}").contains(FAILURE), "{error:?}");
                // Whole, or not at all.
                for id in local.find_one(Key::Url(&request.url)).unwrap() {
                    assert_eq!(local.members(id).unwrap(), members);
                }
                indexer(&local, &scene.source, &scene.limits).index(&request, &Silent).unwrap();
            }
            let id = local.find_one(Key::Url(&request.url)).unwrap()[0];
            assert_eq!(local.members(id).unwrap(), members);
            failed
        });
        assert!(failures >= 1, "{failures}");
    }
}

#[test]
fn a_pack_whose_hashdb_fails_gives_a_whole_archive_and_then_the_same_as_ever() {
    let (scene, before) = scene();
    let (reference, _) = scene.pack_well(&options());
    let failures = until_it_succeeds(|nth| {
        let hashdb = FaultyHashDb { inner: &scene.hashdb, nth: Nth::new(nth) };
        let packer = Packer {
            hashdb: &hashdb,
            source: &scene.source,
            web: &scene.source,
            shared: None,
            mirrors: &[],
            limits: &scene.limits,
            jobs: 1,
        };
        let file = scene.path("a.tar");
        let (told, output) = (Recorder::default(), Output::File(file.clone()));
        match packer.pack(&scene.tree(), output, &options(), &told) {
            Err(error) => panic!("{error:?}"),
            Ok(_) => {
                let archive = fs_err::read(&file).unwrap();
                assert!(!hashdb.nth.failed() || problems(&told).contains(FAILURE));
                scene.unpack_well(&archive, &before);
                fs_err::remove_file(&file).unwrap();
            }
        }
        assert!(scene.pack_well(&options()).0 == reference);
        hashdb.nth.failed()
    });
    assert!(failures >= 3, "{failures}");
}

#[test]
fn a_restore_whose_source_fails_has_all_else_and_then_everything() {
    let (scene, before) = scene();
    let (archive, _) = scene.pack_well(&options());
    let failures = until_it_succeeds(|nth| {
        let source = FaultySource { inner: &scene.source, nth: Nth::new(nth) };
        let restorer = Restorer {
            source: &source,
            web: &scene.source,
            limits: &scene.limits,
            jobs: 2,
            accepting: None,
        };
        let (target, told) = (scene.target(), Recorder::default());
        let options = RestoreOptions::default();
        let summary = restorer.unpack(&mut &*archive, &target, &options, &told).unwrap();
        if source.nth.failed() {
            let told_of = serious(&told);
            let unreachable = told_of.iter().filter(|(kind, _)| *kind == ProblemKind::Unreachable);
            assert_eq!(unreachable.count(), 1, "{}", problems(&told));
            assert!(problems(&told).contains(FAILURE));
            assert_eq!((summary.proven, summary.packages_used), (None, PACKAGES - 1));
            let summary = scene.restorer().restore(&target, &options, &Silent).unwrap();
            assert_eq!(summary.proven, Some(true));
        }
        assert_eq!(snapshot(&target), before);
        fs_err::remove_dir_all(&target).unwrap();
        source.nth.failed()
    });
    assert_eq!(failures, PACKAGES);
}
