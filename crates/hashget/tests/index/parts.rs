//! What the tests of the index stage stand on: a HashDB in memory, a scripted source, built tars.
//!
//! Invariant: the source gives only bytes that have the wanted digest, as every source must.

use std::collections::{BTreeMap, HashMap};
use std::io::{Seek as _, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use hashget::fetch::{FetchError, Fetched, Offline, Source, Wanted};
use hashget::hashdb::{
    Check, CheckOutcome, Checks, HashDb, HashDbError, HashDbWriter, Key, PackageId,
};
use hashget::index::Indexer;
use hashget::limits::Limits;
use hashget::model::{Digest, Evidence, Member, PackageRecord};
use hashget::monitor::{Monitor, Step, Total};

/// A HashDB that forgets everything when it is dropped.
#[derive(Default)]
pub(crate) struct MemoryDb {
    packages: Mutex<BTreeMap<PackageId, (PackageRecord, Vec<Member>)>>,
    /// The last id that was given.
    last: AtomicI64,
    checks: Mutex<Vec<Check>>,
    broken: bool,
}

impl MemoryDb {
    /// One that cannot record anything.
    pub(crate) fn broken() -> Self {
        Self { broken: true, ..Self::default() }
    }

    fn ids(&self, chosen: impl Fn(&PackageRecord, &[Member]) -> bool) -> Vec<PackageId> {
        let packages = self.packages.lock().unwrap();
        let matching = packages.iter().filter(|(_, (record, members))| chosen(record, members));
        matching.map(|(id, _)| *id).collect()
    }

    /// All URLs, sorted.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.list().into_iter().map(|(_, record)| record.url).collect()
    }

    /// All packages, by URL.
    pub(crate) fn list(&self) -> Vec<(PackageId, PackageRecord)> {
        let packages = self.packages.lock().unwrap();
        let mut all: Vec<_> =
            packages.iter().map(|(id, (record, _))| (*id, record.clone())).collect();
        all.sort_by(|(_, one), (_, other)| one.url.cmp(&other.url));
        all
    }
}

impl HashDb for MemoryDb {
    fn find(&self, keys: &[Key<'_>]) -> Result<Vec<Vec<PackageId>>, HashDbError> {
        let find = |key: &Key<'_>| match key {
            Key::Content(digest) => self.ids(|record, members| {
                let is_it = |member: &Member| member.sha256 == Some(*digest);
                record.sha256 == *digest || members.iter().any(is_it)
            }),
            Key::Package(digest) => self.ids(|record, _| record.sha256 == *digest),
            Key::Url(url) => {
                let mut found = self.ids(|record, _| record.url == *url);
                let others = |record: &PackageRecord| record.also.iter().any(|other| other == url);
                found.extend(self.ids(|record, _| record.url != *url && others(record)));
                found
            }
            Key::Signature(signature) => {
                self.ids(|record, _| record.signatures.contains(signature))
            }
        };
        Ok(keys.iter().map(find).collect())
    }

    fn records(&self, packages: &[PackageId]) -> Result<Vec<Option<PackageRecord>>, HashDbError> {
        let known = self.packages.lock().unwrap();
        let record = |id| known.get(id).map(|(record, _)| record.clone());
        Ok(packages.iter().map(record).collect())
    }

    fn each_member(
        &self,
        package: PackageId,
        visit: &mut dyn FnMut(Member),
    ) -> Result<(), HashDbError> {
        let packages = self.packages.lock().unwrap();
        let members = packages.get(&package).map(|(_, members)| members.clone());
        drop(packages);
        members.unwrap_or_default().into_iter().for_each(visit);
        Ok(())
    }
}

impl Checks for MemoryDb {
    fn put_check(&self, check: &Check) -> Result<(), HashDbError> {
        let mut checks = self.checks.lock().unwrap();
        let is_it = |known: &&mut Check| {
            (known.sha256, &known.url, known.deep) == (check.sha256, &check.url, check.deep)
        };
        match checks.iter_mut().find(is_it) {
            Some(known) if known.outcome == CheckOutcome::Moves => {}
            Some(known) => {
                let (seen_at, tail) = (known.seen_at, known.tail.take());
                known.clone_from(check);
                known.seen_at = check.seen_at.or(seen_at);
                known.tail = check.tail.clone().or(tail);
            }
            None => checks.push(check.clone()),
        }
        Ok(())
    }

