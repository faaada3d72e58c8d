//! Every format in every compression: what was put in comes out.

use hashget::formats::{FILE, FORMATS};
use hashget::model::{Kind, MemberMetadata, Timestamp};
use hashget_testkit::packages::{
    COMPRESSIONS, TarBuilder, TarEntry, ZipEntry, compress, deb, gem, zip,
};

use crate::collect::{noise, read, read_with};

/// One entry of each kind, each with metadata of its own.
fn every_kind() -> TarBuilder {
    TarBuilder::new()
        .directory("./")
        .entry(&TarEntry {
            name: b"./usr/bin/tool",
            mode: 0o4755,
            uid: 1000,
            gid: 50,
            mtime: -5,
            content: b"program",
            ..TarEntry::default()
        })
        .directory("./usr/share/")
        .symlink("./usr/bin/link", "../../etc/x")
        .hard_link("./usr/bin/same", "./usr/bin/tool")
        .char_device("./dev/null", (1, 3))
        .entry(&TarEntry { name: b"dev/sda", kind: b'4', device: (8, 0), ..TarEntry::default() })
        .fifo("./run/pipe")
        .entry(&TarEntry {
            name: b"./caf\xe9",
            pax: vec![
                (b"mtime".to_vec(), b"1700000000.123456789".to_vec()),
                (b"SCHILY.xattr.user.note".to_vec(), b"a\0\nb=c".to_vec()),
            ],
            content: b"latin",
            ..TarEntry::default()
        })
        .file(&format!("./{}/end", "long".repeat(60)), &noise(70_000))
        .file("empty", b"")
}

#[track_caller]
fn assert_every_kind(package: &[u8], format: &str, prefix: &str) {
    let (found, collected) = read(package);
    assert_eq!(found, format);
    assert_eq!(collected.bad, []);
    let at = |path: &str| format!("{prefix}{path}");
    let member = |path: &str| collected.member(&at(path));

    let tool = member("usr/bin/tool");
    assert_eq!(tool.kind, Kind::File { size: 7 });
    assert_eq!(
        tool.metadata,
        MemberMetadata {
            mode: Some(0o4755),
            uid: Some(1000),
            gid: Some(50),
            mtime: Some(Timestamp::from_seconds(-5)),
            ..MemberMetadata::default()
        }
    );
    assert_eq!(collected.content(&at("usr/bin/tool")), b"program");
    assert_eq!(member("usr/share").kind, Kind::Directory);
    assert_eq!(member("usr/share").metadata.mode, Some(0o755));
    let target = (*b"../../etc/x").into();
    assert_eq!(member("usr/bin/link").kind, Kind::Symlink { target });
    let target = tool.path.clone();
    assert_eq!(member("usr/bin/same").kind, Kind::HardLink { target });
    assert_eq!(member("dev/null").kind, Kind::CharDevice { major: 1, minor: 3 });
    assert_eq!(member("dev/sda").kind, Kind::BlockDevice { major: 8, minor: 0 });
    assert_eq!(member("run/pipe").kind, Kind::Fifo);
    let (latin, content) = collected.find(&[prefix.as_bytes(), b"caf\xe9"].concat());
    assert_eq!(content, b"latin");
    assert_eq!(latin.mtime(), Timestamp { seconds: 1_700_000_000, nanoseconds: 123_456_789 });
    assert_eq!(latin.metadata.xattrs[&b"user.note"[..]].as_ref(), b"a\0\nb=c");
    let long = at(&format!("{}/end", "long".repeat(60)));
    assert_eq!(collected.content(&long), noise(70_000));
    assert_eq!(member("empty").kind, Kind::File { size: 0 });
}

#[test]
fn tar_in_every_compression() {
    let tar = every_kind().finish();
    for codec in COMPRESSIONS {
        let package = compress(codec, &tar);
        assert_every_kind(&package, "tar", "");
        assert_eq!(read(&package).1.members.len(), 10, "{codec}: the top folder is no member");
    }
}

#[test]
fn deb_in_every_compression() {
    for codec in COMPRESSIONS {
        let package = deb(&[("control", b"Package: x\n")], &every_kind().finish(), codec);
        assert_every_kind(&package, "deb", "data/");
        let (_, collected) = read(&package);
        assert_eq!(collected.content("control/control"), b"Package: x\n", "{codec}");
        assert_eq!(collected.paths()[0], "control/control");
    }
}

