//! The files of `testdata/hostile`: one attack each, named after it. They also seed fuzzing.
//!
//! `HASHGET_WRITE_TESTDATA=1` writes them anew.

use std::path::{Path, PathBuf};

use hashget::formats::FormatError;
use hashget::limits::Limits;
use hashget_testkit::packages::{
    Apk3File, CpioEntry, CpioForm, IsoContent, IsoEntry, IsoFolder, RpmFile, RpmValue,
    SevenZipEntry, SevenZipMethod, TarBuilder, TarEntry, ZipEntry, apk, apk_version_3, ar,
    block_of_area, compress, conda, cpio, cpio_entry, cpio_listed, cpio_named, cpio_sized, deb,
    iso_file, iso_folder, iso9660, pax_records, posix, rpm, rpm_header, rpm_of, rpm_tags,
    seven_zip, seven_zip_of, susp, susp_area, susp_start, zip,
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
            Read(1, 1),
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

fn rpm_attacks() -> Vec<(&'static str, Outcome, Vec<u8>)> {
    use Outcome::{Damaged, Limit, Read};
    let file = |name: &'static [u8]| RpmFile { name, content: b"1", ..RpmFile::default() };
    let files = [file(b"/x"), RpmFile { inode: 5, ..file(b"/y") }];
    let header = rpm_header(&rpm_tags(&files));
    let link = RpmFile { content: b"", size: Some(1), ..files[1].clone() };
    let mut beyond = rpm_tags(&files);
    beyond.push((1116, RpmValue::Int32(vec![0, 9])));
    let mut huge = rpm(&files, "gzip", false);
    huge[96 + 8..96 + 16].fill(0xff);
    vec![
        ("name-with-dot-dot.rpm", Read(1, 1), rpm(&[file(b"/../x"), file(b"/y")], "zstd", true)),
        ("header-of-gibibytes.rpm", Limit, huge),
        ("folder-beyond-the-list.rpm", Damaged, rpm_of(&rpm_header(&beyond), b"")),
        ("entry-beyond-the-list.rpm", Damaged, rpm_of(&header, &cpio_listed(7, b"1"))),
        ("file-twice.rpm", Damaged, rpm_of(&header, &cpio_listed(0, b"1").repeat(2))),
        ("entry-beyond-the-end.rpm", Damaged, rpm_of(&header, &cpio_sized(b"./x", b"1", 1 << 20))),
        ("entry-without-the-header.rpm", Damaged, rpm_of(&header, &cpio_named(b"./z", b"1"))),
        (
            "hard-links-without-contents.rpm",
            Damaged,
            rpm(&[link.clone(), RpmFile { name: b"/z", ..link }], "none", false),
        ),
    ]
}

fn attacks_of_the_others() -> Vec<(&'static str, Outcome, Vec<u8>)> {
    use Outcome::{Damaged, Limit, Read};
    let tar = TarBuilder::new().file("x", b"1").finish();
    let escape = TarBuilder::new().file("../control/x", b"1").finish();
    let control: [(&str, &[u8]); 1] = [(".PKGINFO", b"\ndatahash = 0\n")];
    let package = apk(true, &control, &tar);
    let data = compress("gzip", &tar).len();
    let mut part = conda(&tar, &tar);
    let at = part.windows(4).position(|bytes| bytes == b"\x28\xb5\x2f\xfd").unwrap();
    part[at + 8] ^= 0xff;
    let entry = |size| SevenZipEntry { content: b"1", size, ..SevenZipEntry::default() };
    let lzma = SevenZipMethod { id: &[3, 1, 1], properties: &[0x5d, 0, 0, 0, 0x40] };
    vec![
        ("without-data.apk", Damaged, package[..package.len() - data].to_vec()),
        ("cut-within-its-data.apk", Damaged, package[..package.len() - 9].to_vec()),
        ("name-with-dot-dot.apk", Read(2, 1), apk(true, &control, &escape)),
        ("part-damaged.conda", Damaged, part),
        ("name-with-dot-dot.conda", Read(2, 1), conda(&escape, &tar)),
        ("entry-of-an-exbibyte.7z", Limit, seven_zip(&[entry(Some(1 << 60))])),
        ("larger-than-its-contents.7z", Damaged, seven_zip(&[entry(Some(2))])),
        ("dictionary-of-a-gibibyte.7z", Limit, seven_zip_of(&[entry(None)], lzma, &[0; 20])),
        (
            "name-with-dot-dot.7z",
            Read(0, 1),
            seven_zip(&[SevenZipEntry { name: "../x", ..entry(None) }]),
        ),
    ]
}

fn ar_and_cpio_attacks() -> Vec<(&'static str, Outcome, Vec<u8>)> {
    use Outcome::{Damaged, Limit, Read};
    let entry = |name: &'static [u8]| CpioEntry { name, content: b"1", ..CpioEntry::default() };
    let new = CpioForm::New;
    let mut name = cpio_entry(new, &entry(b"x"));
    name[6 + 11 * 8..][..8].copy_from_slice(b"ffffffff");
    let size = CpioEntry { size: Some(1 << 20), ..entry(b"x") };
    let sum = CpioEntry { sum: Some(9), ..entry(b"x") };
    let garbage = [&cpio(new, &[entry(b"x")])[..], b"garbage"].concat();
    vec![
        ("long-name-that-is-not-there.a", Damaged, ar(&[("/99", b"1")])),
        ("name-longer-than-its-part.a", Damaged, ar(&[("#1/99", b"1")])),
        ("name-with-dot-dot.a", Read(1, 1), ar(&[("../x/", b"1"), ("y/", b"1")])),
        ("name-of-gibibytes.cpio", Limit, name),
        ("name-with-dot-dot.cpio", Read(1, 1), cpio(new, &[entry(b"../x"), entry(b"y")])),
        ("size-beyond-the-end.cpio", Damaged, cpio(new, &[size])),
        ("sum-wrong.cpio", Damaged, cpio(CpioForm::Summed, &[sum])),
        ("garbage-after-the-trailer.cpio", Read(1, 1), garbage),
        ("without-trailer.cpio", Damaged, cpio_entry(CpioForm::Binary, &entry(b"x"))),
    ]
}

fn apk_attacks() -> Vec<(&'static str, Outcome, Vec<u8>)> {
    use Outcome::{Damaged, Read};
    let file = Apk3File { content: b"1", ..Apk3File::default() };
    let of = |file| apk_version_3(&[(&b"d"[..], &[file][..])], "none");
    let shadow = Some((0o100_000, &b"../../etc/shadow"[..]));
    vec![
        ("digest-wrong.v3.apk", Damaged, of(Apk3File { digest: Some(&[0; 32]), ..file })),
        (
            "hard-link-out-of-the-package.v3.apk",
            Read(1, 1),
            of(Apk3File { target: shadow, ..file }),
        ),
        ("name-with-dot-dot.v3.apk", Read(1, 1), of(Apk3File { name: b"../../x", ..file })),
        ("size-of-exbibytes.v3.apk", Damaged, of(Apk3File { size: Some(1 << 62), ..file })),
        ("data-of-another-file.v3.apk", Damaged, of(Apk3File { numbers: Some((9, 9)), ..file })),
    ]
}

fn image_attacks() -> Vec<(&'static str, Outcome, Vec<u8>)> {
    use Outcome::{Damaged, Read};
    let of = |entries: Vec<IsoEntry<'_>>, areas: &[&[u8]]| {
        let fields = [susp_start(0), posix(0o040_755, (0, 0))].concat();
        iso9660(&[IsoFolder { fields, entries }], areas, None)
    };
    let at = |flags, block, bytes| {
        let content = IsoContent::At(block, bytes);
        IsoEntry { name: b"X", flags, content, fields: Vec::new() }
    };
    let escape = susp(b"NM", b"\0../../x");
    let circle = susp_area(0, 0, 28);
    // Eight blocks: each folder begins one later and ends with the last.
    let overlapping = |number| at(2, block_of_area(0) + number, (8 - number) * 2048);
    vec![
        ("contents-beyond-the-end.iso", Damaged, of(vec![at(0, 19, 1 << 30)], &[])),
        (
            "name-with-dot-dot.iso",
            Read(1, 1),
            of(vec![iso_file(b"X", b"1", &[escape]), iso_file(b"Y", b"1", &[])], &[]),
        ),
        (
            "attributes-in-a-circle.iso",
            Damaged,
            of(vec![iso_file(b"X", b"1", std::slice::from_ref(&circle))], &[&circle]),
        ),
        ("folder-within-itself.iso", Damaged, of(vec![iso_folder(b"X", 0, &[])], &[])),
        ("folders-overlap.iso", Damaged, of((0..8).map(overlapping).collect(), &[&b""[..]; 8])),
    ]
}

#[test]
fn each_attack_fails_as_it_should() {
    let attacks = [
        tar_attacks(),
        other_attacks(),
        rpm_attacks(),
        attacks_of_the_others(),
        ar_and_cpio_attacks(),
        apk_attacks(),
        image_attacks(),
    ]
    .concat();
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
    let packages = ["tar", "gz", "deb", "zip", "rpm", "apk", "conda", "7z", "a", "cpio", "iso"];
    let mut stored: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| packages.contains(&name.rsplit('.').next().unwrap()))
        .collect();
    stored.sort();
    known.sort_unstable();
    assert_eq!(stored, known, "every file has its attack");
}
