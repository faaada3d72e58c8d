//! A limit on the size of files (`ulimit -f`) is an error like a full disk.
//!
//! Invariant: the program ends with an exit code of its own, and nothing incomplete has a final name.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use hashget_testkit::origin::Origin;
use support::{Ended, Machine, files_below};

/// Runs the program with a limit of `blocks` of 512 bytes.
fn limited(machine: &Machine, blocks: u32, arguments: &[&str]) -> Ended {
    let mut shell = machine.bare_program("/bin/sh");
    shell.envs(machine.variables());
    let script = format!(r#"ulimit -f {blocks}; exec "$0" "$@""#);
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_hashget")]);
    Ended::of(shell.args(arguments))
}

/// Bytes that do not compress.
fn noise(count: u32) -> Vec<u8> {
    (0..count / 4).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

const PACK: [&str; 8] =
    ["pack", "tree", "-f", "out/a.tar", "--detect", "none", "--no-index", "--no-scan-cache"];

#[test]
fn an_archive_that_gets_too_large_leaves_nothing_behind() {
    let machine = Machine::new();
    machine.write("tree/large", noise(400_000));
    fs_err::create_dir(machine.path("out")).unwrap();
    machine.hashget(&["db", "status"]).expect(0);
    let told = ["cannot write the archive", "ile too large", "ulimit -f"];
    limited(&machine, 200, &PACK).expect(1).says(&told);
    assert_eq!(files_below(&machine.path("out")), [""; 0]);
}

#[test]
fn a_file_that_gets_too_large_is_named_and_the_rest_is_restored() {
    let machine = Machine::new();
    machine.write("tree/large", noise(400_000));
    machine.write("tree/small", "s");
    fs_err::create_dir(machine.path("out")).unwrap();
    machine.hashget(&PACK).expect(0);
    let unpack = ["unpack", "out/a.tar", "-C", "back"];
    limited(&machine, 200, &unpack).expect(3).says(&["large", "ile too large", "Incomplete"]);
    assert_eq!(files_below(&machine.path("back")), [".hashget-restore.json", "small"]);
    machine.hashget(&unpack).expect(0).says(&["Proven"]);
}

#[test]
fn a_hashdb_and_a_cache_that_get_too_large_stay_whole() {
    let (machine, origin) = (Machine::new(), Origin::start());
    origin.serve("/noise.bin", noise(400_000));
    machine.hashget(&["db", "status"]).expect(0);
    let index = ["index", &origin.url("/noise.bin")];
    for blocks in [8, 200, 400] {
        let ended = limited(&machine, blocks, &index);
        assert!([1, 3, 5].contains(&ended.code), "{blocks}: {} {}", ended.code, ended.stderr);
        assert!(ended.stderr.contains("error: "), "{blocks}: {}", ended.stderr);
    }
    machine.hashget(&["db", "verify"]).expect(0);
    machine.hashget(&index).expect(0);
    machine.write("tree/small", "s");
    fs_err::create_dir(machine.path("out")).unwrap();
    // What cannot be kept costs knowledge, and no backup.
    let ended = limited(&machine, 40, &["pack", "tree", "-f", "out/a.tar", "--detect", "none"]);
    assert!([0, 5].contains(&ended.code), "{} {}", ended.code, ended.stderr);
    assert_eq!(files_below(&machine.path("out")), ["a.tar"]);
}

#[test]
fn a_package_that_gets_too_large_is_not_said_to_lack_room() {
    let (machine, origin) = (Machine::new(), Origin::start());
    origin.serve("/noise.bin", noise(400_000));
    machine.hashget(&["index", &origin.url("/noise.bin")]).expect(0);
    machine.write("tree/noise.bin", noise(400_000));
    fs_err::create_dir(machine.path("out")).unwrap();
    machine.hashget(&PACK).expect(0);
    let verify = ["--cache", "none", "verify", "--deep", "out/a.tar"];
    let ended = limited(&machine, 200, &verify);
    let ended =
        ended.says(&["/noise.bin", "cannot write in the temporary folder", "ile too large"]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(!ended.stderr.contains("no room"), "{}", ended.stderr);
}