#[test]
fn gem_with_its_outer_members() {
    let package = gem(b"--- !ruby\n", &every_kind().finish());
    assert_every_kind(&package, "gem", "data/");
    let (_, collected) = read(&package);
    let paths = collected.paths();
    assert_eq!(paths[..2], ["metadata.gz", "data.tar.gz"]);
    assert_eq!(paths.last().unwrap(), "checksums.yaml.gz");
    assert_eq!(collected.content("metadata.gz"), compress("gzip", b"--- !ruby\n"));

    let data = compress("gzip", &every_kind().finish());
    let old = TarBuilder::new().file("data.tar.gz", &data).file("metadata.gz", b"");
    assert_every_kind(&old.finish(), "gem", "data/");
    let no_gem = TarBuilder::new().file("data.tar.gz", b"").file("readme", b"");
    assert_eq!(read(&no_gem.finish()).0, "tar");
}

#[test]
fn zip_with_every_kind_of_entry() {
    let text = noise(100_000);
    let package = zip(&[
        ZipEntry { name: b"dir/", mode: Some(0o040_750), ..ZipEntry::default() },
        ZipEntry { name: b"dir/file", content: &text, ..ZipEntry::default() },
        ZipEntry { name: b"stored", content: b"abc", deflate: false, ..ZipEntry::default() },
        ZipEntry { name: b"caf\x82", content: b"cp437", mode: None, ..ZipEntry::default() },
        ZipEntry { name: b"utc", utc: Some(-86_401), ..ZipEntry::default() },
        ZipEntry {
            name: b"link",
            content: b"dir/file",
            mode: Some(0o120_777),
            ..ZipEntry::default()
        },
        ZipEntry { name: b"suid", mode: Some(0o104_755), ..ZipEntry::default() },
        ZipEntry { name: b"pipe", mode: Some(0o010_600), ..ZipEntry::default() },
        ZipEntry { name: b"dosdir/", mode: None, ..ZipEntry::default() },
        ZipEntry { name: b"./", mode: None, ..ZipEntry::default() },
    ]);
    let (format, collected) = read(&package);
    assert_eq!(format, "zip");
    assert_eq!(collected.bad, []);
    assert_eq!(collected.members.len(), 9);
    assert_eq!(collected.member("dir").kind, Kind::Directory);
    assert_eq!(collected.member("dir").metadata.mode, Some(0o750));
    assert_eq!(collected.content("dir/file"), text);
    assert_eq!(collected.content("stored"), b"abc");
    // 2023-11-14 22:13:20, as if it were UTC.
    assert_eq!(collected.member("stored").mtime(), Timestamp::from_seconds(1_700_000_000));
    assert_eq!(collected.find(b"caf\x82").0.metadata.mode, None);
    assert_eq!(collected.member("utc").mtime(), Timestamp::from_seconds(-86_401));
    let target = (*b"dir/file").into();
    assert_eq!(collected.member("link").kind, Kind::Symlink { target });
    assert_eq!(collected.member("suid").metadata.mode, Some(0o4755));
    assert_eq!(collected.member("suid").metadata.uid, None);
    assert_eq!(collected.member("pipe").kind, Kind::Fifo);
    assert_eq!(collected.member("dosdir").kind, Kind::Directory);
}

#[test]
fn empty_zip_has_no_members() {
    let (format, collected) = read(&zip(&[]));
    assert_eq!(format, "zip");
    assert!(collected.members.is_empty());
}

#[test]
fn what_is_no_archive_is_the_package_itself() {
    for bytes in [&b""[..], b"text", &[0; 2048], &noise(5000)] {
        let (format, collected) = read(bytes);
        assert_eq!(format, FILE);
        assert!(collected.members.is_empty());
    }
    for codec in COMPRESSIONS {
        let expected = if codec == "none" { FILE } else { "compressed" };
        assert_eq!(read(&compress(codec, &noise(300_000))).0, expected, "{codec}");
    }
}

#[test]
fn a_tar_of_large_incompressible_files_is_recognised() {
    // The first block of bzip2, LZ4 and zstd reaches far beyond the first header.
    let content = noise(6 << 20);
    let tar = TarBuilder::new().file("big", &content).finish();
    for codec in COMPRESSIONS {
        let (format, collected) = read(&compress(codec, &tar));
        assert_eq!((format, collected.content("big") == content), ("tar", true), "{codec}");
    }
}

#[test]
fn v7_headers_without_magic_are_read() {
    let tar = TarBuilder::new()
        .entry(&TarEntry { name: b"folder/", kind: 0, mode: 0o755, ..TarEntry::default() })
        .patch_last(257, &[0; 8])
        .entry(&TarEntry { name: b"folder/file", kind: 0, ..TarEntry::default() })
        .patch_last(257, &[0; 8])
        .finish();
    let (format, collected) = read(&tar);
    assert_eq!(format, "tar");
    assert_eq!(collected.member("folder").kind, Kind::Directory);
    assert_eq!(collected.member("folder/file").kind, Kind::File { size: 0 });
}

