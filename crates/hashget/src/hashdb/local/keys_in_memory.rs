//! The look-up keys of a local HashDB in memory, cut to 48 bits: for servers, which are asked for a million in a second.
//!
//! Invariant: an answer is that of the HashDB as it was when the call began, or as it has become since.

use std::collections::{BTreeSet, HashMap};
use std::hint::black_box;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rusqlite::{Connection, Transaction, params};

use super::{LocalHashDb, open};
use crate::hashdb::rows::{Problem, each_member};
use crate::hashdb::{CutKey, HashDbError};
use crate::model::Digest;

/// The most packages that a key is answered with. Files that more packages have are licences and the like.
const MOST_OF_A_KEY: usize = 16;
/// Bits of a key.
const BITS: u32 = 48;
/// Fewest bits of a bucket: the rest of a key has 32 bits then.
const FEWEST_BITS: u32 = 16;
/// Keys that are kept apart before they are merged with the others, in addition to an eighth of these.
const RECENT: usize = 100_000;

/// All cut keys of a local HashDB, which may change meanwhile. Takes about 9 bytes a key.
pub struct KeysInMemory {
    hashdb: Arc<LocalHashDb>,
    /// What changes are seen by. Held while they are taken over, so that one caller does it.
    watch: Mutex<Watch>,
    keys: RwLock<Keys>,
}

/// A connection that never writes, and the version of the file that it last saw.
struct Watch {
    connection: Connection,
    version: i64,
}

/// The keys of all packages up to `newest`.
#[derive(Default)]
struct Keys {
    sorted: Sorted,
    /// Keys of packages that were recorded since `sorted` was made, with the packages.
    recent: BTreeSet<(u64, u32)>,
    /// Those packages that are there, by id.
    packages: HashMap<u32, Digest>,
    /// The highest id that was taken over.
    newest: i64,
}

/// Keys in order, in buckets by their first bits: a key is its bucket and the rest of its bits.
#[derive(Default)]
struct Sorted {
    bits: u32,
    /// Where each bucket begins, and where the last one ends.
    starts: Vec<u32>,
    rests: Vec<u32>,
    packages: Vec<u32>,
}

impl Sorted {
    /// From keys in ascending order, about `number` of them.
    fn of(keys: impl Iterator<Item = (u64, u32)>, number: usize) -> Self {
        let bits = number.checked_ilog2().map_or(0, |log| log.saturating_sub(2));
        let bits = bits.clamp(FEWEST_BITS, BITS - FEWEST_BITS);
        let mut sorted = Self {
            bits,
            starts: vec![0],
            rests: Vec::with_capacity(number),
            packages: Vec::with_capacity(number),
        };
        for (key, package) in keys {
            sorted.begin_buckets_to(key >> (BITS - bits));
            sorted.rests.push(sorted.rest_of(key));
            sorted.packages.push(package);
        }
        sorted.begin_buckets_to(1 << bits);
        sorted
    }

    /// Ends the buckets before this one.
    fn begin_buckets_to(&mut self, bucket: u64) {
        let (bucket, here) = (usize_of(bucket), u32::try_from(self.rests.len()));
        // More keys than fit would need 36 GB.
        self.starts.resize(bucket + 1, here.unwrap_or(u32::MAX));
    }

    fn rest_of(&self, key: u64) -> u32 {
        u32::try_from(key & ((1 << (BITS - self.bits)) - 1)).unwrap_or(u32::MAX)
    }

    /// Where the keys are that begin as this one does.
    fn bucket(&self, key: u64) -> Range<usize> {
        let bucket = usize_of(key >> (BITS - self.bits).min(63));
        let bounds = self.starts.get(bucket..bucket + 2).map_or((0, 0), |both| (both[0], both[1]));
        usize_of(bounds.0.into())..usize_of(bounds.1.into())
    }

    /// The packages of a key, whose bucket this is.
    fn find(&self, key: u64, bucket: Range<usize>) -> impl Iterator<Item = u32> {
        let rest = if bucket.is_empty() { 0 } else { self.rest_of(key) };
        let bucket = self.rests[bucket.clone()].iter().zip(&self.packages[bucket]);
        bucket.filter(move |(one, _)| **one == rest).map(|(_, package)| *package)
    }

    /// Asks the processor for the memory of these buckets, without waiting for one before the next.
    fn touch(&self, buckets: &[Range<usize>]) {
        for bucket in buckets {
            let at = bucket.start;
            black_box((self.rests.get(at).copied(), self.packages.get(at).copied()));
        }
    }

    /// All keys in order, with their packages.
    fn iter(&self) -> impl Iterator<Item = (u64, u32)> {
        let buckets = self.starts.windows(2).zip(0u64..).flat_map(|(bounds, bucket)| {
            let range = usize_of(bounds[0].into())..usize_of(bounds[1].into());
            range.map(move |position| (bucket, position))
        });
        buckets.map(|(bucket, position)| {
            let key = bucket << (BITS - self.bits) | u64::from(self.rests[position]);
            (key, self.packages[position])
        })
    }
}

