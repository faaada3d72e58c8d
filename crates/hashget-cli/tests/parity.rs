//! `pack --parity` and `repair`: damage is healed byte for byte or named, and no archive has the parity of another one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::{PermissionsExt, symlink};

use hashget::limits::Limits;
use hashget::monitor::Recorder;
use hashget::parity::{RepairError, Repairer};
use support::{Machine, files_below};

/// Numbers that only look like chance.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// A machine with a tree whose archive has 200 KB and more.
fn machine() -> Machine {
    let machine = Machine::new();
    let mut numbers = Numbers(1);
    for name in 0..20 {
        let bytes: Vec<u8> =
            (0..12_000).map(|_| u8::try_from(numbers.below(256)).unwrap()).collect();
        machine.write(&format!("tree/{name:02}"), bytes);
    }
    machine
}

fn pack(machine: &Machine, archive: &str, options: &[&str]) -> support::Ended {
    machine.hashget(&[&["pack", "tree", "--detect", "none", "-f", archive], options].concat())
}

fn read(machine: &Machine, name: &str) -> Vec<u8> {
    fs_err::read(machine.path(name)).unwrap()
}

fn mode(machine: &Machine, name: &str) -> u32 {
    fs_err::metadata(machine.path(name)).unwrap().permissions().mode() & 0o7777
}

#[test]
fn two_hundred_damages_are_healed_or_named() {
    let machine = machine();
    pack(&machine, "a.tar.zst", &["--parity", "10%"]).expect(0);
    let (whole, parity) = (read(&machine, "a.tar.zst"), read(&machine, "a.tar.zst.par2"));
    let (limits, path) = (Limits::default(), machine.path("a.tar.zst"));
    let repairer = Repairer { limits: &limits, jobs: 2, known: None };
    let mut numbers = Numbers(2);
    let (mut healed, mut named) = (0, 0);
    for round in 0..200 {
        let mut damaged = whole.clone();
        let length = 1 + numbers.below(whole.len() / 6);
        let at = numbers.below(whole.len() - length);
        match round % 4 {
            0 => (0..1 + round % 7).for_each(|_| damaged[numbers.below(whole.len())] ^= 0x40),
            1 => damaged[at..at + length].fill(0),
            2 => damaged.truncate(whole.len() - length),
            _ => drop(damaged.drain(at..at + length)),
        }
        if damaged == whole {
            continue;
        }
        fs_err::write(&path, &damaged).unwrap();
        let recorder = Recorder::default();
        let is_within = round % 4 > 0 && length * 10 <= whole.len();
        match repairer.repair(&path, None, &recorder) {
            Ok(repaired) => {
                assert_eq!(read(&machine, "a.tar.zst"), whole, "round {round}");
                let kept = repaired.kept.unwrap();
                assert_eq!(fs_err::read(&kept).unwrap(), damaged);
                fs_err::remove_file(kept).unwrap();
                assert!(!repaired.parity_was_damaged);
                healed += 1;
            }
            Err(RepairError::TooDamaged { missing, recoveries, .. }) => {
                assert!(missing > recoveries && !is_within, "round {round}: {missing}");
                assert_eq!(read(&machine, "a.tar.zst"), damaged);
                assert!(!recorder.recorded().problems.is_empty());
                named += 1;
            }
            Err(error) => panic!("round {round}: {error:?}"),
        }
        assert_eq!(read(&machine, "a.tar.zst.par2"), parity);
    }
    assert!(healed > 100 && named > 30, "{healed} {named}");
    assert_eq!(files_below(&machine.path("tree")).len(), 20);
}

