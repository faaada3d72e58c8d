//! The second copy of an archive's manifest, which follows its record: it makes a damaged one readable, and heals it.
//!
//! Invariant: what is restored by a copy is the tree that was packed, and an archive that can be read is read as it is.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use std::path::PathBuf;

use support::{Ended, Machine, files_below};

const TOLD: &str = "its manifest is damaged, and the copy in";

/// A machine with an archive of a job, and its path.
fn machine(options: &str) -> (Machine, PathBuf) {
    let machine = Machine::new();
    for number in 0..200 {
        machine.write(&format!("tree/{}/file-{number}", number % 7), format!("{number}\n"));
    }
    // More than the smallest parity can compute.
    let noise: Vec<u8> = (0..200_000_u32)
        .flat_map(|number| (number.wrapping_mul(2_654_435_761)).to_le_bytes())
        .collect();
    machine.write("tree/noise", noise);
    let job = "[backup.web]\nsources = [\"tree\"]\nto = [\"out\"]\nhost = \"h\"\n";
    machine.write("own-config.toml", format!("{job}{options}"));
    fs_err::create_dir(machine.path("out")).unwrap();
    machine.hashget(&["backup"]).expect(0);
    let archive = archive_in(&machine);
    (machine, archive)
}

fn archive_in(machine: &Machine) -> PathBuf {
    let is_archive = |name: &String| name.ends_with(".tar.zst") || name.ends_with(".age");
    let name = files_below(&machine.path("out")).into_iter().find(is_archive).unwrap();
    machine.path("out").join(name)
}

fn record_of(archive: &std::path::Path) -> PathBuf {
    format!("{}.json", archive.display()).into()
}

/// The bytes of the archive, with other ones at these places.
fn damaged(whole: &[u8], places: &[usize]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for place in places {
        bytes[*place] ^= 0x55;
    }
    bytes
}

fn restored(machine: &Machine, command: &[&str]) -> Ended {
    let _ = fs_err::remove_dir_all(machine.path("back"));
    let ended = machine.hashget(&[command, &["-C", "back"]].concat());
    if ended.code == 0 {
        machine.hashget(&["diff", "tree", "back"]).expect(0);
    }
    ended
}

/// The length of the first bytes that the record has a copy of.
fn head_length(archive: &std::path::Path) -> usize {
    let text = fs_err::read_to_string(record_of(archive)).unwrap();
    let record: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    usize::try_from(record["manifest"]["bytes"].as_u64().unwrap()).unwrap()
}

#[test]
fn an_archive_whose_manifest_is_damaged_is_read_by_the_copy_and_healed() {
    let (machine, archive) = machine("");
    let name = archive.display().to_string();
    let whole = fs_err::read(&archive).unwrap();
    let length = head_length(&archive);
    assert!(length > 1000 && length < whole.len() / 2, "{length}");
    let everywhere: Vec<usize> = (0..length).collect();
    for places in [&[0][..], &[length / 2], &[20, length / 3], &everywhere] {
        fs_err::write(&archive, damaged(&whole, places)).unwrap();
        for command in ["list", "info"] {
            machine.hashget(&[command, &name]).expect(0).says(&[TOLD, "hashget repair"]);
        }
        restored(&machine, &["unpack", &name]).expect(0).says(&[TOLD, "Proven"]);
        restored(&machine, &["backup", "restore", "web"]).expect(0).says(&[TOLD, "Proven"]);
        machine.hashget(&["verify", &name]).expect(4).says(&[TOLD, "DAMAGED: 1 fault"]);
        machine.hashget(&["verify", "--deep", &name]).expect(4).says(&[TOLD, "DAMAGED: 1 fault"]);
    }
    machine.hashget(&["repair", &name, "-o", "healed"]).expect(0);
    assert_eq!(fs_err::read(machine.path("healed")).unwrap(), whole);
    machine.hashget(&["repair", &name]).expect(0).says(&[
        "Its manifest was damaged, and comes from",
        "Healed",
        "The damaged archive was kept",
    ]);
    assert_eq!(fs_err::read(&archive).unwrap(), whole);
    machine.hashget(&["backup", "check", "--read"]).expect(0);
    machine.hashget(&["verify", &name]).expect(0);
}

