//! The options of a backup.
//!
//! Invariant: the defaults rely only on proven contents, and leave out as much as possible.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::codec::Codec;
use crate::derived::Derive;
use crate::detectors::{Detector, Machine};
use crate::fetch::ManagedPool;
use crate::model::manifest::{ProfileItem, Regenerable};
use crate::model::{Amount, Evidence};
use crate::places::Policy;
use crate::programs::Programs;
use crate::tree::{BadGlob, FileSystems, Globs, Scan, Selected, Supplied};

/// Which files have their digest in the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashesKept {
    /// Of files of 100 KiB or more.
    Anchors,
    /// Of every file.
    All,
    /// Of no file: the digests of the packages are sufficient.
    None,
}

impl HashesKept {
    /// The size in bytes from which a file is an anchor; the value is that of the Python tool.
    const ANCHOR_BYTES: u64 = 100 * 1024;

    pub(super) fn keeps(self, size: u64) -> bool {
        match self {
            Self::Anchors => size >= Self::ANCHOR_BYTES,
            Self::All => true,
            Self::None => false,
        }
    }

    pub(super) fn archived(self) -> bool {
        self != Self::None
    }
}

/// Which archives keep the names of what packages give, so that they can be listed without the packages. Only those with
/// [`Codec::Zstd`] can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamesKept {
    /// Those in which the names are less than a tenth of the rest.
    Auto,
    /// All.
    All,
    /// None.
    None,
}

/// The format of the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManifestVersion {
    /// The format of the older Python tool, which can restore the archive. Files whose metadata it cannot
    /// represent are archived.
    One,
    /// The current format.
    Two,
}

/// Options of packing.
pub struct PackOptions<'a> {
    /// Which paths of the tree are packed.
    pub selected: Selected,
    /// The folder in which the tree is read instead: a snapshot of its file system. What detectors look at is that of the tree itself.
    pub snapshot: Option<PathBuf>,
    /// Files that are part of the tree without lying in it.
    pub supplied: Vec<Supplied>,
    /// Patterns of what is excluded from the backup (see [`Globs`]). One that matches nothing is
    /// named in a note.
    pub exclude: Vec<String>,
    /// Further ones, which may match nothing.
    pub exclude_by_default: Vec<String>,
    /// What profiles exclude, since programs make it again. It is counted, and recorded in the manifest. Only with
    /// [`ManifestVersion::Two`].
    pub profile: Vec<ProfileItem>,
    /// Patterns of files that are archived without a look-up.
    pub skip: Vec<String>,
    /// Exclude folders marked by a `CACHEDIR.TAG`.
    pub exclude_caches: bool,
    /// Exclude the contents of folders that have a file of one of these names, which stays.
    pub exclude_if_present: Vec<OsString>,
    /// Exclude regular files of more bytes.
    pub exclude_larger_than: Option<u64>,
    /// Exclude what has the flag "no dump" of the file system (`chattr +d`), with everything below it.
    pub respect_nodump: bool,
    /// Which file systems are entered that are mounted in the tree.
    pub file_systems: FileSystems,
    /// Smaller files, in bytes, are archived without a look-up.
    pub min_size: u64,
    /// Digests of single files in the manifest.
    pub hashes: HashesKept,
    /// The names of what packages give.
    pub names: NamesKept,
    /// Put the program that restores an archive without hashget into the archive. Only with [`ManifestVersion::Two`].
    pub with_restorer: bool,
    /// Format of the manifest.
    pub manifest_version: ManifestVersion,
    /// Which recipes leave out what they make. Only with [`ManifestVersion::Two`].
    pub derive: Derive,
    /// Runs the programs of recipes, with [`Derive::All`].
    pub programs: Option<Programs>,
    /// Look for pieces of packages in large files, if the HashDB keeps blocks. Their rests can be in an archive alone. Not with [`Derive::None`].
    pub pieces: bool,
    /// `YYYY-MM-DD`: the backup must be restorable until this day; packages that expire earlier are not
    /// relied on.
    pub expires: Option<String>,
    /// The weakest evidence that is relied on.
    pub evidence: Evidence,
    /// Ask the places of packages whether they still have them, where no answer is recent enough.
    pub ask: bool,
    /// Rely on places that nobody asked, too: for packing without a network.
    pub unasked: bool,
    /// What is wanted of the places of packages beyond one that is certain.
    pub policy: Policy,
    /// The pool into which packages are put that lack a place, or are too young, by the policy; otherwise their files are archived.
    pub keep_in: Option<Arc<dyn ManagedPool>>,
    /// Compression of the archive.
    pub codec: Codec,
    /// Its level; the codec's own default if absent.
    pub level: Option<i32>,
    /// An earlier archive: what has not changed since is copied from it, compressed as it is. Only [`Codec::Zstd`] can.
    pub reuse: Option<PathBuf>,
    /// A package is relied on if it costs at most this many bytes of download for each byte that it alone
    /// saves.
    pub max_fetch_ratio: f64,
    /// The detectors that look for packages.
    pub detectors: Vec<&'a dyn Detector>,
    /// What they may use of the machine besides the tree.
    pub machine: Machine,
    /// Index what the detectors find and the HashDB does not know.
    pub index: bool,
    /// The folder of the scan cache: files that have not changed since the last scan are not read again.
    pub scan_cache: Option<PathBuf>,
}

