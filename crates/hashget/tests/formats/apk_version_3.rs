//! Alpine packages of version 3: those that Alpine's own program wrote, and those that lie.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hashget::formats::FormatError;
use hashget::limits::Limits;
use hashget::model::{Kind, MemberMetadata, Timestamp};
use hashget_testkit::packages::{Apk3File, apk_block, apk_of_blocks, apk_version_3};

use crate::collect::{noise, read, read_error, read_with};
use crate::frozen_packages::APK_VERSION_3;

#[test]
fn packages_of_alpines_own_program() {
    let text: Vec<u8> =
        (0..40).flat_map(|n| format!("line {n} of the member\n").into_bytes()).collect();
    for (compression, package) in APK_VERSION_3 {
        let (format, collected) = read(&BASE64_STANDARD.decode(package).unwrap());
        assert_eq!((format, &collected.bad[..]), ("apk", &[][..]), "{compression}");
        let files = ["etc/x/empty", "usr/text", "usr/bin/link", "usr/bin/same", "usr/bin/tool"];
        let folders = ["dev", "etc", "etc/x", "usr", "usr/bin"];
        assert_eq!(collected.members.len(), files.len() + folders.len() + 1);
        let member = |path: &str| collected.member(&format!("data/{path}"));
        let content = |path: &str| collected.content(&format!("data/{path}"));
        assert!(folders.iter().all(|path| member(path).kind == Kind::Directory));
        assert_eq!(content("usr/text"), text);
        assert_eq!(content("usr/bin/same"), b"program");
        assert_eq!(content("etc/x/empty"), b"");
        let target = member("usr/bin/same").path.clone();
        assert_eq!(member("usr/bin/tool").kind, Kind::HardLink { target });
        let target = (*b"../../etc/x").into();
        assert_eq!(member("usr/bin/link").kind, Kind::Symlink { target });
        assert_eq!(member("dev/null").kind, Kind::CharDevice { major: 1, minor: 3 });
        let metadata = &member("usr/text").metadata;
        assert_eq!((metadata.mode, metadata.uid, metadata.gid), (Some(0o600), Some(0), Some(0)));
        assert_eq!(metadata.mtime, Some(Timestamp::from_seconds(1_700_000_000)));
        assert_eq!(metadata.xattrs[&b"user.note"[..]].as_ref(), b"hello");
        assert_eq!(member("usr/bin/tool").metadata.mode, Some(0o4755));
    }
}

fn file<'a>(name: &'a [u8], content: &'a [u8]) -> Apk3File<'a> {
    Apk3File { name, content, ..Apk3File::default() }
}

