//! Any bytes as a manifest, version 1 or 2; a manifest that can be read is written and read again.
#![no_main]

use hashget::model::manifest::{AnyManifest, PlacementCursor};
use hashget::model::{Kind, Member, MemberMetadata, RelPath, Timestamp};
use libfuzzer_sys::fuzz_target;

fn members() -> Vec<Member> {
    let metadata = MemberMetadata {
        mode: Some(0o644),
        uid: Some(0),
        gid: None,
        mtime: Some(Timestamp { seconds: i64::MAX, nanoseconds: 1 }),
        ..MemberMetadata::default()
    };
    let path = |text: &str| RelPath::new(text).expect("a path");
    let kinds = [
        ("a", Kind::Directory),
        ("a/b", Kind::File { size: 1 }),
        ("a/c", Kind::HardLink { target: path("a/b") }),
        ("d", Kind::Symlink { target: b"x"[..].into() }),
    ];
    let member = |(name, kind): (&str, Kind)| Member {
        path: path(name),
        kind,
        metadata: metadata.clone(),
        sha256: None,
        extents: None,
    };
    kinds.into_iter().map(member).collect()
}

fuzz_target!(|bytes: &[u8]| {
    match AnyManifest::parse(bytes) {
        Ok(AnyManifest::V2(manifest)) => {
            let _ = manifest.archived.entries().filter(Result::is_ok).count();
            for package in &manifest.packages {
                let _ = package.files.entries().filter(Result::is_ok).count();
                for tree in &package.placements {
                    let mut cursor = PlacementCursor::new(tree);
                    for member in members() {
                        let _ = cursor.next(&member);
                    }
                }
            }
            match AnyManifest::parse(&manifest.to_json()) {
                Ok(AnyManifest::V2(again)) => assert_eq!(manifest, again),
                other => panic!("{other:?}"),
            }
        }
        Ok(AnyManifest::V1(manifest)) => match AnyManifest::parse(&manifest.to_json()) {
            Ok(AnyManifest::V1(again)) => assert_eq!(manifest.files, again.files),
            other => panic!("{other:?}"),
        },
        Err(_) => {}
    }
});
