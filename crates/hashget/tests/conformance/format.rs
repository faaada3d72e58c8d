//! What every package format must do.
//!
//! Invariant: a suite uses nothing but its trait, and one whole package; where that can only have one member, what takes two is not asked.

use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom};

use hashget::formats::{FILE, Format, FormatError, Input, Visitor, VisitorError, recognise};
use hashget::limits::Limits;
use hashget::model::{Kind, Member};

use crate::collect::{Collected, file_of, noise};

/// Runs the suite of [`Format`] with a whole package of at least two members, which must be undamaged;
/// one member, if the format has no more.
pub(crate) fn check(format: &dyn Format, package: &[u8]) {
    its_names_can_be_told_from_others(format);
    it_is_recognised_by_content(format, package);
    a_file_is_read_like_a_stream(format, package);
    other_bytes_are_an_error(format);
    a_part_gives_nothing_that_the_whole_does_not(format, package);
    the_limits_hold(format, package);
    the_visitor_can_stop_it(format, package);
}

fn read(format: &dyn Format, bytes: &[u8]) -> (Collected, Result<(), FormatError>) {
    let mut collected = Collected::default();
    let outcome = format.read(Input::File(&file_of(bytes)), &Limits::default(), &mut collected);
    (collected, outcome)
}

fn its_names_can_be_told_from_others(format: &dyn Format) {
    let name = format.name();
    assert!(!name.is_empty() && name != FILE);
    assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "{name}");
    for ending in format.endings() {
        assert!(ending.starts_with('.') && ending.len() > 1, "{ending}");
        assert_eq!(*ending, ending.to_ascii_lowercase());
    }
}

fn it_is_recognised_by_content(format: &dyn Format, package: &[u8]) {
    assert!(format.recognises(package));
    assert_eq!(recognise(package).map(Format::name), Some(format.name()));
    for other in [&b""[..], b"x", &noise(10_000), &[0; 4096]] {
        assert!(!format.recognises(other));
    }
}

fn a_file_is_read_like_a_stream(format: &dyn Format, package: &[u8]) {
    let mut file: File = file_of(package);
    file.seek(SeekFrom::Start(7)).unwrap();
    let (mut of_file, mut of_stream) = (Collected::default(), Collected::default());
    format.read(Input::File(&file), &Limits::default(), &mut of_file).unwrap();
    let mut stream = package;
    format.read(Input::Stream(&mut stream), &Limits::default(), &mut of_stream).unwrap();
    assert_eq!(of_file.members, of_stream.members);
    assert!(!of_file.members.is_empty() && of_file.bad.is_empty());
    for (member, content) in &of_file.members {
        assert!(matches!(member.kind, Kind::File { .. }) || content.is_empty());
        assert!(!member.path.is_root());
    }
    let own_name = format.own_name(Input::File(&file), &Limits::default());
    if let Ok(Some(own_name)) = own_name {
        assert_eq!(own_name.kind, format.name());
        assert!(!own_name.value.is_empty());
    }
}

fn other_bytes_are_an_error(format: &dyn Format) {
    for other in [&b""[..], b"x", &noise(10_000)] {
        let (collected, outcome) = read(format, other);
        let (name, count) = (format.name(), other.len());
        assert!(collected.members.is_empty(), "{name}: {count} bytes");
        // An empty tar may be an empty file.
        assert!(outcome.is_err() || count == 0, "{name}: {count} bytes");
        let own_name = format.own_name(Input::File(&file_of(other)), &Limits::default());
        assert!(!matches!(own_name, Ok(Some(_))), "{} bytes", other.len());
    }
}

fn a_part_gives_nothing_that_the_whole_does_not(format: &dyn Format, package: &[u8]) {
    let (whole, _) = read(format, package);
    let mut errors = 0;
    for part in 0..64 {
        let length = package.len() * part / 64;
        let (collected, outcome) = read(format, &package[..length]);
        let start = &whole.members[..collected.members.len().min(whole.members.len())];
        let (name, size) = (format.name(), package.len());
        assert!(collected.members == start, "{name}: {length} of {size} bytes");
        errors += usize::from(outcome.is_err());
        // The name may be at the start; it must not be another one.
        let own_name = |bytes: &[u8]| {
            let name = format.own_name(Input::File(&file_of(bytes)), &Limits::default());
            name.ok().flatten()
        };
        if let Some(name) = own_name(&package[..length]) {
            assert_eq!(Some(name), own_name(package));
        }
    }
    assert!(errors > 32, "{}: {errors} of 64 parts were refused", format.name());
}

fn the_limits_hold(format: &dyn Format, package: &[u8]) {
    let (whole, _) = read(format, package);
    let entries = whole.members.len().min(2) as u64 - 1;
    for limits in [
        Limits { entries, ..Limits::default() },
        Limits { unpacked_bytes: 10, ..Limits::default() },
    ] {
        let mut collected = Collected::default();
        let outcome = format.read(Input::File(&file_of(package)), &limits, &mut collected);
        let name = format.name();
        assert!(matches!(outcome, Err(FormatError::Limit { .. })), "{name}: {outcome:?}");
        // Packages of several archives: the limit is that of each; `read_package` counts them together.
        assert!(collected.members.len() < whole.members.len(), "{name}");
    }
}

/// Stops at this member, counted from 1.
struct Stop {
    at: usize,
    count: usize,
}

impl Visitor for Stop {
    fn visit(&mut self, _: Member, _: &mut dyn Read) -> Result<(), VisitorError> {
        self.count += 1;
        if self.count == self.at { Err("enough".into()) } else { Ok(()) }
    }
}

fn the_visitor_can_stop_it(format: &dyn Format, package: &[u8]) {
    let at = read(format, package).0.members.len().min(2);
    let mut stop = Stop { at, count: 0 };
    let outcome = format.read(Input::File(&file_of(package)), &Limits::default(), &mut stop);
    match outcome {
        Err(FormatError::Visitor(error)) => assert_eq!(error.to_string(), "enough"),
        other => panic!("{}: {other:?}", format.name()),
    }
    assert_eq!(stop.count, at, "it is not called again");
}
