//! cpio archives: every form and compression, hard links, several archives in one file, and those that lie.

use hashget::formats::{FILE, FormatError, Input, read_package_as};
use hashget::limits::Limits;
use hashget::model::{Kind, MemberMetadata, Timestamp};
use hashget_testkit::packages::{
    COMPRESSIONS, CpioEntry, CpioForm, TarBuilder, compress, cpio, cpio_entry,
};

use crate::collect::{Collected, file_of, noise, read, read_error, read_with};

fn entry<'a>(name: &'a [u8], content: &'a [u8]) -> CpioEntry<'a> {
    CpioEntry { name, content, ..CpioEntry::default() }
}

fn link<'a>(name: &'a [u8], content: &'a [u8]) -> CpioEntry<'a> {
    CpioEntry { inode: 7, links: 3, ..entry(name, content) }
}

fn every_kind(large: &[u8]) -> Vec<CpioEntry<'_>> {
    let of = |name: &'static [u8], mode| CpioEntry { mode, ..entry(name, b"") };
    vec![
        of(b".", 0o040_755),
        CpioEntry { links: 2, ..of(b"./etc", 0o040_750) },
        CpioEntry {
            owner: (1000, 50),
            mode: 0o104_755,
            mtime: 0x8000_0001,
            ..entry(b"/bin/tool", b"program")
        },
        CpioEntry { mode: 0o120_777, ..entry(b"bin/link", b"../etc/x") },
        CpioEntry { device: (1, 3), ..of(b"dev/null", 0o020_666) },
        CpioEntry { device: (8, 0), ..of(b"dev/sda", 0o060_660) },
        of(b"run/pipe", 0o010_600),
        entry(b"caf\xe9", large),
        entry(b"empty", b""),
    ]
}

#[test]
fn every_kind_of_entry_in_every_form_and_compression() {
    let large = noise(70_001);
    let entries = every_kind(&large);
    for form in CpioForm::ALL {
        for codec in COMPRESSIONS {
            let (format, collected) = read(&compress(codec, &cpio(form, &entries)));
            assert_eq!((format, &collected.bad[..]), ("cpio", &[][..]), "{form:?} {codec}");
            assert_eq!(collected.members.len(), entries.len() - 1, "the top folder is no member");
            let member = |path| collected.member(path);
            assert_eq!(member("etc").kind, Kind::Directory);
            assert_eq!(
                member("bin/tool").metadata,
                MemberMetadata {
                    mode: Some(0o4755),
                    uid: Some(1000),
                    gid: Some(50),
                    mtime: Some(Timestamp::from_seconds(0x8000_0001)),
                    ..MemberMetadata::default()
                }
            );
            assert_eq!(collected.content("bin/tool"), b"program");
            let target = (*b"../etc/x").into();
            assert_eq!(member("bin/link").kind, Kind::Symlink { target });
            assert_eq!(member("dev/null").kind, Kind::CharDevice { major: 1, minor: 3 });
            assert_eq!(member("dev/sda").kind, Kind::BlockDevice { major: 8, minor: 0 });
            assert_eq!(member("run/pipe").kind, Kind::Fifo);
            assert_eq!(collected.find(b"caf\xe9").1, large);
            assert_eq!(member("empty").kind, Kind::File { size: 0 });
        }
    }
}

#[test]
fn the_last_name_of_a_file_has_the_contents() {
    let entries = [
        link(b"a", b""),
        CpioEntry { inode: 9, ..link(b"none 1", b"") },
        link(b"b", b""),
        entry(b"alone", b"1"),
        link(b"c", b"contents"),
        link(b"later", b""),
        CpioEntry { inode: 9, ..link(b"none 2", b"") },
    ];
    for form in [CpioForm::New, CpioForm::Summed] {
        let (_, collected) = read(&cpio(form, &entries));
        assert_eq!(collected.paths(), ["alone", "c", "a", "b", "later", "none 1", "none 2"]);
        assert_eq!(collected.content("c"), b"contents");
        let target = collected.member("c").path.clone();
        for name in ["a", "b", "later"] {
            assert_eq!(collected.member(name).kind, Kind::HardLink { target: target.clone() });
        }
        assert_eq!(collected.member("none 1").kind, Kind::File { size: 0 });
        let target = collected.member("none 1").path.clone();
        assert_eq!(collected.member("none 2").kind, Kind::HardLink { target });
    }
}

