//! Jobs with several destinations: a folder, a bucket, commands.
//!
//! Invariant: what any of them holds comes back without the machine that made it.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use std::time::{Duration, Instant};

use assert_cmd::Command;
use hashget_testkit::object_store::{Action, BUCKET, Fault, ObjectStore};
use hashget_testkit::origin::Origin;
use support::{Ended, Machine, files_below};

/// A machine with a job that sends to a folder, a bucket, and by commands to another folder.
fn machine(store: &ObjectStore) -> Machine {
    let machine = Machine::new();
    machine.write("tree/data", "data\n".repeat(100));
    for folder in ["out", "far"] {
        fs_err::create_dir(machine.path(folder)).unwrap();
    }
    let (endpoint, far) = (store.endpoint(), machine.path("far"));
    let far = far.display();
    let config = format!(
        "[s3.{BUCKET}]\nendpoint = \"{endpoint}\"\npath_style = true\n\n[backup.web]\nsources = [\"tree\"]\nhost = \"h\"\n\
         options = [\"--detect\", \"none\"]\nkeep = {{ last = 2 }}\nto = [\"out\", \"s3://{BUCKET}/hosts\", \
         {{ send = \"cat > {far}/{{name}}\", read = \"cat {far}/{{name}}\", remove = \"rm -f {far}/{{name}}\", \
         list = \"find {far} -mindepth 1 -printf '%s %f\\\\n'\" }}]\n"
    );
    machine.write("own-config.toml", config);
    machine
}

/// The program with the login for the bucket.
fn hashget(machine: &Machine, words: &[&str]) -> Ended {
    let mut command: Command = machine.bare();
    command.envs(machine.variables()).env("PATH", std::env::var("PATH").unwrap());
    command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "hidden");
    Ended::of(command.args(words))
}

fn archives(store: &ObjectStore) -> usize {
    store.objects().keys().filter(|key| key.ends_with(".tar.zst")).count()
}

#[test]
fn every_destination_has_every_night_and_keeps_the_same() {
    let store = ObjectStore::start();
    let machine = machine(&store);
    for night in 1..=3 {
        hashget(&machine, &["backup"]).expect(0);
        let expected = 2 * night.min(2);
        assert_eq!(files_below(&machine.path("out")).len(), expected);
        assert_eq!(files_below(&machine.path("far")), files_below(&machine.path("out")));
        assert_eq!(store.objects().len(), expected);
    }
    hashget(&machine, &["backup", "status"]).expect(0);
    hashget(&machine, &["backup", "check", "--read"]).expect(0).says(&["6 archives checked"]);
    let ended = hashget(&machine, &["doctor"]);
    assert_eq!(ended.code, 0, "{} {}", ended.stdout, ended.stderr);
    // The machine is lost; of the configuration, only what is known about the bucket is written anew.
    let endpoint = store.endpoint();
    machine.write("own-config.toml", format!("[s3.{BUCKET}]\nendpoint = \"{endpoint}\"\n"));
    fs_err::remove_dir_all(machine.path("out")).unwrap();
    let from = format!("s3://{BUCKET}/hosts");
    hashget(&machine, &["backup", "restore", "h_web", "--from", &from, "-C", "back"]).expect(0);
    assert_eq!(files_below(&machine.path("back")), ["data"]);
}

#[test]
fn a_bucket_that_fails_for_a_night_gets_its_archive_the_next_one() {
    let store = ObjectStore::start();
    let machine = machine(&store);
    store.fault(Action::Put, Fault::Error(403, "AccessDenied"));
    let ended = hashget(&machine, &["backup"]);
    assert_eq!(ended.code, 5, "{}", ended.stderr);
    assert_eq!(archives(&store), 0);
    hashget(&machine, &["backup", "status"]).expect(3);
    hashget(&machine, &["backup"]).expect(0);
    assert_eq!(archives(&store), 2);
    hashget(&machine, &["backup", "status"]).expect(0);
}

#[test]
fn what_nothing_compared_is_said() {
    let store = ObjectStore::start();
    let machine = machine(&store);
    let config = fs_err::read_to_string(machine.path("own-config.toml")).unwrap();
    let (before, _) = config.split_once("to =").unwrap();
    machine.write("own-config.toml", format!("{before}to = [\"exec:cat > far/{{name}}\"]\n"));
    hashget(&machine, &["backup"]).expect(0).says(&["not compared"]);
    assert_eq!(files_below(&machine.path("far")).len(), 2);
    hashget(&machine, &["backup", "status"]).expect(0);
    let ended = hashget(&machine, &["doctor"]).expect(3);
    assert!(ended.stdout.contains("the test file would stay"), "{}", ended.stdout);
    assert_eq!(files_below(&machine.path("far")).len(), 2);
}

#[test]
fn a_service_is_told_of_the_start_and_the_end() {
    let (store, origin) = (ObjectStore::start(), Origin::start());
    let machine = machine(&store);
    origin.serve("/uuid/start", "OK");
    origin.serve("/uuid", "OK");
    let config = fs_err::read_to_string(machine.path("own-config.toml")).unwrap();
    let told = |more: &str| {
        machine.write(
            "own-config.toml",
            format!("{config}ping = \"{}\"\n{more}", origin.url("/uuid")),
        );
    };
    told("");
    hashget(&machine, &["backup"]).expect(0);
    told("before = [\"echo broken; exit 1\"]\n");
    let ended = hashget(&machine, &["backup"]).expect(1);
    // The service has no such check: that is a line, and changes nothing.
    ended.says(&["ping", "404"]);
    let mut paths: Vec<String> =
        origin.requests().into_iter().map(|request| request.path).collect();
    paths.retain(|path| path.starts_with("/uuid"));
    assert_eq!(paths, ["/uuid/start", "/uuid", "/uuid/start", "/uuid/fail"]);
}

