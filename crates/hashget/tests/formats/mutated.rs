//! Random bytes and random damage: an error or members, never a panic, never an endless read.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use hashget::formats::{FORMATS, recognise};
use hashget::limits::Limits;
use hashget_testkit::packages::{
    Apk3File, COMPRESSIONS, CpioEntry, CpioForm, RpmFile, SevenZipEntry, TarBuilder, TarEntry,
    ZipEntry, apk, apk_version_3, ar, compress, conda, cpio, deb, gem, iso9660, rpm, seven_zip,
    zip,
};
use proptest::prelude::*;

use crate::collect::{Collected, noise, read_with};
use crate::conformance;
use crate::iso9660::every_kind;

static SAMPLES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let tar = TarBuilder::new()
        .directory("d/")
        .file("d/file", &noise(700))
        .file(&format!("{}end", "long/".repeat(30)), b"x")
        .sparse("sparse", 9000, &[(512, b"data"), (8000, b"more")])
        .entry(&TarEntry {
            name: b"xattr",
            pax: vec![(b"SCHILY.xattr.user.a".to_vec(), b"b".to_vec())],
            ..TarEntry::default()
        })
        .symlink("link", "d/file")
        .hard_link("hard", "d/file")
        .finish();
    let zip = zip(&[
        ZipEntry { name: b"a", content: &noise(300), utc: Some(5), ..ZipEntry::default() },
        ZipEntry { name: b"b/", mode: Some(0o040_755), ..ZipEntry::default() },
        ZipEntry { name: b"in.tar", content: &tar, ..ZipEntry::default() },
    ]);
    let mut samples: Vec<_> = COMPRESSIONS.iter().map(|codec| compress(codec, &tar)).collect();
    samples.extend(COMPRESSIONS.iter().map(|codec| deb(&[("control", b"c")], &tar, codec)));
    samples.push(gem(b"meta", &tar));
    samples.push(compress("xz", &zip));
    samples.push(zip);
    let info: [(&str, &[u8]); 2] = [(".PKGINFO", b"\ndatahash = 0\n"), (".pre-install", b"#!")];
    samples.push(apk(true, &info, &tar));
    let content = noise(300);
    let apk_files = [b"a", b"b", b"c", b"d", b"e"].map(|name| Apk3File {
        name,
        content: &content,
        ..Apk3File::default()
    });
    for compression in ["none", "deflate", "zstd"] {
        samples.push(apk_version_3(&[(b"folder", &apk_files)], compression));
    }
    samples.push(conda(&tar, &tar));
    samples.push(seven_zip(&seven_zip_entries(&noise(300))));
    let objects = ["a.o/", "b.o/", "c.o/", "d.o/", "#1/4", "f.o/"].map(|name| (name, &b"name"[..]));
    samples.push(ar(&objects));
    for form in CpioForm::ALL {
        samples.push(cpio(form, &cpio_entries(&noise(300))));
    }
    samples.push(iso9660(&every_kind(&noise(300)), &[], None));
    samples.push(compress("gzip", &cpio(CpioForm::New, &cpio_entries(&noise(300)))));
    for (codec, stripped) in [("none", false), ("none", true), ("gzip", true), ("zstd", false)] {
        samples.push(rpm(&rpm_files(&noise(300)), codec, stripped));
    }
    samples
});

fn seven_zip_entries(content: &[u8]) -> Vec<SevenZipEntry<'_>> {
    ["a", "b/c", "b/d", "empty", "e", "f"]
        .map(|name| SevenZipEntry {
            name,
            content: if name == "empty" { b"" } else { content },
            ..SevenZipEntry::default()
        })
        .to_vec()
}

