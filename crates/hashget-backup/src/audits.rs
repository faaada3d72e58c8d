//! What this machine remembers of audits: what each archive of a job relies on, and the figures of earlier audits.
//!
//! Invariant: it can be deleted at any time. What an archive relies on can be read from the archive again; of an encrypted one, by whoever
//! can open it.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use hashget::archive::{Figures, ReliedOn};
use hashget::pending_file::PendingFile;
use hashget::supplement::Contents;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::record::seconds;
use crate::series::ArchiveName;

/// The version of the files' form.
const VERSION: u32 = 1;

/// Audits that are remembered.
const MOST_AUDITS: usize = 1000;

/// Who may read it: what a machine has installed is nobody else's business.
const MODE: u32 = 0o600;

/// What an archive relies on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Relied {
    relied: u32,
    packages: Vec<ReliedOn>,
}

/// The folder of what the archives of a job rely on.
fn folder_of(state: &Path, job: &str) -> PathBuf {
    state.join(format!("{job}.relied"))
}

/// What an archive relies on, if it is remembered. What cannot be read is as if it were not.
pub fn relied_on(state: &Path, archive: &ArchiveName) -> Option<Vec<ReliedOn>> {
    let path = folder_of(state, archive.series().job()).join(format!("{archive}.json"));
    let read: Relied = serde_json::from_slice(&fs_err::read(path).ok()?).ok()?;
    (read.relied == VERSION).then_some(read.packages)
}

/// Remembers what an archive relies on.
///
/// # Errors
/// It cannot be written.
pub fn remember(state: &Path, archive: &ArchiveName, packages: Vec<ReliedOn>) -> io::Result<()> {
    let folder = folder_of(state, archive.series().job());
    write(&folder, &archive.to_string(), &Relied { relied: VERSION, packages })
}

/// What a supplement of a job says that it has, if it is remembered.
pub fn supplement(state: &Path, job: &str, name: &str) -> Option<Contents> {
    let bytes = fs_err::read(folder_of(state, job).join(format!("{name}.json"))).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Remembers what a supplement of a job says that it has.
///
/// # Errors
/// It cannot be written.
pub fn remember_supplement(
    state: &Path,
    job: &str,
    name: &str,
    contents: &Contents,
) -> io::Result<()> {
    write(&folder_of(state, job), name, contents)
}

fn write(folder: &Path, name: &str, what: &impl Serialize) -> io::Result<()> {
    fs_err::create_dir_all(folder)?;
    let path = folder.join(format!("{name}.json"));
    let mut pending = PendingFile::create(&path, MODE)?;
    serde_json::to_writer(&mut pending, what)?;
    pending.commit(&path)
}

/// Forgets the archives and supplements of a job for which `is_there` is not true.
pub fn forget(state: &Path, job: &str, is_there: impl Fn(&str) -> bool) {
    for entry in fs_err::read_dir(folder_of(state, job)).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let archive = name.to_str().and_then(|name| name.strip_suffix(".json"));
        if archive.is_some_and(|archive| !is_there(archive)) {
            // What stays is looked at again by the next audit.
            let _ = fs_err::remove_file(entry.path());
        }
    }
}

/// The figures of an audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditState {
    /// When it ended.
    #[serde(with = "seconds")]
    pub at: Timestamp,
    /// The number of archives.
    pub archives: u64,
    /// Those of the archive for which they were worst: bytes that could be restored,
    pub restorable: u64,
    /// bytes at risk,
    pub at_risk: u64,
    /// and bytes that were lost.
    pub lost: u64,
}

impl AuditState {
    /// An audit of so many archives, with these figures.
    pub fn new(at: Timestamp, archives: u64, worst: Figures) -> Self {
        let Figures { restorable, at_risk, lost } = worst;
        Self { at, archives, restorable, at_risk, lost }
    }
}

/// The audits of a job, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audits {
    audits: u32,
    /// The audits.
    pub all: Vec<AuditState>,
}

impl Audits {
    fn path(state: &Path, job: &str) -> PathBuf {
        state.join(format!("{job}.audits.json"))
    }

    /// Reads what is remembered of a job. What cannot be read, or has another version, is as if there had been no audit.
    pub fn read(state: &Path, job: &str) -> Self {
        let bytes = fs_err::read(Self::path(state, job)).unwrap_or_default();
        let read: Option<Self> = serde_json::from_slice(&bytes).ok();
        read.filter(|read| read.audits == VERSION).unwrap_or_default()
    }

    /// Adds an audit, and writes the file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn add(&mut self, audit: AuditState, state: &Path, job: &str) -> io::Result<()> {
        self.audits = VERSION;
        self.all.push(audit);
        self.all.drain(..self.all.len().saturating_sub(MOST_AUDITS));
        fs_err::create_dir_all(state)?;
        let path = Self::path(state, job);
        let mut pending = PendingFile::create(&path, MODE)?;
        serde_json::to_writer(&mut pending, self)?;
        pending.write_all(b"\n")?;
        pending.commit(&path)
    }

    /// The last audit.
    pub fn last(&self) -> Option<&AuditState> {
        self.all.last()
    }

    /// The one whose time is nearest to `days` before the last one, if any is about so old: at most a quarter of that off.
    pub fn before(&self, days: i64) -> Option<&AuditState> {
        let seconds = days * 24 * 60 * 60;
        let wanted = self.last()?.at.as_second() - seconds;
        let off = |audit: &&AuditState| (audit.at.as_second() - wanted).abs();
        self.all.iter().min_by_key(off).filter(|audit| off(audit) <= seconds / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audit(day: i64, lost: u64) -> AuditState {
        let at = Timestamp::from_second(1_800_000_000 + day * 24 * 60 * 60).unwrap();
        AuditState::new(at, 1, Figures { restorable: 9, at_risk: 0, lost })
    }

    #[test]
    fn audits_are_remembered_and_compared() {
        let state = tempfile::tempdir().unwrap();
        let mut audits = Audits::read(state.path(), "system");
        assert_eq!(audits.last(), None);
        for day in 0..40 {
            audits.add(audit(day, u64::try_from(day).unwrap()), state.path(), "system").unwrap();
        }
        let read = Audits::read(state.path(), "system");
        assert_eq!(read, audits);
        assert_eq!(read.last(), Some(&audit(39, 39)));
        assert_eq!(read.before(30), Some(&audit(9, 9)));
        assert_eq!(read.before(365), None);
        fs_err::write(state.path().join("system.audits.json"), "{").unwrap();
        assert_eq!(Audits::read(state.path(), "system"), Audits::default());
    }

    #[test]
    fn archives_that_are_gone_are_forgotten() {
        let state = tempfile::tempdir().unwrap();
        let name = |day| {
            let name = format!("web1_system_2026-11-{day}T023000Z.tar.zst");
            ArchiveName::parse(&name).unwrap()
        };
        let relied = ReliedOn {
            package: serde_json::from_value(serde_json::json!({
                "url": "https://host.example/a.deb",
                "sha256": "0a".repeat(32),
                "size": 7,
                "evidence": null,
                "expires": null,
            }))
            .unwrap(),
            bytes: 8,
            together: Vec::new(),
        };
        for day in [26, 27] {
            remember(state.path(), &name(day), vec![relied.clone()]).unwrap();
        }
        forget(state.path(), "system", |archive| archive == name(27).to_string());
        assert_eq!(relied_on(state.path(), &name(26)), None);
        assert_eq!(relied_on(state.path(), &name(27)), Some(vec![relied]));
    }
}
