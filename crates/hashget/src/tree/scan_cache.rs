//! The scan cache: files that were hashed before and have not changed are not read again.
//!
//! Invariant: a digest is taken from the cache only for a file whose device, inode, size, mtime and ctime are
//! the same as when it was read. It is stored only if no later change could have left them the same. Losing
//! the cache only costs time.
//!
//! Why this is sound: the kernel sets ctime at every change of contents or metadata, and nobody can set it to
//! a chosen value, so a restored mtime, a reused inode or a copied disk is noticed. A change could go
//! unnoticed within one tick of the clock; after the clock was set back; in a memory-mapped page that is
//! already dirty (a store sets no time until the page is written back); if the system crashes after a change and before its
//! time was written; and on file systems that invent their times. So a file is remembered only once its times are settled
//! (see [`Conditions`]); a cache from the future, or of an earlier start of the system, is discarded; and only files on
//! local file systems are remembered that write pages back and maintain ctime, which tests check for each of them. They set
//! ctime at every change of extended attributes, too: a file, a folder or a link that had none still has none, so that they
//! need not be listed, provided that whoever found none would have seen them.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::conditions::Conditions;
use super::{Stamp, TreeRoot};
use crate::model::{Digest, HashingReader, HashingWriter};
use crate::pending_file::PendingFile;

/// The first bytes of a cache file; the last one is the format version.
const MAGIC: [u8; 8] = *b"hgscan\0\x03";

/// Bytes before the lines: the magic, the time of the scan, the start of the system, and whether all attributes were seen.
const HEAD_BYTES: usize = 8 + 8 + 16 + 8;

/// File systems on which an unchanged ctime proves an unchanged file: their magic numbers of `statfs(2)` and the names of
/// their types. File systems in memory are not among them: they write no pages back, so that a mapped page stays
/// dirty, and can be changed unseen, for ever.
const TRUSTED_FILE_SYSTEMS: [(i64, &[&str]); 3] =
    [(0xef53, &["ext2", "ext3", "ext4"]), (0x5846_5342, &["xfs"]), (0x9123_683e, &["btrfs"])];

/// Hash of everything that must be unchanged, 127 bits; the last bit says that the file has no extended
/// attributes.
type Fingerprint = [u8; 16];

/// That last bit, in the last byte.
const BARE: u8 = 1;

/// One file of the cache: 48 bytes.
pub(super) type Line = (Fingerprint, Digest);

/// What is known about a file that has not changed, or of a folder, a link or a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// The digest of a file; zeros for everything else.
    pub(super) sha256: Digest,
    /// Is it certain that it has no extended attributes?
    pub(super) bare: bool,
}

/// What an earlier scan of a tree saved.
#[derive(Debug)]
pub(super) struct ScanCache {
    file: PathBuf,
    /// Sorted, so that a search needs no further memory.
    before: Vec<Line>,
    /// Which of them were found again.
    met: Vec<AtomicBool>,
    started: i64,
    conditions: Conditions,
    /// Whether the file system of each device is trusted.
    trust: Mutex<HashMap<u64, bool>>,
    /// The device of a snapshot, and that of the file system that it shows.
    snapshot: Option<(u64, u64)>,
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
    fingerprint[15] &= !BARE;
    fingerprint
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

impl Known {
    /// It is no file, and has no extended attributes.
    pub(super) const BARE: Self = Self { sha256: Digest::from_bytes([0; 32]), bare: true };
}

impl ScanCache {
    /// Reads what the last scan of this `tree` saved in `folder`; nothing, if the file is damaged, from the
    /// future or of an earlier start of the system.
    pub(super) fn open(folder: &Path, tree: &[u8], conditions: Conditions) -> Self {
        let name = Digest::of(tree).to_string();
        let file = folder.join(&name[..32]);
        let started = now();
        let before = read(&file, started, &conditions).unwrap_or_default();
        let met = before.iter().map(|_| AtomicBool::new(false)).collect();
        let (trust, snapshot) = (Mutex::default(), None);
        Self { file, before, met, started, conditions, trust, snapshot }
    }

    /// The same for a snapshot that is read in the place of the tree: each snapshot has another device, and the files in it have the
    /// inodes and the times of the tree's.
    pub(super) fn of_snapshot(self, root: &TreeRoot) -> Self {
        let devices = rustix::fs::fstat(root.fd())
            .and_then(|snapshot| Ok((snapshot.st_dev, rustix::fs::stat(root.path())?.st_dev)));
        Self { snapshot: devices.ok(), ..self }
    }

    /// The fingerprint of a file, also of one in a snapshot.
    fn fingerprint(&self, stamp: &Stamp) -> Fingerprint {
        match self.snapshot {
            Some((device, shown)) if device == stamp.device => {
                fingerprint(&Stamp { device: shown, ..*stamp })
            }
            _ => fingerprint(stamp),
        }
    }