fn linked<'a>(name: &'a [u8], target: (u16, &'a [u8])) -> Apk3File<'a> {
    Apk3File { target: Some(target), ..file(name, b"") }
}

#[test]
fn every_kind_of_entry_in_every_compression() {
    let large = noise(300_001);
    let device = 0x0801_u64.to_le_bytes();
    let files = [
        Apk3File { attributes: &[b"user.a\0b\0c"], ..file(b"tool", &large) },
        linked(b"same", (0o100_000, b"usr/bin/tool")),
        linked(b"link", (0o120_000, b"tool")),
        linked(b"sda", (0o060_000, &device)),
        linked(b"tty", (0o020_000, &device)),
        linked(b"pipe", (0o010_000, &[0; 8])),
        file(b"caf\xe9", b""),
    ];
    for compression in ["none", "deflate", "zstd"] {
        let package =
            apk_version_3(&[(b"", &[file(b"top", b"level")]), (b"usr/bin", &files)], compression);
        let (format, collected) = read(&package);
        assert_eq!((format, &collected.bad[..]), ("apk", &[][..]), "{compression}");
        assert_eq!(collected.paths()[..3], ["data/top", "data/usr/bin", "data/usr/bin/tool"]);
        assert_eq!(collected.content("data/usr/bin/tool"), large);
        let member = |name: &str| collected.member(&format!("data/usr/bin/{name}"));
        let mut xattrs = hashget::model::Xattrs::default();
        xattrs.insert((*b"user.a").into(), (*b"b\0c").into());
        assert_eq!(
            member("tool").metadata,
            MemberMetadata {
                mode: Some(0o4755),
                uid: Some(0),
                gid: None,
                mtime: Some(Timestamp::from_seconds(1_700_000_000)),
                xattrs,
            }
        );
        let target = member("tool").path.clone();
        assert_eq!(member("same").kind, Kind::HardLink { target });
        assert_eq!(member("sda").kind, Kind::BlockDevice { major: 8, minor: 1 });
        assert_eq!(member("tty").kind, Kind::CharDevice { major: 8, minor: 1 });
        assert_eq!(member("pipe").kind, Kind::Fifo);
        assert_eq!(collected.find(b"data/usr/bin/caf\xe9").1, b"");
    }
    assert!(read(&apk_version_3(&[], "deflate")).1.members.is_empty());
}

#[test]
fn names_and_types_that_cannot_be_members_are_reported() {
    let files = [
        file(b"../../up", b"1"),
        file(b"", b""),
        linked(b"out", (0o100_000, b"../../etc/shadow")),
        linked(b"top", (0o100_000, b"")),
        linked(b"nowhere", (0o120_000, b"")),
        linked(b"nul", (0o120_000, b"a\0b")),
        linked(b"socket", (0o140_000, b"")),
        file(b"good", b"2"),
    ];
    let (_, collected) = read(&apk_version_3(&[(b"d", &files)], "none"));
    assert_eq!(collected.paths(), ["data/d", "data/d/good"]);
    assert_eq!(collected.content("data/d/good"), b"2");
    assert_eq!(collected.bad.len(), 7, "{:?}", collected.bad);
    assert_eq!(collected.bad[0].0, b"data/d/../../up");
}

#[track_caller]
fn assert_damaged(bytes: &[u8], expected: &str) {
    let (error, _) = read_error(bytes, &Limits::default());
    assert!(matches!(error, FormatError::Damaged { format: "apk", .. }), "{error:?}");
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn packages_that_lie() {
    let good = file(b"x", b"contents");
    let of = |files: &[Apk3File<'_>]| apk_version_3(&[(b"d", files)], "none");
    assert_damaged(&of(&[Apk3File { digest: Some(&[1; 32]), ..good }]), "another digest");
    assert_damaged(
        &of(&[Apk3File { digest: Some(&[1; 32]), ..file(b"x", b"") }]),
        "another digest",
    );
    assert_damaged(&of(&[Apk3File { digest: Some(b"short"), ..good }]), "no digest");
    assert_damaged(&of(&[Apk3File { size: Some(9), ..good }]), "another size");
    assert_damaged(&of(&[Apk3File { size: Some(u64::MAX), ..good }]), "another size");
    assert_damaged(&of(&[Apk3File { size: Some(0), ..good }]), "another digest");
    assert_damaged(&of(&[Apk3File { numbers: Some((1, 2)), ..good }]), "order");
    assert_damaged(&of(&[Apk3File { attributes: &[b"no NUL"], ..good }]), "attribute");
    assert_damaged(&of(&[linked(b"x", (0o020_000, b"few"))]), "number of a device");
    let whole = of(&[good]);
    assert_damaged(&[&whole[..], &apk_block(2, &[0; 9])].concat(), "belong to no file");
    assert_damaged(&[&whole[..], &apk_block(0, &[0; 9])].concat(), "twice");
    assert_damaged(&[&whole[..], &[0; 4]].concat(), "smaller than its header");
    assert_damaged(&[&whole[..], b"\xff\xff\xff\xff"].concat(), "");
    for length in 8..whole.len() {
        let (_, outcome) = read_with(&whole[..length], false, &Limits::default());
        // The padding of the last block may be missing.
        let is_whole = length + 4 >= whole.len() && outcome.is_ok();
        assert!(is_whole || matches!(outcome, Err(FormatError::Damaged { .. })), "{length}");
    }
    assert_damaged(&apk_of_blocks(&apk_block(1, b"signature"), "none"), "first block");
    assert_damaged(&apk_of_blocks(&apk_block(0, b"few"), "zstd"), "cut off");
    assert_damaged(&apk_of_blocks(&apk_block(0, &[0; 8]), "deflate"), "no package");
    let newer = apk_of_blocks(&apk_block(0, &[1; 8]), "none");
    let (error, _) = read_error(&newer, &Limits::default());
    assert!(matches!(error, FormatError::Unsupported { .. }), "{error:?}");
}

/// A description with an array of `count` folders, which are all the same one.
fn same_folders(name: &[u8], count: u32) -> Vec<u8> {
    let mut adb = vec![0; 8];
    let word = |number: usize| u32::try_from(number).unwrap();
    adb.extend_from_slice(&word(name.len()).to_le_bytes());
    adb.extend_from_slice(name);
    let folder = 0xe000_0000 | word(adb.len());
    adb.extend([2, 0xa000_0008_u32].into_iter().flat_map(u32::to_le_bytes));
    let folders = 0xd000_0000 | word(adb.len());
    adb.extend_from_slice(&(count + 1).to_le_bytes());
    adb.extend((0..count).flat_map(|_| folder.to_le_bytes()));
    let root = 0xe000_0000 | word(adb.len());
    adb.extend([3, 0, folders].into_iter().flat_map(u32::to_le_bytes));
    adb[4..8].copy_from_slice(&root.to_le_bytes());
    apk_of_blocks(&apk_block(0, &adb), "zstd")
}

#[test]
fn what_is_described_is_limited() {
    assert_eq!(read(&same_folders(b"a", 3)).1.paths(), ["data/a"; 3]);
    let limits = Limits { entries: 99, ..Limits::default() };
    let (error, _) = read_error(&same_folders(b"a", 100), &limits);
    assert!(matches!(error, FormatError::Limit { limit: 99, .. }), "{error:?}");
    // A name that cannot be a path costs less time.
    let name = [&b"../"[..], &vec![b'a'; (1 << 20) - 3]].concat();
    let (error, _) = read_error(&same_folders(&name, 300), &Limits::default());
    assert!(error.to_string().contains("names and attributes"), "{error}");
    let limits = Limits { header_bytes: 9, ..Limits::default() };
    let (error, _) = read_error(&same_folders(b"ten bytes!", 1), &limits);
    assert!(matches!(error, FormatError::Limit { limit: 9, .. }), "{error:?}");
    let large = apk_of_blocks(&[0x30, 0, 0, 0x30], "none");
    let (error, _) = read_error(&large, &Limits::default());
    assert!(matches!(error, FormatError::Limit { .. }), "{error:?}");
    let zeros = vec![0; 65 << 20];
    let bomb = apk_version_3(&[(b"d", &[file(b"zeros", &zeros)])], "deflate");
    let limits = Limits { ratio: 100, ..Limits::default() };
    let (error, _) = read_error(&bomb, &limits);
    assert!(matches!(error, FormatError::Limit { limit: 100, .. }), "{error:?}");
}
