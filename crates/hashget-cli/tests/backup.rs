//! `hashget backup`: jobs, from the first night to the restore of a lost machine.
//!
//! Invariant: an archive that a job made is one of `hashget pack`, and comes back without the configuration.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;
use support::{Ended, Machine, files_below, signal, wait_until};

/// A machine with a job `web` that packs `tree` into `out`, and with more lines in its table.
fn machine(more: &str) -> Machine {
    let machine = Machine::new();
    machine.write("tree/data", "data\n");
    machine.write("tree/etc/motd", "hello\n");
    fs_err::create_dir(machine.path("out")).unwrap();
    configure(&machine, &format!("to = [\"out\"]\n{more}"));
    machine
}

fn configure(machine: &Machine, lines: &str) {
    let table =
        "[backup.web]\nsources = [\"tree\"]\nhost = \"h\"\noptions = [\"--detect\", \"none\"]\n";
    machine.write("own-config.toml", format!("{table}{lines}"));
}

/// The archives in a folder, by name.
fn archives(folder: &Path) -> Vec<String> {
    let mut files = files_below(folder);
    files.retain(|name| name.ends_with(".tar.zst"));
    files
}

/// Puts an archive of another day into `out`, with its record, as if the job had made it then.
fn earlier(machine: &Machine, day: &str) -> String {
    let newest = archives(&machine.path("out")).pop().unwrap();
    let name = format!("h_web_{day}T023000Z.tar.zst");
    fs_err::copy(machine.path("out").join(&newest), machine.path("out").join(&name)).unwrap();
    let record =
        fs_err::read_to_string(machine.path("out").join(format!("{newest}.json"))).unwrap();
    let mut record: Value = serde_json::from_str(record.lines().next().unwrap()).unwrap();
    record["started"] = format!("{day}T02:30:00Z").into();
    machine.write(&format!("out/{name}.json"), record.to_string());
    name
}

#[test]
fn a_night_a_list_and_a_restore_without_the_machine() {
    let machine = machine("");
    let ended = machine.hashget(&["backup"]).expect(0).says(&["web: packed 2 files", "Sent to"]);
    assert_eq!(ended.stdout, "");
    let [name] = &archives(&machine.path("out"))[..] else { panic!() };
    assert!(name.starts_with("h_web_"), "{name}");
    let listed = machine.hashget(&["backup", "list"]).expect(0);
    assert!(
        listed.stdout.contains("h_web") && listed.stdout.contains("whole"),
        "{}",
        listed.stdout
    );
    // The machine is gone: neither configuration nor state.
    fs_err::remove_file(machine.path("own-config.toml")).unwrap();
    fs_err::remove_dir_all(machine.path("state")).unwrap();
    let from = ["--from", "out"];
    machine.hashget(&[&["backup", "restore", "h_web", "-C", "back"], &from[..]].concat()).expect(0);
    assert_eq!(files_below(&machine.path("back")), ["data", "etc/motd"]);
    let part = ["backup", "restore", "web@latest", "./etc/motd", "-C", "part"];
    machine.hashget(&[&part[..], &from].concat()).expect(0);
    assert_eq!(files_below(&machine.path("part")), ["etc/motd"]);
    let listed = machine.hashget(&["backup", "list", "./out", "--json"]).expect(0);
    assert_eq!(listed.records()[0]["name"], **name);
    let ended = machine.hashget(&["backup", "restore", "web@2020", "-C", "x", "--from", "out"]);
    ended.expect(1).says(&["no such archive", "backup list"]);
}

#[test]
fn an_archive_of_a_job_is_one_of_pack() {
    let machine = machine("exclude = [\"motd\"]\n");
    machine.hashget(&["backup", "web"]).expect(0);
    let name = archives(&machine.path("out")).remove(0);
    machine.hashget(&["unpack", &format!("out/{name}"), "-C", "back"]).expect(0);
    assert_eq!(files_below(&machine.path("back")), ["data"]);
    machine.hashget(&["verify", &format!("out/{name}")]).expect(0);
}

#[test]
fn its_own_archives_are_in_none_of_them() {
    let machine = machine("");
    configure(&machine, "to = [\"tree/out\"]\n");
    fs_err::create_dir(machine.path("tree/out")).unwrap();
    for _ in 0..2 {
        machine.hashget(&["backup"]).expect(0);
    }
    // The destination was elsewhere before.
    fs_err::rename(machine.path("tree/out"), machine.path("tree/old")).unwrap();
    fs_err::create_dir(machine.path("tree/out")).unwrap();
    machine.hashget(&["backup"]).expect(0);
    machine.hashget(&["backup", "restore", "web", "-C", "back"]).expect(0);
    assert_eq!(files_below(&machine.path("back")), ["data", "etc/motd"]);
    configure(&machine, "to = [\"tree\"]\n");
    machine.hashget(&["backup"]).expect(2).says(&["a source and a destination"]);
}