#[test]
fn what_a_copy_cannot_heal_stays_as_it_is() {
    let (machine, archive) = machine("");
    let name = archive.display().to_string();
    let whole = fs_err::read(&archive).unwrap();
    // More than the manifest is damaged, and there is no parity.
    let broken = damaged(&whole, &[30, head_length(&archive) + 5000]);
    fs_err::write(&archive, &broken).unwrap();
    machine
        .hashget(&["repair", &name])
        .expect(4)
        .says(&["more of it is damaged than its manifest"]);
    assert_eq!(fs_err::read(&archive).unwrap(), broken);
    assert!(files_below(&machine.path("out")).len() == 2);
    machine.hashget(&["list", &name]).expect(0).says(&[TOLD]);
    // Nothing is wrong that a copy would be for.
    fs_err::write(&archive, &whole).unwrap();
    machine.hashget(&["repair", &name]).expect(1).says(&["nothing can be healed without parity"]);
    // A damaged copy, and one that is there in part, are none.
    let record = fs_err::read(record_of(&archive)).unwrap();
    fs_err::write(&archive, damaged(&whole, &[30])).unwrap();
    for bad in [damaged(&record, &[record.len() - 100]), record[..record.len() - 100].to_vec()] {
        fs_err::write(record_of(&archive), bad).unwrap();
        let ended = machine.hashget(&["list", &name]);
        assert!(ended.code != 0 && !ended.stderr.contains(TOLD), "{}", ended.stderr);
        machine.hashget(&["backup", "list"]).expect(0);
        fs_err::write(&archive, &whole).unwrap();
        machine.hashget(&["backup", "check"]).expect(0);
        let check = machine.hashget(&["backup", "check", "--read"]).expect(3);
        check.says(&["the copy of its manifest, behind its record, is damaged"]);
        fs_err::write(&archive, damaged(&whole, &[30])).unwrap();
    }
    // Another archive under this name is read as it is.
    fs_err::write(record_of(&archive), &record).unwrap();
    machine.write("tree/other", "other\n");
    fs_err::remove_file(&archive).unwrap();
    machine.hashget(&["pack", "tree", "-f", &name]).expect(0);
    let ended = machine.hashget(&["list", &name]).expect(0);
    assert!(ended.stdout.contains("other") && !ended.stderr.contains(TOLD), "{}", ended.stderr);
}

#[test]
fn a_manifest_is_healed_by_its_copy_whatever_its_parity_is() {
    let (machine, archive) = machine("parity = \"1%\"\n");
    let (name, whole) = (archive.display().to_string(), fs_err::read(&archive).unwrap());
    let parity = format!("{name}.par2");
    for spoilt in ["", "nothing of the kind"] {
        fs_err::write(&archive, damaged(&whole, &[30])).unwrap();
        fs_err::write(&parity, spoilt).unwrap();
        machine.hashget(&["repair", &name]).expect(0).says(&["Its manifest was damaged", "Healed"]);
        assert_eq!(fs_err::read(&archive).unwrap(), whole);
        fs_err::remove_file(format!("{name}.damaged")).unwrap();
    }
}

#[test]
fn what_is_healed_into_another_file_is_checked_as_much() {
    let (machine, archive) = machine("parity = \"1%\"\n");
    let (name, whole) = (archive.display().to_string(), fs_err::read(&archive).unwrap());
    let (parity, record) = (format!("{name}.par2"), fs_err::read(record_of(&archive)).unwrap());
    let out = machine.path("out");
    // Neither the archive nor its parity is written over, by whatever name.
    let broken = damaged(&whole, &[30]);
    fs_err::write(&archive, &broken).unwrap();
    fs_err::rename(&parity, machine.path("parity")).unwrap();
    let own = format!("{}/../out/{}", out.display(), archive.file_name().unwrap().display());
    for output in [name.clone(), own.clone(), parity.clone(), format!("{own}.par2")] {
        let ended = machine.hashget(&["repair", &name, "-o", &output]).expect(1);
        ended.says(&["it is the archive itself, or its parity"]);
    }
    assert!(fs_err::read(&archive).unwrap() == broken && files_below(&out).len() == 2);
    // More than the manifest is damaged: nothing is written.
    fs_err::write(&archive, damaged(&whole, &[30, head_length(&archive) + 5000])).unwrap();
    let ended = machine.hashget(&["repair", &name, "-o", "healed"]).expect(4);
    ended.says(&["more of it is damaged than its manifest"]);
    assert!(!machine.path("healed").exists());
    // The parity is of another archive than the record.
    machine.write("tree/other", "other\n");
    fs_err::remove_file(&archive).unwrap();
    machine.hashget(&["pack", "tree", "-f", &name, "--parity", "1%"]).expect(0);
    fs_err::write(record_of(&archive), record).unwrap();
    let other = fs_err::read(&archive).unwrap();
    fs_err::write(&archive, damaged(&other, &[other.len() / 2])).unwrap();
    for options in [&[][..], &["-o", "healed"]] {
        let ended = machine.hashget(&[&["repair", &name], options].concat()).expect(4);
        ended.says(&["has another SHA-256 than its record says"]);
    }
    assert!(!machine.path("healed").exists());
}

