//! The local HashDB: the conformance suite, several processes at once, and every kind of damage.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test tells by panicking")]

#[path = "conformance/checks.rs"]
mod checks;
#[path = "conformance/hashdb.rs"]
mod conformance;

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use conformance::{content, package};
use hashget::hashdb::{
    ExportError, HashDb as _, HashDbError, HashDbWriter as _, JoinedHashDb, Key, LocalHashDb,
    NoHashDb, export,
};
use hashget::model::Digest;

const FILE: &str = "hashdb.sqlite";

/// Set for processes that a test starts.
const DIR_VARIABLE: &str = "HASHGET_TEST_HASHDB_DIR";

#[test]
fn the_local_hashdb_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let db = LocalHashDb::open(dir.path()).unwrap();
    conformance::check_writing(&db);
    checks::check(&db);
    // It knows no package because of those.
    let status = db.status().unwrap();
    assert_eq!((status.packages, status.digests, status.package_bytes), (0, 0, 0));
}

#[test]
fn two_hashdbs_as_one_conform() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second] =
        ["first", "second"].map(|name| LocalHashDb::open(&dir.path().join(name)).unwrap());
    for (number, (record, members)) in conformance::known_packages().into_iter().enumerate() {
        let of = if number % 2 == 0 { &second } else { &first };
        of.put(&record, &members).unwrap();
    }
    conformance::check_reading(&JoinedHashDb::new(&first, &second));
    let empty = LocalHashDb::open(&dir.path().join("empty")).unwrap();
    let joined = JoinedHashDb::new(&empty, &NoHashDb);
    conformance::check_writing(&joined);
    checks::check(&joined);
    // What is only read is never changed.
    let joined = JoinedHashDb::new(&empty, &second);
    let (url, members) = (&conformance::known_packages()[0].0.url.clone(), second.list().unwrap());
    let id = joined.find_one(Key::Url(url)).unwrap()[0];
    assert!(!joined.remove(id).unwrap());
    assert_eq!(joined.amend(id, &|record| record.project = None).unwrap(), None);
    assert_eq!(second.list().unwrap(), members);
}

#[test]
fn all_packages_are_listed_by_url_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let db = LocalHashDb::open(dir.path()).unwrap();
    assert_eq!(db.list().unwrap(), []);
    let ((one, mut one_members), (two, mut two_members)) = (package("one", 5), package("two", 2));
    let (_, shared) = package("shared", 1);
    one_members.extend(shared.clone());
    two_members.extend(shared);
    let two_id = db.put(&two, &two_members).unwrap();
    let one_id = db.put(&one, &one_members).unwrap();
    assert_eq!(db.list().unwrap(), [(one_id, one.clone()), (two_id, two.clone())]);
    let status = db.status().unwrap();
    // 5 and 2 files, one in both, and the two packages themselves.
    assert_eq!((status.packages, status.digests), (2, 10));
    assert_eq!(status.package_bytes, one.size + two.size);
}

#[test]
fn what_was_put_is_there_when_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let below = dir.path().join("not/there/yet");
    let (record, members) = package("kept", 10);
    let id = LocalHashDb::open(&below).unwrap().put(&record, &members).unwrap();
    let db = LocalHashDb::open(&below).unwrap();
    assert_eq!(db.record(id).unwrap(), Some(record));
    assert_eq!(db.members(id).unwrap(), members);
    let status = db.status().unwrap();
    assert_eq!(status.location, below.join(FILE).to_str().unwrap());
    assert!(status.disk_bytes > 0 && status.schema >= 1);
}

#[test]
fn an_id_is_never_used_twice() {
    let dir = tempfile::tempdir().unwrap();
    let db = LocalHashDb::open(dir.path()).unwrap();
    let (record, _) = package("first", 0);
    let first = db.put(&record, &[]).unwrap();
    assert!(db.remove(first).unwrap());
    let (record, _) = package("second", 0);
    assert_ne!(db.put(&record, &[]).unwrap(), first);
}

#[test]
fn a_package_that_was_replaced_is_never_exported_without_its_members() {
    let dir = tempfile::tempdir().unwrap();
    let db = LocalHashDb::open(dir.path()).unwrap();
    let (record, members) = package("replaced", 3);
    let stale = db.put(&record, &members).unwrap();
    let id = db.put(&record, &members).unwrap();
    let export_of = |id| export(&db, &[(id, record.clone())], &mut Vec::new());
    assert!(matches!(export_of(stale), Err(ExportError::HashDb(HashDbError::Replaced))));
    export_of(id).unwrap();
}

