//! Supplements that are damaged, renamed or hostile, and the commands that look at them besides `unpack`.
//!
//! Invariant: a supplement costs at most what its own size allows, and whoever judges an archive looks at it.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "support/losing.rs"]
mod losing;
mod support;

use std::path::PathBuf;
use std::process::Command;

use hashget::model::Digest;
use hashget_testkit::origin::Origin;
use losing::{away, gone, healed, machine, package, restored, same_as};
use serde_json::json;
use support::{Ended, Machine, files_below};

#[test]
fn a_deep_verification_rehearses_with_supplements() {
    let origin = Origin::start();
    let machine = healed(&origin, &["one", "two"], &["one"]);
    let deep = ["verify", "--deep", "a.tar.zst"];
    machine.hashget(&deep).expect(0).says(&["only a.sup.tar.zst still has it", "Proven"]);
    // Without the HashDB, the supplement says which files are in the package.
    let beside = away(&machine, &["a.tar.zst", "a.sup.tar.zst"]);
    beside.hashget(&deep).expect(0).says(&["Proven"]);
    let alone = away(&machine, &["a.tar.zst"]);
    alone.hashget(&deep).expect(5).says(&["lost: found nowhere"]);
    // One that lacks a file is no proof.
    let supplement = fs_err::read(machine.path("a.sup.tar.zst")).unwrap();
    beside.write("a.sup.tar.zst", &supplement[..supplement.len() / 2]);
    let ended = beside.hashget(&deep);
    assert!(matches!(ended.code, 4 | 5), "{}", ended.stderr);
    assert!(!ended.stderr.contains("Proven"), "{}", ended.stderr);
}

#[test]
fn a_supplement_with_a_whole_package_is_a_place_for_a_deep_verification() {
    let origin = Origin::start();
    let machine = machine(&origin, &["one"]);
    machine.hashget(&["audit", "a.tar.zst", "--sources", "2"]).expect(3);
    machine.write("own-config.toml", "[policy]\nsources = 2\n");
    machine.hashget(&["heal", "a.tar.zst", "--from", "tree"]).expect(0).says(&["Kept 1 package"]);
    let beside = away(&machine, &["a.tar.zst", "a.sup.tar.zst"]);
    gone(&origin, &["one"]);
    beside.hashget(&["verify", "--deep", "a.tar.zst"]).expect(0).says(&["Proven"]);
}

#[test]
fn the_supplement_of_a_renamed_archive_is_told_of() {
    let origin = Origin::start();
    let machine = healed(&origin, &["one", "two"], &["one"]);
    machine.hashget(&["audit", "a.tar.zst"]).expect(0);
    for (old, new) in [("a.tar.zst", "b.tar.zst"), ("a.sup.tar.zst", "b.sup.tar.zst")] {
        fs_err::rename(machine.path(old), machine.path(new)).unwrap();
    }
    let told = ["note: b.sup.tar.zst", "it was made for a.tar.zst, which is of the same tree"];
    machine.hashget(&["audit", "b.tar.zst"]).expect(4).says(&told);
    machine.hashget(&["heal", "b.tar.zst", "--from", "tree"]).expect(0).says(&told);
    // Restoring takes what it has all the same.
    let away = Machine::new();
    for (from, to) in [("b.tar.zst", "a.tar.zst"), ("b.sup.tar.zst", "a.sup.tar.zst")] {
        fs_err::copy(machine.path(from), away.path(to)).unwrap();
    }
    restored(&away, &[]).expect(0);
    same_as(&machine, &away);
}

