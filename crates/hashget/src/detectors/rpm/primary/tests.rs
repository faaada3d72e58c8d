//! Lists as repositories write them, and lists that are damaged or hostile.

use std::io::BufReader;

use super::text::MAX_PACKAGE;
use super::*;

const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn package(name: &str) -> String {
    format!(
        "<package type=\"rpm\"><name>{name}</name><arch>noarch</arch><version epoch=\"1\" ver=\"2\" rel='3&amp;4'/>\
         <checksum type=\"sha256\" pkgid=\"YES\">{SHA256}</checksum><summary>a <![CDATA[<package>]]> &lt;</summary>\
         <time file=\"1\" build=\"7\"/><size package=\"100\" installed=\"1\"/><location href=\"p/{name}.rpm\"/>\
         <format><rpm:header-range start=\"1\" end=\"50\"/><file>/a</file></format></package>"
    )
}

fn names(list: impl AsRef<[u8]>) -> (Vec<String>, Result<(), String>) {
    let mut found = Vec::new();
    let wanted = |name: &str| name.starts_with('w');
    // In small pieces, so that some characters are cut.
    let list = BufReader::with_capacity(7, list.as_ref());
    let outcome = packages(list, &wanted, &mut |package| {
        assert_eq!((package.size, package.header_end, package.identity.epoch), (100, Some(50), 1));
        assert_eq!(package.identity.release, "3&4");
        found.push(package.identity.name);
    });
    (found, outcome)
}

#[test]
fn wanted_packages_are_understood() {
    let all = ["w1", "other", "w&amp;2", "w&#51;"].map(package).concat();
    let list = format!(
        "<?xml version=\"1.0\"?>\n<metadata xmlns:rpm=\"rpm\" packages=\"4\">\n{all}\n</metadata>\n"
    );
    assert_eq!(names(&list), (vec!["w1".to_owned(), "w&2".to_owned(), "w3".to_owned()], Ok(())));
    for (field, instead) in [
        ("type=\"sha256\"", "type=\"sha\""),
        ("href=", "xml:base=\"http://else.example\" href="),
        ("build=", "built="),
        ("package=\"100\"", "package=\"-1\""),
    ] {
        assert_eq!(names(package("w").replace(field, instead)), (Vec::new(), Ok(())), "{field}");
    }
}

/// A package with something else in one place, between two good ones.
fn between(old: &str, new: &[u8]) -> Vec<u8> {
    let good = package("w");
    let (before, after) = good.split_once(old).unwrap();
    [good.as_bytes(), before.as_bytes(), new, after.as_bytes(), good.as_bytes()].concat()
}

#[test]
fn foreign_bytes_cost_their_package_at_most() {
    let three = (vec!["w".to_owned(); 3], Ok(()));
    // What is not needed may have any bytes.
    let euro = "M\u{fc}ller & co; \u{20ac}".as_bytes();
    for foreign in [euro, b"M\xfcller", b"a & b", b"&", b"&a;", b"\xe2\x82", b"\xe2\x82\xac\xac"] {
        let summary = between("a <![CDATA[<package>]]> &lt;", foreign);
        assert_eq!(names(&summary), three, "{foreign:?}");
        let file = between("<file>/a", &[b"<file a=\"", foreign, b"\">/a"].concat());
        assert_eq!(names(&file), three, "{foreign:?}");
    }
    // So may any number of packages that are not wanted.
    let other = package("other").into_bytes();
    let other = [&other[..25], b"\xfc", &other[25..]].concat().repeat(2 * MAX_DAMAGED);
    assert_eq!(names(between("<package type", &[&other, &b"<package type"[..]].concat())), three);
    // What is needed must be what the repository meant.
    for (needed, foreign) in [
        ("p/w.rpm", &b"p/\xfc.rpm"[..]),
        ("p/w.rpm", b"p/a&b.rpm"),
        ("ver=\"2\"", b"ver=\"\xff\""),
        ("build=\"7\"", b"build=\"\xff\""),
        ("noarch", b"no\xffarch"),
        ("noarch", b"no&arch;"),
    ] {
        let (found, outcome) = names(between(needed, foreign));
        assert_eq!(found, ["w", "w"], "{foreign:?}");
        assert_eq!(outcome, Err("1 installed package is damaged in it".to_owned()));
    }
}

#[test]
fn hostile_lists_cost_little() {
    let good = package("w");
    // Packages before the damage are passed on.
    for bad in ["<package><name>w", "<package ><name>w</name></b>", "<a", "<!--"] {
        let (found, outcome) = names(format!("{good}{bad}"));
        assert_eq!((found.len(), outcome.is_err()), (1, true), "{bad}");
    }
    // Damaged packages are skipped.
    for bad in
        ["<package><a></package>", "<package><name>w", "</b>", "<package><a></b></c></package>"]
    {
        let (found, outcome) = names(format!("{good}{bad}{good}"));
        assert_eq!((found.len(), outcome), (2, Ok(())), "{bad}");
    }
    for endless in ["<a>", "<package><a>", "<package>", "<package><a></package>"] {
        let (found, outcome) = names(format!("{good}{}", endless.repeat(2000)));
        assert_eq!((found.len(), outcome.is_err()), (1, true), "{endless}");
    }
    // Entities are not expanded.
    let entities = "<!DOCTYPE x [<!ENTITY a \"w\"><!ENTITY b \"&a;&a;\">]>";
    assert_eq!(names(format!("{entities}{}", package("&b;"))), (Vec::new(), Ok(())));
    for (before, endless) in [
        ("<metadata>", "<a x=\"1234567890123456789012345678901234567890\"/>"),
        ("<package><name>", "text of a name that does not end "),
        ("<package a=\"", "an attribute that does not end "),
        ("<package>", "<!-- a comment, and another one, and another one -->"),
    ] {
        let repeats = MAX_PACKAGE / endless.len() + 1;
        let (found, outcome) = names(format!("{before}{}", endless.repeat(repeats)));
        assert!(found.is_empty());
        assert!(outcome.unwrap_err().contains("more than"), "{before}{endless}");
    }
}