#[test]
fn a_damaged_archive_is_healed_and_kept_and_what_was_done_is_said() {
    let machine = machine();
    pack(&machine, "a.tar.zst", &["--parity", "5%"]).expect(0).says(&["Parity", "a.tar.zst.par2"]);
    let whole = read(&machine, "a.tar.zst");
    machine.hashget(&["repair", "a.tar.zst"]).expect(0).says(&["a.tar.zst is whole"]);
    machine.hashget(&["verify", "a.tar.zst"]).expect(0);
    let mut damaged = whole.clone();
    damaged[100_000..103_000].fill(0);
    machine.write("a.tar.zst", &damaged);
    fs_err::set_permissions(machine.path("a.tar.zst"), std::fs::Permissions::from_mode(0o640))
        .unwrap();
    machine.hashget(&["verify", "a.tar.zst"]).expect(4).says(&["`hashget repair a.tar.zst`"]);

    machine.hashget(&["repair", "a.tar.zst", "-o", "b.tar.zst"]).expect(0).says(&["b.tar.zst"]);
    assert_eq!(read(&machine, "b.tar.zst"), whole);
    assert_eq!(read(&machine, "a.tar.zst"), damaged);
    assert!(!machine.path("a.tar.zst.damaged").exists() && mode(&machine, "b.tar.zst") == 0o640);

    let ended = machine.hashget(&["repair", "--json", "a.tar.zst"]).expect(0);
    let record = ended.last_record();
    assert_eq!((&record["command"], &record["block_bytes"]), (&"repair".into(), &1024.into()));
    assert!(record["damaged_blocks"].as_u64().unwrap() <= 4);
    assert_eq!(read(&machine, "a.tar.zst"), whole);
    assert_eq!(read(&machine, "a.tar.zst.damaged"), damaged);
    assert_eq!(mode(&machine, "a.tar.zst"), 0o640);
    machine.hashget(&["verify", "a.tar.zst"]).expect(0);

    // Neither is there anything to write, nor a file to write it to.
    let nothing = ["repair", "a.tar.zst", "-o", "c.tar.zst"];
    machine.hashget(&nothing).expect(0).says(&["a.tar.zst is whole"]);
    assert!(!machine.path("c.tar.zst").exists());
    machine.write("a.tar.zst", [&whole[..], b"more"].concat());
    machine.hashget(&nothing).expect(0).says(&["none was damaged, but bytes were added or moved"]);
    for own in ["a.tar.zst", "a.tar.zst.par2"] {
        let ended = machine.hashget(&["repair", "a.tar.zst", "-o", own]).expect(1);
        ended.says(&["it is the archive itself, or its parity"]);
    }

    // A damaged archive that was kept is never lost.
    machine.write("a.tar.zst", &damaged[1..]);
    let there = ["a.tar.zst.damaged is there already"];
    machine.hashget(&["repair", "a.tar.zst"]).expect(2).says(&there);
    assert_eq!(read(&machine, "a.tar.zst"), damaged[1..]);
    assert_eq!(read(&machine, "a.tar.zst.damaged"), damaged);
}

#[test]
fn what_cannot_be_healed_is_named_and_stays_as_it_is() {
    let machine = machine();
    pack(&machine, "a.tar.zst", &["--parity", "1%"]).expect(0);
    let mut damaged = read(&machine, "a.tar.zst");
    damaged[50_000..150_000].fill(0);
    machine.write("a.tar.zst", &damaged);
    let ended = machine.hashget(&["repair", "a.tar.zst"]).expect(4);
    let ended = ended.says(&[
        "blocks are damaged: bytes 4",
        "cannot be healed",
        "recovery blocks are left",
    ]);
    ended.says(&["though its manifest has them", "hint: take another copy"]);
    assert_eq!(read(&machine, "a.tar.zst"), damaged);
    assert!(!machine.path("a.tar.zst.damaged").exists());
    machine.hashget(&["repair", "a.tar.zst", "-o", "b.tar.zst"]).expect(4);
    assert!(!machine.path("b.tar.zst").exists());
}