    /// What is known about what has not changed since it was read; it is remembered for the next scan.
    pub(super) fn get(&self, stamp: &Stamp) -> Option<Known> {
        let wanted = self.fingerprint(stamp);
        let at = self.before.partition_point(|(fingerprint, _)| *fingerprint < wanted);
        let (fingerprint, sha256) = self.before.get(at)?;
        let bare = fingerprint[15] & BARE != 0;
        let same = fingerprint[..15] == wanted[..15] && fingerprint[15] & !BARE == wanted[15];
        same.then(|| {
            self.met[at].store(true, Ordering::Relaxed);
            Known { sha256: *sha256, bare }
        })
    }

    /// The line for a file that did not change while it was read, or for something else that was found to have no extended
    /// attributes; `None` if it must not be remembered.
    pub(super) fn line(&self, stamp: &Stamp, known: Known) -> Option<Line> {
        let newest = stamp.mtime.seconds.max(stamp.ctime.seconds);
        let is_trusted = self.trust().get(&stamp.device).copied().unwrap_or(false);
        let settled = newest.saturating_add(self.conditions.settled_seconds);
        if !is_trusted || settled >= self.started {
            return None;
        }
        let mut fingerprint = self.fingerprint(stamp);
        if known.bare {
            fingerprint[15] |= BARE;
        }
        Some((fingerprint, known.sha256))
    }

    fn trust(&self) -> std::sync::MutexGuard<'_, HashMap<u64, bool>> {
        self.trust.lock().expect("nothing panics while it holds the map")
    }

    /// Is it determined whether the file system of this device is trusted?
    pub(super) fn has_met(&self, device: u64) -> bool {
        self.trust().contains_key(&device)
    }

    /// Determines once for each device whether its file system is trusted. `folder` is an open folder on it.
    pub(super) fn meet(&self, folder: impl AsFd) {
        let Ok(status) = rustix::fs::fstat(&folder) else { return };
        self.trust().entry(status.st_dev).or_insert_with(|| {
            #[allow(
                clippy::unnecessary_cast,
                clippy::cast_possible_wrap,
                reason = "the type of f_type differs between machines"
            )]
            let kind = rustix::fs::fstatfs(folder).map(|status| status.f_type as i64);
            let trusted = TRUSTED_FILE_SYSTEMS.iter().find(|(magic, _)| kind == Ok(*magic));
            let is_lazy = |name: &&str| self.conditions.lazy.iter().any(|lazy| lazy == name);
            trusted.is_some_and(|(_, names)| !names.iter().any(is_lazy))
        });
    }

    /// Saves the lines for the next scan: those of the earlier scan that were found again, and the `new`
    /// ones.
    ///
    /// # Errors
    /// The file cannot be written; the next scan then reads everything.
    pub(super) fn save(self, mut new: Vec<Line>) -> io::Result<()> {
        let Self { file, before, met, started, conditions, .. } = self;
        let was_met = |at: usize| met[at].load(Ordering::Relaxed);
        if new.is_empty() && !before.is_empty() && (0..before.len()).all(was_met) {
            // The file already has the same lines. (Its older date does no harm: the times it has were
            // settled when it was written.)
            return Ok(());
        }
        new.extend(before.iter().enumerate().filter(|&(at, _)| was_met(at)).map(|(_, line)| *line));
        drop(before);
        new.sort_unstable();
        new.dedup_by_key(|(fingerprint, _)| *fingerprint);
        let folder = file.parent().unwrap_or(Path::new("."));
        fs_err::create_dir_all(folder)?;
        let pending = PendingFile::create(&file, 0o600)?;
        let mut writer = io::BufWriter::with_capacity(1 << 16, HashingWriter::new(pending));
        writer.write_all(&MAGIC)?;
        writer.write_all(&started.to_le_bytes())?;
        writer.write_all(&conditions.boot)?;
        writer.write_all(&u64::from(conditions.sees_all_attributes).to_le_bytes())?;
        for (fingerprint, digest) in &new {
            writer.write_all(fingerprint)?;
            writer.write_all(digest.as_bytes())?;
        }
        let writer = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        let (checksum, mut pending) = writer.finish();
        pending.write_all(checksum.as_bytes())?;
        pending.publish(&file)
    }
}

