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
    machine.hashget(&["audit"]).expect(4).says(&["could not be healed", "1 DAMAGED"]);
    assert_eq!(fs_err::read(&archive).unwrap(), broken);
    machine.hashget(&["backup", "status"]).expect(3).says(&["could not be healed", "SHA-256"]);
    // A night looks at it before it packs, and tells.
    forget(&machine);
    machine.hashget(&["backup"]).expect(0).says(&["could not be healed"]);
    let wrong = "hashget_backup_parity_archives{job=\"web\",state=\"wrong\"} 1\n";
    assert!(metrics().contains(wrong), "{}", metrics());
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
