//! Debian packages, zip archives and gems that lie.

use hashget::formats::FormatError;
use hashget::limits::Limits;
use hashget_testkit::packages::{TarBuilder, ZipEntry, ar, compress, deb, gem, zip};

use crate::collect::{Collected, file_of, noise, read, read_error, read_with};

#[track_caller]
fn assert_damaged(bytes: &[u8], expected: &str) {
    let (error, _) = read_error(bytes, &Limits::default());
    assert!(matches!(error, FormatError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains(expected), "{error}");
}

fn small_tar() -> Vec<u8> {
    compress("gzip", &TarBuilder::new().file("./x", b"1").finish())
}

#[test]
fn debs_that_are_not_whole() {
    let tar = small_tar();
    let version = ("debian-binary", &b"2.0\n"[..]);
    let control = ("control.tar.gz", &tar[..]);
    let data = ("data.tar.gz", &tar[..]);
    assert_eq!(read(&ar(&[version, control, data])).1.paths(), ["control/x", "data/x"]);
    let signed = ar(&[version, ("_gpgorigin", b"s"), control, data, ("_gpgbuilder", b"t")]);
    assert_eq!(read(&signed).0, "deb");
    assert_damaged(&ar(&[version]), "no control.tar");
    assert_damaged(&ar(&[version, control]), "no data.tar");
    assert_damaged(&ar(&[version, data, control]), "expected control.tar");
    assert_damaged(&ar(&[version, control, ("evil\x1b", b""), data]), "expected data.tar");
    assert_damaged(&ar(&[version, control, ("data.tarball", &tar)]), "expected data.tar");
    assert_damaged(&ar(&[version, control, ("data.tar.gz", &tar[..tar.len() - 4])]), "data.tar.gz");
    assert_damaged(&ar(&[version, control, ("data.tar", &noise(2000))]), "data.tar");
    let (error, _) =
        read_error(&ar(&[("debian-binary", b"3.0\n"), control, data]), &Limits::default());
    assert!(matches!(error, FormatError::Unsupported { .. }), "{error:?}");
    assert_damaged(&ar(&[version, control, ("data.tar.lzma", b"]\0\0")]), "data.tar.lzma");
}

#[test]
fn debs_of_the_time_before_xz() {
    let tar = TarBuilder::new().file("y", &noise(5000)).finish();
    let whole = deb(&[("control", b"c")], &tar, "lzma");
    let (format, collected) = read(&whole);
    assert_eq!(
        (format, collected.paths()),
        ("deb", vec!["control/control".into(), "data/y".into()])
    );
    // A small window is a limit, not damage; zeros without end are stopped by their ratio.
    let limits = Limits { window_bytes: 1 << 16, ..Limits::default() };
    assert!(matches!(read_error(&whole, &limits).0, FormatError::Limit { .. }));
    let zeros = TarBuilder::new().file("y", &vec![0; 80 << 20]).finish();
    let limits = Limits { ratio: 1000, ..Limits::default() };
    let bomb = deb(&[("control", b"c")], &zeros, "lzma");
    assert!(matches!(read_error(&bomb, &limits).0, FormatError::Limit { .. }));
}

#[test]
fn debs_cut_anywhere_or_with_lying_sizes() {
    let whole = deb(&[("control", b"x")], &TarBuilder::new().file("y", &noise(99)).finish(), "xz");
    for length in 30..whole.len() - 1 {
        let (_, outcome) = read_with(&whole[..length], false, &Limits::default());
        assert!(matches!(outcome, Err(FormatError::Damaged { .. })), "{length}: {outcome:?}");
    }
    for size in ["9999999999", "-1        ", "          ", "12abc     "] {
        let mut bytes = whole.clone();
        let at = 8 + 60 + 4 + 48;
        bytes[at..at + 10].copy_from_slice(size.as_bytes());
        let (_, outcome) = read_with(&bytes, false, &Limits::default());
        assert!(matches!(outcome, Err(FormatError::Damaged { .. })), "{size}: {outcome:?}");
    }
}

#[test]
fn members_of_debs_stay_below_their_part() {
    let data = TarBuilder::new().file("../control/control", b"forged").file("/etc/x", b"");
    let (_, collected) = read(&deb(&[], &data.hard_link("y", "../x").finish(), "none"));
    assert_eq!(collected.paths(), ["data/etc/x"]);
    assert_eq!(collected.bad[0].0, b"data/../control/control");
    assert_eq!(collected.bad[1].0, b"data/y");
}

#[test]
fn gems_with_damaged_data() {
    let tar = TarBuilder::new().file("metadata.gz", b"").file("data.tar.gz", b"no gzip").finish();
    assert_damaged(&tar, "gem");
    let whole = gem(b"", &TarBuilder::new().file("x", b"1").finish());
    let (_, outcome) = read_with(&whole[..1800], false, &Limits::default());
    assert!(matches!(outcome, Err(FormatError::Damaged { .. })), "{outcome:?}");
}

fn named<'a>(name: &'a [u8], content: &'a [u8]) -> ZipEntry<'a> {
    ZipEntry { name, content, ..ZipEntry::default() }
}

#[test]
fn zip_entries_that_cannot_be_members_are_told() {
    let package = zip(&[
        named(b"../up", b"1"),
        named(b"/absolute", b"2"),
        named(b"nul\0", b"3"),
        ZipEntry { flags: 1, ..named(b"secret", b"4") },
        ZipEntry { mode: Some(0o020_600), ..named(b"device", b"") },
        ZipEntry { mode: Some(0o120_777), ..named(b"link", b"a\0b") },
        named(b"good", b"5"),
    ]);
    let (_, collected) = read(&package);
    assert_eq!(collected.paths(), ["absolute", "good"]);
    let bad: Vec<&[u8]> = collected.bad.iter().map(|(raw, _)| &**raw).collect();
    assert_eq!(bad, [&b"../up"[..], b"nul\0", b"secret", b"device", b"link"]);
}

#[test]
fn zip_methods_that_are_not_read_are_told() {
    let mut package = zip(&[ZipEntry { deflate: false, ..named(b"x", b"1") }, named(b"y", b"2")]);
    // Method 1, "shrunk", in the local header and in the directory.
    package[8] = 1;
    let directory = package.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    package[directory + 10] = 1;
    let (_, collected) = read(&package);
    assert_eq!(collected.paths(), ["y"]);
    assert_eq!(collected.bad[0].0, b"x");
}

#[test]
fn zip_contents_that_do_not_match_the_directory() {
    let text = noise(1000);
    for deflate in [false, true] {
        let entry = ZipEntry { deflate, ..named(b"x", &text) };
        assert_damaged(&zip(&[ZipEntry { crc: Some(1), ..entry.clone() }]), "zip");
        assert_damaged(&zip(&[ZipEntry { size: Some(999), ..entry.clone() }]), "zip");
        assert_damaged(&zip(&[ZipEntry { size: Some(1001), ..entry.clone() }]), "zip");
        assert_damaged(&zip(&[ZipEntry { size: Some(0), ..entry }]), "zip");
    }
}

#[test]
fn zip_directories_that_are_wrong() {
    let whole = zip(&[named(b"a", &noise(200)), named(b"b", &noise(200))]);
    assert_eq!(read(&whole).1.members.len(), 2);
    for length in (30..whole.len()).step_by(7) {
        assert_damaged(&whole[..length], "zip");
    }
    let end = whole.len() - 22;
    for (at, bytes) in [
        (end + 10, &[9, 0][..]),               // more entries than there are
        (end + 16, &[0xff, 0xff, 0xff, 0x7f]), // a directory beyond the end
        (end + 16, &[1, 0, 0, 0]),             // a directory in the middle of an entry
        (end - 47 + 42, &[0xff, 0xff, 0, 0]),  // an entry beyond the end
        (0, b"XXXX"),                          // no entry where the directory says
    ] {
        let mut wrong = whole.clone();
        wrong[at..at + bytes.len()].copy_from_slice(bytes);
        let mut collected = Collected::default();
        let file = file_of(&wrong);
        let zip = hashget::formats::FORMATS.iter().find(|format| format.name() == "zip").unwrap();
        let input = hashget::formats::Input::File(&file);
        let outcome = zip.read(input, &Limits::default(), &mut collected);
        let error = outcome.expect_err("a wrong directory");
        assert!(
            matches!(error, FormatError::Damaged { .. } | FormatError::Unsupported { .. }),
            "{at}: {error:?}"
        );
    }
}

#[test]
fn zip_entries_and_bytes_are_limited() {
    let names: Vec<String> = (0..1001).map(|index| index.to_string()).collect();
    let entries: Vec<_> = names.iter().map(|name| named(name.as_bytes(), b"")).collect();
    let limits = Limits { entries: 1000, ..Limits::default() };
    let (error, _) = read_error(&zip(&entries), &limits);
    assert!(matches!(error, FormatError::Limit { limit: 1000, .. }), "{error:?}");

    let two = zip(&[named(b"a", &[0; 600]), named(b"b", &[0; 600])]);
    let limits = Limits { unpacked_bytes: 1000, ..Limits::default() };
    let (error, collected) = read_error(&two, &limits);
    assert!(matches!(error, FormatError::Limit { limit: 1000, .. }), "{error:?}");
    assert_eq!(collected.paths(), ["a"]);

    let bomb = vec![0; 65 << 20];
    let limits = Limits { ratio: 100, ..Limits::default() };
    let (error, _) = read_error(&zip(&[named(b"bomb", &bomb)]), &limits);
    assert!(matches!(error, FormatError::Limit { limit: 100, .. }), "{error:?}");

    let target = vec![b'x'; 2000];
    let link = ZipEntry { mode: Some(0o120_777), ..named(b"link", &target) };
    let limits = Limits { header_bytes: 1000, ..Limits::default() };
    let (error, _) = read_error(&zip(&[link]), &limits);
    assert!(matches!(error, FormatError::Limit { limit: 1000, .. }), "{error:?}");
}

#[test]
fn zip_with_one_name_twice_has_it_once() {
    // Whoever unpacks it has the last one in the end.
    let (_, collected) =
        read(&zip(&[named(b"a", b"first"), named(b"b", b""), named(b"a", b"last")]));
    assert_eq!(collected.paths(), ["a", "b"]);
    assert_eq!(collected.content("a"), b"last");
}

#[test]
fn a_hundred_thousand_entries() {
    let mut tar = TarBuilder::new();
    for index in 0..100_000 {
        tar = tar.file(&format!("{:02}/{index}", index % 100), b"");
    }
    let package = compress("zstd", &tar.finish());
    let (collected, outcome) = read_with(&package, true, &Limits::default());
    outcome.unwrap();
    assert_eq!(collected.members.len(), 100_000);
    let limits = Limits { entries: 99_999, ..Limits::default() };
    let (error, _) = read_error(&package, &limits);
    assert!(matches!(error, FormatError::Limit { limit: 99_999, .. }), "{error:?}");
}

#[test]
fn zip64_directories_that_lie() {
    let whole = zip(&[named(b"a", b"1")]);
    let (entries, end) = whole.split_at(whole.len() - 22);
    let zip64 = |record_size: u64, count: u64, size: u64, offset: u64| {
        let mut bytes = entries.to_vec();
        let record = bytes.len() as u64;
        bytes.extend_from_slice(b"PK\x06\x06");
        bytes.extend_from_slice(&record_size.to_le_bytes());
        bytes.extend_from_slice(&[45, 3, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for value in [count, count, size, offset] {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        bytes.extend_from_slice(b"PK\x06\x07\0\0\0\0");
        bytes.extend_from_slice(&record.to_le_bytes());
        bytes.extend_from_slice(&[1, 0, 0, 0]);
        bytes.extend_from_slice(&end[..8]);
        bytes.extend_from_slice(&[0xff; 12]);
        bytes.extend_from_slice(&[0, 0]);
        bytes
    };
    let directory = whole.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap() as u64;
    let size = entries.len() as u64 - directory;
    assert_eq!(read(&zip64(44, 1, size, directory)).1.paths(), ["a"]);
    for (record_size, count, size, offset) in [
        (44, 1 << 38, 1 << 60, 1 << 39),
        (44, u64::MAX, u64::MAX, u64::MAX),
        (44, 1000, size, directory),
        (u64::MAX - 100, 1, size, directory),
    ] {
        assert_damaged(&zip64(record_size, count, size, offset), "zip");
    }
}

#[test]
fn zeros_behind_the_parts_of_a_deb_are_padding() {
    let tar = TarBuilder::new().file("x", b"1").finish();
    let whole = deb(&[("control", b"c")], &tar, "none");
    let padded = [&whole[..], &[0; 3000]].concat();
    assert_eq!(read_with(&padded, false, &Limits::default()).1.unwrap(), "deb");
    let (error, _) = read_error(&[&padded[..], b"more"].concat(), &Limits::default());
    assert!(error.to_string().contains("follows zeros"), "{error}");
}
