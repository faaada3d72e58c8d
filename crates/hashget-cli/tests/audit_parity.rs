//! Parity is part of the audit: looked at, and healed from its archive, as the archive is from it.
//!
//! Invariant: a file is replaced only by the one that was sent; what cannot be healed stays as it is, and is told.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{Ended, Machine, files_below};

/// A machine with a job whose archives have parity, and the archive of its first night.
fn machine(audit: &str) -> (Machine, PathBuf) {
    let machine = Machine::new();
    let noise = (0..60_000_u32).flat_map(|n| (n ^ n << 9).to_le_bytes()).collect::<Vec<u8>>();
    machine.write("tree/data", noise);
    fs_err::create_dir(machine.path("out")).unwrap();
    let job = format!(
        "[audit]\n{audit}\n[backup.web]\nsources = [\"{}\"]\nto = [\"out\"]\nhost = \"h\"\n\
         options = [\"--detect\", \"none\"]\nparity = \"10%\"\nmetrics = \"metrics\"\n",
        machine.path("tree").display()
    );
    fs_err::create_dir(machine.path("metrics")).unwrap();
    machine.write("own-config.toml", job);
    machine.hashget(&["backup"]).expect(0);
    let name = files_below(&machine.path("out")).remove(0);
    let path = machine.path("out").join(name);
    (machine, path)
}

const DEEP: &str = "deep_every = \"100d\"";

fn parity_of(archive: &Path) -> PathBuf {
    format!("{}.par2", archive.display()).into()
}

/// Changes bytes of a file, from the middle on.
fn damage(path: &Path, count: usize) {
    let mut bytes = fs_err::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + count].iter_mut().for_each(|byte| *byte ^= 0x55);
    fs_err::write(path, bytes).unwrap();
}

fn audit(machine: &Machine) -> Ended {
    machine.hashget(&["audit", "--json"])
}

/// What came of looking at parity: looked at, read, healed, wrong, left.
fn figures(ended: &Ended) -> [u64; 5] {
    let records = ended.records();
    let summary = records.iter().find(|record| record["type"] == "summary").unwrap();
    let parity = &summary["parity"];
    ["looked", "read", "healed", "wrong", "left"].map(|figure| parity[figure].as_u64().unwrap())
}

fn forget(machine: &Machine) {
    let _ = fs_err::remove_file(machine.path("state/web.parity.json"));
}

#[test]
fn a_damaged_archive_is_healed_from_its_parity() {
    let (machine, archive) = machine(DEEP);
    let whole = fs_err::read(&archive).unwrap();
    assert_eq!(figures(&audit(&machine).expect(0)), [1, 1, 0, 0, 0]);
    // Nothing is due.
    assert_eq!(figures(&audit(&machine).expect(0)), [0, 0, 0, 0, 0]);
    damage(&archive, 1);
    forget(&machine);
    let ended = audit(&machine).expect(0);
    assert_eq!(figures(&ended), [1, 1, 1, 0, 0]);
    assert!(ended.stdout.contains("healed, and compared with its record"), "{}", ended.stdout);
    assert_eq!(fs_err::read(&archive).unwrap(), whole);
    let kept = format!("{}.damaged", archive.display());
    assert!(Path::new(&kept).exists());
    let status = machine.hashget(&["backup", "status"]).expect(0);
    status.prints(&["Parity     of 1 archive looked at"]);
    // The next one is not healed over the one that is kept.
    damage(&archive, 1);
    forget(&machine);
    assert_eq!(figures(&audit(&machine).expect(4)), [1, 1, 0, 1, 0]);
    fs_err::remove_file(kept).unwrap();
    forget(&machine);
    assert_eq!(figures(&audit(&machine).expect(0)), [1, 1, 1, 0, 0]);
}

#[test]
fn damaged_or_missing_parity_is_made_anew_from_a_whole_archive() {
    // Without reading the archives of others.
    let (machine, archive) = machine("every = \"1d\"");
    let (whole, parity) = (fs_err::read(&archive).unwrap(), parity_of(&archive));
    let before = fs_err::read(&parity).unwrap();
    assert_eq!(figures(&audit(&machine).expect(0)), [1, 0, 0, 0, 0]);
    let spoilt: [&dyn Fn(); 4] = [
        &|| damage(&parity, 1),
        &|| fs_err::remove_file(&parity).unwrap(),
        &|| fs_err::write(&parity, "").unwrap(),
        &|| fs_err::write(&parity, &before[..before.len() / 2]).unwrap(),
    ];
    for spoil in spoilt {
        spoil();
        forget(&machine);
        assert_eq!(figures(&audit(&machine).expect(0)), [1, 1, 1, 0, 0]);
        assert!(fs_err::read(&parity).unwrap() == before);
        assert!(fs_err::read(&archive).unwrap() == whole);
    }
    // It is not made of an archive that is damaged itself.
    damage(&archive, 60_000);
    fs_err::remove_file(&parity).unwrap();
    forget(&machine);
    let broken = fs_err::read(&archive).unwrap();
    assert_eq!(figures(&audit(&machine).expect(4)), [1, 1, 0, 1, 0]);
    assert!(!parity.exists() && fs_err::read(&archive).unwrap() == broken);
}

