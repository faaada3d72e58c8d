//! Sparse files in all four formats.

use hashget::model::Extent;
use hashget_testkit::packages::{TarBuilder, TarEntry};

use crate::collect::read;

fn record(key: &str, value: &str) -> (Vec<u8>, Vec<u8>) {
    (key.as_bytes().to_vec(), value.as_bytes().to_vec())
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