#[test]
fn a_supplement_cannot_fill_the_folder_for_temporary_files() {
    let origin = Origin::start();
    let machine = machine(&origin, &["one"]);
    gone(&origin, &["one"]);
    let away = away(&machine, &["a.tar.zst"]);
    // 300 MiB of zeros, in some KB, before what is lost.
    let zeros = fs_err::File::create(away.path("zeros")).unwrap();
    zeros.set_len(300 << 20).unwrap();
    let one = Digest::of(&package("one"));
    away.write(format!("bomb/packages/{one}").as_str(), package("one"));
    fs_err::rename(away.path("zeros"), away.path("bomb/packages/0000")).unwrap();
    let whole = json!([{ "sha256": one, "url": origin.url("/one.tar"), "has": "whole" }]);
    let contents =
        json!({ "hashget_supplement": 1, "tool": "t", "archives": [], "packages": whole });
    away.write("bomb/.hashget-supplement.json", contents.to_string());
    let packed = |name: &str, first: &str| {
        let mut tar = Command::new("tar");
        tar.args(["--zstd", "-cf"]).arg(away.path(name)).arg("-C").arg(away.path("bomb"));
        tar.args([".hashget-supplement.json", first, &format!("packages/{one}")]);
        assert!(tar.status().unwrap().success());
        fs_err::metadata(away.path(name)).unwrap().len()
    };
    assert!(packed("a.sup.tar.zst", "packages/0000") < 1 << 20);
    let told = ["a.sup.tar.zst", "unpacked bytes for each byte of the package is more than"];
    restored(&away, &[]).expect(4).says(&told);
    // The same without the zeros is of use.
    fs_err::remove_file(away.path("bomb/packages/0000")).unwrap();
    packed("a.sup.tar.zst", "packages/");
    restored(&away, &[]).expect(0);
    same_as(&machine, &away);
}

/// A machine with a job whose supplement has a package as a whole, and the supplement.
fn job_with_supplement(origin: &Origin, more: &str) -> (Machine, PathBuf) {
    let machine = machine(origin, &["one"]);
    let job = format!(
        "[backup.web]\nsources = [\"{}\"]\nto = [\"out\"]\nhost = \"h\"\noptions = [\"--detect\", \"none\"]\n{more}",
        machine.path("tree").display()
    );
    machine.write("own-config.toml", &job);
    fs_err::create_dir(machine.path("out")).unwrap();
    machine.hashget(&["backup"]).expect(0);
    machine.write("own-config.toml", format!("[policy]\nsources = 2\n{job}"));
    machine.hashget(&["heal", "web"]).expect(0);
    let name = files_below(&machine.path("out")).into_iter().find(|name| name.contains(".sup."));
    let path = machine.path("out").join(name.unwrap());
    (machine, path)
}

const CHECK: [&str; 4] = ["backup", "check", "--read", "--json"];

/// How many supplements were read and are whole, are damaged, and could not be read.
fn figures(ended: &Ended) -> [u64; 3] {
    let summary = ended.last_record();
    ["supplements", "wrong_supplements", "unread"].map(|figure| summary[figure].as_u64().unwrap())
}

