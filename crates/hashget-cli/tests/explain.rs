//! `explain`: what becomes of a file, why, and what to do about it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use hashget_testkit::origin::Origin;
use hashget_testkit::packages::TarBuilder;
use support::Machine;

fn machine(origin: &Origin) -> Machine {
    let machine = Machine::new();
    let (good, brief) = ("good".repeat(2000), "brief".repeat(2000));
    let tar = TarBuilder::new()
        .directory("tool/")
        .file("tool/good", good.as_bytes())
        .file("tool/tiny", b"tiny")
        .finish();
    origin.serve("/good.tar", tar);
    origin.serve("/brief.tar", TarBuilder::new().file("brief", brief.as_bytes()).finish());
    machine.hashget(&["index", &origin.url("/good.tar")]).expect(0);
    machine.hashget(&["index", &origin.url("/brief.tar"), "--expires", "2020-01-01"]).expect(0);
    for (name, text) in [("good", &*good), ("tiny", "tiny"), ("own", "mine"), ("empty", "")] {
        machine.write(&format!("tree/{name}"), text);
    }
    machine.write("tree/sub/brief", brief);
    fs_err::hard_link(machine.path("tree/good"), machine.path("tree/twin")).unwrap();
    std::os::unix::fs::symlink("good", machine.path("tree/link")).unwrap();
    let holes = fs_err::File::create(machine.path("tree/holes")).unwrap();
    holes.set_len(1 << 22).unwrap();
    machine
}

#[test]
fn each_fate_is_told_with_its_reason() {
    let origin = Origin::start();
    let machine = machine(&origin);
    for (path, parts) in [
        (
            "tree/good",
            &["tree/good: left out: a package gives it back", "/good.tar", "as tool/good"][..],
        ),
        ("tree/tiny", &["left out only together with other files of its package", "as tool/tiny"]),
        ("tree/own", &["archived: no known package has it", "hashget index"]),
        ("tree/empty", &["archived: it is empty"]),
        ("tree/sub/brief", &["not relied on: it may be gone after 2020-01-01", "as brief"]),
        ("tree/link", &["archived: it is no regular file"]),
        ("tree/holes", &["archived: it has holes"]),
    ] {
        let told = machine.hashget(&["explain", path]).expect(0).stdout;
        for part in parts {
            assert!(told.contains(part), "no {part:?} in {told}");
        }
    }
    let whole = machine.hashget(&["explain", "tree", "--json"]).expect(0);
    let records = whole.records();
    let fate = |name: &str| {
        let found = records.iter().find(|record| record["path"] == format!("tree/{name}"));
        found.unwrap_or_else(|| panic!("{name} in {records:?}"))["fate"].clone()
    };
    assert_eq!(
        [fate("twin"), fate("good"), fate("sub/brief")],
        ["left_out", "left_out", "archived"]
    );
    let summary = whole.last_record();
    assert_eq!((&summary["left_out"], &summary["archived"]), (&3.into(), &5.into()));
    // Nothing is fetched, so it does not matter whether a pool is there.
    machine.hashget(&["explain", "tree/good", "--pool", "not-mounted"]).expect(0);
    machine.hashget(&["explain", "nowhere"]).expect(1).says(&["nowhere", "hint:"]);
}

#[test]
fn weak_evidence_is_told_with_what_would_make_it_strong() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let told = machine.hashget(&["explain", "tree/good", "--expires", "2040-01-01"]).expect(0);
    assert!(told.stdout.contains("left out"), "a package that never expires: {}", told.stdout);
    let told = machine.hashget(&["explain", "tree/sub/brief", "--expires", "2019-01-01"]).expect(0);
    assert!(told.stdout.contains("left out"), "{}", told.stdout);
}