#[test]
fn global_headers_hold_until_they_are_taken_back() {
    let record = |key: &str, value: &str| (key.as_bytes().to_vec(), value.as_bytes().to_vec());
    let global = hashget_testkit::packages::pax_records(&[(b"uid", b"7"), (b"comment", b"c")]);
    let tar = TarBuilder::new()
        .entry(&TarEntry { kind: b'g', content: &global, ..TarEntry::default() })
        .file("a", b"")
        .entry(&TarEntry { name: b"b", pax: vec![record("uid", "8")], ..TarEntry::default() })
        .entry(&TarEntry { name: b"c", pax: vec![record("uid", "")], ..TarEntry::default() })
        .finish();
    let (_, collected) = read(&tar);
    let owners = ["a", "b", "c"].map(|path| collected.member(path).metadata.uid);
    assert_eq!(owners, [Some(7), Some(8), Some(0)]);
}

#[test]
fn owners_and_sizes_beyond_octal() {
    let tar = TarBuilder::new()
        .entry(&TarEntry {
            name: b"big ids",
            uid: 4_000_000_000,
            gid: 3_000_000,
            ..TarEntry::default()
        })
        .entry(&TarEntry { name: b"no id", uid: 1 << 40, ..TarEntry::default() })
        .finish();
    let (_, collected) = read(&tar);
    let metadata = &collected.member("big ids").metadata;
    assert_eq!((metadata.uid, metadata.gid), (Some(4_000_000_000), Some(3_000_000)));
    assert_eq!(collected.member("no id").metadata.uid, None);
}

#[test]
fn gnu_long_names_and_links() {
    let name = [&b"n"[..], &[b'a'; 300]].concat();
    let target = [b'b'; 200];
    let long =
        |kind, content| TarEntry { name: b"././@LongLink", kind, content, ..TarEntry::default() };
    let tar = TarBuilder::new()
        .entry(&long(b'K', &[&target[..], b"\0"].concat()))
        .entry(&long(b'L', &[&name[..], b"\0"].concat()))
        .entry(&TarEntry {
            name: &name[..100],
            link: &target[..100],
            kind: b'2',
            ..TarEntry::default()
        })
        .file("next", b"")
        .finish();
    let (_, collected) = read(&tar);
    let (member, _) = collected.find(&name);
    assert_eq!(member.kind, Kind::Symlink { target: target.into() });
    assert_eq!(collected.members[1].0.path.as_bytes(), b"next");
}

#[test]
fn the_visitor_may_leave_contents_unread() {
    struct Lazy(Vec<String>);
    impl hashget::formats::Visitor for Lazy {
        fn visit(
            &mut self,
            member: hashget::model::Member,
            content: &mut dyn std::io::Read,
        ) -> Result<(), hashget::formats::VisitorError> {
            let mut some = [0; 3];
            let _ = content.read(&mut some)?;
            self.0.push(member.path.to_string());
            Ok(())
        }
    }
    let tar = every_kind().finish();
    let zip = zip(&[
        ZipEntry { name: b"a", content: b"long enough", ..ZipEntry::default() },
        ZipEntry { name: b"b", ..ZipEntry::default() },
    ]);
    for package in [tar.clone(), compress("xz", &tar), deb(&[], &tar, "gzip"), gem(b"", &tar), zip]
    {
        let (_, expected) = read(&package);
        let mut lazy = Lazy(Vec::new());
        let file = crate::collect::file_of(&package);
        let input = hashget::formats::Input::File(&file);
        hashget::formats::read_package(input, &|_| true, &Default::default(), &mut lazy).unwrap();
        assert_eq!(lazy.0, expected.paths());
    }
}

#[test]
fn format_names_are_distinct() {
    let mut names: Vec<_> = FORMATS.iter().map(|format| format.name()).collect();
    names.push(FILE);
    assert_eq!(
        names,
        [
            "deb",
            "rpm",
            "7z",
            "apk",
            "gem",
            "tar",
            "conda",
            "zip",
            "iso9660",
            "ar",
            "cpio",
            "compressed",
            "file"
        ]
    );
}

#[test]
fn several_members_of_one_name_are_all_visited() {
    let tar = TarBuilder::new().file("a", b"1").file("./a", b"2").finish();
    let (collected, outcome) = read_with(&tar, false, &Default::default());
    assert_eq!(outcome.unwrap(), "tar");
    assert_eq!(collected.paths(), ["a", "a"]);
    assert_eq!(collected.members[1].1, b"2");
}
