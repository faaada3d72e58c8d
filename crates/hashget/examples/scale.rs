//! A helper of `bench/run`, not an example of how to use the library: makes synthetic HashDBs and trees of any size, and
//! measures what each further hash and file costs.
//!
//! `scale hashdb HASHES FOLDER`, `scale tree FILES FOLDER` or `scale plan FILES PACKAGES TREE`; prints one
//! JSON object of what it measured.
//!
//! Invariant: equal arguments make equal contents; nothing but the standard output is written outside FOLDER.
#![allow(
    clippy::cast_precision_loss,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement fails by panicking"
)]

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use hashget::fetch::Offline;
use hashget::hashdb::{
    Check, Checks, HashDb, HashDbError, HashDbWriter, Key, LocalHashDb, PackageId,
};
use hashget::limits::Limits;
use hashget::model::{
    Digest, Evidence, Keeping, Kind, Member, MemberMetadata, Origin, PackageRecord, RelPath,
    Timestamp,
};
use hashget::monitor::{Event, Monitor, Step};
use hashget::pack::{Output, PackOptions, Packer};

/// Modification time of everything synthetic: seconds since 1970.
const TIME: u64 = 1_700_000_000;
/// Files in one folder of a tree.
const FOLDER: u64 = 100;
/// Digests that are looked up in one batch.
const BATCH: u64 = 200_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments[at].parse::<u64>().expect("a number");
    let measured = match arguments[0].as_str() {
        "hashdb" => hashdb(number(1), Path::new(&arguments[2])),
        "tree" => tree(number(1), Path::new(&arguments[2])),
        "plan" => plan(number(1), number(2), Path::new(&arguments[3])),
        other => panic!("{other}: expected hashdb, tree or plan"),
    };
    println!("{measured}");
}

fn record(number: u64) -> PackageRecord {
    PackageRecord {
        url: format!("https://example.org/package-{number}.tar.xz"),
        also: Vec::new(),
        sha256: Digest::of(format!("package {number}").as_bytes()),
        size: 1_000,
        format: "tar".to_owned(),
        signatures: Vec::new(),
        project: None,
        expires: None,
        indexed_at: i64::try_from(TIME).unwrap(),
        evidence: Evidence::Downloaded,
        vouched: true,
        recursive: false,
        passed_over: 0,
        origin: Origin::User,
        trees: Vec::new(),
        keeping: Keeping::Unknown,
        publisher: None,
    }
}

fn member(path: String, kind: Kind, mode: u32, sha256: Option<Digest>) -> Member {
    let metadata = MemberMetadata {
        mode: Some(mode),
        uid: Some(rustix::process::geteuid().as_raw()),
        gid: Some(rustix::process::getegid().as_raw()),
        mtime: Some(Timestamp::from_seconds(i64::try_from(TIME).unwrap())),
        ..MemberMetadata::default()
    };
    Member { path: RelPath::new(path).unwrap(), kind, metadata, sha256, extents: None }
}

