//! The full archive that nights hang on: what this machine knows of its contents, and how it is found in destinations.
//!
//! Invariant: what this machine knows can be deleted at any time; the next archive is full then. A base is relied on only after it
//! was looked at in every destination, and read there as far as that is cheap.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hashget::fetch::{Offline, name_beside, url_beside};
use hashget::hashdb::LocalHashDb;
use hashget::index::{Indexer, Request};
use hashget::limits::Limits;
use hashget::model::Evidence;
use hashget::monitor::{Interrupted, Monitor, ProblemKind, Step, Total};
use hashget::wording;

use super::{Destination, Run, RunError, Spool, Spooled, spool_folder};
use crate::chain::{Base, Seen, Tonight, tonight};
use crate::job::Share;
use crate::newest::newest_own_archive;
use crate::record::{Record, Sealed};
use crate::series::{ArchiveName, Series};
use crate::store::{Store, StoreError, Stored, digest_of};

/// Bytes that are read of a base on another machine, to see that it can be read.
const START: usize = 64 << 10;

/// An archive that another one may hang on: what it has is left out there.
pub struct ToHangOn {
    /// Its name, under which it lies beside the other one.
    pub name: ArchiveName,
    /// The folder of a HashDB that knows it, by that name, and nothing else.
    pub hashdb: PathBuf,
}

/// The archives that those of `series` need which are not in all destinations yet.
pub fn needed_by_waiting(
    destinations: &[Destination],
    state: &Path,
    series: &Series,
) -> BTreeSet<String> {
    Spool::needed(&spool_folder(destinations, state), series)
}

