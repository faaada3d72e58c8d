//! rpm packages: every form and compression, hard links, and those that lie.

use hashget::formats::FormatError;
use hashget::limits::Limits;
use hashget::model::{Kind, MemberMetadata, Timestamp};
use hashget_testkit::packages::{
    RpmFile, RpmValue, cpio_listed, cpio_named, cpio_sized, rpm, rpm_header, rpm_of, rpm_tags,
};

use crate::collect::{noise, read, read_error, read_with};

/// What a header has.
type Tags = Vec<(u32, RpmValue)>;

fn file<'a>(name: &'a [u8], content: &'a [u8]) -> RpmFile<'a> {
    RpmFile { name, content, ..RpmFile::default() }
}

fn every_kind(large: &[u8]) -> Vec<RpmFile<'_>> {
    let name = |name: &'static [u8], inode| RpmFile { inode, ..file(name, b"") };
    vec![
        RpmFile { mode: 0o040_750, owner: ("daemon", "root"), ..file(b"/etc/x", b"") },
        RpmFile { mode: 0o104_755, mtime: 7, ..file(b"/usr/bin/tool", b"program") },
        RpmFile { mode: 0o120_777, target: b"../bin/tool", ..file(b"/usr/lib/link", b"") },
        RpmFile { flags: 64, ..file(b"/var/log/ghost", b"") },
        RpmFile { mode: 0o010_600, ..file(b"/run/pipe", b"") },
        RpmFile { mode: 0o020_666, device: 0x0103, ..file(b"/dev/null", b"") },
        RpmFile { mode: 0o060_660, device: 0x0800, ..file(b"/dev/sda", b"") },
        RpmFile { size: Some(5), ..name(b"/usr/share/first", 5) },
        file(b"/usr/share/caf\xe9", large),
        RpmFile { size: Some(5), ..name(b"/usr/share/second", 5) },
        RpmFile { content: b"three", ..name(b"/usr/share/third", 5) },
        name(b"/usr/share/empty", 6),
        name(b"/usr/share/empty too", 6),
    ]
}

#[test]
fn every_kind_of_file_in_every_form() {
    let large = noise(70_001);
    let files = every_kind(&large);
    for compression in ["none", "gzip", "bzip2", "xz", "lzma", "zstd"] {
        for stripped in [false, true] {
            let (format, collected) = read(&rpm(&files, compression, stripped));
            assert_eq!((format, &collected.bad[..]), ("rpm", &[][..]), "{compression}");
            assert_eq!(collected.members.len(), files.len() - 1, "the ghost is not there");
            let member = |path| collected.member(path);
            assert_eq!(member("etc/x").kind, Kind::Directory);
            assert_eq!(member("etc/x").metadata.uid, None, "daemon has another number elsewhere");
            assert_eq!(
                member("usr/bin/tool").metadata,
                MemberMetadata {
                    mode: Some(0o4755),
                    uid: Some(0),
                    gid: Some(0),
                    mtime: Some(Timestamp::from_seconds(7)),
                    ..MemberMetadata::default()
                }
            );
            assert_eq!(collected.content("usr/bin/tool"), b"program");
            let target = (*b"../bin/tool").into();
            assert_eq!(member("usr/lib/link").kind, Kind::Symlink { target });
            assert_eq!(member("run/pipe").kind, Kind::Fifo);
            assert_eq!(member("dev/null").kind, Kind::CharDevice { major: 1, minor: 3 });
            assert_eq!(member("dev/sda").kind, Kind::BlockDevice { major: 8, minor: 0 });
            assert_eq!(collected.find(b"usr/share/caf\xe9").1, large);
            let target = member("usr/share/third").path.clone();
            assert_eq!(collected.content("usr/share/third"), b"three");
            for name in ["usr/share/first", "usr/share/second"] {
                assert_eq!(member(name).kind, Kind::HardLink { target: target.clone() });
            }
            let target = member("usr/share/empty").path.clone();
            assert_eq!(member("usr/share/empty").kind, Kind::File { size: 0 });
            assert_eq!(member("usr/share/empty too").kind, Kind::HardLink { target });
        }
    }
    assert!(read(&rpm(&[], "gzip", false)).1.members.is_empty());
}

#[test]
fn contents_may_be_with_the_first_name_or_with_each() {
    let link = |name: &'static [u8], content| RpmFile { inode: 9, ..file(name, content) };
    let later = RpmFile { size: Some(3), ..link(b"/b", b"") };
    let (_, collected) = read(&rpm(&[link(b"/a", b"abc"), later], "none", false));
    let target = collected.member("a").path.clone();
    assert_eq!(collected.member("b").kind, Kind::HardLink { target });
    let (_, collected) = read(&rpm(&[link(b"/a", b"abc"), link(b"/b", b"abc")], "none", false));
    assert_eq!(collected.content("b"), b"abc");
}