#[test]
fn every_job_is_run_and_the_worst_says_the_code() {
    let machine = machine("");
    let more = "[backup.bad]\nsources = [\"nowhere\"]\nto = [\"out\"]\nhost = \"h\"\n";
    let old = fs_err::read_to_string(machine.path("own-config.toml")).unwrap();
    machine.write("own-config.toml", format!("{more}{old}"));
    let ended = machine.hashget(&["backup", "--json"]).expect(1);
    let records = ended.records();
    let jobs: Vec<&Value> = records.iter().filter(|record| record["type"] == "job").collect();
    assert_eq!((jobs.len(), &jobs[0]["exit"], &jobs[1]["exit"]), (2, &1.into(), &0.into()));
    assert_eq!(archives(&machine.path("out")).len(), 1);
    machine.hashget(&["backup", "bad"]).expect(1).says(&["no archive was made", "nowhere"]);
    machine.hashget(&["backup", "nobody"]).expect(2).says(&["no job nobody", "bad, web"]);
    machine.hashget(&["backup", "status", "bad"]).expect(1).says(&["the last run failed"]);
}

#[test]
fn a_destination_that_is_not_there_is_said_and_served_later() {
    let machine = machine("");
    configure(&machine, "to = [\"out\", \"disk\"]\n");
    machine.hashget(&["backup"]).expect(5).says(&["disk", "mount it", "1 destination does not"]);
    machine.hashget(&["backup", "status"]).expect(3).says(&["disk"]);
    fs_err::create_dir(machine.path("disk")).unwrap();
    machine.hashget(&["backup"]).expect(0);
    assert_eq!(archives(&machine.path("disk")), archives(&machine.path("out")));
    assert_eq!(archives(&machine.path("disk")).len(), 2);
    machine.hashget(&["backup", "status"]).expect(0);
}

#[test]
fn what_is_not_kept_goes_and_a_dry_run_says_so_first() {
    let machine = machine("keep = { last = 1, monthly = 2 }\nprune = false\n");
    machine.hashget(&["backup"]).expect(0);
    let days = ["2025-03-01", "2025-03-02", "2025-03-03"].map(|day| earlier(&machine, day));
    machine.write("out/h_web_2025-03-04T023000Z.tar.zst", "no record");
    machine.hashget(&["backup"]).expect(0);
    assert_eq!(archives(&machine.path("out")).len(), 6);
    let ended = machine.hashget(&["backup", "prune", "-n"]).expect(0);
    let line =
        |name: &str| ended.stdout.lines().find(|line| line.contains(name)).unwrap().to_owned();
    assert!(
        line(&days[0]).contains("would be removed") && line(&days[1]).contains("would be removed")
    );
    assert!(line(&days[2]).contains("monthly") && line("03-04T").contains("no readable record"));
    assert_eq!(archives(&machine.path("out")).len(), 6);
    machine.hashget(&["backup", "prune"]).expect(0);
    assert!(
        !machine.path("out").join(&days[0]).exists() && machine.path("out").join(&days[2]).exists()
    );
    assert!(!machine.path("out").join(format!("{}.json", days[0])).exists());
}

#[test]
fn what_differs_from_its_record_is_found() {
    let machine = machine("");
    machine.hashget(&["backup"]).expect(0);
    machine
        .hashget(&["backup", "check"])
        .expect(0)
        .says(&["1 archive checked (by size", "0 not as"]);
    let path = machine.path("out").join(&archives(&machine.path("out"))[0]);
    let mut bytes = fs_err::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::write(&path, &bytes).unwrap();
    machine.hashget(&["backup", "check"]).expect(0);
    machine.hashget(&["backup", "check", "--read"]).expect(4).says(&["SHA-256"]);
    fs_err::write(&path, &bytes[..middle]).unwrap();
    machine.hashget(&["backup", "check"]).expect(4).says(&["its record says"]);
    machine.hashget(&["backup", "status"]).expect(1);
    fs_err::remove_file(path.with_extension("zst.json")).unwrap();
    machine.hashget(&["backup", "check"]).expect(3).says(&["it has no record"]);
}