#[test]
fn damaged_parity_is_made_anew_from_a_whole_archive() {
    let machine = machine();
    pack(&machine, "a.tar.gz", &["--parity", "5%"]).expect(0);
    let (whole, parity) = (read(&machine, "a.tar.gz"), read(&machine, "a.tar.gz.par2"));
    for (at, is_archive_damaged) in [(100, false), (parity.len() / 2, true)] {
        let (mut broken, mut archive) = (parity.clone(), whole.clone());
        broken[at] ^= 1;
        archive[70_000] ^= u8::from(is_archive_damaged);
        machine.write("a.tar.gz.par2", &broken);
        machine.write("a.tar.gz", &archive);
        machine
            .hashget(&["repair", "a.tar.gz"])
            .expect(0)
            .says(&["was damaged, and was made anew"]);
        assert_eq!(read(&machine, "a.tar.gz.par2"), parity);
        assert_eq!(read(&machine, "a.tar.gz"), whole);
    }
    machine.write("a.tar.gz.par2", &parity[..parity.len() / 2]);
    machine.hashget(&["repair", "a.tar.gz"]).expect(0);
    assert_eq!(read(&machine, "a.tar.gz.par2"), parity);
}

#[test]
fn what_is_no_parity_is_said() {
    let machine = machine();
    pack(&machine, "a.tar.zst", &[]).expect(0);
    assert!(!machine.path("a.tar.zst.par2").exists());
    let none = ["there is no", "a.tar.zst.par2", "`hashget verify`"];
    machine.hashget(&["repair", "a.tar.zst"]).expect(1).says(&none);
    for parity in [&b""[..], b"PAR2\0PKT", &[0; 10_000]] {
        machine.write("a.tar.zst.par2", parity);
        let ended = machine.hashget(&["repair", "a.tar.zst"]).expect(4);
        ended.says(&["a.tar.zst.par2 cannot be used", "no packet"]);
    }
    let longest = format!("{}.tar", "n".repeat(251));
    pack(&machine, &longest, &[]).expect(0);
    machine.hashget(&["repair", &longest]).expect(1).says(&["there is no"]);
    pack(&machine, &longest, &["--parity", "5%"]).expect(1).says(&["file name too long"]);
    machine.hashget(&["repair", "missing"]).expect(1).says(&["missing"]);
    machine.hashget(&["repair", "tree"]).expect(1).says(&["no regular file"]);
}

#[test]
fn parity_of_another_archive_changes_nothing() {
    let machine = machine();
    pack(&machine, "a.tar.zst", &["--parity", "100%"]).expect(0);
    let parity = read(&machine, "a.tar.zst.par2");
    // Most of it is the same, as on the next day.
    machine.write("tree/zz", "new");
    for archive in ["a.tar", "a.tar.zst"] {
        pack(&machine, archive, &[]).expect(0);
        machine.write(&format!("{archive}.par2"), &parity);
        let before = read(&machine, archive);
        let ended = machine.hashget(&["repair", archive]).expect(4);
        ended.says(&["is for another archive", "move the parity away"]);
        assert_eq!(read(&machine, archive), before);
        assert!(!machine.path(&format!("{archive}.damaged")).exists());
        assert_eq!(read(&machine, &format!("{archive}.par2")), parity);
    }
    // Asked for, it is written elsewhere.
    machine.hashget(&["repair", "a.tar.zst", "-o", "before.tar.zst"]).expect(0);
    machine.hashget(&["list", "before.tar.zst", "zz"]).expect(3);
    machine.hashget(&["verify", "before.tar.zst"]).expect(0);
}

#[test]
fn no_archive_has_the_parity_of_another() {
    let machine = machine();
    pack(&machine, "a.tar.zst", &["--parity", "5%"]).expect(0);
    let first = read(&machine, "a.tar.zst.par2");
    machine.write("tree/more", "more");
    pack(&machine, "a.tar.zst", &["--parity", "5%"]).expect(0);
    assert_ne!(read(&machine, "a.tar.zst.par2"), first);
    machine.hashget(&["repair", "a.tar.zst"]).expect(0).says(&["is whole"]);
    let removed = ["a.tar.zst.par2: removed: it was for the archive that had this name before"];
    pack(&machine, "a.tar.zst", &[]).expect(0).says(&removed);
    assert!(!machine.path("a.tar.zst.par2").exists());
    // A dry run, or one that fails, leaves it.
    machine.write("a.tar.zst.par2", &first);
    pack(&machine, "a.tar.zst", &["--dry-run", "--parity", "5%"]).expect(0);
    machine.hashget(&["pack", "missing", "-f", "a.tar.zst", "--parity", "5%"]).expect(1);
    assert_eq!(read(&machine, "a.tar.zst.par2"), first);
    // A folder of this name is reported at once, and is no parity.
    fs_err::remove_file(machine.path("a.tar.zst.par2")).unwrap();
    machine.write("a.tar.zst.par2/x", "");
    pack(&machine, "a.tar.zst", &["--parity", "5%"]).expect(1).says(&["cannot create", "par2"]);
    pack(&machine, "a.tar.zst", &[]).expect(0);
}