#[test]
fn an_archive_says_where_it_has_its_entries_from() {
    let origin = Origin::start();
    let machine = machine(&origin);
    machine.hashget(&["pack", "tree", "-f", "a.tar"]).expect(0);
    let paths = ["good", "/own", "twin", "./sub/brief", "other"];
    let explain = [&["explain", "--json", "--archive", "a.tar"][..], &paths].concat();
    let records = machine.hashget(&explain).expect(0).records();
    let fates: Vec<&str> =
        records[..5].iter().map(|record| record["fate"].as_str().unwrap()).collect();
    assert_eq!(fates, ["left_out", "archived", "link", "archived", "absent"]);
    assert_eq!(records[0]["packages"][0], origin.url("/good.tar"));
    let explain = ["explain", "--archive", "a.tar", "other"];
    assert_eq!(machine.hashget(&explain).expect(0).stdout, "other: not in this archive\n");
    let told = machine.hashget(&["explain", "--archive", "a.tar", "good"]).expect(0).stdout;
    assert!(told.contains("good: left out") && told.contains("/good.tar"), "{told}");
    machine.hashget(&["explain", "--archive", "a.tar", "../x"]).expect(2).says(&["../x"]);
}

#[test]
fn of_an_archive_it_says_what_can_be_known_where_names_are_not() {
    let origin = Origin::start();
    let machine = Machine::new();
    for name in ["one", "two"] {
        let content = |number: u32| format!("{name} {number} ").repeat(900);
        let mut tar = TarBuilder::new();
        for number in 0..9 {
            tar = tar.file(&format!("{number}"), content(number).as_bytes());
            machine.write(&format!("tree/{name}/{number}"), content(number));
        }
        origin.serve(&format!("/{name}.tar"), tar.finish());
        machine.hashget(&["index", &origin.url(&format!("/{name}.tar"))]).expect(0);
    }
    machine.hashget(&["pack", "tree", "-f", "a.tar"]).expect(0);
    let away = Machine::new();
    away.write("a.tar", fs_err::read(machine.path("a.tar")).unwrap());
    let explain = |paths: &[&str]| {
        let explain = [&["explain", "--json", "--archive", "a.tar"][..], paths].concat();
        away.hashget(&explain).expect(0).records()
    };
    // Neither HashDB nor cache: the places of the packages.
    let records = explain(&["one/1", "two/nothing", "three/1"]);
    assert_eq!(records[0]["fate"], "unknown");
    assert_eq!(records[0]["packages"], serde_json::json!([origin.url("/one.tar")]));
    assert_eq!(records[1]["packages"], serde_json::json!([origin.url("/two.tar")]));
    assert_eq!(records[2]["fate"], "absent");
    let told = away.hashget(&["explain", "--archive", "a.tar", "one/1"]).expect(0).stdout;
    for part in ["this package may give it back", "list --fetch", "/one.tar"] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    // A pool has them.
    away.hashget(&["pool", "add", "a.tar", "--pool", "pool"]).expect(0);
    let records = explain(&["one/1", "one/nothing", "--pool", "pool"]);
    assert_eq!((&records[0]["fate"], &records[1]["fate"]), (&"left_out".into(), &"absent".into()));
}