/// A number of keys or buckets, which are in memory.
fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Two ascending sequences as one.
fn merged(
    first: impl Iterator<Item = (u64, u32)>,
    second: impl Iterator<Item = (u64, u32)>,
) -> impl Iterator<Item = (u64, u32)> {
    let (mut first, mut second) = (first.peekable(), second.peekable());
    std::iter::from_fn(move || match (first.peek(), second.peek()) {
        (Some(one), Some(other)) if other < one => second.next(),
        (Some(_), _) => first.next(),
        (None, _) => second.next(),
    })
}

impl Keys {
    /// For each key the packages. What the look-ups wait for is memory: so each step is taken for all of them before the next.
    fn find(&self, keys: &[CutKey]) -> Vec<Vec<Digest>> {
        let keys: Vec<u64> = keys.iter().map(|key| key.to_bits()).collect();
        let buckets: Vec<Range<usize>> = keys.iter().map(|key| self.sorted.bucket(*key)).collect();
        self.sorted.touch(&buckets);
        let found = keys.into_iter().zip(buckets);
        found.map(|(key, bucket)| self.digests(key, self.sorted.find(key, bucket))).collect()
    }

    /// The digests of the packages of a key: of those that are `sorted`, and of the others.
    fn digests(&self, key: u64, sorted: impl Iterator<Item = u32>) -> Vec<Digest> {
        let mut found: Vec<Digest> = Vec::new();
        let recent = self.recent.range((key, 0)..=(key, u32::MAX)).map(|(_, package)| *package);
        for package in sorted.chain(recent) {
            // A key may have outlived its package; and a package may have several files that begin so.
            if let Some(sha256) = self.packages.get(&package)
                && !found.contains(sha256)
            {
                found.push(*sha256);
                if found.len() == MOST_OF_A_KEY {
                    break;
                }
            }
        }
        found
    }

    fn take_over(&mut self, changes: Changes) {
        for package in changes.new {
            self.newest = package.id.into();
            self.packages.insert(package.id, package.sha256);
            self.recent.extend(package.keys.into_iter().map(|key| (key, package.id)));
        }
        if let Some(packages) = changes.packages {
            self.packages = packages;
        }
        self.merge_recent();
    }

    fn merge_recent(&mut self) {
        let before = self.sorted.rests.len();
        if self.recent.len() < RECENT + before / 8 {
            return;
        }
        let recent = std::mem::take(&mut self.recent);
        let number = before + recent.len();
        self.sorted = Sorted::of(merged(self.sorted.iter(), recent.into_iter()), number);
    }
}

impl KeysInMemory {
    /// Reads all keys: about a second for each ten million.
    ///
    /// # Errors
    /// See [`HashDbError`].
    pub fn load(hashdb: Arc<LocalHashDb>) -> Result<Self, HashDbError> {
        let connection = open::open_as(&hashdb.file, hashdb.access)?;
        let read = || -> Result<(Keys, i64), Problem> {
            // Before what is read: a change from now on is seen by the next call.
            let version = version_of(&connection)?;
            Ok((all_keys(&connection)?, version))
        };
        let (keys, version) = read().map_err(|problem| hashdb.failure(problem))?;
        let watch = Mutex::new(Watch { connection, version });
        Ok(Self { hashdb, watch, keys: RwLock::new(keys) })
    }

    /// For each key, in order, the digests of up to 16 packages that hold a file whose digest begins so, or that
    /// themselves begin so.
    ///
    /// # Errors
    /// See [`HashDbError`].
    pub fn find(&self, keys: &[CutKey]) -> Result<Vec<Vec<Digest>>, HashDbError> {
        self.take_over_changes().map_err(|problem| self.hashdb.failure(problem))?;
        let table = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        Ok(table.find(keys))
    }

    fn take_over_changes(&self) -> Result<(), Problem> {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let version = version_of(&watch.connection)?;
        if version == watch.version {
            return Ok(());
        }
        let (newest, count) = {
            let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
            (keys.newest, keys.packages.len())
        };
        let changes = Changes::since(&watch.connection, newest, count)?;
        self.keys.write().unwrap_or_else(PoisonError::into_inner).take_over(changes);
        watch.version = version;
        Ok(())
    }
}

