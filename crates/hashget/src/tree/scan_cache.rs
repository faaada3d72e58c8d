//! The scan cache: what was hashed before and has not changed is not read again.
//!
//! Invariant: a digest is taken from the cache only for a file whose device, inode, size, mtime and
//! ctime are all as they were when it was read, and it is put there only if no later change could
//! have left them so. Losing the cache costs time and nothing else.
//!
//! Why that is sound. The kernel sets ctime at every change of contents or metadata, and nobody can set
//! it to a chosen value, so that a restored mtime, a reused inode or a copied disk shows. What could hide a
//! change is a change within one tick of the clock, a clock that was set back, a store through a
//! memory map to a page that is dirty already (it changes no time until the page has been written
//! back, half a minute later), and file systems that make their times up. So a file is remembered only
//! once its times are [`SETTLED_SECONDS`] old; a cache from the future is dropped whole; and only
//! local file systems known to keep ctime are remembered at all.

use std::collections::HashMap;
use std::fs::File;
use std::hash::Hasher;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::Stamp;
use crate::model::{Digest, HashingReader};

/// How old both times of a file must be, in seconds, before its digest is remembered: twice the time
/// after which Linux writes dirty pages back.
const SETTLED_SECONDS: i64 = 60;

/// The first bytes of a cache file; the last one is its version.
const MAGIC: [u8; 8] = *b"hgscan\0\x01";

/// File systems that keep ctime as Linux means it, by the magic numbers of `statfs(2)`.
const TRUSTED_FILE_SYSTEMS: [i64; 8] = [
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x9123_683e, // btrfs
    0x0102_1994, // tmpfs
    0x794c_7630, // overlayfs
    0xf2f5_2010, // f2fs
    0x2fc1_2fc1, // zfs
    0xca45_1a4e, // bcachefs
];

/// All that must be unchanged, in 16 bytes.
type Fingerprint = [u8; 16];

/// One file of the cache: 48 bytes.
type Line = (Fingerprint, Digest);

/// What a former scan of a tree left, and what this one will leave.
#[derive(Debug)]
pub(super) struct ScanCache {
    file: PathBuf,
    before: HashMap<Fingerprint, Digest, BuildFirstBytes>,
    after: Vec<Line>,
    started: i64,
    /// For each device whether its file system is trusted.
    trusted: HashMap<u64, bool>,
}

/// Fingerprints are digests already: their first bytes are as good a hash as any.
#[derive(Debug, Default)]
struct FirstBytes(u64);

type BuildFirstBytes = std::hash::BuildHasherDefault<FirstBytes>;

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }
}

fn fingerprint(stamp: &Stamp) -> Fingerprint {
    let mut bytes = [0; 48];
    let numbers = [
        stamp.device,
        stamp.inode,
        stamp.size,
        stamp.mtime.seconds.cast_unsigned(),
        stamp.ctime.seconds.cast_unsigned(),
        u64::from(stamp.mtime.nanoseconds) << 32 | u64::from(stamp.ctime.nanoseconds),
    ];
    for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    let digest = Digest::of(&bytes);
    let mut fingerprint = Fingerprint::default();
    fingerprint.copy_from_slice(&digest.as_bytes()[..16]);
    fingerprint
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

impl ScanCache {
    /// Reads what the last scan of the tree at `root` left in `folder`; nothing, if that is damaged
    /// or from the future.
    pub(super) fn open(folder: &Path, root: &Path) -> Self {
        use std::os::unix::ffi::OsStrExt as _;
        let name = Digest::of(root.as_os_str().as_bytes()).to_string();
        let file = folder.join(&name[..32]);
        let started = now();
        let before = read(&file, started).unwrap_or_default();
        Self { file, before, after: Vec::new(), started, trusted: HashMap::new() }
    }

    /// The digest of a file that has not changed since it was read, remembered for the next scan.
    pub(super) fn get(&mut self, stamp: &Stamp) -> Option<Digest> {
        let fingerprint = fingerprint(stamp);
        let digest = *self.before.get(&fingerprint)?;
        self.after.push((fingerprint, digest));
        Some(digest)
    }

    /// Remembers the digest of a file that held still while it was read.
    pub(super) fn put(&mut self, stamp: &Stamp, digest: Digest) {
        let newest = stamp.mtime.seconds.max(stamp.ctime.seconds);
        let trusted = self.trusted.get(&stamp.device).copied().unwrap_or(false);
        if trusted && newest.saturating_add(SETTLED_SECONDS) < self.started {
            self.after.push((fingerprint(stamp), digest));
        }
    }

    /// Learns once for each device whether its file system is one to trust. `folder` is open there.
    pub(super) fn meet(&mut self, device: u64, folder: impl AsFd) {
        self.trusted.entry(device).or_insert_with(|| {
            #[allow(
                clippy::unnecessary_cast,
                clippy::cast_possible_wrap,
                reason = "the type of f_type differs between machines"
            )]
            rustix::fs::fstatfs(folder)
                .is_ok_and(|status| TRUSTED_FILE_SYSTEMS.contains(&(status.f_type as i64)))
        });
    }

    /// Leaves what this scan knows for the next one.
    ///
    /// # Errors
    /// When it cannot be written; the next scan then reads everything.
    pub(super) fn save(mut self) -> io::Result<()> {
        self.after.sort_unstable();
        self.after.dedup();
        let folder = self.file.parent().unwrap_or(Path::new("."));
        fs_err::create_dir_all(folder)?;
        let mut bytes = Vec::with_capacity(24 + self.after.len() * 48 + 32);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.started.to_le_bytes());
        for (fingerprint, digest) in &self.after {
            bytes.extend_from_slice(fingerprint);
            bytes.extend_from_slice(digest.as_bytes());
        }
        let checksum = Digest::of(&bytes);
        bytes.extend_from_slice(checksum.as_bytes());
        let mut temporary = tempfile::Builder::new().prefix(".scan-").tempfile_in(folder)?;
        temporary.write_all(&bytes)?;
        temporary.persist(&self.file)?;
        Ok(())
    }
}