#[test]
fn a_copy_that_could_not_be_read_is_not_said_to_be_damaged() {
    let (machine, _) = machine("");
    let (far, once) = (machine.path("out").display().to_string(), machine.path("once"));
    // The record is given once.
    let read = format!(
        "case {{name}} in *.json) mkdir {} || exit 1;; esac; cat {far}/{{name}}",
        once.display()
    );
    let list = format!("cd {far} && stat -c '%s %n' *");
    let store = format!("{{ send = \"exit 1\", list = \"{list}\", read = \"{read}\" }}");
    let job = format!("[backup.web]\nsources = [\"tree\"]\nto = [{store}]\nhost = \"h\"\n");
    machine.write("own-config.toml", job);
    let ended = machine.hashget(&["backup", "check", "--read"]).expect(5);
    ended.says(&["behind its record, could not be read, which says nothing about it"]);
}

#[test]
fn audits_read_by_the_copy() {
    let (machine, archive) = machine("");
    let whole = fs_err::read(&archive).unwrap();
    fs_err::write(&archive, damaged(&whole, &[30])).unwrap();
    fs_err::remove_dir_all(machine.path("state")).unwrap();
    machine.hashget(&["audit"]).expect(0).says(&[TOLD, "h_web: 1 archive"]);
}

#[test]
fn a_copy_helps_parity() {
    let (machine, archive) = machine("parity = \"1%\"\n");
    let whole = fs_err::read(&archive).unwrap();
    let length = head_length(&archive);
    // All of the manifest, and a block behind it: more than the parity could compute.
    let everywhere: Vec<usize> = (0..length).chain([length + 5000]).collect();
    fs_err::write(&archive, damaged(&whole, &everywhere)).unwrap();
    let name = archive.display().to_string();
    // Parity has a copy itself, and so has the record.
    let parity = PathBuf::from(format!("{name}.par2"));
    let bytes = fs_err::read(&parity).unwrap();
    fs_err::write(&parity, damaged(&bytes, &[bytes.len() - 100])).unwrap();
    fs_err::rename(record_of(&archive), machine.path("record")).unwrap();
    let ended = machine.hashget(&["repair", &name]);
    fs_err::rename(machine.path("record"), record_of(&archive)).unwrap();
    ended.expect(4).says(&["cannot be healed"]);
    machine.hashget(&["repair", &name]).expect(0).says(&["Healed", "comes from"]);
    assert_eq!(fs_err::read(&archive).unwrap(), whole);
    assert_eq!(fs_err::read(&parity).unwrap(), bytes);
}

#[test]
fn an_encrypted_archive_has_no_copy() {
    let recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    let (machine, archive) = machine(&format!("encrypt = [\"{recipient}\"]\n"));
    let record = fs_err::read_to_string(record_of(&archive)).unwrap();
    assert_eq!(record.lines().count(), 1);
    assert!(record.contains("\"manifest\":null"), "{record}");
    machine.hashget(&["backup", "check", "--read"]).expect(0);
}

#[test]
fn parity_of_an_archive_without_a_job_has_a_copy() {
    let (machine, _) = machine("");
    let pack = ["pack", "tree", "-f", "a.tar.zst", "--parity", "1%"];
    machine.hashget(&pack).expect(0);
    let whole = fs_err::read(machine.path("a.tar.zst")).unwrap();
    let parity = fs_err::read(machine.path("a.tar.zst.par2")).unwrap();
    // More than the parity could compute.
    let everywhere: Vec<usize> = (0..2500).collect();
    machine.write("a.tar.zst", damaged(&whole, &everywhere));
    for command in ["list", "info"] {
        machine.hashget(&[command, "a.tar.zst"]).expect(0).says(&[TOLD, "a.tar.zst.par2"]);
    }
    restored(&machine, &["unpack", "a.tar.zst"]).expect(0).says(&[TOLD, "Proven"]);
    machine.hashget(&["verify", "a.tar.zst"]).expect(4).says(&["DAMAGED: 1 fault"]);
    machine
        .hashget(&["repair", "a.tar.zst"])
        .expect(0)
        .says(&["Healed", "comes from a.tar.zst.par2"]);
    assert_eq!(fs_err::read(machine.path("a.tar.zst")).unwrap(), whole);
    // A damaged parity is made anew as it was, with the copy.
    machine.write("a.tar.zst.par2", damaged(&parity, &[parity.len() - 100]));
    machine.hashget(&["repair", "a.tar.zst"]).expect(0).says(&["was made anew"]);
    assert_eq!(fs_err::read(machine.path("a.tar.zst.par2")).unwrap(), parity);
    // Another archive under this name is read as it is.
    fs_err::remove_file(machine.path("a.tar.zst")).unwrap();
    machine.hashget(&["pack", "out", "-f", "other.tar.zst"]).expect(0);
    fs_err::rename(machine.path("other.tar.zst"), machine.path("a.tar.zst")).unwrap();
    let ended = machine.hashget(&["list", "a.tar.zst"]).expect(0);
    assert!(!ended.stderr.contains(TOLD), "{}", ended.stderr);
}
