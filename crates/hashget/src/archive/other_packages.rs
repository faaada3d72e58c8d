//! Files of a lost package from other packages that have the same files: another build, an archive of the sources, a wheel.
//!
//! Invariant: a package is fetched only if a HashDB says that it has files that are wanted, and no other package that can be had gives
//! more of them; publishers are asked last, for what is missing still. What it gives is proven by its own digest, and each file once more by whoever takes it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::sync::{Arc, Mutex, MutexGuard};

use super::shared_for_lost::SharedForLost;
use crate::fetch::{FetchError, FileSource, KeptFiles, Source, WantedFile};
use crate::formats::{self, FormatError, Input, Visitor, VisitorError};
use crate::hashdb::{HashDb, HashDbError, Key, PackageId};
use crate::limits::Limits;
use crate::model::{Digest, Kind, Member, PackageRecord, RelPath, counted};
use crate::monitor::{Interrupted, Monitor, ProblemKind};
use crate::places;
use crate::wording::one_line;

/// Number of packages that are looked at for the files of one lost package: those that have most of them, as far as the HashDB's
/// keys say.
const MOST_LOOKED_AT: usize = 64;

/// Other packages that the HashDB knows, or that publishers know.
pub struct OtherPackages<'h> {
    hashdb: Arc<dyn HashDb>,
    shared: Option<SharedForLost<'h>>,
    source: Arc<dyn Source>,
    limits: Limits,
    gathered: Mutex<Gathered>,
}

/// What was unpacked.
#[derive(Default)]
struct Gathered {
    /// The files that were wanted.
    files: KeptFiles,
    /// The packages that could not be fetched, each with the URLs that were tried.
    failed: BTreeMap<Digest, BTreeSet<String>>,
}

/// A package that may give files that are wanted.
struct Candidate {
    record: PackageRecord,
    /// Those that it has, each with its size.
    files: BTreeSet<WantedFile>,
}

impl<'h> OtherPackages<'h> {
    /// The packages that `hashdb` knows, and those that `shared` knows, fetched from `source`.
    pub fn new(
        hashdb: Arc<dyn HashDb>,
        shared: Option<SharedForLost<'h>>,
        source: Arc<dyn Source>,
        limits: Limits,
    ) -> Self {
        Self { hashdb, shared, source, limits, gathered: Mutex::default() }
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().expect("no holder of this lock panics")
    }

