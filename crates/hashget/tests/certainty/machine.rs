//! A machine that packs trees, and a world of URLs that change.
//!
//! Invariant: the loopback address counts as public, so that files of a tree may name it; everything else is as a user has it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hashget::codec::Codec;
use hashget::detectors::{Detector, select};
use hashget::fetch::{FetchOptions, Reach, RetryOptions, Sources, TimeOuts, standard_sources};
use hashget::hashdb::{Check, Checks as _, HashDbWriter, LocalHashDb};
use hashget::index::{IndexError, Indexed, Indexer, Request};
use hashget::limits::Limits;
use hashget::model::{Evidence, PackageRecord};
use hashget::monitor::{Recorder, Silent};
use hashget::pack::{Output, PackOptions, Packer, Summary};
use hashget::restore::{RestoreOptions, Restorer};
use hashget_testkit::origin::Origin;
use hashget_testkit::packages::{TarBuilder, compress};

pub(crate) struct Machine {
    folder: tempfile::TempDir,
    pub(crate) world: Origin,
    pub(crate) hashdb: LocalHashDb,
}

/// The bytes of a file of this name.
pub(crate) fn content(name: &str) -> Vec<u8> {
    name.bytes().cycle().take(4000).collect()
}

/// A package with the files of these names. As nearly all packages, it ends with a checksum of its contents.
pub(crate) fn package(names: &[&str]) -> Vec<u8> {
    let add = |tar: TarBuilder, name: &&str| tar.file(name, &content(name));
    compress("gzip", &names.iter().fold(TarBuilder::new(), add).finish())
}

pub(crate) fn options() -> PackOptions<'static> {
    PackOptions { max_fetch_ratio: f64::INFINITY, codec: Codec::None, ..PackOptions::default() }
}

fn hints() -> Vec<&'static dyn Detector> {
    select(&["hint".to_owned()], &[]).unwrap()
}

impl Machine {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hashdb = LocalHashDb::open(&folder.path().join("db")).unwrap();
        Self { folder, world: Origin::start(), hashdb }
    }

    fn sources(&self) -> Sources {
        standard_sources(&FetchOptions {
            public_hosts: BTreeSet::from(["127.0.0.1".to_owned()]),
            retry: RetryOptions { tries: 1, ..RetryOptions::default() },
            time_outs: TimeOuts { answer: Duration::from_secs(2), ..TimeOuts::default() },
            ..FetchOptions::default()
        })
        .unwrap()
    }

    /// A tree with the files of these names.
    pub(crate) fn tree(&self, tree: &str, names: &[&str]) -> PathBuf {
        let tree = self.folder.path().join(tree);
        for name in names {
            let path = tree.join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, content(name)).unwrap();
        }
        tree
    }

    /// Writes a hint into a folder of a tree.
    pub(crate) fn hint(&self, folder: &Path, path: &str) {
        fs_err::create_dir_all(folder).unwrap();
        let hint = format!("{{\"url\": \"{}\"}}", self.world.url(path));
        fs_err::write(folder.join("hashget-hint.json"), hint).unwrap();
    }

    /// The user indexes what lies at `path`.
    pub(crate) fn index(&self, path: &str) -> Result<Indexed, IndexError> {
        self.index_with(&Request { url: self.world.url(path), ..Request::default() })
    }

    pub(crate) fn index_with(&self, request: &Request) -> Result<Indexed, IndexError> {
        let (Sources { source, web }, limits) = (self.sources(), Limits::default());
        let indexer = Indexer {
            hashdb: &self.hashdb,
            source: &*source,
            web: &*web,
            shared: None,
            mirrors: &[],
            limits: &limits,
            jobs: 1,
            evidence: Evidence::Downloaded,
        };
        indexer.index(request, &Silent)
    }

    /// Packs a tree; the archive, what it relies on, and what was reported.
    pub(crate) fn pack(&self, tree: &Path, options: PackOptions<'_>) -> (PathBuf, Summary, String) {
        self.pack_with(&self.hashdb, tree, options)
    }

    /// The same with another HashDB.
    pub(crate) fn pack_with(
        &self,
        hashdb: &dyn HashDbWriter,
        tree: &Path,
        options: PackOptions<'_>,
    ) -> (PathBuf, Summary, String) {
        let (Sources { source, web }, limits) = (self.sources(), Limits::default());
        let packer = Packer {
            hashdb,
            source: &*source,
            web: &*web,
            shared: None,
            mirrors: &[],
            limits: &limits,
            jobs: 2,
        };
        let archive = self.folder.path().join("archive.tar");
        let options = PackOptions { detectors: hints(), ..options };
        let recorder = Recorder::default();
        let output = Output::File(archive.clone());
        let summary = packer.pack(tree, output, &options, &recorder).unwrap();
        (archive, summary, format!("{:?}", recorder.recorded().problems))
    }

    /// Restores the archive on another machine. Does it give the tree?
    pub(crate) fn comes_back(&self, archive: &Path, tree: &Path) -> bool {
        let target = tempfile::tempdir().unwrap();
        let (Sources { source, web }, limits) = (self.sources(), Limits::default());
        let restorer =
            Restorer { source: &*source, web: &*web, limits: &limits, jobs: 1, accepting: None };
        let mut file = fs_err::File::open(archive).unwrap();
        let target = target.path().join("restored");
        let restored = restorer.unpack(&mut file, &target, &RestoreOptions::default(), &Silent);
        restored.is_ok()
            && hashget_testkit::trees::differences(
                &hashget_testkit::trees::snapshot(tree),
                &hashget_testkit::trees::snapshot(&target),
            )
            .is_empty()
    }

    /// The URLs' paths that were asked for since `before`, the number of requests then.
    pub(crate) fn asked_since(&self, before: usize) -> Vec<String> {
        self.world.requests().into_iter().skip(before).map(|request| request.path).collect()
    }

    /// Is there a page for people at `path`?
    pub(crate) fn is_page(&self, path: &str) -> bool {
        let Sources { web, .. } = self.sources();
        let page = web.fetch_page(&self.world.url(path), Reach::Anywhere, "*/*", 100, &Silent);
        page.is_ok_and(|page| page.starts_with(b"<html>"))
    }

    pub(crate) fn requests(&self) -> usize {
        self.world.requests().len()
    }

    /// The record of the package at `path`.
    pub(crate) fn record(&self, path: &str) -> Option<PackageRecord> {
        let url = self.world.url(path);
        self.hashdb.list().unwrap().into_iter().map(|(_, record)| record).find(|one| one.url == url)
    }

    /// Lets days pass: every answer is that much older.
    pub(crate) fn days_pass(&self, days: i64) {
        for (_, record) in self.hashdb.list().unwrap() {
            for check in self.hashdb.checks(&[record.sha256]).unwrap().concat() {
                let checked_at = check.checked_at - days * 24 * 60 * 60;
                let seen_at = check.seen_at.map(|_| checked_at);
                self.hashdb.put_check(&Check { checked_at, seen_at, ..check }).unwrap();
            }
        }
    }
}