    fn checks(&self, packages: &[Digest]) -> Result<Vec<Vec<Check>>, HashDbError> {
        let checks = self.checks.lock().unwrap();
        let of = |sha256: &Digest| {
            let mut found: Vec<Check> =
                checks.iter().filter(|check| check.sha256 == *sha256).cloned().collect();
            found.sort_by(|a, b| (&a.url, a.deep).cmp(&(&b.url, b.deep)));
            found
        };
        Ok(packages.iter().map(of).collect())
    }
}

impl HashDbWriter for MemoryDb {
    fn put(&self, record: &PackageRecord, members: &[Member]) -> Result<PackageId, HashDbError> {
        if self.broken {
            return Err(HashDbError::Failed {
                location: "memory".to_owned(),
                problem: "the disk is full".to_owned(),
            });
        }
        let mut packages = self.packages.lock().unwrap();
        let old = packages.iter().find(|(_, (known, _))| known.url == record.url);
        let mut record = record.clone();
        if let Some((id, (known, _))) = old {
            if known.stays_before(&record) {
                return Ok(*id);
            }
            if known.sha256 == record.sha256 {
                record.take_merits_of(known);
            }
        }
        packages.retain(|_, (known, _)| known.url != record.url);
        let id = PackageId::from_raw(self.last.fetch_add(1, Ordering::Relaxed) + 1);
        packages.insert(id, (record, members.to_vec()));
        Ok(id)
    }

    fn amend(
        &self,
        package: PackageId,
        change: &dyn Fn(&mut PackageRecord),
    ) -> Result<Option<PackageRecord>, HashDbError> {
        let mut packages = self.packages.lock().unwrap();
        let Some((record, _)) = packages.get_mut(&package) else { return Ok(None) };
        *record = record.amended(change);
        Ok(Some(record.clone()))
    }

    fn remove(&self, package: PackageId) -> Result<bool, HashDbError> {
        Ok(self.packages.lock().unwrap().remove(&package).is_some())
    }
}

/// What a server answers.
pub(crate) enum Answer {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A 404.
    NotFound,
    /// Nothing at all.
    Silence,
}

/// A source with one answer for each URL, and the requests it got.
#[derive(Default)]
pub(crate) struct Server {
    answers: HashMap<String, Answer>,
    /// Every request, in order.
    pub(crate) asked: Mutex<Vec<Wanted>>,
}

impl Server {
    /// Answers `url` so.
    pub(crate) fn with(mut self, url: &str, answer: Answer) -> Self {
        self.answers.insert(url.to_owned(), answer);
        self
    }

    /// The URLs that were asked for, in order.
    pub(crate) fn asked_urls(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|wanted| wanted.url.clone()).collect()
    }
}

impl Source for Server {
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        self.asked.lock().unwrap().push(wanted.clone());
        monitor.check_interrupted()?;
        let (from, url) = ("server".to_owned(), wanted.url.clone());
        let bytes = match self.answers.get(&wanted.url) {
            Some(Answer::Bytes(bytes)) => bytes,
            Some(Answer::Silence) => {
                return Err(FetchError::Unreachable {
                    url,
                    problem: "timed out".to_owned(),
                    answered: false,
                    given_up: None,
                });
            }
            Some(Answer::NotFound) | None => return Err(FetchError::NotFound { from, url }),
        };
        let size = bytes.len() as u64;
        monitor.begin(Step::Download, wanted.url.as_str(), Total::bytes(size)).advance(size, 1);
        let sha256 = Digest::of(bytes);
        let other_size = wanted.size.is_some_and(|wanted| wanted != size);
        if other_size || wanted.sha256.is_some_and(|wanted| wanted != sha256) {
            let (expected, found) = (format!("{:?}", wanted.sha256), sha256.to_string());
            return Err(FetchError::Mismatch { from, expected, found, file: None });
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        Ok(Fetched { file, sha256, size, from: url })
    }
}

/// An indexer of two jobs over these.
pub(crate) fn indexer<'a>(
    hashdb: &'a MemoryDb,
    server: &'a Server,
    limits: &'a Limits,
) -> Indexer<'a> {
    Indexer {
        hashdb,
        source: server,
        web: &Offline,
        shared: None,
        mirrors: &[],
        limits,
        jobs: 2,
        evidence: Evidence::Downloaded,
    }
}

/// A tar with these files, and the folder `etc`.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o755);
    header.set_size(0);
    builder.append_data(&mut header, "etc/", &b""[..]).unwrap();
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}
