//! The test vectors of statements, which a program in another language made from the page about the format.

use std::io::Write as _;

use hashget::formats::RULES;
use hashget::hashdb::member_list;
use hashget::index::read_contents;
use hashget::limits::Limits;
use hashget::model::{Digest, Member};
use hashget::monitor::Silent;
use hashget_published::Statement;
use hashget_testkit::packages::{TarBuilder, TarEntry, ZipEntry, deb, zip};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vector {
    package: Digest,
    size: u64,
    format: String,
    nested: bool,
    members: Vec<Member>,
    list_bytes: String,
    list: Digest,
    statement: String,
    statement_digest: Digest,
}

#[test]
fn statements_are_those_of_the_test_vectors() {
    for (name, text) in [
        ("nothing", include_str!("../vectors/nothing.json")),
        ("plain", include_str!("../vectors/plain.json")),
        ("strange", include_str!("../vectors/strange.json")),
    ] {
        let vector: Vector = serde_json::from_str(text).unwrap();
        let mut canonical = Vec::new();
        member_list::write_canonical(&vector.members, &mut canonical).unwrap();
        assert_eq!(hex::encode(&canonical), vector.list_bytes, "{name}");
        assert_eq!(member_list::digest(&vector.members), vector.list, "{name}");
        let Vector { package, size, format, nested, members, .. } = &vector;
        let statement = Statement::new(*package, *size, format, *nested, members);
        assert_eq!(statement.to_string(), vector.statement, "{name}");
        assert_eq!(statement.digest(), vector.statement_digest, "{name}");
        assert_eq!(vector.statement.parse(), Ok(statement), "{name}");
        let blob = member_list::encode(members).unwrap();
        let mut read = Vec::new();
        let digest =
            member_list::decode_and_hash(&*blob, u64::MAX, &mut |one| read.push(one)).unwrap();
        assert_eq!((digest, &read), (vector.list, members), "{name}");
    }
}

/// A tar with one of each kind of entry.
fn tar() -> Vec<u8> {
    TarBuilder::new()
        .directory("./")
        .file("./a", b"contents")
        .symlink("./link", "a")
        .hard_link("./again", "./a")
        .fifo("./fifo")
        .char_device("./null", (1, 3))
        .sparse("./sparse", 1 << 20, &[(4096, b"some")])
        .entry(&TarEntry {
            name: b"long",
            content: b"with attributes",
            pax: vec![
                (b"path".to_vec(), b"./longer".to_vec()),
                (b"mtime".to_vec(), b"1700000000.25".to_vec()),
                (b"SCHILY.xattr.user.a".to_vec(), b"b".to_vec()),
            ],
            ..TarEntry::default()
        })
        .finish()
}

/// What is read of a package may change only together with the version of the rules: statements of one version are compared.
#[test]
fn packages_have_the_lists_that_the_rules_gave_them() {
    let members = [
        ZipEntry { name: b"folder/", mode: Some(0o40_755), ..ZipEntry::default() },
        ZipEntry { name: b"folder/a", content: b"contents", ..ZipEntry::default() },
        ZipEntry {
            name: b"link",
            content: b"folder/a",
            mode: Some(0o120_777),
            ..ZipEntry::default()
        },
        ZipEntry { name: b"dos", content: b"dos", mode: None, ..ZipEntry::default() },
    ];
    let control = deb(&[("control", b"Package: a\nVersion: 1\n")], &tar(), "gzip");
    for (name, package, nested, list) in [
        ("tar", tar(), false, "60430a5b80944a6115332d1da39ce0b772c50eca44cb73215f42eba97a51b211"),
        ("deb", control, false, "f0262a7d777ad9475fda67eda6b10b7ebe0e4a8d07425bae84f8005f3321f8e4"),
        (
            "zip",
            zip(&members),
            false,
            "755c5b79fe9aea3dc3be605b016784cdade7ae64ce968b4034bebb0fd38c8e71",
        ),
        (
            "a tar in a tar",
            TarBuilder::new().file("in.tar", &tar()).finish(),
            true,
            "6686f16b76f7f0de5024c365d1af82deffc25e02977022f58f1219954c94e09a",
        ),
    ] {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&package).unwrap();
        let read = read_contents(&file, name, nested, &Limits::default(), &Silent).unwrap();
        let digest = member_list::digest(&read.members).to_string();
        assert_eq!((digest.as_str(), RULES), (list, 1), "{name}: if this is meant, raise RULES");
    }
}
