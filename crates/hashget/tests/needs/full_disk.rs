//! A disk that fills up while a package is downloaded, a HashDB or an archive is written, or a tree is restored.
//!
//! Invariant: the error says so, and nothing half-written stays under a final name.

use std::io::Read as _;
use std::path::Path;

use hashget::fetch::{Cache, FetchError, HttpOrigin, OriginOptions, Source, Wanted};
use hashget::hashdb::{HashDb as _, HashDbError, HashDbWriter as _, Key, LocalHashDb};
use hashget::model::Digest;
use hashget::model::manifest::MANIFEST_NAME;
use hashget::monitor::Silent;
use hashget::restore::RestoreError;
use hashget::storage::FileSink;
use hashget_testkit::origin::Origin;
use hashget_testkit::small_disk::SmallDisk;

use crate::collect::noise;
use crate::hashdb_suite::package;
use crate::source_suite::files_below;
use crate::storage_suite::check_failing_sink;
use crate::support::{assert_no_leftovers, scan_of, two_packages, unpack};

pub(crate) fn a_download_is_an_error_that_leaves_its_room_free() {
    let (origin, dir) = (Origin::start(), tempfile::tempdir().unwrap());
    let content = noise(300_000);
    origin.serve("/a/package.tar", content.clone());
    let _disk = SmallDisk::mount(dir.path(), 256 << 10).unwrap();
    let wanted = Wanted {
        url: origin.url("/a/package.tar"),
        sha256: Some(Digest::of(&content)),
        size: Some(content.len() as u64),
        ..Wanted::default()
    };
    let partial = |partial_dir: &Path, keep_name| {
        let partial_dir = Some(partial_dir.to_owned());
        HttpOrigin::new(OriginOptions { partial_dir, keep_name, ..OriginOptions::default() })
    };
    let behind_a_cache = partial(&Cache::partial_dir(dir.path()), true);
    for source in [
        Box::new(partial(dir.path(), false)) as Box<dyn Source>,
        Box::new(Cache::new(dir.path().to_owned(), Box::new(behind_a_cache))),
    ] {
        let error = source.fetch(&wanted, &Silent).unwrap_err();
        assert!(matches!(error, FetchError::Disk { .. }), "{error:?}");
        assert_eq!(files_below(dir.path()), []);
    }
    // A cache that is full keeps nothing, but gives what another source has.
    let nameless = HttpOrigin::new(OriginOptions::default());
    let cache = Cache::new(dir.path().to_owned(), Box::new(nameless));
    let mut fetched = cache.fetch(&wanted, &Silent).unwrap();
    let mut bytes = Vec::new();
    fetched.file.read_to_end(&mut bytes).unwrap();
    assert!(bytes == content);
    assert_eq!(files_below(dir.path()), []);
}

pub(crate) fn an_archive_is_aborted_and_has_no_name() {
    let folder = tempfile::tempdir().unwrap();
    let _disk = SmallDisk::mount(folder.path(), 256 << 10).unwrap();
    let sink = FileSink::create(&folder.path().join("a.tar")).unwrap();
    check_failing_sink(Box::new(sink), 512 << 10);
    assert_eq!(files_below(folder.path()), []);
}

pub(crate) fn a_hashdb_fails_the_put_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let _disk = SmallDisk::mount(dir.path(), 2 << 20).unwrap();
    let db = LocalHashDb::open(dir.path()).unwrap();
    let (record, members) = package("fits", 10);
    let id = db.put(&record, &members).unwrap();
    let (large, large_members) = package("does not fit", 60_000);
    let error = db.put(&large, &large_members).unwrap_err();
    assert!(matches!(error, HashDbError::Failed { .. }), "{error:?}");
    assert!(error.to_string().contains("full"), "{error}");
    assert_eq!(db.find_one(Key::Url(&large.url)).unwrap(), []);
    assert_eq!(db.members(id).unwrap(), members);
    drop(db);
    let db = LocalHashDb::open(dir.path()).unwrap();
    assert_eq!(db.list().unwrap(), [(id, record)]);
}

pub(crate) fn a_restore_stops_with_a_clear_error_and_nothing_half_written() {
    let fixture = two_packages();
    let target = fixture.target();
    fs_err::create_dir(&target).unwrap();
    let _disk = SmallDisk::mount(&target, 600 * 1024).unwrap();
    let result = unpack(&fixture.source(), &fixture.archive(), &target, &Silent);
    assert!(matches!(&result, Err(RestoreError::Disk { .. })), "{result:?}");
    assert_no_leftovers(&target);
    let (found, expected) = (scan_of(&target), scan_of(&fixture.tree()));
    let files = found.entries.iter().filter(|entry| entry.sha256.is_some());
    let mut whole = 0;
    for file in files.filter(|file| file.path.as_bytes() != MANIFEST_NAME.as_bytes()) {
        assert_eq!(file.sha256, expected.get(&file.path).unwrap().sha256);
        whole += 1;
    }
    assert!(whole > 10, "{whole}");
}