fn cpio_entries(content: &[u8]) -> Vec<CpioEntry<'_>> {
    let entry = |name: &'static [u8]| CpioEntry { name, ..CpioEntry::default() };
    vec![
        CpioEntry { mode: 0o040_755, ..entry(b"d") },
        CpioEntry { mode: 0o120_777, content: b"d/file", ..entry(b"link") },
        CpioEntry { links: 2, inode: 5, ..entry(b"d/first") },
        CpioEntry { links: 2, inode: 5, content, ..entry(b"d/second") },
        CpioEntry { content, ..entry(b"e") },
        entry(b"f"),
    ]
}

fn rpm_files(content: &[u8]) -> Vec<RpmFile<'_>> {
    let file = |name: &'static [u8]| RpmFile { name, ..RpmFile::default() };
    vec![
        RpmFile { mode: 0o040_755, ..file(b"/d") },
        RpmFile { inode: 1, size: Some(300), ..file(b"/d/first") },
        RpmFile { mode: 0o120_777, target: b"first", ..file(b"/d/link") },
        RpmFile { inode: 1, content, ..file(b"/d/second") },
        RpmFile { content, ..file(b"/e") },
        file(b"/f"),
    ]
}

fn limits() -> Limits {
    Limits { entries: 1000, unpacked_bytes: 1 << 20, depth: 3, ..Limits::default() }
}

/// What has been visited must obey the limits, whatever came of the whole.
fn check(bytes: &[u8]) -> Collected {
    let (collected, _) = read_with(bytes, true, &limits());
    let size: u64 = collected.members.iter().map(|(member, _)| member.size()).sum();
    assert!(size <= limits().unpacked_bytes);
    assert!(collected.members.len() as u64 <= limits().entries);
    collected
}

#[test]
fn every_format_conforms() {
    let mut names = BTreeSet::new();
    for format in FORMATS {
        assert!(names.insert(format.name()), "two formats are called {}", format.name());
        let is_of_it = |sample: &&Vec<u8>| {
            recognise(sample).is_some_and(|found| found.name() == format.name())
        };
        let sample = SAMPLES.iter().find(is_of_it);
        let sample = sample.unwrap_or_else(|| panic!("no sample of the format {}", format.name()));
        conformance::check(*format, sample);
    }
}

#[test]
fn the_samples_are_whole() {
    for sample in SAMPLES.iter() {
        let collected = check(sample);
        let paths = collected.paths();
        assert!(paths.len() >= 6 || paths == ["contents"], "{paths:?}");
        assert_eq!(collected.bad, []);
        assert_eq!(collected.nested_problems, []);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes(
        sample in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = sample.get(&SAMPLES).clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        check(&bytes);
    }

    #[test]
    fn changed_fields_with_a_right_checksum(
        block in any::<prop::sample::Index>(),
        changes in prop::collection::vec((0_usize..512, any::<u8>()), 1..4),
    ) {
        let mut bytes = SAMPLES[0].clone();
        let block = block.index(bytes.len() / 512) * 512;
        let header = &mut bytes[block..block + 512];
        for (at, value) in changes {
            header[at] = value;
        }
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        check(&bytes);
    }

    #[test]
    fn cut_doubled_and_moved(
        sample in any::<prop::sample::Index>(),
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
        keep_head in any::<bool>(),
    ) {
        let bytes = sample.get(&SAMPLES);
        let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
        let moved = if keep_head {
            [&bytes[..from], &bytes[to..]].concat()
        } else {
            bytes[from.min(to)..].to_vec()
        };
        check(&moved);
    }

    #[test]
    fn random_bytes(
        magic in prop::sample::select(vec![
            &b""[..], b"!<arch>\ndebian-binary   ", b"PK\x03\x04", b"PK\x05\x06",
            b"!<arch>\n", b"070701", b"\xc7\x71", b"7z\xbc\xaf\x27\x1c\0\x04", b"\xed\xab\xee\xdb\x03\0", b"ADBd", b"ADB.pckg", b"\x1f\x8b\x08\0",
            b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"BZh91AY&SY", b"\x04\x22\x4d\x18", b"\x50\x2a\x4d\x18",
        ]),
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        check(&[magic, &bytes].concat());
    }
}