/// Numbers that look random.
fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

#[test]
fn a_run_that_is_killed_loses_nothing_and_the_next_one_leaves_no_litter() {
    let (store, mut seed) = (ObjectStore::start(), 77);
    let machine = machine(&store);
    let noise: Vec<u8> = (0..300_000).flat_map(|_| next(&mut seed).to_le_bytes()).collect();
    machine.write("tree/noise", noise);
    let config = fs_err::read_to_string(machine.path("own-config.toml")).unwrap();
    let (before, _) = config.split_once("keep").unwrap();
    let to = format!("parity = \"5%\"\nto = [\"out\", \"far\", \"s3://{BUCKET}/hosts\"]\n");
    machine.write("own-config.toml", format!("{before}{to}"));
    let began = Instant::now();
    hashget(&machine, &["backup"]).expect(0);
    let whole = u64::try_from(began.elapsed().as_micros()).unwrap();
    let first = files_below(&machine.path("out"));
    for _ in 0..8 {
        let after = next(&mut seed) % whole;
        let mut child = machine.start(&["backup"], |command| {
            command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "hidden");
        });
        std::thread::sleep(Duration::from_micros(after));
        child.kill().unwrap();
        child.wait().unwrap();
        // What has the name of an archive is one, even before the next run.
        for name in files_below(&machine.path("far")) {
            if name.ends_with(".tar.zst") {
                machine.hashget(&["verify", &format!("far/{name}")]).expect(0);
            }
        }
        let ended = hashget(&machine, &["backup"]);
        assert_eq!(ended.code, 0, "killed after {after} us: {}", ended.stderr);
    }
    hashget(&machine, &["backup", "check", "--read"]).expect(0).says(&["0 not as recorded"]);
    let (out, far) = (files_below(&machine.path("out")), files_below(&machine.path("far")));
    assert_eq!((&out, out.len()), (&far, store.objects().len()));
    assert!(first.iter().all(|name| out.contains(name)), "{first:?} {out:?}");
    assert!(out.iter().all(|name| name.starts_with("h_web_")), "{out:?}");
    // Each archive has its record and its parity, which the next run makes if the run was killed before.
    let archives = out.iter().filter(|name| name.ends_with(".tar.zst")).count();
    assert_eq!(out.len(), 3 * archives, "{out:?}");
}

#[test]
fn what_cannot_be_read_is_not_called_damaged() {
    let store = ObjectStore::start();
    let machine = machine(&store);
    hashget(&machine, &["backup"]).expect(0);
    let config = fs_err::read_to_string(machine.path("own-config.toml")).unwrap();
    // Records come, and then the network is away.
    let read = "case {name} in *.json) ;; *) echo no route >&2; exit 7;; esac; cat";
    machine.write("own-config.toml", config.replace("read = \"cat", &format!("read = \"{read}")));
    let ended = hashget(&machine, &["backup", "check", "--read", "--json"]).expect(5);
    let records = ended.records();
    let of_archives: Vec<_> = records.iter().filter(|one| one["type"] == "archive").collect();
    let unread: Vec<_> = of_archives.iter().filter(|one| !one["unread"].is_null()).collect();
    assert_eq!((of_archives.len(), unread.len()), (3, 1));
    assert_eq!(
        (&unread[0]["difference"], &unread[0]["compared"]),
        (&None::<u8>.into(), &"size".into())
    );
    let ended = hashget(&machine, &["backup", "check", "--read"]).expect(5);
    ended.says(&["could not be read", "no route", "0 not as recorded, 1 could not be read"]);

    // Of a destination that is away, no more than two archives are waited for.
    let config = config.replace("keep = { last = 2 }", "keep = { last = 9 }");
    machine.write("own-config.toml", &config);
    for _ in 0..3 {
        hashget(&machine, &["backup"]).expect(0);
    }
    let asked = machine.path("asked");
    let noted = read
        .replace("echo no route", &format!("echo {{name}} >> {}; echo no route", asked.display()));
    machine.write("own-config.toml", config.replace("read = \"cat", &format!("read = \"{noted}")));
    let ended = hashget(&machine, &["backup", "check", "--read"]).expect(5);
    let said = ["2 further archives not asked for", "0 not as recorded, 4 could not be read"];
    let ended = ended.says(&said);
    assert!(!ended.stderr.contains("not asked for: "), "{}", ended.stderr);
    let text = fs_err::read_to_string(asked).unwrap();
    let names: std::collections::BTreeSet<&str> = text.lines().collect();
    assert_eq!(names.len(), 2, "{text}");
}

#[test]
fn what_cannot_be_read_at_random_is_not_mounted() {
    let store = ObjectStore::start();
    let machine = machine(&store);
    fs_err::create_dir(machine.path("mnt")).unwrap();
    let mount = ["backup", "mount", "web", "mnt"];
    let ended = hashget(&machine, &[&mount[..], &["--from", "exec:cat"]].concat());
    ended.expect(2).says(&["exec:cat gives archives only from their beginning", "backup restore"]);
    // No destination has an archive yet: each is named.
    let ended = hashget(&machine, &mount).expect(2);
    ended.says(&["out has no archive of web", "s3://", "only from their beginning"]);
    let config = fs_err::read_to_string(machine.path("own-config.toml")).unwrap();
    machine.write("own-config.toml", config.replace("\"out\"", "\"gone\""));
    hashget(&machine, &mount).expect(2).says(&["gone could not be listed"]);
}
