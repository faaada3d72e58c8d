//! `hashget audit`: what could be restored today, what is at risk, and what is lost.
//!
//! Invariant: every figure follows from what servers answered, which the tests decide.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::TarBuilder;
use serde_json::Value;
use support::{Ended, Machine, files_below};

/// Bytes of each file that a package gives.
const BYTES: usize = 13_000;

fn text(name: &str) -> Vec<u8> {
    let line = format!("{name:<12}\n");
    line.repeat(BYTES / 13).into_bytes()
}

fn package(name: &str) -> Vec<u8> {
    TarBuilder::new().file(name, &text(name)).finish()
}

/// A machine with a folder of which each of these packages gives a file, and a job that packs it.
fn machine(origin: &Origin, packages: &[&str], configuration: &str) -> Machine {
    let machine = Machine::new();
    for name in packages {
        let path = format!("/{name}.tar");
        origin.serve(&path, package(name));
        machine.write(&format!("tree/{name}"), text(name));
        machine.hashget(&["index", &origin.url(&path)]).expect(0);
    }
    machine.write("tree/own", "mine\n");
    let job = "[backup.web]\nsources = [\"tree\"]\nto = [\"out\"]\nhost = \"h\"\noptions = [\"--detect\", \"none\"]\n";
    fs_err::create_dir_all(machine.path("out")).unwrap();
    machine.write("own-config.toml", format!("{configuration}\n{job}"));
    machine
}

fn summary(ended: &Ended) -> (u64, u64, u64) {
    let last = summary_of(ended);
    let figure = |name: &str| last[name].as_u64().unwrap();
    (figure("restorable_bytes"), figure("at_risk_bytes"), figure("lost_bytes"))
}

/// What is said at the end, before an error.
fn summary_of(ended: &Ended) -> Value {
    ended.records().into_iter().find(|record| record["type"] == "summary").unwrap()
}

fn all_bytes(packages: usize) -> u64 {
    u64::try_from(packages * BYTES).unwrap()
}

#[test]
fn what_is_gone_is_lost_and_what_does_not_answer_is_not() {
    let origin = Origin::start();
    let machine = machine(&origin, &["one", "two", "three"], "");
    machine.hashget(&["backup"]).expect(0);
    let audit = ["audit", "--every", "0s", "--json"];
    let ended = machine.hashget(&audit).expect(0);
    assert_eq!(summary(&ended), (all_bytes(3), 0, 0));
    origin.always("/one.tar", Fault::Status(404));
    origin.always("/two.tar", Fault::Drop);
    let ended = machine.hashget(&audit).expect(4);
    assert_eq!(summary(&ended), (all_bytes(2), 0, all_bytes(1)));
    let lost: Vec<Value> =
        ended.records().into_iter().filter(|one| one["state"] == "lost").collect();
    let [lost] = &lost[..] else { panic!("{lost:?}") };
    assert_eq!((&lost["url"], &lost["archives"]), (&origin.url("/one.tar").into(), &1.into()));
    let ended = machine.hashget(&["audit", "--no-ask"]).expect(4);
    ended.says(&["one.tar: LOST", "12.70 KiB LOST", "hashget heal"]);
    // It is back.
    origin.heal("/one.tar");
    let ended = machine.hashget(&audit).expect(0);
    assert_eq!(summary(&ended), (all_bytes(3), 0, 0));
}

#[test]
fn nothing_is_asked_before_it_is_due_and_a_limit_leaves_the_rest_for_the_next_run() {
    let origin = Origin::start();
    let machine = machine(&origin, &["one", "two", "three", "four"], "");
    machine.hashget(&["backup"]).expect(0);
    // Packing has proven them.
    let before = origin.requests().len();
    let ended = machine.hashget(&["audit", "--json"]).expect(0);
    assert_eq!((origin.requests().len(), &ended.last_record()["asked"]), (before, &0.into()));
    // Each costs about 15 kB: two in a run.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let mut downloaded = 0;
    for left in [2, 0] {
        let deep = ["audit", "--deep-every", "1s", "--at-most", "40000", "--json"];
        let ended = machine.hashget(&deep).expect(0);
        let last = ended.last_record();
        downloaded += last["downloaded"].as_u64().unwrap();
        assert!(last["downloaded_bytes"].as_u64().unwrap() <= 40_000, "{last}");
        assert!(last["left"].as_u64().unwrap() >= left, "{last}");
    }
    assert!(downloaded >= 4, "{downloaded}");
    for name in ["one", "two", "three", "four"] {
        let path = format!("/{name}.tar");
        assert!(origin.requests_of(&path).len() >= 2, "{name} was never asked for");
    }
}

