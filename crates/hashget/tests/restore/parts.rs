//! Large zip packages and images of which little is wanted: parts are fetched, and proven, or else the whole.

use hashget::fetch::{HttpOrigin, OriginOptions};
use hashget::model::manifest::EntryTable;
use hashget::monitor::Recorder;
use hashget::restore::{RestoreError, Summary};
use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::{
    IsoFolder, ZipEntry, iso_file, iso_folder, iso9660, susp, susp_start, zip,
};

use crate::support::{Fixture, package, path, problems, scan_of, unpack_with_web};

/// Bytes that do not compress.
fn noise(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..count).map(|_| next()).collect()
}

fn file<'a>(name: &'a str, content: &'a [u8]) -> ZipEntry<'a> {
    ZipEntry { name: name.as_bytes(), content, deflate: false, ..ZipEntry::default() }
}

/// Makes a package with `top/a`, `top/large` and `top/b`.
type Build = fn(&[u8], &[u8], &[u8]) -> Vec<u8>;

fn as_zip(a: &[u8], large: &[u8], b: &[u8]) -> Vec<u8> {
    zip(&[file("top/a", a), file("top/large", large), file("top/b", b)])
}

fn as_image(a: &[u8], large: &[u8], b: &[u8]) -> Vec<u8> {
    let name = |name: &[u8]| [susp(b"NM", &[b"\0", name].concat())];
    let top = IsoFolder {
        fields: [susp_start(0), susp(b"RR", b"\0")].concat(),
        entries: vec![iso_folder(b"TOP", 1, &name(b"top"))],
    };
    let entries = vec![
        iso_file(b"A.;1", a, &name(b"a")),
        iso_file(b"LARGE.;1", large, &name(b"large")),
        iso_file(b"B.;1", b, &name(b"b")),
    ];
    iso9660(&[top, IsoFolder { entries, ..IsoFolder::default() }], &[], None)
}

fn scene() -> (Fixture, Origin, String, Vec<u8>) {
    scene_of("zip", as_zip)
}

/// A package with a large member and two small ones, served by a server of its own, and a tree that needs the
/// small ones, one of them twice.
fn scene_of(format: &str, build: Build) -> (Fixture, Origin, String, Vec<u8>) {
    let (large, a, b) = (noise(9 << 20, 1), noise(2000, 2), noise(90_000, 3));
    let bytes = build(&a, &large, &b);
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    fs_err::create_dir(&tree).unwrap();
    for (name, contents) in [("one", &a), ("two", &b), ("three", &b)] {
        fs_err::write(tree.join(name), contents).unwrap();
    }
    let scan = scan_of(&tree);
    let entries = ["one", "three", "two"].map(|name| scan.get(&path(name)).unwrap().clone());
    let origin = Origin::start();
    origin.serve("/large.zip", bytes.clone());
    let url = origin.url("/large.zip");
    let mut package = package(&url, &bytes, format, Vec::new());
    package.files = EntryTable::new(&entries).with_from(vec![
        Some(path("top/a")),
        Some(path("top/b")),
        Some(path("top/b")),
    ]);
    (Fixture::new(folder, vec![(package, bytes.clone())]), origin, url, bytes)
}

fn unpack_parts(
    server: &HttpOrigin,
    fixture: &Fixture,
    recorder: &Recorder,
) -> Result<Summary, RestoreError> {
    unpack_with_web(server, server, &fixture.archive(), &fixture.target(), recorder)
}

fn sent(origin: &Origin) -> u64 {
    origin.requests().iter().map(|request| request.bytes).sum()
}

#[test]
fn little_of_a_large_package_is_fetched() {
    for (format, build) in [("zip", as_zip as Build), ("iso9660", as_image)] {
        let (fixture, origin, _, bytes) = scene_of(format, build);
        let source = HttpOrigin::new(OriginOptions::default());
        let recorder = Recorder::default();
        let summary = unpack_parts(&source, &fixture, &recorder).unwrap();
        fixture.assert_restored(&summary, &recorder);
        assert_eq!((summary.files_from_packages, summary.packages_used), (3, 1), "{format}");
        let sent = sent(&origin);
        assert!(sent < bytes.len() as u64 / 4, "{format}: {sent} bytes were sent");
    }
}

#[test]
fn a_server_that_gives_no_parts_gives_the_whole_once() {
    let (fixture, origin, _, bytes) = scene();
    origin.always("/large.zip", Fault::NoRange);
    let source = HttpOrigin::new(OriginOptions::default());
    let recorder = Recorder::default();
    let summary = unpack_parts(&source, &fixture, &recorder).unwrap();
    fixture.assert_restored(&summary, &recorder);
    assert_eq!((summary.files_from_packages, summary.packages_used), (3, 1));
    assert_eq!(recorder.recorded().downloads, 2, "one byte, and the package");
    assert!(sent(&origin) >= bytes.len() as u64);
}

#[test]
fn other_bytes_are_never_placed() {
    let (fixture, origin, url, mut bytes) = scene();
    // Two members are exchanged for others, with checksums that fit; the directory is as it was.
    let (a, b) = (noise(2000, 4), noise(90_000, 5));
    let other = zip(&[file("top/a", &a), file("top/large", &noise(9 << 20, 1)), file("top/b", &b)]);
    assert_eq!(other.len(), bytes.len());
    bytes = other;
    origin.serve("/large.zip", bytes);
    let source = HttpOrigin::new(OriginOptions::default());
    let recorder = Recorder::default();
    let summary = unpack_parts(&source, &fixture, &recorder).unwrap();
    assert_eq!(summary.missing.len(), 3, "{summary:?}");
    assert_eq!(summary.files_from_packages, 0);
    assert!(problems(&recorder).contains(&url), "{}", problems(&recorder));
    for name in ["one", "two", "three"] {
        assert!(!fixture.target().join(name).exists());
    }
}
