//! `hashget backup` with parity: damage in a destination is found, and healed by the command that is named.
//!
//! Invariant: an archive is as good without its parity, and parity is never taken for an archive.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use std::path::PathBuf;

use support::{Machine, files_below};

/// A machine with a job whose archives have parity, and the archive of its first night.
fn machine(more: &str) -> (Machine, PathBuf) {
    let machine = Machine::new();
    machine.write(
        "tree/data",
        (0..60_000_u32).flat_map(|n| (n ^ n << 9).to_le_bytes()).collect::<Vec<u8>>(),
    );
    fs_err::create_dir(machine.path("out")).unwrap();
    let table = "[backup.web]\nsources = [\"tree\"]\nto = [\"out\"]\nhost = \"h\"\n\
                 options = [\"--detect\", \"none\"]\nparity = \"10%\"\n";
    machine.write("own-config.toml", format!("{table}{more}"));
    machine.hashget(&["backup"]).expect(0);
    let name = files_below(&machine.path("out")).remove(0);
    let path = machine.path("out").join(name);
    (machine, path)
}

/// Changes a byte in the middle of a file.
fn damage(path: &std::path::Path) {
    let mut bytes = fs_err::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::write(path, bytes).unwrap();
}

#[test]
fn damage_is_found_and_the_command_that_is_named_heals_it() {
    let (machine, archive) = machine("");
    let whole = fs_err::read(&archive).unwrap();
    let shown = archive.file_name().unwrap().to_str().unwrap();
    assert_eq!(
        files_below(&machine.path("out")),
        [shown.to_owned(), format!("{shown}.json"), format!("{shown}.par2")]
    );
    machine.hashget(&["backup", "check", "--read"]).expect(0).says(&["1 archive checked", "0 not"]);
    damage(&archive);
    let ended = machine.hashget(&["backup", "check", "--read"]).expect(4);
    let command = ended.stderr.split('`').find(|part| part.starts_with("hashget repair")).unwrap();
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    machine.hashget(&words).expect(0);
    assert_eq!(fs_err::read(&archive).unwrap(), whole);
    machine.hashget(&["backup", "check", "--read"]).expect(0);
    // The damaged one is kept, and is none of the series.
    assert!(machine.path("out").join(format!("{shown}.damaged")).exists());
    let listed = machine.hashget(&["backup", "list", "--json"]).expect(0);
    assert_eq!(listed.records().iter().filter(|record| record["type"] == "archive").count(), 1);
}

#[test]
fn what_is_wrong_with_parity_is_said_and_costs_no_archive() {
    let (machine, archive) = machine("keep = { last = 1 }\n");
    let parity = archive.with_extension("zst.par2");
    let bytes = fs_err::metadata(&archive).unwrap().len();
    let of_parity = fs_err::metadata(&parity).unwrap().len();
    let listed = machine.hashget(&["backup", "list"]).expect(0);
    assert!(listed.stdout.contains("whole, with parity"), "{}", listed.stdout);
    let records = machine.hashget(&["backup", "status", "--json"]).expect(0).records();
    assert_eq!(records[0]["destinations"][0]["bytes"], bytes + of_parity);
    // Damaged: it is made anew from the archive.
    damage(&parity);
    machine.hashget(&["backup", "check"]).expect(0);
    let ended = machine.hashget(&["backup", "check", "--read"]).expect(4);
    ended.says(&["its parity is", "makes it anew", "0 not as recorded, 1 without the recorded"]);
    machine.hashget(&["repair", archive.to_str().unwrap()]).expect(0);
    machine.hashget(&["backup", "check", "--read"]).expect(0);
    // Missing: the archive is as good.
    fs_err::remove_file(&parity).unwrap();
    machine.hashget(&["backup", "check"]).expect(3).says(&["its parity is missing"]);
    machine.hashget(&["backup", "status"]).expect(3).says(&["its parity is missing"]);
    let listed = machine.hashget(&["backup", "list"]).expect(0);
    assert!(listed.stdout.contains("whole, without its parity"), "{}", listed.stdout);
    machine.hashget(&["backup"]).expect(0);
    assert_eq!(files_below(&machine.path("out")).len(), 3);
    assert!(!archive.exists());
}