#[test]
fn it_says_what_pack_does_with_the_same_options() {
    let origin = Origin::start();
    let machine = machine(&origin);
    machine.write("config.toml", "exclude = [\"*.log\"]");
    machine.write("tree/sub/x.log", "log");
    let twice = "twice".repeat(2000);
    let tar = TarBuilder::new().file("twice", b"other").file("twice", twice.as_bytes()).finish();
    origin.serve("/twice.tar", tar);
    machine.hashget(&["index", &origin.url("/twice.tar")]).expect(0);
    machine.write("tree/twice", twice);
    let code = |options: &[&str], name: &str| {
        let path = format!("tree/{name}");
        let explain = ["explain", "--config", "config.toml", "--json", "--tree", "tree", &path];
        let told = machine.hashget(&[&explain[..], options].concat()).expect(0);
        let is_answer = |record: &serde_json::Value| record["type"] == "explained";
        let record = told.records().into_iter().find(is_answer).unwrap();
        assert_eq!(record["path"], path, "{record}");
        format!("{} {}", record["fate"].as_str().unwrap(), record["code"].as_str().unwrap())
    };
    assert_eq!(code(&[], "sub/x.log"), "excluded excluded");
    assert_eq!(code(&[], "twice"), "archived duplicate_path");
    assert_eq!(code(&[], "tiny"), "left_out given");
    assert_eq!(code(&[], "twin"), "left_out link");
    assert_eq!(code(&["--skip", "good"], "good"), "archived skipped");
    assert_eq!(code(&["--min-size", "5"], "tiny"), "archived too_small");
    assert_eq!(code(&["--max-fetch-ratio", "0.1"], "good"), "archived not_worth");
    assert_eq!(code(&["--exclude", "sub"], "sub/brief"), "excluded excluded");
    assert_eq!(code(&["--manifest-version", "1"], "twin"), "archived link");
    let wrong = ["explain", "--tree", "tree/sub", "tree/good"];
    machine.hashget(&wrong).expect(2).says(&["tree/good does not lie in tree/sub"]);
    let wrong = ["explain", "--archive", "a.tar", "good", "--skip", "x"];
    machine.hashget(&wrong).expect(2).says(&["--archive", "settled"]);
}

#[test]
fn a_file_of_an_installed_package_has_its_owner_named() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let status = "Package: one\nStatus: install ok installed\nVersion: 2-3\nArchitecture: all\n\n";
    machine.write("root/var/lib/dpkg/status", status);
    machine.write("root/var/lib/dpkg/info/one.list", "/usr\n/usr/one\n");
    machine.write("root/usr/one", "the file of a package");
    let told = machine.hashget(&["explain", "root/usr/one"]).expect(0).stdout;
    for part in ["archived: it belongs to deb:one_2-3_all", "hashget index --tree"] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    let told = machine.hashget(&["explain", "--json", "--tree", "root", "root/usr"]).expect(0);
    assert_eq!(told.records()[0]["owner"], "deb:one_2-3_all");
}

#[test]
fn an_archive_knows_folders_that_packages_give() {
    let origin = Origin::start();
    let machine = Machine::new();
    let contents: Vec<String> = (0..9).map(|number| format!("{number} ").repeat(900)).collect();
    let mut tar = TarBuilder::new().directory("usr/").directory("usr/bin/");
    for (number, content) in contents.iter().enumerate() {
        tar = tar.file(&format!("usr/bin/{number}"), content.as_bytes());
        machine.write(&format!("tree/usr/bin/{number}"), content);
    }
    origin.serve("/tools.tar", tar.finish());
    machine.hashget(&["index", &origin.url("/tools.tar")]).expect(0);
    machine.hashget(&["pack", "tree", "-f", "a.tar"]).expect(0);
    let told = machine.hashget(&["explain", "--archive", "a.tar", "usr/bin"]).expect(0).stdout;
    assert!(told.contains("usr/bin: left out: a package gives it back"), "{told}");
    assert!(told.contains("tools.tar"), "{told}");
}

#[test]
fn each_of_several_paths_is_answered() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let several = ["explain", "tree/good", "nowhere", "tree/own", "tree/nothing"];
    for tree in [&[][..], &["--tree", "tree"]] {
        let paths = if tree.is_empty() { several.to_vec() } else { [&several[..], tree].concat() };
        let told = machine.hashget(&paths).expect(3);
        for answer in ["tree/good: left out", "tree/own: archived"] {
            assert!(told.stdout.contains(answer), "no {answer:?} in {}", told.stdout);
        }
        told.says(&["nowhere: not explained", "tree/nothing: not explained"]);
    }
    // Nothing is answered that is not right.
    machine.hashget(&["explain", "tree/own", "--tree", "tree/sub", "tree/good"]).expect(2);
}
