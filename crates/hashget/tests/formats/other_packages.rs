//! Packages of Alpine, Arch and conda, 7z archives, and what has no reader.

use hashget::formats::{FILE, FormatError};
use hashget::limits::Limits;
use hashget::model::{Kind, MemberMetadata, Timestamp};
use hashget_testkit::packages::{
    SevenZipEntry, SevenZipMethod, TarBuilder, ZipEntry, apk, compress, conda, seven_zip,
    seven_zip_of, zip,
};

use crate::collect::{noise, read, read_error, read_with};

#[track_caller]
fn assert_damaged(bytes: &[u8], expected: &str) {
    let (error, _) = read_error(bytes, &Limits::default());
    assert!(matches!(error, FormatError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains(expected), "{error}");
}

/// Cut anywhere, a package is damaged, or no longer one; never read as if it were whole.
#[track_caller]
fn assert_damaged_when_cut(whole: &[u8], format: &str) {
    for length in 0..whole.len() {
        match read_with(&whole[..length], false, &Limits::default()).1 {
            Err(FormatError::Damaged { .. }) => {}
            Ok(other) if other != format => assert!(length < 1000, "{length}: {other}"),
            other => panic!("cut at {length} of {}: {other:?}", whole.len()),
        }
    }
}

const INFO: (&str, &[u8]) = (".PKGINFO", b"pkgname = x\ndatahash = 00\n");

#[test]
fn all_parts_of_an_apk() {
    let data = TarBuilder::new().file(".PKGINFO", b"no control file").file("usr/bin/x", b"1");
    let data = data.hard_link("usr/bin/y", "usr/bin/x").finish();
    let control = [INFO, (".post-install", &b"#!/bin/sh\n"[..])];
    let signed = apk(true, &control, &data);
    let (format, collected) = read(&signed);
    assert_eq!(format, "apk");
    let parts = ["signature/.SIGN.RSA.key.rsa.pub", "control/.PKGINFO", "control/.post-install"];
    let expected = [&parts[..], &["data/.PKGINFO", "data/usr/bin/x", "data/usr/bin/y"]].concat();
    assert_eq!(collected.paths(), expected);
    let target = collected.member("data/usr/bin/x").path.clone();
    assert_eq!(collected.member("data/usr/bin/y").kind, Kind::HardLink { target });
    let (format, collected) = read(&apk(false, &control, &data));
    assert_eq!(
        (format, collected.paths()),
        ("apk", expected[1..].iter().map(|&s| s.into()).collect())
    );
    assert_damaged_when_cut(&signed, "apk");
}

#[test]
fn what_begins_as_an_apk_and_is_none() {
    let signature = compress("gzip", &TarBuilder::new().file(".SIGN.RSA.x", b"1").without_end());
    let index = compress("gzip", &TarBuilder::new().file("DESCRIPTION", b"v3").finish());
    let (format, collected) = read(&[signature.clone(), index].concat());
    assert_eq!((format, collected.paths().len()), ("tar", 2), "an index is a tar");
    let arch = TarBuilder::new().file(".PKGINFO", b"pkgname = x\n").file("x", b"").finish();
    assert_eq!(read(&compress("gzip", &arch)).0, "tar");

    let tar = TarBuilder::new().file("x", b"").finish();
    let (_, collected) =
        read(&apk(true, &[INFO], &TarBuilder::new().file("../../x", b"").finish()));
    assert_eq!(collected.bad[0].0, b"data/../../x");
    let whole = apk(true, &[INFO], &tar);
    assert_damaged(&[&whole[..], b"garbage"].concat(), "data");
    let control = compress("gzip", &TarBuilder::new().file(INFO.0, INFO.1).without_end());
    assert_damaged(&[&signature[..], &control].concat(), "no data");
    assert_damaged(b"ADB.pckg\0\0\0", "cut off");
    assert_eq!(read(b"ADB. is a shell").0, FILE);
}

#[test]
fn apks_are_limited() {
    let zeros = TarBuilder::new().file("zeros", &vec![0; 65 << 20]).finish();
    let limits = Limits { ratio: 100, ..Limits::default() };
    let (error, _) = read_error(&apk(true, &[INFO], &zeros), &limits);
    assert!(matches!(error, FormatError::Limit { limit: 100, .. }), "{error:?}");
    let script = vec![b'#'; 65 << 20];
    let (error, _) = read_error(&apk(true, &[INFO, (".x", &script)], &zeros), &limits);
    assert!(matches!(error, FormatError::Limit { limit: 100, .. }), "{error:?}");
}

#[test]
fn packages_of_arch_are_tars() {
    let tar = TarBuilder::new()
        .file(".BUILDINFO", b"format = 2\n")
        .file(".MTREE", &compress("gzip", b"#mtree\n"))
        .file(".PKGINFO", b"pkgname = x\n")
        .file("usr/bin/x", b"1");
    for codec in ["zstd", "xz", "gzip"] {
        let (format, collected) = read(&compress(codec, &tar.clone().finish()));
        assert_eq!(format, "tar");
        assert_eq!(collected.paths(), [".BUILDINFO", ".MTREE", ".PKGINFO", "usr/bin/x"]);
    }
}

#[test]
fn both_forms_of_conda() {
    let files = TarBuilder::new().file("lib/x.py", b"1").symlink("lib/y", "x.py").finish();
    let info = TarBuilder::new().file("info/index.json", b"{}").finish();
    let whole = conda(&files, &info);
    let (format, collected) = read(&whole);
    assert_eq!(format, "conda");
    let expected = ["metadata.json", "pkg/lib/x.py", "pkg/lib/y", "info/info/index.json"];
    assert_eq!(collected.paths(), expected);
    assert_eq!(collected.content("pkg/lib/x.py"), b"1");
    assert_damaged_when_cut(&whole, "conda");
    let both = TarBuilder::new().file("info/index.json", b"{}").file("lib/x.py", b"1").finish();
    let (format, collected) = read(&compress("bzip2", &both));
    assert_eq!((format, collected.paths().len()), ("tar", 2));
}

#[test]
fn conda_packages_that_lie() {
    let tar = TarBuilder::new().file("../x", b"1").file("/etc/y", b"2").finish();
    let (_, collected) = read(&conda(&tar, &TarBuilder::new().finish()));
    assert_eq!(collected.bad[0].0, b"pkg/../x");
    assert_eq!(collected.paths(), ["metadata.json", "pkg/etc/y"]);
    let part = |name: &'static [u8], content| ZipEntry { name, content, ..ZipEntry::default() };
    let packed = compress("zstd", &tar);
    assert_damaged(&zip(&[part(b"pkg-x-1-0.tar.zst", &packed[..packed.len() - 3])]), "pkg-x-1-0");
    assert_damaged(&zip(&[part(b"pkg-x-1-0.tar.zst", b"no tar")]), "conda");
    let crc = ZipEntry { crc: Some(1), ..part(b"info-x-1-0.tar.zst", &packed) };
    assert_damaged(&zip(&[part(b"pkg-x-1-0.tar.zst", &packed), crc]), "");
    assert_eq!(read(&zip(&[part(b"metadata.json", b"{}"), part(b"x", b"")])).0, "zip");
    let zeros = TarBuilder::new().file("zeros", &vec![0; 65 << 20]).finish();
    let limits = Limits { ratio: 100, ..Limits::default() };
    let (error, _) = read_error(&conda(&zeros, &tar), &limits);
    assert!(matches!(error, FormatError::Limit { limit: 100, .. }), "{error:?}");
    let small = Limits { entries: 2, ..Limits::default() };
    let two = TarBuilder::new().file("a", b"").file("b", b"").finish();
    assert!(matches!(
        read_error(&conda(&two, &two), &small).0,
        FormatError::Limit { limit: 2, .. }
    ));
}

fn entry<'a>(name: &'a str, content: &'a [u8]) -> SevenZipEntry<'a> {
    SevenZipEntry { name, content, ..SevenZipEntry::default() }
}

#[test]
fn every_kind_of_7z_entry() {
    let text = noise(3000);
    let whole = seven_zip(&[
        SevenZipEntry { mode: Some(0o040_750), ..entry("folder", b"") },
        SevenZipEntry { mode: Some(0o104_755), mtime: -5, ..entry("folder/tool", &text) },
        SevenZipEntry { mode: Some(0o120_777), ..entry("folder/link", b"tool") },
        SevenZipEntry { mode: None, ..entry("caf\u{e9}", b"made on Windows") },
        entry("empty", b""),
    ]);
    let (format, collected) = read(&whole);
    assert_eq!((format, &collected.bad[..]), ("7z", &[][..]));
    // First those with contents: manifests count on the order.
    let expected = ["folder/tool", "folder/link", "caf\u{e9}", "folder", "empty"];
    assert_eq!(collected.paths(), expected);
    assert_eq!(collected.member("folder").kind, Kind::Directory);
    assert_eq!(
        collected.member("folder/tool").metadata,
        MemberMetadata {
            mode: Some(0o4755),
            mtime: Some(Timestamp::from_seconds(-5)),
            ..MemberMetadata::default()
        }
    );
    assert_eq!(collected.content("folder/tool"), text);
    let target = (*b"tool").into();
    assert_eq!(collected.member("folder/link").kind, Kind::Symlink { target });
    assert_eq!(collected.member("caf\u{e9}").metadata.mode, None);
    assert_eq!(collected.member("empty").kind, Kind::File { size: 0 });
    assert_damaged_when_cut(&whole, "7z");
    // The eighth byte, the minor version, means nothing.
    for at in (0..whole.len()).filter(|at| *at != 7) {
        let mut wrong = whole.clone();
        wrong[at] ^= 0x41;
        let (collected, outcome) = read_with(&wrong, false, &Limits::default());
        // Not even a date can be wrong: every part has a checksum.
        let is_read = outcome.is_ok_and(|found| found != FILE);
        assert!(!is_read, "{at}: {:?}", collected.paths());
    }
}

#[test]
fn archives_of_7z_that_lie() {
    let (_, collected) = read(&seven_zip(&[
        entry("../up", b"1"),
        SevenZipEntry { mode: Some(0o020_600), ..entry("device", b"") },
        SevenZipEntry { mode: Some(0o120_777), ..entry("nowhere", b"") },
        entry("good", b"2"),
    ]));
    assert_eq!((collected.paths(), collected.bad.len()), (vec!["good".to_owned()], 3));
    assert_damaged(&seven_zip(&[SevenZipEntry { crc: Some(1), ..entry("x", b"1") }]), "7z");
    assert_damaged(&seven_zip(&[SevenZipEntry { size: Some(9), ..entry("x", b"1") }]), "7z");
    let huge = SevenZipEntry { size: Some(1 << 60), ..entry("x", b"1") };
    let (error, _) = read_error(&seven_zip(&[huge]), &Limits::default());
    assert!(matches!(error, FormatError::Limit { .. }), "{error:?}");
    let limits = Limits { entries: 1, ..Limits::default() };
    let (error, _) = read_error(&seven_zip(&[entry("a", b""), entry("b", b"")]), &limits);
    assert!(matches!(error, FormatError::Limit { limit: 1, .. }), "{error:?}");

    // A dictionary of 1 GiB, and a model of 2 GiB.
    let lzma = SevenZipMethod { id: &[3, 1, 1], properties: &[0x5d, 0, 0, 0, 0x40] };
    let ppmd = SevenZipMethod { id: &[3, 4, 1], properties: &[6, 0, 0, 0, 0x80] };
    for method in [lzma, ppmd] {
        let archive = seven_zip_of(&[entry("x", b"12")], method, &[0; 20]);
        let (error, _) = read_error(&archive, &Limits::default());
        assert!(matches!(error, FormatError::Limit { .. }), "{error:?}");
    }
    for id in [&[6, 0xf1, 7, 1][..], &[0x21, 9], &[9]] {
        let method = SevenZipMethod { id, properties: &[1] };
        let archive = seven_zip_of(&[entry("x", b"12")], method, &[0; 20]);
        let (error, _) = read_error(&archive, &Limits::default());
        assert!(matches!(error, FormatError::Unsupported { .. }), "{error:?}");
    }
}

#[test]
fn images_are_packages_as_files() {
    let squashfs = [b"hsqs", &noise(5000)[..]].concat();
    let app_image = [b"\x7fELF\x02\x01\x01\0AI\x02", &noise(5000)[..]].concat();
    for image in [squashfs, app_image] {
        let (format, collected) = read(&image);
        assert_eq!((format, collected.members.len()), (FILE, 0));
    }
}
