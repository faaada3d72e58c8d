//! Plain ar archives: the names of GNU and of BSD, tables, and those that lie.

use hashget::formats::FormatError;
use hashget::limits::Limits;
use hashget::model::{Kind, MemberMetadata, Timestamp};
use hashget_testkit::packages::{TarBuilder, ar, deb};

use crate::collect::{noise, read, read_error, read_with};

const TABLE: &[u8] = b"a long name of an object.o/\nthe other long name.o/\n";

#[test]
fn names_of_every_kind() {
    let bsd = [&b"a long name of BSD.o\0\0\0\0"[..], b"four"].concat();
    let large = noise(5001);
    let parts: [(&str, &[u8]); 8] = [
        ("/", b"symbols"),
        ("//", TABLE),
        ("short.o/", b"one"),
        ("/0", b"two"),
        ("/28", b"three"),
        ("plain.o", &large),
        ("#1/24", &bsd),
        ("with space.o/", b""),
    ];
    let (format, collected) = read(&ar(&parts));
    assert_eq!(format, "ar");
    let names = [
        "short.o",
        "a long name of an object.o",
        "the other long name.o",
        "plain.o",
        "a long name of BSD.o",
        "with space.o",
    ];
    assert_eq!(collected.paths(), names);
    let contents = names.map(|name| collected.content(name));
    assert_eq!(contents, [&b"one"[..], b"two", b"three", &large, b"four", b""]);
    let found = collected.member("a long name of BSD.o");
    assert_eq!(found.kind, Kind::File { size: 4 });
    let metadata = MemberMetadata {
        mode: Some(0o644),
        uid: Some(0),
        gid: Some(0),
        mtime: Some(Timestamp::from_seconds(1)),
        ..MemberMetadata::default()
    };
    assert_eq!(found.metadata, metadata);
    assert_eq!(collected.bad, [(b"/".to_vec(), "it is a table of symbols, not a file".to_owned())]);
}

#[test]
fn tables_and_names_that_cannot_be_members_are_reported() {
    let sorted = [&b"__.SYMDEF SORTED\0\0\0\0"[..], b"table"].concat();
    let parts: [(&str, &[u8]); 8] = [
        ("__.SYMDEF", b"table"),
        ("/SYM64/", b"table"),
        ("#1/20", &sorted),
        ("..", b"up"),
        ("../x/", b"up"),
        ("#1/2", b"a\0contents"),
        ("#1/0", b"contents"),
        ("a/", b"1"),
    ];
    let (_, collected) = read(&ar(&parts));
    assert_eq!(collected.paths(), ["a", "a"]);
    assert_eq!(collected.bad.len(), 6, "{:?}", collected.bad);
    assert!(read(&ar(&[])).1.members.is_empty());
}

#[test]
fn a_thin_archive_is_refused_and_named() {
    let (error, _) = read_error(b"!<thin>\n", &Limits::default());
    assert!(matches!(error, FormatError::Unsupported { format: "ar", .. }), "{error:?}");
    assert!(error.to_string().contains("thin archive"), "{error}");
}

#[track_caller]
fn assert_damaged(bytes: &[u8], expected: &str) {
    let (error, _) = read_error(bytes, &Limits::default());
    assert!(matches!(error, FormatError::Damaged { format: "ar", .. }), "{error:?}");
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn archives_that_lie() {
    assert_damaged(&ar(&[("/7", b"1")]), "no long name");
    assert_damaged(&ar(&[("//", TABLE), ("/99", b"1")]), "no long name");
    assert_damaged(&ar(&[("//", b"endless"), ("/0", b"1")]), "no long name");
    assert_damaged(&ar(&[("//", TABLE), ("//", TABLE)]), "two tables");
    assert_damaged(&ar(&[("#1/9", b"short")]), "longer than its part");
    let whole = ar(&[("a.o/", b"contents"), ("b.o/", b"more")]);
    assert_damaged(&whole[..whole.len() - 1], "within a part");
    assert_damaged(&[&whole[..], b"garbage"].concat(), "header of a part");
    let mut size = whole.clone();
    size[8 + 48..][..10].copy_from_slice(b"+8        ");
    assert_damaged(&size, "has the size");
    let large = vec![b'x'; 40 << 20];
    let (error, _) = read_error(&ar(&[("//", &large)]), &Limits::default());
    assert!(matches!(error, FormatError::Limit { .. }), "{error:?}");
    let limits = Limits { entries: 1, ..Limits::default() };
    assert!(matches!(read_error(&whole, &limits).0, FormatError::Limit { limit: 1, .. }));
}

#[test]
fn a_package_within_a_package_is_opened_and_a_library_is_not() {
    let tar = TarBuilder::new().file("x", b"1").finish();
    let outer = TarBuilder::new()
        .file("lib.a", &ar(&[("a.o/", b"1")]))
        .file("x.deb", &deb(&[("control", b"c")], &tar, "gzip"))
        .finish();
    let (collected, outcome) = read_with(&outer, true, &Limits::default());
    assert_eq!(outcome.unwrap(), "tar");
    assert_eq!(collected.paths(), ["lib.a", "x.deb", "x.deb!/control/control", "x.deb!/data/x"]);
}
