//! A job: what is packed, where it goes, and what is kept.
//!
//! Invariant: a job is plain data that was checked when the configuration was read.

use std::path::PathBuf;
use std::time::Duration;

use hashget::parity;

use crate::retention::Keep;
use crate::store::Address;

/// The longest that a hook may take, unless the job says otherwise.
pub const HOOK_TIME: Duration = Duration::from_secs(60 * 60);

/// How nights share bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Share {
    /// What has not changed is copied from the newest archive on this machine, where the file system can, by sharing its blocks.
    #[default]
    Reflink,
    /// Nothing is taken from an earlier archive.
    Full,
    /// Nights between two full archives leave out what the full one has, and need it to be restored.
    Chain,
    /// As `Reflink` if all destinations are folders of file systems that share blocks; otherwise as `Chain`.
    Auto,
}

/// What makes a source consistent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotKind {
    /// A read-only snapshot of a btrfs subvolume.
    Btrfs,
    /// A snapshot of a logical volume, mounted read-only.
    Lvm,
    /// A snapshot of a ZFS dataset.
    Zfs,
}

/// Commands for the shell, each at a time of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hooks {
    /// Before packing. One that fails ends the run.
    pub before: Vec<String>,
    /// After packing, whether it succeeded or not, if those before it were run.
    pub after: Vec<String>,
    /// After a run that failed.
    pub on_failure: Vec<String>,
    /// The longest that one of them may take.
    pub time: Duration,
}

impl Default for Hooks {
    fn default() -> Self {
        Self { before: Vec::new(), after: Vec::new(), on_failure: Vec::new(), time: HOOK_TIME }
    }
}

/// Whom a run tells about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notices {
    /// An address that is told of the start and the end.
    pub ping: Option<String>,
    /// Whom a failure is mailed to.
    pub mail: Option<String>,
    /// The folder of Prometheus's textfile collector.
    pub metrics: Option<PathBuf>,
}

/// A job of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// The host's name in the names of archives.
    pub host: String,
    /// The folders and files that are packed.
    pub sources: Vec<PathBuf>,
    /// Options of `pack`, as words.
    pub options: Vec<String>,
    /// Whom archives are encrypted to, as in [`crate::encryption::Recipients::of`]; nobody if it is empty.
    pub encrypt: Vec<String>,
    /// The destinations.
    pub to: Vec<Address>,
    /// Which archives are kept.
    pub keep: Keep,
    /// Does this machine remove what is not kept?
    pub prune: bool,
    /// When it runs: a time of the day, or a calendar expression of systemd.
    pub schedule: Option<String>,
    /// What is run around it.
    pub hooks: Hooks,
    /// Who is told.
    pub notices: Notices,
    /// The snapshot from which the sources are read.
    pub snapshot: Option<SnapshotKind>,
    /// How nights share bytes.
    pub share: Share,
    /// How much parity is written beside each archive; `None` is none.
    pub parity: Option<parity::Share>,
    /// How long nights of a chain hang on one full archive.
    pub full_every: Duration,
    /// The most bytes that are sent to one destination in a second.
    pub upload: Option<u64>,
    /// How long after its start nobody is to be able to remove an archive, in stores that can lock.
    pub lock: Option<Duration>,
    /// The number of threads that pack.
    pub cpu: Option<usize>,
}

impl Job {
    /// What the names of its archives end with besides.
    pub(crate) fn encryption(&self) -> &'static str {
        crate::encryption::ending(&self.encrypt)
    }
}