#[test]
fn in_the_older_forms_and_in_another_archive_a_number_proves_no_link() {
    // Inode numbers are cut off there: an empty file may have that of another one.
    for form in [CpioForm::Octal, CpioForm::Binary] {
        let (_, collected) = read(&cpio(form, &[link(b"a", b"1"), link(b"b", b"")]));
        assert_eq!(collected.member("b").kind, Kind::File { size: 0 });
    }
    let two = [cpio(CpioForm::New, &[link(b"a", b"1")]), cpio(CpioForm::New, &[link(b"b", b"")])];
    assert_eq!(read(&two.concat()).1.member("b").kind, Kind::File { size: 0 });
    let alone = CpioEntry { links: 1, ..link(b"b", b"") };
    let (_, collected) = read(&cpio(CpioForm::New, &[link(b"a", b"1"), alone]));
    assert_eq!(collected.member("b").kind, Kind::File { size: 0 });
}

#[test]
fn a_file_system_to_start_from_is_several_archives() {
    let early = cpio(CpioForm::New, &[entry(b"kernel/microcode.bin", b"early")]);
    let padded = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    };
    let main = cpio(CpioForm::New, &[entry(b"init", b"#!/bin/sh"), entry(b"lib/x", &noise(9000))]);
    for codec in COMPRESSIONS.into_iter().chain(["lzma"]) {
        let second = cpio(CpioForm::Octal, &[entry(b"kernel/second", b"too")]);
        let inner = [padded(&main), cpio(CpioForm::New, &[entry(b"conf", b"2")])].concat();
        let whole = [padded(&early), second, vec![0; 700], compress(codec, &inner)].concat();
        let (format, collected) = read(&whole);
        assert_eq!((format, &collected.bad[..]), ("cpio", &[][..]), "{codec}");
        let expected = ["kernel/microcode.bin", "kernel/second", "init", "lib/x", "conf"];
        assert_eq!(collected.paths(), expected);
        assert_eq!(collected.content("lib/x"), noise(9000));
        let (error, _) = read_error(&whole[..whole.len() - 5], &Limits::default());
        assert!(matches!(error, FormatError::Damaged { format: "cpio", .. }), "{codec}: {error}");
    }
    for rest in [&b"something else"[..], b"0", &[0, 0, 1], &compress("gzip", b"no archive")] {
        let (_, collected) = read(&[&padded(&early), rest].concat());
        assert_eq!(collected.paths(), ["kernel/microcode.bin"]);
        assert_eq!(collected.bad.len(), 1, "{:?}", collected.bad);
        assert!(collected.bad[0].1.contains("follows the trailer"), "{:?}", collected.bad);
    }
}

#[test]
fn it_is_found_inside_other_packages() {
    let inner = compress("gzip", &cpio(CpioForm::New, &[entry(b"init", b"1")]));
    let outer = TarBuilder::new().file("initrd.gz", &inner).finish();
    let (collected, outcome) = read_with(&outer, true, &Limits::default());
    assert_eq!(outcome.unwrap(), "tar");
    assert_eq!(collected.paths(), ["initrd.gz", "initrd.gz!/init"]);
}

#[test]
fn a_package_that_was_read_before_is_read_as_it_was() {
    let package = compress("gzip", &cpio(CpioForm::New, &[entry(b"init", b"1")]));
    for (format, expected, path) in [
        ("compressed", "compressed", "contents"),
        ("cpio", "cpio", "init"),
        // It cannot be one, or no format has the name.
        ("deb", "cpio", "init"),
        (FILE, "cpio", "init"),
    ] {
        let mut of_file = Collected::default();
        let input = Input::File(&file_of(&package));
        let found = read_package_as(format, input, &|_| false, &Limits::default(), &mut of_file);
        assert_eq!((found.unwrap(), of_file.paths()), (expected, vec![path.to_owned()]));
        let mut of_stream = Collected::default();
        let input = Input::Stream(&mut &package[..]);
        let found = read_package_as(format, input, &|_| false, &Limits::default(), &mut of_stream);
        assert_eq!((found.unwrap(), of_stream.paths()), (expected, of_file.paths()));
    }
}