/// Not a test of its own: what each process of the test below does.
#[test]
#[ignore = "started by several_processes_share_one_hashdb"]
fn child_process() {
    let Some(dir) = std::env::var_os(DIR_VARIABLE) else { return };
    let process = std::process::id();
    for number in 0..40 {
        let db = LocalHashDb::open(Path::new(&dir)).unwrap();
        let name = format!("process-{process}-{number}");
        let (record, members) = package(&name, 25);
        let id = db.put(&record, &members).unwrap();
        let key = |at| Key::Content(Digest::of(&content(&name, at)));
        let keys: Vec<Key<'_>> = (0..25).map(key).collect();
        assert_eq!(db.find(&keys).unwrap(), vec![vec![id]; 25]);
        // All of them write this one: it is always whole.
        let (mut shared, members) = package(&name, number);
        shared.url = "https://example.org/shared".to_owned();
        db.put(&shared, &members).unwrap();
        let found = db.find_one(Key::Url("https://example.org/shared")).unwrap();
        let id = *found.first().expect("somebody put it");
        if let Some(record) = db.record(id).unwrap() {
            let members = db.members(id).unwrap();
            // It may have been replaced in between; then its members are gone as a whole.
            assert!(members.is_empty() || members.len() as u64 + 1000 == record.size);
        }
    }
}

#[test]
fn several_processes_share_one_hashdb() {
    let dir = tempfile::tempdir().unwrap();
    let children: Vec<_> = (0..8)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args(["child_process", "--exact", "--ignored", "--nocapture"])
                .env(DIR_VARIABLE, dir.path())
                .output_in_background()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let db = LocalHashDb::open(dir.path()).unwrap();
    assert_eq!(db.status().unwrap().packages, 8 * 40 + 1);
}

trait InBackground {
    fn output_in_background(&mut self) -> std::process::Child;
}

impl InBackground for Command {
    fn output_in_background(&mut self) -> std::process::Child {
        let piped = std::process::Stdio::piped;
        self.stdout(piped()).stderr(piped()).spawn().unwrap()
    }
}

/// A HashDB of one large package, written out completely into its one file.
fn filled(dir: &Path) -> (hashget::hashdb::PackageId, usize) {
    let db = LocalHashDb::open(dir).unwrap();
    let (record, members) = package("large", 5000);
    let id = db.put(&record, &members).unwrap();
    drop(db);
    assert!(!dir.join("hashdb.sqlite-wal").exists(), "the last one to close writes the log out");
    (id, members.len())
}

fn assert_damaged(error: HashDbError) {
    assert!(matches!(error, HashDbError::Damaged { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(FILE) && text.contains("another --db"), "{text}");
}

#[test]
fn a_file_that_is_no_hashdb_is_refused_and_left_alone() {
    let text: Vec<u8> = b"This is not a database at all. ".repeat(500);
    let dir = tempfile::tempdir().unwrap();
    fs_err::write(dir.path().join(FILE), &text).unwrap();
    assert_damaged(LocalHashDb::open(dir.path()).unwrap_err());
    assert_eq!(fs_err::read(dir.path().join(FILE)).unwrap(), text);

    let dir = tempfile::tempdir().unwrap();
    fs_err::create_dir(dir.path().join(FILE)).unwrap();
    assert_damaged(LocalHashDb::open(dir.path()).unwrap_err());
}

#[test]
fn the_database_of_another_program_is_refused_and_left_alone() {
    for pragmas in ["", "PRAGMA application_id = 77; PRAGMA user_version = 1;"] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE);
        let other = rusqlite::Connection::open(&file).unwrap();
        other.execute_batch(&format!("{pragmas} CREATE TABLE files (mine TEXT)")).unwrap();
        drop(other);
        let before = fs_err::read(&file).unwrap();
        assert_damaged(LocalHashDb::open(dir.path()).unwrap_err());
        assert_eq!(fs_err::read(&file).unwrap(), before);
    }
}