#[test]
fn two_places_are_wanted_and_only_one_has_it() {
    let (origin, other) = (Origin::start(), Origin::start());
    let machine = machine(&origin, &["one"], "");
    machine.hashget(&["backup"]).expect(0);
    let ended = machine.hashget(&["audit", "--sources", "2"]).expect(3);
    ended.says(&["1 independent place has it, and 2 are wanted", "12.70 KiB at risk"]);
    // Another URL of the same bytes: of one operator first, and then of another.
    other.serve("/one.tar", package("one"));
    machine.hashget(&["index", &other.url("/one.tar")]).expect(0);
    machine.hashget(&["backup"]).expect(0);
    machine.hashget(&["audit", "--sources", "2", "--every", "0s"]).expect(3);
    let host = "[host.localhost]\noperator = \"another\"\n";
    let configuration = fs_err::read_to_string(machine.path("own-config.toml")).unwrap();
    machine.write("own-config.toml", format!("{host}{configuration}"));
    let elsewhere = other.url("/one.tar").replace("127.0.0.1", "localhost");
    machine.hashget(&["index", &elsewhere]).expect(0);
    machine
        .hashget(&["pack", "tree", "-f", "two.tar", "--detect", "none", "--sources", "2"])
        .expect(0);
    machine.hashget(&["audit", "two.tar", "--sources", "2", "--every", "0s"]).expect(0);
    origin.always("/one.tar", Fault::Status(404));
    other.always("/one.tar", Fault::Status(404));
    let ended = machine.hashget(&["audit", "two.tar", "--sources", "2", "--every", "0s"]).expect(4);
    ended.says(&["LOST"]);
    // A pool of one's own is a place.
    machine.write("package.tar", package("one"));
    machine.hashget(&["pool", "add", "--pool", "pool", "package.tar"]).expect(0);
    machine.hashget(&["audit", "two.tar", "--no-ask", "--pool", "pool"]).expect(0);
    let few = ["audit", "two.tar", "--no-ask", "--pool", "pool", "--sources", "2"];
    machine.hashget(&few).expect(3).says(&["1 independent place has it"]);
}

#[test]
fn a_job_audits_itself_and_status_and_metrics_tell() {
    let origin = Origin::start();
    let machine = machine(&origin, &["one", "two"], "[audit]\nevery = \"1s\"\n");
    let configuration = fs_err::read_to_string(machine.path("own-config.toml")).unwrap();
    machine.write("own-config.toml", format!("{configuration}metrics = \"metrics\"\n"));
    fs_err::create_dir_all(machine.path("metrics")).unwrap();
    machine.hashget(&["backup"]).expect(0).says(&["Audited", "25.39 KiB could be restored today"]);
    let metrics = || fs_err::read_to_string(machine.path("metrics/hashget_web.prom")).unwrap();
    let figure = |state: &str, bytes: u64| {
        format!("hashget_backup_left_out_bytes{{job=\"web\",state=\"{state}\"}} {bytes}\n")
    };
    assert!(metrics().contains(&figure("restorable", all_bytes(2))), "{}", metrics());
    origin.always("/one.tar", Fault::Status(410));
    std::thread::sleep(std::time::Duration::from_millis(1100));
    // Tonight's archive has the file itself; the one of last night needs what is gone.
    machine.hashget(&["backup"]).expect(0).says(&["lost: one.tar", "12.70 KiB LOST"]);
    assert!(metrics().contains(&figure("lost", all_bytes(1))), "{}", metrics());
    let ended = machine.hashget(&["backup", "status", "--json"]).expect(0);
    let job = ended.records().into_iter().find(|one| one["job"] == "web").unwrap();
    assert_eq!(job["restorable"]["lost_bytes"], 0, "{job}");
    let ended = machine.hashget(&["audit", "web", "--no-ask"]).expect(4);
    ended.says(&["h_web: 2 archives, of the worst"]);
}

