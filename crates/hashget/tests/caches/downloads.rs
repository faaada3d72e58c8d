//! Packages that lie around.

use hashget::model::Digest;
use hashget_testkit::trees;

use super::{assert_nothing, found, the_only, write};

#[test]
fn a_metalink_beside_it_vouches_for_a_file() {
    let tree = tempfile::tempdir().unwrap();
    write(tree.path(), "disk.iso", b"image");
    let sha256 = Digest::of(b"image");
    let metalink = |name: &str| {
        format!(
            "<?xml version=\"1.0\"?><metalink xmlns=\"urn:ietf:params:xml:ns:metalink\">\
             <file name=\"other.iso\"><url>https://a.example/other.iso</url></file>\
             <file name=\"{name}\"><size>5</size><hash type=\"md5\">00</hash>\
             <hash type=\"sha-256\">{sha256}</hash><url>ftp://a.example/disk.iso</url>\
             <url priority=\"1\">https://a.example/disk.iso</url></file></metalink>"
        )
    };
    write(tree.path(), "disk.iso.meta4", metalink("disk.iso"));
    let candidate = the_only("downloads", tree.path());
    assert_eq!(candidate.url, "https://a.example/disk.iso");
    assert_eq!((candidate.sha256, candidate.size), (Some(sha256), Some(5)));
    assert_eq!(candidate.local_file, Some(tree.path().join("disk.iso")));
    assert_eq!(candidate.found_at.as_bytes(), b"disk.iso");
    // Further words on the same file add nothing.
    write(tree.path(), "disk.iso.metalink", metalink("disk.iso").replace("a.example", "b.example"));
    // Neither does what a browser wrote, where files can have attributes.
    let origin = b"https://c.example/disk.iso";
    trees::xattr(&tree.path().join("disk.iso"), "user.xdg.origin.url", origin);
    write(tree.path(), "disk.iso", b"image");
    assert_eq!(the_only("downloads", tree.path()).url, candidate.url);
    fs_err::remove_file(tree.path().join("disk.iso.metalink")).unwrap();
    fs_err::remove_file(tree.path().join("disk.iso")).unwrap();
    assert_nothing("downloads", tree.path());
    write(tree.path(), "disk.iso", b"image");
    write(tree.path(), "disk.iso.meta4", metalink("third.iso"));
    assert_nothing("downloads", tree.path());
}

#[test]
fn metalinks_that_cannot_be_understood() {
    let tree = tempfile::tempdir().unwrap();
    write(tree.path(), "x.iso", b"image");
    super::assert_survives("downloads", tree.path(), "x.iso.metalink");
    let entities =
        "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]><metalink>&b;</metalink>";
    write(tree.path(), "x.iso.metalink", entities);
    let (candidates, errors) = found("downloads", tree.path());
    assert!(candidates.is_empty() && errors.len() == 1, "{candidates:?} {errors:?}");
}
