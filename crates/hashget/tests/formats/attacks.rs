//! The files of `testdata/hostile`: one attack each, named after it. They also seed fuzzing.
//!
//! `HASHGET_WRITE_TESTDATA=1` writes them anew.

use std::path::{Path, PathBuf};

use hashget::formats::FormatError;
use hashget::limits::Limits;
use hashget_testkit::packages::{
    TarBuilder, TarEntry, ZipEntry, ar, compress, deb, pax_records, zip,
};

use crate::collect::read_with;

/// What reading a file, packages within it included, must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Damaged,
    Limit,
    /// Whole, with so many members visited and so many that could not be one.
    Read(usize, usize),
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/hostile")
}

fn named<'a>(name: &'a [u8], content: &'a [u8]) -> ZipEntry<'a> {
    ZipEntry { name, content, ..ZipEntry::default() }
}

fn sparse(map: &str, content: &[u8]) -> Vec<u8> {
    let record = |key: &str, value: &str| (key.as_bytes().to_vec(), value.as_bytes().to_vec());
    let pax = vec![record("GNU.sparse.size", "10"), record("GNU.sparse.map", map)];
    TarBuilder::new().entry(&TarEntry { name: b"x", content, pax, ..TarEntry::default() }).finish()
}

/// As 42.zip: each level holds the one below sixteen times.
fn nested_bomb() -> Vec<u8> {
    let mut package = zip(&[named(b"zeros", &vec![0; 1 << 20])]);
    let names: Vec<String> = (0..16).map(|index| format!("{index:x}")).collect();
    for _ in 0..5 {
        let entries: Vec<_> = names.iter().map(|name| named(name.as_bytes(), &package)).collect();
        package = zip(&entries);
    }
    package
}

fn tar_attacks() -> Vec<(&'static str, Outcome, Vec<u8>)> {
    use Outcome::{Damaged, Limit, Read};
    let plain = TarBuilder::new().file("x", b"1");
    let mut checksum = plain.clone().file("y", b"2").finish();
    checksum[1024] ^= 1;
    let long = TarEntry { kind: b'L', size: Some(1 << 40), ..TarEntry::default() };
    let records = TarEntry { kind: b'x', content: b"4000000000 path=x\n", ..TarEntry::default() };
    let nul = pax_records(&[(b"path", b"a\0b")]);
    let nul = TarEntry { kind: b'x', content: &nul, ..TarEntry::default() };
    let huge = TarEntry { name: b"x", size: Some(1 << 33), ..TarEntry::default() };
    vec![
        ("checksum-wrong.tar", Damaged, checksum),
        (
            "size-negative.tar",
            Damaged,
            plain.clone().fifo("y").file("z", b"").patch_last(124, &[0xff; 12]).finish(),
        ),
        ("size-beyond-the-end.tar", Limit, TarBuilder::new().entry(&huge).finish()),
        (
            "cut-within-a-member.tar",
            Damaged,
            plain.clone().file("y", &[7; 600]).finish()[..1700].to_vec(),
        ),
        (
            "garbage-after-a-zero-block.tar",
            Damaged,
            plain.clone().raw(&[0; 512]).file("y", b"").finish(),
        ),
        ("long-name-of-a-tebibyte.tar", Limit, plain.clone().entry(&long).finish()),
        (
            "pax-record-longer-than-its-header.tar",
            Damaged,
            plain.clone().entry(&records).file("y", b"").finish(),
        ),
        ("pax-name-with-nul.tar", Read(1, 1), plain.clone().entry(&nul).file("y", b"").finish()),
        ("name-with-dot-dot.tar", Read(1, 1), plain.clone().file("../x", b"").finish()),
        (
            "hard-link-out-of-the-package.tar",
            Read(1, 1),
            plain.hard_link("y", "../../etc/shadow").finish(),
        ),
        ("sparse-extents-overlap.tar", Damaged, sparse("0,2,1,2", b"abcd")),
        ("sparse-extent-beyond-the-size.tar", Damaged, sparse("18446744073709551615,4", b"abcd")),
        (
            "sparse-file-of-a-pebibyte.tar",
            Limit,
            TarBuilder::new().sparse("x", 1 << 50, &[]).finish(),
        ),
    ]
}

fn other_attacks() -> Vec<(&'static str, Outcome, Vec<u8>)> {
    use Outcome::{Damaged, Limit, Read};
    let tar = TarBuilder::new().file("x", b"1").finish();
    let gzip = compress("gzip", &tar);
    let mut size = deb(&[("control", b"c")], &tar, "gzip");
    size[8 + 60 + 4 + 48..][..10].copy_from_slice(b"9999999999");
    let whole = zip(&[named(b"x", b"1")]);
    let mut count = whole.clone();
    let end = count.len() - 22;
    count[end + 8..end + 12].copy_from_slice(&[9, 0, 9, 0]);

    vec![
        ("cut.tar.gz", Damaged, gzip[..gzip.len() - 4].to_vec()),
        ("part-larger-than-the-file.deb", Damaged, size),
        (
            "without-data.deb",
            Damaged,
            ar(&[("debian-binary", b"2.0\n"), ("control.tar.gz", &gzip)]),
        ),
        ("crc-wrong.zip", Damaged, zip(&[ZipEntry { crc: Some(1), ..named(b"x", b"1") }])),
        (
            "smaller-than-its-contents.zip",
            Damaged,
            zip(&[ZipEntry { size: Some(1), ..named(b"x", b"12") }]),
        ),
        ("more-entries-than-there-are.zip", Damaged, count),
        ("cut.zip", Damaged, whole[..whole.len() - 10].to_vec()),
        ("encrypted.zip", Read(0, 1), zip(&[ZipEntry { flags: 1, ..named(b"x", b"1") }])),
        ("bomb-within-bombs.zip", Limit, nested_bomb()),
    ]
}

#[test]
fn each_attack_fails_as_it_should() {
    let attacks = [tar_attacks(), other_attacks()].concat();
    let mut known: Vec<&str> = attacks.iter().map(|(name, ..)| *name).collect();
    for (name, expected, bytes) in &attacks {
        let path = folder().join(name);
        if std::env::var_os("HASHGET_WRITE_TESTDATA").is_some() {
            std::fs::write(&path, bytes).unwrap();
        }
        let stored = std::fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (collected, outcome) = read_with(&stored, true, &Limits::default());
        let found = match outcome {
            Ok(_) => Outcome::Read(collected.members.len(), collected.bad.len()),
            Err(FormatError::Damaged { .. }) => Outcome::Damaged,
            Err(FormatError::Limit { .. }) => Outcome::Limit,
            Err(other) => panic!("{name}: {other:?}"),
        };
        assert_eq!(found, *expected, "{name}");
    }
    let packages = ["tar", "gz", "deb", "zip"];
    let mut stored: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| packages.contains(&name.rsplit('.').next().unwrap()))
        .collect();
    stored.sort();
    known.sort_unstable();
    assert_eq!(stored, known, "every file has its attack");
}