#[test]
fn figures_by_other_rules_than_the_configured_ones_are_no_step_of_a_trend() {
    let origin = Origin::start();
    let machine = machine(&origin, &["one"], "[audit]\nevery = \"30d\"\n");
    machine.hashget(&["backup"]).expect(0);
    let remembered = || fs_err::read_to_string(machine.path("state/web.audits.json")).unwrap();
    let before = remembered();
    machine.hashget(&["audit", "--sources", "2"]).expect(3).says(&["1 independent place has it"]);
    machine.hashget(&["audit", "--every", "40d"]).expect(0);
    assert_eq!(remembered(), before);
    machine.hashget(&["audit"]).expect(0);
    assert_ne!(remembered(), before);
}

#[test]
fn a_timer_of_audits_needs_a_schedule_and_a_job() {
    let machine = Machine::new();
    machine.hashget(&["audit", "--enable"]).expect(2).says(&["[audit]", "schedule = \"04:00\""]);
    machine.write("own-config.toml", "[audit]\nevery = \"30d\"\nschedule = \"04:00\"\n");
    machine.hashget(&["audit", "--enable"]).expect(2).says(&["has no job"]);
    machine.hashget(&["audit", "--enable", "--no-ask"]).expect(2).says(&["cannot be used with"]);
}

#[test]
fn an_encrypted_archive_is_audited_by_what_this_machine_remembers() {
    let origin = Origin::start();
    let machine = machine(&origin, &["one"], "");
    let key = "AGE-SECRET-KEY-182FWFK6TFUTLMJ0LRYKRGNM7LEMGF2F23R7QLPGY2PPPAGQWPM0SG45ZHX";
    let identity = machine.write("key", format!("{key}\n"));
    let configuration = fs_err::read_to_string(machine.path("own-config.toml")).unwrap();
    let recipient = "age1sxjgycssl3yeua6gztw4prp4t5xvwgvhptrdnej77ns0khll5qrqamxs7t";
    machine.write("own-config.toml", format!("{configuration}encrypt = [\"{recipient}\"]\n"));
    machine.hashget(&["backup"]).expect(0);
    machine.hashget(&["audit"]).expect(0);
    // Who remembers nothing needs the identity.
    fs_err::remove_dir_all(machine.path("state")).unwrap();
    let ended = machine.hashget(&["audit"]).expect(1);
    ended.says(&["not audited, since what it relies on is not known", "encrypted"]);
    // A backup is whole whatever is known of older ones.
    let configuration = fs_err::read_to_string(machine.path("own-config.toml")).unwrap();
    machine.write("own-config.toml", format!("[audit]\nheal = \"supplement\"\n{configuration}"));
    std::thread::sleep(std::time::Duration::from_millis(1100));
    machine.hashget(&["backup"]).expect(0).says(&["note:", "not audited"]);
    machine.hashget(&["backup", "status"]).expect(0);
    machine.hashget(&["audit", "--identity", identity.to_str().unwrap()]).expect(0);
    machine.hashget(&["audit"]).expect(0);
}

#[test]
fn an_archive_that_cannot_be_read_is_named_and_the_others_are_audited() {
    let origin = Origin::start();
    let machine = machine(&origin, &["one"], "");
    machine.hashget(&["backup"]).expect(0);
    machine.write("out/broken.tar.zst", "nothing of the kind\n");
    let ended = machine.hashget(&["audit", "out", "--json"]);
    assert_eq!(summary(&ended), (all_bytes(1), 0, 0));
    ended.expect(3);
    machine.hashget(&["audit", "out"]).expect(3).says(&["out/broken.tar.zst", "not audited"]);
}