/// The lines of a complete cache file that was written before `now`, under conditions that allow to believe it.
fn read(file: &Path, now: i64, conditions: &Conditions) -> Option<Vec<Line>> {
    let file = File::open(file).ok()?;
    let length = usize::try_from(file.metadata().ok()?.len()).ok()?;
    let lines = length.checked_sub(HEAD_BYTES + 32)?;
    let mut reader = HashingReader::new(io::BufReader::with_capacity(1 << 16, file));
    let mut head = [0; HEAD_BYTES];
    io::Read::read_exact(&mut reader, &mut head).ok()?;
    let started = i64::from_le_bytes(head[8..16].try_into().ok()?);
    let saw_all = head[32..] == 1_u64.to_le_bytes();
    // The scan started after `now`: the clock was set back, so times may repeat.
    let is_believed = started <= now
        && head[16..32] == conditions.boot
        && (saw_all || !conditions.sees_all_attributes);
    if head[..8] != MAGIC || !is_believed || lines % 48 != 0 {
        return None;
    }
    let mut before = Vec::with_capacity(lines / 48);
    let mut some = vec![0; 48 * 1024];
    let mut left = lines;
    while left > 0 {
        let some = &mut some[..left.min(48 * 1024)];
        io::Read::read_exact(&mut reader, some).ok()?;
        for line in some.chunks_exact(48) {
            let (fingerprint, digest) = line.split_at(16);
            before
                .push((fingerprint.try_into().ok()?, Digest::from_bytes(digest.try_into().ok()?)));
        }
        left -= some.len();
    }
    let (digest, _, mut rest) = reader.into_parts();
    let mut checksum = [0; 32];
    io::Read::read_exact(&mut rest, &mut checksum).ok()?;
    (digest.as_bytes() == &checksum && before.is_sorted()).then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    fn stamp(inode: u64, seconds: i64) -> Stamp {
        let time = Timestamp::from_seconds(seconds);
        Stamp { device: 1, inode, size: 5, mtime: time, ctime: time }
    }

    fn conditions() -> Conditions {
        let lazy = vec!["xfs".to_owned()];
        Conditions { boot: [7; 16], sees_all_attributes: true, settled_seconds: 60, lazy }
    }

    fn cache(folder: &Path) -> ScanCache {
        cache_under(folder, conditions())
    }

    fn cache_under(folder: &Path, conditions: Conditions) -> ScanCache {
        let cache = ScanCache::open(folder, b"/tree", conditions);
        cache.trust().insert(1, true);
        cache
    }

    fn known(bare: bool) -> Known {
        Known { sha256: Digest::of(b"x"), bare }
    }

    #[test]
    fn what_is_unchanged_is_remembered_and_what_differs_in_anything_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let first = cache(folder.path());
        let line = first.line(&stamp(7, 1000), known(true));
        first.save(line.into_iter().collect()).unwrap();
        let second = cache(folder.path());
        assert_eq!(second.get(&stamp(7, 1000)), Some(known(true)));
        let same = stamp(7, 1000);
        let others = [
            Stamp { device: 2, ..same },
            Stamp { inode: 8, ..same },
            Stamp { size: 6, ..same },
            Stamp { mtime: Timestamp { seconds: 1000, nanoseconds: 1 }, ..same },
            Stamp { ctime: Timestamp { seconds: 1001, nanoseconds: 0 }, ..same },
        ];
        assert!(others.iter().all(|other| second.get(other).is_none()));
        // Used lines are kept beside new ones; lines that a scan did not use are dropped.
        second.save(Vec::new()).unwrap();
        let third = cache(folder.path());
        assert_eq!(third.get(&stamp(7, 1000)), Some(known(true)));
        let line = third.line(&stamp(8, 1000), known(false));
        third.save(line.into_iter().collect()).unwrap();
        let fourth = cache(folder.path());
        assert_eq!(fourth.before.len(), 2);
        assert_eq!(fourth.get(&stamp(8, 1000)), Some(known(false)));
        fourth.save(Vec::new()).unwrap();
        assert_eq!(cache(folder.path()).before.len(), 1);
        cache(folder.path()).save(Vec::new()).unwrap();
        assert_eq!(cache(folder.path()).before.len(), 0);
    }

    #[test]
    fn files_that_changed_just_now_and_strange_file_systems_are_not_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let first = cache(folder.path());
        let now = first.started;
        for seconds in [now, now - 5, now + 3600] {
            assert_eq!(first.line(&stamp(1, seconds), known(true)), None);
        }
        assert_eq!(first.line(&Stamp { device: 99, ..stamp(2, 1000) }, known(true)), None);
        assert!(first.line(&stamp(3, now - 3600), known(true)).is_some());
    }

    #[test]
    fn a_cache_of_another_start_or_of_one_who_saw_less_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let user = Conditions { sees_all_attributes: false, ..conditions() };
        let first = cache_under(folder.path(), user.clone());
        let line = first.line(&stamp(7, 1000), known(true));
        first.save(line.into_iter().collect()).unwrap();
        let count = |conditions| cache_under(folder.path(), conditions).before.len();
        assert_eq!((count(user.clone()), count(conditions())), (1, 0));
        assert_eq!(count(Conditions { boot: [8; 16], ..user.clone() }), 0);
        // Who sees all writes for everybody.
        let second = cache(folder.path());
        let line = second.line(&stamp(7, 1000), known(true));
        second.save(line.into_iter().collect()).unwrap();
        assert_eq!((count(user), count(conditions())), (1, 1));
    }

    #[test]
    fn a_cache_from_the_future_or_a_damaged_one_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let first = cache(folder.path());
        let line = first.line(&stamp(7, 1000), known(true));
        let (file, started) = (first.file.clone(), first.started);
        first.save(line.into_iter().collect()).unwrap();
        assert_eq!(read(&file, started, &conditions()).unwrap().len(), 1);
        assert!(read(&file, started - 1, &conditions()).is_none());
        let whole = fs_err::read(&file).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs_err::write(&file, &damaged).unwrap();
            assert!(read(&file, i64::MAX, &conditions()).is_none(), "byte {at}");
            fs_err::write(&file, &whole[..at]).unwrap();
            assert!(read(&file, i64::MAX, &conditions()).is_none(), "cut at {at}");
        }
    }
}