/// Fills a HashDB and looks digests up in it.
fn hashdb(hashes: u64, folder: &Path) -> serde_json::Value {
    let digest = |number: u64| Digest::of(&number.to_le_bytes());
    let each = (hashes / 20).max(1_000);
    let started = Instant::now();
    let hashdb = LocalHashDb::open(folder).unwrap();
    for package in 0..hashes.div_ceil(each) {
        let numbers = package * each..hashes.min((package + 1) * each);
        let members: Vec<Member> = numbers
            .map(|number| {
                let path = format!("usr/share/part-{}/file-{number}", number / FOLDER);
                member(path, Kind::File { size: number % 50_000 }, 0o644, Some(digest(number)))
            })
            .collect();
        hashdb.put(&record(package), &members).unwrap();
    }
    let put = started.elapsed();
    drop(hashdb);
    let mut opening: Vec<Duration> = (0..9)
        .map(|_| {
            let started = Instant::now();
            drop(LocalHashDb::open(folder).unwrap());
            started.elapsed()
        })
        .collect();
    opening.sort_unstable();
    let hashdb = LocalHashDb::open(folder).unwrap();
    // Every second digest is unknown.
    let step = (2 * hashes / BATCH).max(1);
    let mut asked: Vec<Digest> = (0..BATCH).map(|number| digest(number * step)).collect();
    asked.sort_unstable();
    let asked: Vec<Key<'_>> = asked.into_iter().map(Key::Content).collect();
    let started = Instant::now();
    let found = hashdb.find(&asked).unwrap();
    let look_up = started.elapsed();
    let known = found.iter().filter(|packages| !packages.is_empty()).count();
    assert!(known > 0 && known < asked.len());
    let tables = table_bytes(folder);
    let total: u64 = tables.values().sum();
    serde_json::json!({
        "hashes": hashes,
        "put_microseconds": put.as_secs_f64() * 1e6 / hashes as f64,
        "look_up_microseconds": look_up.as_secs_f64() * 1e6 / asked.len() as f64,
        "open_milliseconds": opening[opening.len() / 2].as_secs_f64() * 1e3,
        "look_up_bytes": tables["files"] as f64 / hashes as f64,
        "member_list_bytes": tables["members"] as f64 / hashes as f64,
        "all_bytes": total as f64 / hashes as f64,
    })
}

/// Bytes of each table on the disk.
fn table_bytes(folder: &Path) -> HashMap<String, u64> {
    let connection = rusqlite::Connection::open(folder.join("hashdb.sqlite")).unwrap();
    let mut statement =
        connection.prepare("SELECT name, sum(pgsize) FROM dbstat GROUP BY name").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?))).unwrap();
    rows.map(|row| row.map(|(name, bytes)| (name, u64::try_from(bytes).unwrap())).unwrap())
        .collect()
}

fn contents(number: u64) -> Vec<u8> {
    let times = usize::try_from(number % 10 + 1).unwrap();
    format!("synthetic file {number}\n").repeat(times).into_bytes()
}

fn folder_of(number: u64) -> String {
    format!("folder-{:05}", number / FOLDER)
}

/// Makes a tree of small files.
fn tree(files: u64, folder: &Path) -> serde_json::Value {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(TIME);
    let mut bytes = 0;
    fs_err::create_dir_all(folder).unwrap();
    for first in (0..files).step_by(usize::try_from(FOLDER).unwrap()) {
        let inner = folder.join(folder_of(first));
        fs_err::create_dir(&inner).unwrap();
        for number in first..files.min(first + FOLDER) {
            let contents = contents(number);
            let mut file = File::create(inner.join(format!("file-{number:07}"))).unwrap();
            file.write_all(&contents).unwrap();
            file.set_modified(time).unwrap();
            bytes += contents.len();
        }
        File::open(&inner).unwrap().set_modified(time).unwrap();
    }
    File::open(folder).unwrap().set_modified(time).unwrap();
    serde_json::json!({ "files": files, "bytes": bytes })
}

/// Plans the backup of a tree that [`tree`] made, with all files from `packages` packages, and writes nothing.
fn plan(files: u64, packages: u64, folder: &Path) -> serde_json::Value {
    let each = files.div_ceil(packages);
    let known = |number| {
        let contents = contents(number);
        (Digest::of(&contents), contents.len() as u64)
    };
    let known: Vec<(Digest, u64)> = (0..files).map(known).collect();
    let holder = (0..).zip(&known).map(|(number, (sha256, _))| (*sha256, number / each));
    let holder =
        holder.map(|(sha256, package)| (sha256, PackageId::from_raw(package.cast_signed())));
    let answering = Mutex::default();
    let hashdb = Synthetic { files, each, holder: holder.collect(), known, answering };
    let packer = Packer {
        hashdb: &hashdb,
        source: &Offline,
        web: &Offline,
        shared: None,
        mirrors: &[],
        limits: &Limits::default(),
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
    };
    let options = PackOptions { index: false, ..PackOptions::default() };
    let clock = Clock::default();
    let summary = packer.pack(folder, Output::Nothing, &options, &clock).unwrap();
    let scanned = clock.0.into_inner().unwrap().unwrap();
    assert_eq!(summary.left_out_files, files);
    let all = scanned.elapsed();
    let answering = hashdb.answering.into_inner().unwrap();
    serde_json::json!({
        "files": files,
        "packages": packages,
        "seconds": (all - answering).as_secs_f64(),
        "hashdb_seconds": answering.as_secs_f64(),
    })
}