#[test]
fn parity_is_for_whom_the_archive_is_and_lies_beside_it() {
    let machine = machine();
    machine.write("real/a.tar.zst", "old");
    fs_err::set_permissions(machine.path("real/a.tar.zst"), std::fs::Permissions::from_mode(0o640))
        .unwrap();
    symlink(machine.path("real/a.tar.zst"), machine.path("link.tar.zst")).unwrap();
    pack(&machine, "link.tar.zst", &["--parity", "5%"]).expect(0);
    assert_eq!(files_below(&machine.path("real")), ["a.tar.zst", "a.tar.zst.par2"]);
    assert_eq!(mode(&machine, "real/a.tar.zst.par2"), 0o640);
    let mut bytes = read(&machine, "link.tar.zst");
    bytes[9000] ^= 1;
    machine.write("real/a.tar.zst", bytes);
    machine.hashget(&["verify", "link.tar.zst"]).expect(4).says(&["`hashget repair link.tar.zst`"]);
    machine.hashget(&["repair", "link.tar.zst"]).expect(0);
    machine.hashget(&["verify", "link.tar.zst"]).expect(0);
}

#[test]
fn an_archive_in_its_own_tree_does_not_have_its_parity() {
    let machine = machine();
    for _ in 0..2 {
        pack(&machine, "tree/a.tar.zst", &["--parity", "5%"]).expect(0);
        let listed = machine.hashget(&["list", "tree/a.tar.zst"]).expect(0).stdout;
        assert!(!listed.contains("a.tar"), "{listed}");
    }
    let listed = machine.hashget(&["find", "tree", "./00"]).expect(0).stdout;
    assert_eq!(listed.lines().count(), 1, "{listed}");
}

#[test]
fn the_share_and_the_file_are_checked_first() {
    let machine = machine();
    for share in ["0%", "101%", "5.5%", "all", ""] {
        let ended = pack(&machine, "a.tar.zst", &["--parity", share]).expect(2);
        ended.says(&["expected a share from 1% to 100%"]);
    }
    let stdout = ["pack", "tree", "-f", "-", "--format", "tar", "--parity", "5%"];
    machine.hashget(&stdout).expect(2).says(&["--parity writes a file beside the archive"]);
    let device = ["pack", "tree", "-f", "/dev/null", "--format", "tar", "--parity", "5%"];
    machine.hashget(&device).expect(2).says(&["--parity writes a file beside the archive"]);
    assert!(!machine.path("a.tar.zst").exists());
}

#[test]
fn the_frozen_archive_is_healed_by_its_frozen_parity() {
    let frozen = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/frozen");
    let [archive, parity] =
        ["v2.tar.zst", "v2.tar.zst.par2"].map(|name| fs_err::read(frozen.join(name)).unwrap());
    let machine = Machine::new();
    machine.write("v2.tar.zst.par2", &parity);
    let mut damaged = archive.clone();
    damaged[200] ^= 1;
    machine.write("v2.tar.zst", damaged);
    machine.hashget(&["repair", "v2.tar.zst"]).expect(0);
    assert_eq!(read(&machine, "v2.tar.zst"), archive);
    // Made again, it is the same.
    machine.write("v2.tar.zst.par2", &parity[..parity.len() - 4]);
    machine.hashget(&["repair", "v2.tar.zst"]).expect(0);
    assert_eq!(read(&machine, "v2.tar.zst.par2"), parity);
}
