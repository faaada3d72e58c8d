//! Packages within packages.

use hashget::formats::{FormatError, PATH_SEPARATOR};
use hashget::limits::Limits;
use hashget::model::{Digest, Kind};
use hashget_testkit::packages::{TarBuilder, ZipEntry, compress, deb, gem, zip};

use crate::collect::{Collected, noise, read_with};

#[track_caller]
fn read(bytes: &[u8]) -> Collected {
    let (collected, outcome) = read_with(bytes, true, &Limits::default());
    outcome.unwrap();
    collected
}

fn stored_zip(name: &str, content: &[u8]) -> Vec<u8> {
    zip(&[ZipEntry { name: name.as_bytes(), content, ..ZipEntry::default() }])
}

#[test]
fn members_of_inner_packages_follow_the_outer_one() {
    assert_eq!(PATH_SEPARATOR, "!/");
    let inner = TarBuilder::new()
        .directory("./linux/")
        .file("linux/Makefile", b"all:")
        .hard_link("linux/other", "./linux/Makefile")
        .finish();
    let inner = compress("xz", &inner);
    let wheel = stored_zip("module.py", b"import x");
    let data = TarBuilder::new()
        .file("./usr/src/linux.tar.xz", &inner)
        .file("./usr/lib/module.whl", &wheel)
        .file("./usr/share/text", &noise(3 << 20))
        .finish();
    let package = deb(&[("control", b"")], &data, "xz");
    let collected = read(&package);
    let expected = [
        "control/control",
        "data/usr/src/linux.tar.xz",
        "data/usr/src/linux.tar.xz!/linux",
        "data/usr/src/linux.tar.xz!/linux/Makefile",
        "data/usr/src/linux.tar.xz!/linux/other",
        "data/usr/lib/module.whl",
        "data/usr/lib/module.whl!/module.py",
        "data/usr/share/text",
    ];
    assert_eq!(collected.paths(), expected);
    assert_eq!(collected.content("data/usr/src/linux.tar.xz"), inner);
    assert_eq!(collected.member("data/usr/src/linux.tar.xz").sha256, Some(Digest::of(&inner)));
    assert_eq!(collected.content("data/usr/src/linux.tar.xz!/linux/Makefile"), b"all:");
    assert_eq!(collected.content("data/usr/share/text"), noise(3 << 20));
    let target = collected.member("data/usr/src/linux.tar.xz!/linux/Makefile").path.clone();
    let link = collected.member("data/usr/src/linux.tar.xz!/linux/other");
    assert_eq!(link.kind, Kind::HardLink { target });

    let (flat, outcome) = read_with(&package, false, &Limits::default());
    outcome.unwrap();
    assert_eq!(flat.members.len(), 4);
}

#[test]
fn only_chosen_members_are_opened() {
    let wheel = stored_zip("x", b"");
    let tar = TarBuilder::new().file("a.whl", &wheel).file("b.whl", &wheel).finish();
    let mut collected = Collected::default();
    let file = crate::collect::file_of(&tar);
    let input = hashget::formats::Input::File(&file);
    let only_b = |path: &hashget::model::RelPath| path.as_bytes() == b"b.whl";
    hashget::formats::read_package(input, &only_b, &Limits::default(), &mut collected).unwrap();
    assert_eq!(collected.paths(), ["a.whl", "b.whl", "b.whl!/x"]);
}

#[test]
fn the_data_of_a_gem_is_read_once() {
    let data = TarBuilder::new().file("lib/x.rb", b"1").finish();
    let collected = read(&gem(b"--- x", &data));
    let expected = ["metadata.gz", "data.tar.gz", "data/lib/x.rb", "checksums.yaml.gz"];
    assert_eq!(collected.paths(), expected);
    let gem_in_tar = TarBuilder::new().file("x.gem", &gem(b"", &data)).finish();
    let collected = read(&gem_in_tar);
    assert_eq!(collected.paths()[3], "x.gem!/data/lib/x.rb");
    assert_eq!(collected.members.len(), 5);
}