#[test]
fn a_check_of_a_backup_reads_its_supplements() {
    let origin = Origin::start();
    let (machine, path) = job_with_supplement(&origin, "");
    assert_eq!(figures(&machine.hashget(&CHECK).expect(0)), [1, 0, 0]);
    let mut bytes = fs_err::read(&path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 0x55;
    fs_err::write(&path, &bytes).unwrap();
    assert_eq!(figures(&machine.hashget(&CHECK).expect(4)), [0, 1, 0]);
    machine
        .hashget(&["backup", "check", "--read"])
        .expect(4)
        .says(&["remove it, and `hashget heal`", "1 supplement damaged"]);
    // Without reading, nothing is said of it.
    machine.hashget(&["backup", "check"]).expect(0);
    // What is none is damaged, too.
    fs_err::write(&path, "nothing of the kind").unwrap();
    assert_eq!(figures(&machine.hashget(&CHECK).expect(4)), [0, 1, 0]);
}

/// It is not known how it is, and nobody is told to remove it.
fn expect_unread(ended: Ended, why: &str) {
    says_unread(&ended.expect(5), why);
}

fn says_unread(ended: &Ended, why: &str) {
    assert_eq!(figures(ended), [0, 0, 1]);
    for text in [why, "this says nothing about the supplement"] {
        assert!(ended.stdout.contains(text), "{text}: {}", ended.stdout);
    }
    assert!(!ended.stdout.contains("remove it"), "{}", ended.stdout);
}

#[test]
fn a_supplement_that_cannot_be_read_is_not_said_to_be_damaged() {
    let origin = Origin::start();
    let (machine, path) = job_with_supplement(&origin, "");
    let whole = fs_err::read(&path).unwrap();
    // There is no room for temporary files.
    let mut command = machine.bare();
    command.envs(machine.variables()).env("TMPDIR", machine.path("none")).args(CHECK);
    expect_unread(Ended::of(&mut command), "it cannot be kept in a temporary file");
    // It is of a version that this hashget does not know.
    let contents = json!({ "hashget_supplement": 2, "tool": "t", "archives": [], "packages": [] });
    machine.write(".hashget-supplement.json", contents.to_string());
    let mut tar = Command::new("tar");
    tar.args(["--zstd", "-cf"]).arg(&path).arg("-C").arg(machine.path(""));
    assert!(tar.arg(".hashget-supplement.json").status().unwrap().success());
    expect_unread(machine.hashget(&CHECK), "use a newer hashget");
    fs_err::write(&path, whole).unwrap();
    assert_eq!(figures(&machine.hashget(&CHECK).expect(0)), [1, 0, 0]);
}

#[test]
fn a_supplement_that_another_identity_opens_is_not_said_to_be_damaged() {
    let origin = Origin::start();
    let recipient = "age1sxjgycssl3yeua6gztw4prp4t5xvwgvhptrdnej77ns0khll5qrqamxs7t";
    let (machine, path) = job_with_supplement(&origin, &format!("encrypt = [\"{recipient}\"]\n"));
    let [own, other] = [
        "AGE-SECRET-KEY-182FWFK6TFUTLMJ0LRYKRGNM7LEMGF2F23R7QLPGY2PPPAGQWPM0SG45ZHX",
        "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33",
    ];
    machine.write("identity", format!("{own}\n"));
    machine.write("other", format!("{other}\n"));
    let with = |identity| machine.hashget(&[&CHECK[..], &["--identity", identity]].concat());
    assert_eq!(figures(&with("identity").expect(0)), [1, 0, 0]);
    // That it does not open the newest archive is told, too.
    says_unread(&with("other").expect(4), "no identity");
    // Other bytes are damage, also of what is encrypted.
    let mut bytes = fs_err::read(&path).unwrap();
    let at = bytes.len() - 20;
    bytes[at] ^= 0x55;
    fs_err::write(&path, bytes).unwrap();
    assert_eq!(figures(&with("identity").expect(4)), [0, 1, 0]);
}

#[test]
fn an_archive_whose_manifest_is_damaged_is_healed_by_the_copy() {
    let origin = Origin::start();
    let machine = machine(&origin, &["one"]);
    let job = format!(
        "[backup.web]\nsources = [\"{}\"]\nto = [\"out\"]\nhost = \"h\"\noptions = [\"--detect\", \"none\"]\n",
        machine.path("tree").display()
    );
    machine.write("own-config.toml", &job);
    fs_err::create_dir(machine.path("out")).unwrap();
    machine.hashget(&["backup"]).expect(0);
    gone(&origin, &["one"]);
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    machine.hashget(&["audit", "--every", "0s"]).expect(4);
    let name = files_below(&machine.path("out")).remove(0);
    let path = machine.path("out").join(name);
    let mut bytes = fs_err::read(&path).unwrap();
    bytes[30] ^= 0x55;
    fs_err::write(&path, bytes).unwrap();
    let ended = machine.hashget(&["heal", "web", "--from", "tree"]).expect(0);
    ended.says(&["its manifest is damaged, and the copy in"]);
    assert!(files_below(&machine.path("out")).iter().any(|name| name.contains(".sup.")));
}