#[test]
fn what_cannot_be_healed_is_told_by_status_and_metrics() {
    let (machine, archive) = machine(DEEP);
    let whole = fs_err::read(&archive).unwrap();
    audit(&machine).expect(0);
    let metrics = || fs_err::read_to_string(machine.path("metrics/hashget_web.prom")).unwrap();
    damage(&archive, 60_000);
    let broken = fs_err::read(&archive).unwrap();
    forget(&machine);
    let why = "blocks are damaged, and 22 recovery blocks are left";
    machine.hashget(&["audit"]).expect(4).says(&["could not be healed: ", why, "1 DAMAGED"]);
    assert_eq!(fs_err::read(&archive).unwrap(), broken);
    machine.hashget(&["backup", "status"]).expect(3).says(&[
        "could not be healed: ",
        why,
        "SHA-256",
    ]);
    // A night looks at it before it packs, and tells.
    forget(&machine);
    machine.hashget(&["backup"]).expect(0).says(&["could not be healed"]);
    let wrong = "hashget_backup_parity_archives{job=\"web\",state=\"wrong\"} 1\n";
    assert!(metrics().contains(wrong), "{}", metrics());
    let as_recorded = "hashget_backup_parity_archives{job=\"web\",state=\"as_recorded\"} 0\n";
    assert!(metrics().contains(as_recorded), "{}", metrics());
    // Of what the job has no more, nobody is told: neither of a destination nor of parity.
    let config = fs_err::read_to_string(machine.path("own-config.toml")).unwrap();
    fs_err::create_dir(machine.path("other")).unwrap();
    for (old, new) in [("\"out\"", "\"other\""), ("parity = \"10%\"", "")] {
        machine.write("own-config.toml", config.replace(old, new));
        let status = machine.hashget(&["backup", "status"]);
        assert!(!status.stderr.contains("could not be healed"), "{}", status.stderr);
        assert!(!status.stdout.contains("Parity"), "{}", status.stdout);
    }
    machine.hashget(&["backup"]).expect(0);
    assert!(!metrics().contains("parity"), "{}", metrics());
    machine.write("own-config.toml", config);
    machine.hashget(&["backup", "status"]).expect(3).says(&["could not be healed: "]);
    fs_err::write(&archive, &whole).unwrap();
    forget(&machine);
    machine.hashget(&["audit"]).expect(0);
    machine.hashget(&["backup", "status"]).expect(0);
}

