//! tar archives that lie, and ones that end too early.

use hashget::formats::FormatError;
use hashget::formats::tar::TarReader;
use hashget::limits::Limits;
use hashget_testkit::packages::{TarBuilder, TarEntry, compress, pax_records};

use crate::collect::{Collected, noise, read, read_error, read_with};

fn entry<'a>(name: &'a [u8], content: &'a [u8]) -> TarEntry<'a> {
    TarEntry { name, content, ..TarEntry::default() }
}

fn record(key: &str, value: &str) -> (Vec<u8>, Vec<u8>) {
    (key.as_bytes().to_vec(), value.as_bytes().to_vec())
}

/// Reads a damaged tar; the members before the damage must be right.
#[track_caller]
fn assert_damaged(bytes: &[u8], expected: &str) {
    let limits = Limits { ratio: u64::MAX, ..Limits::default() };
    let (error, _) = read_error(bytes, &limits);
    assert!(matches!(error, FormatError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains(expected), "{error}");
}

#[track_caller]
fn assert_limit(bytes: &[u8], limits: &Limits, expected: u64) {
    let (error, _) = read_error(bytes, limits);
    match error {
        FormatError::Limit { limit, .. } => assert_eq!(limit, expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn cut_anywhere_it_is_an_error_or_a_right_beginning() {
    let whole = TarBuilder::new()
        .directory("d/")
        .file("d/a", &noise(1300))
        .file(&"long/".repeat(40), b"")
        .sparse("sparse", 5000, &[(1000, &noise(700)), (4000, &noise(10))])
        .symlink("link", "target")
        .file("last", b"end")
        .finish();
    let (_, expected) = read(&whole);
    let contents = |collected: &Collected| {
        collected
            .members
            .iter()
            .map(|(member, bytes)| (member.path.clone(), bytes.clone()))
            .collect::<Vec<_>>()
    };
    let expected = contents(&expected);
    let mut accepted = 0;
    let mut lengths: Vec<usize> = (1..whole.len() / 512).map(|block| block * 512).collect();
    lengths.extend((512..whole.len()).step_by(97));
    for length in lengths {
        let (collected, outcome) = read_with(&whole[..length], false, &Limits::default());
        let found = contents(&collected);
        match outcome {
            Ok(_) => accepted += 1,
            Err(FormatError::Damaged { .. }) => {}
            Err(other) => panic!("cut at {length}: {other:?}"),
        }
        assert!(found.len() <= expected.len() && found == expected[..found.len()], "{length}");
    }
    // Between two entries, as GNU tar takes it.
    assert!((4..12).contains(&accepted), "{accepted}");
}

#[test]
fn cut_compressed_archives_are_errors() {
    let whole = TarBuilder::new().file("a", &noise(5000)).finish();
    for codec in ["gzip", "zstd", "xz", "bzip2", "lz4"] {
        let packed = compress(codec, &whole);
        for length in [packed.len() - 1, packed.len() - 20] {
            let (_, outcome) = read_with(&packed[..length], false, &Limits::default());
            match outcome {
                Err(FormatError::Damaged { .. }) => {}
                // These give nothing of a block that is cut, so nothing shows that it is a tar.
                Ok("file") if ["bzip2", "zstd"].contains(&codec) => {}
                other => panic!("{codec}: {other:?}"),
            }
        }
    }
}

#[test]
fn sizes_that_lie() {
    let huge = TarEntry { size: Some(1 << 40), ..entry(b"x", b"little") };
    assert_damaged(&TarBuilder::new().entry(&huge).finish(), "ends within an entry");
    let beyond = TarEntry { size: Some(u64::MAX / 2), ..entry(b"x", b"") };
    assert_limit(&TarBuilder::new().entry(&beyond).finish(), &Limits::default(), 4 << 40);
    let shorter = TarEntry { size: Some(3), ..entry(b"x", &[b'y'; 1000]) };
    assert_damaged(&TarBuilder::new().entry(&shorter).finish(), "checksum");
    let negative = TarBuilder::new().file("x", b"").patch_last(124, &[0xff; 12]).finish();
    assert_damaged(&negative, "size is negative");
    let enormous = TarBuilder::new().file("x", b"").patch_last(124, &[0x80, 0xff, 0xff, 0xff]);
    assert_damaged(&enormous.finish(), "too large");
    let text = TarBuilder::new().file("x", b"").patch_last(124, b"many").finish();
    assert_damaged(&text, "octal");
    for size in ["-5", "99999999999999999999999", "0x10", "1.5"] {
        let pax = TarEntry { pax: vec![record("size", size)], ..entry(b"x", b"") };
        assert_damaged(&TarBuilder::new().entry(&pax).finish(), "size is");
    }
    let folder = TarEntry { kind: 0, ..entry(b"folder/", b"content") };
    assert_damaged(&TarBuilder::new().entry(&folder).finish(), "a folder with contents");
}

#[test]
fn the_size_of_a_link_is_not_skipped() {
    let link = TarEntry { kind: b'1', link: b"a", size: Some(5000), ..entry(b"b", b"") };
    let tar = TarBuilder::new().file("a", b"1").entry(&link).file("c", b"3").finish();
    assert_eq!(read(&tar).1.paths(), ["a", "b", "c"]);
}

#[test]
fn headers_that_are_none() {
    let good = TarBuilder::new().file("first", b"1").without_end();
    let mut wrong_sum = TarBuilder::new().file("second", b"2").finish();
    wrong_sum[0] ^= 1;
    assert_damaged(&[&good[..], &wrong_sum].concat(), "checksum");
    assert_damaged(&[&good[..], &noise(512)].concat(), "checksum");
    let after_zeros = [&good[..], &[0; 512], &good].concat();
    let (_, collected) = read(&after_zeros);
    assert_eq!(collected.paths(), ["first"], "as for other programs");
    assert!(
        matches!(&collected.bad[..], [(_, reason)] if reason.contains("follows a block of zeros"))
    );
    let lone_zeros = [&good[..], &[0; 512]].concat();
    assert_eq!(read(&lone_zeros).1.paths(), ["first"]);
    let after_end = [&good[..], &[0; 1024], &noise(5000)].concat();
    assert_eq!(read(&after_end).1.paths(), ["first"]);
    let volume = TarEntry { kind: b'M', ..entry(b"x", b"") };
    let tar = TarBuilder::new().file("first", b"").entry(&volume).finish();
    let (error, collected) = read_error(&tar, &Limits::default());
    assert!(matches!(error, FormatError::Unsupported { .. }), "{error:?}");
    assert_eq!(collected.paths(), ["first"]);
}

#[test]
fn signed_checksums_are_right_too() {
    let mut tar = TarBuilder::new().entry(&entry(b"caf\xe9\xff", b"")).finish();
    tar[148..156].fill(b' ');
    let sum: i32 = tar[..512].iter().map(|&byte| i32::from(byte.cast_signed())).sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert_eq!(read(&tar).1.members[0].0.path.as_bytes(), b"caf\xe9\xff");
}

#[test]
fn extended_headers_that_lie() {
    let before = TarBuilder::new().file("before", b"");
    let extended = |kind, content, size| {
        let header = TarEntry { kind, size, ..entry(b"x", content) };
        before.clone().entry(&header).file("y", b"").finish()
    };
    for records in
        [&b"99999999 path=x\n"[..], b"11 path=x\n", b"x path=y\n", b"9 path=x_\n", b"5 a\n"]
    {
        assert_damaged(&extended(b'x', records, None), "record");
        assert_damaged(&extended(b'g', records, None), "record");
    }
    for kind in [b'x', b'g', b'L', b'K'] {
        let limits = Limits { header_bytes: 1000, ..Limits::default() };
        assert_limit(&extended(kind, b"", Some(1001)), &limits, 1000);
        assert_limit(&extended(kind, b"", Some(1 << 50)), &Limits::default(), 1 << 20);
        assert_damaged(&extended(kind, b"", Some(100_000)), "ends within an entry");
    }
    // Many small ones before one entry add up.
    let mut many = before.clone();
    for index in 0..100 {
        let name = format!("SCHILY.xattr.user.{index}");
        let content = pax_records(&[(name.as_bytes(), &[b'v'; 100])]);
        many = many.entry(&TarEntry { kind: b'x', ..entry(b"x", &content) });
    }
    let limits = Limits { header_bytes: 5000, ..Limits::default() };
    assert_limit(&many.file("y", b"").finish(), &limits, 5000);

    let last = TarEntry { kind: b'L', ..entry(b"x", b"name") };
    assert_damaged(&before.entry(&last).finish(), "after an extended header");
}

#[test]
fn sparse_maps_that_lie() {
    let sparse = |records: &[(&str, &str)], content: &[u8]| {
        let pax = records.iter().map(|(key, value)| record(key, value)).collect();
        let start = TarBuilder::new().file("before", b"");
        start.entry(&TarEntry { pax, ..entry(b"x", content) }).finish()
    };
    let in_header = |size, map, content: &[u8]| {
        sparse(&[("GNU.sparse.size", size), ("GNU.sparse.map", map)], content)
    };
    assert_damaged(&in_header("10", "0,2,1,2", b"abcd"), "overlaps");
    assert_damaged(&in_header("10", "5,2,0,2", b"abcd"), "overlaps");
    assert_damaged(&in_header("10", "9,2", b"ab"), "exceeds");
    assert_damaged(&in_header("10", "18446744073709551615,2", b"ab"), "exceeds");
    assert_damaged(&in_header("10", "0,2", b"abc"), "but 3 follow");
    assert_damaged(&in_header("10", "0,2,4", b"ab"), "without a length");
    assert_damaged(&in_header("10", "0,-2", b"ab"), "expected a number");
    assert_damaged(&sparse(&[("GNU.sparse.map", "0,1")], b"a"), "without a size");
    assert_damaged(&sparse(&[("GNU.sparse.numbytes", "1")], b"a"), "without an offset");
    assert_limit(&in_header("99999999999999", "0,1", b"a"), &Limits::default(), 4 << 40);

    let in_data = |map: &[u8]| {
        let mut content = map.to_vec();
        content.resize(content.len().next_multiple_of(512), 0);
        let version = [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0")];
        sparse(&[&version[..], &[("GNU.sparse.realsize", "10")]].concat(), &content)
    };
    assert_damaged(&in_data(b"2\n0\n1\n"), "map");
    assert_damaged(&in_data(b"1\n0\n1\n"), "0 follow");
    assert_damaged(&in_data(b"x\n"), "expected a number");
    assert_damaged(&in_data(&b"1".repeat(600)), "not made of numbers");
    assert_damaged(&in_data(b""), "map");
    assert_limit(&in_data(b"18446744073709551615\n"), &Limits::default(), 1 << 20);

    let other = sparse(&[("GNU.sparse.major", "2"), ("GNU.sparse.size", "1")], b"");
    let (error, _) = read_error(&other, &Limits::default());
    assert!(matches!(error, FormatError::Unsupported { .. }), "{error:?}");
}

#[test]
fn old_sparse_maps_that_lie() {
    let old = |fields: &[(usize, &[u8])]| {
        let sparse = TarEntry { kind: b'S', ..entry(b"x", b"") };
        let start = TarBuilder::new().file("before", b"").entry(&sparse);
        let all = [(483, &b"00000001000\0"[..])].into_iter().chain(fields.iter().copied());
        all.fold(start, |tar, (at, field)| tar.patch_last(at, field))
    };
    assert_eq!(read(&old(&[]).finish()).1.content("x"), [0; 512]);
    let overlong = [(386, &b"00000000777\0"[..]), (398, b"00000000002\0")];
    assert_damaged(&old(&overlong).finish(), "exceeds");
    let not_stored = [(386, &b"00000000000\0"[..]), (398, b"00000000002\0")];
    assert_damaged(&old(&not_stored).finish(), "but 0 follow");
    assert_damaged(&old(&[(482, b"1")]).without_end(), "ends within an entry");
    // Extension blocks without end, and without anything in them.
    let mut endless = [0; 512];
    endless[504] = 1;
    let endless = old(&[(482, b"1")]).raw(&endless.repeat(1000)).finish();
    assert_damaged(&endless, "empty block");
}

#[test]
fn names_that_lead_elsewhere_are_not_members() {
    let tar = TarBuilder::new()
        .file("/etc/passwd", b"absolute")
        .file("../escape", b"up")
        .file("a/../../b", b"up again")
        .file("..", b"up")
        .entry(&TarEntry { pax: vec![record("path", "nul\0byte")], ..entry(b"x", b"") })
        .entry(&TarEntry { pax: vec![record("linkpath", "a\0b")], kind: b'2', ..entry(b"s", b"") })
        .hard_link("link", "../../etc/shadow")
        .hard_link("top", "./")
        .hard_link("absolute", "/etc/passwd")
        .symlink("symlink", "../../anywhere")
        .entry(&TarEntry { kind: b'5', ..entry(b"/", b"") })
        .finish();
    let (_, collected) = read(&tar);
    assert_eq!(collected.paths(), ["etc/passwd", "absolute", "symlink"]);
    let bad: Vec<&[u8]> = collected.bad.iter().map(|(raw, _)| &**raw).collect();
    let expected: [&[u8]; 7] =
        [b"../escape", b"a/../../b", b"..", b"nul\0byte", b"s", b"link", b"top"];
    assert_eq!(bad, expected);
    assert!(collected.bad.iter().all(|(_, reason)| !reason.contains('\0')));
}

#[test]
fn entries_are_limited() {
    let mut tar = TarBuilder::new();
    for index in 0..1001 {
        tar = tar.fifo(&format!("{index}"));
    }
    let tar = compress("zstd", &tar.finish());
    let limits = Limits { entries: 1000, ..Limits::default() };
    assert_limit(&tar, &limits, 1000);
    let all = Limits { entries: 1001, ..Limits::default() };
    assert_eq!(read_with(&tar, false, &all).0.members.len(), 1001);
}

#[test]
fn unpacked_bytes_are_limited() {
    let tar = TarBuilder::new().file("a", &[1; 600]).file("b", &[2; 600]).finish();
    // Below the size of the archive itself, the decoder stops first.
    let limits = Limits { unpacked_bytes: 1000, ..Limits::default() };
    assert_limit(&tar, &limits, 1000);
    let sparse = TarBuilder::new().sparse("s", 1 << 30, &[]).finish();
    let limits = Limits { unpacked_bytes: 1 << 20, ..Limits::default() };
    assert_limit(&sparse, &limits, 1 << 20);
    let tame = Limits { ratio: 1000, ..Limits::default() };
    assert_limit(&sparse, &tame, 1000);
}

#[test]
fn nothing_comes_after_an_error() {
    let bytes = [&TarBuilder::new().file("a", b"1").without_end()[..], &noise(512)].concat();
    let bytes = [bytes, TarBuilder::new().file("b", b"2").finish()].concat();
    let mut archive = TarReader::new(&bytes[..], &Limits::default());
    assert_eq!(archive.next().unwrap().unwrap().path, b"a");
    assert!(archive.next().is_err());
    assert!(archive.next().unwrap().is_none());
}

#[test]
fn what_errors_say_cannot_move_a_terminal() {
    let tar = TarBuilder::new()
        .entry(&entry(b"first", b""))
        .entry(&TarEntry { pax: vec![record("size", "\x1b[31m")], ..entry(b"\x1b[2J", b"") })
        .finish();
    let (error, _) = read_error(&tar, &Limits::default());
    assert!(!error.to_string().contains('\x1b'), "{error}");
}

#[test]
fn an_access_control_list_of_solaris_is_no_entry() {
    let list = TarEntry { kind: b'A', ..entry(b"PaxHeaders/x", b"0000004user::rw-") };
    let tar = TarBuilder::new().entry(&list).file("x", b"1").finish();
    assert_eq!(read(&tar).1.paths(), ["x"]);
}

#[test]
fn of_two_extended_headers_the_last_one_counts() {
    let header = |record: &'static [u8]| TarEntry { kind: b'x', ..entry(b"header", record) };
    let tar = TarBuilder::new().entry(&header(b"12 path=one\n")).entry(&header(b"12 path=two\n"));
    assert_eq!(read(&tar.file("plain", b"1").finish()).1.paths(), ["two"]);
    let tar = TarBuilder::new().entry(&header(b"12 path=one\n")).entry(&header(b"11 mtime=5\n"));
    assert_eq!(read(&tar.file("plain", b"1").finish()).1.paths(), ["plain"]);
}
