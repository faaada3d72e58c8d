//! What lies beside an archive: in a folder, at a URL, on a shelf that the program opens.
//!
//! Invariant: wherever it lies, it is given only if it is what was wanted.

#![allow(clippy::unwrap_used, reason = "a test tells by panicking")]

#[path = "conformance/source.rs"]
mod conformance;

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use conformance::{Fixture, check};
use hashget::fetch::{
    Beside, BesidePlaces, FetchError, FetchOptions, Reach, Shelf, Sources, Wanted, name_beside,
    standard_sources, url_beside,
};
use hashget::model::Digest;
use hashget::monitor::{Monitor, Silent};
use hashget::storage::SharedSource;
use hashget_testkit::origin::Origin;

const NAME: &str = "h_j_2026-11-27T023000Z.tar.zst";

/// A shelf with one thing.
struct One(Vec<u8>);

impl Shelf for One {
    fn shown(&self) -> &str {
        "shelf"
    }

    fn open<'s>(
        &'s self,
        name: &str,
        _monitor: &'s dyn Monitor,
    ) -> io::Result<Box<dyn SharedSource + 's>> {
        if name != NAME {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no such thing"));
        }
        let file = tempfile::tempfile()?;
        file.write_all_at(&self.0, 0)?;
        Ok(Box::new(file))
    }
}

fn content() -> Vec<u8> {
    (0..5000_u32).flat_map(u32::to_le_bytes).collect()
}

fn sources(place: Option<Beside>, offline: bool, pool: Option<&Path>) -> Sources {
    let beside = BesidePlaces::default();
    place.into_iter().for_each(|place| beside.add(place));
    let pools = pool.iter().map(|pool| pool.display().to_string()).collect();
    standard_sources(&FetchOptions { beside, offline, pools, ..FetchOptions::default() }).unwrap()
}

fn wanted(name: &str) -> Wanted {
    Wanted { url: url_beside(name), sha256: Some(Digest::of(&content())), ..Wanted::default() }
}

/// A place of each kind that has the content; what must be kept for that.
fn places() -> (Vec<Beside>, (tempfile::TempDir, Origin)) {
    let folder = tempfile::tempdir().unwrap();
    fs_err::write(folder.path().join(NAME), content()).unwrap();
    let origin = Origin::start();
    origin.serve(&format!("/backups/{NAME}"), content());
    let places = vec![
        Beside::Folder(folder.path().to_owned()),
        Beside::Url(origin.url("/backups/h_j_2026-11-28T023000Z.tar.zst?signature=1")),
        Beside::Shelf(Arc::new(One(content()))),
    ];
    (places, (folder, origin))
}

#[test]
fn folders_and_shelves_conform() {
    let (places, _kept) = places();
    for place in places.into_iter().filter(|place| !matches!(place, Beside::Url(_))) {
        let source = sources(Some(place), false, None).source;
        check(&Fixture {
            source,
            url: url_beside(NAME),
            content: content(),
            missing: url_beside("h_j_2020-01-01T000000Z.tar.zst"),
            without_digest: true,
            folders: Vec::new(),
        });
    }
}

#[test]
fn whole_and_in_parts_from_every_kind_of_place() {
    let (places, _kept) = places();
    for place in places {
        let sources = sources(Some(place), false, None);
        assert_eq!(sources.source.fetch(&wanted(NAME), &Silent).unwrap().size, 20_000);
        let range = |first, count| {
            sources.web.fetch_range(&url_beside(NAME), Reach::Anywhere, first, count, &Silent)
        };
        let found = range(19_990, 100).unwrap();
        assert_eq!((&*found.bytes, found.total), (&content()[19_990..], Some(20_000)));
        assert_eq!(range(u64::MAX, u64::MAX).unwrap().bytes, b"");
        let other = Wanted { sha256: Some(Digest::of(b"other")), ..wanted(NAME) };
        let error = sources.source.fetch(&other, &Silent).unwrap_err();
        assert!(matches!(error, FetchError::Mismatch { .. }), "{error:?}");
        let error = sources.source.fetch(&wanted("h_j_x.tar.zst"), &Silent).unwrap_err();
        assert!(error.not_found().is_some(), "{error:?}");
    }
}

#[test]
fn what_lies_at_no_known_place_can_be_in_a_pool() {
    let error = sources(None, false, None).source.fetch(&wanted(NAME), &Silent).unwrap_err();
    assert!(error.is_refused() && error.to_string().contains("--pool"), "{error}");
    let pool = tempfile::tempdir().unwrap();
    fs_err::write(pool.path().join("renamed"), content()).unwrap();
    for offline in [false, true] {
        let sources = sources(None, offline, Some(pool.path()));
        assert_eq!(sources.source.fetch(&wanted(NAME), &Silent).unwrap().size, 20_000);
    }
}

#[test]
fn offline_shelves_are_asked_and_servers_are_not() {
    let (places, (_folder, origin)) = places();
    for place in places {
        let is_url = matches!(place, Beside::Url(_));
        let Sources { source, web } = sources(Some(place), true, None);
        let fetched = source.fetch(&wanted(NAME), &Silent).map(|fetched| fetched.size);
        let range = web.fetch_range(&url_beside(NAME), Reach::Anywhere, 0, 9, &Silent);
        if is_url {
            for error in [fetched.unwrap_err(), range.unwrap_err()] {
                let told = error.to_string();
                assert!(error.is_refused() && told.contains("offline"), "{told}");
                assert!(told.contains(&origin.url("/backups/")), "{told}");
            }
        } else {
            assert_eq!((fetched.unwrap(), &*range.unwrap().bytes), (20_000, &content()[..9]));
        }
    }
    assert_eq!(origin.requests(), []);
}

#[test]
fn of_only_folders_no_shelf_is_opened() {
    let (places, (_folder, origin)) = places();
    for place in places {
        let is_folder = matches!(place, Beside::Folder(_));
        let all = BesidePlaces::default();
        let beside = all.only_folders();
        all.add(place);
        let options = FetchOptions { beside, ..FetchOptions::default() };
        let source = standard_sources(&options).unwrap().source;
        assert_eq!(source.fetch(&wanted(NAME), &Silent).is_ok(), is_folder);
    }
    assert_eq!(origin.requests(), []);
}

#[test]
fn nothing_but_a_regular_file_of_the_folder_itself_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs_err::create_dir(&inner).unwrap();
    fs_err::write(folder.path().join(NAME), content()).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, inner.join(NAME), rustix::fs::Mode::RWXU).unwrap();
    let source = sources(Some(Beside::Folder(inner)), false, None).source;
    for url in [url_beside(&format!("../{NAME}")), url_beside(NAME)] {
        let error = source.fetch(&Wanted { url, ..wanted(NAME) }, &Silent).unwrap_err();
        assert!(error.is_refused(), "{error:?}");
    }
}

#[test]
fn only_a_plain_name_leads_beside_an_archive() {
    let url = url_beside("h_j_2026-11-27T023000Z.tar.zst");
    assert_eq!(name_beside(&url), Some("h_j_2026-11-27T023000Z.tar.zst"));
    let long = format!("beside:{}", "a".repeat(256));
    for other in [
        "beside:",
        "beside:..",
        "beside:.hidden",
        "beside:a/b",
        "beside:../a",
        "beside:/etc/passwd",
        "beside:a\\b",
        "beside:a\nb",
        "BESIDE:a",
        "https://a.example/beside:a",
        &long,
    ] {
        assert_eq!(name_beside(other), None, "{other}");
    }
}
