//! The program par2 and we, on each other's files.
//!
//! Invariant: each of both verifies and repairs with what the other one made.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::Machine;

/// A machine with an archive of 300 KB and its parity.
fn machine() -> (Machine, Vec<u8>) {
    let machine = Machine::new();
    let bytes: Vec<u8> = (0..300_000_u32)
        .map(|at| at.wrapping_mul(at).wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
    machine.write("tree/data", bytes);
    let pack = ["pack", "tree", "--detect", "none", "-f", "a.tar.zst", "--parity", "7%"];
    machine.hashget(&pack).expect(0);
    let whole = fs_err::read(machine.path("a.tar.zst")).unwrap();
    (machine, whole)
}

/// Runs par2 in a folder; does it succeed?
fn par2(folder: &Path, arguments: &[&str]) -> bool {
    let output = Command::new("par2").current_dir(folder).args(arguments).output().unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    output.status.success()
}

fn damaged(whole: &[u8]) -> Vec<u8> {
    let mut damaged = whole.to_vec();
    damaged[20_000..29_000].fill(0);
    damaged[100_000] ^= 1;
    damaged.drain(200_000..200_010);
    damaged
}

pub(crate) fn par2_verifies_and_repairs_with_what_we_made() {
    let (machine, whole) = machine();
    let folder = machine.path("");
    assert!(par2(&folder, &["verify", "a.tar.zst.par2"]));
    machine.write("a.tar.zst", damaged(&whole));
    assert!(!par2(&folder, &["verify", "a.tar.zst.par2"]));
    assert!(par2(&folder, &["repair", "a.tar.zst.par2"]));
    assert_eq!(fs_err::read(machine.path("a.tar.zst")).unwrap(), whole);
    // Under another name, as the page of the format says.
    fs_err::remove_file(machine.path("a.tar.zst")).unwrap();
    machine.write("b.tar.zst", damaged(&whole));
    assert!(par2(&folder, &["repair", "a.tar.zst.par2", "b.tar.zst"]));
    assert_eq!(fs_err::read(machine.path("a.tar.zst")).unwrap(), whole);
    // With damage to the parity, too.
    let mut parity = fs_err::read(machine.path("a.tar.zst.par2")).unwrap();
    parity[300..1300].fill(0);
    machine.write("a.tar.zst.par2", parity);
    machine.write("a.tar.zst", damaged(&whole));
    assert!(par2(&folder, &["repair", "a.tar.zst.par2"]));
    assert_eq!(fs_err::read(machine.path("a.tar.zst")).unwrap(), whole);
}

pub(crate) fn we_repair_with_what_par2_made() {
    let (machine, whole) = machine();
    let folder = machine.path("");
    for options in [&["-s4000", "-c20"][..], &["-b300", "-r10"], &["-s2048", "-c30", "-f5"]] {
        machine.write("a.tar.zst", &whole);
        fs_err::remove_file(machine.path("a.tar.zst.par2")).unwrap();
        let create = [&["create", "-n1"], options, &["a.par2", "a.tar.zst"]].concat();
        assert!(par2(&folder, &create));
        fs_err::rename(volume(&folder), machine.path("a.tar.zst.par2")).unwrap();
        fs_err::remove_file(machine.path("a.par2")).unwrap();
        machine.hashget(&["repair", "a.tar.zst"]).expect(0).says(&["is whole"]);
        machine.write("a.tar.zst", damaged(&whole));
        machine.hashget(&["repair", "a.tar.zst"]).expect(0).says(&["Healed"]);
        assert_eq!(fs_err::read(machine.path("a.tar.zst")).unwrap(), whole);
        fs_err::remove_file(machine.path("a.tar.zst.damaged")).unwrap();
    }
}

/// The one file of recovery blocks that par2 made.
fn volume(folder: &Path) -> PathBuf {
    let files = fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_volume = |path: &PathBuf| path.to_string_lossy().contains(".vol");
    files.filter(is_volume).last().unwrap()
}

pub(crate) fn par2_accepts_the_frozen_parity() {
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/frozen");
    let machine = Machine::new();
    for name in ["v2.tar.zst", "v2.tar.zst.par2"] {
        machine.write(name, fs_err::read(frozen.join(name)).unwrap());
    }
    assert!(par2(&machine.path(""), &["verify", "v2.tar.zst.par2"]));
}
