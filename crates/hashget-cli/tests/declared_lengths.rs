//! Archives that say of a part that it is gigabytes long, in a file with holes: nothing is held before it is there and needed.
//!
//! Invariant: the program has 2 GiB of addresses, less than any of these parts takes.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use std::io::{Seek as _, SeekFrom, Write as _};

use support::{Ended, Machine};

const SKIPPABLE: u32 = 0x184D_2A50;
const DIRECTORY: u32 = 0x184D_2A57;
const NAMES: u32 = 0x184D_2A58;
const FILLING: u32 = 0x184D_2A59;
const TABLE: u32 = 0x184D_2A5E;
/// Bytes that a part has, all but the first of them a hole.
const LONG: u32 = 3 << 30;

/// Runs the program with 2 GiB of addresses.
fn limited(machine: &Machine, arguments: &[&str]) -> Ended {
    let mut shell = machine.bare_program("/bin/sh");
    shell.envs(machine.variables());
    let script = r#"ulimit -v 2097152; exec "$0" "$@""#;
    shell.args(["-c", script, env!("CARGO_BIN_EXE_hashget")]);
    Ended::of(shell.args(arguments))
}

/// A part of an archive: bytes, and a hole behind them.
struct Part(Vec<u8>, u32);

/// The frames of an archive with one file: `(bytes, number of bytes that they decode to)`.
fn frames(machine: &Machine) -> Vec<(Vec<u8>, u32)> {
    machine.write("tree/own", "my own words");
    machine.hashget(&["pack", "tree", "-f", "a.tar.zst", "--detect", "none"]).expect(0);
    let bytes = fs_err::read(machine.path("a.tar.zst")).unwrap();
    let number = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().unwrap());
    let count = number(bytes.len() - 9);
    let table = bytes.len() - 9 - 8 * count as usize;
    let mut start = 0;
    let row = |row: u32| {
        let at = table + 8 * row as usize;
        let end = start + number(at) as usize;
        let frame = bytes[std::mem::replace(&mut start, end)..end].to_vec();
        (frame, number(at + 4))
    };
    (0..count).map(row).collect()
}

fn header(magic: u32, length: u32) -> Vec<u8> {
    [magic.to_le_bytes(), length.to_le_bytes()].concat()
}

/// An archive of these parts, with a seek table of them.
fn archive(machine: &Machine, name: &str, parts: &[(Part, u32)]) {
    let rows: Vec<u8> = parts
        .iter()
        .map(|(Part(bytes, hole), decoded)| (u32::try_from(bytes.len()).unwrap() + hole, decoded))
        .flat_map(|(compressed, decoded)| [compressed.to_le_bytes(), decoded.to_le_bytes()])
        .flatten()
        .collect();
    let count = u32::try_from(parts.len()).unwrap();
    let length = u32::try_from(rows.len()).unwrap() + 9;
    let footer = [&count.to_le_bytes()[..], &[0], &0x8F92_EAB1_u32.to_le_bytes()].concat();
    let table = Part([header(TABLE, length), rows, footer].concat(), 0);
    written(machine, name, parts.iter().map(|(part, _)| part).chain([&table]));
}

fn written<'p>(machine: &Machine, name: &str, parts: impl Iterator<Item = &'p Part>) {
    let mut file = fs_err::File::create(machine.path(name)).unwrap();
    for Part(bytes, hole) in parts {
        file.write_all(bytes).unwrap();
        file.seek(SeekFrom::Current((*hole).into())).unwrap();
    }
    let end = file.stream_position().unwrap();
    file.set_len(end).unwrap();
}

/// The frames, and what `long` makes of the directory, as parts.
fn with_long(machine: &Machine, magic: u32, is_directory: bool) -> Vec<(Part, u32)> {
    let mut parts: Vec<_> =
        frames(machine).into_iter().map(|(bytes, decoded)| (Part(bytes, 0), decoded)).collect();
    let directory = parts.pop().unwrap();
    assert_eq!(directory.0.0[..4], DIRECTORY.to_le_bytes());
    parts.push((Part(header(magic, LONG), LONG), 0));
    if !is_directory {
        parts.push(directory);
    }
    parts
}

fn assert_is_listed(machine: &Machine, name: &str) {
    let ended = limited(machine, &["list", name]).expect(0);
    assert!(ended.stdout.contains(" own"), "{name}: {}", ended.stdout);
}

#[test]
fn names_that_are_said_to_be_long_are_not_held() {
    let machine = Machine::new();
    archive(&machine, "names.tar.zst", &with_long(&machine, NAMES, false));
    assert_is_listed(&machine, "names.tar.zst");
    let cat = limited(&machine, &["cat", "names.tar.zst", "own"]).expect(0);
    assert_eq!(cat.stdout, "my own words");
    limited(&machine, &["verify", "names.tar.zst"]).expect(4).says(&["beside the entries"]);
}

#[test]
fn filling_and_unknown_frames_that_are_said_to_be_long_are_not_held() {
    let machine = Machine::new();
    for (name, magic, code) in [("filling", FILLING, 4), ("unknown", SKIPPABLE, 0)] {
        let name = format!("{name}.tar.zst");
        archive(&machine, &name, &with_long(&machine, magic, false));
        assert_is_listed(&machine, &name);
        limited(&machine, &["verify", &name]).expect(code);
    }
}

#[test]
fn a_directory_that_is_said_to_be_long_is_not_held() {
    let machine = Machine::new();
    archive(&machine, "directory.tar.zst", &with_long(&machine, DIRECTORY, true));
    assert_is_listed(&machine, "directory.tar.zst");
}

#[test]
fn a_seek_table_with_more_rows_than_frames_can_be_is_none() {
    let machine = Machine::new();
    let parts: Vec<Part> = frames(&machine).into_iter().map(|(bytes, _)| Part(bytes, 0)).collect();
    let count = 0x0800_0000_u32 - 8;
    let table = Part(header(TABLE, 8 * count + 9), 8 * count);
    let footer = [&count.to_le_bytes()[..], &[0], &0x8F92_EAB1_u32.to_le_bytes()].concat();
    let footer = Part(footer, 0);
    written(&machine, "rows.tar.zst", parts.iter().chain([&table, &footer]));
    assert_is_listed(&machine, "rows.tar.zst");
}