#[test]
fn an_encrypted_archive_is_healed_without_its_key() {
    let encrypt = "encrypt = 'tr \"\\000-\\377\" \"\\200-\\377\\000-\\177\"'\n";
    let (machine, archive) = machine(encrypt);
    assert!(archive.to_str().unwrap().ends_with(".tar.zst.enc"));
    let whole = fs_err::read(&archive).unwrap();
    damage(&archive);
    machine.hashget(&["backup", "check", "--read"]).expect(4).says(&["hashget repair"]);
    machine.hashget(&["repair", archive.to_str().unwrap()]).expect(0);
    assert_eq!(fs_err::read(&archive).unwrap(), whole);
    machine.hashget(&["backup", "check", "--read"]).expect(0);
}

#[test]
fn what_hangs_on_a_damaged_archive_is_not_said_to_be_healed_itself() {
    let (machine, full) = machine("share = \"chain\"\n");
    machine.write("tree/more", "of the second night");
    machine.hashget(&["backup"]).expect(0);
    damage(&full);
    let ended = machine.hashget(&["backup", "check", "--read"]).expect(4);
    let ended = ended.says(&["it needs h_web_", "2 not as recorded"]);
    let named: Vec<&str> = ended.stderr.split('`').filter(|part| part.contains("repair")).collect();
    assert_eq!(named, [format!("hashget repair {}", full.display())]);
    // What has no record speaks for nothing.
    fs_err::remove_file(full.with_extension("zst.json")).unwrap();
    let ended = machine.hashget(&["backup", "check"]);
    assert!(!ended.stderr.contains("repair"), "{}", ended.stderr);
}

#[test]
fn a_night_whose_full_archive_is_gone_is_read_itself() {
    let (machine, full) = machine("share = \"chain\"\n");
    machine.write("tree/more", "of the second night");
    machine.hashget(&["backup"]).expect(0);
    let mut nights = files_below(&machine.path("out"));
    nights.retain(|name| name.ends_with(".zst") && !full.ends_with(name));
    let night = machine.path("out").join(&nights[0]);
    for file in [full.clone(), full.with_extension("zst.json"), full.with_extension("zst.par2")] {
        fs_err::remove_file(file).unwrap();
    }
    let checked = || {
        let ended = machine.hashget(&["backup", "check", "--read", "--json"]).expect(4);
        ended.records().into_iter().find(|record| record["type"] == "archive").unwrap()
    };
    let record = checked();
    assert_eq!(record["compared"], "bytes");
    assert!(record["difference"].as_str().unwrap().contains("which is not there"), "{record}");
    damage(&night);
    let record = checked();
    assert!(record["difference"].as_str().unwrap().contains("bytes of SHA-256"), "{record}");
    // What has another size is not read.
    fs_err::write(&night, "short").unwrap();
    assert_eq!(checked()["compared"], "size");
    let ended = machine.hashget(&["backup", "check", "--read"]).expect(4);
    ended.says(&["1 archive checked (every byte of 0 read)"]);
}

#[test]
fn the_command_that_is_named_is_one_for_a_shell_and_says_when_it_cannot_help() {
    let (machine, archive) = machine("");
    let folder = machine.path("it's out");
    fs_err::rename(machine.path("out"), &folder).unwrap();
    let config = fs_err::read_to_string(machine.path("own-config.toml")).unwrap();
    machine.write("own-config.toml", config.replace("to = [\"out\"]", "to = [\"it's out\"]"));
    let archive = folder.join(archive.file_name().unwrap());
    fs_err::write(archive.with_extension("zst.par2"), "").unwrap();
    let ended = machine.hashget(&["backup", "check"]).expect(4);
    let word = archive.to_str().unwrap().replace('\'', "'\\''");
    ended.says(&[&format!("`hashget repair '{word}'`"), "copy it from another destination"]);
    machine.hashget(&["repair", archive.to_str().unwrap()]).expect(4);
}