#[test]
fn what_must_lie_beside_an_archive_is_looked_for() {
    let origin = Origin::start();
    let machine = machine(&origin, &["one"], "");
    let chain = fs_err::read_to_string(machine.path("own-config.toml")).unwrap();
    machine.write("own-config.toml", chain.replace("options", "share = \"chain\"\noptions"));
    machine.write("tree/large", text("own").repeat(200));
    machine.hashget(&["backup"]).expect(0);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    machine.write("tree/own", "mine, and changed\n");
    machine.hashget(&["backup"]).expect(0).says(&["Needs"]);
    let mut archives = files_below(&machine.path("out"));
    archives.retain(|name| name.ends_with(".tar.zst"));
    archives.sort();
    let [base, last] = &archives[..] else { panic!("{archives:?}") };
    let last = format!("out/{last}");
    let audits = [&["audit"][..], &["audit", "out"], &["audit", &last]];
    for audit in audits {
        machine.hashget(audit).expect(0);
    }
    fs_err::rename(machine.path("out").join(base), machine.path("elsewhere")).unwrap();
    for audit in audits {
        machine.hashget(audit).expect(4).says(&[base, "LOST"]);
    }
}

#[test]
fn archives_are_audited_wherever_they_lie() {
    let origin = Origin::start();
    let machine = machine(&origin, &["one"], "");
    machine.hashget(&["backup"]).expect(0);
    let archive =
        files_below(&machine.path("out")).into_iter().find(|name| name.ends_with(".zst")).unwrap();
    for of in
        [format!("out/{archive}"), "out".to_owned(), machine.path("out").display().to_string()]
    {
        let ended = machine.hashget(&["audit", &of, "--json"]).expect(0);
        assert_eq!(summary(&ended), (all_bytes(1), 0, 0), "{of}");
    }
    fs_err::create_dir(machine.path("unpacked")).unwrap();
    let archive = machine.path("out").join(archive);
    let mut tar = std::process::Command::new("tar");
    tar.args(["--zstd", "-xf"]).arg(&archive).arg("-C").arg(machine.path("unpacked"));
    assert!(tar.status().unwrap().success());
    machine.hashget(&["audit", "./unpacked"]).expect(0);
    // A HashDB that was deleted: nothing is proven until it is asked for again.
    fs_err::remove_dir_all(machine.path("db")).unwrap();
    machine.hashget(&["audit", "out", "--no-ask"]).expect(3).says(&["no server was asked"]);
    machine.hashget(&["audit", "out"]).expect(0);
    machine.hashget(&["audit", "nowhere"]).expect(2).says(&["there is no job nowhere"]);
}

#[test]
fn what_is_at_risk_can_be_put_into_a_pool_alone() {
    let (origin, other) = (Origin::start(), Origin::start());
    let machine =
        machine(&origin, &["one", "two", "three"], "[host.localhost]\noperator = \"another\"");
    other.serve("/two.tar", package("two"));
    let elsewhere = other.url("/two.tar").replace("127.0.0.1", "localhost");
    machine.hashget(&["index", &elsewhere]).expect(0);
    machine.hashget(&["pack", "tree", "-f", "a.tar", "--detect", "none"]).expect(0);
    origin.always("/three.tar", Fault::Status(404));
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    let policy = fs_err::read_to_string(machine.path("own-config.toml")).unwrap();
    machine.write(
        "own-config.toml",
        format!("[policy]\nsources = 2\n[audit]\nevery = \"1s\"\n{policy}"),
    );
    std::thread::sleep(std::time::Duration::from_millis(1100));
    // Two places have the second, one has the first, and none the third.
    fs_err::create_dir(machine.path("pool")).unwrap();
    let add = ["pool", "add", "--pool", "pool", "--at-risk", "a.tar"];
    machine.hashget(&add).expect(3).says(&["three.tar", "lost", "1 package added to the pool"]);
    assert_eq!(files_below(&machine.path("pool")).len(), 1);
}