impl Run<'_> {
    /// The archive that tonight's may hang on. A problem, if archives in a destination lack what they need.
    pub(super) fn base(&self, spool: &Spool) -> Result<(Option<Base>, Option<String>), RunError> {
        if !self.chains(spool) {
            return Ok((None, None));
        }
        let (monitor, state) = (self.setting.monitor, self.setting.state);
        let names: Vec<&str> = self.stores().into_iter().map(Store::shown).collect();
        let mut ask = |position: usize, base: &Base| match self.destinations.get(position) {
            Some(destination) => look(destination, base, monitor),
            None => Ok(Seen::Missing { is_needed: false }),
        };
        let base = known(state, &self.series);
        match tonight(base, &names, self.job.full_every, self.started, &mut ask)? {
            Tonight::HangsOn(base) => Ok((Some(base), None)),
            Tonight::Full(why) => {
                let kind = match why.is_loss() {
                    true => ProblemKind::Incomplete,
                    false => ProblemKind::Note,
                };
                monitor.problem(kind, &self.job.name, &why);
                Ok((None, why.is_loss().then(|| why.to_string())))
            }
        }
    }

    /// Remembers what is in a full archive, if the nights that follow may hang on it. If that fails, they are full, too.
    pub(super) fn remember(&self, spooled: &Spooled, spool: &Spool) -> Result<(), RunError> {
        let is_base = spooled.record.base.is_none() && !spooled.name.is_encrypted();
        if !self.chains(spool) || !is_base {
            return Ok(());
        }
        let monitor = self.setting.monitor;
        match remember(self.setting.state, &self.job.name, spooled, monitor) {
            Err(error @ RunError::Interrupted(_)) => Err(error),
            Err(error) => {
                let message = format!("the next archive will be full, too: {error}");
                monitor.problem(ProblemKind::Note, &self.job.name, message);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Do the job's nights hang on a full archive?
    fn chains(&self, spool: &Spool) -> bool {
        match self.job.share {
            // What is encrypted cannot be read by this machine.
            _ if !self.job.encrypt.is_empty() => false,
            Share::Full | Share::Reflink => false,
            Share::Chain => true,
            Share::Auto => {
                let is_folder = |destination: &Destination| destination.folder.is_some();
                let folders = self.destinations.iter().filter_map(|one| one.folder.as_deref());
                !self.destinations.iter().all(is_folder)
                    || !folders.chain([spool.folder()]).all(shares_blocks)
            }
        }
    }

    /// What packing is told of a base.
    pub(super) fn to_hang_on(&self, base: Base) -> ToHangOn {
        ToHangOn { name: base.name, hashdb: folder(self.setting.state, &self.job.name) }
    }

    /// The archive from which is copied what has not changed. One that hangs on `base` leaves that out already.
    pub(super) fn reuse(&self, spool: &Spool, base: Option<&Base>) -> Option<PathBuf> {
        let folders =
            self.destinations.iter().filter_map(|destination| destination.folder.as_deref());
        let folders = folders.chain([spool.folder()]);
        match self.job.share {
            Share::Full => None,
            // Encrypted bytes are other ones each night.
            _ if base.is_some() || !self.job.encrypt.is_empty() => None,
            Share::Auto | Share::Chain if self.chains(spool) => {
                let earlier = known(self.setting.state, &self.series)?;
                newest_own_archive(folders, &self.series, Some(&earlier.name))
            }
            Share::Auto | Share::Chain | Share::Reflink => {
                newest_own_archive(folders, &self.series, None)
            }
        }
    }

    /// How long after its start an archive is locked: one that others may hang on for as long as these.
    pub(super) fn lock(&self, record: &Record) -> Option<Duration> {
        let may_be_needed =
            record.base.is_none() && matches!(self.job.share, Share::Chain | Share::Auto);
        let longer = if may_be_needed { self.job.full_every } else { Duration::ZERO };
        Some(self.job.lock?.saturating_add(longer))
    }
}

/// The folder of what is known of the contents of a job's base.
fn folder(state: &Path, job: &str) -> PathBuf {
    state.join(format!("{job}.base"))
}

/// The base that this machine knows. What is damaged is as if it were not there.
fn known(state: &Path, series: &Series) -> Option<Base> {
    let folder = folder(state, series.job());
    // Opening a HashDB that is not there makes one.
    if !folder.is_dir() {
        return None;
    }
    let packages = LocalHashDb::open(&folder).ok()?.list().ok()?;
    let [(_, record)] = &packages[..] else { return None };
    let name = ArchiveName::parse(name_beside(&record.url)?)?;
    let sealed = Sealed { bytes: record.size, sha256: record.sha256.to_string() };
    (name.series() == series).then_some(Base { name, sealed })
}

/// Reads a full archive, and remembers what is in it for the nights that follow.
fn remember(
    state: &Path,
    job: &str,
    spooled: &Spooled,
    monitor: &dyn Monitor,
) -> Result<(), RunError> {
    let folder = folder(state, job);
    match fs_err::remove_dir_all(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => removed?,
    }
    let unknown = |problem: String| {
        let text = format!("cannot remember what is in {}: {problem}", spooled.name);
        RunError::Local(io::Error::other(text))
    };
    let hashdb = LocalHashDb::open(&folder).map_err(|error| unknown(error.to_string()))?;
    let (limits, source) = (Limits::default(), Offline);
    let indexer = Indexer {
        hashdb: &hashdb,
        source: &source,
        web: &source,
        shared: None,
        mirrors: &[],
        limits: &limits,
        jobs: 1,
        evidence: Evidence::Downloaded,
    };
    let request = Request {
        url: url_beside(&spooled.name.to_string()),
        sha256: spooled.record.sha256.parse().ok(),
        file: Some(spooled.path()),
        ..Request::default()
    };
    match indexer.index(&request, monitor) {
        Ok(_) => Ok(()),
        Err(hashget::index::IndexError::Interrupted(interrupted)) => Err(interrupted.into()),
        Err(error) => Err(unknown(wording::one_line(&error))),
    }
}

/// Looks at the base in one destination. In a folder of this machine, every byte is read; elsewhere its size and the checksum that is
/// told are compared, and its start is read.
fn look(
    destination: &Destination,
    base: &Base,
    monitor: &dyn Monitor,
) -> Result<Seen, Interrupted> {
    let (store, name) = (&*destination.store, base.name.to_string());
    let stored = match store.list(monitor) {
        Ok(stored) => stored,
        Err(StoreError::Interrupted(interrupted)) => return Err(interrupted),
        Err(error) => return Ok(Seen::Unseen(error.to_string())),
    };
    let find = |name: &str| stored.iter().find(|file| file.name == name);
    let Some(mut file) = find(&name).cloned() else {
        let names = stored.iter().filter_map(|file| ArchiveName::parse(&file.name));
        let is_later = |name: ArchiveName| name.series() == base.name.series() && name > base.name;
        return Ok(Seen::Missing { is_needed: names.into_iter().any(is_later) });
    };
    match store.examine(std::slice::from_mut(&mut file), monitor) {
        Err(StoreError::Interrupted(interrupted)) => return Err(interrupted),
        Err(error) => return Ok(Seen::Unseen(error.to_string())),
        Ok(()) => {}
    }
    if let Some(problem) = differs(&file, &base.sealed) {
        return Ok(Seen::Damaged(problem));
    }
    if find(&base.name.record()).is_none() {
        return Ok(Seen::Damaged("it has no record".to_owned()));
    }
    let read = match &destination.folder {
        Some(folder) => read_whole(&folder.join(&name), base, monitor),
        None => store.open(&name, monitor).map_err(io::Error::from).and_then(|mut source| {
            Ok(match source.read(&mut vec![0; START])? {
                0 => Seen::Damaged("it is empty".to_owned()),
                _ => Seen::Sound,
            })
        }),
    };
    monitor.check_interrupted()?;
    Ok(read.unwrap_or_else(|error| Seen::Unseen(format!("it cannot be read: {error}"))))
}

/// What a destination tells of a file that does not agree with what it was.
fn differs(file: &Stored, sealed: &Sealed) -> Option<String> {
    if file.bytes != sealed.bytes {
        return Some(format!("it has {} bytes, not {}", file.bytes, sealed.bytes));
    }
    let told = file.sha256.as_ref().filter(|sha256| **sha256 != sealed.sha256)?;
    Some(format!("its SHA-256 is {told}, not {}", sealed.sha256))
}

/// Reads a file of this machine to its end.
fn read_whole(path: &Path, base: &Base, monitor: &dyn Monitor) -> io::Result<Seen> {
    let mut file: File = fs_err::File::open(path)?.into_file();
    let total = Total::bytes(base.sealed.bytes);
    let progress = monitor.begin(Step::Check, base.name.to_string(), total);
    let (found, _) = digest_of(|buffer| {
        monitor.check_interrupted().map_err(io::Error::other)?;
        let count = file.read(buffer)?;
        progress.advance(count as u64, 0);
        Ok::<_, io::Error>(count)
    })?;
    Ok(match found == base.sealed.sha256 {
        true => Seen::Sound,
        false => Seen::Damaged(format!("its SHA-256 is {found}, not {}", base.sealed.sha256)),
    })
}

/// Can files of this folder share their blocks? Two files without names are made in it, and one is made to share those of the other.
fn shares_blocks(folder: &Path) -> bool {
    let tried = || -> io::Result<()> {
        use std::io::Write as _;
        let mut from = tempfile::tempfile_in(folder)?;
        from.write_all(&[1; 4096])?;
        rustix::fs::ioctl_ficlone(tempfile::tempfile_in(folder)?, from)?;
        Ok(())
    };
    tried().is_ok()
}
