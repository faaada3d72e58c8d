//! `verify` and the archive itself: whatever is wrong with it is found, and told apart from its sources.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;

use hashget::archive::{ArchiveError, verify_stored};
use hashget::limits::Limits;
use hashget::model::manifest::MANIFEST_NAME;
use hashget::monitor::Recorder;
use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::TarBuilder;
use support::{Ended, Machine};

const CODECS: [&str; 4] = ["a.tar", "a.tar.gz", "a.tar.zst", "a.tar.xz"];

/// A machine with archives of thirty files, two of which a package gives.
fn machine(origin: &Origin) -> Machine {
    let machine = Machine::new();
    let (a, b) = ("first\n".repeat(4000), "second\n".repeat(4000));
    let tar = TarBuilder::new().file("x/a", a.as_bytes()).file("x/b", b.as_bytes()).finish();
    origin.serve("/lib.tar", tar);
    machine.write("tree/lib/a", &a);
    machine.write("tree/lib/b", &b);
    for number in 0..28_u32 {
        let text: String = (0..400_u32).map(|line| format!("{}\n", line * 7919 * number)).collect();
        machine.write(&format!("tree/own/{number:02}"), text);
    }
    std::fs::hard_link(machine.path("tree/own/01"), machine.path("tree/own/link")).unwrap();
    machine.hashget(&["index", &origin.url("/lib.tar")]).expect(0);
    for archive in CODECS {
        machine.hashget(&["pack", "tree", "-f", archive]).expect(0);
    }
    machine
}

/// Is something found to be wrong with these bytes of an archive?
fn is_found_wrong(bytes: &[u8]) -> bool {
    let recorder = Recorder::default();
    match verify_stored(&mut &*bytes, "a", &Limits::default(), &recorder) {
        Ok((_, stored)) => {
            let wrong = stored.unwrap().wrong > 0;
            assert_eq!(wrong, !recorder.recorded().problems.is_empty());
            wrong
        }
        Err(error) => {
            let is_damage =
                matches!(error, ArchiveError::Damaged { .. } | ArchiveError::NoManifestInArchive);
            assert!(is_damage, "{error:?}");
            true
        }
    }
}

#[test]
fn a_whole_archive_is_read_to_its_end() {
    let origin = Origin::start();
    let machine = machine(&origin);
    for archive in CODECS {
        let ended = machine.hashget(&["verify", archive]).expect(0);
        ended.says(&["The archive is whole: 32 entries, 28 files", "read to the end"]);
    }
    let record = machine.hashget(&["verify", "--json", "a.tar.gz"]).expect(0).last_record();
    assert_eq!(record["archive_read"], true);
    let archive = &record["archive"];
    assert_eq!((&archive["is_whole"], &archive["wrong"]), (&true.into(), &0.into()));
    origin.serve("/a.tar.zst", fs_err::read(machine.path("a.tar.zst")).unwrap());
    let url = origin.url("/a.tar.zst");
    machine.hashget(&["verify", &url]).expect(0).says(&["The archive is whole"]);
    let mut command = machine.bare();
    command.envs(machine.variables()).args(["verify", "-"]);
    command.write_stdin(fs_err::read(machine.path("a.tar.xz")).unwrap());
    Ended::of(&mut command).expect(0).says(&["The archive is whole"]);
}

#[test]
fn the_archive_and_its_sources_have_exit_codes_of_their_own() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let bytes = fs_err::read(machine.path("a.tar")).unwrap();
    machine.write("cut.tar", &bytes[..bytes.len() / 2]);
    let damaged = ["is damaged: what follows", "could not be read from it", "DAMAGED"];
    machine.hashget(&["verify", "cut.tar"]).expect(4).says(&damaged);
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    origin.always("/lib.tar", Fault::Status(404));
    let lost = ["lost: found nowhere", "The archive is whole"];
    machine.hashget(&["verify", "a.tar.zst"]).expect(5).says(&lost);
    // What is wrong with the archive counts more.
    machine.hashget(&["verify", "cut.tar"]).expect(4).says(&["lost: found nowhere"]);
    machine.write("note", "no archive");
    machine.hashget(&["verify", "note"]).expect(4).says(&["damaged", "this is not an archive"]);
}

#[test]
fn every_cut_and_every_changed_byte_is_found() {
    let machine = machine(&Origin::start());
    for archive in &CODECS[1..] {
        let whole = fs_err::read(machine.path(archive)).unwrap();
        assert!(!is_found_wrong(&whole), "{archive}");
        for part in 1..40 {
            let length = whole.len() * part / 40;
            assert!(is_found_wrong(&whole[..length]), "{archive}: {length} bytes of it");
        }
        for part in 0..60 {
            // The headers of gzip have bytes that stand for nothing.
            let at = 32 + (whole.len() - 32) * part / 60;
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            let codec = hashget::codec::Codec::recognise(&whole);
            let same = hashget::codec::decoder(codec, Box::new(&*changed), &Limits::default(), 1)
                .and_then(|mut decoder| {
                    let mut plain = Vec::new();
                    std::io::Read::read_to_end(&mut decoder, &mut plain).map(|_| plain)
                })
                .is_ok_and(|plain| plain == fs_err::read(machine.path("a.tar")).unwrap());
            assert!(same || is_found_wrong(&changed), "{archive}: byte {at}");
        }
    }
}

#[test]
fn in_a_plain_tar_a_changed_file_or_header_is_named() {
    let machine = machine(&Origin::start());
    let whole = fs_err::read(machine.path("a.tar")).unwrap();
    let position =
        |wanted: &[u8]| whole.windows(wanted.len()).rposition(|window| window == wanted).unwrap();
    // The header of a file, and its contents 512 bytes later.
    let header = position(b"own/07");
    for (at, code, said) in [
        (header + 512, 4, "1 entry with other contents than were packed: own/07"),
        (header + 3, 4, "what follows \"own/06\" cannot be read"),
        (header + 1024, 4, "own/07"),
    ] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        machine.write("changed.tar", changed);
        machine.hashget(&["verify", "changed.tar"]).expect(code).says(&[said]);
    }
    let manifest = position(MANIFEST_NAME.as_bytes());
    let mut changed = whole.clone();
    // The archive's own time of a file is part of what the manifest says.
    let digits = changed[manifest..].windows(6).position(|window| window == b"\"mode\"").unwrap();
    let at = changed[manifest + digits..].iter().position(u8::is_ascii_digit).unwrap();
    changed[manifest + digits + at + 2] ^= 1;
    machine.write("changed.tar", changed);
    machine.hashget(&["verify", "changed.tar"]).expect(4);
}

#[test]
fn at_most_ten_entries_are_named() {
    let machine = machine(&Origin::start());
    let bytes = fs_err::read(machine.path("a.tar")).unwrap();
    let at = bytes.windows(6).rposition(|window| window == b"own/05").unwrap();
    machine.write("cut.tar", &bytes[..at]);
    let ended = machine.hashget(&["verify", "cut.tar"]).expect(4);
    assert!(ended.stderr.contains("own/05, own/06"), "{}", ended.stderr);
    assert!(ended.stderr.contains("own/14 and 13 more"), "{}", ended.stderr);
}

#[test]
fn frozen_archives_of_both_versions_are_whole() {
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/frozen");
    for archive in ["v1.tar.gz", "v2.tar.gz", "v2.tar.zst"] {
        let whole = fs_err::read(frozen.join(archive)).unwrap();
        assert!(!is_found_wrong(&whole), "{archive}");
        assert!(is_found_wrong(&whole[..whole.len() - 20]), "{archive}");
    }
}