#[test]
fn options_are_those_of_pack_and_the_jobs_own_are_refused() {
    for (options, says) in [
        ("[\"--levle\", \"3\"]", "--levle"),
        ("[\"--level\", \"99\"]", "--level 99"),
        ("[\"-f\", \"x.tar.zst\"]", "--file"),
        ("[\"--dry-run\"]", "--dry-run is not for jobs"),
        ("[\"--parity\", \"5%\"]", "use the key parity"),
        ("[\"elsewhere\"]", "a path is not for jobs"),
    ] {
        let machine = machine("");
        let old = fs_err::read_to_string(machine.path("own-config.toml")).unwrap();
        let text = old.replace("[\"--detect\", \"none\"]", options);
        machine.write("own-config.toml", text);
        let ended = machine.hashget(&["backup"]);
        assert!(matches!(ended.code, 1 | 2), "{options}: {}", ended.stderr);
        ended.says(&[says]);
        assert_eq!(archives(&machine.path("out")), [""; 0]);
    }
}

#[test]
fn a_new_job_is_added_and_nothing_else_is_changed() {
    let machine = Machine::new();
    machine.write("tree/data", "data\n");
    machine.write("own-config.toml", "# mine\nevidence = \"signed\"");
    let init = [
        "backup", "--init", "web", "--source", "tree", "--to", "new/out", "--at", "02:30",
        "--keep", "last=2",
    ];
    machine.hashget(&init).expect(0).says(&["Wrote the job web", "Created", "--enable web"]);
    let text = fs_err::read_to_string(machine.path("own-config.toml")).unwrap();
    assert!(
        text.starts_with("# mine\nevidence = \"signed\"\n") && text.contains("[backup.web]"),
        "{text}"
    );
    // The paths are those of the folder in which it was called.
    assert!(text.contains(machine.path("tree").to_str().unwrap()), "{text}");
    machine.hashget(&["backup"]).expect(0);
    assert_eq!(archives(&machine.path("new/out")).len(), 1);
    machine.hashget(&init).expect(2).says(&["has a job web already"]);
    let bad = ["backup", "--init", "Web", "--source", "tree", "--to", "out"];
    machine.hashget(&bad).expect(2).says(&["name of a job"]);
    machine.hashget(&["backup", "--init", "other"]).expect(2).says(&["--source"]);
    assert_eq!(fs_err::read_to_string(machine.path("own-config.toml")).unwrap(), text);
    // A configuration that is named need not be there yet.
    let named = ["--config", "named.toml"];
    machine.hashget(&[&named[..], &["backup", "list"]].concat()).expect(2).says(&["named.toml"]);
    machine.hashget(&[&named[..], &init[..]].concat()).expect(0).says(&["named.toml"]);
    machine.hashget(&[&named[..], &["backup"]].concat()).expect(0);
}

#[test]
fn the_settings_of_the_older_nightly_job_are_taken_over() {
    let machine = Machine::new();
    machine.write("tree/my files/x", "");
    machine.write("tree/data", "data\n");
    let path = |name: &str| machine.path(name).to_str().unwrap().to_owned();
    let conf = format!(
        "TREE='{}'\nARCHIVES='{}'\nKEEP=5\nOPTIONS=\"--exclude 'my files' --detect none --parity=7%\"\n",
        path("tree"),
        path("old")
    );
    machine.write("nightly.conf", conf);
    machine.write("own-config.toml", "");
    machine.hashget(&["backup", "--init", "--from-nightly", "nightly.conf"]).expect(0);
    let text = fs_err::read_to_string(machine.path("own-config.toml")).unwrap();
    assert!(text.contains("[backup.system]") && text.contains("last = 5"), "{text}");
    assert!(text.contains("parity     = \"7%\""), "{text}");
    machine.hashget(&["backup"]).expect(0);
    machine.hashget(&["backup", "restore", "system", "-C", "back"]).expect(0);
    assert_eq!(files_below(&machine.path("back")), ["data"]);
}

#[test]
fn who_is_to_be_told_is_told() {
    let machine = machine("metrics = \"metrics\"\n");
    fs_err::create_dir(machine.path("metrics")).unwrap();
    machine.hashget(&["backup"]).expect(0);
    let text = fs_err::read_to_string(machine.path("metrics/hashget_web.prom")).unwrap();
    assert!(text.contains("hashget_backup_exit_code{job=\"web\"} 0"), "{text}");
}