    /// The packages that have some of `files`, and that are `usable`. Of a package whose members cannot be read, nothing is expected.
    fn candidates(
        hashdb: &dyn HashDb,
        files: &[WantedFile],
        usable: &dyn Fn(&PackageRecord) -> bool,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Candidate>, Failure> {
        let wanted: BTreeMap<Digest, u64> = files.iter().copied().collect();
        let keys: Vec<Key<'_>> = wanted.keys().map(|sha256| Key::Content(*sha256)).collect();
        let mut hits: BTreeMap<PackageId, usize> = BTreeMap::new();
        for id in hashdb.find(&keys)?.into_iter().flatten() {
            *hits.entry(id).or_default() += 1;
        }
        let mut ids: Vec<(PackageId, usize)> = hits.into_iter().collect();
        ids.sort_by_key(|&(id, hits)| (std::cmp::Reverse(hits), id));
        ids.truncate(MOST_LOOKED_AT);
        let ids: Vec<PackageId> = ids.into_iter().map(|(id, _)| id).collect();
        let records = hashdb.records(&ids)?;
        let known = ids.into_iter().zip(records).filter_map(|(id, record)| Some((id, record?)));
        let known: Vec<(PackageId, PackageRecord)> =
            known.filter(|(_, record)| usable(record)).collect();
        hashdb.prefetch_members(&known.iter().map(|(id, _)| *id).collect::<Vec<_>>())?;
        let mut candidates = Vec::new();
        for (id, record) in known {
            monitor.check_interrupted()?;
            let mut has = BTreeSet::new();
            let read = hashdb.each_member(id, &mut |member| {
                let size = member.sha256.and_then(|sha256| Some((sha256, *wanted.get(&sha256)?)));
                has.extend(size);
            });
            if read.is_ok() && !has.is_empty() {
                candidates.push(Candidate { record, files: has });
            }
        }
        Ok(candidates)
    }

    /// Fetches packages until all that can be had is there.
    fn fetch_all(
        &self,
        lost: Digest,
        files: &[WantedFile],
        monitor: &dyn Monitor,
    ) -> Result<(), Failure> {
        self.fetch_from(&*self.hashdb, lost, files, monitor)?;
        match self.shared.as_ref().and_then(|shared| shared.of(&lost)) {
            Some(shared) => self.fetch_from(shared, lost, files, monitor),
            None => Ok(()),
        }
    }

    /// Fetches packages that a HashDB knows, until all that can be had is there.
    fn fetch_from(
        &self,
        hashdb: &dyn HashDb,
        lost: Digest,
        files: &[WantedFile],
        monitor: &dyn Monitor,
    ) -> Result<(), Failure> {
        let mut gathered = self.gathered();
        let files: Vec<WantedFile> =
            files.iter().filter(|(sha256, _)| !gathered.files.has(sha256)).copied().collect();
        if files.is_empty() {
            return Ok(());
        }
        let failed = &gathered.failed;
        let is_new = |record: &PackageRecord, failed: &BTreeSet<String>| {
            record.urls().any(|url| !failed.contains(url))
        };
        let usable = |record: &PackageRecord| {
            record.sha256 != lost
                && failed.get(&record.sha256).is_none_or(|failed| is_new(record, failed))
        };
        let mut candidates = Self::candidates(hashdb, &files, &usable, monitor)?;
        while let Some(best) = best(&candidates) {
            monitor.check_interrupted()?;
            let Candidate { record, files } = candidates.swap_remove(best);
            let Some(found) = self.unpack(&record, &files, &gathered.files, monitor)? else {
                let urls = record.urls().map(str::to_owned);
                gathered.failed.entry(record.sha256).or_default().extend(urls);
                continue;
            };
            if found.is_empty() {
                continue;
            }
            let number = counted(found.len() as u64, "missing file", "missing files");
            let message = format!("has {number}, which are taken from it");
            monitor.problem(ProblemKind::Note, record.display_name(), message);
            for candidate in &mut candidates {
                candidate.files.retain(|(sha256, _)| !found.contains(sha256));
            }
        }
        Ok(())
    }

    /// Those of the `wanted` files that are in the package; `None` if it cannot be had, which is no problem of its own.
    fn unpack(
        &self,
        record: &PackageRecord,
        wanted: &BTreeSet<WantedFile>,
        kept: &KeptFiles,
        monitor: &dyn Monitor,
    ) -> Result<Option<BTreeSet<Digest>>, Failure> {
        let fetched = match self.source.fetch(&places::wanted(record), monitor) {
            Ok(fetched) => fetched,
            Err(FetchError::Interrupted(interrupted)) => return Err(interrupted.into()),
            Err(_) => return Ok(None),
        };
        let (sizes, digests) = wanted.iter().map(|&(sha256, size)| (size, sha256)).unzip();
        let mut picked = Picked { sizes, digests, kept, found: BTreeSet::new(), monitor };
        if picked.digests.contains(&record.sha256) {
            picked.take(&mut &fetched.file)?;
            (&fetched.file).rewind()?;
        }
        let recurse = |_: &RelPath| record.recursive;
        let input = Input::File(&fetched.file);
        match formats::read_package_as(&record.format, input, &recurse, &self.limits, &mut picked) {
            Err(FormatError::Visitor(error)) if error.is::<Interrupted>() => {
                Err(Interrupted.into())
            }
            // What came before a fault is as good as its digest.
            _ => Ok(Some(picked.found)),
        }
    }
}

/// The index of the candidate with most bytes that are wanted, of these the smallest.
fn best(candidates: &[Candidate]) -> Option<usize> {
    let bytes = |one: &Candidate| one.files.iter().map(|(_, size)| size).sum::<u64>();
    let useful = candidates.iter().enumerate().filter(|(_, one)| !one.files.is_empty());
    let best = useful.max_by_key(|(_, one)| (bytes(one), std::cmp::Reverse(one.record.size)));
    best.map(|(index, _)| index)
}

/// Why nothing could be gathered.
enum Failure {
    Interrupted(Interrupted),
    Other(String),
}

impl From<Interrupted> for Failure {
    fn from(interrupted: Interrupted) -> Self {
        Self::Interrupted(interrupted)
    }
}

impl From<HashDbError> for Failure {
    fn from(error: HashDbError) -> Self {
        Self::Other(one_line(&error))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Other(error.to_string())
    }
}

/// Takes the files that are wanted out of a package.
struct Picked<'m> {
    sizes: HashSet<u64>,
    digests: HashSet<Digest>,
    kept: &'m KeptFiles,
    found: BTreeSet<Digest>,
    monitor: &'m dyn Monitor,
}

impl Picked<'_> {
    fn take(&mut self, content: &mut dyn Read) -> io::Result<()> {
        let is_wanted = |(sha256, _): WantedFile| self.digests.contains(&sha256);
        let kept = self.kept.keep(content, &is_wanted)?;
        self.found.extend(kept.map(|(sha256, _)| sha256));
        Ok(())
    }
}

impl Visitor for Picked<'_> {
    fn visit(&mut self, member: Member, content: &mut dyn Read) -> Result<(), VisitorError> {
        self.monitor.check_interrupted()?;
        match member.kind {
            Kind::File { size } if self.sizes.contains(&size) => Ok(self.take(content)?),
            _ => Ok(()),
        }
    }
}

impl FileSource for OtherPackages<'_> {
    fn file(
        &self,
        sha256: Digest,
        _size: u64,
        monitor: &dyn Monitor,
    ) -> Result<Option<File>, Interrupted> {
        let gathered = self.gathered();
        gathered.files.open(&sha256).or_else(|error| {
            let why = format!("a file that was found cannot be read ({error})");
            monitor.problem(ProblemKind::Note, sha256.to_string(), why);
            Ok(None)
        })
    }

    fn gather(
        &self,
        package: Digest,
        files: &[WantedFile],
        monitor: &dyn Monitor,
    ) -> Result<(), Interrupted> {
        match self.fetch_all(package, files, monitor) {
            Ok(()) => Ok(()),
            Err(Failure::Interrupted(interrupted)) => Err(interrupted),
            Err(Failure::Other(why)) => {
                let why = format!("other packages could not be searched for files: {why}");
                monitor.problem(ProblemKind::Note, "HashDB", why);
                Ok(())
            }
        }
    }
}