/// A number that changes when another connection has written.
fn version_of(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

fn id_of(id: i64) -> Result<u32, Problem> {
    u32::try_from(id).map_err(|_| Problem::Impossible(format!("the package {id} is one too many")))
}

fn packages(connection: &Connection) -> Result<HashMap<u32, Digest>, Problem> {
    let mut statement = connection.prepare("SELECT id, sha256 FROM packages")?;
    let mut rows = statement.query([])?;
    let mut packages = HashMap::new();
    while let Some(row) = rows.next()? {
        packages.insert(id_of(row.get(0)?)?, Digest::from_bytes(row.get(1)?));
    }
    Ok(packages)
}

fn all_keys(connection: &Connection) -> Result<Keys, Problem> {
    let transaction = connection.unchecked_transaction()?;
    let newest = "SELECT coalesce(max(id), 0) FROM packages";
    let newest = transaction.query_row(newest, [], |row| row.get(0))?;
    let number: i64 = transaction.query_row("SELECT count(*) FROM files", [], |row| row.get(0))?;
    let mut statement = transaction.prepare("SELECT prefix, package FROM files ORDER BY prefix")?;
    let mut rows = statement.query([])?;
    let mut problem = None;
    let keys = std::iter::from_fn(|| {
        let next = || -> Result<Option<(u64, u32)>, Problem> {
            let Some(row) = rows.next()? else { return Ok(None) };
            let prefix: [u8; 16] = row.get(0)?;
            Ok(Some((CutKey::of_prefix(prefix).to_bits(), id_of(row.get(1)?)?)))
        };
        let mut next = next;
        next().unwrap_or_else(|error| {
            problem = Some(error);
            None
        })
    });
    let sorted = Sorted::of(keys, usize::try_from(number).unwrap_or(0));
    problem.map_or(Ok(()), Err)?;
    let packages = packages(&transaction)?;
    Ok(Keys { sorted, recent: BTreeSet::new(), packages, newest })
}

/// What has become of the packages.
struct Changes {
    /// Those that were recorded since, in ascending order.
    new: Vec<NewPackage>,
    /// All that are there, if some were removed.
    packages: Option<HashMap<u32, Digest>>,
}

/// A package that was recorded since, and its keys.
struct NewPackage {
    id: u32,
    sha256: Digest,
    keys: Vec<u64>,
}

impl Changes {
    /// Since there were `count` packages, and `newest` was the highest id.
    fn since(connection: &Connection, newest: i64, count: usize) -> Result<Self, Problem> {
        let transaction = connection.unchecked_transaction()?;
        let new = new_packages(&transaction, newest)?;
        let now: i64 =
            transaction.query_row("SELECT count(*) FROM packages", [], |row| row.get(0))?;
        let is_all = usize::try_from(now) == Ok(count + new.len());
        let packages = if is_all { None } else { Some(packages(&transaction)?) };
        Ok(Self { new, packages })
    }
}

/// The packages with higher ids than `newest`, in ascending order.
fn new_packages(transaction: &Transaction<'_>, newest: i64) -> Result<Vec<NewPackage>, Problem> {
    let mut statement =
        transaction.prepare_cached("SELECT id, sha256 FROM packages WHERE id > ?1 ORDER BY id")?;
    let found = statement.query_map(params![newest], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let found: Vec<(i64, [u8; 32])> = found.collect::<rusqlite::Result<_>>()?;
    let mut new = Vec::with_capacity(found.len());
    for (row, sha256) in found {
        let (id, sha256) = (id_of(row)?, Digest::from_bytes(sha256));
        let mut keys = vec![CutKey::from(&sha256).to_bits()];
        let listed = each_member(transaction, row, &mut |member| {
            keys.extend(member.sha256.as_ref().map(|sha256| CutKey::from(sha256).to_bits()));
        });
        match listed {
            Ok(()) => {}
            // What else there is must still be found.
            Err(Problem::Damaged(_)) => keys.truncate(1),
            Err(problem) => return Err(problem),
        }
        new.push(NewPackage { id, sha256, keys });
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::Sorted;

    #[test]
    fn every_key_is_found_in_tables_of_any_size() {
        for number in [0u64, 1, 7, 1000, 300_000] {
            // Spread over all buckets, with pairs of equal keys, and both ends.
            let step = (1 << 48) / number.max(1);
            let key = |position: u64| (position / 2 * 2) * step;
            let keys: Vec<(u64, u32)> = (0..number)
                .map(|position| (key(position), u32::try_from(position).unwrap_or(0)))
                .chain([((1 << 48) - 1, 7)])
                .collect();
            let sorted = Sorted::of(keys.iter().copied(), keys.len());
            assert_eq!(sorted.iter().collect::<Vec<_>>(), keys, "{number}");
            let find = |key| sorted.find(key, sorted.bucket(key));
            for (key, package) in keys {
                assert!(find(key).any(|found| found == package), "{number}: {key}");
            }
            assert_eq!(find(3).count(), 0);
        }
        let none = Sorted::default();
        assert_eq!(none.find(3, none.bucket(3)).count(), 0);
    }
}