#[test]
fn a_damaged_inner_package_does_not_hurt_the_outer_one() {
    let inner = TarBuilder::new().file("first", b"1").file("second", &noise(2000)).finish();
    let cut = &inner[..2000];
    let bad_zip = [&b"PK\x03\x04"[..], &noise(500)].concat();
    let tar = TarBuilder::new()
        .file("cut.tar", cut)
        .file("bad.zip", &bad_zip)
        .file("after", b"here")
        .finish();
    let collected = read(&tar);
    assert_eq!(collected.content("cut.tar"), cut);
    assert_eq!(collected.content("cut.tar!/first"), b"1");
    assert_eq!(collected.content("bad.zip"), bad_zip);
    assert_eq!(collected.content("after"), b"here");
    let problems: Vec<&str> =
        collected.nested_problems.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(problems, ["cut.tar", "bad.zip"]);
    assert!(collected.nested_problems[0].1.contains("ends within an entry"));
}

#[test]
fn bad_names_of_inner_packages_are_told_with_their_place() {
    let inner = TarBuilder::new().file("../escape", b"").finish();
    let collected = read(&TarBuilder::new().file("x.tar", &inner).finish());
    assert_eq!(collected.bad[0].0, b"x.tar!/../escape");
}

#[test]
fn an_error_of_the_visitor_ends_all_levels() {
    struct Fails;
    impl hashget::formats::Visitor for Fails {
        fn visit(
            &mut self,
            member: hashget::model::Member,
            _: &mut dyn std::io::Read,
        ) -> Result<(), hashget::formats::VisitorError> {
            if member.path.as_bytes() == b"x.zip!/inner" { Err("enough".into()) } else { Ok(()) }
        }
    }
    let tar = TarBuilder::new().file("x.zip", &stored_zip("inner", b"1")).file("y", b"").finish();
    let file = crate::collect::file_of(&tar);
    let input = hashget::formats::Input::File(&file);
    let outcome = hashget::formats::read_package(input, &|_| true, &Limits::default(), &mut Fails);
    match outcome {
        Err(FormatError::Visitor(error)) => assert_eq!(error.to_string(), "enough"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn depth_is_limited() {
    let mut package = stored_zip("bottom", b"0");
    for level in 0..12 {
        package = stored_zip(&format!("level{level}"), &package);
    }
    let collected = read(&package);
    let limit = usize::try_from(Limits::default().depth).unwrap();
    assert_eq!(collected.members.len(), limit + 1, "{:?}", collected.paths());
    assert_eq!(collected.nested_problems.len(), 1);
    assert!(collected.nested_problems[0].1.contains("limit of 8"));
}

#[test]
fn entries_and_bytes_are_counted_over_all_levels() {
    // Each level holds the one below sixteen times, as 42.zip does.
    let mut package = stored_zip("zeros", &vec![0; 1 << 20]);
    for _ in 0..4 {
        let names: Vec<String> = (0..16).map(|index| format!("{index}.zip")).collect();
        let entries: Vec<ZipEntry<'_>> = names
            .iter()
            .map(|name| ZipEntry {
                name: name.as_bytes(),
                content: &package,
                ..ZipEntry::default()
            })
            .collect();
        package = zip(&entries);
    }
    let few = Limits { entries: 1000, ratio: u64::MAX, ..Limits::default() };
    let (collected, outcome) = read_with(&package, true, &few);
    assert!(matches!(outcome, Err(FormatError::Limit { limit: 1000, .. })), "{outcome:?}");
    assert_eq!(collected.members.len(), 1000);

    let small = Limits { unpacked_bytes: 10 << 20, ratio: u64::MAX, ..Limits::default() };
    let (_, outcome) = read_with(&package, true, &small);
    assert!(matches!(outcome, Err(FormatError::Limit { limit, .. }) if limit == 10 << 20));

    let tame = Limits { ratio: 1000, ..Limits::default() };
    let (collected, outcome) = read_with(&package, true, &tame);
    assert!(matches!(outcome, Err(FormatError::Limit { limit: 1000, .. })), "{outcome:?}");
    let bytes: u64 = collected.members.iter().map(|(member, _)| member.size()).sum();
    assert!(bytes < Limits::RATIO_FLOOR + (2 << 20) + 1000 * package.len() as u64);
}

#[test]
fn a_format_can_be_asked_by_itself() {
    let tar = hashget::formats::FORMATS.iter().find(|format| format.name() == "tar").unwrap();
    let bytes = TarBuilder::new().file("x", b"1").finish();
    assert!(tar.recognises(&bytes));
    let mut collected = Collected::default();
    let mut stream = &bytes[..];
    let input = hashget::formats::Input::Stream(&mut stream);
    tar.read(input, &Limits::default(), &mut collected).unwrap();
    assert_eq!(collected.paths(), ["x"]);
}