#[test]
fn a_limit_leaves_the_rest_for_the_next_run() {
    let (machine, _) = machine("at_most = \"1K\"");
    for content in ["1", "2"] {
        machine.write("tree/more", content);
        machine.hashget(&["backup"]).expect(0);
    }
    forget(&machine);
    let figures_of = |_| figures(&audit(&machine).expect(0));
    let found: Vec<[u64; 5]> = (0..4).map(figures_of).collect();
    assert_eq!(found, [[1, 0, 0, 0, 2], [1, 0, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]);
    let status = machine.hashget(&["backup", "status", "--json"]).expect(0);
    let job: Value = status.records().into_iter().find(|one| one["job"] == "web").unwrap();
    assert_eq!((&job["parity"]["looked"], &job["parity"]["wrong"]), (&3.into(), &0.into()));
    // By what is known, nothing is read.
    forget(&machine);
    assert_eq!(figures(&machine.hashget(&["audit", "--no-ask", "--json"]).expect(0)), [0; 5]);
}

#[test]
fn a_run_at_work_keeps_nothing_but_healing_from_happening() {
    let (machine, archive) = machine(DEEP);
    let whole = fs_err::read(&archive).unwrap();
    let lock = std::fs::File::options().write(true).open(machine.path("state/web.lock")).unwrap();
    lock.lock().unwrap();
    forget(&machine);
    assert_eq!(figures(&audit(&machine).expect(0)), [1, 1, 0, 0, 0]);
    damage(&archive, 1);
    forget(&machine);
    let ended = audit(&machine).expect(4);
    assert_eq!(figures(&ended), [1, 1, 0, 1, 0]);
    assert!(ended.stdout.contains("it is not healed now: the job web"), "{}", ended.stdout);
    drop(lock);
    // It is still due.
    assert_eq!(figures(&audit(&machine).expect(0)), [1, 1, 1, 0, 0]);
    assert!(fs_err::read(&archive).unwrap() == whole);
}

#[test]
fn an_archive_whose_manifest_is_damaged_is_healed_and_so_is_its_parity_that_is_gone() {
    let (machine, archive) = machine(DEEP);
    let (whole, parity) = (fs_err::read(&archive).unwrap(), parity_of(&archive));
    let before = fs_err::read(&parity).unwrap();
    let spoilt: [&dyn Fn(); 2] = [&|| fs_err::remove_file(&parity).unwrap(), &|| {
        fs_err::write(&parity, "nothing of the kind").unwrap();
    }];
    for spoil in spoilt {
        let mut bytes = whole.clone();
        bytes[30] ^= 0x55;
        fs_err::write(&archive, bytes).unwrap();
        spoil();
        forget(&machine);
        assert_eq!(figures(&audit(&machine).expect(0)), [1, 1, 1, 0, 0]);
        assert!(fs_err::read(&archive).unwrap() == whole);
        assert!(fs_err::read(&parity).unwrap() == before);
        fs_err::remove_file(format!("{}.damaged", archive.display())).unwrap();
    }
}

#[test]
fn what_was_wrong_is_read_again_until_it_is_not() {
    let (machine, archive) = machine("every = \"1d\"\ndeep_every = \"100d\"");
    let whole = fs_err::read(&archive).unwrap();
    damage(&archive, 60_000);
    forget(&machine);
    assert_eq!(figures(&audit(&machine).expect(4)), [1, 1, 0, 1, 0]);
    // A day later, only a look at the parity is due.
    let state = machine.path("state/web.parity.json");
    let later = || {
        let text = fs_err::read_to_string(&state).unwrap();
        let mut json: Value = serde_json::from_str(&text).unwrap();
        for (_, archives) in json["looks"].as_object_mut().unwrap() {
            for (_, look) in archives.as_object_mut().unwrap() {
                look["looked"] = "2026-01-01T00:00:00Z".into();
            }
        }
        fs_err::write(&state, json.to_string()).unwrap();
    };
    later();
    assert_eq!(figures(&audit(&machine).expect(4)), [1, 1, 0, 1, 0]);
    fs_err::write(&archive, whole).unwrap();
    later();
    assert_eq!(figures(&audit(&machine).expect(0)), [1, 1, 0, 0, 0]);
    later();
    assert_eq!(figures(&audit(&machine).expect(0)), [1, 0, 0, 0, 0]);
}

#[test]
fn what_is_missing_in_a_store_is_told_also_if_the_rest_cannot_be_read() {
    let (machine, archive) = machine(DEEP);
    let config = fs_err::read_to_string(machine.path("own-config.toml")).unwrap();
    let far = machine.path("out").display().to_string();
    let store = format!(
        "{{ send = \"cat > {far}/{{name}}\", list = \"cd {far} && stat -c '%s %n' *\", \
         read = \"case {{name}} in *.json) cat {far}/{{name}};; *) exit 1;; esac\" }}"
    );
    machine.write("own-config.toml", config.replace("\"out\"", &store));
    fs_err::remove_file(parity_of(&archive)).unwrap();
    let missing =
        "its parity is missing; not healed in a store; copy its parity from another destination";
    // What is wrong is told once in a run.
    let ended = machine.hashget(&["audit"]).expect(4);
    let ended = ended.says(&[missing, "1 DAMAGED, 1 left for the next run"]);
    assert_eq!(ended.stderr.matches("its parity is missing").count(), 1, "{}", ended.stderr);
    let ended = machine.hashget(&["audit"]).expect(4);
    ended.says(&[missing, "it could not be read, which says nothing about it", "1 DAMAGED"]);
    machine.hashget(&["backup", "status"]).expect(3).says(&["its parity is missing"]);
}

#[test]
fn an_audit_is_shown_whatever_keeps_parity_from_being_looked_at() {
    let (machine, _) = machine(DEEP);
    forget(&machine);
    // What was found cannot be kept.
    fs_err::create_dir_all(machine.path("state/web.parity.json/x")).unwrap();
    let ended = audit(&machine).expect(3);
    assert!(ended.stdout.contains("its parity could not be looked at"), "{}", ended.stdout);
    let summary = ended.records().into_iter().find(|one| one["type"] == "summary").unwrap();
    assert_eq!(summary["archives"], 1);
}

#[test]
fn parity_is_looked_at_also_if_nothing_is_known_of_what_archives_rely_on() {
    let (machine, archive) = machine(DEEP);
    let config = fs_err::read_to_string(machine.path("own-config.toml")).unwrap();
    let recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    machine.write("own-config.toml", format!("{config}encrypt = [\"{recipient}\"]\n"));
    for file in files_below(&machine.path("out")) {
        fs_err::remove_file(machine.path("out").join(file)).unwrap();
    }
    machine.hashget(&["backup"]).expect(0);
    assert!(!archive.exists());
    fs_err::remove_dir_all(machine.path("state")).unwrap();
    let none = "there is no archive to audit, or none that could be read";
    let ended = machine.hashget(&["audit"]).expect(1).says(&[none]);
    ended.says(&["Looked at the parity of 1 archive, 1 read"]);
    let parity = files_below(&machine.path("out")).into_iter().find(|one| one.ends_with(".par2"));
    fs_err::remove_file(machine.path("out").join(parity.unwrap())).unwrap();
    forget(&machine);
    machine.hashget(&["audit"]).expect(1).says(&["healed, and compared with its record"]);
    assert!(files_below(&machine.path("out")).iter().any(|one| one.ends_with(".par2")));
}
