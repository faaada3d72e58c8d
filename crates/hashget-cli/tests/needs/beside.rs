//! What lies beside an archive, read by `contrib/restore.py`: supplements, and the copy of its manifest.
//!
//! Invariant: nothing of hashget is needed for that, and only what lies beside the archive.

use std::process::Command;

use hashget_testkit::origin::Origin;
use serde_json::{Value, json};

use crate::losing::{away, gone, healed, machine, same_as};
use crate::support::{Machine, files_below};

/// Restores without hashget; the exit code, and what was said.
fn restored(machine: &Machine, options: &[&str]) -> (i32, String) {
    let _ = fs_err::remove_dir_all(machine.path("back"));
    let mut python = Command::new("python3");
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contrib/restore.py");
    python.current_dir(machine.path("")).args(["-B", program, "a.tar.zst", "-C", "back"]);
    let output = python.args(options).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("Traceback"), "{said}");
    (output.status.code().unwrap(), said)
}

pub(crate) fn supplements_are_read_without_hashget() {
    let origin = Origin::start();
    let machine = machine(&origin, &["one", "two"]);
    gone(&origin, &["one"]);
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    machine.hashget(&["audit", "a.tar.zst", "--every", "0s"]).expect(4);
    // Single files of the one, and the other as a whole.
    machine.write("own-config.toml", "[policy]\nsources = 2\n");
    machine.hashget(&["heal", "a.tar.zst", "--from", "tree"]).expect(0).says(&["Kept 1 package"]);
    gone(&origin, &["two"]);
    let beside = away(&machine, &["a.tar.zst", "a.sup.tar.zst"]);
    let (code, said) = restored(&beside, &[]);
    assert!(code == 0 && said.contains("Proven"), "{code}: {said}");
    same_as(&machine, &beside);

    fs_err::rename(beside.path("a.sup.tar.zst"), beside.path("other")).unwrap();
    assert_eq!(restored(&beside, &[]).0, 5);
    let (code, said) = restored(&beside, &["--also", "other"]);
    assert!(code == 0 && said.contains("Proven"), "{code}: {said}");
    same_as(&machine, &beside);

    // What is damaged or none of its kind is named, and is no proof.
    let bytes = fs_err::read(beside.path("other")).unwrap();
    for (supplement, expected) in
        [(&bytes[..bytes.len() / 2], [4, 5]), (b"nothing of the kind", [5, 5])]
    {
        beside.write("a.sup.tar.zst", supplement);
        let (code, said) = restored(&beside, &[]);
        assert!(expected.contains(&code) && said.contains("a.sup.tar.zst"), "{code}: {said}");
        assert!(!said.contains("Proven"), "{said}");
    }
    assert_eq!(restored(&beside, &["--also", "a.sup.tar.zst"]).0, 1);
}

pub(crate) fn what_a_supplement_says_that_nobody_knows_is_passed_over() {
    let origin = Origin::start();
    let machine = healed(&origin, &["one"], &["one"]);
    let beside = away(&machine, &["a.tar.zst", "a.sup.tar.zst"]);
    let tar = |words: &[&str]| {
        let mut tar = Command::new("tar");
        tar.current_dir(beside.path("")).args(words);
        assert!(tar.status().unwrap().success(), "{words:?}");
    };
    fs_err::create_dir(beside.path("sup")).unwrap();
    tar(&["--zstd", "-xf", "a.sup.tar.zst", "-C", "sup"]);
    let lists = fs_err::read_to_string(beside.path("sup/members.jsonl")).unwrap();
    let (head, line) = lists.split_once('\n').unwrap();
    // The exit code of a restore by these members instead, and what is said.
    let with = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut package: Value = serde_json::from_str(line).unwrap();
        change(package["members"].as_array_mut().unwrap());
        beside.write("sup/members.jsonl", format!("{head}\n{package}\n"));
        let first = ["--zstd", "-cf", "a.sup.tar.zst", "-C", "sup", ".hashget-supplement.json"];
        tar(&[&first[..], &["--exclude=./.hashget-supplement.json", "."]].concat());
        restored(&beside, &[])
    };
    let (code, said) = with(&|members| {
        let mut door = members[0].clone();
        (door["path"], door["kind"]) = ("one/door".into(), json!({ "Door": { "size": 7 } }));
        members.push(door);
    });
    assert!(code == 0 && said.contains("Proven"), "{code}: {said}");
    same_as(&machine, &beside);
    let (code, said) = with(&|members| {
        members.iter_mut().for_each(|member| member["kind"] = "Door".into());
    });
    assert!(code == 4 && !said.contains("Proven"), "{code}: {said}");
    let (code, said) = with(&|members| members.insert(0, 7.into()));
    assert!(code == 4 && said.contains("what a supplement says of its members"), "{code}: {said}");
}

pub(crate) fn a_damaged_manifest_is_read_by_its_copy_without_hashget() {
    let machine = Machine::new();
    for number in 0..100 {
        machine.write(&format!("tree/file-{number}"), format!("{number}\n"));
    }
    fs_err::create_dir(machine.path("out")).unwrap();
    let job = "[backup.web]\nsources = [\"tree\"]\nto = [\"out\"]\nhost = \"h\"\n";
    machine.write("own-config.toml", job);
    machine.hashget(&["backup"]).expect(0);
    for name in files_below(&machine.path("out")) {
        let ending = name.trim_start_matches(|c| c != '.');
        fs_err::copy(machine.path("out").join(&name), machine.path(&format!("a{ending}"))).unwrap();
    }
    let mut bytes = fs_err::read(machine.path("a.tar.zst")).unwrap();
    bytes[100] ^= 0x55;
    machine.write("a.tar.zst", bytes);
    let (code, said) = restored(&machine, &[]);
    assert!(code == 0 && said.contains("Proven"), "{code}: {said}");
    assert!(said.contains("the manifest in a.tar.zst is damaged"), "{said}");
    same_as(&machine, &machine);
    fs_err::remove_file(machine.path("a.tar.zst.json")).unwrap();
    assert_eq!(restored(&machine, &[]).0, 1);
    // The same by parity.
    fs_err::remove_file(machine.path("a.tar.zst")).unwrap();
    machine.hashget(&["pack", "tree", "-f", "a.tar.zst", "--parity", "1%"]).expect(0);
    let mut bytes = fs_err::read(machine.path("a.tar.zst")).unwrap();
    bytes[100] ^= 0x55;
    machine.write("a.tar.zst", bytes);
    let (code, said) = restored(&machine, &[]);
    assert!(code == 0 && said.contains("the manifest in a.tar.zst is damaged"), "{code}: {said}");
}