#[test]
fn what_a_person_needs_without_the_machine_is_written() {
    let machine = machine("");
    machine.hashget(&["backup"]).expect(0);
    machine.hashget(&["backup", "rescue", "-o", "stick"]).expect(0);
    let page = fs_err::read_to_string(machine.path("stick/RESCUE.md")).unwrap();
    // The commands of the page do what it says.
    let command = page.lines().find(|line| line.contains("-C /mnt")).unwrap().trim();
    let words = command.replace('\'', "").replace("/mnt", "back");
    let words: Vec<&str> = words.split(' ').skip(1).collect();
    let mut program = machine.bare_program(machine.path("stick/hashget").to_str().unwrap());
    Ended::of(program.args(words)).expect(0);
    assert_eq!(files_below(&machine.path("back")), ["data", "etc/motd"]);
}

#[test]
fn a_hook_is_ended_by_an_interruption_and_no_archive_is_made() {
    let machine = machine("before = [\"touch began; sleep 1000\"]\n");
    let child = machine.start(&["backup"], |_| {});
    wait_until("the hook", || machine.path("began").exists());
    let second = machine.hashget(&["backup"]).expect(1);
    second.says(&["is being run by the process", &child.id().to_string()]);
    signal(&child, Signal::INT);
    Ended::wait(child).expect(130);
    assert_eq!(archives(&machine.path("out")), [""; 0]);
}

const RECIPIENT: &str = "age1sxjgycssl3yeua6gztw4prp4t5xvwgvhptrdnej77ns0khll5qrqamxs7t";
const OTHER: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
const IDENTITY: &str = "AGE-SECRET-KEY-182FWFK6TFUTLMJ0LRYKRGNM7LEMGF2F23R7QLPGY2PPPAGQWPM0SG45ZHX";

#[test]
fn an_encrypted_night_is_opened_by_its_identity_alone() {
    let machine = machine(&format!("encrypt = [\"{RECIPIENT}\"]\n"));
    machine.write("key", IDENTITY);
    for _ in 0..2 {
        machine.hashget(&["backup"]).expect(0);
    }
    let files = files_below(&machine.path("out"));
    assert!(
        files.iter().all(|name| name.contains(".tar.zst.age")) && files.len() == 4,
        "{files:?}"
    );
    let check = ["backup", "check", "--read"];
    machine.hashget(&check).expect(0).says(&["Nobody looked whether an identity opens"]);
    machine.write("other", OTHER);
    machine.hashget(&[&check[..], &["--identity", "other"]].concat()).expect(4).says(&["X25519"]);
    let right = machine.hashget(&[&check[..], &["--identity", "key"]].concat());
    right.expect(0).says(&["decrypted by the identity in 1 of 1 destinations"]);
    machine.hashget(&["backup", "status"]).expect(0);
    machine.hashget(&["backup", "rescue", "-o", "stick"]).expect(0);
    let page = fs_err::read_to_string(machine.path("stick/RESCUE.md")).unwrap();
    assert!(page.contains(RECIPIENT) && !page.contains(IDENTITY), "{page}");
    let restore = ["backup", "restore", "web", "-C", "back"];
    machine.hashget(&restore).expect(1).says(&["encrypted"]);
    machine.hashget(&[&restore[..], &["--identity", "key"]].concat()).expect(0);
    assert_eq!(files_below(&machine.path("back")), ["data", "etc/motd"]);
    let ended = machine.hashget(&["doctor", "--identity", "key"]).expect(0);
    assert!(ended.stdout.contains("came back"), "{}", ended.stdout);
    // A recipient that is none shows before anything is done.
    configure(
        &machine,
        "to = [\"out\"]\nencrypt = [\"age1nonsense\"]\nbefore = [\"touch began\"]\n",
    );
    machine.hashget(&["backup"]).expect(2).says(&["age1nonsense"]);
    assert!(!machine.path("began").exists());
    assert_eq!(files_below(&machine.path("out")), files);
}

/// That a command begins to decrypt says nothing: what comes out of it is looked at.
#[test]
fn what_a_command_decrypts_is_looked_at_before_it_is_called_decrypted() {
    let machine = machine("encrypt = 'tr \"\\000-\\377\" \"\\200-\\377\\000-\\177\"'\n");
    machine.hashget(&["backup"]).expect(0);
    let files = files_below(&machine.path("out"));
    assert!(files.iter().all(|name| name.contains(".tar.zst.enc")), "{files:?}");
    let check = |identity: &str| machine.hashget(&["backup", "check", "--identity", identity]);
    let right = "exec:tr '\\000-\\377' '\\200-\\377\\000-\\177'";
    check(right).expect(0).says(&["by the identity in 1 of 1 destinations"]);
    check("exec:cat").expect(4).says(&["is no archive", "in 0 of 1 destinations"]);
    check("exec:cat >/dev/null; exit 3").expect(4).says(&["exit status: 3"]);
}