/// The lines of a whole cache file from before `now`.
fn read(file: &Path, now: i64) -> Option<HashMap<Fingerprint, Digest, BuildFirstBytes>> {
    let file = File::open(file).ok()?;
    let length = usize::try_from(file.metadata().ok()?.len()).ok()?;
    let lines = length.checked_sub(MAGIC.len() + 8 + 32)?;
    let mut reader = HashingReader::new(io::BufReader::with_capacity(1 << 16, file));
    let mut head = [0; 16];
    io::Read::read_exact(&mut reader, &mut head).ok()?;
    let started = i64::from_le_bytes(head[8..].try_into().ok()?);
    // A scan that started after now: the clock was set back, and times repeat.
    if head[..8] != MAGIC || started > now || lines % 48 != 0 {
        return None;
    }
    let mut before = HashMap::with_capacity_and_hasher(lines / 48, BuildFirstBytes::default());
    for _ in 0..lines / 48 {
        let mut line = [0; 48];
        io::Read::read_exact(&mut reader, &mut line).ok()?;
        let (fingerprint, digest) = line.split_at(16);
        before.insert(fingerprint.try_into().ok()?, Digest::from_bytes(digest.try_into().ok()?));
    }
    let (digest, _, mut rest) = reader.into_parts();
    let mut checksum = [0; 32];
    io::Read::read_exact(&mut rest, &mut checksum).ok()?;
    (digest.as_bytes() == &checksum).then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    fn stamp(inode: u64, seconds: i64) -> Stamp {
        let time = Timestamp::from_seconds(seconds);
        Stamp { device: 1, inode, size: 5, mtime: time, ctime: time }
    }

    fn cache(folder: &Path) -> ScanCache {
        let mut cache = ScanCache::open(folder, Path::new("/tree"));
        cache.trusted.insert(1, true);
        cache
    }

    #[test]
    fn what_is_unchanged_is_remembered_and_what_differs_in_anything_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = cache(folder.path());
        let digest = Digest::of(b"x");
        first.put(&stamp(7, 1000), digest);
        first.save().unwrap();
        let mut second = cache(folder.path());
        assert_eq!(second.get(&stamp(7, 1000)), Some(digest));
        let same = stamp(7, 1000);
        let others = [
            Stamp { device: 2, ..same },
            Stamp { inode: 8, ..same },
            Stamp { size: 6, ..same },
            Stamp { mtime: Timestamp { seconds: 1000, nanoseconds: 1 }, ..same },
            Stamp { ctime: Timestamp { seconds: 1001, nanoseconds: 0 }, ..same },
        ];
        assert!(others.iter().all(|other| second.get(other).is_none()));
        // What is used stays; what a scan did not meet is forgotten.
        second.save().unwrap();
        assert_eq!(cache(folder.path()).before.len(), 1);
        cache(folder.path()).save().unwrap();
        assert_eq!(cache(folder.path()).before.len(), 0);
    }

    #[test]
    fn files_that_changed_just_now_and_strange_file_systems_are_not_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = cache(folder.path());
        let now = first.started;
        for seconds in [now, now - 5, now + 3600] {
            first.put(&stamp(1, seconds), Digest::of(b"x"));
        }
        first.put(&Stamp { device: 99, ..stamp(2, 1000) }, Digest::of(b"x"));
        assert_eq!(first.after, []);
        first.put(&stamp(3, now - 3600), Digest::of(b"x"));
        assert_eq!(first.after.len(), 1);
    }

    #[test]
    fn a_cache_from_the_future_or_a_damaged_one_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = cache(folder.path());
        first.put(&stamp(7, 1000), Digest::of(b"x"));
        let (file, started) = (first.file.clone(), first.started);
        first.save().unwrap();
        assert_eq!(read(&file, started).unwrap().len(), 1);
        assert!(read(&file, started - 1).is_none());
        let whole = fs_err::read(&file).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs_err::write(&file, &damaged).unwrap();
            assert!(read(&file, i64::MAX).is_none(), "byte {at}");
            fs_err::write(&file, &whole[..at]).unwrap();
            assert!(read(&file, i64::MAX).is_none(), "cut at {at}");
        }
    }
}