#[test]
fn names_and_types_that_cannot_be_members_are_reported() {
    let of = |name: &'static [u8], mode| CpioEntry { mode, ..entry(name, b"1") };
    let entries = [
        entry(b"../up", b"1"),
        entry(b"a/../../b", b"2"),
        entry(b"", b"3"),
        entry(b"nul\0inside", b"4"),
        of(b"socket", 0o140_600),
        of(b"typeless", 0o644),
        CpioEntry { content: b"", ..of(b"nowhere", 0o120_777) },
        CpioEntry { content: b"a\0b", ..of(b"nul", 0o120_777) },
        CpioEntry { content: b"good\0", ..of(b"link", 0o120_777) },
        entry(b"good", b"5"),
    ];
    for form in CpioForm::ALL {
        let (_, collected) = read(&cpio(form, &entries));
        assert_eq!(collected.paths(), ["link", "good"], "{form:?}");
        let target = (*b"good").into();
        assert_eq!(collected.member("link").kind, Kind::Symlink { target });
        assert_eq!(collected.bad.len(), 8, "{:?}", collected.bad);
    }
}

#[track_caller]
fn assert_damaged(bytes: &[u8], expected: &str) {
    let (error, _) = read_error(bytes, &Limits::default());
    assert!(matches!(error, FormatError::Damaged { format: "cpio", .. }), "{error:?}");
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn archives_that_lie() {
    let good = entry(b"a", b"some text");
    let sum = CpioEntry { sum: Some(1), ..good };
    assert_damaged(&cpio(CpioForm::Summed, &[sum]), "another sum");
    assert_eq!(read(&cpio(CpioForm::New, &[sum])).1.content("a"), b"some text");
    let after = |bytes: &[u8]| [&cpio_entry(CpioForm::New, &good), bytes].concat();
    assert_damaged(&after(b""), "before its trailer");
    assert_damaged(&after(&noise(300)), "begins with");
    assert_damaged(&after(b"07070X00000000\0\0"), "has no name");
    assert_damaged(&after(&[&b"070701zzzzzzzz"[..], &[b'0'; 200]].concat()), "no number");
    assert_damaged(&after(&[&b"070701+0000001"[..], &[b'0'; 200]].concat()), "no number");
    for form in CpioForm::ALL {
        let longer = CpioEntry { size: Some(5000), ..good };
        assert_damaged(&cpio(form, &[longer]), "ends within an entry");
        let whole = cpio(form, &[good]);
        for length in SMALLEST_RECOGNISED..whole.len() {
            let (_, outcome) = read_with(&whole[..length], false, &Limits::default());
            match outcome {
                Err(FormatError::Damaged { .. }) => {}
                // The start of a header shows nothing; what pads the trailer may be missing.
                Ok(FILE) if length < 112 => {}
                Ok(_) if length + 4 > whole.len() => {}
                other => panic!("{form:?} cut at {length} of {}: {other:?}", whole.len()),
            }
        }
    }
}

/// Fewer bytes never show what they begin.
const SMALLEST_RECOGNISED: usize = 26;

#[test]
fn what_comes_out_is_limited() {
    let mut name = cpio_entry(CpioForm::New, &entry(b"a", b""));
    name[6 + 11 * 8..][..8].copy_from_slice(b"ffffffff");
    assert!(matches!(read_error(&name, &Limits::default()).0, FormatError::Limit { .. }));
    let target = CpioEntry { mode: 0o120_777, size: Some(u32::MAX), ..entry(b"a", b"b") };
    let (error, _) = read_error(&cpio(CpioForm::New, &[target]), &Limits::default());
    assert!(matches!(error, FormatError::Limit { .. }), "{error}");
    let many = cpio(CpioForm::New, &[link(b"a", b""), link(b"b", b""), link(b"c", b"")]);
    let limits = Limits { entries: 2, ..Limits::default() };
    assert!(matches!(read_error(&many, &limits).0, FormatError::Limit { limit: 2, .. }));
    // Archives one behind the other are one package.
    let limits = Limits { entries: 1000, ..Limits::default() };
    let archives = cpio(CpioForm::New, &[entry(b"a", b"")]).repeat(1001);
    assert!(matches!(read_error(&archives, &limits).0, FormatError::Limit { limit: 1000, .. }));
    let empty = cpio(CpioForm::New, &[]).repeat(20_000);
    assert_eq!(read(&empty).0, "cpio");
}

#[test]
fn other_bytes_with_the_same_start_are_none() {
    let binary = cpio_entry(CpioForm::Binary, &entry(b"a", b"1"));
    let mut typeless = binary.clone();
    typeless[7] = 0;
    let mut unnamed = binary.clone();
    unnamed[20] = 9;
    for other in [&b"070701 is text, and more of it than a header has"[..], &typeless, &unnamed] {
        assert_eq!(read(other).0, FILE);
    }
    assert_eq!(read_with(&binary, false, &Limits::default()).0.paths(), ["a"]);
}
