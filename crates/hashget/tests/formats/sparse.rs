//! Sparse files in all four formats.

use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::process::Command;

use hashget::model::{Extent, Kind};
use hashget_testkit::packages::{TarBuilder, TarEntry, compress};

use crate::collect::{noise, read};

fn record(key: &str, value: &str) -> (Vec<u8>, Vec<u8>) {
    (key.as_bytes().to_vec(), value.as_bytes().to_vec())
}

#[test]
fn every_sparse_format_of_gnu_tar() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse file");
    let file = File::create(&path).unwrap();
    // Enough extents for several extension blocks of the old format; a hole at the end.
    for index in 0..60_u64 {
        file.write_all_at(&noise(5000), index * (1 << 17)).unwrap();
    }
    file.set_len(9 << 20).unwrap();
    file.sync_all().unwrap();
    let all_hole = File::create(folder.path().join("hole")).unwrap();
    all_hole.set_len(1 << 20).unwrap();
    if file.metadata().unwrap().blocks() * 512 >= 9 << 20 {
        eprintln!("skipped: no sparse files here");
        return;
    }
    let expected = std::fs::read(&path).unwrap();
    for (format, version) in [("gnu", "0.0"), ("pax", "0.0"), ("pax", "0.1"), ("pax", "1.0")] {
        let output = Command::new("tar")
            .arg(format!("--format={format}"))
            .arg(format!("--sparse-version={version}"))
            .args(["--sparse", "-c", "-C"])
            .arg(folder.path())
            .arg(".")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.len() < 2 << 20, "stored sparse");
        let (_, collected) = read(&compress("zstd", &output.stdout));
        let member = collected.member("sparse file");
        assert_eq!(member.kind, Kind::File { size: 9 << 20 }, "{format} {version}");
        assert!(collected.content("sparse file") == expected, "{format} {version}");
        let extents = member.extents.as_ref().unwrap();
        assert_eq!(extents.len(), 60, "{format} {version}");
        assert!(extents.iter().all(|extent| extent.offset % (1 << 17) == 0));
        assert_eq!(member.mtime().seconds, path.metadata().unwrap().mtime());
        let hole = collected.member("hole");
        assert_eq!(hole.kind, Kind::File { size: 1 << 20 });
        assert_eq!(hole.extents.as_deref(), Some(&[][..]));
    }
}

#[test]
fn built_sparse_files_are_expanded() {
    let tar = TarBuilder::new()
        .sparse("data", 10_000, &[(100, b"abc"), (9_000, b"defg")])
        .sparse("starts", 7, &[(0, b"xy")])
        .sparse("hole", 5, &[])
        .sparse("nothing", 0, &[])
        .file("after", b"next")
        .finish();
    let (_, collected) = read(&tar);
    let mut expected = vec![0; 10_000];
    expected[100..103].copy_from_slice(b"abc");
    expected[9_000..9_004].copy_from_slice(b"defg");
    assert!(collected.content("data") == expected);
    let extents = [Extent { offset: 100, length: 3 }, Extent { offset: 9_000, length: 4 }];
    assert_eq!(collected.member("data").extents.as_deref(), Some(&extents[..]));
    assert_eq!(collected.content("starts"), b"xy\0\0\0\0\0");
    assert_eq!(collected.content("hole"), [0; 5]);
    assert_eq!(collected.content("nothing"), b"");
    assert_eq!(collected.content("after"), b"next");
    assert_eq!(collected.member("after").extents, None);
}

#[test]
fn sparse_maps_in_the_header() {
    let old = [
        record("GNU.sparse.size", "10"),
        record("GNU.sparse.numblocks", "2"),
        record("GNU.sparse.offset", "2"),
        record("GNU.sparse.numbytes", "1"),
        record("GNU.sparse.offset", "5"),
        record("GNU.sparse.numbytes", "2"),
    ];
    let newer = [
        record("GNU.sparse.size", "10"),
        record("GNU.sparse.name", "b"),
        record("GNU.sparse.map", "2,1,5,2,10,0"),
    ];
    let tar = TarBuilder::new()
        .entry(&TarEntry { name: b"a", content: b"xyz", pax: old.to_vec(), ..TarEntry::default() })
        .entry(&TarEntry {
            name: b"?",
            content: b"xyz",
            pax: newer.to_vec(),
            ..TarEntry::default()
        })
        .finish();
    let (_, collected) = read(&tar);
    for path in ["a", "b"] {
        assert_eq!(collected.content(path), b"\0\0x\0\0yz\0\0\0");
        assert_eq!(collected.member(path).extents.as_ref().unwrap().len(), 2);
    }
}