#[test]
fn a_newer_schema_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let known = LocalHashDb::open(dir.path()).unwrap().status().unwrap().schema;
    let file = rusqlite::Connection::open(dir.path().join(FILE)).unwrap();
    file.pragma_update(None, "user_version", known + 1).unwrap();
    drop(file);
    match LocalHashDb::open(dir.path()).unwrap_err() {
        HashDbError::TooNew { found, known: ours, .. } => {
            assert_eq!((found, ours), (known + 1, known));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_impossible_schema_version_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    drop(LocalHashDb::open(dir.path()).unwrap());
    for version in [0, -1] {
        let file = rusqlite::Connection::open(dir.path().join(FILE)).unwrap();
        file.pragma_update(None, "user_version", version).unwrap();
        drop(file);
        assert_damaged(LocalHashDb::open(dir.path()).unwrap_err());
    }
}

#[test]
fn a_truncated_file_is_an_error_and_never_another_answer() {
    let dir = tempfile::tempdir().unwrap();
    let (id, count) = filled(dir.path());
    let file = dir.path().join(FILE);
    let whole = fs_err::read(&file).unwrap();
    for keep in [1, 50, 100, 4096, whole.len() / 2, whole.len() - 4096] {
        fs_err::write(&file, &whole[..keep]).unwrap();
        let result = LocalHashDb::open(dir.path()).and_then(|db| db.members(id));
        match result {
            Ok(members) => assert_eq!(members.len(), count, "{keep} bytes kept"),
            Err(error) => assert_damaged(error),
        }
    }
    // Nothing at all is a new HashDB.
    fs_err::write(&file, b"").unwrap();
    assert_eq!(LocalHashDb::open(dir.path()).unwrap().status().unwrap().packages, 0);
}

#[test]
fn a_damaged_page_is_an_error_and_never_another_list() {
    let dir = tempfile::tempdir().unwrap();
    let (id, count) = filled(dir.path());
    let file = dir.path().join(FILE);
    let whole = fs_err::read(&file).unwrap();
    let mut found = 0;
    for page in 0..whole.len() / 4096 {
        fs_err::write(&file, &whole).unwrap();
        let handle = fs_err::OpenOptions::new().write(true).open(&file).unwrap();
        handle.file().write_all_at(&[0xa5; 700], page as u64 * 4096 + 300).unwrap();
        let opened = LocalHashDb::open(dir.path());
        let asked = opened.and_then(|db| {
            let record = db.record(id)?;
            Ok((record.is_some(), db.members(id)?))
        });
        match asked {
            Ok((true, members)) => assert_eq!(members.len(), count, "page {page}"),
            // SQLite's pages have no checksums: a package can be forgotten, but not half of it.
            Ok((false, members)) => assert!(members.is_empty(), "page {page}"),
            Err(error) => {
                found += 1;
                assert_damaged(error);
            }
        }
    }
    assert!(found > 0);
}

#[test]
fn a_package_whose_list_is_damaged_can_be_replaced_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let db = LocalHashDb::open(dir.path()).unwrap();
    let (record, members) = package("broken", 30);
    let id = db.put(&record, &members).unwrap();
    let raw = rusqlite::Connection::open(dir.path().join(FILE)).unwrap();
    let spoil = |sql: &str| raw.execute(sql, []).unwrap();
    spoil("UPDATE members SET list = x'01ffffffff'");
    assert_damaged(db.members(id).unwrap_err());
    let id = db.put(&record, &members).unwrap();
    assert_eq!(db.members(id).unwrap(), members);
    let own = [Key::Content(Digest::of(&content("broken", 7)))];
    assert_eq!(db.find(&own).unwrap(), [vec![id]]);
    spoil("UPDATE members SET list = x'09'");
    assert!(db.remove(id).unwrap());
    assert_eq!(db.find(&own).unwrap(), [vec![]]);
    assert_eq!(db.status().unwrap().digests, 0);
}

#[test]
fn a_record_that_makes_no_sense_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let db = LocalHashDb::open(dir.path()).unwrap();
    let (record, _) = package("odd", 1);
    for change in ["sha256 = x'00'", "evidence = 'hearsay'", "size = -1"] {
        let id = db.put(&record, &[]).unwrap();
        let raw = rusqlite::Connection::open(dir.path().join(FILE)).unwrap();
        raw.execute(&format!("UPDATE packages SET {change}"), []).unwrap();
        assert_damaged(db.record(id).unwrap_err());
        assert_damaged(db.list().unwrap_err());
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a file");
    fs_err::write(&file, b"").unwrap();
    let error = LocalHashDb::open(&file.join("below")).unwrap_err();
    assert!(matches!(error, HashDbError::Failed { .. }), "{error:?}");
    assert!(error.to_string().contains("a file/below"), "{error}");
}

#[test]
fn the_room_of_removed_packages_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let db = LocalHashDb::open(dir.path()).unwrap();
    let (small, members) = package("small", 3);
    let kept = db.put(&small, &members).unwrap();
    let (large, large_members) = package("large", 40_000);
    let removed = db.put(&large, &large_members).unwrap();
    // Nothing is free yet, and a little room is left to the next packages.
    assert_eq!(db.give_back().unwrap(), 0);
    let (little, little_members) = package("little", 300);
    let little = db.put(&little, &little_members).unwrap();
    assert!(db.remove(little).unwrap());
    assert_eq!(db.give_back().unwrap(), 0);
    let before = db.status().unwrap().disk_bytes;
    assert!(db.remove(removed).unwrap());
    let freed = db.give_back().unwrap();
    let after = db.status().unwrap().disk_bytes;
    assert!(freed > 0 && after * 4 < before, "{before} {after} {freed}");
    assert_eq!(db.list().unwrap(), [(kept, small)]);
    assert_eq!(db.members(kept).unwrap(), members);
    assert_eq!(db.damages().unwrap(), [""; 0]);
}