/// Remembers when the scan finished.
#[derive(Default)]
struct Clock(Mutex<Option<Instant>>);

impl Monitor for Clock {
    fn event(&self, event: Event<'_>) {
        if matches!(event, Event::Finished(progress) if progress.step == Step::Scan) {
            *self.0.lock().unwrap() = Some(Instant::now());
        }
    }
}

/// Knows packages of `each` files of a synthetic tree. The time for its answers is measured, so that it can be
/// subtracted: making up members is not part of planning.
struct Synthetic {
    files: u64,
    each: u64,
    holder: HashMap<Digest, PackageId>,
    /// Digest and size of each file.
    known: Vec<(Digest, u64)>,
    answering: Mutex<Duration>,
}

impl Synthetic {
    fn answer<T>(&self, answer: impl FnOnce() -> T) -> Result<T, HashDbError> {
        let started = Instant::now();
        let answer = answer();
        *self.answering.lock().unwrap() += started.elapsed();
        Ok(answer)
    }
}

impl HashDb for Synthetic {
    fn find(&self, keys: &[Key<'_>]) -> Result<Vec<Vec<PackageId>>, HashDbError> {
        let holders = |key: &Key<'_>| match key {
            Key::Content(digest) => self.holder.get(digest).copied().into_iter().collect(),
            _ => Vec::new(),
        };
        self.answer(|| keys.iter().map(holders).collect())
    }

    fn records(&self, packages: &[PackageId]) -> Result<Vec<Option<PackageRecord>>, HashDbError> {
        let known = |package: &PackageId| Some(record(package.to_raw().cast_unsigned()));
        self.answer(|| packages.iter().map(known).collect())
    }

    fn each_member(
        &self,
        package: PackageId,
        visit: &mut dyn FnMut(Member),
    ) -> Result<(), HashDbError> {
        let members = self.answer(|| {
            let first = package.to_raw().cast_unsigned() * self.each;
            let mut members = Vec::new();
            let mut folder = String::new();
            for number in first..self.files.min(first + self.each) {
                if folder_of(number) != folder {
                    folder = folder_of(number);
                    members.push(member(folder.clone(), Kind::Directory, 0o755, None));
                }
                let (sha256, size) = self.known[usize::try_from(number).unwrap()];
                let path = format!("{folder}/file-{number:07}");
                members.push(member(path, Kind::File { size }, 0o644, Some(sha256)));
            }
            members
        })?;
        members.into_iter().for_each(visit);
        Ok(())
    }
}

impl Checks for Synthetic {
    fn put_check(&self, _: &Check) -> Result<(), HashDbError> {
        Ok(())
    }

    fn checks(&self, packages: &[Digest]) -> Result<Vec<Vec<Check>>, HashDbError> {
        Ok(vec![Vec::new(); packages.len()])
    }
}

impl HashDbWriter for Synthetic {
    fn put(&self, record: &PackageRecord, _: &[Member]) -> Result<PackageId, HashDbError> {
        panic!("{} is not to be recorded", record.url)
    }

    fn amend(
        &self,
        _: PackageId,
        _: &dyn Fn(&mut PackageRecord),
    ) -> Result<Option<PackageRecord>, HashDbError> {
        Ok(None)
    }

    fn remove(&self, _: PackageId) -> Result<bool, HashDbError> {
        Ok(false)
    }
}