/// What no backup of a whole running system needs: kernel file systems, files that do not survive a restart,
/// files that apt can fetch again, and swap files. The folders themselves are kept.
pub const SYSTEM_EXCLUDES: &[&str] = &[
    "/dev/*",
    "/proc/*",
    "/run/*",
    "/sys/*",
    "/tmp/*",
    "/lost+found",
    "/swapfile",
    "/swap.img",
    "/var/cache/apt/*.bin",
    "/var/cache/apt/archives/*.deb",
    "/var/cache/apt/archives/partial/*",
    "/var/cache/hashget/*",
    "/var/lib/apt/lists/*",
];

impl PackOptions<'_> {
    /// Ten bytes of download for each byte saved: beyond that, the slower restore outweighs the saving.
    pub const MAX_FETCH_RATIO: f64 = 10.0;

    /// What is excluded from the tree at `tree`: the patterns of [`Self::exclude`], then the others.
    pub(super) fn excluded(&self, tree: &Path) -> Result<Globs, BadGlob> {
        let patterns = self.exclude.iter().chain(&self.exclude_by_default);
        Globs::for_tree(patterns.map(String::as_str), tree)
    }

    /// What programs make again: patterns with the numbers of [`Self::profile`]. They follow no links: what lies behind one may be
    /// anything.
    pub(super) fn regenerable(&self) -> Result<Globs, BadGlob> {
        let patterns: Vec<&str> = self.profile.iter().map(|item| &*item.pattern).collect();
        Globs::new(&patterns)
    }
}

/// What was excluded by which item of `profile`.
pub(super) fn regenerable(profile: &[ProfileItem], scan: &Scan) -> Vec<Regenerable> {
    let of_item = |(&number, amount): (&usize, &Amount)| {
        let (item, Amount { files, bytes }) = (profile.get(number)?.clone(), *amount);
        Some(Regenerable { item, files, bytes })
    };
    scan.regenerable.iter().filter_map(of_item).collect()
}

impl Default for PackOptions<'_> {
    fn default() -> Self {
        Self {
            selected: Selected::default(),
            snapshot: None,
            supplied: Vec::new(),
            exclude: Vec::new(),
            exclude_by_default: Vec::new(),
            profile: Vec::new(),
            skip: Vec::new(),
            exclude_caches: false,
            exclude_if_present: Vec::new(),
            exclude_larger_than: None,
            respect_nodump: false,
            file_systems: FileSystems::All,
            min_size: 0,
            hashes: HashesKept::Anchors,
            names: NamesKept::Auto,
            with_restorer: false,
            manifest_version: ManifestVersion::Two,
            derive: Derive::default(),
            programs: None,
            pieces: true,
            expires: None,
            evidence: Evidence::Signed,
            ask: true,
            unasked: false,
            policy: Policy::default(),
            keep_in: None,
            codec: Codec::Zstd,
            level: None,
            reuse: None,
            max_fetch_ratio: Self::MAX_FETCH_RATIO,
            detectors: Vec::new(),
            machine: Machine::default(),
            index: true,
            scan_cache: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RelPath;

    #[test]
    fn of_a_whole_system_the_folders_stay() {
        let globs = Globs::new(SYSTEM_EXCLUDES).unwrap();
        for (path, excluded) in [
            ("proc", false),
            ("proc/1", true),
            ("tmp/.hidden", true),
            ("home/user/tmp/x", false),
            ("usr/lib/sys/x", false),
            ("var/tmp/x", false),
            ("var/lib/apt/lists", false),
            ("var/lib/apt/lists/x_InRelease", true),
            ("var/cache/apt/archives/x.deb", true),
            ("var/cache/apt/archives/lock", false),
            ("var/cache/apt/pkgcache.bin", true),
            ("var/lib/dpkg/status", false),
            ("swapfile", true),
            ("etc/swapfile", false),
        ] {
            let found = globs.matches(Path::new("/"), &RelPath::new(path).unwrap());
            assert_eq!(found, excluded, "{path}");
        }
    }
}