#[test]
fn names_as_they_were_kept_before_1999_and_in_sources() {
    let mut tags = rpm_tags(&[file(b"/x", b"1"), file(b"/y/z", b"2")]);
    tags.retain(|(tag, _)| !(1116..=1118).contains(tag));
    tags.push((1027, RpmValue::Texts(vec![b"/x".to_vec(), b"/y/z".to_vec()])));
    let archive = [cpio_named(b"x", b"1"), cpio_named(b"y/z", b"2"), trailer()].concat();
    let (_, collected) = read(&rpm_of(&rpm_header(&tags), &archive));
    assert_eq!(collected.paths(), ["x", "y/z"]);
    let (_, collected) = read(&rpm(&[file(b"tool.spec", b"Name: x")], "zstd", false));
    assert_eq!(collected.bad, []);
    assert_eq!(collected.content("tool.spec"), b"Name: x");
}

fn trailer() -> Vec<u8> {
    cpio_named(b"TRAILER!!!", b"")
}

#[track_caller]
fn assert_damaged(bytes: &[u8], expected: &str) {
    let (error, _) = read_error(bytes, &Limits::default());
    assert!(matches!(error, FormatError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn cut_anywhere_it_is_damaged() {
    let files =
        [file(b"/a", b"some text"), RpmFile { target: b"a", mode: 0o120_777, ..file(b"/b", b"") }];
    for (compression, stripped) in
        [("none", false), ("none", true), ("gzip", false), ("lzma", true)]
    {
        let whole = rpm(&files, compression, stripped);
        assert_eq!(read(&whole).1.paths(), ["a", "b"]);
        for length in 4..whole.len() {
            let (_, outcome) = read_with(&whole[..length], false, &Limits::default());
            let is_padding = whole[length..].iter().all(|&byte| byte == 0) && compression == "none";
            match outcome {
                Ok(_) if is_padding => {}
                Err(FormatError::Damaged { .. } | FormatError::Unsupported { .. }) => {}
                other => panic!("{compression} cut at {length} of {}: {other:?}", whole.len()),
            }
        }
    }
}

#[test]
fn names_that_cannot_be_members_are_told() {
    let files = [
        file(b"/../up", b"1"),
        file(b"/a/../../b", b"2"),
        RpmFile { mode: 0o140_600, ..file(b"/socket", b"") },
        RpmFile { mode: 0o644, ..file(b"/typeless", b"") },
        RpmFile { mode: 0o120_777, ..file(b"/nowhere", b"") },
        file(b"/good", b"3"),
    ];
    for stripped in [false, true] {
        let (_, collected) = read(&rpm(&files, "none", stripped));
        assert_eq!(collected.paths(), ["good"], "{stripped}");
        assert_eq!(collected.bad.len(), 5, "{:?}", collected.bad);
    }
    let header = rpm_header(&rpm_tags(&[file(b"/known", b"1")]));
    let archive = [cpio_named(b"./unknown", b"2"), cpio_named(b"./known", b"1"), trailer()];
    let (_, collected) = read(&rpm_of(&header, &archive.concat()));
    assert_eq!(collected.paths(), ["known"]);
    assert_eq!(collected.bad[0].0, b"./unknown");
}

#[test]
fn headers_that_lie() {
    let files = [file(b"/x", b"1"), file(b"/y", b"2")];
    let archive = [cpio_named(b"./x", b"1"), cpio_named(b"./y", b"2"), trailer()].concat();
    let with = |change: &dyn Fn(&mut Tags)| {
        let mut tags = rpm_tags(&files);
        change(&mut tags);
        rpm_of(&rpm_header(&tags), &archive)
    };
    assert_eq!(read(&with(&|_| {})).1.paths(), ["x", "y"]);
    let without = |unwanted: u32| with(&|tags| tags.retain(|(tag, _)| *tag != unwanted));
    assert_damaged(&without(1030), "no modes");
    assert_damaged(&without(1118), "names is cut off");
    assert_eq!(read(&without(1034)).1.member("x").metadata.mtime, None);
    assert_damaged(&with(&|tags| tags.push((1030, RpmValue::Int16(vec![1])))), "1 values for 2");
    let folders = |tags: &mut Tags| {
        tags.push((1116, RpmValue::Int32(vec![0, u32::MAX])));
    };
    assert_damaged(&with(&folders), "no name of file 1");
    let other = with(&|tags| tags.push((1124, RpmValue::Text(b"drpm".to_vec()))));
    let (error, _) = read_error(&other, &Limits::default());
    assert!(matches!(error, FormatError::Unsupported { .. }), "{error:?}");

    let whole = with(&|_| {});
    let header = 96 + 16 + 2 * 16 + 8;
    assert_eq!(whole[header..header + 3], [0x8e, 0xad, 0xe8]);
    for (at, bytes) in [
        (8, [0xff; 4]),         // more entries than there are bytes
        (12, [0, 0xff, 0, 0]),  // more data than there is
        (16 + 8, [0xff; 4]),    // a value beyond the end
        (16 + 8, [0, 1, 0, 0]), // another
        (32 + 12, [0x7f; 4]),   // more values than there is room for
    ] {
        let mut wrong = whole.clone();
        wrong[header + at..header + at + 4].copy_from_slice(&bytes);
        let (_, outcome) = read_with(&wrong, false, &Limits::default());
        let is_name = at == 24 || at == 44;
        match outcome {
            Err(FormatError::Damaged { .. } | FormatError::Limit { .. }) => {}
            // The package's name and the archive's form are of no use to us, or have a default.
            Ok(_) if is_name => {}
            other => panic!("{at}: {other:?}"),
        }
    }
}

#[test]
fn archives_that_lie() {
    let files = [file(b"/x", b"1"), file(b"/y", b"2")];
    let header = rpm_header(&rpm_tags(&files));
    let of = |parts: &[Vec<u8>]| rpm_of(&header, &parts.concat());
    assert_damaged(&of(&[cpio_named(b"./x", b"1"), cpio_named(b"./x", b"1"), trailer()]), "twice");
    assert_damaged(&of(&[cpio_listed(0, b"1"), cpio_listed(0, b"1"), trailer()]), "twice");
    assert_damaged(&of(&[cpio_listed(7, b""), trailer()]), "no file 7");
    assert_damaged(&of(&[cpio_named(b"./x", b"1")]), "");
    assert_damaged(&of(&[cpio_sized(b"./x", b"1", 1 << 20), trailer()]), "ends within an entry");
    assert_damaged(&of(&[cpio_sized(b"./x", b"12345678", 4), trailer()]), "begins with");
    assert_damaged(&of(&[b"070701zzzzzzzz".to_vec(), vec![b'0'; 200]]), "no number");
    assert_damaged(&of(&[b"070701+0000001".to_vec(), vec![b'0'; 200]]), "no number");
    assert_damaged(&of(&[noise(300)]), "begins with");
    let link = |name: &'static [u8]| RpmFile { inode: 3, size: Some(4), ..file(name, b"") };
    let unfinished = rpm(&[link(b"/a"), link(b"/b")], "none", false);
    assert_damaged(&unfinished, "under none of them");
    let mut name = cpio_named(b"./x", b"");
    name[6 + 11 * 8..][..8].copy_from_slice(b"ffffffff");
    let (error, _) = read_error(&of(&[name]), &Limits::default());
    assert!(matches!(error, FormatError::Limit { .. }), "{error:?}");
}

#[test]
fn what_comes_out_is_limited() {
    let zeros = vec![0; 65 << 20];
    let bomb = rpm(&[file(b"/zeros", &zeros)], "zstd", true);
    let limits = Limits { ratio: 100, ..Limits::default() };
    assert!(matches!(read_error(&bomb, &limits).0, FormatError::Limit { limit: 100, .. }));
    let limits = Limits { unpacked_bytes: 1000, ..Limits::default() };
    assert!(matches!(read_error(&bomb, &limits).0, FormatError::Limit { limit: 1000, .. }));
    let limits = Limits { entries: 1, ..Limits::default() };
    let two = rpm(&[file(b"/a", b""), file(b"/b", b"")], "gzip", false);
    assert!(matches!(read_error(&two, &limits).0, FormatError::Limit { limit: 1, .. }));
    let limits = Limits { window_bytes: 1 << 16, ..Limits::default() };
    let lzma = rpm(&[file(b"/a", &noise(5000))], "lzma", false);
    assert!(matches!(read_error(&lzma, &limits).0, FormatError::Limit { .. }));
    // A long folder, said again for each of many files.
    let folder = vec![b'a'; 1 << 20];
    let mut tags = rpm_tags(&[]);
    let count = 300;
    tags.push((1030, RpmValue::Int16(vec![0o100_644; count])));
    for tag in [1033, 1034, 1036, 1037, 1039, 1040, 1095, 1096] {
        tags.retain(|(known, _)| *known != tag);
    }
    tags.push((1116, RpmValue::Int32(vec![0; count])));
    tags.push((1117, RpmValue::Texts(vec![b"x".to_vec(); count])));
    tags.push((1118, RpmValue::Texts(vec![folder])));
    tags.push((5008, RpmValue::Int64(vec![0; count])));
    let (error, _) = read_error(&rpm_of(&rpm_header(&tags), b""), &Limits::default());
    assert!(matches!(error, FormatError::Limit { .. }), "{error:?}");
}
